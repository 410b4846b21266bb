//! The outgoing queue of a stream: bytes and producers in order (R12, R13).
//!
//! Knows no socket: `flush` is given a function that writes. Small pushes are copied into one reused buffer, large
//! `Bytes` are sent from where they are, and a producer is asked only when everything before it is on its way.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, IoSlice},
};

use bytes::Bytes;

use crate::{BoxError, Produced, Producer};

/// Up to this size a push is copied: cheaper than a reference count and a slice of its own.
const COPIED_MAX: usize = 2048;
/// A coalescing buffer is not grown past this, so that it stays worth keeping.
const BUFFER_MAX: usize = 64 * 1024;
const BUFFER_MIN: usize = 1024;
const SPARE_BUFFERS: usize = 64;
/// POSIX promises 16 slices to a `writev`, every system here takes 1,024; past 64 the gain is gone.
const SLICES: usize = 64;
/// A producer behind this many unsent bytes is not asked yet (R13).
const NEARLY_SENT: usize = 64 * 1024;
/// How often in a row a producer may answer with no bytes before the other channels get their turn.
const EMPTY_ANSWERS: usize = 16;

/// Coalescing buffers no queue uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self, needed: usize) -> Vec<u8> {
        self.0
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(needed.max(BUFFER_MIN)))
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE_BUFFERS && (1..=2 * BUFFER_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

/// One piece of an outgoing queue, as [`Detached`](crate::Detached) hands it back.
pub enum Unsent {
    /// Bytes that were queued and not sent.
    Bytes(Bytes),
    /// A producer that was not done, without what it gave last (a [`Bytes`](Self::Bytes) before it).
    Producer(Box<dyn Producer>),
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Producer(_) => f.write_str("Producer"),
        }
    }
}

enum Segment {
    Copied(Vec<u8>),
    Shared(Bytes),
    Produced {
        current: Bytes,
        producer: Box<dyn Producer>,
    },
    /// Where a producer failed: reported once everything before it is sent.
    Failed(BoxError),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(buffer) => buffer,
            Self::Shared(bytes) | Self::Produced { current: bytes, .. } => bytes,
            Self::Failed(_) => &[],
        }
    }
}

/// How a flush ended.
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
    /// The producer at the head failed and was dropped.
    ProducerFailed(BoxError),
}

#[derive(Default)]
pub(crate) struct Outgoing {
    /// The open end, behind all segments: what is copied goes here.
    tail: Vec<u8>,
    len: usize,
    /// How much of the first segment is sent, or of the tail if there is none.
    sent: usize,
    segments: VecDeque<Segment>,
    parked: bool,
}

