//! Calling the users' objects, and what the outcome of a callback means (R8, R9, R3b).

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::{
    closed::Cause,
    error::{
        BoxError, Meaning, Panicked, Payload, Result, Shown, drop_payload, guard, meaning,
        meaning_after_reset,
    },
    id::ChannelId,
    state::{
        channel::Channel, dispatcher::Dispatcher, flags::Peer, registry::Registry, slot::Slot,
    },
};

/// After this number of callbacks in a row that did nothing comes a warning (R3b).
const SPIN_LIMIT: u16 = 1000;

/// What keeps a channel busy with nothing.
#[derive(Clone, Copy)]
pub(crate) enum Spin {
    Callback,
    /// It gives no bytes, but does not say `Pending`.
    Producer,
    /// `handle_error(OutgoingFull)` pushes.
    FullQueue,
}

impl fmt::Display for Spin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = match self {
            Self::Callback => (
                "callbacks in a row without any effect",
                "have readable() or writable() answer false while there is nothing to do, or read what is there",
            ),
            Self::Producer => (
                "turns in a row in which its producer gave no bytes",
                "have it answer Pending, and call touch() once it has some",
            ),
            Self::FullQueue => (
                "times in a row handle_error pushed more into a full queue",
                "on OutgoingFull close the channel, or raise its limit first",
            ),
        };
        write!(f, "{SPIN_LIMIT} {what}; {advice}")
    }
}

/// An object out of its slot, and what came of calling it.
pub(crate) struct Lent {
    pub(crate) object: Box<dyn Dispatcher>,
    pub(crate) outcome: Result<Result, Payload>,
    /// [`Registry::progress`] before the call.
    pub(crate) progress: u64,
    /// Whether the object wanted the call.
    pub(crate) ran: bool,
}

impl Registry {
    /// Asks a predicate; a panic in it is the channel's error, and a no.
    pub(crate) fn ask(&mut self, id: ChannelId, f: impl FnOnce(&dyn Dispatcher) -> bool) -> bool {
        let Some(object) = self.slot(id).and_then(|slot| slot.dispatcher.as_deref()) else {
            return false;
        };
        match guard(self.policy.propagate_panics, || f(object)) {
            Ok(answer) => answer,
            Err(panic) => {
                self.fail(id, Panicked::new(panic).into());
                false
            }
        }
    }

    /// Runs one callback. False if it failed.
    pub(crate) fn call(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result,
    ) -> bool {
        let Some(object) = self.take_object(id) else {
            return true;
        };
        let lent = self.lend(id, object, |_| true, f);
        self.take_back(id, lent)
    }

