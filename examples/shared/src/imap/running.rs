//! The command whose answer is due.

use std::{collections::VecDeque, io::Write, time::Duration};

use asynchat::Result;

use super::command::{Command, Line};
use crate::client::Talk;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) tag: String,
    pub(super) request: Request,
    literals: VecDeque<(Vec<u8>, String)>,
    /// The size of the first of them has been sent.
    announced: bool,
}

#[derive(Debug)]
pub(super) enum Request {
    Capability,
    StartTls,
    LogIn,
    /// The response to the server's challenge, if it was not sent at once.
    Authenticate(Option<String>),
    Command(Command),
    Idle(Duration, Idle),
}

/// How far IDLE is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Idle {
    Sent,
    /// The server has taken it; how long nothing might move before.
    Taken(Duration),
    /// DONE has been sent.
    Done,
}

impl Running {
    /// Sends the command, as far as the server takes it without a question.
    pub(super) fn send(
        talk: &mut Talk<'_, '_>,
        tag: String,
        request: Request,
        line: Line,
        capabilities: &[String],
    ) -> Result<Self> {
        write!(talk, "{tag} {}", line.text)?;
        let mut running = Self {
            tag,
            request,
            literals: line.literals.into(),
            announced: false,
        };
        running.send_literals(talk, capabilities)?;
        Ok(running)
    }

    /// The server has asked for the literal that was announced. False if none was.
    pub(super) fn go_on(
        &mut self,
        talk: &mut Talk<'_, '_>,
        capabilities: &[String],
    ) -> Result<bool> {
        if !self.announced {
            return Ok(false);
        }
        self.send_literal(talk)?;
        self.send_literals(talk, capabilities)?;
        Ok(true)
    }

    fn send_literals(&mut self, talk: &mut Talk<'_, '_>, capabilities: &[String]) -> Result {
        while let Some((literal, _)) = self.literals.front() {
            let (size, has_to_wait) = Line::announce(literal, capabilities);
            talk.write_all(size.as_bytes())?;
            self.announced = has_to_wait;
            if has_to_wait {
                return Ok(());
            }
            self.send_literal(talk)?;
        }
        Ok(talk.write_all(b"\r\n")?)
    }

    fn send_literal(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.announced = false;
        if let Some((literal, text)) = self.literals.pop_front() {
            talk.write_all(&literal)?;
            talk.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}
