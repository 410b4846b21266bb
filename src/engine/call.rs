//! Calling the users' objects, and what the outcome of a callback means (R8, R9, R3b).

use crate::{
    error::{BoxError, Meaning, Panicked, Result, guard, meaning},
    id::ChannelId,
    net::io::Role,
    state::{
        channel::Channel, dispatcher::Dispatcher, flags::Flags, phase::Phase, registry::Registry,
    },
};

/// So many callbacks in a row without any effect get a warning (R3b).
const SPIN_LIMIT: u16 = 1000;

impl Registry {
    /// Asks a predicate; a panic in it is the channel's error, and a no.
    pub(crate) fn ask(&mut self, id: ChannelId, f: impl FnOnce(&dyn Dispatcher) -> bool) -> bool {
        let Some(object) = self.slot(id).and_then(|slot| slot.dispatcher.as_deref()) else {
            return false;
        };
        match guard(self.policy.propagate_panics, || f(object)) {
            Ok(answer) => answer,
            Err(panic) => {
                self.fail(id, Panicked::new(&*panic).into());
                false
            }
        }
    }

    /// Runs one callback. False if it failed.
    pub(crate) fn call(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        self.stats.callbacks += 1;
        self.with_object(id, f)
    }

    /// Runs a callback and counts it if it did nothing at all. False if it failed.
    pub(crate) fn call_watched(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        let before = self.effects;
        let fine = self.call(id, f);
        self.watch_for_spin(id, before);
        fine
    }

    /// Runs a callback, watched, if its object wants it. Tells whether it did.
    pub(crate) fn call_if(
        &mut self,
        id: ChannelId,
        wants: impl FnOnce(&dyn Dispatcher) -> bool,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        let before = self.effects;
        let mut wanted = false;
        self.with_object(id, |d, channel| {
            wanted = wants(d);
            if wanted { f(d, channel) } else { Ok(()) }
        });
        if wanted {
            self.stats.callbacks += 1;
            self.watch_for_spin(id, before);
        }
        wanted
    }

    /// Runs `f` with the object of a channel taken out of its slot. False if it failed.
    pub(crate) fn with_object(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        let Some(mut object) = self.slot_mut(id).and_then(|slot| slot.dispatcher.take()) else {
            return true;
        };
        let propagate = self.policy.propagate_panics;
        let mut channel = Channel::new(self, id);
        let outcome = guard(propagate, || f(&mut *object, &mut channel));
        self.uncork();
        self.put_back(id, object);
        self.conclude(id, outcome)
    }

    /// Deals with what a callback answered. False if it failed.
    #[inline]
    pub(crate) fn conclude(&mut self, id: ChannelId, outcome: std::thread::Result<Result>) -> bool {
        match outcome {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let failed = meaning(&*error) != Meaning::Nothing;
                self.fail(id, error);
                !failed
            }
            Err(panic) => {
                self.fail(id, Panicked::new(&*panic).into());
                false
            }
        }
    }

    /// Looks whether a callback had any effect (R3b).
    pub(crate) fn watch_for_spin(&mut self, id: ChannelId, effects_before: u64) {
        let idle = self.effects == effects_before;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if !idle {
            slot.fruitless = 0;
            return;
        }
        slot.fruitless = slot.fruitless.saturating_add(1);
        if slot.fruitless >= SPIN_LIMIT && !slot.flags.has(Flags::WARNED) {
            slot.flags.set(Flags::WARNED);
            let name = slot.type_name;
            log::warn!(
                target: "asynchat::reactor",
                "channel {id} ({name}) spins: {SPIN_LIMIT} callbacks in a row without any effect; \
                 have readable() or writable() answer false while there is nothing to do, or read what is there"
            );
        }
    }

    /// Decides what an error means for its channel (R8, R9).
    #[cold]
    pub(crate) fn fail(&mut self, id: ChannelId, error: BoxError) {
        match meaning(&*error) {
            Meaning::Nothing => {}
            Meaning::Reset => match self.slot_mut(id) {
                Some(slot) if matches!(slot.io.role(), Role::Stream | Role::Fd) => {
                    slot.flags.set(Flags::RESET);
                }
                Some(_) => log::debug!(target: "asynchat::channel", "channel {id}: {error}"),
                None => {}
            },
            Meaning::Failure => self.fail_with(id, error),
        }
    }

    /// Hands a failure to `handle_error`, whatever kind it is.
    pub(crate) fn fail_with(&mut self, id: ChannelId, error: BoxError) {
        self.stats.errors += 1;
        if self.slot(id).is_none() {
            log::debug!(target: "asynchat::channel", "channel {id}: error after close: {error}");
            return;
        }
        self.call_error(id, error);
    }

    pub(crate) fn call_error(&mut self, id: ChannelId, error: BoxError) {
        let Some(mut object) = self.slot_mut(id).and_then(|slot| slot.dispatcher.take()) else {
            return;
        };
        #[cfg(feature = "testing")]
        self.tell_kit(id, &error);
        self.stats.callbacks += 1;
        let propagate = self.policy.propagate_panics;
        let mut channel = Channel::new(self, id);
        let outcome = guard(propagate, || object.handle_error(&mut channel, error));
        self.uncork();
        self.put_back(id, object);
        if let Err(panic) = outcome {
            log::error!(target: "asynchat::channel", "channel {id}: handle_error {}", Panicked::new(&*panic));
            if !Channel::new(self, id).outlives_errors() {
                self.close(id, "handle_error panicked");
            }
        }
    }

    /// Puts an object back behind its channel after a callback, or drops it if the channel is gone or has got a
    /// new one.
    #[inline(never)]
    pub(crate) fn put_back(&mut self, id: ChannelId, object: Box<dyn Dispatcher>) {
        match self.slot_mut(id) {
            Some(slot)
                if slot.dispatcher.is_none() && !matches!(slot.phase, Phase::Lingering { .. }) =>
            {
                slot.dispatcher = Some(object);
            }
            _ => self.discard(object),
        }
    }

    /// Drops something of the user's, whose `Drop` may panic.
    pub(crate) fn discard<T>(&self, object: T) {
        if let Err(panic) = guard(self.policy.propagate_panics, || drop(object)) {
            log::error!(target: "asynchat::reactor", "dropping a {}: {}", std::any::type_name::<T>(), Panicked::new(&*panic));
        }
    }
}
