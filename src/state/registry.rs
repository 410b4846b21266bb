//! The reactor's data: the table of channels and the queues that a turn works through.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mio::{Events, Poll};
use slab::Slab;

use crate::{
    error::{BoxError, ErrorSource, Result},
    id::ChannelId,
    outgoing::{cork::Cork, part::Sent},
    state::{
        channel::Channel,
        dispatcher::Dispatcher,
        farewell::{Farewells, Occasion},
        look_ups::{AskerId, LookUps},
        policy::Policy,
        pool::Pool,
        slot::Slot,
    },
    stats::Stats,
    threads::mailbox::Mailbox,
    time::{
        clock::Clock,
        timer::{TimerId, Timers},
    },
};

/// A call from another thread.
pub(crate) type Post = Box<dyn FnOnce(&mut Registry) -> Result + Send>;

/// A call that the loop's own thread put off.
pub(crate) type Job = Box<dyn FnOnce(&mut Registry) -> Result>;

#[cfg(all(unix, feature = "signals"))]
pub(crate) type OnSignal = Box<dyn FnMut(&mut Registry) -> Result>;

/// Told how much of a queued part has left.
pub(crate) type SentHook = Box<dyn FnOnce(&mut Registry, Sent) -> Result>;

/// Who waits for the addresses of a host name.
pub(crate) enum Who {
    Channel(ChannelId),
    Call(Box<OnAnswer>),
}

pub(crate) type OnAnswer = dyn FnOnce(&mut Registry, io::Result<Vec<SocketAddr>>) -> Result;

pub(crate) type ErrorHook = Box<dyn FnMut(&mut Registry, ErrorSource, BoxError)>;

/// All channels and timers of a reactor: the part that callbacks may reach.
///
/// A [`Reactor`](crate::Reactor) dereferences to it, so the same calls set a program up and serve it from inside
/// callbacks ([`Channel::registry`](crate::Channel::registry)). `run` and `turn` are methods of `Reactor` alone: a
/// callback cannot start a nested loop. The methods are in these sections:
///
/// - [Opening](Registry#opening) sockets: register, listen, connect
/// - [Names](Registry#names) of hosts: connecting by name, and looking one up
/// - [Coupling](Registry#coupling) two connections
/// - [Looking up](Registry#looking-up) channels and counters, and [chats](Registry#chats)
/// - [Timers](Registry#timers) and [calls put off](Registry#calls)
/// - [Signals](Registry#signals), with the feature `signals`
/// - [Ending](Registry#ending) the loop
/// - [Other threads](Registry#other-threads)
///
/// Exchanging two registries with [`mem::swap`](std::mem::swap) between turns exchanges the reactors with all they have.
/// A callback that does so loses its own channel, no other.
///
/// An id is looked up in O(1). If a callback pushes to other channels, the reactor sends their queues at the end of the
/// turn, each in as few writes as possible.
pub struct Registry {
    /// Here and not in `Reactor`: two registries that a program exchanges take their pollers along.
    pub(crate) poll: Poll,
    pub(crate) events: Events,
    /// The last poll was full.
    pub(crate) events_left: bool,
    pub(crate) policy: Policy,
    pub(crate) on_error: Option<ErrorHook>,
    pub(crate) slots: Slab<Slot>,
    pub(crate) generation: u32,
    pub(crate) listeners: usize,
    /// Channels to visit next turn, each at most once.
    pub(crate) ready: Vec<ChannelId>,
    /// Channels changed from outside their own callbacks, to be visited at the end of the turn.
    pub(crate) touched: Vec<ChannelId>,
    /// Channels whose handshakes wait for the budget of another turn, those that wait longest first.
    pub(crate) handshakes: VecDeque<ChannelId>,
    /// Steps of handshakes that this turn may still take.
    pub(crate) handshakes_left: usize,
    /// Channels whose reading pauses until the next turn.
    pub(crate) yielding: Vec<ChannelId>,
    /// Channels that have used some of their write budget in this turn.
    pub(crate) spenders: Vec<ChannelId>,
    /// Parts that have left, or never will, and whose hooks are yet to be called.
    pub(crate) departures: VecDeque<(SentHook, Sent)>,
    /// The channel being visited, or [`ChannelId::NONE`].
    pub(crate) visiting: ChannelId,
    pub(crate) cork: Cork,
    /// Objects without a channel, to be told so.
    pub(crate) farewells: Farewells,
    pub(crate) occasion: Occasion,
    pub(crate) timers: Timers<Task>,
    pub(crate) clock: Clock,
    pub(crate) mailbox: Arc<Mailbox<Post>>,
    /// Posted calls of this turn.
    pub(crate) posts: VecDeque<Post>,
    /// Calls of `call_soon` that wait.
    pub(crate) jobs: VecDeque<Job>,
    #[cfg(all(unix, feature = "signals"))]
    pub(crate) signals: Option<Box<crate::signals::Signals<OnSignal>>>,
    pub(crate) look_ups: LookUps<Who>,
    pub(crate) pool: Pool,
    /// Listeners that wait for descriptors, for memory or for `max_channels`.
    pub(crate) paused: Vec<ChannelId>,
    /// Counts the effects of callbacks, for the spin detector.
    pub(crate) progress: u64,
    /// Counts what may end the service of a channel by its object, or keep input from it: close, detach, replace, upgrade,
    /// a pause, bytes given back to a chat, a queue that becomes congested.
    pub(crate) ownership_changes: u64,
    /// Serial of the stream accepted last. The numbers of two reactors of a process do not overlap, because streams
    /// change reactors.
    pub(crate) serial: u64,
    /// How many connections may have been accepted when the listener's visit that is on has used up its budget.
    pub(crate) accept_until: u64,
    /// The accepted stream registered last: its serial and its channel.
    pub(crate) adopted: Option<(u64, ChannelId)>,
    pub(crate) stats: Stats,
    pub(crate) stopping: bool,
    /// In the part of a turn that runs callbacks. Still set when the next begins: something took that turn away.
    pub(crate) turning: bool,
    pub(crate) life: Life,
    /// The network in memory of a test.
    #[cfg(feature = "testing")]
    pub(crate) net: Option<crate::net::memory::Net>,
    /// What the objects of a test were told at their ends.
    #[cfg(feature = "testing")]
    pub(crate) ends: Vec<(ChannelId, crate::closed::Cause)>,
}

