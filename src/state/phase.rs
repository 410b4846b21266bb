//! What a channel is doing, with what only that needs.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    address::Address,
    net::{
        connect::{ConnectOptions, SocketOptions},
        io::Io,
        peers::{Peers, Place},
    },
    network::Network,
    state::{filtered::Filtered, layer::Layer, look_ups::AskerId, race::Race},
    time::timer::TimerId,
};

/// What a channel is doing. The first three are so because every read and write asks whether it is one of them, and that is
/// one comparison.
#[derive(Debug)]
pub(crate) enum Phase {
    Connecting(Box<Attempt>),
    /// A stream with a filter, from the start of its handshake.
    Filtered(Box<Filtered>),
    /// As `Lingering`, of a stream that had a filter: what arrives is nothing that anybody could read.
    LingeringSealed {
        discarded: usize,
    },
    Listening(Box<Accepting>),
    /// A stream whose `handle_connect` is still to come.
    Greeting,
    Open,
    /// Everything is sent and the peer knows; input is thrown away until its end of file (R10).
    Lingering {
        discarded: usize,
    },
    /// Its host name is being looked up; it has no socket.
    Resolving(Box<Resolving>),
}

/// A connection that waits for addresses.
#[derive(Debug)]
pub(crate) struct Resolving {
    pub(crate) options: ConnectOptions,
    /// Its place among those who ask.
    pub(crate) asker: Option<AskerId>,
    /// The filter for when it is connected.
    pub(crate) layer: Option<Box<Layer>>,
}

/// A connection attempt in progress.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The address being tried, if it is the only one. None for a stream that was handed in connecting.
    pub(crate) address: Option<Address>,
    /// Several addresses; the channel has no socket meanwhile.
    pub(crate) race: Option<Box<Race>>,
    pub(crate) timeout: Duration,
    pub(crate) nodelay: bool,
    /// What each socket gets before it connects, if anything.
    pub(crate) socket: Option<Box<SocketOptions>>,
    /// The end of the attempt, or its next try while the backlog of a Unix listener is full, or the next step of a race.
    pub(crate) timer: Option<TimerId>,
    pub(crate) deadline: Instant,
    /// How long to wait for a place in a backlog.
    pub(crate) pause: Duration,
    /// The attempt failed at once, or its time ran out.
    pub(crate) failure: Option<io::Error>,
    /// The filter for when it is connected.
    pub(crate) layer: Option<Box<Layer>>,
}

impl Attempt {
    pub(crate) fn new(address: Option<Address>, timeout: Duration, now: Instant) -> Self {
        Self {
            address,
            race: None,
            timeout,
            nodelay: false,
            socket: None,
            timer: None,
            deadline: now,
            pause: Duration::ZERO,
            failure: None,
            layer: None,
        }
    }
}

/// Why a listener does not accept for a while (R19).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Pause {
    #[default]
    No,
    /// Descriptors or memory ran out; tried again when the timer fires or a channel closes.
    Resting(TimerId),
    /// `max_channels` is reached.
    Full,
}

/// What a listener needs (R19).
#[derive(Debug, Default)]
pub(crate) struct Accepting {
    pub(crate) pause: Pause,
    /// Rests in this episode, which lasts until the backlog is empty; the pause doubles with each.
    pub(crate) rests: u32,
    /// How often `max_channels` was reached in this episode.
    pub(crate) full_pauses: u32,
    /// Transient errors since `accept` answered something else.
    pub(crate) transient: u32,
    #[cfg_attr(
        any(target_os = "linux", target_os = "android"),
        allow(dead_code, reason = "accepted streams inherit it there")
    )]
    pub(crate) nodelay: bool,
    pub(crate) peers: Option<Peers>,
    pub(crate) refusals: Refusals,
    /// Whose headers of the PROXY protocol are believed; without it no header is read.
    pub(crate) proxies: Option<Vec<Network>>,
    /// Connections whose header is read, and that `accept` gives next.
    pub(crate) arrived: VecDeque<Arrived>,
}

/// An accepted connection, its header read.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) io: Io,
    pub(crate) peer: Address,
    pub(crate) place: Option<Box<Place>>,
    /// What came with the header.
    pub(crate) unread: Bytes,
}

/// The connections that a listener refused in an episode, which lasts until none has been refused for a while.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    /// The count when the timer was armed.
    pub(crate) counted: u64,
    /// Ends the episode. Absent outside of one.
    pub(crate) timer: Option<TimerId>,
}

/// The address of a peer, small.
#[derive(Debug)]
pub(crate) enum PeerName {
    Unknown,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl PeerName {
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        match self {
            Self::Unknown => None,
            Self::V4(addr) => Some((*addr).into()),
            Self::V6(addr) => Some((**addr).into()),
        }
    }
}

impl From<Option<SocketAddr>> for PeerName {
    fn from(addr: Option<SocketAddr>) -> Self {
        match addr {
            None => Self::Unknown,
            Some(SocketAddr::V4(addr)) => Self::V4(addr),
            Some(SocketAddr::V6(addr)) => Self::V6(Box::new(addr)),
        }
    }
}
