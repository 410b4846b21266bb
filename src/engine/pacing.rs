//! Pauses of reading, for a time or until the next turn (R3).

use std::{mem, time::Duration};

use crate::{
    id::ChannelId,
    state::{
        registry::{Registry, Task},
        slot::Slot,
        table::find,
    },
    time::timer::TimerId,
};

impl Registry {
    /// Reads nothing of a channel for `time`; zero is until the next turn.
    pub(crate) fn pause_reading(&mut self, id: ChannelId, time: Duration) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.flags.is_closing() {
            return;
        }
        slot.flags.pause();
        let timer = slot.extras().and_then(|extras| extras.pause);
        if time.is_zero() {
            self.drop_pause_timer(id);
            // A loop of pauses in one callback fills no memory.
            if self.yielding.last() != Some(&id) {
                self.yielding.push(id);
            }
        } else {
            // Of a pause without time the spin detector shall hear.
            self.progress += 1;
            let deadline = self.after(time);
            if !timer.is_some_and(|timer| self.timers.reschedule(timer, deadline)) {
                let timer = self.timers.insert(deadline, Task::Resume(id));
                if let Some(slot) = self.slot_mut(id) {
                    slot.extras_mut().pause = Some(timer);
                }
            }
        }
        // A chat that is handing out stops here.
        self.ownership_changes += 1;
        self.touch_later(id);
    }

    /// Ends a pause before its time.
    pub(crate) fn resume_reading(&mut self, id: ChannelId) {
        if self.drop_pause(id) {
            self.progress += 1;
            self.touch_later(id);
        }
    }

    /// Forgets a pause. False if there was none.
    pub(crate) fn drop_pause(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot_mut(id) else {
            return false;
        };
        let was_paused = slot.flags.end_pause();
        if was_paused {
            self.drop_pause_timer(id);
        }
        was_paused
    }

    fn drop_pause_timer(&mut self, id: ChannelId) {
        if let Some(slot) = self.slot_mut(id)
            && let Some(timer) = take_timer(slot)
        {
            self.cancel_timer(timer);
        }
    }

    pub(crate) fn end_timed_pause(&mut self, id: ChannelId) {
        if let Some(slot) = self.slot_mut(id) {
            take_timer(slot);
            slot.flags.end_pause();
            self.enqueue(id);
        }
    }

    /// A turn begins: pauses that were to last until then are over.
    pub(crate) fn end_pauses_of_turn(&mut self) {
        if self.yielding.is_empty() {
            return;
        }
        let mut yielding = mem::take(&mut self.yielding);
        for id in yielding.drain(..) {
            if let Some(slot) = find(&mut self.slots, id)
                && slot.extras().is_none_or(|extras| extras.pause.is_none())
                && slot.flags.end_pause()
            {
                self.enqueue(id);
            }
        }
        self.yielding = yielding;
    }
}

fn take_timer(slot: &mut Slot) -> Option<TimerId> {
    // Not `extras_mut`, which would make them.
    slot.extras()?.pause?;
    slot.extras_mut().pause.take()
}
