//! Looking channels up: by their ids, and all of them.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    error::{Result, VisitError},
    id::ChannelId,
    state::{channel::Channel, dispatcher::Dispatcher, registry::Registry},
    stats::{ChannelInfo, Stats},
};

/// # Looking up
impl Registry {
    /// The channel with this id, or `None` once it is closed. O(1).
    ///
    /// ```
    /// # use asynchat::{ChannelId, Reactor};
    /// fn broadcast(reactor: &mut Reactor, members: &[ChannelId], line: &'static str) {
    ///     for &id in members {
    ///         if let Some(mut member) = reactor.channel(id) {
    ///             member.push(line);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        self.slot(id)?;
        Some(Channel::new(self, id))
    }

    /// Lends the object behind a channel, together with the channel.
    ///
    /// ```
    /// # use asynchat::*;
    /// # struct Counter { hits: u32 } impl Dispatcher for Counter {}
    /// # fn main() -> std::io::Result<()> {
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.listen(([127, 0, 0, 1], 0), Counter { hits: 0 })?;
    /// let hits = reactor.with(id, |counter: &mut Counter, _channel| {
    ///     counter.hits += 1;
    ///     counter.hits
    /// });
    /// assert_eq!(hits, Ok(1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`VisitError`] if the channel is closed, if one of its callbacks is running, or if its object is not a `D`. An
    /// object that was registered as a `Box<dyn Dispatcher>` counts as what is in the box.
    ///
    /// # Panics
    /// If `f` panics. The object is back in its channel then.
    pub fn with<D: Dispatcher, R>(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut D, &mut Channel<'_>) -> R,
    ) -> Result<R, VisitError> {
        let slot = self.slot_mut(id).ok_or(VisitError::Closed(id))?;
        // A channel whose end is only waited for: its object has one callback left.
        if slot.is_lingering() {
            return Err(VisitError::Closed(id));
        }
        let Some(dispatcher) = slot.dispatcher.as_deref() else {
            return Err(VisitError::Busy(id));
        };
        if !(dispatcher as &dyn Any).is::<D>() {
            return Err(VisitError::WrongType(id));
        }
        let Some(mut object) = slot.dispatcher.take() else {
            return Err(VisitError::Busy(id));
        };
        // The object goes back even if `f` panics; the panic belongs to the caller.
        let result = match (&mut *object as &mut dyn Any).downcast_mut::<D>() {
            Some(d) => catch_unwind(AssertUnwindSafe(|| f(d, &mut Channel::new(self, id)))),
            None => return Err(VisitError::WrongType(id)),
        };
        self.uncork();
        self.put_back(id, object);
        self.touch_later(id);
        result.map_err(|panic| std::panic::resume_unwind(panic))
    }

    /// [`with`](Self::with) for an `f` that can fail: one `?` is for both.
    ///
    /// ```
    /// use asynchat::{Channel, ChannelId, Dispatcher, Result};
    ///
    /// struct Quota {
    ///     left: u32,
    /// }
    /// impl Dispatcher for Quota {}
    ///
    /// fn spend(channel: &mut Channel<'_>, quota: ChannelId) -> Result<u32> {
    ///     channel.registry().try_with(quota, |quota: &mut Quota, _| {
    ///         quota.left = quota.left.checked_sub(1).ok_or("nothing is left")?;
    ///         Ok(quota.left)
    ///     })
    /// }
    ///
    /// # fn main() -> Result {
    /// # let mut reactor = asynchat::Reactor::new()?;
    /// let id = reactor.listen(([127, 0, 0, 1], 0), Quota { left: 1 })?;
    /// let mut channel = reactor.channel(id).ok_or("closed")?;
    /// assert_eq!(spend(&mut channel, id)?, 0);
    /// assert_eq!(spend(&mut channel, id).unwrap_err().to_string(), "nothing is left");
    /// channel.close();
    /// assert!(spend(&mut channel, id).unwrap_err().is::<asynchat::VisitError>());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`VisitError`] as for [`with`](Self::with), and the error of `f`.
    ///
    /// # Panics
    /// If `f` panics. The object is back in its channel then.
    pub fn try_with<D: Dispatcher, R>(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut D, &mut Channel<'_>) -> Result<R>,
    ) -> Result<R> {
        self.with(id, f)?
    }

    /// Whether the object behind a channel is there, and a `D`.
    pub(crate) fn holds<D: Dispatcher>(&self, id: ChannelId) -> bool {
        self.slot(id)
            .and_then(|slot| slot.dispatcher.as_deref())
            .is_some_and(|object| (object as &dyn Any).is::<D>())
    }

    /// The ids of all open channels, for a loop in whose body channels are closed or pushed to. O(channels).
    ///
    /// ```
    /// # use asynchat::Registry;
    /// fn say_to_all(registry: &mut Registry, line: &'static str) {
    ///     for id in registry.ids() {
    ///         if let Some(mut channel) = registry.channel(id) {
    ///             channel.push(line);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn ids(&self) -> Vec<ChannelId> {
        self.every_id()
    }

    /// Facts about every open channel, for an operator's overview. O(channels).
    ///
    /// ```
    /// # use asynchat::Reactor;
    /// fn print_overview(reactor: &Reactor) {
    ///     for channel in reactor.channels() {
    ///         println!("{} {:?} {} bytes queued", channel.type_name, channel.state, channel.outgoing_len);
    ///     }
    ///     let stats = reactor.stats();
    ///     println!("{} channels, {} accepted, {} errors", stats.channels, stats.accepted, stats.errors);
    /// }
    /// ```
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo> {
        let now = self.now();
        self.slots.iter().map(move |(_, slot)| ChannelInfo {
            id: slot.id,
            type_name: slot.type_name,
            state: slot.state(),
            peer: slot.peer_addr().ok(),
            age: now.saturating_duration_since(self.clock.instant(slot.created)),
            bytes_in: slot.bytes_in,
            bytes_out: slot.bytes_out,
            outgoing_len: self.outgoing_len(slot.id),
        })
    }

    /// Counters since the reactor was made. O(1).
    pub fn stats(&self) -> Stats {
        Stats {
            channels: self.slots.len(),
            timers: self.timers.len(),
            ..self.stats
        }
    }
}
