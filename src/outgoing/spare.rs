//! Coalescing buffers, handed from one queue to the next.

use super::BUFFER_MAX;

const BUFFER_MIN: usize = 1024;
const SPARE_BUFFERS: usize = 64;

/// Coalescing buffers that no queue uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Spare(pub(super) Vec<Vec<u8>>);

impl Spare {
    pub(crate) fn take(&mut self, needed: usize) -> Vec<u8> {
        self.0
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(needed.max(BUFFER_MIN)))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE_BUFFERS && (1..=2 * BUFFER_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