    /// Runs a callback, watched, if its object wants it. True if it did.
    pub(crate) fn call_if(
        &mut self,
        id: ChannelId,
        wants: impl FnOnce(&dyn Dispatcher) -> bool,
        f: impl FnOnce(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result,
    ) -> bool {
        let Some(object) = self.take_object(id) else {
            return false;
        };
        let lent = self.lend(id, object, wants, f);
        let (ran, progress) = (lent.ran, lent.progress);
        self.take_back(id, lent);
        if ran {
            self.watch_for_spin(id, progress);
        }
        ran
    }

    /// Runs `f` with an object that was taken out of its slot, if `wants` says so. The object has to be taken back.
    #[inline(always)]
    pub(crate) fn lend(
        &mut self,
        id: ChannelId,
        mut object: Box<dyn Dispatcher>,
        wants: impl FnOnce(&dyn Dispatcher) -> bool,
        f: impl FnOnce(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result,
    ) -> Lent {
        let progress = self.progress;
        let mut ran = false;
        let channel = &mut Channel::new(self, id);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            ran = wants(&*object);
            if !ran {
                return Ok(());
            }
            channel.registry.stats.callbacks += 1;
            f(&mut *object, channel)
        }))
        .map_err(|panic| self.policy.contain(panic));
        self.uncork();
        Lent {
            object,
            outcome,
            progress,
            ran,
        }
    }

    /// Puts an object back and deals with what its callback answered. False if it failed.
    pub(crate) fn take_back(&mut self, id: ChannelId, lent: Lent) -> bool {
        self.put_back(id, lent.object);
        self.conclude(id, lent.outcome)
    }

    /// Takes an object back after `handle_read` and a flush that met `failure`; `input` is the slot's from before.
    #[inline(never)]
    pub(crate) fn take_back_reader(
        &mut self,
        id: ChannelId,
        lent: Lent,
        input: (u64, usize),
        failure: Option<io::Error>,
    ) -> bool {
        let (ran, progress) = (lent.ran, lent.progress);
        self.put_back(id, lent.object);
        if let Some(error) = failure {
            self.sending_failed(id, error);
        }
        let fine = self.conclude(id, lent.outcome);
        // What arrived before a reset, or before a failure of the filter, is waited for only as long as it is read.
        if let Some(slot) = self.slot_mut(id)
            && (slot.flags.peer() == Peer::Reset || slot.has_filter_failure())
            && slot.input_state() == input
        {
            slot.readiness.read_blocked();
            slot.unread = None;
        }
        if ran {
            self.watch_for_spin(id, progress);
        }
        fine
    }

    /// Deals with what a callback answered. False if it failed.
    #[inline]
    pub(crate) fn conclude(&mut self, id: ChannelId, outcome: Result<Result, Payload>) -> bool {
        match outcome {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let failed = meaning(&*error) != Meaning::Nothing;
                self.fail(id, error);
                !failed
            }
            Err(panic) => {
                self.fail(id, Panicked::new(panic).into());
                false
            }
        }
    }

    /// Counts callbacks that did nothing; `progress` is that from before the callback (R3b).
    pub(crate) fn watch_for_spin(&mut self, id: ChannelId, progress: u64) {
        if self.progress == progress {
            self.spun(id, Spin::Callback);
        } else if let Some(slot) = self.slot_mut(id) {
            slot.idle_calls = 0;
        }
    }

    /// Counts one more time that nothing came of it.
    pub(crate) fn spun(&mut self, id: ChannelId, spin: Spin) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.idle_calls = slot.idle_calls.saturating_add(1);
        if slot.idle_calls >= SPIN_LIMIT && slot.warn() {
            let name = slot.type_name;
            log::warn!(target: "asynchat::reactor", "channel {id} ({name}) spins: {spin}");
        }
    }

    /// Decides what an error means for its channel (R8, R9).
    #[cold]
    pub(crate) fn fail(&mut self, id: ChannelId, error: BoxError) {
        let meaning = match self.slot(id) {
            Some(slot) if slot.flags.peer() == Peer::Reset => meaning_after_reset(&*error),
            _ => meaning(&*error),
        };
        match meaning {
            Meaning::Nothing => {}
            Meaning::Reset => match self.slot(id) {
                Some(slot) if slot.has_connection() => {
                    // The error may be another connection's: what was pushed before it is tried, as before any close.
                    self.send_before_close(id);
                    if let Some(slot) = self.slot_mut(id) {
                        slot.flags.note_reset();
                    }
                }
                Some(_) => {
                    log::debug!(target: "asynchat::channel", "channel {id}: {}", Shown(&error));
                }
                None => {}
            },
            Meaning::Failure => return self.fail_with(id, error),
        }
        self.discard(error);
    }

    /// Hands a failure of any kind to `handle_error`.
    pub(crate) fn fail_with(&mut self, id: ChannelId, error: BoxError) {
        self.stats.errors += 1;
        if self.slot(id).is_none() {
            log::debug!(target: "asynchat::channel", "channel {id}: error after close: {}", Shown(&error));
            return self.discard(error);
        }
        self.call_error(id, error);
    }

    pub(crate) fn call_error(&mut self, id: ChannelId, error: BoxError) {
        let Some(object) = self.take_object(id) else {
            return self.discard(error);
        };
        #[cfg(feature = "testing")]
        self.record_error(id, &error);
        let cause = self.cause_of_failure(id, &error);
        let lent = self.on_occasion(id, cause, |registry| {
            registry.lend(
                id,
                object,
                |_| true,
                |object, channel| {
                    object.handle_error(channel, error);
                    Ok(())
                },
            )
        });
        self.put_back(id, lent.object);
        if let Err(panic) = lent.outcome {
            let panic = Panicked::new(panic);
            log::error!(target: "asynchat::channel", "channel {id}: handle_error {panic}");
            if !self.slot(id).is_some_and(Slot::outlives_errors) {
                self.close_for(id, panic.into());
            }
        }
    }

    /// Takes the object out for a callback, unless it is out, or has none to come but the last.
    pub(crate) fn take_object(&mut self, id: ChannelId) -> Option<Box<dyn Dispatcher>> {
        let slot = self.slot_mut(id).filter(|slot| !slot.is_lingering())?;
        slot.dispatcher.take()
    }

    /// Puts an object back behind its channel after a callback. If the channel was closed, the object's last callback is
    /// due; if it has a new object or was detached, the old one is dropped.
    #[inline(never)]
    pub(crate) fn put_back(&mut self, id: ChannelId, object: Box<dyn Dispatcher>) {
        match self.slot_mut(id) {
            Some(slot) if slot.dispatcher.is_none() => slot.dispatcher = Some(object),
            _ => self.put_aside(id, object),
        }
    }

    #[cold]
    fn put_aside(&mut self, id: ChannelId, object: Box<dyn Dispatcher>) {
        if let Err(object) = self.farewells.join(id, object) {
            self.discard(object);
        }
    }

    /// Drops something of the user's, whose `Drop` may panic.
    pub(crate) fn discard<T>(&self, object: T) {
        if let Err(panic) = guard(self.policy.propagate_panics, || drop(object)) {
            let panic = Panicked::new(panic);
            log::error!(target: "asynchat::reactor", "dropping a {}: {panic}", std::any::type_name::<T>());
        }
    }

    /// Records the error that `handle_error` gets, for the report of a dialogue that fails.
    #[cfg(feature = "testing")]
    fn record_error(&self, id: ChannelId, error: &BoxError) {
        if let Some(slot) = self.slot(id)
            && let crate::net::io::Io::MemoryStream(end) = &slot.io
            && let Some(pipe) = end.pipe()
        {
            pipe.lock().failure = Some(Shown(error).to_string());
        }
    }

    /// A panic that left the guards of single callbacks: user code ran outside of them. The channel that it came from, if
    /// any, is ended, and nothing else.
    #[cold]
    pub(crate) fn end_after_panic(&mut self, id: Option<ChannelId>, panic: Payload) {
        self.visiting = ChannelId::NONE;
        self.uncork();
        if let Some(id) = id
            && !self
                .slot(id)
                .is_some_and(|slot| slot.outlives_errors() && slot.dispatcher.is_some())
            // The rest of what the channel holds may panic as well.
            && let Err(next) = catch_unwind(AssertUnwindSafe(|| self.close(id, Cause::Panic)))
        {
            drop_payload(next);
        }
        self.forget_lost();
        if self.policy.propagate_panics {
            self.clock.end_turn();
            resume_unwind(panic);
        }
        self.stats.errors += 1;
        let whose = id.map_or_else(String::new, |id| format!("channel {id}: "));
        let panic = Panicked::new(panic);
        log::error!(target: "asynchat::reactor", "{whose}outside a callback: {panic}");
    }
}
