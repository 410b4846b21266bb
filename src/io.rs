//! System calls on a channel's socket, and what their answers mean for readiness and for the peer's state (R1, R7).

use std::io;

use bytes::Bytes;

use crate::{
    Address, Channel, ChannelId, Registry,
    clock::Clock,
    error::{Meaning, closed, meaning_of_io},
    slot::{Peer, Phase, Sending, Slot},
    socket::{Io, Role},
    table::find,
};

impl Registry {
    /// Reads from the socket of a channel.
    pub(crate) fn read(&mut self, id: ChannelId, buf: &mut [u8]) -> io::Result<usize> {
        let slot = find(&mut self.slots, id).ok_or_else(closed)?;
        let result = slot.read(buf, &self.poll, id);
        match result {
            Ok(n @ 1..) => {
                // Only TCP: a Unix stream stops short at passed descriptors, a pipe or a tty at will.
                if matches!(slot.io, Io::TcpStream(_)) {
                    slot.readiness.after_stream_read(n, buf.len());
                }
                slot.note_traffic(&self.clock);
                slot.bytes_in += n as u64;
                self.stats.bytes_in += n as u64;
                self.effects += 1;
            }
            Ok(0) if buf.is_empty() || slot.io.role() == Role::Datagram => self.effects += 1,
            Ok(_) => {
                slot.readiness.read_blocked();
                if slot.peer == Peer::Open {
                    slot.peer = Peer::Finished;
                }
                self.effects += 1;
                self.touch_later(id);
            }
            // Whoever reads, the channel's own visit draws the conclusions.
            Err(_) => self.touch_later(id),
        }
        result
    }

    pub(crate) fn read_from(
        &mut self,
        id: ChannelId,
        buf: &mut [u8],
    ) -> io::Result<(usize, Address)> {
        let slot = find(&mut self.slots, id).ok_or_else(closed)?;
        if !slot.readiness.can_read() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = slot.io.recv_from(buf);
        match &result {
            Ok((n, _)) => {
                slot.note_traffic(&self.clock);
                slot.bytes_in += *n as u64;
                self.stats.bytes_in += *n as u64;
                self.effects += 1;
            }
            Err(error) => slot.note_read_error(error, &self.poll, id),
        }
        result
    }

    /// Writes to the socket of a channel with `write`.
    pub(crate) fn write(
        &mut self,
        id: ChannelId,
        write: impl FnOnce(&mut Slot, &mio::Registry) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let slot = find(&mut self.slots, id).ok_or_else(closed)?;
        let n = match write(slot, &self.poll) {
            Ok(n) => n,
            Err(error) => {
                self.touch_later(id);
                return Err(error);
            }
        };
        slot.note_traffic(&self.clock);
        slot.bytes_out += n as u64;
        self.stats.bytes_out += n as u64;
        self.effects += 1;
        Ok(n)
    }

    /// Reads and forgets, up to one buffer a visit. Gives the number of bytes.
    pub(crate) fn discard_input(&mut self, id: ChannelId) -> usize {
        let read = Channel::new(self, id).recv_with(|_, data| data.len());
        match read {
            Ok(n) => n,
            Err(error) => {
                if meaning_of_io(&error) == Meaning::Failure
                    && let Some(slot) = self.slot_mut(id)
                {
                    slot.peer = Peer::Reset;
                }
                0
            }
        }
    }
}

impl Slot {
    /// For the idle timeout: one store per read or write (R20).
    fn note_traffic(&mut self, clock: &Clock) {
        if self.idle.is_some() {
            self.active_at = clock.get();
        }
    }

    #[cold]
    fn note_read_error(&mut self, error: &io::Error, poll: &mio::Registry, id: ChannelId) {
        match (meaning_of_io(error), self.io.role()) {
            (Meaning::Nothing, role) => {
                self.readiness.read_blocked();
                if role == Role::Fd {
                    self.io.rearm(poll, id.into());
                }
            }
            (Meaning::Reset, Role::Stream | Role::Fd) => {
                self.readiness.read_blocked();
                self.peer = Peer::Reset;
            }
            // The write end of a pipe: there will never be anything to read.
            (Meaning::Failure, Role::Fd) => self.readiness.read_blocked(),
            _ => {}
        }
    }

    /// What arrived before the connection broke may still be unread: one more look.
    pub(crate) fn broken_while_sending(&mut self) {
        if self.peer != Peer::Reset {
            self.readiness.read_again();
            self.peer = Peer::Reset;
        }
    }

    #[cold]
    fn note_write_error(&mut self, error: &io::Error, poll: &mio::Registry, id: ChannelId) {
        match (meaning_of_io(error), self.io.role()) {
            (Meaning::Nothing, role) => {
                self.readiness.write_blocked();
                if role == Role::Fd {
                    self.io.rearm(poll, id.into());
                }
            }
            (Meaning::Reset, Role::Stream | Role::Fd) if self.sending != Sending::Shut => {
                self.broken_while_sending();
            }
            _ => {}
        }
    }

    /// Reads what was given back, if anything was.
    pub(crate) fn read_unread(&mut self, buf: &mut [u8]) -> Option<usize> {
        let mut bytes = self.unread.take()?;
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes.split_to(n));
        self.unread = Some(bytes).filter(|bytes| !bytes.is_empty());
        Some(n)
    }

    /// Keeps what was read and not used, behind what was given back meanwhile.
    pub(crate) fn keep_rest(&mut self, rest: Bytes) {
        if rest.is_empty() || self.flags.closing {
            return;
        }
        let bytes = match self.unread.take() {
            Some(first) => [*first, rest].concat().into(),
            None => rest,
        };
        self.unread = Some(Box::new(bytes));
    }

    fn read(&mut self, buf: &mut [u8], poll: &mio::Registry, id: ChannelId) -> io::Result<usize> {
        if self.peer == Peer::Finished {
            return Ok(0);
        }
        if !self.readiness.can_read() || matches!(self.phase, Phase::Connecting(_)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match self.io.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.note_read_error(&error, poll, id);
                    return Err(error);
                }
                read => return read,
            }
        }
    }

    /// Writes past the outgoing queue, unless something waits there.
    pub(crate) fn write(
        &mut self,
        data: &[u8],
        poll: &mio::Registry,
        id: ChannelId,
    ) -> io::Result<usize> {
        if self.has_outgoing() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.sending == Sending::Shut {
            // Not `BrokenPipe`: that would pass for the peer's doing.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "send after shutdown_write",
            ));
        }
        if data.is_empty() && self.io.role() != Role::Datagram {
            return Ok(0);
        }
        if !self.readiness.can_write() || matches!(self.phase, Phase::Connecting(_)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match self.io.write(data) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    if self.io.role() == Role::Stream {
                        self.readiness.after_stream_write(n, data.len());
                    }
                    return Ok(n);
                }
                Err(error) => {
                    self.note_write_error(&error, poll, id);
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn send_to(
        &mut self,
        data: &[u8],
        to: &Address,
        poll: &mio::Registry,
        id: ChannelId,
    ) -> io::Result<usize> {
        if !self.readiness.can_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = self.io.send_to(data, to);
        if let Err(error) = &sent {
            self.note_write_error(error, poll, id);
        }
        sent
    }
}
