//! Why a channel ended: the argument of the last callback, and the reason in the log.

use std::fmt;

use crate::{
    error::{BoxError, HandshakeFailed, OutgoingFull, Panicked, Shown, Truncated},
    id::ChannelId,
};

/// The end of a channel, for [`Dispatcher::handle_closed`](crate::Dispatcher::handle_closed).
///
/// Shown as the cause, the error, and the number of unsent bytes; the debug line "closing channel" ends alike.
///
/// ```
/// use asynchat::{Cause, Closed, Dispatcher, Registry};
///
/// struct Upload;
/// impl Dispatcher for Upload {
///     fn handle_closed(&mut self, _: &mut Registry, why: Closed) {
///         if why.cause != Cause::Done {
///             log::warn!("upload {}: {why}", why.channel);
///         }
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The id that the channel had. It finds nothing any more.
    pub channel: ChannelId,
    /// What ended the channel.
    pub cause: Cause,
    /// The error behind the cause, unless an override of `handle_error` or `handle_expt` took it.
    pub error: Option<BoxError>,
    /// Bytes that were queued and did not leave, those of files included. What a producer would have given does not
    /// count, nor do pushes that were refused.
    pub unsent: u64,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(error) = &self.error {
            write!(f, ": {}", Shown(error))?;
        }
        if self.unsent > 0 {
            write!(f, ", {} bytes unsent", self.unsent)?;
        }
        Ok(())
    }
}

/// What ended a channel.
///
/// The first event that begins the end gives the cause. `EndOfFile` and `Done` give way to another one that closes the
/// channel before everything was sent.
///
/// | what happens | cause |
/// |---|---|
/// | the peer's end of file was read, then `close` or `close_when_done` is called | `EndOfFile` |
/// | the peer's end of file came without the end that a [filter](crate::Channel::upgrade) demands, then as above | `Truncated` |
/// | the peer breaks the connection, also after its end of file | `Reset` |
/// | `close_when_done`, then the queue is sent and the peer's end of file is read | `Done` |
/// | `close_when_done`, then the peer's end of file does not come | `LingerLimit` |
/// | `close_when_done`, then the peer takes nothing for the idle timeout | `IdleTimeout` |
/// | `close`, also one that cuts `close_when_done` short | `Close` |
/// | `handle_timeout` ends the channel | `IdleTimeout` |
/// | the handshake of a filter failed | `HandshakeFailed` |
/// | `handle_error` ends the channel | `Panic`, `OutgoingFull` or `Error`, by the error's type |
/// | every address of a connection attempt failed | `ConnectFailed` |
/// | `handle_accepted` fails after it registered its stream | `AcceptFailed` |
/// | [`Registry::shutdown`](crate::Registry::shutdown) begins the end, or its grace is over | `Shutdown` |
/// | [`Registry::close_all`](crate::Registry::close_all) | `CloseAll` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The peer ended its output, and this end closed after that.
    EndOfFile,
    /// The stream ended without the end that its [filter](crate::Channel::upgrade) demands: bytes may be missing.
    Truncated,
    /// The peer broke the connection.
    Reset,
    /// A callback, a producer or the socket failed.
    Error,
    /// A callback or a producer panicked.
    Panic,
    /// A push exceeded `max_outgoing`.
    OutgoingFull,
    /// Nothing was read or written for the idle timeout.
    IdleTimeout,
    /// The connection was not made.
    ConnectFailed,
    /// The handshake of a [filter](crate::Channel::upgrade) failed.
    HandshakeFailed,
    /// The listener's `handle_accepted` failed.
    AcceptFailed,
    /// [`Channel::close`](crate::Channel::close) was called.
    Close,
    /// [`Channel::close_when_done`](crate::Channel::close_when_done) was called, and everything was sent.
    Done,
    /// Everything was sent after `close_when_done`, and the peer's end of file did not come within the
    /// [linger limits](crate::Builder::linger).
    LingerLimit,
    /// [`Registry::shutdown`](crate::Registry::shutdown) was called.
    Shutdown,
    /// [`Registry::close_all`](crate::Registry::close_all) was called.
    CloseAll,
}

impl Cause {
    /// Of a channel that an error ends.
    pub(crate) fn of(error: &BoxError) -> Self {
        if error.is::<Panicked>() {
            Self::Panic
        } else if error.is::<OutgoingFull>() {
            Self::OutgoingFull
        } else if error.is::<HandshakeFailed>() {
            Self::HandshakeFailed
        } else if error.is::<Truncated>() {
            Self::Truncated
        } else {
            Self::Error
        }
    }

    /// The cause of a channel whose end `begun` began and that `now` closes.
    pub(crate) fn decide(begun: Option<Self>, now: Self) -> Self {
        match (begun, now) {
            (Some(Self::EndOfFile), Self::EndOfFile | Self::Done | Self::Close) => Self::EndOfFile,
            (None | Some(Self::EndOfFile | Self::Done), now) => now,
            (Some(begun), _) => begun,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfFile => "end of file",
            Self::Truncated => "truncated",
            Self::Reset => "reset by peer",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::OutgoingFull => "outgoing queue full",
            Self::IdleTimeout => "idle for too long",
            Self::ConnectFailed => "not connected",
            Self::HandshakeFailed => "handshake failed",
            Self::AcceptFailed => "handle_accepted failed",
            Self::Close => "close",
            Self::Done => "done",
            Self::LingerLimit => "linger limit",
            Self::Shutdown => "shutdown",
            Self::CloseAll => "close_all",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays_unless_it_was_a_graceful_one() {
        use Cause as C;
        let table = [
            (None, C::Close, C::Close),
            (Some(C::Done), C::Done, C::Done),
            (Some(C::Done), C::Reset, C::Reset),
            (Some(C::Done), C::LingerLimit, C::LingerLimit),
            (Some(C::Done), C::Close, C::Close),
            (Some(C::EndOfFile), C::Done, C::EndOfFile),
            (Some(C::EndOfFile), C::Close, C::EndOfFile),
            (Some(C::EndOfFile), C::IdleTimeout, C::IdleTimeout),
            (Some(C::EndOfFile), C::Reset, C::Reset),
            (Some(C::Shutdown), C::Done, C::Shutdown),
            (Some(C::Error), C::Reset, C::Error),
            (Some(C::IdleTimeout), C::LingerLimit, C::IdleTimeout),
        ];
        for (begun, now, expected) in table {
            assert_eq!(Cause::decide(begun, now), expected, "{begun:?} {now:?}");
        }
    }

    #[test]
    fn an_end_shows_its_cause_its_error_and_what_was_not_sent() {
        let mut closed = Closed {
            channel: ChannelId::new(3, 7),
            cause: Cause::Reset,
            error: None,
            unsent: 0,
        };
        assert_eq!(closed.to_string(), "reset by peer");
        closed.cause = Cause::Error;
        closed.error = Some("bad request".into());
        closed.unsent = 12;
        assert_eq!(closed.to_string(), "error: bad request, 12 bytes unsent");
    }

    #[test]
    fn the_type_of_an_error_gives_the_cause() {
        let panicked = Panicked::new(Box::new("no"));
        assert_eq!(Cause::of(&panicked.into()), Cause::Panic);
        let full = OutgoingFull {
            channel: ChannelId::new(3, 7),
            queued: 1,
            limit: 1,
        };
        assert_eq!(Cause::of(&full.into()), Cause::OutgoingFull);
        assert_eq!(Cause::of(&"bad request".into()), Cause::Error);
    }
}
