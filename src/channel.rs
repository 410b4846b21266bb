//! One registered socket, as callbacks and lookups see it.

use std::{fmt, io, time::Duration};

use bytes::Bytes;

use crate::{
    Address, ChannelId, Registry, State, Stream,
    error::closed,
    flags::Flags,
    io::Filled,
    slot::{Phase, Slot},
    socket::Role,
    table::describe,
    task::Task,
};

/// One registered socket: the argument of every callback, and what [`Registry::channel`] finds by id. Own or
/// foreign makes no difference.
///
/// After [`close`](Self::close) every call is harmless: I/O answers `NotConnected`, pushes are dropped.
pub struct Channel<'r> {
    pub(crate) registry: &'r mut Registry,
    id: ChannelId,
}

impl<'r> Channel<'r> {
    pub(crate) fn new(registry: &'r mut Registry, id: ChannelId) -> Self {
        Self { registry, id }
    }

    /// The channel's name.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Everything else in the reactor.
    pub fn registry(&mut self) -> &mut Registry {
        self.registry
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says, or `NotConnected` once closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.slot()?.io.local_addr()
    }

    /// The address of the other end; while connecting, the one being tried.
    ///
    /// # Errors
    /// `NotConnected` where there is no peer.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.slot()?.peer_addr()
    }

    /// What the channel is doing.
    pub fn state(&self) -> State {
        self.slot().map_or(State::Closed, Slot::state)
    }

    /// Whether the peer broke the connection, rather than ending it: what `handle_close` came for.
    pub fn is_reset(&self) -> bool {
        self.slot().is_ok_and(|slot| slot.flags.has(Flags::RESET))
    }

    /// Type name, id and addresses, as log lines show them.
    pub fn describe(&self) -> String {
        self.slot().map_or_else(
            |_| format!("<channel {}, closed>", self.id),
            |slot| describe(self.id, slot),
        )
    }

    /// Reads once. `Ok(0)` is the end of file, except for datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now. What breaks the connection is noted, and `handle_close` follows
    /// when the running callback has returned, whatever is done with the error (R7).
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(n) = self.slot_mut()?.read_unread(buf) {
            self.registry.effects += 1;
            self.registry.touch_later(self.id);
            return Ok(n);
        }
        self.registry.read(self.id, buf)
    }

    /// Reads once into the reactor's own buffer and lends the bytes to `f`; an empty slice is the end of file.
    ///
    /// No buffer per channel, none to zero: the way to read in a server. Size: [`Builder::read_buffer`].
    ///
    /// [`Builder::read_buffer`]: crate::Builder::read_buffer
    ///
    /// # Errors
    /// Like [`recv`](Self::recv); `f` is not called then.
    pub fn recv_with<R>(&mut self, f: impl FnOnce(&mut Self, &[u8]) -> R) -> io::Result<R> {
        self.recv_some(|channel, data, _| (data.len(), f(channel, data)))
    }

    /// Like `recv_with`; what `f` leaves of the bytes is read again first. `f` is told whether the end of file
    /// follows.
    #[inline]
    pub(crate) fn recv_some<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &[u8], bool) -> (usize, R),
    ) -> io::Result<R> {
        match self.registry.fill(self.id)? {
            Filled::Buffer(buffer, n) => {
                let (used, result) = f(self, &buffer[..n], false);
                if used < n {
                    self.keep_rest(Bytes::copy_from_slice(&buffer[used..n]));
                }
                self.registry.buffers.give(buffer);
                Ok(result)
            }
            Filled::Unread(unread) => {
                let last = self.slot()?.flags.has(Flags::FINISHED);
                let (used, result) = f(self, &unread, last);
                self.keep_rest(unread.slice(used.min(unread.len())..));
                Ok(result)
            }
            Filled::Nothing => Ok(f(self, &[], true).1),
        }
    }

    /// Gives bytes back, to be read again before anything else: for a handler that read too far before
    /// [`replace`](Self::replace) or [`detach`](Self::detach).
    pub fn unread(&mut self, bytes: impl Into<Bytes>) {
        let mut bytes = bytes.into();
        if bytes.is_empty() {
            return;
        }
        let Ok(slot) = self.slot_mut() else { return };
        if let Some(behind) = slot.unread.take() {
            bytes = [bytes, *behind].concat().into();
        }
        slot.unread = Some(Box::new(bytes));
        self.registry.touch_later(self.id);
    }

    /// Keeps what was read and not used, behind what was given back meanwhile.
    pub(crate) fn keep_rest(&mut self, rest: Bytes) {
        if let Ok(slot) = self.slot_mut() {
            slot.keep_rest(rest);
            self.registry.touch_later(self.id);
        }
    }

    /// Has `handle_read` called although nothing arrived.
    pub(crate) fn read_soon(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.flags.set(Flags::CALL_ASKED);
            self.registry.touch_later(self.id);
        }
    }

    /// Whether `read_soon` asked for this call.
    pub(crate) fn take_asked_call(&mut self) -> bool {
        self.slot_mut()
            .is_ok_and(|slot| slot.flags.take(Flags::CALL_ASKED))
    }

    pub(crate) fn discard_unread(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.unread = None;
        }
    }

    /// Whether the object whose callback is running is still the one behind the channel, with input to come.
    pub(crate) fn is_served(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| slot.dispatcher.is_none() && !slot.flags.has(Flags::CLOSING))
    }

    /// Writes straight to the socket; may take less than all.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full, and while bytes wait in the outgoing queue, so that nothing overtakes
    /// them. For a broken connection see [`recv`](Self::recv).
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        let id = self.id;
        self.registry
            .write(id, |slot, poll| slot.write(data, poll, id))
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits, and while the listener may not accept: descriptors or memory ran out, or
    /// `max_channels` is reached (R19); it goes on by itself. Connections that broke while waiting are skipped.
    pub fn accept(&mut self) -> io::Result<(Stream, Address)> {
        self.registry.accept(self.id)
    }

    /// Receives one datagram and its sender; what does not fit in `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when there is none now.
    pub fn recv_from(&mut self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.registry.read_from(self.id, buf)
    }

    /// Sends one datagram.
    ///
    /// A Unix datagram socket is writable all the time, whatever its peers take: keep what one of them refused, answer
    /// `writable` with false, and try again after a while (`call_later`).
    ///
    /// # Errors
    /// `WouldBlock` when the system's queue, or that of the Unix peer, is full; what the system says about the address.
    pub fn send_to(&mut self, data: &[u8], to: impl Into<Address>) -> io::Result<usize> {
        let to = to.into();
        let id = self.id;
        self.registry
            .write(id, |slot, poll| slot.send_to(data, &to, poll, id))
    }

    /// Closes gracefully: sends what is queued, tells the peer, throws its input away until its end of file or the
    /// linger limits ([`Builder::linger`](crate::Builder::linger)), closes (R10).
    ///
    /// From now on nothing is read and pushes are dropped. `handle_close` still comes if the peer resets the
    /// connection before everything is sent.
    pub fn close_when_done(&mut self) {
        self.registry.uncork();
        let id = self.id;
        let now = self.registry.clock.stamp();
        let Ok(slot) = self.slot_mut() else { return };
        if !slot.flags.raise(Flags::CLOSING) {
            return;
        }
        // The peer has all of the idle timeout to take what is left.
        slot.active_at = now;
        match slot.io.role() {
            Role::Listener | Role::Datagram => self.close(),
            Role::Stream | Role::Fd => {
                slot.unread = None;
                slot.flags.clear(Flags::CALL_ASKED);
                self.registry.effects += 1;
                self.registry.breaks += 1;
                self.registry.touch_later(id);
            }
        }
    }

    /// Closes at once: what is queued or unread is dropped and no callback of this channel runs any more (R6, R10).
    pub fn close(&mut self) {
        self.registry.close(self.id, "close");
    }

    /// Tells the peer that nothing more comes, once the queue is sent; reading goes on (half-close).
    ///
    /// Streams only. A pipe has no such half: its write end is ended by `close_when_done`.
    pub fn shutdown_write(&mut self) {
        self.registry.uncork();
        let id = self.id;
        let Ok(slot) = self.slot_mut() else { return };
        if slot.io.role() != Role::Stream {
            log::debug!(target: "asynchat::channel", "channel {id}: shutdown_write of what is no stream ignored");
        } else if !slot.flags.has(Flags::ENDING | Flags::SHUT) {
            slot.flags.set(Flags::ENDING);
            self.registry.effects += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// Calls `handle_timeout` whenever nothing was read or written for `after`; `None` ends it. O(log n); each
    /// read or write costs one store (R20).
    ///
    /// A channel that is already closing ([`close_when_done`](Self::close_when_done)), and whose peer has taken nothing
    /// of what is queued for so long, is closed instead, without a callback.
    pub fn set_idle_timeout(&mut self, after: Option<Duration>) {
        let id = self.id;
        let now = self.registry.clock.stamp();
        let deadline = after.map(|after| self.registry.after(after));
        let Ok(slot) = self.slot_mut() else { return };
        if matches!(slot.phase, Phase::Lingering { .. }) {
            return;
        }
        slot.active_at = now;
        if let Some(timer) = slot.timer.take() {
            self.registry.cancel(timer);
        }
        if let (Some(after), Some(deadline)) = (after, deadline) {
            let timer = self.registry.timers.insert(deadline, Task::Idle(id, after));
            if let Ok(slot) = self.slot_mut() {
                slot.timer = Some(timer);
            }
        }
    }

    /// Asks `readable`, `writable` and a pending producer again (R3, R13).
    pub fn touch(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.flags.clear(Flags::READS_IGNORED);
            slot.flags.clear(Flags::WRITES_IGNORED);
            if let Some(queue) = &mut slot.outgoing {
                queue.unpark();
            }
            self.registry.effects += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// The descriptor, for socket options the crate has no call for. Not for I/O: readiness would go wrong.
    ///
    /// # Errors
    /// `NotConnected` once closed.
    #[cfg(unix)]
    pub fn as_fd(&self) -> io::Result<std::os::fd::BorrowedFd<'_>> {
        self.slot()?.io.as_fd()
    }

    /// The socket handle, for socket options the crate has no call for. Not for I/O: readiness would go wrong.
    ///
    /// # Errors
    /// `NotConnected` once closed.
    #[cfg(windows)]
    pub fn as_socket(&self) -> io::Result<std::os::windows::io::BorrowedSocket<'_>> {
        self.slot()?.io.as_socket()
    }

    /// Whether an error concerns one of many peers, and not this socket.
    pub(crate) fn outlives_errors(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| matches!(slot.io.role(), Role::Listener | Role::Datagram))
    }

    pub(crate) fn ignore_reads(&mut self) {
        self.ignore("handle_read", |slot| slot.flags.set(Flags::READS_IGNORED));
    }

    pub(crate) fn ignore_writes(&mut self) {
        self.ignore("handle_write", |slot| slot.flags.set(Flags::WRITES_IGNORED));
    }

    fn ignore(&mut self, what: &str, switch_off: impl FnOnce(&mut Slot)) {
        log::debug!(target: "asynchat::channel", "{}: {what} is not implemented, switched off until touch()", self.describe());
        self.registry.effects += 1;
        if let Ok(slot) = self.slot_mut() {
            switch_off(slot);
        }
    }

    pub(crate) fn slot(&self) -> io::Result<&Slot> {
        self.registry.slot(self.id).ok_or_else(closed)
    }

    pub(crate) fn slot_mut(&mut self) -> io::Result<&mut Slot> {
        self.registry.slot_mut(self.id).ok_or_else(closed)
    }
}

impl io::Read for Channel<'_> {
    /// [`Channel::recv`].
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }
}

impl fmt::Debug for Channel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
