//! At most one reading of the clock in a turn.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    in_turn: Cell<bool>,
    reading: Cell<Option<Instant>>,
    /// The time of a test.
    #[cfg(feature = "testing")]
    stopped: Cell<Option<Instant>>,
}

/// A time in half the space of an [`Instant`]: nanoseconds since the reactor was made, good for 584 years.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(u64);

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            in_turn: Cell::new(false),
            reading: Cell::new(None),
            #[cfg(feature = "testing")]
            stopped: Cell::new(None),
        }
    }

    /// The time read once after the poll of this turn. Outside a turn: reads the clock at every call.
    pub(crate) fn get(&self) -> Instant {
        if let Some(now) = self.reading.get() {
            return now;
        }
        let now = self.present();
        self.reading.set(self.in_turn.get().then_some(now));
        now
    }

    /// The present, also late in a turn.
    pub(crate) fn present(&self) -> Instant {
        #[cfg(feature = "testing")]
        if let Some(now) = self.stopped.get() {
            return now;
        }
        Instant::now()
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let since = self.get().saturating_duration_since(self.origin);
        Stamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(&self, Stamp(nanos): Stamp) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }

    /// The poll is over: from here on the time of the turn is fixed.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.set(true);
        self.reading.set(None);
    }

    pub(crate) fn end_turn(&self) {
        self.in_turn.set(false);
        self.reading.set(None);
    }

    /// From here on only `set` changes the time.
    #[cfg(feature = "testing")]
    pub(crate) fn stop(&self) {
        self.set(self.origin);
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set(&self, now: Instant) {
        self.stopped.set(Some(now));
    }
}
