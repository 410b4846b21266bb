//! Finds a byte string in a stream that comes in pieces, without keeping the stream (R15, R18).

use bytes::Bytes;
use memchr::{memchr, memmem};

/// The meaning of the front of the input.
pub(super) enum Cut {
    /// This many bytes of data.
    Data(usize),
    /// This many of the bytes held before the input are data.
    Held(usize),
    /// This many bytes which, with those held before, are the terminator.
    Terminator(usize),
    /// All of it, if any, is held.
    Everything,
}

/// A terminator and how much of it has been seen.
#[derive(Debug)]
pub(super) struct Search {
    needle: Needle,
    progress: Progress,
}

#[derive(Debug)]
enum Needle {
    Short(ShortNeedle),
    Long(Box<LongNeedle>),
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// The earlier input ended with this many bytes of the needle.
    Held(u32),
    /// The input begins with the needle: the data before it has just been handed out.
    Found,
}

impl Search {
    /// For a needle that is not empty. `spare` is used if it fits.
    pub(super) fn new(needle: Bytes, spare: &mut Option<Box<LongNeedle>>) -> Self {
        debug_assert!(!needle.is_empty() && u32::try_from(needle.len()).is_ok());
        let needle = match needle[..] {
            [first] => Needle::Short(ShortNeedle {
                first,
                second: None,
            }),
            [first, second] => Needle::Short(ShortNeedle {
                first,
                second: Some(second),
            }),
            _ => {
                let spare = spare.take_if(|spare| same(&spare.bytes, &needle));
                Needle::Long(spare.unwrap_or_else(|| Box::new(LongNeedle::new(needle))))
            }
        };
        Self {
            needle,
            progress: Progress::Held(0),
        }
    }

    pub(super) fn is_for(&self, bytes: &Bytes) -> bool {
        match &self.needle {
            Needle::Short(needle) => needle.is(bytes),
            Needle::Long(needle) => same(&needle.bytes, bytes),
        }
    }

    /// The first `len` bytes of the needle.
    pub(super) fn prefix(&self, len: usize) -> Bytes {
        match &self.needle {
            Needle::Short(needle) => needle.prefix(len),
            Needle::Long(needle) => needle.bytes.slice(..len),
        }
    }

    pub(super) fn append_needle(&self, bytes: &mut Vec<u8>) {
        match &self.needle {
            Needle::Short(needle) => {
                bytes.push(needle.first);
                bytes.extend(needle.second);
            }
            Needle::Long(needle) => bytes.extend_from_slice(&needle.bytes),
        }
    }

    #[inline]
    pub(super) fn needle_len(&self) -> usize {
        match &self.needle {
            Needle::Short(needle) => needle.len(),
            Needle::Long(needle) => needle.bytes.len(),
        }
    }

    /// How many bytes at the end of the earlier input are held, because the needle may begin there.
    pub(super) fn held(&self) -> usize {
        match self.progress {
            Progress::Held(held) => held as usize,
            Progress::Found => 0,
        }
    }

    pub(super) fn forget(&mut self) {
        self.progress = Progress::Held(0);
    }

    /// Whether nothing of a needle is held or found.
    #[inline]
    pub(super) fn is_at_start(&self) -> bool {
        matches!(self.progress, Progress::Held(0))
    }

    #[inline]
    pub(super) fn short_needle(&self) -> Option<ShortNeedle> {
        match &self.needle {
            Needle::Short(needle) => Some(*needle),
            Needle::Long(_) => None,
        }
    }

    /// How much data stands before the first whole needle, if it is a long one.
    #[inline]
    pub(super) fn find_long(&self, input: &[u8]) -> Option<usize> {
        match &self.needle {
            Needle::Short(_) => None,
            Needle::Long(needle) => needle.finder.find(input),
        }
    }

    #[inline]
    pub(super) fn is_found(&self) -> bool {
        matches!(self.progress, Progress::Found)
    }

    pub(super) fn into_spare(self) -> Option<Box<LongNeedle>> {
        match self.needle {
            Needle::Short(_) => None,
            Needle::Long(needle) => Some(needle),
        }
    }

    /// Cuts a piece off the front of `input`, which goes on where the pieces cut before end.
    #[inline]
    pub(super) fn next(&mut self, input: &[u8]) -> Cut {
        match self.progress {
            Progress::Held(0) => {
                let (len, found) = match &self.needle {
                    Needle::Short(needle) => needle.find(input),
                    Needle::Long(needle) => needle.find(input),
                };
                if len > 0 {
                    // What looks like the needle stays in the input: a callback may change it yet.
                    if found {
                        self.progress = Progress::Found;
                    }
                    Cut::Data(len)
                } else if found {
                    Cut::Terminator(self.needle_len())
                } else {
                    self.progress = Progress::Held(input.len() as u32);
                    Cut::Everything
                }
            }
            Progress::Held(held) => self.resume(held as usize, input),
            Progress::Found => {
                self.forget();
                Cut::Terminator(self.needle_len())
            }
        }
    }

