//! The handshake of a filter: when it goes on, how long it may take, and what its end or its failure means.

use std::{io, mem};

use crate::{
    closed::Cause,
    engine::filter::Pulled,
    error::{BoxError, HandshakeFailed, Meaning, meaning_of_call},
    filter::FilterPhase,
    id::ChannelId,
    state::{
        dispatcher::{Dispatcher, Exceptional},
        filtered::{Filtered, Stage, Turn},
        flags::Peer,
        phase::Phase,
        registry::{Registry, Task},
        slot::Slot,
        table::find,
    },
};

impl Registry {
    /// A stream gets its filter; the handshake begins with its next visit.
    pub(crate) fn begin_handshake(&mut self, id: ChannelId, filtered: Box<Filtered>) {
        let deadline = self.after(self.policy.handshake_timeout);
        let is_done = filtered.stage == Stage::Open;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.phase = Phase::Filtered(filtered);
        if !is_done {
            let timer = self.timers.insert(deadline, Task::Handshake(id));
            if let Some(filtered) = self.filtered(id) {
                filtered.timer = Some(timer);
            }
        }
        self.enqueue(id);
    }

    pub(crate) fn filtered(&mut self, id: ChannelId) -> Option<&mut Filtered> {
        self.slot_mut(id).and_then(Slot::filtered_mut)
    }

    /// A turn begins: the handshakes that have waited longest get its budget.
    pub(crate) fn begin_handshakes(&mut self) {
        self.handshakes_left = self.policy.handshake_budget;
        while self.handshakes_left > 0
            && let Some(id) = self.handshakes.pop_front()
        {
            if let Some(filtered) = self.filtered(id)
                && filtered.turn == Turn::Waiting
            {
                filtered.turn = Turn::Granted;
                self.handshakes_left -= 1;
                self.enqueue(id);
            }
        }
    }

    /// Whether a handshake may take a step in this turn. If not, it waits in line, and costs nothing meanwhile.
    fn may_step(&mut self, id: ChannelId) -> bool {
        let left = self.handshakes_left;
        let Some(filtered) = self.filtered(id) else {
            return false;
        };
        match filtered.turn {
            Turn::Granted => filtered.turn = Turn::Free,
            Turn::Waiting => return false,
            Turn::Free if left > 0 => self.handshakes_left -= 1,
            Turn::Free => {
                filtered.turn = Turn::Waiting;
                self.handshakes.push_back(id);
                return false;
            }
        }
        true
    }

    /// Takes a handshake one step on.
    pub(crate) fn shake(&mut self, id: ChannelId) {
        if self
            .slot(id)
            .is_some_and(|slot| slot.can_flush() || slot.flags.is_closing())
        {
            self.advance_outgoing(id);
        }
        let Some(slot) = self.slot(id) else { return };
        let Some(filtered) = slot.filtered().filter(|filtered| !filtered.is_open()) else {
            return;
        };
        if filtered.can_step(slot.readiness.can_read()) {
            // A first step without input costs little for a server, and a client's program asked for it.
            let costly = filtered.started || slot.unread.is_some();
            if costly && filtered.layer.phase() == FilterPhase::Handshaking && !self.may_step(id) {
                return;
            }
            let failure = self.step(id);
            if let Some(error) = failure {
                return self.filter_failed(id, error);
            }
        }
        self.flush_wire(id);
        let Some(slot) = self.slot(id) else { return };
        if slot.flags.peer() == Peer::Reset {
            return self.reset_in_handshake(id);
        }
        if slot
            .filtered()
            .is_some_and(|filtered| filtered.layer.phase() != FilterPhase::Handshaking)
        {
            self.handshake_done(id);
        }
    }

    /// Feeds what there is. An error ends the handshake.
    fn step(&mut self, id: ChannelId) -> Option<BoxError> {
        let mut opened = self.pool.take_opened();
        let pulled = self.pull(id, &mut opened);
        if opened.is_empty() {
            self.pool.give_opened(opened);
        } else if let Some(slot) = find(&mut self.slots, id) {
            // Appended: what came before stays where it is.
            slot.keep_rest(opened.bytes());
            opened.clear();
            self.pool.give_opened(opened);
        }
        let filtered = self.filtered(id)?;
        // A handshake that is done is a stream that broke: reported after what was received before.
        if filtered.layer.phase() != FilterPhase::Handshaking {
            return None;
        }
        if let Some(error) = filtered.layer.take_failure() {
            return Some(error);
        }
        match pulled {
            Ok(Pulled::Data) => None,
            Ok(Pulled::End) => {
                if let Some(slot) = self.slot_mut(id) {
                    slot.flags.note_finished();
                }
                let what = "end of file in the handshake";
                Some(io::Error::new(io::ErrorKind::UnexpectedEof, what).into())
            }
            Err(error) if meaning_of_call(&error) == Meaning::Failure => Some(error.into()),
            Err(_) => None,
        }
    }

