//! Everything that lives in a reactor, and what callbacks may do with it: register, look up, time, stop.
//!
//! Holds the slab of channels and the queues a turn works through; `reactor.rs` drives it, `visit.rs` calls the
//! users' objects.

use std::{
    any::Any,
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use slab::Slab;

use crate::{
    Address, Channel, ChannelId, ChannelInfo, ConnectOptions, Dispatcher, Handle, ListenOptions,
    Result, Socket, Stats, TimerId, VisitError,
    buffers::ReadBuffers,
    builder::Policy,
    clock::Clock,
    cork::Cork,
    flags::Flags,
    handle::Job,
    outgoing::{Outgoing, Spare},
    readiness::Readiness,
    slot::{Accepting, Phase, Slot},
    socket::{Io, Role},
    task::{SHORTEST, Task},
    timer::{Cancelled, Timers},
};

/// All channels and timers of a reactor: the part callbacks may reach.
///
/// A [`Reactor`](crate::Reactor) dereferences to it, so the same calls set a program up and serve it from inside
/// callbacks ([`Channel::registry`]). `run` and `turn` are not on it: a callback cannot start a nested loop.
///
/// An id is looked up in O(1). Work asked for a channel while another is being served is done at the end of the
/// turn: all that was pushed leaves together.
pub struct Registry {
    pub(crate) poll: mio::Registry,
    pub(crate) policy: Policy,
    pub(crate) slots: Slab<Slot>,
    pub(crate) generation: u32,
    pub(crate) listeners: usize,
    /// Channels to visit next turn, each at most once.
    pub(crate) ready: Vec<ChannelId>,
    /// Channels changed from outside their own callbacks, to be looked at when the turn ends.
    pub(crate) touched: Vec<ChannelId>,
    /// The channel whose visit is on, or [`ChannelId::NONE`].
    pub(crate) visiting: ChannelId,
    pub(crate) cork: Cork,
    pub(crate) timers: Timers<Task>,
    pub(crate) clock: Clock,
    pub(crate) handle: Handle,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) buffers: ReadBuffers,
    pub(crate) spare: Spare,
    #[allow(
        clippy::vec_box,
        reason = "a slot holds a box: it is handed over, not copied"
    )]
    pub(crate) queues: Vec<Box<Outgoing>>,
    /// Listeners that wait for descriptors or memory.
    pub(crate) resting: Vec<ChannelId>,
    /// Listeners that wait for `max_channels`.
    pub(crate) held: Vec<ChannelId>,
    /// Counts whatever a callback does, for the spin detector.
    pub(crate) effects: u64,
    /// Counts what may end the service of a channel by its object: close, detach, replace.
    pub(crate) breaks: u64,
    /// Of the stream accepted last. Starts where no other reactor of the process comes to, because streams change reactors.
    pub(crate) serial: u64,
    /// The accepted stream registered last: its serial and its channel.
    pub(crate) adopted: Option<(u64, ChannelId)>,
    pub(crate) stats: Stats,
    pub(crate) stopping: bool,
    /// The timer of the grace, from `shutdown` until it is over.
    pub(crate) ending: Option<TimerId>,
    /// The shutdown is over, and whoever turns the loop has had one look at `is_idle`.
    pub(crate) ended: bool,
    /// What it connects to and listens on in a test.
    #[cfg(feature = "testing")]
    pub(crate) net: Option<crate::testing::world::Net>,
}

impl Registry {
    pub(crate) fn new(poll: mio::Registry, handle: Handle, policy: Policy) -> Self {
        let buffers = ReadBuffers::new(policy.read_buffer);
        let serial = first_serial();
        Self {
            poll,
            policy,
            slots: Slab::new(),
            generation: 0,
            listeners: 0,
            ready: Vec::new(),
            touched: Vec::new(),
            visiting: ChannelId::NONE,
            cork: Cork::none(),
            timers: Timers::new(serial),
            clock: Clock::new(),
            handle,
            jobs: VecDeque::new(),
            buffers,
            spare: Spare::default(),
            queues: Vec::new(),
            resting: Vec::new(),
            held: Vec::new(),
            effects: 0,
            breaks: 0,
            serial,
            adopted: None,
            stats: Stats::default(),
            stopping: false,
            ending: None,
            ended: false,
            #[cfg(feature = "testing")]
            net: None,
        }
    }

