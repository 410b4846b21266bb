//! Sending the queue: in order, as many bytes in a call as fit, and only those that the socket takes (R12, R13).
//!
//! Code of the user's runs here: producers, and the `Drop` of producers and of the owners of `Bytes`. Each of these
//! calls may unwind. So the queue is in order before each of them, and `flush` may be called again afterwards.

use std::{
    fs::File,
    io::{self, IoSlice},
    mem,
};

use super::{BUFFER_MAX, NEARLY_SENT, Outgoing, READ_MAX, Segment, Spare};
use crate::{error::BoxError, producer::Produced};

/// POSIX promises 16 slices to a `writev`, every system here takes 1,024; past 64 the gain is gone.
pub(super) const SLICES: usize = 64;
/// The number of empty answers in a row after which a producer gives the other channels their turn.
pub(super) const EMPTY_ANSWERS: usize = 16;
/// The number of bytes read at a time from a file that the system cannot send.
pub(super) const FILE_BLOCK: usize = 64 * 1024;

/// A system call counts as this many bytes of the write budget, if it moves fewer: it takes about as long.
pub(crate) const CALL_COST: usize = 8 * 1024;
/// An answer of a producer counts as this many bytes of the write budget.
pub(super) const ANSWER_COST: usize = 256;
/// A producer's piece of up to this size is gathered with its next ones: to copy it costs less than a write of its own.
pub(super) const GATHERED_MAX: usize = CALL_COST;

/// The goal of a flush.
pub(crate) trait Sink {
    /// `more`: a file follows at once, so a packet that is not full may wait for it.
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Sends up to `len` bytes of a file without reading them. `Ok(0)`, and any error that is not the socket's, means
    /// that they have to be read and written.
    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize>;
}

/// The reason why a flush ended.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing is left.
    Empty,
    /// The socket takes no more at the moment.
    Blocked,
    /// The producer at the head has nothing yet; `unpark` asks it again.
    Parked,
    /// The budget is used up, or a producer keeps answering with no bytes: go on next turn.
    Paused,
    /// The socket failed.
    Failed(io::Error),
    /// The producer or the file at the head failed and was dropped.
    ProducerFailed(BoxError),
}

impl Outgoing {
    /// Writes until the queue is empty, `write` would block, or the budget is used up: about `budget` bytes are gone, or
    /// the calls that it took count as many. Producers are asked only if `may_ask`; without that the first of them
    /// that is due ends the flush, as if it had nothing yet.
    pub(crate) fn flush(
        &mut self,
        budget: &mut usize,
        may_ask: bool,
        spare: &mut Spare,
        sink: &mut impl Sink,
    ) -> Flushed {
        // The last flush may have unwound.
        self.drop_sent(spare);
        self.has_hole &= !may_ask;
        loop {
            // Looked at before, so that what a producer was asked for with the last of it is written.
            let used_up = *budget == 0;
            if let Err(stop) = self.fill(budget, may_ask, spare) {
                return stop;
            }
            if self.is_empty() {
                return Flushed::Empty;
            }
            if used_up {
                return Flushed::Paused;
            }
            // If the answer of a producer that has ended took the last of it, one byte: a call for none would say that the
            // file has to be read.
            let sent = self.send_file((*budget).max(1), sink);
            let (by_system, sent) = match sent {
                Some(sent) => (true, sent),
                None => (false, self.write_once(sink)),
            };
            let n = *sent.as_ref().unwrap_or(&0);
            *budget = budget.saturating_sub(n.max(CALL_COST));
            match sent {
                Ok(_) if by_system => {}
                Ok(0) => return Flushed::Blocked,
                Ok(n) => self.advance(n, spare),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Flushed::Failed(error),
            }
        }
    }

