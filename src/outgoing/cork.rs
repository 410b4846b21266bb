//! The open end of one outgoing queue, for the many small pushes of one callback (R12).
//!
//! Pushes of a callback to its own channel are collected here: one comparison and a copy per push. A channel is corked
//! only while one of its callbacks runs.

use std::mem;

use crate::{id::ChannelId, outgoing::Outgoing};

pub(crate) struct Cork {
    id: ChannelId,
    /// Number of bytes that may be added before capacity, watermark or limit have to be checked.
    room: usize,
    tail: Vec<u8>,
    /// The length of the tail when it was taken from its queue.
    counted: usize,
}

impl Cork {
    pub(crate) fn none() -> Self {
        Self {
            id: ChannelId::NONE,
            room: 0,
            tail: Vec::new(),
            counted: 0,
        }
    }

    /// Takes the open end of the queue of channel `id`, whose weight may grow to `bound`.
    pub(crate) fn open(&mut self, id: ChannelId, queue: &mut Outgoing, bound: usize) {
        let room = bound.saturating_sub(queue.weight());
        let tail = queue.take_tail();
        *self = Self {
            id,
            room: room.min(tail.capacity() - tail.len()),
            counted: tail.len(),
            tail,
        };
    }

    /// Copies into the open end. False if it is not that of channel `id`, or has no room for all of `data`.
    #[inline]
    pub(crate) fn copy(&mut self, id: ChannelId, data: &[u8]) -> bool {
        if self.id != id || data.len() > self.room {
            return false;
        }
        self.room -= data.len();
        self.tail.extend_from_slice(data);
        true
    }

    /// Bytes that the queue of channel `id` does not count yet.
    pub(crate) fn uncounted(&self, id: ChannelId) -> usize {
        if self.id == id {
            self.tail.len() - self.counted
        } else {
            0
        }
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.id != ChannelId::NONE
    }

    /// Ends collecting. Returns the channel, its open end, and the number of its bytes that the queue has counted.
    pub(crate) fn close(&mut self) -> (ChannelId, Vec<u8>, usize) {
        let Self {
            id, tail, counted, ..
        } = mem::replace(self, Self::none());
        (id, tail, counted)
    }
}
