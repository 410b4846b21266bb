//! One visit of one channel: which callbacks run, and in which order (R3–R5).
//!
//! Every step looks the channel up again, because any callback may have closed or changed it.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    closed::Cause,
    engine::call::Lent,
    error::{Meaning, meaning_of_call},
    id::ChannelId,
    net::io::{Io, Role},
    state::{
        dispatcher::{Dispatcher, Exceptional},
        flags::Peer,
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
        slot.flags.dequeue();
        self.visiting = id;
        let settled = if slot.only_io_due()
            && slot.readiness.can_read()
            && !slot.holds_queue()
            && let Some(object) = slot.dispatcher.take()
        {
            let bytes_in = slot.bytes_in;
            self.fast_visit(id, object, bytes_in)
        } else {
            self.other_visit(id)
        };
        self.visiting = ChannelId::NONE;
        if !settled {
            self.settle(id);
        }
    }

    /// Any visit but a fast one. True if `settle` has nothing left to do.
    #[inline(never)]
    fn other_visit(&mut self, id: ChannelId) -> bool {
        // poll(2) and Windows' poller, asked anew about a socket, report at once that it can be written to, so that each
        // message brings a visit for a write alone. One question is enough then.
        if self.slot(id).is_some_and(Slot::is_write_alone_due) {
            let callbacks = self.stats.callbacks;
            self.let_write(id);
            // Neither `handle_write`, nor `handle_error` because of a panic.
            return self.stats.callbacks == callbacks;
        }
        self.full_visit(id);
        false
    }

    /// The order of a visit (R4). Each step does nothing if nothing of its kind is due.
    fn full_visit(&mut self, id: ChannelId) {
        match self.slot(id).map(|slot| &slot.phase) {
            None | Some(Phase::Resolving(_)) => return,
            Some(Phase::Listening(_)) => return self.accept_ready(id), // handle_accept
            Some(Phase::Lingering { .. } | Phase::LingeringSealed { .. }) => {
                return self.linger(id);
            }
            Some(Phase::Connecting(_)) => self.finish_connect(id), // handle_expt(ConnectFailed)
            Some(Phase::Greeting | Phase::Open | Phase::Filtered(_)) => {}
        }
        self.greet(id); // handle_connect
        if self.slot(id).is_some_and(Slot::is_shaking) {
            self.shake(id); // handle_connect, handle_secured; handle_expt(HandshakeFailed)
        }
        if self.slot(id).is_some_and(Slot::is_open) {
            self.report_news(id); // handle_expt(Priority, ReadClosed); handle_error with the socket's error
            self.let_read(id); // handle_read
            self.finish_visit(id); // handle_close; the flush; what has left; handle_drain; handle_write
        }
    }

    /// The steps of a visit behind the read.
    #[inline(never)]
    fn finish_visit(&mut self, id: ChannelId) {
        self.report_close(id); // handle_close
        self.advance_outgoing(id); // the flush; what has left; handle_drain; half-close and linger
        self.let_write(id); // handle_write
    }

    /// A visit of a channel that can be read and on which nothing but a read or a write is due: the object goes out and
    /// back once, and the slot is not looked up again for each step. Goes on as a full visit once something else is due.
    /// True if `settle` has nothing left to do.
    #[inline]
    fn fast_visit(&mut self, id: ChannelId, object: Box<dyn Dispatcher>, bytes_in: u64) -> bool {
        // Taken apart, so that the fields stay in registers.
        let Lent {
            object,
            outcome,
            progress,
            ran,
        } = self.lend(id, object, Dispatcher::readable, Dispatcher::handle_read);
        if !matches!(outcome, Ok(Ok(()))) || !ran || self.progress == progress {
            let lent = Lent {
                object,
                outcome,
                progress,
                ran,
            };
            return self.leave_fast_visit(id, lent, bytes_in, None);
        }
        // It holds nothing to drop, like `failure` and the slot's place for the object below. The compiler would look.
        mem::forget(outcome);
        let mut failure = None;
        if let Some(slot) = find(&mut self.slots, id)
            && slot.only_io_due()
            && slot.dispatcher.is_none()
            && (!slot.holds_queue() || self.flush_at_once(id, &mut failure))
            && let Some(slot) = find(&mut self.slots, id)
        {
            mem::forget(failure);
            slot.idle_calls = 0;
            let may_read = slot.readiness.can_read();
            let may_write = slot.readiness.can_write() && !slot.flags.is_write_unhandled();
            let wishes = catch_unwind(AssertUnwindSafe(|| {
                // Not through the box, which is a dispatcher too.
                let object = &*object;
                let wants_read = may_read && object.readable();
                (wants_read, may_write && object.writable())
            }))
            .map_err(|panic| self.policy.contain(panic));
            mem::forget(slot.dispatcher.replace(object));
            return match wishes {
                Ok((false, false)) => true,
                Ok((true, false)) => {
                    if slot.flags.enqueue() {
                        self.ready.push(id);
                    }
                    true
                }
                Ok((_, true)) => {
                    self.let_write(id);
                    false
                }
                Err(panic) => {
                    self.conclude(id, Err(panic));
                    false
                }
            };
        }
        let lent = Lent {
            object,
            outcome: Ok(Ok(())),
            progress,
            ran: true,
        };
        self.leave_fast_visit(id, lent, bytes_in, failure)
    }

    /// Goes on as a full visit, behind the read and a flush that met `failure`.
    #[inline(never)]
    fn leave_fast_visit(
        &mut self,
        id: ChannelId,
        lent: Lent,
        bytes_in: u64,
        failure: Option<io::Error>,
    ) -> bool {
        let fine = self.take_back_reader(id, lent, (bytes_in, 0), failure);
        if fine
            || self
                .slot(id)
                .is_some_and(|slot| !slot.only_io_due() || slot.holds_queue())
        {
            self.finish_visit(id);
        }
        false
    }

    /// Looks at a channel that others pushed to, closed or touched this turn.
    pub(crate) fn revisit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return self.end_visit_of_closed(id);
        };
        slot.flags.untouch();
        if matches!(slot.phase, Phase::Open | Phase::Filtered(_)) {
            self.visiting = id;
            self.advance_outgoing(id);
            self.visiting = ChannelId::NONE;
        }
        self.settle(id);
    }

    /// The last turn did not come to its end: a panic left it because it shall, or a callback put another registry in the
    /// place of this one. Its lists are lost, so every channel is looked at; one whose object is lost too is closed.
    #[cold]
    pub(crate) fn recover(&mut self) {
        self.turning = false;
        self.visiting = ChannelId::NONE;
        self.uncork();
        self.clock.end_turn();
        self.ready.clear();
        self.touched.clear();
        self.renew_budgets();
        for id in self.every_id() {
            let Some(slot) = self.slot_mut(id) else {
                continue;
            };
            slot.flags.dequeue();
            slot.flags.untouch();
            if slot.dispatcher.is_none() {
                self.close(id, Cause::Panic);
            }
            self.enqueue(id);
        }
        self.forget_lost();
    }

    fn greet(&mut self, id: ChannelId) {
        let now = self.clock.stamp();
        if let Some(slot) = self.slot_mut(id)
            && matches!(slot.phase, Phase::Greeting)
        {
            slot.phase = Phase::Open;
            slot.active_at = now;
            self.call(id, Dispatcher::handle_connect);
        }
    }

    fn report_news(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.readiness.only_io() {
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
        if self.slot(id).is_some_and(Slot::has_end_ahead) && !self.wants_read(id) {
            self.tell_end_ahead(id);
        }
    }

    /// The object does not read, so it would not find the end of file.
    #[cold]
    fn tell_end_ahead(&mut self, id: ChannelId) {
        // The predicate may have failed, and closed the channel.
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.readiness.end_told();
        self.call(id, |d, channel| {
            d.handle_expt(channel, Exceptional::ReadClosed)
        });
    }

    /// Whether input is read as it comes.
    fn wants_read(&mut self, id: ChannelId) -> bool {
        self.slot(id).is_some_and(|slot| slot.flags.may_call_read())
            && self.ask(id, Dispatcher::readable)
    }

    /// The poller saw an error. A handler that reads finds it out by reading, after what arrived before; the socket is
    /// asked only for a handler that does not.
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
        match role {
            // No socket error to ask for: this is a pipe whose reader is gone.
            Role::Fd => slot.broken_while_sending(),
            // The error of one datagram: the next call gives it.
            Role::Datagram => {}
            Role::Stream | Role::Listener => match slot.io.take_error() {
                Ok(Some(error)) | Err(error) => {
                    slot.readiness.read_again();
                    if meaning_of_call(&error) == Meaning::Reset {
                        slot.flags.note_reset();
                    }
                    self.fail(id, error.into());
                }
                // A closed write half is Windows' sign of a reset, and SO_ERROR has nothing of it.
                Ok(None) if cfg!(windows) && role == Role::Stream => slot.broken_while_sending(),
                Ok(None) => {}
            },
        }
    }

    fn let_read(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.must_drain_unread() {
            self.discard_input(id);
        } else if slot.may_read()
            && let Some(object) = slot.dispatcher.take()
        {
            let input = slot.input_state();
            let lent = self.lend(id, object, Dispatcher::readable, |object, channel| {
                object.handle_read(channel)
            });
            self.take_back_reader(id, lent, input, None);
            if let Some(slot) = self.slot_mut(id)
                && slot.input_state() != input
            {
                slot.readiness.renew_end_news();
            }
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
        let Some(slot) = self.slot(id) else {
            return self.end_visit_of_closed(id);
        };
        let due = match &slot.phase {
            Phase::Greeting => true,
            Phase::Filtered(_) => self.is_filtered_due(id),
            Phase::Resolving(_) => false,
            Phase::Connecting(_) => slot.readiness.can_write(),
            Phase::Lingering { .. } | Phase::LingeringSealed { .. } => {
                slot.has_input() || slot.flags.peer() != Peer::There
            }
            Phase::Listening(_) | Phase::Open => self.is_due(id),
        };
        if due {
            self.enqueue(id);
        }
        let watch = self.slot(id).is_some_and(|slot| {
            !slot.flags.is_registered()
                && !matches!(slot.phase, Phase::Greeting)
                && !matches!(slot.io, Io::Absent)
        });
        if watch {
            self.watch(id);
        }
    }

    #[cold]
    fn is_filtered_due(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot_mut(id) else {
            return false;
        };
        let Some(filtered) = slot.filtered_mut() else {
            return false;
        };
        let buffer = filtered.layer.return_buffer();
        if let Some(buffer) = buffer {
            self.pool.tails.give(buffer);
        }
        let Some(slot) = self.slot(id) else {
            return false;
        };
        match slot.filtered() {
            Some(filtered) if !filtered.is_open() => {
                filtered.can_step(slot.readiness.can_read())
                    || slot.flags.peer() == Peer::Reset
                    || slot.can_flush()
                    || (slot.flags.is_closing() && !slot.has_outgoing())
            }
            _ => self.is_due(id),
        }
    }

    /// Asks again if a predicate has panicked, because `handle_error` may have changed the object. A second panic in a row is
    /// a no, so that an object which always panics does not keep the loop from waiting.
    fn is_due(&mut self, id: ChannelId) -> bool {
        let callbacks = self.stats.callbacks;
        self.asks_to_be_called(id)
            || (self.stats.callbacks != callbacks && self.asks_to_be_called(id))
    }

    fn asks_to_be_called(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot(id) else {
            return false;
        };
        if matches!(slot.phase, Phase::Listening(_)) {
            return self.may_accept(id);
        }
        slot.is_due_unasked(&slot.limits(&self.policy))
            || self.is_due_to_read(id)
            || (self.slot(id).is_some_and(Slot::may_write) && self.ask(id, Dispatcher::writable))
    }

    fn is_due_to_read(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot(id) else {
            return false;
        };
        let (may_read, end_ahead) = (slot.may_read(), slot.has_end_ahead());
        if !may_read && !end_ahead {
            return false;
        }
        // Either to read, or to be told that there is an end.
        if self.wants_read(id) {
            may_read
        } else {
            end_ahead
        }
    }

    fn watch(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        match slot.io.register(poll, id.token()) {
            Ok(()) => slot.flags.note_registered(),
            Err(error) => self.cannot_watch(id, error),
        }
    }

    #[cold]
    fn cannot_watch(&mut self, id: ChannelId, error: io::Error) {
        log::error!(target: "asynchat::reactor", "channel {id} cannot be watched: {error}");
        self.call_error(id, error.into());
        self.close(id, Cause::Error);
    }
}
