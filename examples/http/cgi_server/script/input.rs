//! The body of the request, on its way into the script.

use std::rc::Rc;

use asynchat::{BoxError, Channel, Closed, Dispatcher, Registry, Result};

use super::Script;

pub(super) struct Input {
    script: Rc<Script>,
}

impl Input {
    pub(super) fn new(script: &Rc<Script>) -> Self {
        let script = Rc::clone(script);
        Self { script }
    }
}

impl Dispatcher for Input {
    fn readable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.script.pass_on(channel.registry(), |handler, _| {
            handler.input_drained();
            Ok(())
        });
        Ok(())
    }

    /// A script need not read its input.
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::debug!("{}: its input: {error}", self.script.name);
        channel.close();
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        self.script.input.set(None);
        self.script.pass_on(registry, |handler, _| {
            handler.input_drained();
            Ok(())
        });
    }
}
