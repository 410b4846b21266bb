//! Commands on their way: those that wait, and those whose answer is due.

use std::{collections::VecDeque, io::Write};

use asynchat::Result;

use super::Command;
use crate::client::Talk;

/// Commands whose answers are due at the same time. They are short, so the server can take them all while it sends.
const WINDOW: usize = 32;

/// The session as its [`User`](super::User) sees it: its commands in their order.
#[derive(Debug, Default)]
pub struct Session {
    waiting: VecDeque<Command>,
    due: VecDeque<Command>,
    pub(super) pipelining: bool,
}

impl Session {
    /// Queues a command.
    pub fn send(&mut self, command: Command) {
        self.waiting.push_back(command);
    }

    /// Whose answer comes next.
    pub(super) fn oldest(&self) -> Option<Command> {
        self.due.front().copied()
    }

    pub(super) fn answered(&mut self) {
        self.due.pop_front();
    }

    /// Sends as many as may be under way.
    pub(super) fn pump(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let window = if self.pipelining { WINDOW } else { 1 };
        while self.due.len() < window {
            let Some(command) = self.waiting.pop_front() else {
                break;
            };
            write!(talk, "{command}\r\n")?;
            self.due.push_back(command);
        }
        Ok(())
    }
}
