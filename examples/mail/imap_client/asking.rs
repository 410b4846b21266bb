//! `list`, `select`, `search`: answers in lines.

use asynchat::{BoxError, Registry, Result};
use shared::{
    cli::say,
    client::Outcome,
    imap::{Command, Event, Session, Status, StatusKind, User},
    text::printable,
};

use crate::warn;

pub(crate) struct Asking {
    commands: Vec<Command>,
    /// What the server says of the mailbox is an answer too.
    with_status: bool,
    outcome: Outcome,
}

impl Asking {
    pub(crate) fn new(commands: Vec<Command>, outcome: Outcome) -> Self {
        Self {
            commands,
            with_status: false,
            outcome,
        }
    }

    pub(crate) fn with_status(mut self) -> Self {
        self.with_status = true;
        self
    }
}

impl User for Asking {
    fn ready(&mut self, session: &mut Session) -> Result {
        for command in self.commands.drain(..) {
            session.send(command);
        }
        session.send(Command::Logout);
        Ok(())
    }

    fn event(&mut self, _: &mut Session, event: Event<'_>) -> Result {
        match event {
            Event::Mailbox {
                attributes, name, ..
            } => {
                let line = format!("{name}  ({})", attributes.join(" "));
                say(&printable(&line))?;
            }
            Event::Found(numbers) => {
                for number in numbers {
                    say(&number.to_string())?;
                }
            }
            Event::Exists(count) if self.with_status => say(&format!("{count} messages"))?,
            Event::Recent(count) if self.with_status => say(&format!("{count} recent"))?,
            Event::Status(status) if self.with_status => say(&status.to_string())?,
            Event::Status(status) => warn(status),
            _ => {}
        }
        Ok(())
    }

    fn completed(&mut self, _: &mut Session, command: &Command, status: &Status) -> Result {
        match status.kind {
            StatusKind::Ok => Ok(()),
            _ => Err(status.refusal(command)),
        }
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(outcome);
    }
}
