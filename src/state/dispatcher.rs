//! The trait a user implements: the events of a socket as callbacks. Mostly documentation.

use std::{any::Any, io};

use crate::{
    address::Address,
    closed::Closed,
    error::{BoxError, Result, VisitError},
    id::ChannelId,
    net::stream::Stream,
    state::{channel::Channel, registry::Registry},
};

/// An event that [`Dispatcher::handle_expt`] reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Exceptional {
    /// The connection attempt failed, with the error of the last address (`ConnectionRefused`, `TimedOut`, …). The
    /// channel is closed when the callback returns.
    ConnectFailed(io::Error),
    /// The handshake of a [filter](Channel::upgrade) failed before `handle_connect`: by the filter's own error, because
    /// the stream ended (`UnexpectedEof`, `ConnectionReset`), or because it took longer than
    /// [`Builder::handshake_timeout`](crate::Builder::handshake_timeout) (`TimedOut`). The channel is closed when the
    /// callback returns. The handshake of a filter that was put on an open channel fails with
    /// [`HandshakeFailed`](crate::HandshakeFailed) in `handle_error` instead.
    HandshakeFailed(BoxError),
    /// The peer reset the connection after its end of file. `handle_close` was called for that, so it is not called again.
    ///
    /// For an object that keeps its channel open past `handle_close`, as one half of a proxy does: the other half learns
    /// here that nobody takes its bytes any more. The outgoing queue is gone, and the channel is closed when the callback
    /// returns. Not reported after [`close_when_done`](Channel::close_when_done). A reset without an end of file before it
    /// is `handle_close` with [`Channel::is_reset`].
    Reset,
    /// The peer has ended its output or is gone, and this object does not read: `readable` is false, reading
    /// [pauses](Channel::pause_reading), or frames [wait](crate::ChatDispatcher::hold_while_congested) for the queue.
    /// Streams only, where the poller reports it, once for each time that reading stops.
    ///
    /// A TCP peer may only have shut down its sending side and still take an answer: a write to a peer that is gone ends
    /// in a reset. Unread bytes stay readable, and `handle_close` comes once they are read. An object that reads gets
    /// `handle_close` alone. A poller that is neither epoll nor kqueue may not report the end, and none does while it is
    /// behind more unread input than the system's receive buffer holds.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Exceptional, Result};
    ///
    /// /// A client that waits for its job, and is not read meanwhile.
    /// struct Waiting;
    /// impl Dispatcher for Waiting {
    ///     fn readable(&self) -> bool {
    ///         false
    ///     }
    ///     fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
    ///         if let Exceptional::ReadClosed = what {
    ///             channel.close(); // nobody waits any more
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(Waiting);
    /// peer.feed("reserve\r\n");
    /// assert!(!peer.is_closed());
    /// peer.eof();
    /// assert!(peer.is_closed());
    /// # }
    /// ```
    ///
    /// An end behind unread data is reported if the poller sees it there. Wine's poller sees it once the data has been read.
    ReadClosed,
    /// The peer sent out-of-band data (`MSG_OOB`). Linux and Android only.
    ///
    /// It is not reported if it came alone before the channel's first visit: the first read skips it. To get every
    /// urgent byte in the stream, set `SO_OOBINLINE` ([`Channel::as_fd`]) before registering.
    Priority,
}

