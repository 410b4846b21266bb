//! An exchange in which what was sent must come back: messages cut from one long tape, so that sending and comparing need no
//! copy, while neighbouring messages and connections still differ.

use crate::{
    engine::Exchange,
    failure::{Failure, compare},
};

/// How far a connection travels along the tape before it starts anew: within the second-level cache.
const LAP: usize = 64 * 1024;

pub(crate) struct Tape {
    bytes: Vec<u8>,
    message: usize,
    /// Messages before a connection starts anew.
    lap: usize,
}

pub(crate) struct Position {
    /// In messages.
    start: usize,
    count: usize,
    /// In bytes.
    received: usize,
}

impl Tape {
    /// `messages` yields the bytes of message after message of `message` bytes each.
    pub(crate) fn new(message: usize, window: usize, messages: impl Iterator<Item = u8>) -> Self {
        // Odd, so that windows do not always start at the same places.
        let lap = (LAP / message).max(3) | 1;
        Self {
            bytes: messages.take((lap + window) * message).collect(),
            message,
            lap,
        }
    }
}

impl Exchange for Tape {
    type Cursor = Position;

    fn cursor(&self, index: usize) -> Position {
        Position {
            start: index * 37 % self.lap,
            count: 0,
            received: 0,
        }
    }

    #[inline]
    fn begin(&self, at: &mut Position, count: usize) {
        at.start = (at.start + at.count) % self.lap;
        at.count = count;
        at.received = 0;
    }

    #[inline]
    fn request<'a>(&'a self, at: &Position) -> &'a [u8] {
        &self.bytes[at.start * self.message..][..at.count * self.message]
    }

    #[inline]
    fn answer(&mut self, at: &mut Position, got: &[u8]) -> Result<(), Failure> {
        let expected = &self.request(at)[at.received..];
        if got.len() > expected.len() {
            let bytes = got.len() - expected.len();
            return Err(Failure::Surplus { bytes });
        }
        compare(
            got,
            &expected[..got.len()],
            "the window's answer",
            at.received,
        )?;
        at.received += got.len();
        Ok(())
    }

    #[inline]
    fn answered(&self, at: &Position) -> bool {
        at.received == at.count * self.message
    }
}
