//! What timers and calls do when their time has come.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use crate::{
    closed::Cause,
    error::{BoxError, ErrorSource, Panicked, Result, Shown, drop_payload, guard},
    id::ChannelId,
    state::{
        dispatcher::Dispatcher,
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
                if let Some(slot) = task.channel().and_then(|id| self.slot_mut(id)) {
                    slot.forget_call(timer);
                }
                self.discard(task);
                true
            }
            Cancelled::Firing => true,
        }
    }

    /// Arms a call that is lent a channel's object. It is over at once if no callback of that object can follow.
    pub(crate) fn arm_call(&mut self, id: ChannelId, delay: Duration, task: Task) -> TimerId {
        let deadline = self.after(delay);
        let timer = self.timers.insert(deadline, task);
        match self.slot_mut(id) {
            Some(slot) if !slot.is_lingering() => slot.add_call(timer),
            _ => {
                self.cancel_timer(timer);
            }
        }
        timer
    }

    /// Ends all calls that are to be lent a channel's object: another takes its place, or none.
    pub(crate) fn end_calls(&mut self, id: ChannelId) {
        if let Some(slot) = self.slot_mut(id) {
            let calls = slot.take_calls();
            self.cancel_calls(calls);
        }
    }

    /// Ends calls that are in the set of no channel any more.
    pub(crate) fn cancel_calls(&mut self, calls: BTreeSet<TimerId>) {
        let mut first = None;
        // Every closure may panic when it is dropped. A panic that leaves the loop must not meet another, nor keep a timer.
        for timer in calls {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.cancel_timer(timer))) {
                if first.is_none() {
                    first = Some(panic);
                } else {
                    drop_payload(panic);
                }
            }
        }
        if let Some(panic) = first {
            resume_unwind(panic);
        }
    }

    /// Runs the closure of a timer or of a call; its error or panic goes to the error hook.
    pub(crate) fn run_job(&mut self, source: ErrorSource, job: impl FnOnce(&mut Self) -> Result) {
        self.stats.callbacks += 1;
        let outcome = guard(self.policy.propagate_panics, || job(self));
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => Panicked::new(panic).into(),
        };
        self.report_error(source, error);
    }

    /// Hands an error that belongs to no channel to the error hook.
    pub(crate) fn report_error(&mut self, source: ErrorSource, error: BoxError) {
        self.stats.errors += 1;
        let Some(mut hook) = self.on_error.take() else {
            let target = match source {
                ErrorSource::Timer => "asynchat::timer",
                ErrorSource::Handle
                | ErrorSource::CallSoon
                | ErrorSource::Signal
                | ErrorSource::Sent => "asynchat::reactor",
            };
            log::error!(target: target, "{source:?} callback: {}", Shown(&error));
            return self.discard(error);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| hook(self, source, error)));
        // It may have pushed to the channel that is being visited.
        self.uncork();
        self.on_error = Some(hook);
        if let Err(panic) = outcome {
            if self.policy.propagate_panics {
                resume_unwind(panic);
            }
            let panic = Panicked::new(panic);
            log::error!(target: "asynchat::reactor", "the error hook {panic}");
        }
    }

    /// Whether a signal has come whose closures did not run.
    pub(crate) fn has_signals(&self) -> bool {
        #[cfg(all(unix, feature = "signals"))]
        return self
            .signals
            .as_ref()
            .is_some_and(|signals| signals.is_due());
        #[cfg(not(all(unix, feature = "signals")))]
        false
    }

    #[cfg(all(unix, feature = "signals"))]
    pub(crate) fn collect_signals(&mut self) {
        if let Some(signals) = &mut self.signals {
            signals.collect();
        }
    }

    /// Runs the closures of the signals that were collected.
    #[cfg(all(unix, feature = "signals"))]
    pub(crate) fn run_signals(&mut self) {
        while let Some((id, mut f)) = self.signals.as_mut().and_then(|signals| signals.take()) {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.run_job(ErrorSource::Signal, |registry| f(registry));
            }));
            // Also after a panic that leaves the loop: the signal will come again.
            let removed = match &mut self.signals {
                Some(signals) => signals.put_back(id, f),
                None => Some(f),
            };
            self.discard(removed);
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        }
    }

    pub(crate) fn fire(&mut self, timer: TimerId, deadline: Instant, task: Task) {
        match task {
            Task::Every { period, mut f } => {
                log::trace!(target: "asynchat::timer", "{timer} fires");
                self.run_job(ErrorSource::Timer, |registry| f(registry));
                let next = self.next_run(deadline, period);
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
            Task::LentOnce(id, f) => {
                self.timers.finish(timer);
                if let Some(slot) = self.slot_mut(id) {
                    slot.forget_call(timer);
                }
                log::trace!(target: "asynchat::timer", "{timer} fires for channel {id}");
                self.visiting = id;
                self.call(id, f);
                self.visiting = ChannelId::NONE;
                self.revisit(id);
            }
            Task::LentEvery(id, mut call) => {
                log::trace!(target: "asynchat::timer", "{timer} fires for channel {id}");
                self.visiting = id;
                self.call(id, |object, channel| (call.f)(object, channel));
                self.visiting = ChannelId::NONE;
                let next = self.next_run(deadline, call.period);
                let over = if self.timers.contains(timer) {
                    self.timers.rearm(timer, next, Task::LentEvery(id, call));
                    None
                } else {
                    if let Some(slot) = self.slot_mut(id) {
                        slot.forget_call(timer);
                    }
                    Some(call)
                };
                self.revisit(id);
                self.discard(over);
            }
            Task::Idle(id, after) => self.check_idle(timer, id, after),
            Task::Connect(id) => {
                self.timers.finish(timer);
                self.connect_timer_fired(id);
            }
            Task::Handshake(id) => {
                self.timers.finish(timer);
                self.handshake_timed_out(id);
            }
            Task::LookUp(asker) => {
                self.timers.finish(timer);
                self.look_up_is_late(asker);
            }
            Task::Linger(id) => {
                self.timers.finish(timer);
                self.close(id, Cause::LingerLimit);
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
            Task::Resume(id) => {
                self.timers.finish(timer);
                self.end_timed_pause(id);
            }
            Task::Grace => {
                self.timers.finish(timer);
                self.close_each(Cause::Shutdown);
            }
        }
    }

    /// The next time of a periodic timer: missed runs are skipped, and it keeps to the grid.
    fn next_run(&self, deadline: Instant, period: Duration) -> Instant {
        // No sum can overflow: `call_every` bounds the period, and the runs that were skipped are no longer than the delay.
        let now = self.clock.get();
        let late = now.saturating_duration_since(deadline);
        let skipped = u32::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(0);
        let next = deadline + period * skipped.saturating_add(1);
        if next > now { next } else { now + period }
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
        let greeted = slot.is_open();
        let closing = slot.flags.is_closing() && slot.awaits_peer();
        self.timers.rearm(timer, next, Task::Idle(id, after));
        if due > now || !greeted {
            return;
        }
        // Its peer takes nothing of what is left: a `handle_timeout` that ends gracefully would be asked for ever.
        if closing {
            self.close(id, Cause::IdleTimeout);
            return;
        }
        self.visiting = id;
        self.on_occasion(id, Cause::IdleTimeout, |registry| {
            registry.call(id, Dispatcher::handle_timeout)
        });
        self.visiting = ChannelId::NONE;
        self.revisit(id);
    }
}