    /// Has the system send the file at the head, if that comes next.
    fn send_file(&mut self, most: usize, sink: &mut impl Sink) -> Option<io::Result<usize>> {
        let Some(Segment::File {
            block,
            part,
            sendfile_refused,
        }) = self.segments.front_mut()
        else {
            return None;
        };
        if !block.is_empty() {
            return None;
        }
        // A file a little longer than the budget is not worth another turn, nor its end a call of its own.
        let len = match usize::try_from(part.len()) {
            Ok(len) if len.saturating_sub(most) <= READ_MAX as usize => len,
            _ => most,
        };
        match sink.send_file(part.file(), part.offset(), len) {
            Ok(n @ 1..) => {
                part.advance(n as u64);
                let whole = part.is_empty();
                self.in_files -= n as u128;
                self.produced += n as u64;
                self.left += n as u64;
                if whole {
                    self.segments.pop_front();
                    self.end_barrier(0, true);
                }
                Some(Ok(n))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(Ok(0)),
            Err(error) if is_the_sockets(&error) => Some(Err(error)),
            // It cannot, or the file failed or has become shorter: reading tells which.
            Ok(_) | Err(_) => {
                *sendfile_refused = true;
                Some(Ok(0))
            }
        }
    }

    fn write_once(&self, sink: &mut impl Sink) -> io::Result<usize> {
        let Some(head) = self.segments.front() else {
            return sink.write(&[IoSlice::new(&self.tail[self.sent..])], false);
        };
        let first = &head.bytes()[self.sent..];
        let alone = self.segments.len() == 1 && self.tail.is_empty();
        if alone || head.is_barrier() {
            return sink.write(&[IoSlice::new(first)], false);
        }
        self.write_many(first, sink)
    }

    fn write_many(&self, first: &[u8], sink: &mut impl Sink) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        slices[0] = IoSlice::new(first);
        let mut used = 1;
        for segment in self.segments.iter().skip(1) {
            if used == SLICES {
                return sink.write(&slices, false);
            }
            if !segment.bytes().is_empty() {
                slices[used] = IoSlice::new(segment.bytes());
                used += 1;
            }
            if segment.is_barrier() {
                return sink.write(&slices[..used], segment.uses_sendfile());
            }
        }
        if used < SLICES && !self.tail.is_empty() {
            slices[used] = IoSlice::new(&self.tail);
            used += 1;
        }
        sink.write(&slices[..used], false)
    }

    /// Asks the first producer for more if it is due, and drops it when it is done. Reads a file in the same way.
    ///
    /// `Err` is the reason why there is nothing to write although the queue is not empty.
    fn fill(
        &mut self,
        budget: &mut usize,
        may_ask: bool,
        spare: &mut Spare,
    ) -> Result<(), Flushed> {
        let ask_below = self.ask_below();
        let mut empty_answers = 0;
        let mut worked = false;
        let mut ahead = 0;
        let mut index = 0;
        while index < self.segments.len().min(SLICES) {
            let skipped = if index == 0 { self.sent } else { 0 };
            // Once is always allowed, so that the end is found with the budget used up to the byte.
            let used_up = worked && ahead >= *budget;
            let (current, producer) = match &mut self.segments[index] {
                Segment::Produced { current, producer } => (current, producer),
                Segment::Failed(_) if ahead > 0 => return Ok(()),
                Segment::Failed(_) => return Err(self.take_failure(index)),
                Segment::File { .. } => {
                    if used_up || !self.read_file(index, ahead, budget, spare) {
                        return Ok(());
                    }
                    worked = true;
                    continue;
                }
                segment => {
                    ahead += segment.bytes().len() - skipped;
                    index += 1;
                    continue;
                }
            };
            if !current.is_empty() || ahead >= ask_below {
                return Ok(());
            }
            let stop = if self.parked || !may_ask {
                Flushed::Parked
            } else if used_up {
                Flushed::Paused
            } else {
                worked = true;
                *budget = budget.saturating_sub(ANSWER_COST);
                self.asking = true;
                let answer = producer.more();
                self.asking = false;
                match answer {
                    Ok(Produced::Data(data)) if data.is_empty() => {
                        empty_answers += 1;
                        if empty_answers < EMPTY_ANSWERS {
                            continue;
                        }
                        Flushed::Paused
                    }
                    Ok(Produced::Data(data)) if data.len() <= GATHERED_MAX => {
                        empty_answers = 0;
                        ahead += data.len();
                        index = self.gather(index, &data, spare);
                        continue;
                    }
                    Ok(Produced::Data(data)) => {
                        self.len += data.len();
                        self.produced += data.len() as u64;
                        *current = data;
                        return Ok(());
                    }
                    Ok(Produced::Pending) => {
                        self.parked = true;
                        Flushed::Parked
                    }
                    Ok(Produced::Done) => {
                        self.end_barrier(ahead, true);
                        drop(self.segments.remove(index));
                        continue;
                    }
                    Err(error) => {
                        let failed = Segment::Failed(error.into());
                        self.end_barrier(ahead, false);
                        drop(mem::replace(&mut self.segments[index], failed));
                        continue;
                    }
                }
            };
            return if ahead > 0 { Ok(()) } else { Err(stop) };
        }
        Ok(())
    }

