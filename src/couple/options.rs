//! What a coupled pair is told at its beginning, and tells at its end.

use std::{fmt, time::Duration};

use crate::{closed::Closed, state::registry::Registry};

/// What waits for one of the two, besides one read: enough to be busy with, and little enough for all pairs to do it at a
/// time.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

pub(super) type OnEnd = Box<dyn FnOnce(&mut Registry, Coupled)>;

/// Options of [`Registry::couple`].
///
/// ```
/// use std::time::Duration;
///
/// let options = asynchat::CoupleOptions::new()
///     .idle_timeout(Duration::from_secs(3600))
///     .on_end(|_registry, coupled| {
///         log::info!("{} bytes up, {} down", coupled.from_near, coupled.from_far);
///     });
/// # let _ = options;
/// ```
#[must_use = "options do nothing until they are passed on"]
pub struct CoupleOptions {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) on_end: Option<OnEnd>,
}

impl CoupleOptions {
    /// The defaults: watermarks of 16 and 64 KiB, no idle timeout, nothing called at the end.
    pub fn new() -> Self {
        Self {
            low: LOW,
            high: HIGH,
            idle_timeout: None,
            on_end: None,
        }
    }

    /// Sets the watermarks of both queues, in bytes: above `high` the other side is not read, until the queue has fallen to
    /// `low`. Those of the channels and their `max_outgoing` no longer hold.
    pub fn watermarks(mut self, low: usize, high: usize) -> Self {
        self.low = low;
        self.high = high;
        self
    }

    /// Ends the pair if nothing is read from or written to one of the two for `after`. It replaces the idle timeouts that
    /// the channels had. Default: none. An attempt to connect has its own limit.
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = Some(after);
        self
    }

    /// Calls `f` once, when both channels are gone. It is not called if the reactor is dropped before, or if the last of the
    /// two was detached or got another object.
    pub fn on_end(mut self, f: impl FnOnce(&mut Registry, Coupled) + 'static) -> Self {
        self.on_end = Some(Box::new(f));
        self
    }
}

impl Default for CoupleOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CoupleOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoupleOptions")
            .field("low", &self.low)
            .field("high", &self.high)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// How a pair of coupled channels ended, for [`CoupleOptions::on_end`].
///
/// The side that ended the pair has the [`Cause`](crate::Cause). That of the other is `EndOfFile`, `Done` or `Close`, or
/// what happened to it while it was being closed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Coupled {
    /// Bytes read from the near side and passed on. [`Closed::unsent`] of `far` says how many of them the far side did not
    /// take.
    pub from_near: u64,
    /// Bytes read from the far side and passed on.
    pub from_far: u64,
    /// The end of the near side; `None` if it was detached or got another object.
    pub near: Option<Closed>,
    /// The end of the far side; `None` if it was detached or got another object.
    pub far: Option<Closed>,
}
