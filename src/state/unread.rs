//! Bytes that were read and given back, or not used: they are read again before the socket.

use bytes::Bytes;

/// One piece, with room in front: giving back `n` bytes costs `n`, however many are behind them, and so does using
/// `n` (R18). At most three quarters
/// of the memory are room.
#[derive(Debug)]
pub(crate) struct Unread {
    buffer: Vec<u8>,
    start: usize,
}

impl Unread {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.to_vec(),
            start: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Puts bytes in front of all others.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            // As much room again as there are bytes, so that the next ones are moved only once that is used up.
            let room = bytes.len() + self.bytes().len();
            let mut buffer = Vec::with_capacity(2 * room);
            buffer.resize(room, 0);
            buffer.extend_from_slice(bytes);
            buffer.extend_from_slice(self.bytes());
            self.buffer = buffer;
            self.start = room;
        } else {
            let start = self.start - bytes.len();
            self.buffer[start..self.start].copy_from_slice(bytes);
            self.start = start;
        }
    }

    /// Puts bytes behind all others.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    /// Where bytes are appended.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Drops the first `n` bytes. Without any left it keeps its memory, for another use.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.clear();
        } else {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        if 4 * self.bytes().len() < self.buffer.capacity() {
            *self = Self::new(self.bytes());
        }
    }
}

impl From<Unread> for Bytes {
    fn from(unread: Unread) -> Self {
        Self::from(unread.buffer).slice(unread.start..)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use util::properties::config;

    #[derive(Clone, Debug)]
    enum Op {
        GiveBack(Vec<u8>),
        Append(Vec<u8>),
        Consume(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            bytes().prop_map(Op::GiveBack),
            bytes().prop_map(Op::Append),
            (0..60_usize).prop_map(Op::Consume),
        ]
    }

    proptest! {
        #![proptest_config(config(256, 8))]
        #[test]
        fn bytes_come_out_in_the_order_of_the_stream(ops in prop::collection::vec(op(), 0..60)) {
            let mut unread = Unread::new(b"first");
            let mut model = b"first".to_vec();
            for op in ops {
                match op {
                    Op::GiveBack(bytes) => {
                        unread.give_back(&bytes);
                        model.splice(..0, bytes);
                    }
                    Op::Append(bytes) => {
                        unread.append(&bytes);
                        model.extend(bytes);
                    }
                    Op::Consume(n) => {
                        let n = n.min(model.len());
                        unread.consume(n);
                        model.drain(..n);
                        prop_assert!(model.is_empty() || unread.capacity() <= 4 * model.len());
                    }
                }
                prop_assert_eq!(unread.bytes(), &model[..]);
                prop_assert_eq!(unread.is_empty(), model.is_empty());
            }
            prop_assert_eq!(Bytes::from(unread), model);
        }
    }
}
