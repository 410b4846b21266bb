//! Timers and their clock.

pub(crate) mod clock;
pub(crate) mod timer;

use std::time::Duration;

/// The poller's resolution: nothing repeats faster.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
