//! System calls on a channel's socket, and what their answers mean for readiness and for the peer's state (R1, R7).

use std::io;

use crate::{
    Channel, ChannelId, Registry,
    error::{Meaning, meaning_of_io},
    slot::{Peer, Phase, Sending, Slot},
    socket::{Io, Role},
};

impl Registry {
    /// What a read answered, for readiness, statistics and the peer's state. `asked` is 0 for a datagram.
    pub(crate) fn note_read(
        &mut self,
        id: ChannelId,
        result: io::Result<usize>,
        asked: usize,
    ) -> io::Result<usize> {
        let now = self.idle_now(id);
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return result;
        };
        match &result {
            Ok(n) => {
                let n = *n;
                slot.bytes_in += n as u64;
                if let Some(now) = now {
                    slot.active_at = now;
                }
                match slot.io.role() {
                    Role::Stream | Role::Fd if n == 0 && asked > 0 => {
                        slot.readiness.read_blocked();
                        if slot.peer == Peer::Open {
                            slot.peer = Peer::Finished;
                        }
                    }
                    // Only TCP: a Unix stream stops short at passed descriptors, a pipe or a tty at will.
                    Role::Stream if matches!(slot.io, Io::TcpStream(_)) => {
                        slot.readiness.after_stream_read(n, asked);
                    }
                    _ => {}
                }
            }
            Err(error) => match (meaning_of_io(error), slot.io.role()) {
                (Meaning::Nothing, role) => {
                    slot.readiness.read_blocked();
                    if role == Role::Fd {
                        slot.io.rearm(poll, id.into());
                    }
                }
                (Meaning::Reset, Role::Stream | Role::Fd) => {
                    slot.readiness.read_blocked();
                    slot.peer = Peer::Reset;
                }
                _ => {}
            },
        }
        if let Ok(n) = &result {
            self.effects += 1;
            self.stats.bytes_in += *n as u64;
        }
        result
    }

    pub(crate) fn note_write(
        &mut self,
        id: ChannelId,
        result: io::Result<usize>,
    ) -> io::Result<usize> {
        let now = self.idle_now(id);
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return result;
        };
        match &result {
            Ok(n) => {
                slot.bytes_out += *n as u64;
                if let Some(now) = now {
                    slot.active_at = now;
                }
            }
            Err(error) => match (meaning_of_io(error), slot.io.role()) {
                (Meaning::Nothing, role) => {
                    slot.readiness.write_blocked();
                    if role == Role::Fd {
                        slot.io.rearm(poll, id.into());
                    }
                }
                (Meaning::Reset, Role::Stream | Role::Fd) if slot.sending != Sending::Shut => {
                    slot.readiness.read_again();
                    slot.peer = Peer::Reset;
                }
                _ => {}
            },
        }
        if let Ok(n) = &result {
            self.effects += 1;
            self.stats.bytes_out += *n as u64;
        }
        result
    }

    fn idle_now(&self, id: ChannelId) -> Option<std::time::Instant> {
        self.slot(id)?.idle.map(|_| self.now())
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
    /// Reads what was given back, if anything was.
    pub(crate) fn read_unread(&mut self, buf: &mut [u8]) -> Option<usize> {
        let mut bytes = self.unread.take().filter(|bytes| !bytes.is_empty())?;
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes.split_to(n));
        self.unread = Some(bytes).filter(|bytes| !bytes.is_empty());
        Some(n)
    }

    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.phase {
            Phase::Connecting(_) => return Err(io::ErrorKind::WouldBlock.into()),
            _ if self.peer == Peer::Finished => return Ok(0),
            _ if !self.readiness.can_read() => return Err(io::ErrorKind::WouldBlock.into()),
            _ => {}
        }
        loop {
            match self.io.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.sending == Sending::Shut {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
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
                result => return result,
            }
        }
    }
}
