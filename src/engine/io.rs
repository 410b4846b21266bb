//! System calls on a channel's socket, and what their answers mean for readiness and for the peer's state (R1, R7).

use std::io;

use crate::{
    address::Address,
    direction::Direction,
    error::{Meaning, closed, meaning_of_call},
    id::ChannelId,
    net::{
        errno::is_write_only,
        io::{Io, Role},
    },
    outgoing::Spare,
    state::{
        flags::{Peer, Sending},
        phase::Phase,
        registry::Registry,
        slot::Slot,
        table::find,
        unread::Unread,
    },
    stats::Stats,
    time::clock::Clock,
};

impl Registry {
    /// Reads from a channel.
    pub(crate) fn read(&mut self, id: ChannelId, buf: &mut [u8]) -> io::Result<usize> {
        self.read_stream(id, buf, |n| n, Self::read_otherwise)
    }

    /// Reads into `buffer`, unless something was given back.
    #[inline(always)]
    pub(crate) fn fill(&mut self, id: ChannelId, buffer: &mut [u8]) -> io::Result<Filled> {
        self.read_stream(id, buffer, Filled::Buffer, Self::fill_otherwise)
    }

    /// The usual read: some bytes come straight from a TCP or Unix stream. All else is left to `otherwise`, with the
    /// stream's answer if it was asked.
    #[inline(always)]
    fn read_stream<R>(
        &mut self,
        id: ChannelId,
        buf: &mut [u8],
        usual: impl FnOnce(usize) -> R,
        otherwise: impl FnOnce(&mut Self, ChannelId, &mut [u8], Answer) -> io::Result<R>,
    ) -> io::Result<R> {
        if let Some(slot) = find(&mut self.slots, id)
            && slot.reads_socket()
            && let Some(answer) = slot.io.read_stream(buf)
        {
            return match answer {
                Ok(n @ 1..) => {
                    // Not a Unix stream, which stops short at passed descriptors.
                    if slot.io.is_tcp_stream() {
                        slot.readiness.after_stream_read(n, buf.len());
                    }
                    slot.note_received(n, &self.clock, &mut self.stats);
                    self.progress += 1;
                    Ok(usual(n))
                }
                answer => otherwise(self, id, buf, Some(answer)),
            };
        }
        otherwise(self, id, buf, None)
    }

    #[cold]
    fn read_otherwise(
        &mut self,
        id: ChannelId,
        buf: &mut [u8],
        answer: Answer,
    ) -> io::Result<usize> {
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        if answer.is_none() {
            if let Some(n) = slot.read_unread(buf) {
                self.progress += 1;
                self.touch_later(id);
                return Ok(n);
            }
            if !buf.is_empty() && self.reads_through_filter(id) {
                return self.read_filtered(id, buf);
            }
        }
        self.conclude_read(id, buf, answer)
    }

    #[cold]
    fn fill_otherwise(
        &mut self,
        id: ChannelId,
        buffer: &mut [u8],
        answer: Answer,
    ) -> io::Result<Filled> {
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        // An empty datagram reads like an end of file and is none.
        let end = slot.io.role() != Role::Datagram;
        if answer.is_none() {
            // While a handshake is on, what was given back is the filter's.
            if !slot.is_shaking()
                && let Some(unread) = slot.unread.take()
            {
                self.progress += 1;
                self.touch_later(id);
                return Ok(Filled::Unread(unread));
            }
            if self.reads_through_filter(id) {
                return self.fill_filtered(id, buffer);
            }
        }
        Ok(match self.conclude_read(id, buffer, answer)? {
            0 => Filled::Nothing { end },
            n => Filled::Buffer(n),
        })
    }

