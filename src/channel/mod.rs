//! One registered socket, as callbacks and lookups see it.

mod input;
mod output;
mod pacing;
mod timers;
mod upgrade;

pub(crate) mod handover;

use std::{io, time::Duration};

use crate::{
    address::Address,
    closed::Cause,
    direction::Direction,
    engine::describe,
    error::BoxError,
    id::ChannelId,
    net::io::Role,
    state::{
        channel::Channel,
        dispatcher::defaults,
        flags::Peer,
        registry::{Registry, Task},
        slot::Slot,
    },
    stats::State,
};

/// # Identity and state
///
/// ```
/// use asynchat::{Dispatcher, Reactor, State};
///
/// struct Idle;
/// impl Dispatcher for Idle {}
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// let id = reactor.listen(([127, 0, 0, 1], 0), Idle)?;
/// let mut channel = reactor.channel(id).ok_or("closed")?;
/// println!("{} listens on {}", channel.describe(), channel.local_addr()?);
/// assert_eq!((channel.id(), channel.state()), (id, State::Listening));
/// channel.close();
/// assert_eq!(channel.state(), State::Closed);
/// assert!(reactor.channel(id).is_none());
/// # Ok(())
/// # }
/// ```
impl<'r> Channel<'r> {
    /// The id of this channel. It is `Copy` and outlives the channel; [`Registry::channel`] turns it into a `Channel`
    /// again.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The registry that holds this channel and all others: it registers and connects sockets, arms timers, finds other
    /// channels by id and ends the loop.
    ///
    /// The object whose callback is running is not in it meanwhile: [`Registry::with`] on the channel's own id fails
    /// with [`VisitError::Busy`](crate::VisitError::Busy).
    ///
    /// ```
    /// use asynchat::{Channel, ChannelId, Dispatcher, Result};
    ///
    /// struct Tee {
    ///     copy_to: ChannelId,
    /// }
    /// impl Dispatcher for Tee {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let data = channel.recv_with(|_, data| data.to_vec())?;
    ///         // `None` if that channel is closed.
    ///         if let Some(mut copy) = channel.registry().channel(self.copy_to) {
    ///             copy.push(data);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn registry(&mut self) -> &mut Registry {
        self.registry
    }

    /// The address the socket is bound to.
    ///
    /// # Errors
    /// `NotConnected` once the channel is closed and while several addresses are tried, otherwise the error of
    /// `getsockname`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.slot()?.io.local_addr()
    }

    /// The address of the peer. While the channel is connecting, the address being tried, of several the one that was begun
    /// last.
    ///
    /// # Errors
    /// `NotConnected` if the socket has no peer or the channel is closed, otherwise the error of `getpeername`.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.slot()?.peer_addr()
    }

    /// The state of the channel; [`State::Closed`] once it is closed.
    pub fn state(&self) -> State {
        self.slot().map_or(State::Closed, Slot::state)
    }

    /// Whether the peer broke the connection instead of ending it. Of use in `handle_close`: after a reset nothing can
    /// be sent.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {
    ///     fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         if channel.is_reset() {
    ///             log::info!("{}: reset", channel.describe());
    ///         } else {
    ///             channel.push("goodbye\r\n");
    ///             channel.close_when_done();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn is_reset(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| slot.flags.peer() == Peer::Reset)
    }

    /// Type name, id and addresses, as the library's log lines show them. Allocates the text.
    pub fn describe(&self) -> String {
        self.slot().map_or_else(
            |_| format!("<channel {}, closed>", self.id),
            |slot| describe(self.id, slot),
        )
    }
}

