//! What the registry keeps for one channel: the socket, its readiness, the user's object, the outgoing queue.

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Address, Dispatcher, State, TimerId,
    connect::Attempt,
    outgoing::Outgoing,
    readiness::Readiness,
    socket::{Io, Role},
};

/// What a channel is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    Connecting(Box<Attempt>),
    Listening(Accepting),
    /// A stream whose `handle_connect` is still to come.
    Fresh,
    Open,
    /// Everything is sent and the peer knows; input is thrown away until its end of file (R10).
    Lingering {
        discarded: usize,
        timer: TimerId,
    },
}

/// Whether a listener may accept (R19).
#[derive(Debug, Default)]
pub(crate) struct Accepting {
    /// Set while the listener rests because descriptors or memory ran out.
    pub(crate) resting: Option<TimerId>,
    /// How many rests in a row; the pause doubles with each.
    pub(crate) rests: u32,
    #[cfg_attr(
        any(target_os = "linux", target_os = "android"),
        allow(dead_code, reason = "accepted streams inherit it there")
    )]
    pub(crate) nodelay: bool,
}

/// What the peer did to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Peer {
    #[default]
    Open,
    /// End of file was read.
    Finished,
    Reset,
}

/// Where `shutdown_write` stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sending {
    #[default]
    Open,
    /// To be shut down once the queue is empty.
    Ending,
    Shut,
}

/// Watermarks and bound of an outgoing queue, in bytes (R14), and how long to linger after it (R10).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) max: usize,
    pub(crate) linger_time: Duration,
    pub(crate) linger_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, one byte each"
)]
pub(crate) struct Flags {
    /// In the run queue.
    pub(crate) queued: bool,
    /// In the list of channels others have touched this turn.
    pub(crate) touched: bool,
    pub(crate) registered: bool,
    /// `close_when_done` was called.
    pub(crate) closing: bool,
    /// `handle_close` was called.
    pub(crate) told: bool,
    /// The default `handle_read` ran: nobody reads (R3b).
    pub(crate) reads_ignored: bool,
    pub(crate) writes_ignored: bool,
    pub(crate) congested: bool,
    /// A push was refused and `handle_error` does not know yet.
    pub(crate) overflown: bool,
    /// `handle_read` is to be called although nothing may have arrived.
    pub(crate) call_asked: bool,
    /// The spin warning was given.
    pub(crate) warned: bool,
    pub(crate) adopted: bool,
}

pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) io: Io,
    pub(crate) readiness: Readiness,
    pub(crate) flags: Flags,
    pub(crate) peer: Peer,
    pub(crate) sending: Sending,
    /// Callbacks in a row without any effect (R3b).
    pub(crate) fruitless: u16,
    pub(crate) phase: Phase,
    /// Absent while one of its callbacks runs, and once none can follow.
    pub(crate) dispatcher: Option<Box<dyn Dispatcher>>,
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// Bytes given back by whoever read them, to be read again before the socket.
    pub(crate) unread: Option<Box<Bytes>>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) idle: Option<TimerId>,
    pub(crate) active_at: Instant,
    pub(crate) created: Instant,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) type_name: &'static str,
    pub(crate) peer_addr: Option<SocketAddr>,
}

impl Slot {
    pub(crate) fn new(io: Io, dispatcher: Box<dyn Dispatcher>, phase: Phase, now: Instant) -> Self {
        let type_name = (*dispatcher).type_name();
        Self {
            generation: 0,
            io,
            readiness: Readiness::default(),
            flags: Flags::default(),
            peer: Peer::Open,
            sending: Sending::Open,
            fruitless: 0,
            phase,
            dispatcher: Some(dispatcher),
            outgoing: None,
            unread: None,
            limits: None,
            idle: None,
            active_at: now,
            created: now,
            bytes_in: 0,
            bytes_out: 0,
            type_name,
            peer_addr: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Connecting(_) => State::Connecting,
            Phase::Listening(_) => State::Listening,
            Phase::Lingering { .. } => State::Closing,
            Phase::Fresh | Phase::Open if self.flags.closing => State::Closing,
            Phase::Fresh | Phase::Open => State::Open,
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        self.peer_addr
            .map_or_else(|| self.io.peer_addr(), |addr| Ok(addr.into()))
    }

    /// Whether a push is queued, not dropped.
    pub(crate) fn takes_output(&self) -> bool {
        self.sending == Sending::Open
            && !self.flags.closing
            && self.peer != Peer::Reset
            && matches!(self.io.role(), Role::Stream | Role::Fd)
    }

    pub(crate) fn outgoing_len(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|queue| !queue.is_empty())
    }

    /// Whether nothing but a read or a write can be due: no news, nothing queued, nothing ending.
    pub(crate) fn is_calm(&self) -> bool {
        let Flags {
            registered,
            closing,
            congested,
            overflown,
            call_asked,
            ..
        } = self.flags;
        matches!(self.phase, Phase::Open)
            && registered
            && !(closing | congested | overflown | call_asked)
            && self.outgoing.is_none()
            && self.unread.is_none()
            && self.peer == Peer::Open
            && self.sending == Sending::Open
            && !self.readiness.has_news()
            && !(self.flags.reads_ignored && self.readiness.read_closed())
    }

    /// Whether `handle_drain` is due.
    pub(crate) fn has_drained(&self, limits: &Limits) -> bool {
        self.flags.congested && self.outgoing_len() <= limits.low
    }

    /// Changes whenever input is used up.
    pub(crate) fn input_state(&self) -> (u64, usize) {
        (
            self.bytes_in,
            self.unread.as_ref().map_or(0, |bytes| bytes.len()),
        )
    }

    /// Whether a flush would do anything.
    pub(crate) fn can_flush(&self) -> bool {
        self.readiness.can_write()
            && self
                .outgoing
                .as_ref()
                .is_some_and(|queue| queue.can_flush())
    }

    /// Whether bytes, or the end of file, may be had without waiting for an event.
    pub(crate) fn has_input(&self) -> bool {
        self.unread.is_some()
            || self.flags.call_asked
            || (self.readiness.can_read() && self.peer != Peer::Finished)
    }

    /// Whether `handle_read` may be called, the user's own wish aside.
    pub(crate) fn may_read(&self) -> bool {
        self.has_input()
            && !self.flags.reads_ignored
            && !self.flags.closing
            && matches!(self.phase, Phase::Open)
    }

    pub(crate) fn may_write(&self) -> bool {
        self.readiness.can_write()
            && !self.flags.writes_ignored
            && !self.flags.closing
            && self.sending == Sending::Open
            && self.peer != Peer::Reset
            && !self.has_outgoing()
            && matches!(self.phase, Phase::Open)
    }

    /// Whether `handle_close` is due for an end of file: what was read before it and given back comes first.
    pub(crate) fn owes_close(&self) -> bool {
        self.peer == Peer::Finished
            && self.unread.is_none()
            && !self.flags.call_asked
            && !self.flags.told
            && !self.flags.closing
    }

    /// Whether the default `handle_read` left input of a peer that is gone: thrown away to find the end of file.
    pub(crate) fn abandoned(&self) -> bool {
        self.flags.reads_ignored
            && self.readiness.read_closed()
            && self.readiness.can_read()
            && self.peer == Peer::Open
            && matches!(self.io.role(), Role::Stream | Role::Fd)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("type", &self.type_name)
            .field("io", &self.io)
            .field("phase", &self.phase)
            .field("readiness", &self.readiness)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}
