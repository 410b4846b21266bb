//! Between the socket and a filter: reading what it opens, sending what it seals.

use std::{
    fs::File,
    io::{self, IoSlice},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    engine::{io::Filled, wire::Wire},
    error::{Meaning, Payload, closed, meaning_of_call},
    filter::FilterPhase,
    id::ChannelId,
    outgoing::{Flushed, Outgoing, Sink, Spare},
    state::{
        filtered::{Filtered, Stage},
        flags::Sending,
        phase::Phase,
        registry::Registry,
        slot::Slot,
        table::find,
        unread::Unread,
    },
};

/// What a read from the socket of a filtered channel gave.
pub(crate) enum Pulled {
    /// Bytes; perhaps none of them is plaintext.
    Data,
    /// The end of file, the filter's or the socket's.
    End,
}

impl Registry {
    /// Reads once from the socket and feeds the filter. Its plaintext is appended to `opened`, which is empty.
    #[inline(always)]
    fn pull_opened(
        &mut self,
        id: ChannelId,
        buffer: &mut [u8],
        opened: &mut Unread,
    ) -> io::Result<Pulled> {
        let propagate = self.policy.propagate_panics;
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        let Phase::Filtered(filtered) = &mut slot.phase else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let layer = &mut filtered.layer;
        if layer.is_broken() || layer.is_flooded() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if layer.phase() == FilterPhase::PeerEnded {
            return Ok(Pulled::End);
        }
        if !slot.readiness.can_read() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match slot.io.read(buffer) {
            Ok(n @ 1..) => {
                if slot.io.is_tcp_stream() {
                    slot.readiness.after_stream_read(n, buffer.len());
                }
                if layer.wants_buffer() {
                    layer.lend_buffer(self.pool.tails.take(0));
                }
                layer.feed(&buffer[..n], opened.end(), propagate);
                // Behind its end there is nothing that it could answer.
                if layer.has_ended() && slot.flags.sending() == Sending::Shut {
                    layer.drop_wire();
                }
                if layer.phase() == FilterPhase::PeerEnded {
                    // No event need come for the end, which the next read finds.
                    slot.readiness.read_again();
                }
                let n = opened.bytes().len();
                if n > 0 {
                    slot.note_traffic(&self.clock);
                    slot.bytes_in += n as u64;
                    self.stats.bytes_in += n as u64;
                }
                self.progress += 1;
                Ok(Pulled::Data)
            }
            Ok(_) => {
                slot.readiness.read_blocked();
                filtered.truncated = true;
                Ok(Pulled::End)
            }
            // The next visit tries again what a signal has interrupted.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => {
                slot.note_read_error(&error, self.poll.registry(), id);
                Err(error)
            }
        }
    }

    /// The same for a step of a handshake, of which the first feeds the filter without a read.
    #[cold]
    pub(crate) fn pull(&mut self, id: ChannelId, opened: &mut Unread) -> io::Result<Pulled> {
        let propagate = self.policy.propagate_panics;
        let slot = find(&mut self.slots, id).ok_or_else(|| closed(id))?;
        let Phase::Filtered(filtered) = &mut slot.phase else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if filtered.started {
            let mut buffer = self.pool.take_buffer();
            let pulled = self.pull_opened(id, &mut buffer, opened);
            self.pool.give_buffer(buffer);
            return pulled;
        }
        filtered.started = true;
        let layer = &mut filtered.layer;
        layer.feed(&[], opened.end(), propagate);
        // Bytes that were received and not handed out are the peer's first ones for the filter: what came in clear behind a
        // STARTTLS is never taken for something that came through it.
        if let Some(rest) = slot.unread.take() {
            for piece in rest.bytes().chunks(self.policy.read_buffer) {
                layer.feed(piece, opened.end(), propagate);
            }
        }
        let n = opened.bytes().len() as u64;
        slot.bytes_in += n;
        self.stats.bytes_in += n;
        Ok(Pulled::Data)
    }

    /// [`fill`](Registry::fill) for a stream with a filter that has done its handshake.
    pub(crate) fn fill_filtered(&mut self, id: ChannelId, buffer: &mut [u8]) -> io::Result<Filled> {
        let mut opened = self.pool.take_opened();
        let pulled = self.pull_opened(id, buffer, &mut opened);
        // There may be an answer of the filter's own to send.
        self.touch_later(id);
        if !opened.is_empty() {
            return Ok(Filled::Unread(opened));
        }
        self.pool.give_opened(opened);
        match pulled {
            Ok(Pulled::Data) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(Pulled::End) => {
                if let Some(slot) = self.slot_mut(id) {
                    slot.readiness.read_blocked();
                    slot.flags.note_finished();
                }
                self.progress += 1;
                Ok(Filled::Nothing { end: true })
            }
            Err(error) => Err(error),
        }
    }

    /// [`read`](Registry::read) for a stream with a filter.
    pub(crate) fn read_filtered(&mut self, id: ChannelId, buf: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.pool.take_buffer();
        let filled = self.fill_filtered(id, &mut buffer);
        self.pool.give_buffer(buffer);
        let Filled::Unread(mut opened) = filled? else {
            return Ok(0);
        };
        let n = opened.bytes().len().min(buf.len());
        buf[..n].copy_from_slice(&opened.bytes()[..n]);
        opened.consume(n);
        if opened.is_empty() {
            self.pool.give_opened(opened);
        } else if let Some(slot) = self.slot_mut(id) {
            slot.keep_unread(opened);
        }
        Ok(n)
    }

    /// [`discard_input`](Registry::discard_input) for a stream that had a filter.
    pub(crate) fn discard_sealed(&mut self, id: ChannelId) -> usize {
        let Some(slot) = find(&mut self.slots, id) else {
            return 0;
        };
        let mut buffer = self.pool.take_buffer();
        let n = match slot.io.read(&mut buffer) {
            Ok(0) => {
                slot.readiness.read_blocked();
                slot.flags.note_finished();
                0
            }
            Ok(n) => {
                if slot.io.is_tcp_stream() {
                    slot.readiness.after_stream_read(n, buffer.len());
                }
                n
            }
            Err(error) => {
                slot.note_read_error(&error, self.poll.registry(), id);
                if meaning_of_call(&error) == Meaning::Failure {
                    slot.flags.note_reset();
                }
                0
            }
        };
        self.pool.give_buffer(buffer);
        n
    }

    /// Sends what is sealed. True if nothing is left of it.
    pub(crate) fn flush_wire(&mut self, id: ChannelId) -> bool {
        let Some(slot) = find(&mut self.slots, id) else {
            return false;
        };
        let mut written = 0;
        let Some((filtered, mut wire)) = slot.filtered_and_wire(&mut written) else {
            return true;
        };
        if !filtered.layer.has_wire() {
            return true;
        }
        let sent = send_wire(filtered, &mut wire);
        if written > 0 {
            slot.note_traffic(&self.clock);
            slot.idle_calls = 0;
            self.progress += 1;
        }
        match sent {
            Ok(()) => {
                self.release_departures(id);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.release_departures(id);
                false
            }
            Err(error) if slot.is_shaking() => {
                if let Some(filtered) = slot.filtered_mut() {
                    filtered.layer.drop_wire();
                }
                if meaning_of_call(&error) == Meaning::Reset {
                    slot.broken_while_sending();
                } else {
                    self.filter_failed(id, error.into());
                }
                false
            }
            Err(error) => {
                self.sending_failed(id, error);
                false
            }
        }
    }

    /// [`flush_at_once`](Registry::flush_at_once) for a stream with a filter.
    pub(crate) fn seal_at_once(
        &mut self,
        id: ChannelId,
        mut queue: Box<Outgoing>,
        failure: &mut Option<io::Error>,
    ) -> bool {
        let propagate = self.policy.propagate_panics;
        let spare = &mut self.pool.tails;
        let Some(slot) = find(&mut self.slots, id) else {
            return false;
        };
        let mut written = 0;
        let Some((filtered, mut wire)) = slot.filtered_and_wire(&mut written) else {
            return false;
        };
        if !filtered.can_seal() {
            self.return_queue(id, queue);
            return false;
        }
        if filtered.layer.wants_buffer() {
            filtered.layer.lend_buffer(spare.take(0));
        }
        let n = filtered
            .layer
            .seal(&[IoSlice::new(queue.copies())], propagate);
        let sent = send_wire(filtered, &mut wire);
        let buffer = filtered.layer.return_buffer();
        slot.note_sent(n, &self.clock, &mut self.stats);
        if let Some(buffer) = buffer {
            spare.give(buffer);
        }
        if n == queue.len() && sent.is_ok() {
            queue.empty_copies();
            self.pool.give_queue(queue);
            return true;
        }
        if n > 0 {
            queue.advance(n, spare);
        }
        if let Err(error) = sent
            && error.kind() != io::ErrorKind::WouldBlock
        {
            *failure = Some(error);
        }
        self.return_queue(id, queue);
        false
    }

    /// Seals the end, once, when everything before it is sealed. False if the channel has to wait for it to leave.
    pub(crate) fn end_filter(&mut self, id: ChannelId) -> bool {
        let propagate = self.policy.propagate_panics;
        let Some(filtered) = self.filtered(id) else {
            return true;
        };
        if filtered.stage == Stage::Open {
            filtered.layer.end(propagate);
        }
        self.flush_wire(id) || !self.slot(id).is_some_and(Slot::has_outgoing)
    }
}

