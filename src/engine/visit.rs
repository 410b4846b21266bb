//! One visit of one channel: which callbacks run, and in which order (R3–R5).
//!
//! Every step looks the channel up again, because any callback may have closed or changed it. An object is
//! out of its slot while a callback of it runs.

use crate::{
    error::{Panicked, Result, guard},
    id::ChannelId,
    net::io::{Io, Role},
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, Exceptional},
        flags::Flags,
        phase::Phase,
        registry::Registry,
        slot::Slot,
        table::find,
    },
};

impl Registry {
    /// Does what is due on one channel of the run queue.
    pub(crate) fn visit(&mut self, id: ChannelId) {
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        slot.flags.clear(Flags::QUEUED);
        self.visiting = id;
        let settled = if slot.is_calm()
            && slot.outgoing.is_none()
            && let Some(object) = slot.dispatcher.take()
        {
            let may_read = slot.readiness.can_read();
            self.serve_calmly(id, object, may_read)
        } else {
            self.serve_by_phase(id);
            false
        };
        self.visiting = ChannelId::NONE;
        if !settled {
            self.settle(id);
        }
    }

    #[inline(never)]
    fn serve_by_phase(&mut self, id: ChannelId) {
        match self.slot(id).map(|slot| &slot.phase) {
            None => {}
            Some(Phase::Connecting(_)) => self.serve_if_connected(id),
            Some(Phase::Listening(_)) => self.accept_ready(id),
            Some(Phase::Fresh) => self.greet_and_serve(id),
            Some(Phase::Open) => self.serve(id),
            Some(Phase::Lingering { .. }) => self.linger(id),
        }
    }