    #[cold]
    fn reset_in_handshake(&mut self, id: ChannelId) {
        if self.filtered(id).is_some_and(|filtered| filtered.greeted) {
            self.report_close(id);
        } else {
            self.filter_failed(id, io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
    }

    fn handshake_done(&mut self, id: ChannelId) {
        let now = self.clock.stamp();
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        slot.active_at = now;
        let closing = slot.flags.is_closing();
        if closing {
            slot.unread = None;
        }
        let Some(filtered) = slot.filtered_mut() else {
            return;
        };
        filtered.stage = Stage::Open;
        let greeted = mem::replace(&mut filtered.greeted, true);
        let timer = filtered.timer.take();
        if let Some(timer) = timer {
            self.cancel_timer(timer);
        }
        // Empty parts behind what left in clear.
        if let Some(mut queue) = self.take_queue(id) {
            self.note_departures(id, &mut queue);
            self.return_queue(id, queue);
        }
        if !greeted {
            self.call(id, Dispatcher::handle_connect);
        } else if !closing {
            self.call(id, Dispatcher::handle_secured);
        }
    }

    /// The filter's failure is reported. As before a reset, bytes that were opened before it come first, as long as they are
    /// read.
    pub(crate) fn report_filter(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if !slot.has_filter_failure()
            || (slot.unread.is_some() && slot.may_read() && self.ask(id, Dispatcher::readable))
        {
            return;
        }
        if let Some(error) = self
            .filtered(id)
            .and_then(|filtered| filtered.layer.take_failure())
        {
            self.filter_failed(id, error);
        }
    }

    /// The filter can do nothing more: the last of what it sealed, an alert perhaps, is sent, the object is told, and the
    /// channel ends. It lingers, so that no reset destroys the alert.
    #[cold]
    pub(crate) fn filter_failed(&mut self, id: ChannelId, error: BoxError) {
        self.flush_wire(id);
        self.drop_queue(id, false);
        let Some(filtered) = self.filtered(id) else {
            return;
        };
        let was_open = filtered.is_open();
        let greeted = filtered.greeted;
        filtered.stage = Stage::Failed;
        filtered.layer.give_up();
        filtered.layer.drop_wire();
        let timer = filtered.timer.take();
        if let Some(timer) = timer {
            self.cancel_timer(timer);
        }
        if let Some(slot) = self.slot_mut(id) {
            slot.unread = None;
            slot.flags.shut_down();
            if let Err(error) = slot.io.shutdown_write() {
                log::debug!(target: "asynchat::channel", "channel {id}: shutdown: {error}");
            }
        }
        if was_open {
            let cause = Cause::of(&error);
            self.fail_with(id, error);
            self.end_after_failure(id, cause, None);
        } else if greeted {
            let error = HandshakeFailed { channel: id, error };
            self.fail_with(id, error.into());
            self.end_after_failure(id, Cause::HandshakeFailed, None);
        } else {
            self.on_occasion(id, Cause::HandshakeFailed, |registry| {
                let mut passed_on = None;
                registry.call(id, |d, channel| {
                    passed_on = d
                        .handle_expt(channel, Exceptional::HandshakeFailed(error))
                        .err();
                    Ok(())
                });
                if let Some(error) = passed_on {
                    registry.fail_with(id, error);
                }
                let kept = registry.occasion.error.take();
                registry.end_after_failure(id, Cause::HandshakeFailed, kept);
            });
        }
    }

    /// Has a channel whose filter failed linger, unless it is gone or does so already.
    pub(crate) fn end_after_failure(
        &mut self,
        id: ChannelId,
        cause: Cause,
        error: Option<BoxError>,
    ) {
        let Some(slot) = self.slot_mut(id).filter(|slot| slot.has_failed_filter()) else {
            return self.discard(error);
        };
        let begins = slot.flags.begin_closing();
        if begins || matches!(slot.ending(), Some(Cause::Done | Cause::EndOfFile)) {
            slot.note_ending(cause);
        }
        slot.note_ending_error(error);
        self.drop_pause(id);
        self.touch_later(id);
        self.end_sending(id);
    }

    pub(crate) fn handshake_timed_out(&mut self, id: ChannelId) {
        let timeout = self.policy.handshake_timeout;
        let Some(filtered) = self.filtered(id) else {
            return;
        };
        filtered.timer = None;
        if filtered.is_open() {
            return;
        }
        let what = format!("no handshake within {timeout:?} (Builder::handshake_timeout)");
        self.visiting = id;
        self.filter_failed(id, io::Error::new(io::ErrorKind::TimedOut, what).into());
        self.visiting = ChannelId::NONE;
        // The filter has not failed, so there is no alert to linger for.
        self.close(id, Cause::HandshakeFailed);
    }
}