/// Sends as much of a queue as there is room for, through the filter. The end leaves in the same write as the last record
/// if nothing follows.
#[inline(never)]
pub(crate) fn flush_sealed(
    queue: &mut Outgoing,
    budget: &mut usize,
    slot: &mut Slot,
    spare: &mut Spare,
    (may_ask, propagate): (bool, bool),
    sealed: &mut usize,
) -> Result<Flushed, Payload> {
    let ends = slot.flags.is_closing() || slot.flags.sending() == Sending::Ending;
    let mut written = 0;
    let Some((filtered, mut wire)) = slot.filtered_and_wire(&mut written) else {
        return Ok(Flushed::Blocked);
    };
    if filtered.layer.wants_buffer() {
        filtered.layer.lend_buffer(spare.take(0));
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut sink = Sealing {
            wire: &mut wire,
            filtered,
            propagate,
            sealed,
        };
        let flushed = queue.flush(budget, may_ask, spare, &mut sink);
        if ends && matches!(flushed, Flushed::Empty) && filtered.can_seal() {
            filtered.layer.end(propagate);
        }
        flushed
    }));
    match send_wire(filtered, &mut wire) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            outcome.map(|_| Flushed::Failed(error))
        }
        _ => outcome,
    }
}

#[inline]
fn send_wire(filtered: &mut Filtered, wire: &mut Wire<'_>) -> io::Result<()> {
    filtered.layer.send(|bytes| wire.write_one(bytes))
}

