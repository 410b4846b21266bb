//! The open end of one outgoing queue, for the many small pushes of one callback (R12).
//!
//! What a callback pushes to its own channel is collected here: one comparison and a copy, however many pushes. A
//! channel is corked only while one of its callbacks runs; whoever looks at its queue uncorks it first.

use crate::{Channel, ChannelId, Registry, table::find};

pub(crate) struct Cork {
    id: ChannelId,
    /// How many bytes may be added before capacity, watermark or bound want a look.
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

    /// Bytes the queue of this channel does not count yet.
    pub(crate) fn uncounted(&self, id: ChannelId) -> usize {
        if self.id == id {
            self.tail.len() - self.counted
        } else {
            0
        }
    }
}

impl Registry {
    /// Collects pushes to the channel being served, up to `bound` bytes in its queue.
    #[inline(never)]
    pub(crate) fn cork(&mut self, id: ChannelId, bound: usize) {
        let Some(queue) = find(&mut self.slots, id).and_then(|slot| slot.outgoing.as_mut()) else {
            return;
        };
        let room = bound.saturating_sub(queue.len());
        let tail = queue.take_tail();
        self.cork = Cork {
            id,
            room: room.min(tail.capacity() - tail.len()),
            counted: tail.len(),
            tail,
        };
    }

    #[inline]
    pub(crate) fn uncork(&mut self) {
        if self.cork.id != ChannelId::NONE {
            self.return_tail();
        }
    }

    #[inline(never)]
    fn return_tail(&mut self) {
        let Cork {
            id, tail, counted, ..
        } = std::mem::replace(&mut self.cork, Cork::none());
        self.effects += u64::from(tail.len() > counted);
        if let Some(queue) = find(&mut self.slots, id).and_then(|slot| slot.outgoing.as_mut()) {
            queue.return_tail(tail, counted);
        }
    }
}

impl Channel<'_> {
    /// Copies into the open end of the queue. False if it is not open, or has no room for so much.
    #[inline]
    pub(crate) fn copy_at_once(&mut self, data: &[u8]) -> bool {
        let id = self.id();
        let cork = &mut self.registry.cork;
        if cork.id != id || data.len() > cork.room {
            return false;
        }
        cork.room -= data.len();
        cork.tail.extend_from_slice(data);
        true
    }
}
