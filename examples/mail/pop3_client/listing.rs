//! `list`: a line for each message.

use std::collections::VecDeque;

use asynchat::{BoxError, Registry, Result};
use shared::{
    cli::say,
    client::Outcome,
    mail::Excerpt,
    pop3::{Answer, Command, Session, User},
};

/// Bytes of a header that are read for its line.
const MAX_HEADER: usize = 64 * 1024;

/// Numbers and sizes are known from LIST, the rest from the header that TOP gives.
pub(crate) struct Listing {
    messages: VecDeque<(u32, u64)>,
    header: Excerpt,
    outcome: Outcome,
}

impl Listing {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self {
            messages: VecDeque::new(),
            header: Excerpt::new(MAX_HEADER),
            outcome,
        }
    }

    /// TOP may be refused (RFC 1939, 7: it is optional).
    fn show(&mut self, number: u32, summary: &str) -> Result {
        while let Some((listed, size)) = self.messages.pop_front() {
            if listed == number {
                let line = format!("{number:>5} {size:>10}  {summary}");
                return Ok(say(line.trim_end())?);
            }
        }
        Ok(())
    }
}

impl User for Listing {
    fn ready(&mut self, session: &mut Session) -> Result {
        session.send(Command::List);
        Ok(())
    }

    fn answer(&mut self, session: &mut Session, command: Command, answer: Answer<'_>) -> Result {
        match (command, answer) {
            (_, Answer::Size(number, size)) => self.messages.push_back((number, size)),
            (Command::List, Answer::Done) => {
                for &(number, _) in &self.messages {
                    session.send(Command::Top(number, 0));
                }
                session.send(Command::Quit);
            }
            (Command::Top(number, _), Answer::Done) => {
                let header = std::mem::replace(&mut self.header, Excerpt::new(MAX_HEADER));
                self.show(number, &header.summary())?;
            }
            (Command::Top(number, _), Answer::Refused(_)) => self.show(number, "")?,
            (_, Answer::Refused(why)) => {
                return Err(format!("{command}: the server says {why}").into());
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, _: Command, data: &[u8]) -> Result {
        self.header.push(data);
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(outcome);
    }
}
