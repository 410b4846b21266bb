//! What a script says on its standard error, a line at a time, into the log: made printable, and bounded.

use std::{cell::Cell, rc::Rc};

use asynchat::{AsyncChat, ChannelId, ChatChannel, ChatDispatcher, Closed, Registry, Result};

use super::Script;
use crate::limits::{ERROR_LINE, ERROR_LINES, LAST_WORDS};

pub(super) struct Errors {
    script: Rc<Script>,
    line: Vec<u8>,
    /// The line is longer than the part that is kept.
    is_long: bool,
    lines: u64,
}

impl Errors {
    pub(super) fn new(script: &Rc<Script>) -> ChatDispatcher<Self> {
        let errors = Self {
            script: Rc::clone(script),
            line: Vec::new(),
            is_long: false,
            lines: 0,
        };
        ChatDispatcher::new(errors, "\n")
    }

    fn log(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let text = shared::text::printable(text.trim_end());
        let more = if self.is_long { "…" } else { "" };
        self.lines += 1;
        if self.lines <= ERROR_LINES && self.script.pool.complaints.allow() {
            log::warn!("{}: {text}{more}", self.script.name);
        }
        self.line.clear();
        self.is_long = false;
    }
}

impl AsyncChat for Errors {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        let room = ERROR_LINE - self.line.len();
        self.is_long |= data.len() > room;
        self.line.extend_from_slice(&data[..data.len().min(room)]);
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.log();
        Ok(())
    }

    fn handle_closed(&mut self, _: &mut Registry, _: Closed) {
        self.script.errors.set(None);
        if !self.line.is_empty() {
            self.log();
        }
        if let Some(dropped @ 1..) = self.lines.checked_sub(ERROR_LINES) {
            log::warn!(
                "{}: {dropped} more lines on its standard error",
                self.script.name
            );
        }
    }
}

/// The script is over. What it said last may not have been read; others that hold its standard error are not waited for.
pub(super) fn take_rest(registry: &mut Registry, errors: &Cell<Option<ChannelId>>) {
    let Some(id) = errors.get() else { return };
    registry.call_later(LAST_WORDS, move |registry| {
        if let Some(mut channel) = registry.channel(id) {
            channel.close();
        }
        Ok(())
    });
}