impl Outgoing {
    /// Bytes waiting to be sent; what producers still hold does not count.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.is_empty()
    }

    /// Whether there is something to send, or a producer to ask for it.
    pub(crate) fn can_flush(&self) -> bool {
        match self.segments.front() {
            None => !self.tail.is_empty(),
            Some(Segment::Produced { current, .. }) => !self.parked || !current.is_empty(),
            Some(_) => true,
        }
    }

    pub(crate) fn unpark(&mut self) {
        self.parked = false;
    }

    /// Whether nothing is queued but copies, and none of them is sent.
    pub(crate) fn is_only_copies(&self) -> bool {
        self.segments.is_empty() && self.sent == 0
    }

    /// All that is queued, when it is only copies.
    pub(crate) fn copies(&self) -> &[u8] {
        &self.tail
    }

    /// All copies are sent. False if the buffer is too large to be kept for the next channel.
    pub(crate) fn empty_copies(&mut self) -> bool {
        self.len = 0;
        self.tail.clear();
        self.tail.capacity() <= 2 * BUFFER_MAX
    }

    pub(crate) fn push(&mut self, bytes: Bytes, spare: &mut Spare) {
        if bytes.len() <= COPIED_MAX {
            self.copy(&bytes, spare);
        } else {
            self.len += bytes.len();
            self.push_segment(Segment::Shared(bytes));
        }
    }

    pub(crate) fn copy(&mut self, data: &[u8], spare: &mut Spare) {
        if self.tail.capacity() == 0 {
            self.tail = spare.take(data.len());
        } else if self.tail.len() + data.len() > BUFFER_MAX && !self.tail.is_empty() {
            self.seal();
            self.tail = spare.take(data.len());
        }
        self.len += data.len();
        self.tail.extend_from_slice(data);
    }

    /// The open end, to be filled elsewhere.
    pub(crate) fn take_tail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }

    /// Gets back what `take_tail` gave; `counted` bytes of it were there then.
    pub(crate) fn return_tail(&mut self, tail: Vec<u8>, counted: usize) {
        self.len += tail.len() - counted;
        self.tail = tail;
    }

    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.push_segment(Segment::Produced {
            current: Bytes::new(),
            producer,
        });
    }

    fn push_segment(&mut self, segment: Segment) {
        self.seal();
        self.segments.push_back(segment);
    }

    /// Makes a segment of the tail, so that something may stand behind it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.segments.push_back(Segment::Copied(tail));
        }
    }

    /// Writes until the queue is empty, `write` would block, or about `budget` bytes are gone.
    ///
    /// Returns the number of bytes written with the reason for stopping.
    pub(crate) fn flush(
        &mut self,
        budget: usize,
        spare: &mut Spare,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, Flushed) {
        let mut written = 0;
        loop {
            if let Err(stop) = self.fill() {
                return (written, stop);
            }
            if self.is_empty() {
                return (written, Flushed::Empty);
            }
            if written >= budget {
                return (written, Flushed::Paused);
            }
            match self.write_once(&mut write) {
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

    fn write_once(
        &self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(head) = self.segments.front() else {
            return write(&[IoSlice::new(&self.tail[self.sent..])]);
        };
        let first = &head.bytes()[self.sent..];
        let alone = self.segments.len() == 1 && self.tail.is_empty();
        if alone || matches!(head, Segment::Produced { .. }) {
            return write(&[IoSlice::new(first)]);
        }
        self.write_many(first, write)
    }

    fn write_many(
        &self,
        first: &[u8],
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        slices[0] = IoSlice::new(first);
        let mut used = 1;
        for segment in self.segments.iter().skip(1) {
            if used == SLICES {
                return write(&slices);
            }
            if !segment.bytes().is_empty() {
                slices[used] = IoSlice::new(segment.bytes());
                used += 1;
            }
            if matches!(segment, Segment::Produced { .. } | Segment::Failed(_)) {
                return write(&slices[..used]);
            }
        }
        if used < SLICES && !self.tail.is_empty() {
            slices[used] = IoSlice::new(&self.tail);
            used += 1;
        }
        write(&slices[..used])
    }

    /// Asks the first producer for more if it is due, and drops it when it is done.
    ///
    /// `Err` says why there is nothing to write although the queue is not empty.
    fn fill(&mut self) -> Result<(), Flushed> {
        let mut empty_answers = 0;
        let mut ahead = 0;
        let mut index = 0;
        while index < self.segments.len().min(SLICES) {
            let skipped = if index == 0 { self.sent } else { 0 };
            let (current, producer) = match &mut self.segments[index] {
                Segment::Produced { current, producer } => (current, producer),
                Segment::Failed(_) if ahead > 0 => return Ok(()),
                Segment::Failed(_) => return Err(self.take_failure(index)),
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
            if let Segment::Produced { current, .. } = segment {
                // Dropped before the producer is asked again, so that it can reuse the memory.
                *current = Bytes::new();
                return;
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

    /// Puts an error in the place of the first producer: it panicked.
    pub(crate) fn fail_producer(&mut self, error: BoxError) -> Option<Box<dyn Producer>> {
        let first = self.first_producer()?;
        match std::mem::replace(&mut self.segments[first], Segment::Failed(error)) {
            Segment::Produced { producer, .. } => Some(producer),
            _ => None,
        }
    }

    /// Takes a producer out, to be dropped with care: its owner's code runs.
    pub(crate) fn take_producer(&mut self) -> Option<Box<dyn Producer>> {
        let first = self.first_producer()?;
        match self.segments.remove(first) {
            Some(Segment::Produced { producer, .. }) => Some(producer),
            _ => None,
        }
    }

    fn first_producer(&self) -> Option<usize> {
        self.segments
            .iter()
            .position(|segment| matches!(segment, Segment::Produced { .. }))
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.first_producer().is_some()
    }

    /// Whether it is small enough to be kept for the next channel.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.segments.capacity() <= SLICES
    }

    /// Empties the queue, keeping its buffers for others.
    pub(crate) fn clear(&mut self, spare: &mut Spare) {
        spare.give(std::mem::take(&mut self.tail));
        for segment in self.segments.drain(..) {
            if let Segment::Copied(buffer) = segment {
                spare.give(buffer);
            }
        }
        self.sent = 0;
        self.len = 0;
        self.parked = false;
    }

    pub(crate) fn into_unsent(mut self) -> Vec<Unsent> {
        self.seal();
        let mut sent = std::mem::take(&mut self.sent);
        let mut unsent = Vec::new();
        for segment in self.segments {
            let (bytes, producer) = match segment {
                Segment::Copied(buffer) => (Bytes::from(buffer), None),
                Segment::Shared(bytes) => (bytes, None),
                Segment::Produced { current, producer } => (current, Some(producer)),
                Segment::Failed(_) => continue,
            };
            let rest = bytes.slice(std::mem::take(&mut sent)..);
            if !rest.is_empty() {
                unsent.push(Unsent::Bytes(rest));
            }
            unsent.extend(producer.map(Unsent::Producer));
        }
        unsent
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .field("parked", &self.parked)
            .finish()
    }
}

#[cfg(test)]
mod tests;
