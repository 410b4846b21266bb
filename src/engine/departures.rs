//! Telling those who pushed a part how much of it has left (R12).

use crate::{
    error::{ErrorSource, Panicked, guard},
    state::{registry::Registry, slot::Slot},
};

/// The number of departures that a reactor keeps room for.
const SPARE_DEPARTURES: usize = 1024;

impl Registry {
    /// Calls the hooks that are due now, not those that they make due. True if there was one.
    #[inline]
    pub(crate) fn report_departures(&mut self) -> bool {
        let due = self.departures.len();
        for _ in 0..due {
            self.report_departure();
        }
        due > 0
    }

    /// Calls the first hook that is due.
    pub(crate) fn report_departure(&mut self) {
        let Some((hook, sent)) = self.departures.pop_front() else {
            return;
        };
        if self.departures.is_empty() {
            // A flood of them must not stay.
            self.departures.shrink_to(SPARE_DEPARTURES);
        }
        self.stats.callbacks += 1;
        let outcome = guard(self.policy.propagate_panics, || hook(self, sent));
        self.uncork();
        let id = sent.channel;
        // What its object wants may depend on it (R3).
        self.touch_later(id);
        let is_served = |slot: &Slot| slot.dispatcher.is_some() && !slot.is_lingering();
        if self.slot(id).is_some_and(is_served) {
            self.conclude(id, outcome);
            return;
        }
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report_error(ErrorSource::Sent, error),
            Err(panic) => self.report_error(ErrorSource::Sent, Panicked::new(panic).into()),
        }
    }
}