    #[cold]
    fn resume(&mut self, held: usize, input: &[u8]) -> Cut {
        let short;
        let (needle, borders) = match &self.needle {
            Needle::Short(needle) => {
                short = [needle.first, needle.second.unwrap_or_default()];
                (&short[..needle.len()], [0, 0].as_slice())
            }
            Needle::Long(needle) => (&*needle.bytes, &*needle.borders),
        };
        // Held bytes before the first match that is still possible are data. If all of them are,
        // the input is searched from its start: less than a needle of it is looked at twice.
        let (mut matched, mut used, mut data) = (held, 0, 0);
        for &byte in input {
            matched = matched_after(needle, borders, matched, byte);
            used += 1;
            data = held.min(held + used - matched);
            if matched == needle.len() || data == held {
                break;
            }
        }
        if data > 0 {
            self.progress = Progress::Held((held - data) as u32);
            Cut::Held(data)
        } else if matched == needle.len() {
            self.forget();
            Cut::Terminator(used)
        } else {
            self.progress = Progress::Held(matched as u32);
            Cut::Everything
        }
    }
}

/// After this number of first bytes without the second, a search that does not stop at each of them is worth setting
/// up.
const CANDIDATES: usize = 8;

/// A needle of one or two bytes: nothing to prepare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortNeedle {
    first: u8,
    second: Option<u8>,
}

impl ShortNeedle {
    #[inline]
    pub(super) fn len(self) -> usize {
        1 + usize::from(self.second.is_some())
    }

    fn is(self, bytes: &[u8]) -> bool {
        match self.second {
            None => bytes == [self.first],
            Some(second) => bytes == [self.first, second],
        }
    }

    fn prefix(self, len: usize) -> Bytes {
        match (len, self.second) {
            (0, _) => Bytes::new(),
            (2, Some(second)) => Bytes::copy_from_slice(&[self.first, second]),
            _ => Bytes::from_static(std::slice::from_ref(&EVERY_BYTE[usize::from(self.first)])),
        }
    }

    /// How much data stands before the first whole needle.
    #[inline(never)]
    pub(super) fn find_whole(self, input: &[u8]) -> Option<usize> {
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
    pub(crate) fn find_first(self, input: &[u8]) -> Option<usize> {
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
    fn find(self, input: &[u8]) -> (usize, bool) {
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

/// A needle of three bytes or more, made ready.
#[derive(Debug)]
pub(super) struct LongNeedle {
    bytes: Bytes,
    finder: memmem::Finder<'static>,
    /// `borders[n]`: the length of the longest proper prefix of the first `n` bytes that is their
    /// suffix too (Knuth, Morris, Pratt). A match that fails goes on from there, never back.
    borders: Box<[u32]>,
}

impl LongNeedle {
    fn new(bytes: Bytes) -> Self {
        let mut borders = vec![0; bytes.len()].into_boxed_slice();
        let mut border = 0;
        for len in 2..bytes.len() {
            border = matched_after(&bytes, &borders, border, bytes[len - 1]);
            borders[len] = border as u32;
        }
        Self {
            finder: memmem::Finder::new(&bytes).into_owned(),
            bytes,
            borders,
        }
    }

    /// See [`ShortNeedle::find`].
    fn find(&self, input: &[u8]) -> (usize, bool) {
        if let Some(at) = self.finder.find(input) {
            return (at, true);
        }
        let tail = &input[input.len().saturating_sub(self.bytes.len() - 1)..];
        let next = |matched, &byte| matched_after(&self.bytes, &self.borders, matched, byte);
        (input.len() - tail.iter().fold(0, next), false)
    }
}

/// How many bytes of the needle match when `byte` follows `matched` of them.
fn matched_after(needle: &[u8], borders: &[u32], mut matched: usize, byte: u8) -> usize {
    loop {
        #[cfg(test)]
        super::tests::count_comparison();
        if needle[matched] == byte {
            return matched + 1;
        }
        if matched == 0 {
            return 0;
        }
        matched = borders[matched] as usize;
    }
}

pub(super) fn same(a: &Bytes, b: &Bytes) -> bool {
    a.len() == b.len() && (a.as_ptr() == b.as_ptr() || a == b)
}
