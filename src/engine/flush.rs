//! Sending what is queued, and what a queue's new length calls for (R12, R14).

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    engine::{call::Spin, filter::flush_sealed, wire::Wire},
    error::{Meaning, OutgoingFull, Panicked, meaning_of_call},
    id::ChannelId,
    net::io::Role,
    outgoing::{Flushed, Outgoing},
    state::{
        dispatcher::Dispatcher,
        filtered::Filtered,
        flags::Peer,
        phase::Phase,
        registry::Registry,
        slot::{Slot, queue::note_cut_off},
        table::find,
    },
};

impl Registry {
    /// Flushes the outgoing queue and does what its new state calls for.
    pub(crate) fn advance_outgoing(&mut self, id: ChannelId) {
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        // Callbacks wait for a handshake, unless it is given up.
        let calls = !slot.is_shaking() || slot.gives_up_handshake();
        if calls && slot.flags.take_push_refused() {
            let error = OutgoingFull {
                channel: id,
                queued: slot.outgoing_weight() + slot.filtered().map_or(0, Filtered::pending),
                limit: slot.limits(&self.policy).max,
            };
            self.fail_with(id, error.into());
            if self
                .slot(id)
                .is_some_and(|slot| slot.flags.is_push_refused())
            {
                self.spun(id, Spin::FullQueue);
            }
        }
        if self.slot(id).is_some_and(Slot::can_flush) {
            self.flush(id);
            self.report_close(id);
        }
        let mut may_have_pushed = self.report_departures();
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        // A closure of a part may have upgraded the channel.
        if !slot.is_shaking() && slot.has_drained(&slot.limits(&self.policy)) {
            slot.flags.drain();
            if !slot.flags.is_closing() {
                self.call(id, Dispatcher::handle_drain);
                may_have_pushed = true;
            }
        }
        if may_have_pushed && self.slot(id).is_some_and(Slot::can_flush) {
            self.flush(id);
            self.report_close(id);
            self.report_departures();
        }
        if self
            .slot(id)
            .is_some_and(|slot| !slot.has_outgoing() && slot.may_end_sending())
        {
            self.end_sending(id);
        }
    }

    /// Sends what a callback pushed in small pieces to a stream, if nothing else is queued. True if that was all of
    /// it: the usual answer, without the detours of `flush`.
    #[inline(never)]
    pub(crate) fn flush_at_once(&mut self, id: ChannelId, failure: &mut Option<io::Error>) -> bool {
        let Some(slot) = find(&mut self.slots, id) else {
            return false;
        };
        if !slot.readiness.can_write() || slot.io.role() != Role::Stream {
            return false;
        }
        let Some(mut queue) = slot.take_copies() else {
            return false;
        };
        if matches!(slot.phase, Phase::Filtered(_)) {
            return self.seal_at_once(id, queue, failure);
        }
        match slot.io.write(queue.copies()) {
            Ok(n) => {
                slot.note_sent(n, &self.clock, &mut self.stats);
                if n == queue.len() {
                    queue.empty_copies();
                    self.pool.give_queue(queue);
                    return true;
                }
                slot.readiness.after_stream_write(n, queue.len());
                queue.advance(n, &mut self.pool.tails);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => slot.readiness.write_blocked(),
                _ => *failure = Some(error),
            },
        }
        self.return_queue(id, queue);
        false
    }

    fn flush(&mut self, id: ChannelId) {
        // What is sealed first.
        if !self.flush_wire(id) {
            return;
        }
        let Some(mut queue) = self.take_queue_to_send(id) else {
            return;
        };
        let Some(flushed) = self.send_queue(id, &mut queue, true) else {
            return;
        };
        self.return_queue(id, queue);
        if matches!(flushed, Flushed::Blocked)
            && let Some((slot, poll)) = self.slot_and_poll(id)
            && slot.io.role() == Role::Fd
        {
            slot.io.rearm(poll, id.token());
        }
        match flushed {
            Flushed::Empty | Flushed::Blocked | Flushed::Parked | Flushed::Paused => {}
            Flushed::ProducerFailed(error) => self.fail_with(id, error),
            Flushed::Failed(error) => self.sending_failed(id, error),
        }
    }

    /// What was queued is tried once before its channel is closed: the push would have sent it, had it not been
    /// collected. The attempt calls nobody, however it ends: no producer is asked, and no error is reported.
    pub(crate) fn send_before_close(&mut self, id: ChannelId) {
        let due = self.uncorked(id).is_some_and(|slot| {
            // Nothing is known of a descriptor before its first event.
            if slot.io.role() == Role::Fd {
                slot.readiness.write_again();
            }
            slot.can_flush()
                && slot.flags.peer() != Peer::Reset
                && matches!(
                    slot.phase,
                    Phase::Greeting | Phase::Open | Phase::Filtered(_)
                )
        });
        if !due || !self.flush_wire(id) {
            return;
        }
        let Some(mut queue) = self.take_queue_to_send(id) else {
            return;
        };
        if !queue.has_hole() {
            match self.send_queue(id, &mut queue, false) {
                Some(Flushed::Failed(error)) => {
                    log::debug!(target: "asynchat::channel", "channel {id}: sending before the close: {error}");
                }
                // A producer's, met when it was asked ahead of its turn.
                Some(Flushed::ProducerFailed(error)) => self.discard(error),
                _ => {}
            }
        }
        self.return_queue(id, queue);
    }