    /// What a read gives if no bytes came at once; without an answer the socket was not asked.
    fn conclude_read(
        &mut self,
        id: ChannelId,
        buf: &mut [u8],
        answer: Answer,
    ) -> io::Result<usize> {
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        let answer = match answer {
            None if slot.flags.is_finished() => Ok(0),
            None if !slot.reads_socket() => Err(io::ErrorKind::WouldBlock.into()),
            answer => answer
                .unwrap_or_else(|| slot.io.read(buf))
                .or_else(|error| slot.read_on(error, buf, self.poll.registry(), id)),
        };
        match &answer {
            Ok(n @ 1..) => {
                // Only TCP: a Unix stream stops short at passed descriptors, a pipe or a tty at will.
                if slot.io.is_tcp_stream() {
                    slot.readiness.after_stream_read(*n, buf.len());
                }
                slot.note_received(*n, &self.clock, &mut self.stats);
                self.progress += 1;
            }
            Ok(_) if buf.is_empty() || slot.io.role() == Role::Datagram => self.progress += 1,
            Ok(_) => {
                slot.readiness.read_blocked();
                slot.flags.note_finished();
                self.progress += 1;
                self.touch_later(id);
            }
            // Acted upon in the channel's own visit, even if another callback called `recv`.
            Err(_) => self.touch_later(id),
        }
        answer
    }

    fn reads_through_filter(&self, id: ChannelId) -> bool {
        self.slot(id)
            .is_some_and(|slot| slot.is_open_filtered() && !slot.flags.is_finished())
    }

    pub(crate) fn read_from(
        &mut self,
        id: ChannelId,
        buf: &mut [u8],
    ) -> io::Result<(usize, Address)> {
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        // No system call was made that says anything about readiness.
        if slot.io.role() != Role::Datagram {
            return slot.io.recv_from(buf);
        }
        if !slot.readiness.can_read() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = uninterrupted(|| slot.io.recv_from(buf));
        match &result {
            Ok((n, _)) => {
                slot.note_traffic(&self.clock);
                slot.bytes_in += *n as u64;
                self.stats.bytes_in += *n as u64;
                self.progress += 1;
            }
            Err(error) => slot.note_read_error(error, self.poll.registry(), id),
        }
        result
    }

    /// Writes past the outgoing queue, unless something waits there.
    #[inline(always)]
    pub(crate) fn send(&mut self, id: ChannelId, data: &[u8]) -> io::Result<usize> {
        self.uncork();
        if let Some(slot) = find(&mut self.slots, id)
            && slot.writes_socket()
            && !data.is_empty()
            && let Some(answer) = slot.io.write_stream(data)
        {
            return match answer {
                Ok(n) => {
                    slot.readiness.after_stream_write(n, data.len());
                    slot.note_sent(n, &self.clock, &mut self.stats);
                    self.progress += 1;
                    Ok(n)
                }
                Err(error) => self.send_otherwise(id, data, Some(error)),
            };
        }
        self.send_otherwise(id, data, None)
    }

    /// The same if the socket answered with an error, or was not asked.
    #[cold]
    fn send_otherwise(
        &mut self,
        id: ChannelId,
        data: &[u8],
        answer: Option<io::Error>,
    ) -> io::Result<usize> {
        self.write(id, |slot, poll, spare| match answer {
            None => slot.write_otherwise(data, poll, spare, id),
            Some(error) => slot.write_on(error, data, poll, id),
        })
    }

    /// Writes to the socket of a channel with `write`.
    pub(crate) fn write(
        &mut self,
        id: ChannelId,
        write: impl FnOnce(&mut Slot, &mio::Registry, &mut Spare) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.uncork();
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        let n = match write(slot, self.poll.registry(), &mut self.pool.tails) {
            Ok(n) => n,
            Err(error) => {
                self.touch_later(id);
                return Err(error);
            }
        };
        slot.note_sent(n, &self.clock, &mut self.stats);
        self.progress += 1;
        Ok(n)
    }

