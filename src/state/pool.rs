//! Memory that is lent to channels for a while: the buffers they read into, and their outgoing queues.

use crate::{
    outgoing::{Outgoing, Spare},
    state::unread::Unread,
};

/// Queues kept for the next channel that needs one, each perhaps with a buffer.
const SPARE_QUEUES: usize = 64;

pub(crate) struct Pool {
    read_buffer: usize,
    /// Empty while it is out.
    first: Box<[u8]>,
    /// In use only while one callback reads on behalf of another.
    others: Vec<Box<[u8]>>,
    /// What filters open their input into.
    opened: Option<Box<Unread>>,
    pub(crate) tails: Spare,
    /// For frames that are collected: smaller than the queues' buffers, and held by a peer that is slow.
    pub(crate) frames: Spare,
    #[allow(
        clippy::vec_box,
        reason = "a slot holds a box: it is handed over, not copied"
    )]
    queues: Vec<Box<Outgoing>>,
}

impl Pool {
    /// `read_buffer`: the size of a buffer to read into.
    pub(crate) fn new(read_buffer: usize) -> Self {
        Self {
            read_buffer,
            first: Box::default(),
            others: Vec::new(),
            opened: None,
            tails: Spare::default(),
            frames: Spare::default(),
            queues: Vec::new(),
        }
    }

    /// A buffer that still has bytes of an earlier use, to be given back.
    #[inline]
    pub(crate) fn take_buffer(&mut self) -> Box<[u8]> {
        let buffer = std::mem::take(&mut self.first);
        if buffer.is_empty() {
            return self.take_other();
        }
        buffer
    }

    #[cold]
    fn take_other(&mut self) -> Box<[u8]> {
        self.others
            .pop()
            .unwrap_or_else(|| vec![0; self.read_buffer].into_boxed_slice())
    }

    #[inline]
    pub(crate) fn give_buffer(&mut self, buffer: Box<[u8]>) {
        if self.first.is_empty() {
            self.first = buffer;
        } else {
            self.others.push(buffer);
        }
    }

    /// An empty one.
    pub(crate) fn take_opened(&mut self) -> Box<Unread> {
        self.opened
            .take()
            .unwrap_or_else(|| Box::new(Unread::new(&[])))
    }

    /// Keeps the memory of bytes that were used up.
    pub(crate) fn give_opened(&mut self, opened: Box<Unread>) {
        if opened.is_empty() && opened.capacity() / 4 <= self.read_buffer {
            self.opened = Some(opened);
        }
    }

    pub(crate) fn take_queue(&mut self) -> Box<Outgoing> {
        self.queues.pop().unwrap_or_default()
    }

    /// Keeps an empty queue for the next channel that needs one: most likely it answers alike.
    pub(crate) fn give_queue(&mut self, queue: Box<Outgoing>) {
        debug_assert!(queue.is_empty());
        if self.queues.len() < SPARE_QUEUES && queue.is_worth_keeping() {
            self.queues.push(queue);
        }
    }
}
