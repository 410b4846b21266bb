//! The exit of a script, as a channel.

use std::rc::Rc;

use asynchat::{Channel, Closed, Dispatcher, Registry, Result};
use rustix::process::Signal;

use super::Script;

/// Readable when the process has exited.
pub(super) struct Exit {
    script: Rc<Script>,
    has_exited: bool,
}

impl Exit {
    pub(super) fn new(script: &Rc<Script>) -> Self {
        let script = Rc::clone(script);
        Self {
            script,
            has_exited: false,
        }
    }
}

impl Dispatcher for Exit {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.has_exited = true;
        channel.close();
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        // The server ends. Not waited for otherwise.
        if !self.has_exited {
            self.script.signal(Signal::KILL);
        }
        self.script.part_ends(registry);
    }
}