    /// Has somebody else make a call on the socket of a channel, if the socket is ready for it.
    pub(crate) fn try_io<R>(
        &mut self,
        id: ChannelId,
        direction: Direction,
        call: impl FnOnce(&Io) -> io::Result<R>,
    ) -> io::Result<R> {
        self.uncork();
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        slot.check_ready(direction)?;
        // The call may duplicate the descriptor.
        slot.lent.set(true);
        let result = call(&slot.io);
        match &result {
            Ok(_) => {
                slot.note_traffic(&self.clock);
                self.progress += 1;
            }
            // The error may be none of the system's: it says nothing about the socket.
            Err(error) if meaning_of_call(error) == Meaning::Failure => {}
            // A call that was interrupted is made again with the next callback.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let poll = self.poll.registry();
                match direction {
                    Direction::Read => slot.note_read_error(error, poll, id),
                    Direction::Write => slot.note_write_error(error, poll, id),
                }
                self.touch_later(id);
            }
        }
        result
    }

    /// Reads and forgets, up to one buffer a visit. Gives the number of bytes.
    pub(crate) fn discard_input(&mut self, id: ChannelId) -> usize {
        let mut buffer = self.pool.take_buffer();
        let filled = self.fill(id, &mut buffer);
        self.pool.give_buffer(buffer);
        match filled {
            Ok(Filled::Buffer(n)) => n,
            Ok(Filled::Unread(unread)) => unread.bytes().len(),
            Ok(Filled::Nothing { .. }) => 0,
            Err(error) => {
                if meaning_of_call(&error) == Meaning::Failure
                    && let Some(slot) = self.slot_mut(id)
                {
                    slot.flags.note_reset();
                }
                0
            }
        }
    }
}

/// Makes a system call again as long as signals interrupt it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What a socket answered to a read, if it was asked.
type Answer = Option<io::Result<usize>>;

/// What [`Registry::fill`] got.
pub(crate) enum Filled {
    /// The number of bytes in the buffer.
    Buffer(usize),
    /// What had been given back, or what a filter has opened.
    Unread(Box<Unread>),
    /// The end of file, or an empty datagram.
    Nothing { end: bool },
}

impl Slot {
    /// For the idle timeout: one store per read or write (R20).
    #[inline]
    pub(crate) fn note_traffic(&mut self, clock: &Clock) {
        if self.timer.is_some() {
            self.active_at = clock.stamp();
        }
    }

    /// Counts bytes that came from the peer.
    #[inline]
    fn note_received(&mut self, n: usize, clock: &Clock, stats: &mut Stats) {
        self.note_traffic(clock);
        self.bytes_in += n as u64;
        stats.bytes_in += n as u64;
    }

    /// Counts bytes that left for the peer, by any call.
    #[inline]
    pub(crate) fn note_sent(&mut self, n: usize, clock: &Clock, stats: &mut Stats) {
        self.note_traffic(clock);
        self.bytes_out += n as u64;
        stats.bytes_out += n as u64;
    }

    #[cold]
    pub(crate) fn note_read_error(
        &mut self,
        error: &io::Error,
        poll: &mio::Registry,
        id: ChannelId,
    ) {
        match (meaning_of_call(error), self.io.role()) {
            (Meaning::Nothing, role) => {
                self.readiness.read_blocked();
                if role == Role::Fd {
                    self.io.rearm(poll, id.token());
                }
            }
            (Meaning::Reset, Role::Stream | Role::Fd) => {
                self.readiness.read_blocked();
                self.flags.note_reset();
            }
            // Above all the write end of a pipe: there will never be anything to read.
            (Meaning::Failure, Role::Fd) => self.readiness.read_blocked(),
            _ => {}
        }
    }

    /// What arrived before the connection broke may still be unread: one more look.
    pub(crate) fn broken_while_sending(&mut self) {
        if self.flags.note_reset() {
            self.readiness.read_again();
        }
    }

    #[cold]
    fn note_write_error(&mut self, error: &io::Error, poll: &mio::Registry, id: ChannelId) {
        match (meaning_of_call(error), self.io.role()) {
            (Meaning::Nothing, role) => {
                self.readiness.write_blocked();
                if role == Role::Fd {
                    self.io.rearm(poll, id.token());
                }
            }
            (Meaning::Reset, Role::Stream | Role::Fd) if self.flags.sending() != Sending::Shut => {
                self.broken_while_sending();
            }
            _ => {}
        }
    }

