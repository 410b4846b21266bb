//! Frames that lie whole in the input, as most do: found several at once, ahead of their callbacks (R16, R18).

use std::{mem, slice};

use super::{Framer, Mode};

/// The number of frames behind the first that are found at once.
const AHEAD: usize = 63;

/// The number of bytes behind the first frame that are searched at once at most.
const WINDOW: usize = 16 * 1024;

/// A smaller window than this is not worth a search: few frames were used since the last change.
const SMALLEST_WINDOW: usize = 64;

/// Frames at the front of the input.
pub(crate) struct WholeFrames {
    pub(crate) terminator_len: usize,
    /// The length of the first one, with its terminator.
    pub(crate) first: usize,
    ahead: Lens,
    /// How many bytes behind the first were to be searched.
    window: usize,
}

/// The lengths of the frames behind the first, each with its terminator.
pub(crate) struct Lens {
    lens: [u16; AHEAD],
    count: usize,
    /// The sum.
    bytes: usize,
}

impl Lens {
    /// False if there is no place left.
    #[inline]
    pub(super) fn note(&mut self, len: usize) -> bool {
        let mut room = self.room();
        let noted = room.note(len);
        let left = room.left();
        self.fill(left, if noted { len } else { 0 });
        noted
    }

    /// The places left, to be noted in from the first on.
    #[inline]
    pub(super) fn room(&mut self) -> Room<'_> {
        Room(self.lens[self.count..].iter_mut())
    }

    /// All places but `left` are taken, with `bytes` more in all.
    #[inline]
    pub(super) fn fill(&mut self, left: usize, bytes: usize) {
        self.count = AHEAD - left;
        self.bytes += bytes;
    }
}

pub(super) struct Room<'a>(slice::IterMut<'a, u16>);

impl Room<'_> {
    /// False if there is no place left. No frame is longer than [`WINDOW`].
    #[inline(always)]
    pub(super) fn note(&mut self, len: usize) -> bool {
        let Some(place) = self.0.next() else {
            return false;
        };
        *place = len as u16;
        true
    }

    #[inline]
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

impl WholeFrames {
    pub(crate) fn none() -> Self {
        Self {
            terminator_len: 0,
            first: 0,
            ahead: Lens {
                lens: [0; AHEAD],
                count: 0,
                bytes: 0,
            },
            window: 0,
        }
    }

    /// One frame that is not in the input.
    pub(crate) fn set_one(&mut self, len: usize, terminator_len: usize) {
        (self.first, self.terminator_len) = (len, terminator_len);
        (self.ahead.count, self.ahead.bytes, self.window) = (0, 0, 0);
    }

    /// Drops those from the first that has more than `max` bytes of data on. False if none is left.
    #[cold]
    fn keep_fitting(&mut self, max: u64) -> bool {
        let fits = |len: usize| (len - self.terminator_len) as u64 <= max;
        if !fits(self.first) {
            return false;
        }
        let kept = self
            .ahead()
            .iter()
            .take_while(|&&len| fits(len.into()))
            .count();
        self.ahead.count = kept;
        self.ahead.bytes = self.ahead().iter().copied().map(usize::from).sum();
        true
    }

    /// The lengths of the frames behind the first.
    #[inline]
    pub(crate) fn ahead(&self) -> &[u16] {
        &self.ahead.lens[..self.ahead.count]
    }
}

impl Framer {
    /// Whether a frame that lies whole in the input may be taken at once.
    #[inline]
    pub(crate) fn takes_whole_frames(&self) -> bool {
        let is_between = match &self.mode {
            Mode::Bytes(search) => search.is_at_start(),
            Mode::Count(count) => *count > 0,
            Mode::None => false,
        };
        is_between && self.frame_len == 0 && !self.has_step_aside()
    }

    /// Finds frames at the front of `input`; false if there is none that may be taken at once. They are good until
    /// terminator, limit or state of the framer are changed. A counted one is taken.
    ///
    /// Bytes behind the first frame may be searched in vain, and again later. Their number is at most twice that of the
    /// bytes used since frames were last voided, so a byte costs a constant (R18).
    #[inline(never)]
    pub(crate) fn find_whole_frames(&mut self, input: &[u8], frames: &mut WholeFrames) -> bool {
        let window = usize::from(mem::take(&mut self.window));
        if !self.takes_whole_frames() {
            return false;
        }
        let search = match &self.mode {
            Mode::Bytes(search) => search,
            Mode::Count(count) => {
                return match usize::try_from(*count) {
                    Ok(len) if len <= input.len() && *count <= self.max_frame => {
                        frames.set_one(len, 0);
                        frames.window = window;
                        self.end_count();
                        true
                    }
                    _ => false,
                };
            }
            Mode::None => return false,
        };
        frames.set_one(0, search.needle_len());
        frames.window = window;
        let searched = if window < SMALLEST_WINDOW { 0 } else { window };
        let Some(first) = search.measure(input, searched, &mut frames.ahead) else {
            return false;
        };
        frames.first = first;
        // Most often not one of them is as long as all may be together.
        (first + frames.ahead.bytes) as u64 <= self.max_frame || frames.keep_fitting(self.max_frame)
    }

    /// All of the frames found were handed out, and nothing has changed.
    #[inline]
    pub(crate) fn note_used(&mut self, frames: &WholeFrames) {
        let used = (frames.first + frames.ahead.bytes).min(WINDOW);
        self.window = WINDOW.min(usize::from(self.window) + frames.window + 2 * used) as u16;
    }

