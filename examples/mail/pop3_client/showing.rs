//! `show`: messages on standard output.

use std::io::{self, Write};

use asynchat::{BoxError, Registry, Result};
use shared::{
    client::Outcome,
    mail::Excerpt,
    pop3::{Answer, Command, Session, User},
    screen,
};

pub(crate) struct Showing {
    numbers: Vec<u32>,
    way: Way,
    outcome: Outcome,
}

enum Way {
    /// As its reader sees it, when it has come.
    Readable(Excerpt),
    /// As it comes.
    Raw(Box<dyn Write>),
}

impl Showing {
    pub(crate) fn new(numbers: Vec<u32>, raw: bool, outcome: Outcome) -> Self {
        let way = match raw {
            true => Way::Raw(screen::stdout()),
            false => Way::Readable(Excerpt::default()),
        };
        Self {
            numbers,
            way,
            outcome,
        }
    }
}

impl User for Showing {
    fn ready(&mut self, session: &mut Session) -> Result {
        for &number in &self.numbers {
            session.send(Command::Retr(number));
        }
        session.send(Command::Quit);
        Ok(())
    }

    fn answer(&mut self, _: &mut Session, command: Command, answer: Answer<'_>) -> Result {
        match (command, answer) {
            (Command::Retr(number), Answer::Done) => match &mut self.way {
                Way::Raw(stdout) => stdout.flush()?,
                Way::Readable(excerpt) => {
                    let mut stdout = io::stdout().lock();
                    if self.numbers.len() > 1 {
                        writeln!(stdout, "--- message {number} ---")?;
                    }
                    std::mem::take(excerpt).show(&mut stdout)?;
                    stdout.flush()?;
                }
            },
            (_, Answer::Refused(why)) => {
                return Err(format!("{command}: the server says {why}").into());
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, _: Command, data: &[u8]) -> Result {
        match &mut self.way {
            Way::Raw(stdout) => stdout.write_all(data)?,
            Way::Readable(excerpt) => excerpt.push(data),
        }
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(outcome);
    }
}
