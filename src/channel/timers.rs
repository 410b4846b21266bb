//! Timers that belong to one channel: they are lent its object, and end with it (R20).

use std::time::Duration;

use crate::{
    error::Result,
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, downcast},
        registry::{LentEvery, LentOnce, Periodic, Task},
    },
    time::{LONGEST, SHORTEST, timer::TimerId},
};

/// # Timers of a channel
///
/// Each runs like a callback of this channel: it is lent the object, its error or panic goes to the object's
/// `handle_error`, and `readable` and `writable` are asked again behind it. It also runs while the channel is connecting;
/// an error that means a reset is then a line in the log, because there is no connection yet.
///
/// It ends when the channel is closed, lingers or is detached, and when the object is replaced: before `handle_closed`.
/// Armed after that, it is dropped at once. So it holds nothing longer than the channel does, and does not keep `run`
/// from returning. [`Registry::cancel`](crate::Registry::cancel) and [`reschedule`](crate::Registry::reschedule) work with
/// its id. It is no traffic for the [idle timeout](Self::set_idle_timeout).
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
/// use std::{io::Write, time::Duration};
///
/// #[derive(Default)]
/// struct Clock {
///     ticks: u32,
/// }
/// impl Dispatcher for Clock {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.call_every(Duration::from_secs(1), |clock: &mut Clock, channel| {
///             clock.ticks += 1;
///             Ok(write!(channel, "{}\r\n", clock.ticks)?)
///         });
///         channel.call_later(Duration::from_secs(3), |_: &mut Clock, channel| {
///             channel.close_when_done(); // ends both
///             Ok(())
///         });
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")]
/// asynchat::testing::Harness::new(Clock::default()).play(
///     "wait 1s
///      S: 1
///      wait 1s
///      S: 2
///      wait 1s
///      S ends",
/// );
/// ```
impl Channel<'_> {
    /// Runs `f` once, `delay` after this turn's [`now`](crate::Registry::now), with the object behind this channel.
    /// O(log n) in the number of timers.
    ///
    /// A delay of zero means the next turn; one of more than 30 years counts as 30 years. If the object is not a `D` at
    /// that time, `handle_error` gets [`VisitError::WrongType`](crate::VisitError::WrongType).
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    /// use std::time::Duration;
    ///
    /// struct Login {
    ///     done: bool,
    /// }
    /// impl Dispatcher for Login {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.call_later(Duration::from_secs(30), |login: &mut Login, channel| {
    ///             if !login.done {
    ///                 channel.push("421 too slow\r\n");
    ///                 channel.close_when_done();
    ///             }
    ///             Ok(())
    ///         });
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")]
    /// asynchat::testing::Harness::new(Login { done: false }).play("wait 30s\nS: 421 too slow\nS ends");
    /// ```
    pub fn call_later<D: Dispatcher>(
        &mut self,
        delay: Duration,
        f: impl FnOnce(&mut D, &mut Channel<'_>) -> Result + 'static,
    ) -> TimerId {
        let id = self.id;
        self.arm_once(
            delay,
            Box::new(move |object, channel| f(downcast(object, id)?, channel)),
        )
    }

    /// Runs `f` every `period` with the object behind this channel, for the first time one period from now. O(log n) in
    /// the number of timers.
    ///
    /// It keeps to its grid as [`Registry::call_every`](crate::Registry::call_every) does, and may cancel itself. An
    /// error of `f` does not end it, unless `handle_error` closes the channel.
    pub fn call_every<D: Dispatcher>(
        &mut self,
        period: Duration,
        mut f: impl FnMut(&mut D, &mut Channel<'_>) -> Result + 'static,
    ) -> TimerId {
        let id = self.id;
        self.arm_every(period, move |object, channel| {
            f(downcast(object, id)?, channel)
        })
    }

    pub(crate) fn arm_once(&mut self, delay: Duration, f: Box<LentOnce>) -> TimerId {
        self.registry
            .arm_call(self.id, delay, Task::LentOnce(self.id, f))
    }

    pub(crate) fn arm_every(
        &mut self,
        period: Duration,
        f: impl FnMut(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result + 'static,
    ) -> TimerId {
        let period = period.clamp(SHORTEST, LONGEST);
        let call: Box<Periodic<LentEvery>> = Box::new(Periodic { period, f });
        self.registry
            .arm_call(self.id, period, Task::LentEvery(self.id, call))
    }
}
