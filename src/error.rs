//! Error types, and the one place that classifies an error of a callback (R8, R9).

use std::{
    any::Any,
    error::Error,
    fmt, io, mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::{
    id::ChannelId,
    net::errno::{ESHUTDOWN, is_peer_gone},
};

/// Any error a callback may return.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The result of callbacks. Without parameters it is `Ok(())` or any error.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// The reason why [`Registry::with`](crate::Registry::with) could not lend the object behind a channel.
///
/// Each has the id of that channel: the error may go to the log of another one, whose callback asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VisitError {
    /// The channel is closed, or nothing but `handle_closed` can follow.
    Closed(ChannelId),
    /// A callback of this object is running further up the stack.
    Busy(ChannelId),
    /// The object behind the channel is of another type than the one asked for.
    WrongType(ChannelId),
}

impl fmt::Display for VisitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(id) => write!(f, "channel {id} is closed"),
            Self::Busy(id) => write!(f, "a callback of channel {id} is running"),
            Self::WrongType(id) => {
                write!(f, "the object behind channel {id} is of another type")
            }
        }
    }
}

impl Error for VisitError {}

/// The reactor of a [`Handle`](crate::Handle) is dropped; the posted call will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reactor is gone")
    }
}

impl Error for Stopped {}

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops the payload of a panic, whose own `Drop` may panic.
pub(crate) fn drop_payload(payload: Payload) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // The payload of that may panic as well, and so on without end.
        mem::forget(next);
    }
}

/// An error of the user's for a log line: its `Display` may panic.
pub(crate) struct Shown<'a>(pub(crate) &'a BoxError);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match catch_unwind(AssertUnwindSafe(|| self.0.to_string())) {
            Ok(text) => f.write_str(&text),
            Err(panic) => write!(f, "an error whose Display {}", Panicked::new(panic)),
        }
    }
}

/// A callback panicked. Passed to that channel's `handle_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panicked {
    /// The message of the panic, or a note that it had none.
    pub message: String,
}

impl Panicked {
    /// Not to be called among the arguments of a log line: if nobody logs they are not evaluated, and the payload is dropped
    /// without a guard.
    pub(crate) fn new(payload: Payload) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".into());
        drop_payload(payload);
        Self { message }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl Error for Panicked {}

/// A push exceeded `max_outgoing` and was dropped. Passed to the channel's `handle_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingFull {
    /// The channel whose queue is full.
    pub channel: ChannelId,
    /// Bytes queued when the push was dropped; a producer or file that waits counts as 512, a closure of
    /// [`push_then`](crate::Channel::push_then) as 128.
    pub queued: usize,
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for OutgoingFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            queued,
            limit,
        } = self;
        write!(
            f,
            "channel {channel}: {queued} bytes wait to be sent and max_outgoing is {limit}: the peer reads too slowly; \
             stop reading above the high watermark, push a producer, or raise the limit with set_max_outgoing"
        )
    }
}

impl Error for OutgoingFull {}

/// The handshake of a [filter](crate::Channel::upgrade) failed on a channel that was open before. Passed to the channel's
/// `handle_error`; the channel ends whatever that does.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandshakeFailed {
    /// The channel that was upgraded.
    pub channel: ChannelId,
    /// The filter's own error, or an [`io::Error`] of kind `UnexpectedEof` or `TimedOut`.
    pub error: BoxError,
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "channel {}: handshake failed: {}",
            self.channel, self.error
        )
    }
}

impl Error for HandshakeFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// The stream of a chat was [cut](crate::Channel::is_truncated) in the middle of a frame. Passed to the channel's
/// `handle_error`: the frame may have been longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncated {
    /// The channel that received it.
    pub channel: ChannelId,
    /// Bytes of the frame that had arrived.
    pub len: u64,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, len } = self;
        write!(
            f,
            "channel {channel}: the stream was cut after {len} bytes of a frame: nobody vouches that it is whole; a \
             protocol that has lengths of its own can allow that with tolerate_truncation"
        )
    }
}

impl Error for Truncated {}

/// A frame exceeded `max_frame` before its terminator came. Passed to the channel's `handle_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameTooLong {
    /// The channel that received the frame.
    pub channel: ChannelId,
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, limit } = self;
        write!(
            f,
            "channel {channel}: no terminator within max_frame ({limit} bytes); raise it with set_max_frame if such frames are expected"
        )
    }
}

impl Error for FrameTooLong {}

/// What an error of a callback or a system call means for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// `WouldBlock` and `Interrupted`: nothing happened.
    Nothing,
    /// The peer broke the connection.
    Reset,
    /// Anything else.
    Failure,
}

