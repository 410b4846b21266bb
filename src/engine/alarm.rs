//! What timers and posted calls do when their time has come.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    error::{ErrorSource, Panicked, Result, Shown, guard},
    id::ChannelId,
    state::{
        dispatcher::Dispatcher,
        phase::Phase,
        registry::{Registry, Task},
    },
    time::{
        SHORTEST, later,
        timer::{Cancelled, TimerId},
    },
};

impl Registry {
    /// The deadline `delay` from the time of this turn.
    pub(crate) fn after(&self, delay: Duration) -> Instant {
        later(self.clock.get(), delay)
    }

    /// Ends a timer. False if it has run or was cancelled before.
    pub(crate) fn cancel_timer(&mut self, timer: TimerId) -> bool {
        match self.timers.cancel(timer) {
            Cancelled::NotFound => false,
            Cancelled::Pending(task) => {
                self.discard(task);
                true
            }
            Cancelled::Firing => true,
        }
    }

    /// Runs a timer's or a handle's closure; its error or panic goes to the error hook.
    pub(crate) fn run_job(&mut self, source: ErrorSource, job: impl FnOnce(&mut Self) -> Result) {
        self.stats.callbacks += 1;
        let outcome = guard(self.policy.propagate_panics, || job(self));
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => Panicked::new(panic).into(),
        };
        self.stats.errors += 1;
        let Some(mut hook) = self.on_error.take() else {
            let target = match source {
                ErrorSource::Timer => "asynchat::timer",
                ErrorSource::Handle => "asynchat::reactor",
            };
            log::error!(target: target, "{source:?} callback: {}", Shown(&error));
            return self.discard(error);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| hook(self, source, error)));
        self.on_error = Some(hook);
        if let Err(panic) = outcome {
            if self.policy.propagate_panics {
                std::panic::resume_unwind(panic);
            }
            let panic = Panicked::new(panic);
            log::error!(target: "asynchat::reactor", "the error hook {panic}");
        }
    }

    pub(crate) fn fire(&mut self, timer: TimerId, deadline: Instant, task: Task) {
        match task {
            Task::Every { period, mut f } => {
                log::trace!(target: "asynchat::timer", "{timer} fires");
                self.run_job(ErrorSource::Timer, |registry| f(registry));
                // Missed runs are skipped, and the next one keeps to the grid. No sum can overflow: `call_every` bounds the
                // period, and the runs that were skipped are no longer than the delay.
                let now = self.clock.get();
                let late = now.saturating_duration_since(deadline);
                let skipped = u32::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(0);
                let next = deadline + period * skipped.saturating_add(1);
                let next = if next > now { next } else { now + period };
                if self.timers.contains(timer) {
                    self.timers.rearm(timer, next, Task::Every { period, f });
                } else {
                    self.discard(f);
                }
            }
            Task::Once(f) => {
                self.timers.finish(timer);
                log::trace!(target: "asynchat::timer", "{timer} fires");
                self.run_job(ErrorSource::Timer, f);
            }
            Task::Idle(id, after) => self.check_idle(timer, id, after),
            Task::Connect(id) => {
                self.timers.finish(timer);
                self.connect_timer_fired(id);
            }
            Task::Linger(id) => {
                self.timers.finish(timer);
                self.close(id, "linger limit: no end of file from the peer");
            }
            Task::Rest(id) => {
                self.timers.finish(timer);
                self.end_rest(id);
            }
            Task::Header(id, listener) => {
                self.timers.finish(timer);
                self.header_is_late(id, listener);
            }
            Task::Refusals(id) => {
                self.timers.finish(timer);
                self.look_at_refusals(id);
            }
            Task::Grace => {
                self.timers.finish(timer);
                self.close_each("close_all");
            }
        }
    }

    /// The idle timer is armed once per timeout, not once per read: it looks when the last traffic was (R20).
    fn check_idle(&mut self, timer: TimerId, id: ChannelId, after: Duration) {
        let now = self.clock.get();
        let Some(slot) = self.slot(id) else {
            self.timers.finish(timer);
            return;
        };
        let due = later(self.clock.instant(slot.active_at), after);
        let next = if due > now {
            due
        } else {
            later(now, after.max(SHORTEST))
        };
        // A stream's first callback is `handle_connect`, however long that takes.
        let greeted = matches!(slot.phase, Phase::Open);
        let closing = slot.flags.is_closing() && slot.awaits_peer();
        self.timers.rearm(timer, next, Task::Idle(id, after));
        if due > now || !greeted {
            return;
        }
        // Its peer takes nothing of what is left: a `handle_timeout` that ends gracefully would be asked for ever.
        if closing {
            self.close(id, "idle for too long");
            return;
        }
        self.visiting = id;
        self.call(id, Dispatcher::handle_timeout);
        self.visiting = ChannelId::NONE;
        self.revisit(id);
    }
}
