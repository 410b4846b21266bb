//! A needle of one or two bytes: nothing to prepare.

use bytes::Bytes;
use memchr::{memchr, memmem};

use super::blocks::Blocks;

/// After this number of first bytes without the second, a search that does not stop at each of them is worth setting
/// up.
const CANDIDATES: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct ShortNeedle {
    pub(super) first: u8,
    pub(super) second: Option<u8>,
}

impl ShortNeedle {
    #[inline]
    pub(super) fn len(self) -> usize {
        1 + usize::from(self.second.is_some())
    }

    pub(super) fn is(self, bytes: &[u8]) -> bool {
        match self.second {
            None => bytes == [self.first],
            Some(second) => bytes == [self.first, second],
        }
    }

    pub(super) fn prefix(self, len: usize) -> Bytes {
        match (len, self.second) {
            (0, _) => Bytes::new(),
            (2, Some(second)) => Bytes::copy_from_slice(&[self.first, second]),
            _ => Bytes::from_static(std::slice::from_ref(&EVERY_BYTE[usize::from(self.first)])),
        }
    }

    #[inline]
    pub(super) fn blocks(self) -> Option<Blocks> {
        match self.second {
            None => Blocks::new(&[self.first]),
            Some(second) => Blocks::new(&[self.first, second]),
        }
    }

    /// How much data stands before the first whole needle.
    #[inline(never)]
    fn find_whole(self, input: &[u8]) -> Option<usize> {
        let Some(second) = self.second else {
            return memchr(self.first, input);
        };
        let mut from = 0;
        for _ in 0..CANDIDATES {
            let at = from + memchr(self.first, input.get(from..)?)?;
            if input.get(at + 1) == Some(&second) {
                return Some(at);
            }
            from = at + 1;
        }
        memmem::find(&input[from..], &[self.first, second]).map(|at| from + at)
    }

    /// The same. The lines of a protocol are short, and within 32 bytes eight at a time are faster than setting up a
    /// vector search.
    #[inline(always)]
    pub(super) fn find_first(self, input: &[u8]) -> Option<usize> {
        let near = match input.first_chunk::<32>() {
            Some(near) => find_in_words(self.first, near.as_chunks::<8>().0),
            None => find_in_short(self.first, input),
        };
        match near {
            Some(at) if self.is_at(input, at) => near,
            _ => self.find_whole(input),
        }
    }

    #[inline]
    fn is_at(self, input: &[u8], at: usize) -> bool {
        self.second.is_none() || self.second == input.get(at + 1).copied()
    }

    /// The number of bytes that are data, and whether the needle follows them or only a possible start of it.
    pub(super) fn find(self, input: &[u8]) -> (usize, bool) {
        match self.find_whole(input) {
            Some(at) => (at, true),
            None if self.second.is_some() && input.last() == Some(&self.first) => {
                (input.len() - 1, false)
            }
            None => (input.len(), false),
        }
    }
}

#[inline(always)]
fn find_in_words(byte: u8, words: &[[u8; 8]]) -> Option<usize> {
    const LOW: u64 = u64::MAX / 0xff;
    const HIGH: u64 = LOW << 7;
    for (index, word) in words.iter().enumerate() {
        // A zero byte where they are equal; the lowest set bit of `zeros` marks the first one.
        let difference = u64::from_le_bytes(*word) ^ (LOW * u64::from(byte));
        let zeros = difference.wrapping_sub(LOW) & !difference & HIGH;
        if zeros != 0 {
            return Some(index * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    None
}

#[inline(never)]
fn find_in_short(byte: u8, input: &[u8]) -> Option<usize> {
    let (words, rest) = input.as_chunks::<8>();
    find_in_words(byte, words).or_else(|| {
        let at = rest.iter().position(|&other| other == byte)?;
        Some(words.len() * 8 + at)
    })
}

/// Single bytes with a static lifetime.
static EVERY_BYTE: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};
