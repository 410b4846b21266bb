//! The outgoing queue of a stream: bytes, producers and files in order (R12, R13).
//!
//! It knows no socket: `flush` gets a [`Sink`]. Small pushes and small files are copied into one reused buffer, large
//! `Bytes` and large files are sent without a copy, and a producer is asked only when little stands before it.

pub(crate) mod cork;
pub(crate) mod file_part;
mod flushing;
pub(crate) mod into_bytes;
mod marks;
pub(crate) mod part;
mod segment;
mod spare;

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

pub use self::segment::Unsent;
use self::{flushing::SLICES, marks::Marks, segment::Segment};
pub(crate) use self::{
    flushing::{CALL_COST, Flushed, Sink},
    marks::Left,
    spare::Spare,
};
use crate::{error::BoxError, outgoing::file_part::FilePart, producer::Producer};

/// Up to this size a push is copied: that is cheaper than a reference count and a slice of its own.
const COPIED_MAX: usize = 2048;
/// A coalescing buffer is not grown past this, so that it stays worth keeping.
const BUFFER_MAX: usize = 64 * 1024;
/// A producer behind this many unsent bytes is not asked yet (R13).
const NEARLY_SENT: usize = 64 * 1024;
/// Up to this size a file is read, so that it leaves together with its neighbours. A larger one is sent by the system.
const READ_MAX: u64 = 16 * 1024;
/// A waiting producer or file counts as this many bytes for watermarks and bound: about the memory of its place in the
/// queue, of the producer, and of the buffer that has to end before it.
pub(crate) const WAITING_WEIGHT: usize = 512;
/// A part whose pusher is told when it has left counts as this many bytes more: about the memory of its marks and of a
/// small closure.
pub(crate) const HOOK_WEIGHT: usize = 128;

#[derive(Default)]
pub(crate) struct Outgoing {
    /// The open end, behind all segments: copies go here.
    tail: Vec<u8>,
    len: usize,
    /// Bytes of queued files that are not read and not sent.
    in_files: u128,
    /// Number of bytes sent of the first segment, or of the tail if there is none.
    sent: usize,
    segments: VecDeque<Segment>,
    /// Number of producers and files among the segments.
    waiting: usize,
    /// What counts for the bound beside the bytes.
    held: usize,
    parked: bool,
    /// A producer is running, or has panicked.
    asking: bool,
    /// The low watermark, while the queue is congested.
    drain_at: Option<usize>,
    /// A producer or a file failed, and nobody has said that what is behind it may leave.
    has_hole: bool,
    marks: Marks,
    /// Bytes that have left. Those of `empty_copies` are not counted: nothing was marked then.
    left: u64,
    /// Bytes that came out of producers and files.
    produced: u64,
    /// Number of producers and files that have ended.
    ended: u64,
    /// What was pushed before the last producer or file, as `pushed` counts.
    pushed_at_barrier: u64,
}

impl Outgoing {
    /// Bytes waiting to be sent, without those that producers and files still hold.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What counts for the bound: the bytes, and something for everything that waits.
    pub(crate) fn weight(&self) -> usize {
        self.len.saturating_add(self.held)
    }

    /// Bytes of queued files that are not read and not sent.
    pub(crate) fn in_files(&self) -> usize {
        usize::try_from(self.in_files).unwrap_or(usize::MAX)
    }

    /// Bytes that would be lost with the queue: those in memory and in files.
    pub(crate) fn unsent(&self) -> u64 {
        u64::try_from(self.in_files)
            .unwrap_or(u64::MAX)
            .saturating_add(self.len as u64)
    }

