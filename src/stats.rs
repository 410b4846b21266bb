//! What a reactor tells about itself.

use std::time::Duration;

use crate::{address::Address, id::ChannelId};

/// What a channel is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Waiting for a connection attempt.
    Connecting,
    /// A listener.
    Listening,
    /// A stream, datagram socket or descriptor in use.
    Open,
    /// `close_when_done` was called: the queue is being sent, or the peer's end of file awaited.
    Closing,
    /// Gone.
    Closed,
}

/// What one call of [`Reactor::turn`](crate::Reactor::turn) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Events the poller reported.
    pub events: usize,
    /// Callbacks that ran, of dispatchers and of timers and handles.
    pub callbacks: usize,
    /// Timers that fired.
    pub timers: usize,
}

/// Counters of a reactor since it was made; see [`Registry::stats`](crate::Registry::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Events the poller reported.
    pub events: u64,
    /// Callbacks that ran.
    pub callbacks: u64,
    /// Channels open now.
    pub channels: usize,
    /// Timers armed now, those the reactor needs for itself included.
    pub timers: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Times a listener stopped accepting: out of descriptors or memory, or `max_channels` reached.
    pub accept_pauses: u64,
    /// Callbacks that failed or panicked.
    pub errors: u64,
    /// Bytes read from streams, descriptors and datagram sockets.
    pub bytes_in: u64,
    /// Bytes written to them.
    pub bytes_out: u64,
}

/// A look at one channel; see [`Registry::channels`](crate::Registry::channels).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its id.
    pub id: ChannelId,
    /// The name of its object's type.
    pub type_name: &'static str,
    /// What it is doing.
    pub state: State,
    /// The address of the peer, where there is one.
    pub peer: Option<Address>,
    /// How long it has been in this reactor.
    pub age: Duration,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes waiting in the outgoing queue.
    pub outgoing_len: usize,
}