/// Of what a callback returned.
pub(crate) fn meaning(error: &(dyn Error + Send + Sync + 'static)) -> Meaning {
    error
        .downcast_ref::<io::Error>()
        .map_or(Meaning::Failure, meaning_of_io)
}

/// Of what a callback returned after the reset of its channel was seen: most likely that reset, passed on.
pub(crate) fn meaning_after_reset(error: &(dyn Error + Send + Sync + 'static)) -> Meaning {
    error
        .downcast_ref::<io::Error>()
        .map_or(Meaning::Failure, meaning_of_call)
}

/// Of the answer of a channel's own system call. A timeout is a reset there; out of a callback it may be another
/// connection's.
pub(crate) fn meaning_of_call(error: &io::Error) -> Meaning {
    match meaning_of_io(error) {
        Meaning::Failure if is_peer_gone(error) => Meaning::Reset,
        meaning => meaning,
    }
}

fn meaning_of_io(error: &io::Error) -> Meaning {
    use io::ErrorKind as K;
    // Another channel's end is not the peer's doing.
    if error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<ChannelClosed>)
    {
        return Meaning::Failure;
    }
    match error.kind() {
        K::WouldBlock | K::Interrupted => Meaning::Nothing,
        K::ConnectionReset | K::NotConnected | K::ConnectionAborted | K::BrokenPipe => {
            Meaning::Reset
        }
        _ if error.raw_os_error() == Some(ESHUTDOWN) => Meaning::Reset,
        _ => Meaning::Failure,
    }
}

/// The source of an error that belongs to no channel; see [`Builder::on_error`](crate::Builder::on_error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorSource {
    /// A closure given to [`Registry::call_later`](crate::Registry::call_later) or `call_every`; an error in a timer of a
    /// channel goes to its `handle_error`.
    Timer,
    /// A closure posted through a [`Handle`](crate::Handle).
    Handle,
    /// A closure given to [`Registry::call_soon`](crate::Registry::call_soon).
    CallSoon,
    /// A closure given to `Registry::on_signal` (feature `signals`).
    Signal,
    /// A closure given to [`push_then`](crate::Channel::push_then), after its channel has closed.
    Sent,
}

/// Inside an [`io::Error`]: a call on a channel that is closed.
#[derive(Debug)]
struct ChannelClosed(ChannelId);

impl fmt::Display for ChannelClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {} is closed", self.0)
    }
}

impl Error for ChannelClosed {}

/// The answer to a call on a channel that is closed.
#[cold]
pub(crate) fn closed(id: ChannelId) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, ChannelClosed(id))
}

/// Runs code of the user's and returns its panic, unless panics are to leave the loop.
#[inline(always)]
pub(crate) fn guard<R>(propagate: bool, f: impl FnOnce() -> R) -> Result<R, Payload> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Err(panic) if propagate => resume_unwind(panic),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_out_of_callbacks_are_nothing_a_reset_or_a_failure() {
        let table = [
            (io::ErrorKind::WouldBlock, Meaning::Nothing),
            (io::ErrorKind::Interrupted, Meaning::Nothing),
            (io::ErrorKind::ConnectionReset, Meaning::Reset),
            (io::ErrorKind::NotConnected, Meaning::Reset),
            (io::ErrorKind::ConnectionAborted, Meaning::Reset),
            (io::ErrorKind::BrokenPipe, Meaning::Reset),
            (io::ErrorKind::ConnectionRefused, Meaning::Failure),
            (io::ErrorKind::TimedOut, Meaning::Failure),
            (io::ErrorKind::InvalidData, Meaning::Failure),
        ];
        for (kind, expected) in table {
            let boxed: BoxError = io::Error::from(kind).into();
            assert_eq!(meaning(&*boxed), expected, "{kind:?}");
        }
        assert_eq!(
            meaning_of_io(&io::Error::from_raw_os_error(ESHUTDOWN)),
            Meaning::Reset
        );
        assert_eq!(meaning(&*BoxError::from("protocol")), Meaning::Failure);
        assert_eq!(
            meaning_of_io(&closed(ChannelId::new(3, 7))),
            Meaning::Failure
        );
    }

    #[cfg(any(target_os = "linux", windows))]
    #[test]
    fn a_peer_that_vanished_is_a_reset_in_the_answer_of_the_channels_own_call_only() {
        let (gone, refused): (&[i32], i32) = if cfg!(windows) {
            // WSAETIMEDOUT, WSAEHOSTUNREACH, WSAENETUNREACH, WSAEHOSTDOWN, WSAENETRESET
            (&[10060, 10065, 10051, 10064, 10052], 10061)
        } else {
            // ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN
            (&[110, 113, 101, 112], 111)
        };
        for &code in gone {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(meaning_of_call(&error), Meaning::Reset, "{code}");
            assert_eq!(meaning_of_io(&error), Meaning::Failure, "{code}");
        }
        let made = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(meaning_of_call(&made), Meaning::Failure);
        let refused = io::Error::from_raw_os_error(refused);
        assert_eq!(meaning_of_call(&refused), Meaning::Failure);
    }

    #[test]
    fn an_error_about_a_channel_names_it() {
        let id = ChannelId::new(3, 7);
        assert_eq!(closed(id).to_string(), "channel 3.7 is closed");
        for error in [
            VisitError::Closed(id),
            VisitError::Busy(id),
            VisitError::WrongType(id),
        ] {
            assert!(error.to_string().contains("channel 3.7"), "{error}");
        }
    }

    #[test]
    fn a_panic_keeps_its_message() {
        let of = |payload: Payload| Panicked::new(payload).message;
        assert_eq!(of(Box::new("static")), "static");
        assert_eq!(of(Box::new(String::from("owned"))), "owned");
        assert_eq!(of(Box::new(7)), "a panic without a message");
    }
}
