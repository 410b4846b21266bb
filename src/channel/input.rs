//! Reading, accepting, and giving back what was read too far.

use std::io;

use bytes::Bytes;

use crate::{
    address::Address,
    engine::Filled,
    net::stream::Stream,
    state::{channel::Channel, slot::Slot},
};

/// # Reading
impl Channel<'_> {
    /// Reads once. `Ok(0)` is the end of file, except for datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now. What ownership_changes the connection is noted, and `handle_close` follows
    /// when the running callback has returned, whatever is done with the error (R7).
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(n) = self.slot_mut()?.read_unread(buf) {
            self.registry.progress += 1;
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
                self.registry.pool.give_buffer(buffer);
                Ok(result)
            }
            Filled::Unread(unread) => {
                let last = self.slot()?.flags.is_finished();
                let (used, result) = f(self, &unread, last);
                self.keep_rest(unread.slice(used.min(unread.len())..));
                Ok(result)
            }
            Filled::Nothing => Ok(f(self, &[], true).1),
        }
    }

    /// Receives one datagram and its sender; what does not fit in `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when there is none now.
    pub fn recv_from(&mut self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.registry.read_from(self.id, buf)
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits, and while the listener may not accept: descriptors or memory ran out, or
    /// `max_channels` is reached (R19); it goes on by itself. Connections that broke while waiting are skipped.
    pub fn accept(&mut self) -> io::Result<(Stream, Address)> {
        self.registry.accept(self.id)
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

    pub(crate) fn discard_unread(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.unread = None;
        }
    }

    /// Whether the object whose callback is running is still the one behind the channel, with input to come.
    pub(crate) fn is_served(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| slot.dispatcher.is_none() && !slot.flags.is_closing())
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
    /// [`Channel::recv`].
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }
}
