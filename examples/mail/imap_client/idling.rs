//! `idle`: a line for each thing that happens in a mailbox.

use std::time::Duration;

use asynchat::{BoxError, Registry, Result};
use shared::{
    cli::say,
    client::Outcome,
    imap::{Command, Event, Session, Status, StatusKind, User},
};

use crate::warn;

/// RFC 2177: servers end sessions that are idle for 30 minutes.
const LONGEST: Duration = Duration::from_secs(29 * 60);

pub(crate) struct Idling {
    mailbox: String,
    left: Option<Duration>,
    count: Option<u64>,
    idling: bool,
    outcome: Outcome,
}

impl Idling {
    pub(crate) fn new(
        mailbox: String,
        limit: Option<Duration>,
        count: Option<u64>,
        outcome: Outcome,
    ) -> Self {
        Self {
            mailbox,
            left: limit,
            count,
            idling: false,
            outcome,
        }
    }

    /// The next IDLE, or the end.
    fn go_on(&mut self, session: &mut Session) {
        let time = self.left.map_or(LONGEST, |left| left.min(LONGEST));
        let is_over = time.is_zero() || self.count == Some(0);
        session.send(match is_over {
            true => Command::Logout,
            false => Command::Idle(time),
        });
    }

    fn say(&mut self, session: &mut Session, line: &str) -> Result {
        if self.idling {
            say(line)?;
            if let Some(count) = &mut self.count {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.idling = false;
                    session.done();
                }
            }
        }
        Ok(())
    }
}

impl User for Idling {
    fn ready(&mut self, session: &mut Session) -> Result {
        session.send(Command::Examine {
            mailbox: self.mailbox.clone(),
        });
        Ok(())
    }

    fn idling(&mut self, _: &mut Session) -> Result {
        if !self.idling {
            self.idling = true;
            log::info!("idling");
        }
        Ok(())
    }

    fn event(&mut self, session: &mut Session, event: Event<'_>) -> Result {
        match event {
            Event::Exists(count) => self.say(session, &format!("{count} messages")),
            Event::Recent(count) => self.say(session, &format!("{count} recent")),
            Event::Expunged(number) => self.say(session, &format!("message {number} is gone")),
            Event::Fetched(number, items) => {
                let flags = items.iter().find(|(name, _)| name == "FLAGS");
                match flags {
                    Some(_) => self.say(session, &format!("flags of message {number} changed")),
                    None => Ok(()),
                }
            }
            Event::Status(status) => {
                warn(status);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn completed(&mut self, session: &mut Session, command: &Command, status: &Status) -> Result {
        if status.kind != StatusKind::Ok {
            return Err(status.refusal(command));
        }
        if let Command::Idle(time) = command {
            self.left = self.left.map(|left| left.saturating_sub(*time));
        }
        self.go_on(session);
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(outcome);
    }
}
