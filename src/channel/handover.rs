//! Handing a connection on: to another object, or out of the reactor (R11).

use bytes::Bytes;

use crate::{
    net::socket::Socket,
    outgoing::Unsent,
    state::{channel::Channel, dispatcher::Dispatcher, phase::Phase},
    stats::State,
};

/// What [`Channel::detach`] gives back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Detached {
    /// The socket, open and no longer watched.
    pub socket: Socket,
    /// What was queued and not sent, in order.
    pub unsent: Vec<Unsent>,
    /// What was read from the socket and given back with [`Channel::unread`].
    pub unread: Bytes,
}

impl Channel<'_> {
    /// Takes the socket out, open, with what was queued but not sent. No callback of this channel runs any more.
    ///
    /// `None`, and nothing changes, while it is connecting; `None` too once it is closed.
    pub fn detach(&mut self) -> Option<Detached> {
        if self.state() == State::Connecting {
            return None;
        }
        let (mut slot, queue) = self.registry.remove(self.id, "detached", true)?;
        if let Some(dispatcher) = slot.dispatcher.take() {
            self.registry.discard(dispatcher);
        }
        self.registry.wake_listeners();
        let unsent = queue.map_or_else(Vec::new, |queue| queue.into_unsent());
        Some(Detached {
            socket: Socket {
                io: slot.io,
                adopted: slot.flags.is_adopted(),
                serial: 0,
                peer: slot.peer.get(),
            },
            unsent,
            unread: slot.unread.map_or_else(Bytes::new, |bytes| *bytes),
        })
    }

    /// Puts another object behind this channel, in effect when the running callback has returned (R11). It takes
    /// the connection as it is: `handle_connect` does not come again.
    pub fn replace(&mut self, d: impl Dispatcher) {
        let object: Box<dyn Dispatcher> = Box::new(d);
        let type_name = (*object).type_name();
        let Ok(slot) = self.slot_mut() else { return };
        if matches!(slot.phase, Phase::Lingering { .. }) {
            return;
        }
        slot.type_name = type_name;
        slot.flags.replaced();
        let old = slot.dispatcher.replace(object);
        self.registry.progress += 1;
        self.registry.ownership_changes += 1;
        self.registry.touch_later(self.id());
        if let Some(old) = old {
            self.registry.discard(old);
        }
    }
}
