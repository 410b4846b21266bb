//! The outgoing queue of a stream: bytes, producers and files in order (R12, R13).
//!
//! Knows no socket: `flush` is given a [`Sink`]. Small pushes and small files are copied into one reused buffer, large
//! `Bytes` and large files are sent from where they are, and a producer is asked only when everything before it is on
//! its way.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, IoSlice},
};

use bytes::Bytes;

use crate::{BoxError, FilePart, Produced, Producer};

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
/// Up to this size a file is read, to leave together with what stands around it; above it is the system's to send.
const READ_MAX: u64 = 16 * 1024;
/// How much of a file is read at a time where the system cannot send it.
const FILE_BLOCK: usize = 64 * 1024;

/// Where a flush sends to.
pub(crate) trait Sink {
    /// `more`: a file follows at once, so a packet that is not full may wait for it.
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Sends up to `len` bytes of a file from where they are. `Ok(0)`, and any error that is not the socket's, means
    /// that they have to be read and written.
    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize>;
}

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
    /// What is left of a file, without what was read ahead of it (a [`Bytes`](Self::Bytes) before it).
    File(FilePart),
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Producer(_) => f.write_str("Producer"),
            Self::File(part) => f.debug_tuple("File").field(part).finish(),
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
    File {
        /// Read from it already.
        block: Vec<u8>,
        part: FilePart,
        /// Whether the system would not send it: it is read and written instead.
        apart: bool,
    },
    /// Where a producer or a file failed: reported once everything before it is sent.
    Failed(BoxError),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(buffer) | Self::File { block: buffer, .. } => buffer,
            Self::Shared(bytes) | Self::Produced { current: bytes, .. } => bytes,
            Self::Failed(_) => &[],
        }
    }

    /// Whether something has to be done about it, its bytes sent, before what is behind it may leave.
    fn stops(&self) -> bool {
        !matches!(self, Self::Copied(_) | Self::Shared(_))
    }

    /// Whether the system is to send a file from here on.
    fn is_the_systems(&self) -> bool {
        match self {
            Self::File { block, part, apart } => {
                block.is_empty() && part.len() > READ_MAX && !apart
            }
            _ => false,
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
    /// The producer or the file at the head failed and was dropped.
    ProducerFailed(BoxError),
}

#[derive(Default)]
pub(crate) struct Outgoing {
    /// The open end, behind all segments: what is copied goes here.
    tail: Vec<u8>,
    len: usize,
    /// Bytes of queued files that are not read and not sent.
    in_files: u128,
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

    /// The same with what is still in files.
    pub(crate) fn pending(&self) -> usize {
        usize::try_from(self.in_files)
            .unwrap_or(usize::MAX)
            .saturating_add(self.len)
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
        self.make_room(data.len(), spare);
        self.len += data.len();
        self.tail.extend_from_slice(data);
    }

    /// Sees to it that the tail may grow by so much.
    fn make_room(&mut self, added: usize, spare: &mut Spare) {
        if self.tail.capacity() == 0 {
            self.tail = spare.take(added);
        } else if self.tail.len() + added > BUFFER_MAX && !self.tail.is_empty() {
            self.seal();
            self.tail = spare.take(added);
        }
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

    /// What a stretch of a file counts for: bytes in memory, and bytes in the file.
    pub(crate) fn weigh(part: &FilePart) -> (usize, u64) {
        if part.len() <= READ_MAX {
            (part.len() as usize, 0)
        } else {
            (0, part.len())
        }
    }

    /// Queues a stretch of a file: reads it if it would be read at the next flush anyway.
    pub(crate) fn push_file(&mut self, mut part: FilePart, spare: &mut Spare) {
        if part.len() <= READ_MAX
            && self.len < NEARLY_SENT
            && !self.segments.iter().any(Segment::stops)
        {
            let len = part.len() as usize;
            self.make_room(len, spare);
            // Whatever keeps it from being read whole, reading on tells when its turn has come.
            self.len += part.append_to(&mut self.tail, len).unwrap_or(0);
        }
        if !part.is_empty() {
            self.in_files += u128::from(part.len());
            self.push_segment(Segment::File {
                block: Vec::new(),
                part,
                apart: false,
            });
        }
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

    /// Has the system send the file at the head, if that is what comes next.
    fn send_file(&mut self, most: usize, sink: &mut impl Sink) -> Option<io::Result<usize>> {
        let Some(Segment::File { block, part, apart }) = self.segments.front_mut() else {
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
                *apart = true;
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
        if alone || head.stops() {
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
            if segment.stops() {
                return sink.write(&slices[..used], segment.is_the_systems());
            }
        }
        if used < SLICES && !self.tail.is_empty() {
            slices[used] = IoSlice::new(&self.tail);
            used += 1;
        }
        sink.write(&slices[..used], false)
    }

    /// Asks the first producer for more if it is due, and drops it when it is done; the same with a file to be read.
    ///
    /// `Err` says why there is nothing to write although the queue is not empty.
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

    /// Reads from a file if that is due. True if bytes, or an error, stand in its place now.
    fn read_file(&mut self, index: usize, ahead: usize, spare: &mut Spare) -> bool {
        let segment = &mut self.segments[index];
        if segment.is_the_systems() {
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
            if let Segment::Copied(buffer) | Segment::File { block: buffer, .. } = segment {
                spare.give(buffer);
            }
        }
        self.sent = 0;
        self.in_files = 0;
        self.len = 0;
        self.parked = false;
    }

    pub(crate) fn into_unsent(mut self) -> Vec<Unsent> {
        self.seal();
        let mut sent = std::mem::take(&mut self.sent);
        let mut unsent = Vec::new();
        for segment in self.segments {
            let (bytes, source) = match segment {
                Segment::Copied(buffer) => (Bytes::from(buffer), None),
                Segment::Shared(bytes) => (bytes, None),
                Segment::Produced { current, producer } => {
                    (current, Some(Unsent::Producer(producer)))
                }
                Segment::File { block, part, .. } => (block.into(), Some(Unsent::File(part))),
                Segment::Failed(_) => continue,
            };
            let rest = bytes.slice(std::mem::take(&mut sent)..);
            if !rest.is_empty() {
                unsent.push(Unsent::Bytes(rest));
            }
            unsent.extend(source);
        }
        unsent
    }
}

/// Whether an error of `send_file` can only be the socket's: such a one is not told twice.
fn is_the_sockets(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::WouldBlock | K::ConnectionReset | K::BrokenPipe
    )
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