    /// What counts for the watermarks: the weight, and the bytes still in files.
    pub(crate) fn pending(&self) -> usize {
        self.in_files().saturating_add(self.weight())
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

    /// Says whether somebody waits for the queue to fall to the low watermark.
    pub(crate) fn drain_at(&mut self, low: Option<usize>) {
        self.drain_at = low;
    }

    pub(crate) fn unpark(&mut self) {
        self.parked = false;
    }

    /// Whether nothing is queued but copies, none of them is sent, and nobody waits for a part of them.
    pub(crate) fn is_only_copies(&self) -> bool {
        self.segments.is_empty() && self.sent | self.held == 0
    }

    /// The whole queue, if it is only copies.
    pub(crate) fn copies(&self) -> &[u8] {
        &self.tail
    }

    /// All copies are sent.
    pub(crate) fn empty_copies(&mut self) {
        self.len = 0;
        self.tail.clear();
    }

    /// Leaves bytes that were copied, because their drop may run code of the user's.
    pub(crate) fn push(&mut self, bytes: &mut Bytes, spare: &mut Spare) {
        if bytes.len() <= COPIED_MAX {
            self.copy(bytes, spare);
        } else {
            self.len += bytes.len();
            self.push_segment(Segment::Shared(std::mem::take(bytes)));
        }
    }

    pub(crate) fn copy(&mut self, data: &[u8], spare: &mut Spare) {
        self.make_room(data.len(), spare);
        self.len += data.len();
        self.tail.extend_from_slice(data);
    }

    /// Makes sure that the tail may grow by `added` bytes.
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

    /// Takes back the result of `take_tail`; `counted` bytes of it are counted already.
    pub(crate) fn return_tail(&mut self, tail: Vec<u8>, counted: usize) {
        self.len += tail.len() - counted;
        self.tail = tail;
    }

    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.begin_barrier();
        self.push_segment(Segment::Produced {
            current: Bytes::new(),
            producer,
        });
    }

    /// The weight of a part of a file: bytes in memory, and bytes in the file.
    pub(crate) fn weigh(part: &FilePart) -> (usize, u64) {
        if part.len() <= READ_MAX {
            (part.len() as usize, 0)
        } else {
            (WAITING_WEIGHT, part.len())
        }
    }

    /// Queues a part of a file. Reads it now if the next flush would.
    pub(crate) fn push_file(&mut self, mut part: FilePart, spare: &mut Spare) {
        if part.len() <= READ_MAX
            && self.len < NEARLY_SENT
            && !self.segments.iter().any(Segment::is_barrier)
        {
            let len = part.len() as usize;
            self.make_room(len, spare);
            // If it cannot be read whole, the next read reports why when its turn has come.
            self.len += part.append_to(&mut self.tail, len).unwrap_or(0);
        }
        if !part.is_empty() {
            self.in_files += u128::from(part.len());
            self.begin_barrier();
            self.push_segment(Segment::File {
                block: Vec::new(),
                part,
                sendfile_refused: false,
            });
        }
    }

    fn push_segment(&mut self, segment: Segment) {
        self.seal();
        self.segments.push_back(segment);
    }

    /// Makes a segment of the tail, so that something may follow it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.segments.push_back(Segment::Copied(tail));
        }
    }

    /// Whether the code that unwound out of a flush was a producer's, not a `Drop`.
    pub(crate) fn has_panicked(&self) -> bool {
        self.asking
    }

    /// Puts an error in the place of the producer that panicked, and gives it out, because its drop runs user code.
    pub(crate) fn fail_producer(&mut self, error: BoxError) -> Option<Box<dyn Producer>> {
        self.asking = false;
        let first = self
            .segments
            .iter()
            .position(|segment| matches!(segment, Segment::Produced { .. }))?;
        let before = self.segments.iter().take(first);
        let ahead: usize = before.map(|segment| segment.bytes().len()).sum();
        self.end_barrier(ahead - self.sent, false);
        match std::mem::replace(&mut self.segments[first], Segment::Failed(error)) {
            Segment::Produced { producer, .. } => Some(producer),
            _ => None,
        }
    }

    /// Whether what stands at the head must not leave unless the channel goes on: bytes before it are missing.
    pub(crate) fn has_hole(&self) -> bool {
        self.has_hole
    }

    /// Whether it is small enough to be kept for the next channel.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.segments.capacity() <= SLICES
            && self.tail.capacity() <= 2 * BUFFER_MAX
            && self.marks.capacity() <= 2 * SLICES
    }

    /// Empties the queue, keeping its buffers for others. If a drop of the user's unwinds, the rest is left for the next
    /// call.
    pub(crate) fn clear(&mut self, spare: &mut Spare) {
        while let Some(segment) = self.segments.pop_front() {
            if let Segment::Copied(buffer) | Segment::File { block: buffer, .. } = segment {
                spare.give(buffer);
            }
        }
        self.tail.clear();
        self.sent = 0;
        self.in_files = 0;
        self.waiting = 0;
        self.held = 0;
        self.len = 0;
        self.marks.clear();
        self.left = 0;
        self.produced = 0;
        self.parked = false;
        self.asking = false;
        self.has_hole = false;
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
                Segment::Failed(error) => (Bytes::new(), Some(Unsent::Failed(error))),
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
