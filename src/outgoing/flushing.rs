//! Sending the queue: in order, as many bytes in a call as fit, and only those that the socket takes (R12, R13).

use std::{
    fs::File,
    io::{self, IoSlice},
};

use bytes::Bytes;

use super::{NEARLY_SENT, Outgoing, READ_MAX, Segment, Spare};
use crate::{error::BoxError, producer::Produced};

/// POSIX promises 16 slices to a `writev`, every system here takes 1,024; past 64 the gain is gone.
pub(super) const SLICES: usize = 64;
/// The number of empty answers in a row after which a producer gives the other channels their turn.
pub(super) const EMPTY_ANSWERS: usize = 16;
/// The number of bytes read at a time from a file that the system cannot send.
pub(super) const FILE_BLOCK: usize = 64 * 1024;

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
    /// Writes until the queue is empty, `write` would block, or about `budget` bytes are gone.
    ///
    /// Returns the number of bytes written with the reason for stopping.
    pub(crate) fn flush(
        &mut self,
        budget: usize,
        spare: &mut Spare,
        sink: &mut impl Sink,
    ) -> (usize, Flushed) {
        let mut written = 0;
        loop {
            if let Err(stop) = self.fill(spare) {
                return (written, stop);
            }
            if self.is_empty() {
                return (written, Flushed::Empty);
            }
            if written >= budget {
                return (written, Flushed::Paused);
            }
            if let Some(sent) = self.send_file(budget - written, sink) {
                match sent {
                    Ok(n) => written += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return (written, Flushed::Blocked);
                    }
                    Err(error) => return (written, Flushed::Failed(error)),
                }
                continue;
            }
            match self.write_once(sink) {
                Ok(0) => return (written, Flushed::Blocked),
                Ok(n) => {
                    written += n;
                    self.advance(n, spare);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return (written, Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Flushed::Failed(error)),
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
                self.in_files -= n as u128;
                if part.is_empty() {
                    self.segments.pop_front();
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
    fn fill(&mut self, spare: &mut Spare) -> Result<(), Flushed> {
        let mut empty_answers = 0;
        let mut ahead = 0;
        let mut index = 0;
        while index < self.segments.len().min(SLICES) {
            let skipped = if index == 0 { self.sent } else { 0 };
            let (current, producer) = match &mut self.segments[index] {
                Segment::Produced { current, producer } => (current, producer),
                Segment::Failed(_) if ahead > 0 => return Ok(()),
                Segment::Failed(_) => return Err(self.take_failure(index)),
                Segment::File { .. } => {
                    if !self.read_file(index, ahead, spare) {
                        return Ok(());
                    }
                    continue;
                }
                segment => {
                    ahead += segment.bytes().len() - skipped;
                    index += 1;
                    continue;
                }
            };
            if !current.is_empty() || ahead >= NEARLY_SENT {
                return Ok(());
            }
            let stop = if self.parked {
                Flushed::Parked
            } else {
                match producer.more() {
                    Ok(Produced::Data(data)) if data.is_empty() => {
                        empty_answers += 1;
                        if empty_answers < EMPTY_ANSWERS {
                            continue;
                        }
                        Flushed::Paused
                    }
                    Ok(Produced::Data(data)) => {
                        self.len += data.len();
                        *current = data;
                        return Ok(());
                    }
                    Ok(Produced::Pending) => {
                        self.parked = true;
                        Flushed::Parked
                    }
                    Ok(Produced::Done) => {
                        self.segments.remove(index);
                        continue;
                    }
                    Err(error) => {
                        self.segments[index] = Segment::Failed(error.into());
                        continue;
                    }
                }
            };
            return if ahead > 0 { Ok(()) } else { Err(stop) };
        }
        Ok(())
    }

    /// Reads from a file if that is due. True if bytes, or an error, have taken its place.
    fn read_file(&mut self, index: usize, ahead: usize, spare: &mut Spare) -> bool {
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
        match part.append_to(block, FILE_BLOCK) {
            Ok(n) => {
                self.len += n;
                self.in_files -= n as u128;
            }
            Err(error) => {
                self.in_files -= u128::from(part.len());
                spare.give(std::mem::take(block));
                *segment = Segment::Failed(error.into());
                return true;
            }
        }
        let whole = part.is_empty();
        if whole {
            *segment = Segment::Copied(std::mem::take(block));
        }
        whole
    }

    fn take_failure(&mut self, index: usize) -> Flushed {
        match self.segments.remove(index) {
            Some(Segment::Failed(error)) => Flushed::ProducerFailed(error),
            _ => Flushed::Paused,
        }
    }

    pub(crate) fn advance(&mut self, mut n: usize, spare: &mut Spare) {
        self.len -= n;
        while let Some(segment) = self.segments.front_mut() {
            let left = segment.bytes().len() - self.sent;
            if n < left {
                self.sent += n;
                return;
            }
            n -= left;
            self.sent = 0;
            match segment {
                Segment::Produced { current, .. } => {
                    // Dropped before the producer is asked again, so that it can reuse the memory.
                    *current = Bytes::new();
                    return;
                }
                Segment::File { block, .. } => {
                    block.clear();
                    return;
                }
                _ => {}
            }
            if let Some(Segment::Copied(buffer)) = self.segments.pop_front() {
                spare.give(buffer);
            }
            if n == 0 {
                return;
            }
        }
        self.sent += n;
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
