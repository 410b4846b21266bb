//! Finds a byte string in a stream that comes in pieces, without keeping the stream (R15, R18).

use bytes::Bytes;
use memchr::memmem;

use self::{blocks::Blocks, short::ShortNeedle};
use super::whole_frames::Lens;

mod blocks;
mod short;

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

    /// The length of the first frame that lies whole in `input`, terminator and all. Those that lie whole in the `window`
    /// bytes behind it go to `ahead`.
    #[inline]
    pub(super) fn measure(&self, input: &[u8], window: usize, ahead: &mut Lens) -> Option<usize> {
        match &self.needle {
            Needle::Short(needle) => measure(
                input,
                window,
                ahead,
                needle.len(),
                || needle.blocks(),
                |input| needle.find_first(input),
            ),
            Needle::Long(needle) => measure(
                input,
                window,
                ahead,
                needle.bytes.len(),
                || needle.blocks,
                |input| needle.finder.find(input),
            ),
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

/// See [`Search::measure`]. `find` is for one frame, however long, and `blocks` for those behind a short one.
#[inline(always)]
fn measure(
    input: &[u8],
    window: usize,
    ahead: &mut Lens,
    needle_len: usize,
    blocks: impl Fn() -> Option<Blocks>,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let mut first = None;
    let (mut end, mut stop) = (0, input.len());
    // The only call, so that the compiler puts a short search in its place.
    while let Some(at) = find(&input[end..stop]) {
        let len = at + needle_len;
        end += len;
        if first.is_none() {
            first = Some(end);
            stop = stop.min(end + window);
        } else if !ahead.note(len) {
            break;
        }
        if end < stop
            && let Some(blocks) = blocks()
        {
            end = blocks.measure(&input[..stop], end, len, ahead);
        }
        if end == stop {
            break;
        }
    }
    first
}

/// A needle of three bytes or more, made ready.
#[derive(Debug)]
pub(super) struct LongNeedle {
    bytes: Bytes,
    /// If there are few enough for it.
    blocks: Option<Blocks>,
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
            blocks: Blocks::new(&bytes),
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
        super::tests::count_comparisons(1);
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
