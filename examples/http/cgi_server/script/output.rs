//! The answer of a script, on its way out.

use std::rc::Rc;

use asynchat::{Channel, Closed, Dispatcher, Registry, Result};

use super::Script;

pub(super) struct Output {
    script: Rc<Script>,
}

impl Output {
    pub(super) fn new(script: &Rc<Script>) -> Self {
        let script = Rc::clone(script);
        Self { script }
    }
}

impl Dispatcher for Output {
    fn readable(&self) -> bool {
        !self.script.is_held.get()
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let script = &self.script;
        channel.recv_with(|channel, data| {
            if data.is_empty() {
                return;
            }
            let registry = channel.registry();
            let is_wanted =
                script.pass_on(registry, |handler, exchange| handler.output(exchange, data));
            if !is_wanted && script.ticket.get().is_some() {
                script.end(registry);
            }
        })?;
        Ok(())
    }

    /// Silent for long, which may be the client's doing.
    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        let script = &self.script;
        let mut waits_for_client = false;
        let is_wanted = script.pass_on(channel.registry(), |handler, exchange| {
            waits_for_client = handler.waits_for_client(exchange);
            Ok(())
        });
        if is_wanted && !waits_for_client {
            script.overrun(
                channel.registry(),
                "it is silent for longer than --script-timeout",
            );
        }
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        let script = &self.script;
        let registry = channel.registry();
        script.pass_on(registry, super::super::handler::CgiHandler::output_ended);
        channel.close();
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        self.script.output.set(None);
        if self.script.ticket.get().is_some() {
            // The channel was closed by the end of the server.
            self.script
                .pass_on(registry, super::super::handler::CgiHandler::output_ended);
        }
        self.script.part_ends(registry);
    }
}
