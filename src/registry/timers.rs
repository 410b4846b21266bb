//! Timers, and the time they go by (R20).

use std::time::{Duration, Instant};

use crate::{
    error::Result,
    state::registry::{Registry, Task},
    time::{
        SHORTEST,
        timer::{Cancelled, TimerId},
    },
};

/// # Timers
impl Registry {
    /// Runs `f` once, `delay` from this turn's [`now`](Self::now). O(log n).
    ///
    /// A delay of zero means the next turn. An error or panic of `f` goes to the reactor's error hook
    /// ([`Builder::on_error`](crate::Builder::on_error)).
    pub fn call_later(
        &mut self,
        delay: Duration,
        f: impl FnOnce(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let deadline = self.after(delay);
        self.timers.insert(deadline, Task::Once(Box::new(f)))
    }

    /// Runs `f` every `period`, for the first time one period from now. O(log n).
    ///
    /// Runs keep to the grid of the first one; those that could not run in time are skipped, not made up for. A
    /// period shorter than a millisecond counts as one, the poller's resolution. An error does not end it.
    pub fn call_every(
        &mut self,
        period: Duration,
        f: impl FnMut(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let period = period.max(SHORTEST);
        let deadline = self.after(period);
        self.timers.insert(
            deadline,
            Task::Every {
                period,
                f: Box::new(f),
            },
        )
    }

    /// Ends a timer; `false` if it has run, or was cancelled, before. O(log n). Works from inside the timer too.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        match self.timers.cancel(timer) {
            Cancelled::NotFound => false,
            Cancelled::Pending(task) => {
                self.discard(task);
                true
            }
            Cancelled::Firing => true,
        }
    }

    /// Moves a timer: its next run is `delay` from this turn's [`now`](Self::now), after that a
    /// [`call_every`](Self::call_every) goes on from there. O(log n), and cheaper than a new timer.
    ///
    /// `false` if it has run, was cancelled, or is running at the moment.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut reactor = asynchat::Reactor::new().unwrap();
    /// let minute = Duration::from_secs(60);
    /// let watchdog = reactor.call_later(minute, |_| Err("nothing moved for a minute".into()));
    /// // Something moved:
    /// assert!(reactor.reschedule(watchdog, minute));
    /// ```
    pub fn reschedule(&mut self, timer: TimerId, delay: Duration) -> bool {
        let deadline = self.after(delay);
        self.timers.reschedule(timer, deadline)
    }

    /// The time of this turn: read once after the poll, the same for all its callbacks.
    /// Between turns it is the present.
    pub fn now(&self) -> Instant {
        self.clock.get()
    }

    pub(crate) fn after(&self, delay: Duration) -> Instant {
        let now = self.now();
        // A delay past the end of time is one nobody will see the end of.
        now.checked_add(delay)
            .unwrap_or_else(|| now + Duration::from_secs(60 * 60 * 24 * 365 * 30))
    }
}