    /// Looks at a channel that others pushed to, closed or touched this turn.
    pub(crate) fn revisit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.flags.clear(Flags::TOUCHED);
        if matches!(slot.phase, Phase::Open) {
            self.visiting = id;
            self.advance_outgoing(id);
            self.visiting = ChannelId::NONE;
        }
        self.settle(id);
    }

    fn serve_if_connected(&mut self, id: ChannelId) {
        if self.finish_connect(id) {
            self.greet_and_serve(id);
        }
    }

    fn greet_and_serve(&mut self, id: ChannelId) {
        let now = self.clock.stamp();
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.phase = Phase::Open;
        slot.active_at = now;
        self.call(id, Dispatcher::handle_connect);
        self.serve(id);
    }

    fn serve(&mut self, id: ChannelId) {
        self.report_news(id);
        self.let_read(id);
        self.serve_after_read(id);
    }

    #[inline(never)]
    fn serve_after_read(&mut self, id: ChannelId) {
        self.report_close(id);
        self.advance_outgoing(id);
        self.let_write(id);
    }

    /// `serve` for a channel of which nothing but a read or a write can be due; goes on as there once that changes.
    /// True if what is left to `settle` is done too.
    ///
    /// Most visits are like this: the object goes out and back once, and the slot is not looked at again for each step.
    #[inline]
    fn serve_calmly(
        &mut self,
        id: ChannelId,
        mut object: Box<dyn Dispatcher>,
        may_read: bool,
    ) -> bool {
        let effects = self.effects;
        let propagate = self.policy.propagate_panics;
        let mut reads = false;
        let channel = &mut Channel::new(self, id);
        let outcome = guard(propagate, || {
            reads = may_read && object.readable();
            if reads {
                object.handle_read(channel)
            } else {
                Ok(())
            }
        });
        self.uncork();
        self.stats.callbacks += u64::from(reads);
        let mut failure = None;
        let fruitful = !reads || self.effects != effects;
        if matches!(outcome, Ok(Ok(())))
            && fruitful
            && let Some(slot) = find(&mut self.slots, id)
            && slot.is_calm()
            && slot.dispatcher.is_none()
            && (slot.outgoing.is_none() || self.flush_at_once(id, &mut failure))
            && let Some(slot) = find(&mut self.slots, id)
        {
            // Nothing is in it, nor below in the slot; the compiler would look, at every visit.
            std::mem::forget(outcome);
            if reads {
                slot.fruitless = 0;
            }
            let may_read = slot.readiness.can_read();
            let may_write = slot.readiness.can_write() && !slot.flags.has(Flags::WRITES_IGNORED);
            let wishes = guard(propagate, || {
                let wants_read = may_read && object.readable();
                (wants_read, may_write && object.writable())
            });
            std::mem::forget(slot.dispatcher.replace(object));
            return match wishes {
                Ok((false, false)) => true,
                Ok((true, false)) => {
                    if slot.flags.raise(Flags::QUEUED) {
                        self.ready.push(id);
                    }
                    true
                }
                Ok((_, true)) => {
                    self.let_write(id);
                    false
                }
                Err(panic) => {
                    self.fail(id, Panicked::new(&*panic).into());
                    false
                }
            };
        }
        self.put_back(id, object);
        if let Some(error) = failure {
            self.sending_failed(id, error);
        }
        self.serve_on(id, outcome, reads.then_some(effects));
        false
    }

    /// The rest of a visit that turned out not to be calm, and began with a read when the effects were so many.
    #[inline(never)]
    fn serve_on(
        &mut self,
        id: ChannelId,
        outcome: std::thread::Result<Result>,
        effects_before_read: Option<u64>,
    ) {
        let idle = effects_before_read == Some(self.effects);
        let fine = self.conclude(id, outcome);
        if idle
            && let Some(slot) = self.slot_mut(id)
            && slot.flags.has(Flags::RESET)
        {
            // As in `read_once`.
            slot.readiness.read_blocked();
        }
        if let Some(effects) = effects_before_read {
            self.watch_for_spin(id, effects);
        }
        let calm = |slot: &Slot| slot.is_calm() && slot.outgoing.is_none();
        if fine || self.slot(id).is_some_and(|slot| !calm(slot)) {
            self.serve_after_read(id);
        }
    }

    fn report_news(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if !slot.readiness.has_news() {
            return;
        }
        if slot.readiness.take_priority() {
            self.call(id, |d, channel| {
                d.handle_expt(channel, Exceptional::Priority)
            });
        }
        if self.slot(id).is_some_and(|slot| slot.readiness.has_error()) {
            self.check_broken(id);
        }
    }

    /// The poller saw an error. A handler that reads finds it out by reading, after what arrived before; once one
    /// does not, the socket is asked.
    fn check_broken(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let role = slot.io.role();
        let finds_out = role == Role::Stream && slot.may_read();
        if finds_out && self.ask(id, Dispatcher::readable) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.readiness.error_known();
        if role == Role::Fd {
            // No socket error to ask for: this is a pipe nobody reads any more.
            slot.broken_while_sending();
            return;
        }
        if role == Role::Datagram {
            // The error of one datagram: the next call gives it.
            return;
        }
        match slot.io.take_error() {
            Ok(Some(error)) | Err(error) => {
                slot.readiness.read_again();
                self.fail(id, error.into());
            }
            Ok(None) => {}
        }
    }

    fn let_read(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.abandoned() {
            self.discard_input(id);
        } else if slot.may_read() {
            self.read_once(id);
        }
    }

    fn read_once(&mut self, id: ChannelId) {
        let before = self.slot(id).map(Slot::input_state);
        self.call_if(id, Dispatcher::readable, Dispatcher::handle_read);
        // What arrived before a reset is worth waiting for only while somebody reads it.
        if let Some(slot) = self.slot_mut(id)
            && slot.flags.has(Flags::RESET)
            && before == Some(slot.input_state())
        {
            slot.readiness.read_blocked();
            slot.unread = None;
        }
    }

    #[inline(never)]
    fn let_write(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.may_write() && self.call_if(id, Dispatcher::writable, Dispatcher::handle_write) {
            self.report_close(id);
            self.advance_outgoing(id);
        }
    }

    /// Decides whether a channel is due again next turn, and announces a stream that stays to the poller.
    #[inline(never)]
    pub(crate) fn settle(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let due = match &slot.phase {
            Phase::Fresh => true,
            Phase::Connecting(_) => slot.readiness.can_write(),
            Phase::Lingering { .. } => slot.has_input() || slot.flags.has(Flags::GONE),
            Phase::Listening(_) => self.may_accept(id),
            Phase::Open => self.is_due(id),
        };
        if due {
            self.enqueue(id);
        }
        let watch = self.slot(id).is_some_and(|slot| {
            !slot.flags.has(Flags::REGISTERED)
                && !matches!(slot.phase, Phase::Fresh)
                && !matches!(slot.io, Io::Absent)
        });
        if watch {
            self.watch(id);
        }
    }

    fn is_due(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot(id) else {
            return false;
        };
        let limits = slot.limits.as_deref().unwrap_or(&self.policy.limits);
        slot.readiness.has_news()
            || slot.flags.has(Flags::RESET)
            || slot.flags.has(Flags::OVERFLOWN)
            || slot.has_drained(limits)
            || slot.owes_close()
            || slot.can_flush()
            || (slot.flags.has(Flags::CLOSING) && !slot.has_outgoing())
            || slot.abandoned()
            || (slot.may_read() && self.ask(id, Dispatcher::readable))
            || (self.slot(id).is_some_and(Slot::may_write) && self.ask(id, Dispatcher::writable))
    }

    fn watch(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        match slot.io.register(poll, id.into()) {
            Ok(()) => slot.flags.set(Flags::REGISTERED),
            Err(error) => {
                log::error!(target: "asynchat::reactor", "channel {id} cannot be watched: {error}");
                self.call_error(id, error.into());
                self.close(id, "not watchable");
            }
        }
    }
}
