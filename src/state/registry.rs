//! Everything that lives in a reactor: the table of channels and the queues a turn works through.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use slab::Slab;

use crate::{
    error::{BoxError, ErrorSource, Result},
    id::ChannelId,
    outgoing::{Outgoing, Spare, cork::Cork},
    state::{policy::Policy, pool::ReadBuffers, slot::Slot},
    stats::Stats,
    threads::mailbox::Mailbox,
    time::{
        clock::Clock,
        timer::{TimerId, Timers},
    },
};

pub(crate) type Job = Box<dyn FnOnce(&mut Registry) -> Result + Send>;

pub(crate) type ErrorHook = Box<dyn FnMut(&mut Registry, ErrorSource, BoxError)>;

/// All channels and timers of a reactor: the part callbacks may reach.
///
/// A [`Reactor`](crate::Reactor) dereferences to it, so the same calls set a program up and serve it from inside
/// callbacks ([`Channel::registry`](crate::Channel::registry)). `run` and `turn` are not on it: a callback cannot start a nested loop.
///
/// An id is looked up in O(1). Work asked for a channel while another is being served is done at the end of the
/// turn: all that was pushed leaves together.
pub struct Registry {
    pub(crate) poll: mio::Registry,
    pub(crate) policy: Policy,
    pub(crate) on_error: Option<ErrorHook>,
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
    pub(crate) mailbox: Arc<Mailbox<Job>>,
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
    pub(crate) net: Option<crate::net::memory::Net>,
}

impl Registry {
    pub(crate) fn new(
        poll: mio::Registry,
        mailbox: Arc<Mailbox<Job>>,
        policy: Policy,
        on_error: Option<ErrorHook>,
    ) -> Self {
        let buffers = ReadBuffers::new(policy.read_buffer);
        let serial = first_serial();
        Self {
            poll,
            policy,
            on_error,
            slots: Slab::new(),
            generation: 0,
            listeners: 0,
            ready: Vec::new(),
            touched: Vec::new(),
            visiting: ChannelId::NONE,
            cork: Cork::none(),
            timers: Timers::new(serial),
            clock: Clock::new(),
            mailbox,
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
}

/// Far from that of any other reactor.
fn first_serial() -> u64 {
    // 32 bits, because not every target has wider atomics.
    static REACTORS: AtomicU32 = AtomicU32::new(0);
    u64::from(REACTORS.fetch_add(1, Ordering::Relaxed)) << 40
}

/// What a timer does when it is due.
pub(crate) enum Task {
    Once(Box<dyn FnOnce(&mut Registry) -> Result>),
    Every {
        period: Duration,
        f: Box<dyn FnMut(&mut Registry) -> Result>,
    },
    /// The idle timeout of a channel.
    Idle(ChannelId, Duration),
    Connect(ChannelId),
    Linger(ChannelId),
    /// A listener has rested.
    Rest(ChannelId),
    /// The grace of `shutdown` is over.
    Grace,
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