    /// A producer is asked while fewer bytes than these stand before it. While `handle_drain` is due they fit below the low
    /// watermark, with the piece that is gathered last: the queue would never fall to it otherwise.
    fn ask_below(&self) -> usize {
        self.drain_at.map_or(NEARLY_SENT, |low| {
            let others = GATHERED_MAX.saturating_add(self.weight() - self.len);
            low.saturating_sub(others).clamp(1, NEARLY_SENT)
        })
    }

    /// Copies a piece of the producer at `index` behind the bytes before it. Returns where the producer stands now.
    fn gather(&mut self, index: usize, piece: &[u8], spare: &mut Spare) -> usize {
        self.len += piece.len();
        self.produced += piece.len() as u64;
        if let Some(before) = index.checked_sub(1)
            && let Segment::Copied(buffer) = &mut self.segments[before]
            && buffer.len() + piece.len() <= BUFFER_MAX
        {
            buffer.extend_from_slice(piece);
            return index;
        }
        let mut buffer = spare.take(piece.len());
        buffer.extend_from_slice(piece);
        self.segments.insert(index, Segment::Copied(buffer));
        index + 1
    }

    /// Reads from a file if that is due. True if bytes, or an error, have taken its place.
    fn read_file(
        &mut self,
        index: usize,
        ahead: usize,
        budget: &mut usize,
        spare: &mut Spare,
    ) -> bool {
        let segment = &mut self.segments[index];
        if segment.uses_sendfile() {
            return false;
        }
        let Segment::File { block, part, .. } = segment else {
            return true;
        };
        if !block.is_empty() || ahead >= NEARLY_SENT {
            return false;
        }
        if block.capacity() == 0 {
            let len = usize::try_from(part.len()).unwrap_or(FILE_BLOCK);
            *block = spare.take(len.min(FILE_BLOCK));
        }
        let read = part.append_to(block, FILE_BLOCK);
        // The bytes themselves count when they are written.
        let n = *read.as_ref().unwrap_or(&0);
        *budget = budget.saturating_sub(CALL_COST.saturating_sub(n));
        match read {
            Ok(n) => {
                self.len += n;
                self.produced += n as u64;
                self.in_files -= n as u128;
            }
            Err(error) => {
                self.in_files -= u128::from(part.len());
                spare.give(mem::take(block));
                *segment = Segment::Failed(error.into());
                self.end_barrier(ahead, false);
                return true;
            }
        }
        let whole = part.is_empty();
        if whole {
            let ahead = ahead + block.len();
            *segment = Segment::Copied(mem::take(block));
            self.end_barrier(ahead, true);
        }
        whole
    }

    fn take_failure(&mut self, index: usize) -> Flushed {
        match self.segments.remove(index) {
            Some(Segment::Failed(error)) => {
                self.has_hole = !self.is_empty();
                Flushed::ProducerFailed(error)
            }
            _ => Flushed::Paused,
        }
    }

    pub(crate) fn advance(&mut self, n: usize, spare: &mut Spare) {
        self.len -= n;
        self.sent += n;
        self.left += n as u64;
        self.drop_sent(spare);
    }

    /// Drops what is sent. Its length is forgotten first, as each drop may unwind.
    fn drop_sent(&mut self, spare: &mut Spare) {
        while let Some(segment) = self.segments.front_mut() {
            let len = segment.bytes().len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            match segment {
                Segment::Produced { current, .. } => {
                    // Before the producer is asked again, so that it can reuse the memory.
                    drop(mem::take(current));
                    return;
                }
                Segment::File { block, .. } => return block.clear(),
                Segment::Failed(_) => return,
                Segment::Copied(_) | Segment::Shared(_) => {}
            }
            if let Some(Segment::Copied(buffer)) = self.segments.pop_front() {
                spare.give(buffer);
            }
        }
        if self.sent == self.tail.len() {
            self.sent = 0;
            self.tail.clear();
        }
    }
}

/// Whether an error of `send_file` can only be the socket's: the socket reports such an error only once.
fn is_the_sockets(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::WouldBlock | K::ConnectionReset | K::BrokenPipe
    )
}