    /// Hands a socket and the object that serves it to the reactor.
    ///
    /// No callback runs from inside; a stream's `handle_connect` comes next turn. A stream is announced to the
    /// poller after its first visit, and only if it is still open then.
    ///
    /// # Errors
    /// When the descriptor cannot be watched (`InvalidInput` for a regular file) or cannot be made non-blocking;
    /// socket and object are dropped.
    pub fn register(
        &mut self,
        socket: impl Into<Socket>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let socket = socket.into();
        if socket.adopted {
            socket.io.check_pollable()?;
            socket.set_nonblocking()?;
        }
        let role = socket.io.role();
        let phase = match role {
            Role::Listener => Phase::Listening(Box::default()),
            Role::Stream => Phase::Fresh,
            Role::Datagram | Role::Fd => Phase::Open,
        };
        let serial = socket.serial;
        let mut slot = Slot::new(socket.io, Box::new(d), phase, self.clock.stamp());
        if socket.adopted {
            slot.flags.set(Flags::ADOPTED);
        }
        slot.peer = socket.peer.into();
        slot.readiness = match role {
            Role::Stream => Readiness::ASSUMED,
            // So that a first datagram can be sent at once.
            Role::Datagram => Readiness::WRITABLE,
            Role::Listener | Role::Fd => Readiness::default(),
        };
        let id = self.insert(slot, role != Role::Stream)?;
        if role == Role::Stream {
            self.enqueue(id);
        }
        if serial != 0 {
            self.adopted = Some((serial, id));
        }
        Ok(id)
    }

    /// Listens on a TCP address or a Unix path, with the defaults of [`ListenOptions`].
    ///
    /// ```
    /// # use asynchat::{Dispatcher, Reactor};
    /// # struct Acceptor; impl Dispatcher for Acceptor {}
    /// # fn main() -> std::io::Result<()> {
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.listen(([127, 0, 0, 1], 0), Acceptor)?;
    /// let address = reactor.channel(id).unwrap().local_addr()?;
    /// # let _ = address; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What `socket`, `bind` and `listen` say (`AddrInUse`, `PermissionDenied`, …).
    pub fn listen(
        &mut self,
        addr: impl Into<Address>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.listen_with(addr, &ListenOptions::new(), d)
    }

    /// Listens with other than the default options.
    ///
    /// # Errors
    /// Like [`listen`](Self::listen).
    pub fn listen_with(
        &mut self,
        addr: impl Into<Address>,
        options: &ListenOptions,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let io = self.bind(&addr.into(), options)?;
        let phase = Phase::Listening(Box::new(Accepting {
            nodelay: options.nodelay,
            ..Accepting::default()
        }));
        let slot = Slot::new(io, Box::new(d), phase, self.clock.stamp());
        self.insert(slot, true)
    }

