//! One reading of the clock a turn, and none in a turn that does not ask.

use std::{cell::Cell, time::Instant};

#[derive(Debug, Default)]
pub(crate) struct Clock {
    in_turn: Cell<bool>,
    reading: Cell<Option<Instant>>,
}

impl Clock {
    /// The time of this turn; between turns, when anything may take long, the time.
    pub(crate) fn get(&self) -> Instant {
        if let Some(now) = self.reading.get() {
            return now;
        }
        let now = Instant::now();
        self.reading.set(self.in_turn.get().then_some(now));
        now
    }

    /// The poll is over: from here on time stands still.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.set(true);
        self.reading.set(None);
    }

    pub(crate) fn end_turn(&self) {
        self.in_turn.set(false);
        self.reading.set(None);
    }
}
