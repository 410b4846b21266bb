//! Where lines about an answer go.

use std::io::{self, Write};

/// Standard output, or standard error where standard output takes the body; each line labelled if there are several
/// answers to tell apart.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) label: Option<String>,
    pub(crate) to_stderr: bool,
}

impl Output {
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        let line = match &self.label {
            Some(label) => format!("{label}: {line}\n"),
            None => format!("{line}\n"),
        };
        if self.to_stderr {
            io::stderr().write_all(line.as_bytes())
        } else {
            io::stdout().write_all(line.as_bytes())
        }
    }
}
