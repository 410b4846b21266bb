//! Counters and facts that a reactor reports about itself.

use std::time::Duration;

use crate::{address::Address, id::ChannelId};

/// The state of a channel; see [`Channel::state`](crate::Channel::state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The addresses of a host name are looked up, for a connection attempt.
    Resolving,
    /// A connection attempt is under way.
    Connecting,
    /// A listener.
    Listening,
    /// A stream, datagram socket or descriptor in use.
    Open,
    /// `close_when_done` was called: the queue is being sent, or the peer's end of file is awaited.
    Closing,
    /// The channel is closed. No callback follows but [`handle_closed`](crate::Dispatcher::handle_closed).
    Closed,
}

/// What happened in one call of [`Reactor::turn`](crate::Reactor::turn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Events the poller reported.
    pub events: usize,
    /// Callbacks that ran: those of dispatchers, timers and calls.
    pub callbacks: usize,
    /// Timers that fired.
    pub timers: usize,
    /// Whether [`stop`](crate::Registry::stop) was called, in this turn or since the last one. A loop of turns ends here.
    pub stopped: bool,
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
    /// Timers pending now, those of the reactor itself included.
    pub timers: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed because their peer had [`max_per_peer`](crate::ListenOptions::max_per_peer) others, or for want of
    /// a header that [`proxy_protocol`](crate::ListenOptions::proxy_protocol) demands.
    pub refused: u64,
    /// Times a listener stopped accepting because `max_channels` was reached, and episodes in which `accept` kept failing,
    /// for lack of descriptors or memory above all.
    pub accept_pauses: u64,
    /// Callbacks that failed or panicked.
    pub errors: u64,
    /// Bytes read from streams, descriptors and datagram sockets.
    pub bytes_in: u64,
    /// Bytes written to them.
    pub bytes_out: u64,
}

/// Facts about one channel; see [`Registry::channels`](crate::Registry::channels).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its id.
    pub id: ChannelId,
    /// The name of its object's type, from [`Dispatcher::type_name`](crate::Dispatcher::type_name).
    pub type_name: &'static str,
    /// Its state.
    pub state: State,
    /// The address of the peer, if it has one.
    pub peer: Option<Address>,
    /// The time since it was registered.
    pub age: Duration,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes in the outgoing queue, without those that producers and files still hold.
    pub outgoing_len: usize,
}
