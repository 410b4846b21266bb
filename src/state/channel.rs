//! A borrow of the registry and the id of one channel in it: the argument of every callback.

use std::{fmt, io};

use crate::{
    error::closed,
    id::ChannelId,
    state::{flags::Flags, registry::Registry, slot::Slot},
};

/// One registered socket with its outgoing queue and its timeouts: the argument of every callback.
///
/// [`Registry::channel`] finds it by id. It behaves alike whether it is the callback's own channel or one looked up by
/// id. Its methods are in these sections:
///
/// - [Reading](Channel#reading)
/// - [Sending](Channel#sending), and the [limits of the outgoing queue](Channel#limits-of-the-outgoing-queue)
/// - [Closing and timeouts](Channel#closing-and-timeouts)
/// - [Timers](Channel#timers-of-a-channel) that end with it
/// - [Handing over](Channel#handing-over), to another object or out of the reactor
/// - [Identity and state](Channel#identity-and-state), with the way to the [registry](Self::registry)
/// - [Interest and socket options](Channel#interest-and-socket-options)
///
/// Every call is harmless after [`close`](Self::close): reads and [`send`](Self::send) fail with `NotConnected`, and
/// pushes are dropped.
pub struct Channel<'r> {
    pub(crate) registry: &'r mut Registry,
    pub(crate) id: ChannelId,
}

impl<'r> Channel<'r> {
    pub(crate) fn new(registry: &'r mut Registry, id: ChannelId) -> Self {
        Self { registry, id }
    }

    pub(crate) fn slot(&self) -> io::Result<&Slot> {
        self.registry.slot(self.id).ok_or_else(|| closed(self.id))
    }

    pub(crate) fn slot_mut(&mut self) -> io::Result<&mut Slot> {
        let id = self.id;
        self.registry.slot_mut(id).ok_or_else(|| closed(id))
    }

    /// None is set if the channel is gone.
    #[inline]
    pub(crate) fn flags(&self) -> Flags {
        let slot = self.registry.slot(self.id);
        slot.map(|slot| slot.flags).unwrap_or_default()
    }
}

impl fmt::Debug for Channel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
