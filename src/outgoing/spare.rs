//! Buffers, handed from one queue, or one frame, to the next.

use super::BUFFER_MAX;

const BUFFER_MIN: usize = 1024;
const SPARE_BUFFERS: usize = 64;

/// Buffers that are not in use at the moment.
#[derive(Debug, Default)]
pub(crate) struct Spare(pub(super) Vec<Vec<u8>>);

impl Spare {
    pub(crate) fn take(&mut self, needed: usize) -> Vec<u8> {
        self.0
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(needed.max(BUFFER_MIN)))
    }

    /// A buffer for `most` bytes at the most. It may be held for long, so one that is much larger is left to others.
    pub(crate) fn take_fitting(&mut self, needed: usize, most: usize) -> Vec<u8> {
        let largest = most.saturating_mul(2).max(BUFFER_MIN);
        let fits = |buffer: &Vec<u8>| buffer.capacity() <= largest;
        match self.0.iter().rposition(fits) {
            Some(index) => self.0.swap_remove(index),
            None => Vec::with_capacity(needed.max(BUFFER_MIN)),
        }
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE_BUFFERS && (1..=2 * BUFFER_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
