//! A byte string to look for in a stream, one byte at a time: Knuth, Morris and Pratt.

use bytes::Bytes;

pub(super) struct Needle {
    pub(super) bytes: Bytes,
    /// `borders[i]`: the longest proper prefix of the first `i + 1` bytes that they also end with.
    borders: Box<[usize]>,
}

impl Needle {
    pub(super) fn new(bytes: Bytes) -> Self {
        let mut needle = Self {
            borders: vec![0; bytes.len()].into(),
            bytes,
        };
        for i in 1..needle.bytes.len() {
            needle.borders[i] = needle.step(needle.borders[i - 1], needle.bytes[i]);
        }
        needle
    }

    /// The number of bytes of the needle that a text ends with after `byte`, if it ended with `matched` bytes, less
    /// than the whole, before it. Over a text the steps back are at most as many as the steps on.
    pub(super) fn step(&self, mut matched: usize, byte: u8) -> usize {
        while self.bytes[matched] != byte {
            if matched == 0 {
                return 0;
            }
            matched = self.borders[matched - 1];
        }
        matched + 1
    }
}