    /// A frame of a given number of bytes is taken off the input.
    pub(crate) fn end_count(&mut self) {
        self.mode = Mode::None;
        self.end_frame();
    }

    /// The data of a whole frame is about to be handed out. Its terminator stays in the input, because a callback may
    /// change it.
    #[inline]
    pub(crate) fn begin_frame(&mut self, len: usize) {
        self.frame_len = len as u64;
        self.ends = true;
    }

    /// The same for a frame of a given number of bytes.
    pub(crate) fn begin_counted_frame(&mut self, len: usize) {
        self.mode = Mode::Count(0);
        self.begin_frame(len);
    }

    /// The terminator of a whole frame is taken off the input.
    #[inline]
    pub(crate) fn end_frame(&mut self) {
        self.frame_len = 0;
        self.ends = false;
    }
}

#[cfg(test)]
mod tests {
    use memchr::memmem;
    use proptest::{collection::vec, prelude::*, sample};
    use util::properties::config;

    use super::{super::tests::COMPARISONS, *};

    /// Takes all whole frames off `input`, and the next ones after each at which `breaks_off` says so.
    fn cut<'a>(
        framer: &mut Framer,
        mut input: &'a [u8],
        mut breaks_off: impl FnMut(&mut Framer, usize) -> bool,
    ) -> (Vec<&'a [u8]>, &'a [u8]) {
        let mut taken = Vec::new();
        let mut frames = WholeFrames::none();
        'find: while framer.find_whole_frames(input, &mut frames) {
            let ahead = frames.ahead().iter().map(|&len| usize::from(len));
            for len in std::iter::once(frames.first).chain(ahead) {
                let (frame, rest) = input.split_at(len);
                input = rest;
                taken.push(&frame[..len - frames.terminator_len]);
                if breaks_off(framer, taken.len()) {
                    continue 'find;
                }
            }
            framer.note_used(&frames);
        }
        (taken, input)
    }

    /// One after the other, by a search from the end of the last one.
    fn cut_naively<'a>(
        needle: &[u8],
        max: usize,
        mut input: &'a [u8],
    ) -> (Vec<&'a [u8]>, &'a [u8]) {
        let mut taken = Vec::new();
        while let Some(len) = memmem::find(input, needle).filter(|len| *len <= max) {
            taken.push(&input[..len]);
            input = &input[len + needle.len()..];
        }
        (taken, input)
    }

    /// Bytes that form needles, overlap and nearly do all the time.
    fn few_letters(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
        let weighted = prop_oneof![8 => Just(b'a'), 2 => Just(b'b'), 1 => Just(0)];
        vec(weighted, len)
    }

    proptest! {
        #![proptest_config(config(2000, 10))]

        #[test]
        fn frames_are_those_that_one_search_after_another_finds(
            needle in few_letters(1..=10),
            pieces in vec((few_letters(0..=9), sample::select(vec![0_usize, 1, 2, 20, 60, 64, 130, 300])), 0..60),
            max in prop_oneof![Just(usize::MAX), 0..100_usize],
            broken_off in vec(any::<bool>(), 8),
        ) {
            let mut input = Vec::new();
            for (letters, gap) in &pieces {
                input.resize(input.len() + gap, b'x');
                input.extend_from_slice(letters);
                input.extend_from_slice(&needle);
            }
            input.extend_from_slice(b"aab");
            for breaks in [false, true] {
                let mut framer = Framer::new(needle.clone());
                framer.set_max_frame((max != usize::MAX).then_some(max));
                let found = cut(&mut framer, &input, |_, count| breaks && broken_off[count % 8]);
                prop_assert_eq!(found, cut_naively(&needle, max, &input));
            }
        }
    }

    /// The bytes looked at of many short frames, and of how many bytes. In their second half the chat does something
    /// behind each `apart` that makes those behind be found anew.
    fn looked_at(apart: usize, mut change: impl FnMut(&mut Framer)) -> (u64, usize) {
        const LENGTHS: [usize; 8] = [0, 1, 5, 100, 18, 70, 3, 126];
        const FRAMES: usize = LENGTHS.len() * if cfg!(miri) { 6 } else { 200 };
        let mut input = Vec::new();
        for len in LENGTHS.into_iter().cycle().take(FRAMES) {
            input.resize(input.len() + len, b'x');
            input.push(b'\n');
        }
        COMPARISONS.set(0);
        let mut framer = Framer::new("\n");
        let (_, rest) = cut(&mut framer, &input, |framer, count| {
            let changes = count > FRAMES / 2 && count % apart == 0;
            if changes {
                change(framer);
            }
            changes
        });
        assert_eq!(rest, b"");
        (COMPARISONS.get(), input.len())
    }

    #[test]
    fn a_byte_is_searched_ahead_a_constant_number_of_times() {
        for apart in [1, 2, 3, 7, 30, 63, 64, 65, 200, usize::MAX] {
            let changes: [fn(&mut Framer); 3] = [
                |_| {},
                |framer| framer.set_max_frame(Some(200)),
                |framer| {
                    framer.set_terminator(5);
                    framer.set_terminator("\n");
                },
            ];
            for change in changes {
                let (looked_at, len) = looked_at(apart, change);
                assert!(
                    looked_at <= 4 * len as u64,
                    "a change each {apart} frames: {looked_at} bytes instead of {len}"
                );
            }
        }
        let (looked_at, len) = looked_at(usize::MAX, |_| {});
        assert!(
            looked_at >= len as u64 / 2,
            "nothing is found ahead: {looked_at}"
        );
    }
}