impl Registry {
    pub(crate) fn new(
        poll: Poll,
        mailbox: Arc<Mailbox<Post>>,
        policy: Policy,
        on_error: Option<ErrorHook>,
    ) -> Self {
        let pool = Pool::new(policy.read_buffer);
        // 32 bits, because not every target has wider atomics.
        static REACTORS: AtomicU32 = AtomicU32::new(0);
        let number = REACTORS.fetch_add(1, Ordering::Relaxed);
        // Far from the serials of any other reactor.
        let serial = u64::from(number) << 40;
        Self {
            poll,
            events: Events::with_capacity(policy.events),
            events_left: false,
            policy,
            on_error,
            slots: Slab::new(),
            generation: ChannelId::generation_of_reactor(number),
            listeners: 0,
            ready: Vec::new(),
            touched: Vec::new(),
            handshakes: VecDeque::new(),
            handshakes_left: policy.handshake_budget,
            yielding: Vec::new(),
            spenders: Vec::new(),
            departures: VecDeque::new(),
            visiting: ChannelId::NONE,
            cork: Cork::none(),
            farewells: Farewells::default(),
            occasion: Occasion::none(),
            timers: Timers::new(serial),
            clock: Clock::new(),
            mailbox,
            posts: VecDeque::new(),
            jobs: VecDeque::new(),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
            look_ups: LookUps::new(),
            pool,
            paused: Vec::new(),
            progress: 0,
            ownership_changes: 0,
            serial,
            accept_until: 0,
            adopted: None,
            stats: Stats::default(),
            stopping: false,
            turning: false,
            life: Life::Running,
            #[cfg(feature = "testing")]
            net: None,
            #[cfg(feature = "testing")]
            ends: Vec::new(),
        }
    }
}

/// Whether a shutdown is under way (R22); with the timer of its grace.
#[derive(Clone, Copy)]
pub(crate) enum Life {
    Running,
    Ending(TimerId),
    /// Since the end of the turn in which the last channel closed. The next `run` or `turn` begins a new life.
    Ended(TimerId),
}

/// What a timer does when it is due.
pub(crate) enum Task {
    Once(Box<dyn FnOnce(&mut Registry) -> Result>),
    Every {
        period: Duration,
        f: Box<dyn FnMut(&mut Registry) -> Result>,
    },
    /// A call that is lent the object of its channel, and ends with it.
    LentOnce(ChannelId, Box<LentOnce>),
    LentEvery(ChannelId, Box<Periodic<LentEvery>>),
    /// The idle timeout of a channel.
    Idle(ChannelId, Duration),
    Connect(ChannelId),
    /// The time of a filter's handshake is over.
    Handshake(ChannelId),
    /// The time of one who waits for an answer is over.
    LookUp(AskerId),
    Linger(ChannelId),
    /// The pause of a listener is over.
    Rest(ChannelId),
    /// The pause of a channel's reading is over.
    Resume(ChannelId),
    /// Perhaps the last connection that was refused is long ago.
    Refusals(ChannelId),
    /// A connection has not sent its PROXY header in time; with its listener.
    Header(ChannelId, ChannelId),
    /// The grace of `shutdown` is over.
    Grace,
}

pub(crate) type LentOnce = dyn FnOnce(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result;

pub(crate) type LentEvery = dyn FnMut(&mut (dyn Dispatcher + 'static), &mut Channel<'_>) -> Result;

/// Behind one pointer, so that it makes no timer larger.
pub(crate) struct Periodic<F: ?Sized> {
    pub(crate) period: Duration,
    pub(crate) f: F,
}

impl Task {
    /// The channel whose task it is.
    pub(crate) fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::LentOnce(id, _)
            | Self::LentEvery(id, _)
            | Self::Idle(id, _)
            | Self::Header(id, _)
            | Self::Connect(id)
            | Self::Handshake(id)
            | Self::Linger(id)
            | Self::Rest(id)
            | Self::Refusals(id)
            | Self::Resume(id) => Some(*id),
            Self::Once(_) | Self::Every { .. } | Self::LookUp(_) | Self::Grace => None,
        }
    }
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