/// The callbacks of one channel.
///
/// An object is handed to the reactor together with its socket. The reactor owns it until the channel is gone and
/// `handle_closed` has returned. Every method has a default, so a type implements only those it needs:
///
/// ```
/// use asynchat::{Address, Channel, Dispatcher, Reactor, Result, Stream};
/// use std::io::Write;
///
/// struct Server;
/// impl Dispatcher for Server {
///     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
///         channel.registry().register(stream, Echo)?;
///         Ok(())
///     }
/// }
///
/// struct Echo;
/// impl Dispatcher for Echo {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.recv_with(Write::write_all)??;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result {
/// let mut reactor = Reactor::new()?;
/// reactor.listen("127.0.0.1:0", Server)?;
/// # reactor.close_all();
/// reactor.run()?;
/// # #[cfg(feature = "testing")] {
/// # let mut listener = asynchat::testing::Listener::new(Server);
/// # let mut peer = listener.connect();
/// # peer.feed("hello");
/// # assert_eq!(peer.output(), b"hello");
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Order
/// One visit calls, in this order and only those that are due: `handle_connect` or `handle_expt`, `handle_read`,
/// `handle_close`, `handle_drain` if flushing the queue made it fall, `handle_write`. `handle_connect` is the first
/// callback of every stream and is called exactly once. After [`Channel::close`] none is called but `handle_closed`.
///
/// # Errors
/// An error or a panic of a callback goes to `handle_error` of the same channel and affects no other. Two kinds of
/// [`io::Error`] are no failure, so `?` on [`Channel::recv`] and [`Channel::send`] is right:
///
/// - `WouldBlock` and `Interrupted` are ignored.
/// - `ConnectionReset`, `NotConnected`, `ConnectionAborted` and `BrokenPipe` mean that the peer broke the connection;
///   `handle_close` follows. An error of the channel's own `recv` or `send` that says that the peer has vanished
///   (`TimedOut`, `HostUnreachable`, …) means the same.
///
/// Containing a panic takes unwinding. A program that is built with `panic = "abort"` ends at the first panic.
///
/// # Re-entrancy
/// While a callback runs, its object is out of the registry. Everything else in the reactor can be reached through
/// [`Channel::registry`]. [`Registry::with`](crate::Registry::with) on the object itself fails with
/// [`VisitError::Busy`](crate::VisitError::Busy).
#[allow(unused_variables, reason = "defaults keep the documented names")]
#[diagnostic::on_unimplemented(
    note = "an `AsyncChat` becomes a `Dispatcher` in `ChatDispatcher::new(…, terminator)`, and is reached with `with_chat`"
)]
pub trait Dispatcher: Any {
    /// Whether `handle_read` may be called. Default: true.
    ///
    /// Asked before each `handle_read`, after every callback of this channel, after
    /// [`Registry::with`](crate::Registry::with) and after [`Channel::touch`]; it is not polled. While it is false,
    /// input stays in the kernel and TCP slows the peer down. An end of file is not read then, only announced
    /// ([`Exceptional::ReadClosed`]); a reset is noticed. [`Channel::pause_reading`] pauses for a time.
    fn readable(&self) -> bool {
        true
    }

    /// Whether `handle_write` may be called. Default: true. Asked like [`readable`](Self::readable).
    ///
    /// The outgoing queue is sent also if it returns false.
    fn writable(&self) -> bool {
        true
    }

