//! The table of channels: lookup by id, adding, removing, and the lists of those to be looked at.

use slab::Slab;

use crate::{
    id::ChannelId,
    state::{registry::Registry, slot::Slot},
};

/// Finds a channel when the rest of the registry has to stay free to borrow.
#[inline]
pub(crate) fn find(slots: &mut Slab<Slot>, id: ChannelId) -> Option<&mut Slot> {
    slots.get_mut(id.index()).filter(|slot| slot.id == id)
}

impl Registry {
    pub(crate) fn slot(&self, id: ChannelId) -> Option<&Slot> {
        self.slots.get(id.index()).filter(|slot| slot.id == id)
    }

    pub(crate) fn slot_mut(&mut self, id: ChannelId) -> Option<&mut Slot> {
        find(&mut self.slots, id)
    }

    pub(crate) fn slot_and_poll(&mut self, id: ChannelId) -> Option<(&mut Slot, &mio::Registry)> {
        find(&mut self.slots, id).map(|slot| (slot, self.poll.registry()))
    }

    /// Taken first, for a loop in whose body channels may close.
    pub(crate) fn every_id(&self) -> Vec<ChannelId> {
        self.slots.iter().map(|(_, slot)| slot.id).collect()
    }

    /// Channels that count for `max_channels`.
    pub(crate) fn connections(&self) -> usize {
        self.slots.len() - self.listeners
    }

    pub(crate) fn enqueue(&mut self, id: ChannelId) {
        if let Some(slot) = find(&mut self.slots, id)
            && slot.flags.enqueue()
        {
            self.ready.push(id);
        }
    }

    /// Has a channel looked at when the turn ends, unless its own visit will do so.
    #[inline]
    pub(crate) fn touch_later(&mut self, id: ChannelId) {
        if self.visiting != id {
            self.touch_foreign(id);
        }
    }

    fn touch_foreign(&mut self, id: ChannelId) {
        if let Some(slot) = find(&mut self.slots, id)
            && slot.flags.touch()
        {
            self.touched.push(id);
        }
    }
}
