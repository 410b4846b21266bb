//! Answers that are shown as they are, a line each.

use std::io::{self, Write};

use asynchat::Result;

use shared::{cli, reply::Reply, text::printable};

use crate::worklist::Task;

/// A line of the server's on standard output.
pub(crate) fn say(line: &[u8]) -> io::Result<()> {
    cli::say(&printable(&String::from_utf8_lossy(line)))
}

/// `NAME LAST FIRST STATUS` (RFC 3977, 7.6.3).
pub(crate) struct Groups;

impl Task for Groups {
    fn line(&mut self, line: &[u8]) -> Result {
        Ok(say(line)?)
    }
}

/// The reply to GROUP: number of articles, first, last (RFC 3977, 6.1.1).
pub(crate) struct Counts;

impl Task for Counts {
    fn accepted(&mut self, reply: &Reply) -> Result {
        let mut numbers = reply
            .text()
            .split(' ')
            .map_while(|word| word.parse::<u64>().ok());
        let (Some(count), Some(first), Some(last)) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(reply.refusal("these are not the numbers of a group").into());
        };
        let mut out = io::stdout();
        writeln!(out, "count => {count}")?;
        Ok(writeln!(out, "range => {first} {last}")?)
    }
}

pub(crate) struct Posted(String);

impl Posted {
    pub(crate) fn new(label: &str) -> Self {
        Self(label.into())
    }
}

impl Task for Posted {
    fn done(&mut self) -> Result {
        Ok(cli::say(&format!("{}: posted", self.0))?)
    }
}