    /// The connection is established, by `connect` or by the peer. A server greets here. For streams only: datagram
    /// sockets and pipes do not get it.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        Ok(())
    }

    /// The handshake of a filter that was put on this open channel is done: [`Channel::upgrade`] has an example. What was
    /// pushed since the upgrade leaves after this callback. Default: nothing.
    ///
    /// What the peer said before is to be forgotten here, because nobody vouches for it (RFC 3207, section 4.2):
    /// [`replace`](Channel::replace) beside `upgrade` gives a fresh object.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        Ok(())
    }

    /// A connection waits on this listener. Default: accepts one and passes it to `handle_accepted`.
    /// [`Channel::accept`] shows an override.
    ///
    /// # Errors
    /// See [Errors](Self#errors). The listener stays open.
    fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
        match channel.accept() {
            Ok((stream, peer)) => self.handle_accepted(channel, stream, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A listener accepted `stream`. Default: closes it, with a warning in the log.
    ///
    /// # Errors
    /// An error closes `stream`, also if it was registered meanwhile. The listener stays open.
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
    /// Reading once is enough: while more remains, it is called again in the next turn. It may be called although
    /// nothing has arrived, above all in the first visit of a new stream. [`Channel::recv`] then fails with
    /// `WouldBlock`, and passing that on with `?` is no failure.
    ///
    /// Default: the direction is switched off until [`Channel::touch`], with one debug line. Once the peer has closed,
    /// its input is discarded and `handle_close` is called.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.ignore_reads();
        Ok(())
    }

    /// The socket takes bytes and the outgoing queue is empty.
    ///
    /// Called every turn while [`writable`](Self::writable) is true; [`Channel::send`] has an example. Default: the
    /// direction is switched off until [`Channel::touch`], with one debug line.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.ignore_writes();
        Ok(())
    }

    /// The outgoing queue had exceeded the high watermark and has fallen to the low one. Called once per fall.
    /// [`Channel::set_watermarks`] sets the marks; [limits](Channel#limits-of-the-outgoing-queue) has an example.
    /// Default: nothing.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        Ok(())
    }

    /// A connection attempt failed, the peer reset the connection after its end of file, it ended while it was not read,
    /// or out-of-band data came; see [`Exceptional`]. Default: a line in the log.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Exceptional, Result};
    ///
    /// struct Client;
    /// impl Dispatcher for Client {
    ///     fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
    ///         if let Exceptional::ConnectFailed(error) = what {
    ///             log::error!("{}: {error}", channel.describe());
    ///             channel.registry().stop();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// See [Errors](Self#errors). After `ConnectFailed` an error of any kind goes to `handle_error`.
    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        defaults::expt(channel, what);
        Ok(())
    }

    /// The idle timeout ran out ([`Channel::set_idle_timeout`]). Default: close.
    ///
    /// An override may send a farewell and call `close_when_done`. If the peer does not read it within another timeout
    /// period, the channel is closed without a second callback.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        defaults::timeout(channel);
        Ok(())
    }

    /// The peer closed or reset the connection. Called at most once. Default: `close_when_done`. A FIFO or terminal may
    /// go on after its end of file: see [`Channel::touch`].
    ///
    /// After an end of file everything that arrived has been delivered, and the channel can still send. If the peer
    /// resets the connection later, `handle_expt` gets [`Exceptional::Reset`], unless `close_when_done` was called, and the
    /// channel is closed. After a reset ([`Channel::is_reset`]) the outgoing queue is gone, and the channel is closed when
    /// this callback returns.
    ///
    /// # Errors
    /// See [Errors](Self#errors).
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.close_when_done();
        Ok(())
    }

    /// A callback of this channel failed or panicked ([`Panicked`](crate::Panicked)), a limit was exceeded
    /// ([`OutgoingFull`](crate::OutgoingFull), [`FrameTooLong`](crate::FrameTooLong)), or a producer or file failed.
    ///
    /// If a push from here is refused again, `OutgoingFull` comes again next turn: close the channel, or raise the limit.
    ///
    /// Default: an error in the log, and the channel is closed. A listener or datagram socket stays open: there an
    /// error belongs to one connection or datagram.
    ///
    /// ```
    /// use asynchat::{BoxError, Channel, Dispatcher, OutgoingFull};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {
    ///     fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
    ///         match error.downcast_ref::<OutgoingFull>() {
    ///             Some(full) => log::warn!("{}: {} bytes queued", channel.describe(), full.queued),
    ///             None => log::error!("{}: {error}", channel.describe()),
    ///         }
    ///         channel.close();
    ///     }
    /// }
    /// ```
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        defaults::error(channel, error);
    }

    /// The channel is gone. Called exactly once for every object that a reactor has owned, as its last callback, whatever
    /// ended the channel; [`Cause`](crate::Cause) lists the ends. Default: nothing.
    ///
    /// It comes when the running visit of the channel is over, or, for a channel that another one, a timer or a call from
    /// outside has closed, at the end of the turn: never from inside `close`. After `close_when_done` it comes when the
    /// peer's end of file was read or the linger limits are reached.
    ///
    /// It does not come after [`detach`](Channel::detach), which takes the socket out, for an object that
    /// [`replace`](Channel::replace) puts aside, nor when the reactor itself is dropped. A panic in it is a line in the log.
    ///
    /// ```
    /// use asynchat::{Closed, Dispatcher, Registry};
    /// use std::time::Duration;
    ///
    /// /// Connects again one second after the connection is gone.
    /// struct Link;
    /// impl Dispatcher for Link {
    ///     fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
    ///         log::warn!("link lost: {why}");
    ///         registry.call_later(Duration::from_secs(1), |registry| {
    ///             registry.connect(([192, 0, 2, 7], 7), Link)?;
    ///             Ok(())
    ///         });
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(Link);
    /// peer.reset();
    /// assert!(peer.dialled().is_none());
    /// peer.advance(Duration::from_secs(1));
    /// assert!(peer.dialled().is_some());
    /// # }
    /// ```
    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {}

    /// The name of this object in log lines and [`ChannelInfo`](crate::ChannelInfo). Default: the path of its type.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// So that a factory may return objects of different types. The reactor keeps the object itself, without a second box:
/// [`Registry::with`](crate::Registry::with) finds it by its own type.
///
/// ```
/// use asynchat::{Dispatcher, Reactor};
/// use std::net::UdpSocket;
///
/// struct Quick(u32);
/// impl Dispatcher for Quick {}
/// struct Thorough;
/// impl Dispatcher for Thorough {}
///
/// fn make(quick: bool) -> Box<dyn Dispatcher> {
///     if quick { Box::new(Quick(7)) } else { Box::new(Thorough) }
/// }
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// let id = reactor.register(UdpSocket::bind("127.0.0.1:0")?, make(true))?;
/// assert_eq!(reactor.with(id, |object: &mut Quick, _| object.0)?, 7);
/// # Ok(())
/// # }
/// ```
impl Dispatcher for Box<dyn Dispatcher> {
    fn readable(&self) -> bool {
        (**self).readable()
    }

    fn writable(&self) -> bool {
        (**self).writable()
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_connect(channel)
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_secured(channel)
    }

    fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_accept(channel)
    }

    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        (**self).handle_accepted(channel, stream, peer)
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_read(channel)
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_write(channel)
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_drain(channel)
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        (**self).handle_expt(channel, what)
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_timeout(channel)
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        (**self).handle_close(channel)
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        (**self).handle_error(channel, error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        (**self).handle_closed(registry, why);
    }

    fn type_name(&self) -> &'static str {
        (**self).type_name()
    }
}

/// The box in which the reactor keeps an object: its own, if it came in one.
pub(crate) fn boxed<D: Dispatcher>(object: D) -> Box<dyn Dispatcher> {
    let mut object = Some(object);
    let own = (&mut object as &mut dyn Any).downcast_mut::<Option<Box<dyn Dispatcher>>>();
    if let Some(own) = own.and_then(Option::take) {
        return own;
    }
    match object {
        Some(object) => Box::new(object),
        None => unreachable!("only a box is taken out"),
    }
}

/// The object of a channel by its own type.
pub(crate) fn downcast<'a, D: Dispatcher>(
    object: &'a mut (dyn Dispatcher + 'static),
    id: ChannelId,
) -> Result<&'a mut D, VisitError> {
    (object as &mut dyn Any)
        .downcast_mut()
        .ok_or(VisitError::WrongType(id))
}

/// The default callbacks of [`Dispatcher`] and [`AsyncChat`](crate::AsyncChat).
pub(crate) mod defaults {
    use super::{BoxError, Channel, Exceptional};
    use crate::error::{HandshakeFailed, Shown};

    pub(crate) fn expt(channel: &mut Channel<'_>, what: Exceptional) {
        let name = channel.describe();
        match what {
            Exceptional::ConnectFailed(error) => {
                log::warn!(target: "asynchat::channel", "{name}: connection failed: {error}");
                // For the close that follows.
                if channel.registry.occasion.channel == channel.id {
                    channel.registry.occasion.error = Some(error.into());
                }
            }
            Exceptional::HandshakeFailed(error) => {
                log::debug!(target: "asynchat::channel", "{name}: handshake failed: {}", Shown(&error));
                if channel.registry.occasion.channel == channel.id {
                    channel.registry.occasion.error = Some(error);
                }
            }
            Exceptional::Reset => {
                log::debug!(target: "asynchat::channel", "{name}: reset after its end of file");
            }
            Exceptional::ReadClosed => {
                log::debug!(target: "asynchat::channel", "{name}: the peer ended while it was not read");
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

    pub(crate) fn error(channel: &mut Channel<'_>, error: BoxError) {
        // Scanners fail their handshakes all the time.
        let level = if error.is::<HandshakeFailed>() {
            log::Level::Debug
        } else {
            log::Level::Error
        };
        end_with(channel, level, error);
    }

    /// For an error that is the peer's doing.
    pub(crate) fn quiet_error(channel: &mut Channel<'_>, error: BoxError) {
        end_with(channel, log::Level::Debug, error);
    }

    fn end_with(channel: &mut Channel<'_>, level: log::Level, error: BoxError) {
        log::log!(target: "asynchat::channel", level, "{}: {}", channel.describe(), Shown(&error));
        if channel.slot().is_ok_and(|slot| !slot.outlives_errors()) {
            channel.registry.close_for(channel.id, error);
        } else {
            channel.registry.discard(error);
        }
    }
}
