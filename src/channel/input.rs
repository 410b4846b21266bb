//! Reading, accepting, and giving bytes back.

use std::io;

use bytes::Bytes;

use crate::{
    address::Address,
    engine::Filled,
    net::stream::Stream,
    state::{channel::Channel, slot::Slot, unread::Unread},
};

/// # Reading
///
/// [`recv_with`](Self::recv_with) lends the reactor's read buffer; [`recv`](Self::recv) fills a buffer of the caller's.
/// A handler may read once and return: it is called again while bytes remain.
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
/// use std::io::Write;
///
/// /// Counts what arrives, and reports the sum at the end of file.
/// struct Count(usize);
/// impl Dispatcher for Count {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         self.0 += channel.recv_with(|_, data| data.len())?;
///         Ok(())
///     }
///     fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
///         writeln!(channel, "{} bytes", self.0)?;
///         channel.close_when_done();
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::new(Count(0));
/// peer.feed("hello");
/// peer.eof();
/// assert_eq!(peer.output(), b"5 bytes\n");
/// # }
/// ```
impl Channel<'_> {
    /// Reads once into `buf` and returns the number of bytes. 0 is the end of file, or an empty datagram.
    ///
    /// The rest of a datagram that does not fit in `buf` is lost.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Reader([u8; 4]);
    /// impl Dispatcher for Reader {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let n = channel.recv(&mut self.0)?;
    ///         channel.push(format!("{n} "));
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(Reader([0; 4]));
    /// peer.feed("hello");
    /// assert_eq!(peer.output(), b"4 1 ");
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived. If the error means that the connection is broken, the reactor records it:
    /// `handle_close` runs after the current callback, whether or not the handler returns the error.
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.registry.read(self.id, buf)
    }

    /// Reads once into the reactor's own buffer and lends the bytes to `f`. An empty slice is the end of file, or an
    /// empty datagram.
    ///
    /// A channel needs no buffer of its own for it, and no memory is zeroed. [`Builder::read_buffer`] sets the size.
    /// The [section](#reading) has an example.
    ///
    /// [`Builder::read_buffer`]: crate::Builder::read_buffer
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv). `f` is not called then.
    pub fn recv_with<R>(&mut self, f: impl FnOnce(&mut Self, &[u8]) -> R) -> io::Result<R> {
        self.recv_some(|channel, data, _| (data.len(), f(channel, data)))
    }

    /// Like `recv_with`; the bytes that `f` does not use are read again first. The third argument of `f` is whether the
    /// end of file follows.
    #[inline]
    pub(crate) fn recv_some<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &[u8], bool) -> (usize, R),
    ) -> io::Result<R> {
        let mut buffer = self.registry.pool.take_buffer();
        let filled = match self.registry.fill(self.id, &mut buffer) {
            Ok(filled) => filled,
            Err(error) => {
                self.registry.pool.give_buffer(buffer);
                return Err(error);
            }
        };
        let (input, end) = match &filled {
            Filled::Buffer(n) => (&buffer[..*n], false),
            Filled::Unread(unread) => (unread.bytes(), self.has_finished()),
            Filled::Nothing { end } => (&[][..], *end),
        };
        // Called in one place, so that the compiler can put it there.
        let (used, result) = f(self, input, end);
        let len = input.len();
        match filled {
            Filled::Buffer(_) if used < len => self.keep_rest(&buffer[used..len]),
            Filled::Unread(unread) => self.return_unread(unread, used),
            Filled::Buffer(_) | Filled::Nothing { .. } => {}
        }
        self.registry.pool.give_buffer(buffer);
        Ok(result)
    }

    /// Receives one datagram and the address of its sender. The rest of a datagram that does not fit in `buf` is lost.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Reactor, Result};
    /// use std::net::UdpSocket;
    ///
    /// struct Echo;
    /// impl Dispatcher for Echo {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let mut buf = [0; 1500];
    ///         let (len, sender) = channel.recv_from(&mut buf)?;
    ///         channel.send_to(&buf[..len], sender)?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let mut reactor = Reactor::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// reactor.register(socket, Echo)?;
    ///
    /// let peer = UdpSocket::bind("127.0.0.1:0")?;
    /// peer.send_to(b"hello", address)?;
    /// while reactor.stats().bytes_out == 0 {
    ///     reactor.turn(None)?;
    /// }
    /// let mut buf = [0; 16];
    /// assert_eq!(peer.recv(&mut buf)?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if none has arrived. `InvalidInput` on a channel that is no datagram socket.
    pub fn recv_from(&mut self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.registry.read_from(self.id, buf)
    }

    /// Accepts one connection. The default [`handle_accept`](crate::Dispatcher::handle_accept) does it; an override can
    /// choose when.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Acceptor;
    /// impl Dispatcher for Acceptor {
    ///     fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         loop {
    ///             // Once no connection waits, `WouldBlock` ends the loop; it is no failure.
    ///             let (stream, peer) = channel.accept()?;
    ///             log::info!("{peer} connected");
    ///             channel.registry().register(stream, Session)?;
    ///         }
    ///     }
    /// }
    ///
    /// struct Session;
    /// impl Dispatcher for Session {}
    /// # #[cfg(feature = "testing")] {
    /// let mut listener = asynchat::testing::Listener::new(Acceptor);
    /// let _ann = listener.connect();
    /// assert_eq!(listener.registry().stats().accepted, 1);
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if no connection waits, and while the listener is paused: by [`pause_reading`](Self::pause_reading),
    /// or because the process is out of descriptors or memory, or [`max_channels`](crate::Builder::max_channels) is
    /// reached. The reactor ends the pause. Connections that broke while they waited are skipped.
    pub fn accept(&mut self) -> io::Result<(Stream, Address)> {
        self.registry.accept(self.id)
    }

    /// Gives bytes back; the next read returns them before anything else. The cost is a copy of `bytes`. For a handler that
    /// has read too far before [`replace`](Self::replace) or [`detach`](Self::detach), with an
    /// [example](Channel#handing-over). After [`close_when_done`](Self::close_when_done), which ends reading, they are
    /// dropped.
    pub fn unread(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.give_back(&bytes);
        // Their owner may panic.
        self.registry.discard(bytes);
    }

    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        if let Ok(slot) = self.slot_mut() {
            slot.give_back(bytes);
            self.registry.touch_later(self.id);
        }
    }

    /// Keeps the rest of what was taken out, behind bytes given back meanwhile.
    #[cold]
    fn return_unread(&mut self, mut unread: Box<Unread>, used: usize) {
        unread.consume(used);
        if unread.is_empty() {
            self.registry.pool.give_opened(unread);
        } else if let Ok(slot) = self.slot_mut() {
            slot.keep_unread(unread);
            self.registry.touch_later(self.id);
        }
    }

    /// Keeps bytes that were read and not used, behind those given back meanwhile.
    #[cold]
    pub(crate) fn keep_rest(&mut self, rest: &[u8]) {
        if let Ok(slot) = self.slot_mut() {
            slot.keep_rest(rest);
            self.registry.touch_later(self.id);
        }
    }

    /// Makes the reactor call `handle_read` although nothing arrived.
    pub(crate) fn request_read(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.flags.request_read();
            self.registry.touch_later(self.id);
        }
    }

    /// Whether `request_read` asked for this call.
    pub(crate) fn take_read_request(&mut self) -> bool {
        self.slot_mut()
            .is_ok_and(|slot| slot.flags.take_read_request())
    }

    /// Whether the end of file was read.
    #[cold]
    fn has_finished(&self) -> bool {
        self.slot().is_ok_and(|slot| slot.flags.is_finished())
    }

    /// Whether the end of file was read, and all before it.
    pub(crate) fn is_at_end(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| slot.flags.is_finished() && slot.unread.is_none())
    }

    pub(crate) fn discard_unread(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.unread = None;
        }
    }

    /// Whether the object whose callback is running is still the channel's, and input may still come.
    pub(crate) fn is_served(&self) -> bool {
        self.slot().is_ok_and(|slot| {
            slot.dispatcher.is_none() && !slot.flags.is_closing() && !slot.is_shaking()
        })
    }

    pub(crate) fn ignore_reads(&mut self) {
        self.ignore("handle_read", |slot| slot.flags.leave_read_unhandled());
    }

    pub(crate) fn ignore_writes(&mut self) {
        self.ignore("handle_write", |slot| slot.flags.leave_write_unhandled());
    }

    fn ignore(&mut self, what: &str, switch_off: impl FnOnce(&mut Slot)) {
        log::debug!(target: "asynchat::channel", "{}: {what} is not implemented, switched off until touch()", self.describe());
        self.registry.progress += 1;
        if let Ok(slot) = self.slot_mut() {
            switch_off(slot);
        }
    }
}

impl io::Read for Channel<'_> {
    /// Calls [`Channel::recv`].
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }
}
