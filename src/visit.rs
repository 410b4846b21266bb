//! One visit of one channel: which callbacks run, and in which order (R3–R5).
//!
//! Every step looks the channel up again, because any callback may have closed or changed it. An object is
//! out of its slot while a callback of it runs.

use crate::{
    ChannelId, Dispatcher, Exceptional, Registry,
    slot::{Peer, Phase, Slot},
    socket::{Io, Role},
};

impl Registry {
    /// Does what is due on one channel of the run queue.
    pub(crate) fn visit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.flags.queued = false;
        let calm = slot.is_calm();
        let visit: fn(&mut Self, ChannelId) = match slot.phase {
            Phase::Connecting(_) => Self::serve_if_connected,
            Phase::Listening(_) => Self::accept_ready,
            Phase::Fresh => Self::greet_and_serve,
            Phase::Open => Self::serve,
            Phase::Lingering { .. } => Self::linger,
        };
        self.visiting = Some(id);
        let settled = calm && self.serve_calmly(id);
        if !calm {
            visit(self, id);
        }
        self.visiting = None;
        if !settled {
            self.settle(id);
        }
    }

    /// Looks at a channel that others pushed to, closed or touched this turn.
    pub(crate) fn revisit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.flags.touched = false;
        if matches!(slot.phase, Phase::Open) {
            self.visiting = Some(id);
            self.advance_outgoing(id);
            self.visiting = None;
        }
        self.settle(id);
    }

    fn serve_if_connected(&mut self, id: ChannelId) {
        if self.finish_connect(id) {
            self.greet_and_serve(id);
        }
    }

    fn greet_and_serve(&mut self, id: ChannelId) {
        let now = self.now();
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

    fn serve_after_read(&mut self, id: ChannelId) {
        self.report_close(id);
        self.advance_outgoing(id);
        self.let_write(id);
    }

    /// `serve` for a channel of which nothing but a read or a write can be due; goes on as there once that changes.
    /// True if what is left to `settle` is done too.
    fn serve_calmly(&mut self, id: ChannelId) -> bool {
        let may_read = self.slot(id).is_some_and(Slot::may_read);
        let effects = self.effects;
        let mut reads = false;
        let mut wishes = None;
        self.with_object(id, |d, channel| {
            reads = may_read && d.readable();
            if reads {
                d.handle_read(channel)?;
            }
            wishes = channel.is_served().then(|| (d.readable(), d.writable()));
            Ok(())
        });
        if reads {
            self.note_callback(id, effects);
        }
        let Some(slot) = self.slot(id) else {
            return true;
        };
        if !slot.is_calm() {
            self.serve_after_read(id);
            return false;
        }
        // Without wishes something failed, and `handle_error` may have asked for anything, or another object serves.
        let Some((wants_read, wants_write)) = wishes else {
            return false;
        };
        if wants_write && slot.may_write() {
            self.let_write(id);
            return false;
        }
        if wants_read && slot.may_read() {
            self.enqueue(id);
        }
        true
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
            && slot.peer == Peer::Reset
            && before == Some(slot.input_state())
        {
            slot.readiness.read_blocked();
            slot.unread = None;
        }
    }

    fn let_write(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.may_write() && self.call_if(id, Dispatcher::writable, Dispatcher::handle_write) {
            self.report_close(id);
            self.advance_outgoing(id);
        }
    }

    /// Decides whether a channel is due again next turn, and announces a stream that stays to the poller.
    pub(crate) fn settle(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let due = match &slot.phase {
            Phase::Fresh => true,
            Phase::Connecting(_) => slot.readiness.can_write(),
            Phase::Lingering { .. } => slot.has_input() || slot.peer != Peer::Open,
            Phase::Listening(_) => self.may_accept(id),
            Phase::Open => self.is_due(id),
        };
        if due {
            self.enqueue(id);
        }
        let watch = self.slot(id).is_some_and(|slot| {
            !slot.flags.registered
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
            || slot.peer == Peer::Reset
            || slot.flags.overflown
            || slot.has_drained(limits)
            || slot.owes_close()
            || slot.can_flush()
            || (slot.flags.closing && !slot.has_outgoing())
            || slot.abandoned()
            || (slot.may_read() && self.ask(id, Dispatcher::readable))
            || (self.slot(id).is_some_and(Slot::may_write) && self.ask(id, Dispatcher::writable))
    }

    fn watch(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        match slot.io.register(poll, id.into()) {
            Ok(()) => slot.flags.registered = true,
            Err(error) => {
                log::error!(target: "asynchat::reactor", "channel {id} cannot be watched: {error}");
                self.call_error(id, error.into());
                self.close(id, "not watchable");
            }
        }
    }
}