    /// Sends as much of a queue as its channel may in this turn. A producer that panics fails; a `Drop` that panics is a
    /// line in the log.
    fn send_queue(
        &mut self,
        id: ChannelId,
        queue: &mut Box<Outgoing>,
        may_ask: bool,
    ) -> Option<Flushed> {
        let total = self.policy.write_budget;
        let slot = find(&mut self.slots, id)?;
        let mut budget = slot.budget_left(total);
        let congested = slot.flags.is_congested();
        queue.drain_at(congested.then(|| slot.limits(&self.policy).low));
        if !may_ask {
            budget = budget.max(1);
        }
        let before = budget;
        let mut written = 0;
        let flushed = loop {
            let slot = find(&mut self.slots, id)?;
            let tails = &mut self.pool.tails;
            let outcome = if slot.is_open_filtered() {
                let how = (may_ask, self.policy.propagate_panics);
                flush_sealed(queue, &mut budget, slot, tails, how, &mut written)
            } else {
                let mut wire = Wire::new(&slot.io, &mut slot.readiness, &mut written);
                catch_unwind(AssertUnwindSafe(|| {
                    queue.flush(&mut budget, may_ask, tails, &mut wire)
                }))
            };
            match outcome {
                Ok(flushed) => break flushed,
                Err(panic) if self.policy.propagate_panics => {
                    self.note_departures(id, queue);
                    self.return_queue(id, std::mem::take(queue));
                    std::panic::resume_unwind(panic);
                }
                // What stands before the producer is sent first.
                Err(panic) if queue.has_panicked() => {
                    let producer = queue.fail_producer(Panicked::new(panic).into());
                    self.discard(producer);
                }
                Err(panic) => {
                    let panic = Panicked::new(panic);
                    log::error!(target: "asynchat::reactor", "dropping what channel {id} has sent: {panic}");
                }
            }
        };
        if let Some(slot) = find(&mut self.slots, id) {
            if slot.spend(before - budget) {
                self.spenders.push(id);
            }
            if written > 0 {
                slot.note_sent(written, &self.clock, &mut self.stats);
                slot.idle_calls = 0;
                self.progress += 1;
            }
        }
        self.note_departures(id, queue);
        // With a budget that is used up no producer was asked.
        if written == 0 && before > 0 && matches!(flushed, Flushed::Paused) {
            self.spun(id, Spin::Producer);
        }
        Some(flushed)
    }

    /// The turn is over: everybody has the whole write budget again.
    pub(crate) fn renew_budgets(&mut self) {
        for id in self.spenders.drain(..) {
            if let Some(slot) = find(&mut self.slots, id) {
                slot.spent = 0;
            }
        }
    }

    /// The stream has a hole now, for any reason: nothing more can be sent.
    #[cold]
    pub(crate) fn sending_failed(&mut self, id: ChannelId, error: io::Error) {
        let reset = meaning_of_call(&error) == Meaning::Reset;
        if reset && let Some(slot) = self.slot_mut(id) {
            slot.broken_while_sending();
        }
        self.drop_queue(id, reset);
        self.fail(id, error.into());
    }

    /// Drops what is queued. After a reset nobody waits for it to drain.
    pub(crate) fn drop_queue(&mut self, id: ChannelId, reset: bool) {
        let mut dropped = 0_u64;
        let mut queues = [self.take_before(id), self.take_queue(id)];
        if let Some(slot) = find(&mut self.slots, id) {
            let [before, queue] = queues.each_mut().map(Option::as_deref_mut);
            for queue in [&before, &queue].into_iter().flatten() {
                dropped = dropped.saturating_add(queue.unsent());
            }
            note_cut_off(&mut self.departures, slot, [before, queue], true);
            if let Some(filtered) = slot.filtered_mut() {
                dropped = dropped.saturating_add(filtered.layer.sealed() as u64);
                filtered.layer.drop_wire();
            }
        }
        for queue in queues.into_iter().flatten() {
            self.discard_queue(queue);
        }
        if dropped > 0
            && let Some(slot) = self.slot_mut(id)
        {
            let extras = slot.extras_mut();
            extras.dropped = extras.dropped.saturating_add(dropped);
        }
        if reset && let Some(slot) = self.slot_mut(id) {
            slot.flags.drain();
        }
    }
}
