//! Timers and their clock.

pub(crate) mod clock;
pub(crate) mod timer;

use std::time::{Duration, Instant};

/// The poller's resolution: nothing repeats faster.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
/// A longer delay counts as this one, 30 years, so that no sum of a time and a delay overflows.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The only way to add a delay of the user's to a time.
pub(crate) fn later(time: Instant, delay: Duration) -> Instant {
    time + delay.min(LONGEST)
}