/// # Closing and timeouts
///
/// A closed channel is gone from the reactor. Its object gets [`handle_closed`](crate::Dispatcher::handle_closed) and is
/// dropped.
///
/// | | sends the queue | waits for the peer | further callbacks |
/// |---|---|---|---|
/// | [`close`](Self::close) | what the socket takes at once | no | none |
/// | [`close_when_done`](Self::close_when_done) | yes | up to the linger limits | `handle_close` after a reset, `handle_error` |
/// | [`shutdown_write`](Self::shutdown_write) | yes | the channel stays open | all |
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
/// use std::time::Duration;
///
/// struct Session;
/// impl Dispatcher for Session {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.set_idle_timeout(Some(Duration::from_secs(60)));
///         channel.set_linger(Duration::from_secs(2), 64 * 1024); // for `close_when_done`
///         Ok(())
///     }
///     fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.push("421 idle for too long\r\n");
///         channel.close_when_done();
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")]
/// asynchat::testing::Harness::new(Session).play(
///     "wait 60s
///      S: 421 idle for too long
///      S ends
///      C ends
///      S closes",
/// );
/// ```
impl Channel<'_> {
    /// Closes gracefully: sends the queue, ends the output, discards input until the peer's end of file, then closes.
    ///
    /// The wait for the end of file ends at the linger limits ([`Builder::linger`](crate::Builder::linger)). Without
    /// that wait, unread input makes TCP send a reset, which can destroy data the peer has not read yet (RFC 1122
    /// §4.2.2.13).
    ///
    /// From this call on nothing is read and pushes are dropped. If the peer resets the connection before everything is
    /// sent, `handle_close` is still called.
    pub fn close_when_done(&mut self) {
        if let Ok(slot) = self.slot() {
            let cause = self.registry.cause_of_wish(slot, Cause::Done);
            self.end_when_done(cause);
        }
    }

    pub(crate) fn end_when_done(&mut self, cause: Cause) {
        let id = self.id;
        let now = self.registry.clock.stamp();
        let Some(slot) = self.registry.uncorked(id) else {
            return;
        };
        if !slot.flags.begin_closing() {
            return;
        }
        slot.note_ending(cause);
        // The peer has all of the idle timeout to take what is left.
        slot.active_at = now;
        match slot.io.role() {
            Role::Listener | Role::Datagram => self.registry.close(id, cause),
            Role::Stream | Role::Fd => {
                // While a handshake is on it is the filter's.
                if !slot.is_shaking() {
                    slot.unread = None;
                }
                self.registry.drop_pause(id);
                self.registry.progress += 1;
                self.registry.ownership_changes += 1;
                self.registry.touch_later(id);
            }
        }
    }

    /// Closes now. After the current callback no other one of this channel runs but
    /// [`handle_closed`](crate::Dispatcher::handle_closed).
    ///
    /// What is queued is tried once, as the pushes would have been if they were not collected: bytes and files leave as
    /// far as the socket takes them without waiting, and within the write budget. Producers are not asked. The rest of
    /// the queue and the unread input are dropped. To deliver all of it use
    /// [`close_when_done`](Self::close_when_done).
    ///
    /// The default `handle_error` and every other close of the reactor's do the same.
    pub fn close(&mut self) {
        self.registry.close_as_asked(self.id);
    }

    /// Closes now, with a reset for a TCP peer.
    pub(crate) fn reset(&mut self) {
        if let Ok(slot) = self.slot() {
            slot.io.reset_on_close();
        }
        self.close();
    }

    /// What the default [`handle_error`](crate::Dispatcher::handle_error) does, for an override that treats only some
    /// errors in its own way: an error in the log, and the channel is closed, unless it is a listener or a datagram socket.
    /// [`Closed::error`](crate::Closed::error) has the error then.
    ///
    /// ```
    /// use asynchat::{BoxError, Channel, Dispatcher, OutgoingFull};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {
    ///     fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
    ///         if error.is::<OutgoingFull>() {
    ///             channel.close(); // a slow reader is no news
    ///         } else {
    ///             channel.default_error(error);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn default_error(&mut self, error: BoxError) {
        defaults::error(self, error);
    }

    /// Ends the output (TCP's FIN) once the queue is sent. Reading goes on: the connection is half-closed.
    ///
    /// For streams only; on any other socket it does nothing, with a debug line. The write end of a pipe is ended by
    /// [`close_when_done`](Self::close_when_done).
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Client;
    /// impl Dispatcher for Client {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.push("all of the request");
    ///         channel.shutdown_write();
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(Client);
    /// assert_eq!(peer.output(), b"all of the request");
    /// assert!(peer.has_ended() && !peer.is_closed());
    /// # }
    /// ```
    pub fn shutdown_write(&mut self) {
        let id = self.id;
        let Some(slot) = self.registry.uncorked(id) else {
            return;
        };
        if slot.io.role() != Role::Stream {
            log::debug!(target: "asynchat::channel", "channel {id}: shutdown_write of what is no stream ignored");
        } else if slot.flags.begin_ending() {
            self.registry.progress += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// Calls `handle_timeout` each time nothing has been read or written for `after`. `None` switches the timeout off.
    /// O(log n) in the number of timers; each read or write costs one store.
    ///
    /// After [`close_when_done`](Self::close_when_done) the timeout has another effect: if the peer has taken none of
    /// the queue for `after`, the channel is closed without `handle_timeout`.
    pub fn set_idle_timeout(&mut self, after: Option<Duration>) {
        let id = self.id;
        let now = self.registry.clock.stamp();
        let deadline = after.map(|after| self.registry.after(after));
        let Ok(slot) = self.slot_mut() else { return };
        if slot.is_lingering() {
            return;
        }
        slot.active_at = now;
        if let Some(timer) = slot.timer.take() {
            self.registry.cancel_timer(timer);
        }
        if let (Some(after), Some(deadline)) = (after, deadline) {
            let timer = self.registry.timers.insert(deadline, Task::Idle(id, after));
            if let Ok(slot) = self.slot_mut() {
                slot.timer = Some(timer);
            }
        }
    }
}

/// # Interest and socket options
impl Channel<'_> {
    /// Asks `readable` and `writable` again, and a producer that answered
    /// [`Produced::Pending`](crate::Produced::Pending).
    ///
    /// They are asked after every callback of this channel without it. `touch` is for a change from outside, and for a
    /// `handle_read` or `handle_write` that is not implemented and was switched off.
    ///
    /// A FIFO or terminal may go on after its end of file: another process opens the FIFO, or the user types on after
    /// Ctrl-D. If [`handle_close`](crate::Dispatcher::handle_close) calls `touch` instead of closing, the channel reads
    /// what comes next, and its next end of file is another `handle_close`. Without `touch` nothing more is read. A poller
    /// that is neither epoll nor kqueue does not report the next writer of a FIFO.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    /// use std::{cell::Cell, io::Write, rc::Rc};
    ///
    /// struct Echo {
    ///     paused: Rc<Cell<bool>>,
    /// }
    /// impl Dispatcher for Echo {
    ///     fn readable(&self) -> bool {
    ///         !self.paused.get()
    ///     }
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         Ok(channel.recv_with(Write::write_all)??)
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let paused = Rc::new(Cell::new(true));
    /// let mut peer = asynchat::testing::Harness::new(Echo { paused: Rc::clone(&paused) });
    /// peer.feed("hello");
    /// assert_eq!(peer.output(), b"");
    ///
    /// paused.set(false);
    /// let id = peer.id();
    /// peer.registry().channel(id).expect("open").touch();
    /// assert_eq!(peer.output(), b"hello");
    /// # }
    /// ```
    pub fn touch(&mut self) {
        let id = self.id;
        if let Some((slot, poll)) = self.registry.slot_and_poll(id) {
            slot.flags.switch_on();
            if slot.flags.is_finished() && slot.io.may_go_on_after_end() && slot.flags.forget_end()
            {
                slot.readiness.forget_end();
                slot.io.rearm(poll, id.token());
            }
            self.registry.unpark(id);
            self.registry.progress += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// The descriptor, for socket options that the crate has no call for. Not for input or output, which need
    /// [`try_io`](Self::try_io): the reactor's record of the socket's readiness would be wrong. It bypasses a
    /// [filter](Channel#filters), TLS for instance.
    ///
    /// A duplicate of it may outlive the channel, so closing the channel costs one more system call.
    ///
    /// ```
    /// # #[cfg(unix)]
    /// fn keep_alive(channel: &asynchat::Channel<'_>) -> std::io::Result<()> {
    ///     socket2::SockRef::from(&channel.as_fd()?).set_keepalive(true)
    /// }
    /// ```
    ///
    /// # Errors
    /// `NotConnected` once the channel is closed.
    #[cfg(unix)]
    pub fn as_fd(&self) -> io::Result<std::os::fd::BorrowedFd<'_>> {
        let slot = self.slot()?;
        slot.lent.set(true);
        slot.io.as_fd()
    }

    /// Lends the descriptor to a library that reads or writes it itself: inotify, OpenSSL, `recvmsg` with descriptors or
    /// credentials, a look ahead with `MSG_PEEK`.
    ///
    /// `call` makes one system call in the given direction, without waiting. It is called only if the socket is ready
    /// for it. If it answers `WouldBlock`, the reactor takes the socket for not ready, and calls
    /// [`handle_read`](crate::Dispatcher::handle_read) or [`handle_write`](crate::Dispatcher::handle_write) again after
    /// the next event. A call that gave something leaves the socket ready, because the reactor does not know whether more
    /// is there: the callback comes again in the next turn.
    ///
    /// - `ConnectionReset` and its like count as the answer of the channel's own call: `handle_close` follows. Any other error
    ///   says nothing about the socket and is only returned.
    /// - Success resets the idle timeout. The bytes are in no count: neither [`Stats`](crate::Stats) nor
    ///   [`ChannelInfo`](crate::ChannelInfo) has them.
    /// - A look ahead that waits for more has to answer `WouldBlock` itself: else the callback comes in every turn, and no
    ///   warning says so. On a poller that is neither epoll nor kqueue it does in any case.
    /// - If `call` meets the end of file, call [`recv`](Self::recv): it finds the same and has `handle_close` called.
    /// - It bypasses a [filter](Channel#filters): what `call` writes leaves in clear, and what it reads is sealed.
    /// - Bytes that the channel holds come first in the stream: those of [`unread`](Self::unread), and in a chat the rest of
    ///   what was read.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use asynchat::{Channel, Direction, Dispatcher, Reactor, Result};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// /// Looks at the first four bytes and leaves them in the kernel.
    /// struct Peek;
    /// impl Dispatcher for Peek {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let mut start = [std::mem::MaybeUninit::uninit(); 4];
    ///         let n = channel.try_io(Direction::Read, |fd| socket2::SockRef::from(&fd).peek(&mut start))?;
    ///         println!("{n} bytes of a greeting");
    ///         channel.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let mut reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// reactor.register(ours, Peek)?;
    /// theirs.write_all(b"hello")?;
    /// reactor.run()?;
    /// # Ok(())
    /// # }
    /// # main().unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` without a call if the socket is not ready, while it is connecting, and, for [`Direction::Write`], while
    /// the outgoing queue is not empty. `InvalidInput` for a listener, and for a write after `shutdown_write`; `BrokenPipe`
    /// for a write after a reset; `Unsupported` for a connection of the testing kit. Otherwise the error of `call`.
    ///
    /// [`Direction::Write`]: crate::Direction::Write
    #[cfg(unix)]
    pub fn try_io<R>(
        &mut self,
        direction: Direction,
        call: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registry
            .try_io(self.id, direction, |io| io.try_io(call))
    }

    /// Lends the socket to a library that reads or writes it itself. `call` makes one system call in the given direction,
    /// without waiting, and only if the socket is ready for it. If it answers `WouldBlock`, the reactor takes the socket for
    /// not ready until the next event.
    ///
    /// # Errors
    /// `WouldBlock` without a call if the socket is not ready, while it is connecting, and, for a write, while the outgoing
    /// queue is not empty. `InvalidInput` for a listener, and for a write after `shutdown_write`; `BrokenPipe` for a write
    /// after a reset; `Unsupported` for a connection of the testing kit. Otherwise the error of `call`.
    #[cfg(windows)]
    pub fn try_io<R>(
        &mut self,
        direction: Direction,
        call: impl FnOnce(std::os::windows::io::BorrowedSocket<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registry
            .try_io(self.id, direction, |io| io.try_io(call))
    }

    /// The socket handle, for socket options that the crate has no call for. Not for input or output, which need
    /// [`try_io`](Self::try_io): the reactor's record of the socket's readiness would be wrong.
    ///
    /// # Errors
    /// `NotConnected` once the channel is closed.
    #[cfg(windows)]
    pub fn as_socket(&self) -> io::Result<std::os::windows::io::BorrowedSocket<'_>> {
        let slot = self.slot()?;
        slot.lent.set(true);
        slot.io.as_socket()
    }
}
