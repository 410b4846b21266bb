//! Ending the loop, at once or gracefully (R22).

use std::time::Duration;

use crate::state::{
    channel::Channel,
    phase::Phase,
    registry::{Life, Registry, Task},
};

/// # Ending
impl Registry {
    /// Makes [`Reactor::run`](crate::Reactor::run) return after the turn in progress; asked before `run`, it
    /// returns at once. Nothing is closed.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Ends everything gracefully: listeners and pending connects close now, every other channel, the caller's too,
    /// gets `close_when_done`, and what is left after `grace` is closed. `run` returns when the last channel is gone,
    /// timers or not (R22).
    ///
    /// Push last words before: afterwards they are dropped. What peers have sent and nobody has read is not served.
    pub fn shutdown(&mut self, grace: Duration) {
        log::info!(target: "asynchat::reactor", "shutting down: {} channels open, {grace:?} of grace", self.slots.len());
        for id in self.ids() {
            match self.slot(id).map(|slot| &slot.phase) {
                Some(Phase::Listening(_) | Phase::Connecting(_)) => self.close(id, "shutdown"),
                Some(_) => Channel::new(self, id).close_when_done(),
                None => {}
            }
        }
        let deadline = self.after(grace);
        // A second shutdown changes the grace of the first.
        if let Life::Ending(timer) | Life::Ended(timer) = self.life
            && self.timers.reschedule(timer, deadline)
        {
            return;
        }
        self.life = Life::Ending(self.timers.insert(deadline, Task::Grace));
    }

    /// Closes every channel at once, without callbacks. Timers stay.
    pub fn close_all(&mut self) {
        for id in self.ids() {
            self.close(id, "close_all");
        }
    }

    /// Whether `run` would return: no channel, no timer and no [`Hold`](crate::Hold) is left, or after
    /// [`shutdown`](Self::shutdown) no channel.
    pub fn is_idle(&self) -> bool {
        let awaited = || !self.timers.is_empty() || self.mailbox.is_held();
        self.slots.is_empty() && (!matches!(self.life, Life::Running) || !awaited())
    }

    /// A shutdown has ended if no channel is left when a turn ends.
    pub(crate) fn note_end(&mut self) {
        self.life = match (self.life, self.slots.is_empty()) {
            (Life::Ending(grace), true) => Life::Ended(grace),
            (Life::Ended(grace), false) => Life::Ending(grace),
            (life, _) => life,
        };
    }

    /// What comes after a shutdown is a new life: timers count again.
    pub(crate) fn begin_life(&mut self) {
        if let Life::Ended(grace) = self.life {
            self.cancel(grace);
            self.life = Life::Running;
        }
    }
}
