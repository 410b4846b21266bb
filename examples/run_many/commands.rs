//! Standard input: a command a line.

use std::{mem, rc::Rc};

use asynchat::{AsyncChat, BoxError, ChatChannel, Closed, Registry, Result};

use crate::crew::Crew;

/// Bytes of a command.
pub(crate) const LONGEST: usize = 64 * 1024;

pub(crate) struct Commands {
    crew: Rc<Crew>,
    line: Vec<u8>,
}

impl Commands {
    pub(crate) fn new(crew: Rc<Crew>) -> Self {
        let line = Vec::new();
        Self { crew, line }
    }
}

impl AsyncChat for Commands {
    /// The crew touches the channel when this changes.
    fn readable(&self) -> bool {
        self.crew.has_room()
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = mem::take(&mut self.line);
        if !line.trim_ascii().is_empty() {
            self.crew.start(chat.registry(), &line);
        }
        Ok(())
    }

    /// A line that is too long: the rest of it is skipped.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.line.clear();
        self.crew.refuse(chat.registry(), &error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        self.crew.input_ended(registry);
    }
}
