//! How a channel enters the table, and how it leaves: after that no id, event, timer or queue entry reaches it (R6).

use std::{
    fmt::{Display, Write},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::{
    closed::{Cause, Closed},
    engine::{accept::end_of_refusals, race::end_race},
    error::{BoxError, Panicked},
    id::ChannelId,
    net::{
        io::{Io, Role},
        readiness::SHORT_MEANS_DRAINED,
    },
    outgoing::Outgoing,
    state::{
        flags::Peer,
        phase::{Pause, Phase},
        registry::Registry,
        slot::{Slot, queue::note_cut_off},
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

    /// Takes a channel out, with its queue: after this no id, event, timer or list entry reaches it. `why` makes the
    /// reason out of what is lost with the queue.
    pub(crate) fn remove<W: Display>(
        &mut self,
        id: ChannelId,
        keep_socket: bool,
        why: impl FnOnce(u64) -> W,
    ) -> Option<(Slot, Option<Box<Outgoing>>, W)> {
        self.slot(id)?;
        let mut queue = self.take_queue(id);
        let mut slot = self.slots.remove(id.index());
        let sealed = slot
            .filtered()
            .map_or(0, |filtered| filtered.layer.sealed() as u64);
        let queued = queue
            .as_ref()
            .map_or(0, |queue| queue.unsent())
            .saturating_add(sealed);
        let why = why(queued.saturating_add(slot.dropped()));
        let queues = [None, queue.as_deref_mut()];
        note_cut_off(&mut self.departures, &mut slot, queues, true);
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
        let phase_timer = match &mut slot.phase {
            Phase::Connecting(attempt) => {
                if let Some(race) = attempt.race.take() {
                    end_race(id, *race, self.poll.registry());
                }
                attempt.timer
            }
            Phase::Listening(accepting) => match accepting.pause {
                Pause::Resting(timer) => Some(timer),
                Pause::No | Pause::Full => None,
            },
            Phase::Filtered(filtered) => filtered.timer.take(),
            Phase::Resolving(_)
            | Phase::Greeting
            | Phase::Open
            | Phase::Lingering { .. }
            | Phase::LingeringSealed { .. } => None,
        };
        let refusals = match &slot.phase {
            Phase::Listening(accepting) => end_of_refusals(id, &accepting.refusals),
            _ => None,
        };
        if let Phase::Resolving(resolving) = &slot.phase
            && let Some(asker) = resolving.asker
        {
            self.forget_asker(asker);
        }
        let pause = slot.extras().and_then(|extras| extras.pause);
        for timer in [phase_timer, refusals, slot.timer, pause]
            .into_iter()
            .flatten()
        {
            self.cancel_timer(timer);
        }
        Some((slot, queue, why))
    }

    /// Closes a channel, after one attempt to send what is queued. Its object is told later (R6).
    pub(crate) fn close(&mut self, id: ChannelId, cause: Cause) {
        self.close_with(id, cause, None);
    }

    /// Closes a channel because of an error of its own.
    pub(crate) fn close_for(&mut self, id: ChannelId, error: BoxError) {
        let cause = self.cause_of_failure(id, &error);
        self.close_with(id, cause, Some(error));
    }

    /// The cause of a channel that this error ends. That of a connection attempt may have been passed on.
    pub(crate) fn cause_of_failure(&self, id: ChannelId, error: &BoxError) -> Cause {
        match (Cause::of(error), self.occasion.cause_for(id)) {
            (Cause::Error, Some(Cause::ConnectFailed)) => Cause::ConnectFailed,
            (cause, _) => cause,
        }
    }

    /// Closes a channel because the program wants it.
    pub(crate) fn close_as_asked(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let cause = match slot.ending() {
            None => self.cause_of_wish(slot, Cause::Close),
            Some(_) => self.occasion.cause_for(id).unwrap_or(Cause::Close),
        };
        self.close(id, cause);
    }

    /// Why the program ends a channel; `plain` if nothing has happened to it.
    pub(crate) fn cause_of_wish(&self, slot: &Slot, plain: Cause) -> Cause {
        let seen = match slot.flags.peer() {
            Peer::There => plain,
            Peer::Finished if slot.is_truncated() => Cause::Truncated,
            Peer::Finished => Cause::EndOfFile,
            Peer::Reset => Cause::Reset,
        };
        self.occasion.cause_for(slot.id).unwrap_or(seen)
    }

    pub(crate) fn close_with(&mut self, id: ChannelId, cause: Cause, error: Option<BoxError>) {
        // For its alert to arrive it lingers, as long as there is somebody to read it.
        if !matches!(cause, Cause::CloseAll | Cause::Shutdown)
            && self
                .slot(id)
                .is_some_and(|slot| slot.has_failed_filter() && slot.flags.peer() == Peer::There)
        {
            return self.end_after_failure(id, cause, error);
        }
        self.send_before_close(id);
        // What was queued before an upgrade is lost like the rest.
        if self
            .filtered(id)
            .is_some_and(|filtered| filtered.before.is_some())
        {
            self.drop_queue(id, false);
        }
        let Some(slot) = self.slot_mut(id) else {
            return self.discard(error);
        };
        let cause = Cause::decide(slot.ending(), cause);
        let error = error.or_else(|| slot.take_ending_error());
        let removed = self.remove(id, false, |unsent| Closed {
            channel: id,
            cause,
            error,
            unsent,
        });
        let Some((mut slot, queue, why)) = removed else {
            return;
        };
        let object = slot.dispatcher.take();
        self.farewells.add(object, why);
        self.cancel_calls(slot.take_calls());
        if let Some(queue) = queue {
            self.discard_queue(queue);
        }
        let filtered = slot.take_filtered();
        // The descriptor before the object: a listener that waits for one may have it at once. With it goes the error of a
        // failed attempt, which may be a resolver's own.
        self.discard(slot);
        self.resume_listeners();
        self.discard_filtered(filtered);
    }

    pub(crate) fn close_each(&mut self, cause: Cause) {
        for id in self.every_id() {
            self.close(id, cause);
        }
    }

    /// The channels are those of the process that this one was forked from. To take a descriptor out of the poller would
    /// take it from there, and what is queued is sent there.
    pub(crate) fn disown_all(&mut self) {
        let ids: Vec<_> = self.slots.iter().map(|(_, slot)| slot.id).collect();
        for id in ids {
            for queue in [self.take_before(id), self.take_queue(id)]
                .into_iter()
                .flatten()
            {
                self.discard_queue(queue);
            }
            if let Some(slot) = self.slot_mut(id) {
                if let Some(filtered) = slot.filtered_mut() {
                    filtered.layer.drop_wire();
                    filtered.layer.give_up();
                }
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
