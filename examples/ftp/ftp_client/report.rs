//! What was not done, for the end.

use std::{cell::RefCell, fmt::Display, rc::Rc};

use asynchat::{BoxError, Result};
use shared::{cli, client::Outcome, text::printable};

/// Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Report {
    failures: Rc<RefCell<Vec<String>>>,
    session: Outcome,
}

impl Report {
    /// One line about something that was done. A standard output that takes none is a failure.
    pub(crate) fn say(&self, line: &str) {
        if let Err(error) = cli::say(&printable(line)) {
            self.fail("standard output", &error);
        }
    }

    pub(crate) fn fail(&self, name: &str, why: &dyn Display) {
        let line = printable(&format!("{name}: {why}"));
        self.failures.borrow_mut().push(line);
    }

    /// The session is over.
    pub(crate) fn end(&self, outcome: Result<(), BoxError>) {
        self.session.set(outcome);
    }

    /// All failures, a line each. That of the session may be the last file's already.
    pub(crate) fn outcome(&self) -> Result {
        let mut lines = self.failures.take();
        if let Err(error) = self.session.take() {
            let error = error.to_string();
            if !lines.last().is_some_and(|line| line.ends_with(&error)) {
                lines.push(error);
            }
        }
        match lines.is_empty() {
            true => Ok(()),
            false => Err(lines.join("\nftp_client: ").into()),
        }
    }
}