    fn bind(&self, address: &Address, options: &ListenOptions) -> io::Result<Io> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return Ok(net.listen(address));
        }
        options.bind(address)
    }

    /// Connects to a TCP address or a Unix path.
    ///
    /// The outcome comes later, as `handle_connect` or as one `handle_expt(ConnectFailed)`, never from inside this
    /// call. What is pushed meanwhile is sent once connected. A host name has to be resolved first, with
    /// `ToSocketAddrs`, which blocks; pass all its addresses to [`connect_any`](Self::connect_any).
    ///
    /// # Errors
    /// Only when there is no descriptor or memory for a socket.
    pub fn connect(
        &mut self,
        addr: impl Into<Address>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.start_connect(vec![addr.into()], &ConnectOptions::new(), Box::new(d))
    }

    /// Connects to the first of `addrs` that answers, trying them in order.
    ///
    /// # Errors
    /// `InvalidInput` for an empty list, else like [`connect`](Self::connect).
    pub fn connect_any(
        &mut self,
        addrs: &[SocketAddr],
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.connect_with(addrs, &ConnectOptions::new(), d)
    }

    /// Connects like [`connect_any`](Self::connect_any), with other than the default options.
    ///
    /// # Errors
    /// Like [`connect_any`](Self::connect_any).
    pub fn connect_with(
        &mut self,
        addrs: &[SocketAddr],
        options: &ConnectOptions,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let addrs = addrs.iter().copied().map(Address::from).collect();
        self.start_connect(addrs, options, Box::new(d))
    }

    /// The channel named `id`, or `None` once it is closed. O(1).
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
    /// [`VisitError`]: the channel is closed, one of its callbacks is running, or its object is no `D`.
    pub fn with<D: Dispatcher, R>(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut D, &mut Channel<'_>) -> R,
    ) -> Result<R, VisitError> {
        let slot = self.slot_mut(id).ok_or(VisitError::Closed)?;
        let Some(dispatcher) = slot.dispatcher.as_deref() else {
            return Err(match slot.phase {
                Phase::Lingering { .. } => VisitError::Closed,
                _ => VisitError::Busy,
            });
        };
        if !(dispatcher as &dyn Any).is::<D>() {
            return Err(VisitError::WrongType);
        }
        let Some(mut object) = slot.dispatcher.take() else {
            return Err(VisitError::Busy);
        };
        // The object goes back even if `f` panics; the panic belongs to the caller.
        let result = match (&mut *object as &mut dyn Any).downcast_mut::<D>() {
            Some(d) => catch_unwind(AssertUnwindSafe(|| f(d, &mut Channel::new(self, id)))),
            None => return Err(VisitError::WrongType),
        };
        self.uncork();
        self.put_back(id, object);
        self.touch_later(id);
        result.map_err(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `f` once, `delay` from this turn's [`now`](Self::now). O(log n).
    ///
    /// A delay of zero means the next turn. An error or panic of `f` goes to the reactor's error hook
    /// ([`Builder::on_error`](crate::Builder::on_error)).
    pub fn call_later(
        &mut self,
        delay: Duration,
        f: impl FnOnce(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let deadline = self.after(delay);
        self.timers.insert(deadline, Task::Once(Box::new(f)))
    }

    /// Runs `f` every `period`, for the first time one period from now. O(log n).
    ///
    /// Runs keep to the grid of the first one; those that could not run in time are skipped, not made up for. A
    /// period shorter than a millisecond counts as one, the poller's resolution. An error does not end it.
    pub fn call_every(
        &mut self,
        period: Duration,
        f: impl FnMut(&mut Registry) -> Result + 'static,
    ) -> TimerId {
        let period = period.max(SHORTEST);
        let deadline = self.after(period);
        self.timers.insert(
            deadline,
            Task::Every {
                period,
                f: Box::new(f),
            },
        )
    }

    /// Ends a timer; `false` if it has run, or was cancelled, before. O(log n). Works from inside the timer too.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        match self.timers.cancel(timer) {
            Cancelled::NotFound => false,
            Cancelled::Pending(task) => {
                self.discard(task);
                true
            }
            Cancelled::Firing => true,
        }
    }

    /// Moves a timer: its next run is `delay` from this turn's [`now`](Self::now), after that a
    /// [`call_every`](Self::call_every) goes on from there. O(log n), and cheaper than a new timer.
    ///
    /// `false` if it has run, was cancelled, or is running at the moment.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut reactor = asynchat::Reactor::new().unwrap();
    /// let minute = Duration::from_secs(60);
    /// let watchdog = reactor.call_later(minute, |_| Err("nothing moved for a minute".into()));
    /// // Something moved:
    /// assert!(reactor.reschedule(watchdog, minute));
    /// ```
    pub fn reschedule(&mut self, timer: TimerId, delay: Duration) -> bool {
        let deadline = self.after(delay);
        self.timers.reschedule(timer, deadline)
    }

    /// A way into this reactor from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Makes [`Reactor::run`](crate::Reactor::run) return after the turn in progress; asked before `run`, it
    /// returns at once. Nothing is closed.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Ends everything gracefully: listeners and pending connects close now, every other channel, the caller's too,
    /// gets `close_when_done`, and what is left after `grace` is closed. `run` returns when the last channel is gone,
    /// timers or not (R22).
    ///
    /// Push last words before: afterwards they are dropped. What peers have sent and nobody has read is not served.
    pub fn shutdown(&mut self, grace: Duration) {
        log::info!(target: "asynchat::reactor", "shutting down: {} channels open, {grace:?} of grace", self.slots.len());
        for id in self.ids() {
            match self.slot(id).map(|slot| &slot.phase) {
                Some(Phase::Listening(_) | Phase::Connecting(_)) => self.close(id, "shutdown"),
                Some(_) => Channel::new(self, id).close_when_done(),
                None => {}
            }
        }
        let deadline = self.after(grace);
        // A second shutdown changes the grace of the first.
        if !self
            .ending
            .is_some_and(|timer| self.timers.reschedule(timer, deadline))
        {
            self.ending = Some(self.timers.insert(deadline, Task::Grace));
        }
    }

    /// Closes every channel at once, without callbacks. Timers stay.
    pub fn close_all(&mut self) {
        for id in self.ids() {
            self.close(id, "close_all");
        }
    }

    /// A look at every open channel. O(channels).
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
            outgoing_len: slot.outgoing_len() + self.cork.uncounted(slot.id),
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

    /// Whether `run` would return: no channel, no timer and no [`Hold`](crate::Hold) is left, or after
    /// [`shutdown`](Self::shutdown) no channel.
    pub fn is_idle(&self) -> bool {
        let awaited = || !self.timers.is_empty() || self.handle.is_held();
        self.slots.is_empty() && (self.ending.is_some() || !awaited())
    }

    pub(crate) fn note_finished_shutdown(&mut self) {
        self.ended = self.ending.is_some() && self.slots.is_empty();
    }

    /// What comes after a shutdown is a new life: timers count again.
    pub(crate) fn forget_finished_shutdown(&mut self) {
        if std::mem::take(&mut self.ended)
            && let Some(grace) = self.ending.take()
        {
            self.cancel(grace);
        }
    }

    /// The time of this turn: read once after the poll, the same for all its callbacks.
    /// Between turns it is the present.
    pub fn now(&self) -> Instant {
        self.clock.get()
    }

    pub(crate) fn after(&self, delay: Duration) -> Instant {
        let now = self.now();
        // A delay past the end of time is one nobody will see the end of.
        now.checked_add(delay)
            .unwrap_or_else(|| now + Duration::from_secs(60 * 60 * 24 * 365 * 30))
    }
}

/// Far from that of any other reactor.
fn first_serial() -> u64 {
    // 32 bits, because not every target has wider atomics.
    static REACTORS: AtomicU32 = AtomicU32::new(0);
    u64::from(REACTORS.fetch_add(1, Ordering::Relaxed)) << 40
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("channels", &self.slots.len())
            .field("timers", &self.timers.len())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}
