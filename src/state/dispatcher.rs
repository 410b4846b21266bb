//! The trait a user writes: what can happen to a socket, as callbacks. Mostly documentation.

use std::{any::Any, io};

use crate::{
    address::Address,
    error::{BoxError, Result},
    net::stream::Stream,
    state::channel::Channel,
};

/// What [`Dispatcher::handle_expt`] reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Exceptional {
    /// The connection attempt failed, with the last address's error (`ConnectionRefused`, `TimedOut`, …). The
    /// channel is closed when the callback returns.
    ConnectFailed(io::Error),
    /// The peer sent out-of-band data (`MSG_OOB`). Linux and Android only.
    ///
    /// Not announced if it came alone before the channel's first visit: the first read steps over it. Whoever needs
    /// every urgent byte sets `SO_OOBINLINE` ([`Channel::as_fd`]) before registering the stream.
    Priority,
}

/// The callbacks of one channel.
///
/// An object is handed to the reactor together with its socket and lives there until no callback can follow: until the
/// channel is closed, or everything is sent after `close_when_done`. Every method has a default, so a type implements
/// only what it cares about:
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
///
/// struct Echo;
/// impl Dispatcher for Echo {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.recv_with(|channel, data| channel.push(data.to_vec()))?;
///         Ok(())
///     }
/// }
/// ```
///
/// # Order
/// One visit calls, in this order and only if due: `handle_connect` or `handle_expt`, `handle_read`,
/// `handle_close`, then the outgoing queue is flushed, then `handle_write`. `handle_connect` is the first callback
/// of every stream and comes exactly once. After [`Channel::close`] nothing comes (R4, R6).
///
/// # Errors
/// An `Err` and a panic go to `handle_error` of the same channel and touch no other. Two kinds of
/// [`io::Error`] are no failure: `WouldBlock` and `Interrupted` mean nothing, and `ConnectionReset`,
/// `NotConnected`, `ConnectionAborted`, `BrokenPipe` mean that the peer broke the connection, which leads to
/// `handle_close` (R8, R9). So `?` on [`Channel::recv`] and [`Channel::send`] does the right thing.
///
/// # Re-entrancy
/// While a callback runs its object is out of the registry: everything else in the reactor can be reached through
/// [`Channel::registry`], the object itself answers [`VisitError::Busy`](crate::VisitError::Busy).
#[allow(unused_variables, reason = "defaults keep the documented names")]
#[diagnostic::on_unimplemented(
    note = "an `AsyncChat` becomes a `Dispatcher` in `ChatDispatcher::new(…, terminator)`, and is reached with `with_chat`"
)]
pub trait Dispatcher: Any {
    /// Whether `handle_read` is wanted. Default: always.
    ///
    /// Asked before each `handle_read`, after every callback of this channel, after
    /// [`Registry::with`](crate::Registry::with) and after [`Channel::touch`]; not polled (R3). While it is false
    /// input stays in the kernel, the peer is slowed down, and an end of file goes unnoticed; a reset does not.
    fn readable(&self) -> bool {
        true
    }

    /// Whether `handle_write` is wanted. Default: always. Asked like [`readable`](Self::readable).
    ///
    /// The outgoing queue is flushed whatever this says.
    fn writable(&self) -> bool {
        true
    }

    /// The connection is established, by `connect` or by the peer. A server greets here. Streams only: a datagram
    /// socket or a pipe has no such moment.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        Ok(())
    }

    /// A connection waits on this listener. Default: accept one and pass it to `handle_accepted`.
    ///
    /// # Errors
    /// See [Errors](Self#errors); the listener stays open.
    fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
        match channel.accept() {
            Ok((stream, peer)) => self.handle_accepted(channel, stream, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A listener accepted `stream`. Default: close it, with a warning in the log.
    ///
    /// # Errors
    /// An error closes `stream`, also when it was registered meanwhile; the listener stays open (R9).
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::warn!(target: "asynchat::accept", "channel {}: handle_accepted is not implemented, closing {peer}", channel.id());
        Ok(())
    }

    /// Bytes, an end of file or a datagram can be read.
    ///
    /// Reading once is enough: while more remains it is called again next turn. There may be nothing after all, in a
    /// new stream's first visit above all: look at what [`Channel::recv`] gives before acting on it; its `WouldBlock`,
    /// passed on with `?`, is nothing. Default: nobody reads, so the
    /// direction is switched off until [`Channel::touch`], with one debug line; once the peer has closed, what it
    /// sent is thrown away and `handle_close` comes (R3b).
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.ignore_reads();
        Ok(())
    }

    /// The socket takes bytes and the outgoing queue is empty.
    ///
    /// Called every turn while [`writable`](Self::writable) is true. Default: the direction is switched off until
    /// [`Channel::touch`], with one debug line (R3b).
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.ignore_writes();
        Ok(())
    }

    /// The outgoing queue had grown past the high watermark and has fallen to the low one (R14).
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        Ok(())
    }

    /// Something out of the ordinary; see [`Exceptional`]. Default: a line in the log.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        defaults::expt(channel, &what);
        Ok(())
    }

    /// The idle timeout ran out ([`Channel::set_idle_timeout`]). Default: close.
    ///
    /// With a last word and `close_when_done` instead, a peer that does not take it is closed, without another
    /// callback, when the same time has passed once more.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        defaults::timeout(channel);
        Ok(())
    }

    /// The peer closed or reset the connection; comes at most once (R7). Default: `close_when_done`.
    ///
    /// After an end of file everything that arrived has been delivered and the channel can still send; should the
    /// peer reset the connection later, the channel is closed without another callback. After a reset
    /// ([`Channel::is_reset`]) the outgoing queue is gone and the channel is closed when this returns (R8).
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.close_when_done();
        Ok(())
    }

    /// A callback of this channel failed or panicked ([`Panicked`](crate::Panicked)), or a limit was passed.
    ///
    /// Default: an error in the log, and the channel is closed, unless it is a listener or a datagram socket: there
    /// an error belongs to one connection or datagram (R9).
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        defaults::error(channel, &error);
    }

    /// The name log lines and [`ChannelInfo`](crate::ChannelInfo) give this object. Default: its type's path.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// What the callbacks do that nobody wrote, for [`Dispatcher`] and [`AsyncChat`](crate::AsyncChat) alike.
pub(crate) mod defaults {
    use super::{BoxError, Channel, Exceptional};
    use crate::state::slot::Slot;

    pub(crate) fn expt(channel: &Channel<'_>, what: &Exceptional) {
        let name = channel.describe();
        match what {
            Exceptional::ConnectFailed(error) => {
                log::warn!(target: "asynchat::channel", "{name}: connection failed: {error}");
            }
            Exceptional::Priority => {
                log::debug!(target: "asynchat::channel", "{name}: out-of-band data ignored");
            }
        }
    }

    pub(crate) fn timeout(channel: &mut Channel<'_>) {
        log::debug!(target: "asynchat::channel", "{}: idle for too long", channel.describe());
        channel.close();
    }

    pub(crate) fn error(channel: &mut Channel<'_>, error: &BoxError) {
        log::error!(target: "asynchat::channel", "{}: {error}", channel.describe());
        if !channel.slot().is_ok_and(Slot::outlives_errors) {
            channel.close();
        }
    }
}
