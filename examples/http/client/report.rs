//! The consumer at the bottom: prints status and header, counts the body, keeps what failed.

use std::{cell::RefCell, rc::Rc};

use asynchat::{BoxError, Result};
use shared::{
    http::consumer::{Consumer, Request},
    text::printable,
};

use crate::output::Output;

/// What went wrong in any of the requests, a line each.
pub(crate) type Failures = Rc<RefCell<Vec<String>>>;

pub(crate) struct Report {
    /// The URL as it was given.
    url: String,
    size: u64,
    output: Output,
    failures: Failures,
}

impl Report {
    pub(crate) fn new(url: &str, output: Output, failures: Failures) -> Self {
        Self {
            url: printable(url),
            size: 0,
            output,
            failures,
        }
    }

    fn fail(&self, error: &dyn std::fmt::Display) {
        let line = printable(&format!("{}: {error}", self.url));
        self.failures.borrow_mut().push(line);
    }
}

impl Consumer for Report {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let head = request.head;
        let status = format!(
            "status => HTTP/1.{} {} {}",
            head.version, head.status, head.reason
        );
        self.output.line(printable(&status).trim_end())?;
        for (key, value) in &head.fields {
            let field = format!("{key} = {}", String::from_utf8_lossy(value));
            self.output.line(&printable(&field))?;
        }
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.size += data.len() as u64;
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let told = match outcome {
            Ok(()) => self.output.line(&format!("{} bytes in body", self.size)),
            Err(error) => return self.fail(&error),
        };
        if let Err(error) = told {
            self.fail(&error);
        }
    }
}
