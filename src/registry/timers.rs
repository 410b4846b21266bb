//! Timers, and the time they go by (R20).

use std::time::{Duration, Instant};

use crate::{
    error::Result,
    state::registry::{Registry, Task},
    time::{LONGEST, SHORTEST, timer::TimerId},
};

/// # Timers
///
/// Those of a channel ([`Channel::call_later`](crate::Channel::call_later)) are lent its object, and end with it.
///
/// ```
/// use asynchat::Reactor;
/// use std::time::Duration;
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// let start = reactor.now();
/// let tick = reactor.call_every(Duration::from_millis(1), |registry| {
///     println!("{} channels", registry.stats().channels);
///     Ok(())
/// });
/// reactor.call_later(Duration::from_millis(5), move |registry| {
///     registry.cancel(tick);
///     Ok(())
/// });
/// reactor.run()?; // returns because no timer is left
/// assert!(reactor.now() - start >= Duration::from_millis(5));
/// # Ok(())
/// # }
/// ```
impl Registry {
    /// Runs `f` once, `delay` after this turn's [`now`](Self::now). O(log n) in the number of timers.
    ///
    /// A delay of zero means the next turn; one of more than 30 years counts as 30 years. An error or panic of `f` goes to
    /// [`Builder::on_error`](crate::Builder::on_error). `run` does not return while a timer is pending.
    pub fn call_later(
        &mut self,
        delay: Duration,
        f: impl FnOnce(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let deadline = self.after(delay);
        self.timers.insert(deadline, Task::Once(Box::new(f)))
    }

    /// Runs `f` every `period`, for the first time one period from now. O(log n) in the number of timers.
    ///
    /// The runs are multiples of the period after the first one; a run that is late by more than a period is skipped. A
    /// period below 1 ms counts as 1 ms, the resolution of the poller. An error of `f` goes to
    /// [`Builder::on_error`](crate::Builder::on_error) and does not end the timer.
    pub fn call_every(
        &mut self,
        period: Duration,
        f: impl FnMut(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let period = period.clamp(SHORTEST, LONGEST);
        let deadline = self.after(period);
        self.timers.insert(
            deadline,
            Task::Every {
                period,
                f: Box::new(f),
            },
        )
    }

    /// Ends a timer. Returns false if it has already run or was cancelled. O(log n). A timer may cancel itself.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.cancel_timer(timer)
    }

    /// Moves a timer: its next run is `delay` after this turn's [`now`](Self::now). A [`call_every`](Self::call_every)
    /// goes on from there. O(log n), and cheaper than a new timer.
    ///
    /// Returns false if the timer has run, was cancelled, or is running at the moment.
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

    /// The time of this turn: read once after the poll, the same for all its callbacks. Outside a turn every call reads
    /// the clock.
    pub fn now(&self) -> Instant {
        self.clock.get()
    }
}
