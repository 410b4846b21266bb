//! One reading of the clock a turn, and none in a turn that does not ask.

use std::{cell::Cell, time::Instant};

#[derive(Debug, Default)]
pub(crate) struct Clock(Cell<Option<Instant>>);

impl Clock {
    /// The time of this turn.
    pub(crate) fn get(&self) -> Instant {
        if let Some(now) = self.0.get() {
            return now;
        }
        let now = Instant::now();
        self.0.set(Some(now));
        now
    }

    /// A new turn begins.
    pub(crate) fn forget(&self) {
        self.0.set(None);
    }
}
