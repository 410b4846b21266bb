//! The end of a channel: what the peer did, half-close, linger (R7, R8, R10).

use crate::{
    closed::Cause,
    id::ChannelId,
    net::io::Role,
    state::{
        dispatcher::{Dispatcher, Exceptional},
        flags::{Peer, Sending},
        phase::Phase,
        registry::{Registry, Task},
        table::find,
    },
};

impl Registry {
    pub(crate) fn report_close(&mut self, id: ChannelId) {
        self.report_filter(id);
        let Some(slot) = self.slot(id) else { return };
        let reset = slot.flags.peer() == Peer::Reset;
        if !reset && !slot.must_report_eof() {
            return;
        }
        // A handshake that fails so has a callback of its own.
        if slot.is_shaking() && slot.filtered().is_some_and(|filtered| !filtered.greeted) {
            return;
        }
        // What arrived before the reset comes first.
        if reset && slot.may_read() && self.ask(id, Dispatcher::readable) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let ended_here = slot.flags.is_closing();
        let first = slot.flags.note_close_reported();
        if reset {
            self.drop_queue(id, true);
        }
        if first {
            self.call(id, Dispatcher::handle_close);
        } else if reset && !ended_here {
            self.call(id, |d, channel| d.handle_expt(channel, Exceptional::Reset));
        }
        if reset {
            self.close(id, Cause::Reset);
        }
    }

    /// The queue is empty: half-close or close if that was asked for.
    pub(crate) fn end_sending(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if !slot.flags.is_closing() && slot.flags.sending() != Sending::Ending {
            return;
        }
        // Before the look at the peer: one that has ended waits for the filter's end all the same.
        let must_end = slot.filtered().is_some() && slot.flags.sending() != Sending::Shut;
        if must_end && !self.end_filter(id) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.io.role() == Role::Fd
            || (slot.flags.is_closing() && slot.flags.peer() != Peer::There)
        {
            return self.close_done(id);
        }
        if slot.flags.sending() != Sending::Shut {
            slot.flags.shut_down();
            if let Err(error) = slot.io.shutdown_write() {
                log::debug!(target: "asynchat::channel", "channel {id}: shutdown: {error}");
                // What arrived before is read first.
                slot.broken_while_sending();
                self.report_close(id);
                return;
            }
        }
        if slot.flags.is_closing() {
            self.start_linger(id);
        }
    }

    fn start_linger(&mut self, id: ChannelId) {
        self.end_calls(id);
        let Some(slot) = self.slot(id) else { return };
        let deadline = self.after(slot.limits(&self.policy).linger_time);
        let timer = self.timers.insert(deadline, Task::Linger(id));
        let Some(slot) = self.slot_mut(id) else {
            self.cancel_timer(timer);
            return;
        };
        // Nobody reads it any more.
        slot.unread = None;
        let filtered = slot.take_filtered();
        slot.phase = match filtered {
            None => Phase::Lingering { discarded: 0 },
            Some(_) => Phase::LingeringSealed { discarded: 0 },
        };
        if let Some(idle) = slot.timer.replace(timer) {
            self.cancel_timer(idle);
        }
        self.discard_filtered(filtered);
        self.linger(id);
    }

    /// Ends the timer of a handshake that is on, and drops the filter, which is the user's.
    pub(crate) fn discard_filtered(&mut self, phase: Option<Phase>) {
        if let Some(Phase::Filtered(filtered)) = &phase
            && let Some(timer) = filtered.timer
        {
            self.cancel_timer(timer);
        }
        self.discard(phase);
    }

    /// Everything is sent, and the peer is gone.
    fn close_done(&mut self, id: ChannelId) {
        let reset = self
            .slot(id)
            .is_some_and(|slot| slot.flags.peer() == Peer::Reset);
        self.close(id, if reset { Cause::Reset } else { Cause::Done });
    }

    /// Throws input away until the peer's end of file, so that what was sent is not destroyed by a reset (R10).
    pub(crate) fn linger(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.flags.peer() != Peer::There {
            return self.close_done(id);
        }
        if !slot.has_input() {
            return;
        }
        let n = if slot.has_lost_filter() {
            self.discard_sealed(id)
        } else {
            self.discard_input(id)
        };
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        let gone = slot.flags.peer() != Peer::There;
        let limit = slot.limits(&self.policy).linger_bytes;
        let (Phase::Lingering { discarded } | Phase::LingeringSealed { discarded }) =
            &mut slot.phase
        else {
            return;
        };
        *discarded += n;
        if gone {
            self.close_done(id);
        } else if *discarded > limit {
            self.close(id, Cause::LingerLimit);
        }
    }
}