/// Seals what goes through it. Sends only what has become much, so that small pushes leave together.
struct Sealing<'a, 'w> {
    wire: &'a mut Wire<'w>,
    filtered: &'a mut Filtered,
    propagate: bool,
    sealed: &'a mut usize,
}

impl Sink for Sealing<'_, '_> {
    fn write(&mut self, slices: &[IoSlice<'_>], _: bool) -> io::Result<usize> {
        if self.filtered.layer.is_full() {
            send_wire(self.filtered, self.wire)?;
        }
        let n = self.filtered.layer.seal(slices, self.propagate);
        if n == 0 {
            // The failure is reported by the visit.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *self.sealed += n;
        Ok(n)
    }

    /// The queue reads the file instead.
    fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Slot {
    /// Seals and sends past the outgoing queue. What the socket does not take stays sealed, and the next `send` says
    /// `WouldBlock`.
    #[cold]
    pub(crate) fn send_filtered(&mut self, data: &[u8], spare: &mut Spare) -> io::Result<usize> {
        let mut written = 0;
        let Some((filtered, mut wire)) = self.filtered_and_wire(&mut written) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if !filtered.can_seal() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if filtered.layer.wants_buffer() {
            filtered.layer.lend_buffer(spare.take(0));
        }
        // A panic is kept as the failure, also where panics shall leave the loop: this is a call of the user's own.
        let n = filtered.layer.seal(&[IoSlice::new(data)], false);
        let sent = send_wire(filtered, &mut wire);
        if let Some(buffer) = filtered.layer.return_buffer() {
            spare.give(buffer);
        }
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if n == 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(n),
        }
    }

    /// The filter and the socket below it.
    pub(crate) fn filtered_and_wire<'a>(
        &'a mut self,
        written: &'a mut usize,
    ) -> Option<(&'a mut Filtered, Wire<'a>)> {
        let Phase::Filtered(filtered) = &mut self.phase else {
            return None;
        };
        let wire = Wire::new(&self.io, &mut self.readiness, written);
        Some((filtered, wire))
    }
}
