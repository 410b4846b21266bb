//! The connection to a server that CONNECT asks for, until it is made.

use std::rc::Rc;

use asynchat::{Channel, ChannelId, Closed, Dispatcher, Exceptional, Registry, Result};

use super::{client::Client, refusal::Refusal, target::Place, upstream::Lost};

/// Reads nothing.
pub(super) struct Dialling {
    place: Rc<Place>,
    client: Option<ChannelId>,
}

impl Dialling {
    pub(super) fn new(place: &Rc<Place>, client: ChannelId) -> Self {
        Self {
            place: Rc::clone(place),
            client: Some(client),
        }
    }

    fn lose(&mut self, registry: &mut Registry, id: ChannelId, why: Refusal) {
        if let Some(client) = self.client.take() {
            let is_unanswered = true;
            let lost = Lost { why, is_unanswered };
            // Has no use for it if it is gone.
            let _ = registry.with_chat(client, |client: &mut Client, chat| {
                client.lost(chat, id, &lost);
            });
        }
    }
}

impl Dispatcher for Dialling {
    fn readable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let id = channel.id();
        let Some(client) = self.client.take() else {
            return Ok(());
        };
        let registry = channel.registry();
        match registry.with_chat(client, |client: &mut Client, chat| client.tunnel(chat)) {
            Ok(Some(options)) => registry.couple(client, id, options)?,
            _ => channel.close(),
        }
        Ok(())
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            let why = super::unreachable(&self.place, &error);
            let id = channel.id();
            self.lose(channel.registry(), id, why);
            channel.close();
        }
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let text = format!("The connection to {} ended: {why}.", self.place);
        let refusal = Refusal::bad_gateway("connection_terminated", text);
        self.lose(registry, why.channel, refusal);
    }
}
