//! A direction of a socket.

/// What a call given to [`Channel::try_io`](crate::Channel::try_io) does with the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It receives: `recvmsg`, a read of inotify events, a look ahead.
    Read,
    /// It sends: `sendmsg`.
    Write,
}
