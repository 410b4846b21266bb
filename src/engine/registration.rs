//! How a channel enters the table, and how it leaves: after that no id, event, timer or queue entry reaches it (R6).

use std::{
    fmt::Write,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::{
    engine::accept::end_of_refusals,
    error::Panicked,
    id::ChannelId,
    net::{
        io::{Io, Role},
        readiness::SHORT_MEANS_DRAINED,
    },
    outgoing::Outgoing,
    state::{
        phase::{Pause, Phase},
        registry::Registry,
        slot::Slot,
    },
};

impl Registry {
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
        slot.make_object();
        if watch {
            slot.io.register(self.poll.registry(), id.token())?;
            slot.flags.note_registered();
        }
        if log::log_enabled!(target: "asynchat::channel", log::Level::Debug) {
            log::debug!(target: "asynchat::channel", "adding channel {}", describe(id, &slot));
        }
        let listener = slot.io.role() == Role::Listener;
        entry.insert(slot);
        self.listeners += usize::from(listener);
        self.progress += 1;
        Ok(id)
    }

    /// Takes a channel out, with its queue: after this no id, event, timer or list entry reaches it.
    pub(crate) fn remove(
        &mut self,
        id: ChannelId,
        why: &str,
        keep_socket: bool,
    ) -> Option<(Slot, Option<Box<Outgoing>>)> {
        self.slot(id)?;
        let queue = self.take_queue(id);
        let mut slot = self.slots.remove(id.index());
        // Before anything is logged: a logger may panic, and the count has to fit the table.
        if slot.io.role() == Role::Listener {
            self.listeners -= 1;
            self.paused.retain(|&paused| paused != id);
        }
        self.progress += 1;
        self.ownership_changes += 1;
        if log::log_enabled!(target: "asynchat::channel", log::Level::Debug) {
            log::debug!(
                target: "asynchat::channel",
                "closing channel {} ({why}): {} bytes in, {} out",
                describe(id, &slot), slot.bytes_in, slot.bytes_out
            );
        }
        // Closing the last descriptor ends its registration where the kernel keeps it; a duplicate would keep it
        // alive.
        if slot.flags.is_registered()
            && (keep_socket || slot.lent.get() || !SHORT_MEANS_DRAINED)
            && let Err(error) = slot.io.deregister(self.poll.registry())
        {
            log::debug!(target: "asynchat::reactor", "channel {id}: deregistering: {error}");
        }
        let phase_timer = match &slot.phase {
            Phase::Connecting(attempt) => attempt.timer,
            Phase::Listening(accepting) => match accepting.pause {
                Pause::Resting(timer) => Some(timer),
                Pause::No | Pause::Full => None,
            },
            Phase::Greeting | Phase::Open | Phase::Lingering { .. } => None,
        };
        let refusals = match &slot.phase {
            Phase::Listening(accepting) => end_of_refusals(id, &accepting.refusals),
            _ => None,
        };
        for timer in [phase_timer, refusals, slot.timer].into_iter().flatten() {
            self.cancel_timer(timer);
        }
        Some((slot, queue))
    }

    /// Closes a channel, after one attempt to send what is queued.
    pub(crate) fn close(&mut self, id: ChannelId, why: &str) {
        self.send_before_close(id);
        let Some((mut slot, queue)) = self.remove(id, why, false) else {
            return;
        };
        let dispatcher = slot.dispatcher.take();
        if let Some(queue) = queue {
            self.discard_queue(queue);
        }
        // The descriptor first: a listener that waits for one may have it at once.
        drop(slot);
        self.resume_listeners();
        if let Some(dispatcher) = dispatcher {
            self.discard(dispatcher);
        }
    }

    pub(crate) fn close_each(&mut self, why: &str) {
        for id in self.every_id() {
            self.close(id, why);
        }
    }

    /// The channels are those of the process that this one was forked from. To take a descriptor out of the poller would
    /// take it from there, and what is queued is sent there.
    pub(crate) fn disown_all(&mut self) {
        let ids: Vec<_> = self.slots.iter().map(|(_, slot)| slot.id).collect();
        for id in ids {
            if let Some(queue) = self.take_queue(id) {
                self.discard_queue(queue);
            }
            if let Some(slot) = self.slot_mut(id) {
                slot.lent.set(false);
            }
        }
    }

    /// Drops what is queued, and keeps the queue for another channel.
    pub(crate) fn discard_queue(&mut self, mut queue: Box<Outgoing>) {
        let tails = &mut self.pool.tails;
        let mut first = None;
        // Producers and owners of bytes: each may panic when dropped. One that leaves the loop must not meet another.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| queue.clear(tails))) {
            if self.policy.propagate_panics && first.is_none() {
                first = Some(panic);
                continue;
            }
            let panic = Panicked::new(panic);
            log::error!(target: "asynchat::reactor", "dropping what was queued: {panic}");
        }
        self.pool.give_queue(queue);
        if let Some(panic) = first {
            resume_unwind(panic);
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