    /// Whether a read goes straight to the socket, which may have something.
    #[inline]
    fn reads_socket(&self) -> bool {
        !self.flags.is_finished()
            && self.readiness.can_read()
            && self.unread.is_none()
            && !self.is_not_plain()
    }

    /// Whether reads and writes do not go straight to the socket.
    #[inline]
    fn is_not_plain(&self) -> bool {
        matches!(
            self.phase,
            Phase::Connecting(_) | Phase::Filtered(_) | Phase::LingeringSealed { .. }
        )
    }

    /// Makes a read again that a signal interrupted, and notes any other error.
    fn read_on(
        &mut self,
        mut error: io::Error,
        buf: &mut [u8],
        poll: &mio::Registry,
        id: ChannelId,
    ) -> io::Result<usize> {
        while error.kind() == io::ErrorKind::Interrupted {
            match self.io.read(buf) {
                Err(next) => error = next,
                read => return read,
            }
        }
        self.note_read_error(&error, poll, id);
        // Whether the pipe's reader is there is not for a read to say: the visit does (`report_close`).
        if self.io.role() == Role::Fd && is_write_only(&error) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Err(error)
    }

    /// Whether a write past the queue goes straight to the socket, which may have room.
    #[inline]
    fn writes_socket(&self) -> bool {
        !self.holds_queue()
            && self.flags.may_send()
            && self.readiness.can_write()
            && !self.is_not_plain()
    }

    /// The write of every socket but a plain TCP or Unix stream, and the answer of any socket if there is nothing to write,
    /// or no room.
    #[cold]
    fn write_otherwise(
        &mut self,
        data: &[u8],
        poll: &mio::Registry,
        spare: &mut Spare,
        id: ChannelId,
    ) -> io::Result<usize> {
        self.check_sending()?;
        if data.is_empty() && self.io.role() != Role::Datagram {
            return Ok(0);
        }
        if !self.readiness.can_write() || matches!(self.phase, Phase::Connecting(_)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.filtered().is_some() {
            return match self.send_filtered(data, spare) {
                // A full socket is noted already.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    self.note_write_error(&error, poll, id);
                    Err(error)
                }
                sent => sent,
            };
        }
        let written = self.io.write(data);
        if let Ok(n) = written
            && self.io.role() == Role::Stream
        {
            self.readiness.after_stream_write(n, data.len());
        }
        written.or_else(|error| self.write_on(error, data, poll, id))
    }

    /// Whether a write past the queue is in its turn, and can still succeed.
    fn check_sending(&self) -> io::Result<()> {
        if self.has_outgoing() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.flags.sending() == Sending::Shut {
            // Not `BrokenPipe`: that would pass for the peer's doing.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "send after shutdown_write",
            ));
        }
        if self.flags.peer() == Peer::Reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Whether a call that does not go through this file may be made.
    fn check_ready(&self, direction: Direction) -> io::Result<()> {
        if self.io.role() == Role::Listener {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a listener has nothing to read or write: accept its connections",
            ));
        }
        let ready = match direction {
            Direction::Read => self.readiness.can_read(),
            Direction::Write => {
                self.check_sending()?;
                self.readiness.can_write() || self.io.may_block_for_one_peer()
            }
        };
        if ready && !matches!(self.phase, Phase::Connecting(_)) {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[cold]
    fn write_on(
        &mut self,
        mut error: io::Error,
        data: &[u8],
        poll: &mio::Registry,
        id: ChannelId,
    ) -> io::Result<usize> {
        while error.kind() == io::ErrorKind::Interrupted {
            match self.io.write(data) {
                Err(next) => error = next,
                written => return written,
            }
        }
        self.note_write_error(&error, poll, id);
        Err(error)
    }

    pub(crate) fn send_to(
        &mut self,
        data: &[u8],
        to: &Address,
        poll: &mio::Registry,
        id: ChannelId,
    ) -> io::Result<usize> {
        if !self.readiness.can_write() && !self.io.may_block_for_one_peer() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = uninterrupted(|| self.io.send_to(data, to));
        if let Err(error) = &sent {
            self.note_write_error(error, poll, id);
        }
        sent
    }
}
