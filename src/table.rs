//! The table of channels: lookup by id, adding, removing, and the lists of those to be looked at.

use std::{fmt::Write, io};

use slab::Slab;

use crate::{
    ChannelId, Dispatcher, Panicked, Registry,
    call::guard,
    flags::Flags,
    outgoing::{Outgoing, Spare},
    readiness::SHORT_MEANS_DRAINED,
    slot::{Phase, Slot},
    socket::{Io, Role},
};

/// Queues kept for the next channel that needs one, each perhaps with a buffer.
const SPARE_QUEUES: usize = 64;

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
        find(&mut self.slots, id).map(|slot| (slot, &self.poll))
    }

    pub(crate) fn slot_and_spare(&mut self, id: ChannelId) -> Option<(&mut Slot, &mut Spare)> {
        find(&mut self.slots, id).map(|slot| (slot, &mut self.spare))
    }

    pub(crate) fn ids(&self) -> Vec<ChannelId> {
        self.slots.iter().map(|(_, slot)| slot.id).collect()
    }

    /// Channels that count for `max_channels`.
    pub(crate) fn connections(&self) -> usize {
        self.slots.len() - self.listeners
    }

    pub(crate) fn insert(&mut self, mut slot: Slot, watch: bool) -> io::Result<ChannelId> {
        if self.slots.len() >= ChannelId::MAX_CHANNELS {
            return Err(io::Error::other("no channel ids are left"));
        }
        self.generation = ChannelId::next_generation(self.generation);
        if self.slots.len() == self.slots.capacity() {
            // By a quarter, not by doubling: with many connections the table is most of the memory.
            self.slots.reserve_exact((self.slots.len() / 4).max(16));
        }
        let entry = self.slots.vacant_entry();
        let id = ChannelId::new(entry.key(), self.generation);
        slot.id = id;
        if watch {
            slot.io.register(&self.poll, id.into())?;
            slot.flags.set(Flags::REGISTERED);
        }
        if log::log_enabled!(target: "asynchat::channel", log::Level::Debug) {
            log::debug!(target: "asynchat::channel", "adding channel {}", describe(id, &slot));
        }
        let listener = slot.io.role() == Role::Listener;
        entry.insert(slot);
        self.listeners += usize::from(listener);
        self.effects += 1;
        Ok(id)
    }

    pub(crate) fn enqueue(&mut self, id: ChannelId) {
        if let Some(slot) = find(&mut self.slots, id)
            && slot.flags.raise(Flags::QUEUED)
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
            && slot.flags.raise(Flags::TOUCHED)
        {
            self.touched.push(id);
        }
    }

    /// Keeps a queue whose copies are sent, buffer and all: most likely the next channel answers alike.
    pub(crate) fn keep_emptied(&mut self, mut queue: Box<Outgoing>) {
        if self.queues.len() < SPARE_QUEUES && queue.empty_copies() {
            self.queues.push(queue);
        }
    }

    /// Keeps a queue for the next channel that needs one, without what is in it.
    pub(crate) fn give_queue(&mut self, mut queue: Box<Outgoing>) {
        while let Some(producer) = queue.take_producer() {
            self.discard(producer);
        }
        queue.clear(&mut self.spare);
        if self.queues.len() < SPARE_QUEUES && queue.is_worth_keeping() {
            self.queues.push(queue);
        }
    }

    /// Takes a channel out: after this no id, event, timer or queue entry reaches it.
    pub(crate) fn remove(&mut self, id: ChannelId, why: &str, keep_socket: bool) -> Option<Slot> {
        self.slot(id)?;
        self.uncork();
        let mut slot = self.slots.remove(id.index());
        self.effects += 1;
        self.breaks += 1;
        if log::log_enabled!(target: "asynchat::channel", log::Level::Debug) {
            log::debug!(
                target: "asynchat::channel",
                "closing channel {} ({why}): {} bytes in, {} out",
                describe(id, &slot), slot.bytes_in, slot.bytes_out
            );
        }
        // Closing the last descriptor ends its registration where the kernel keeps it; a duplicate made elsewhere
        // would keep it alive.
        if slot.flags.has(Flags::REGISTERED)
            && (keep_socket || slot.flags.has(Flags::ADOPTED) || !SHORT_MEANS_DRAINED)
            && let Err(error) = slot.io.deregister(&self.poll)
        {
            log::debug!(target: "asynchat::reactor", "channel {id}: deregistering: {error}");
        }
        let phase_timer = match &slot.phase {
            Phase::Connecting(attempt) => attempt.timer,
            Phase::Listening(accepting) => accepting.resting,
            Phase::Fresh | Phase::Open | Phase::Lingering { .. } => None,
        };
        for timer in [phase_timer, slot.timer].into_iter().flatten() {
            self.cancel(timer);
        }
        if slot.io.role() == Role::Listener {
            self.listeners -= 1;
            self.resting.retain(|&resting| resting != id);
            self.held.retain(|&held| held != id);
        }
        Some(slot)
    }

    pub(crate) fn close(&mut self, id: ChannelId, why: &str) {
        let Some(mut slot) = self.remove(id, why, false) else {
            return;
        };
        let dispatcher = slot.dispatcher.take();
        if let Some(queue) = slot.outgoing.take() {
            self.give_queue(queue);
        }
        // The descriptor first: a listener that waits for one may have it at once.
        drop(slot);
        self.wake_listeners();
        if let Some(dispatcher) = dispatcher {
            self.discard(dispatcher);
        }
    }

    /// Puts an object back behind its channel after a callback, or drops it if the channel is gone or has got a
    /// new one.
    #[inline(never)]
    pub(crate) fn put_back(&mut self, id: ChannelId, object: Box<dyn Dispatcher>) {
        match self.slot_mut(id) {
            Some(slot)
                if slot.dispatcher.is_none() && !matches!(slot.phase, Phase::Lingering { .. }) =>
            {
                slot.dispatcher = Some(object);
            }
            _ => self.discard(object),
        }
    }

    /// Drops something of the user's, whose `Drop` may panic.
    pub(crate) fn discard<T>(&self, object: T) {
        if let Err(panic) = guard(self.policy.propagate_panics, || drop(object)) {
            log::error!(target: "asynchat::reactor", "dropping a {}: {}", std::any::type_name::<T>(), Panicked::new(&*panic));
        }
    }
}

/// Type name, id and addresses, for log lines.
pub(crate) fn describe(id: ChannelId, slot: &Slot) -> String {
    let short = slot.type_name.rsplit("::").next().unwrap_or(slot.type_name);
    // A generic type's path ends in its last parameter; show it whole then.
    let name = if slot.type_name.contains('<') {
        slot.type_name
    } else {
        short
    };
    let mut text = format!("<{name} {id}");
    if let Ok(local) = slot.io.local_addr()
        && !matches!(slot.io, Io::Absent)
    {
        let _ = write!(text, " {local}");
    }
    if let Ok(peer) = slot.peer_addr() {
        let _ = write!(text, " peer {peer}");
    }
    text.push('>');
    text
}
