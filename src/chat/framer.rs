//! Cuts a stream into frames at a [`Terminator`] (R15–R18).
//!
//! Pure: no socket, no clock, no callback. The caller pulls [`Step`]s and runs the callbacks between two of them, so a
//! change made in a callback applies to the next byte, read already or not (R16). Between reads the framer keeps no
//! input, only the number of bytes of the terminator that have matched: they are the terminator's own first bytes.

use std::mem;

use bytes::{Buf, Bytes};

use self::search::{Cut, LongNeedle, Search, ShortNeedle};
use super::terminator::Terminator;

mod search;
#[cfg(test)]
mod tests;

/// The next action of the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Hand these bytes, at least one, to `collect_incoming_data`.
    Data(&'a [u8]),
    /// The same with bytes of an earlier read that looked like the start of the terminator and were not.
    Held(Bytes),
    /// The frame is complete: call `found_terminator`.
    Terminator,
    /// The frame is longer than `max_frame`. Reported once for each frame. The rest of its data is skipped and its
    /// `Terminator` follows, unless [`Framer::discard`] ends the frame before.
    TooLong,
    /// All input is used up.
    NeedInput,
}

/// The state of one channel's incoming stream.
///
/// The caller takes steps until [`Step::NeedInput`], not until the input is empty: a terminator may follow the last
/// byte.
#[derive(Debug)]
pub(crate) struct Framer {
    mode: Mode,
    /// Whether the bytes handed out last end the data of their frame.
    ends: bool,
    /// Counts the changes that [`WholeFrames`] cannot see.
    changes: u32,
    /// Data bytes of the current frame, or [`TOO_LONG`]. 0 while there is no terminator.
    frame_len: u64,
    max_frame: u64,
    /// Bytes held under an earlier terminator which the current one has yet to examine. They come before the input.
    /// While there are any, the current terminator holds none of its own.
    replay: Option<Box<Bytes>>,
    /// The previous long needle, for chats that alternate between it and another terminator.
    spare: Option<Box<LongNeedle>>,
}

#[derive(Debug)]
enum Mode {
    None,
    Count(u64),
    Bytes(Search),
}

/// The length of a frame that was reported as too long and is being skipped.
const TOO_LONG: u64 = 1 << 63;

/// Less than [`TOO_LONG`], and more than a frame can reach.
const NO_LIMIT: u64 = TOO_LONG - 1;

impl Framer {
    pub(crate) fn new(terminator: Terminator) -> Self {
        let mut framer = Self {
            mode: Mode::None,
            ends: false,
            changes: 0,
            frame_len: 0,
            max_frame: NO_LIMIT,
            replay: None,
            spare: None,
        };
        framer.set_terminator(terminator);
        framer
    }

    /// The current terminator. A [`Terminator::Count`] is the number of bytes still missing.
    pub(crate) fn terminator(&self) -> Terminator {
        match &self.mode {
            Mode::None => Terminator::None,
            Mode::Count(left) => Terminator::Count(*left),
            Mode::Bytes(search) => Terminator::Bytes(search.prefix(search.needle_len())),
        }
    }

    /// Applies to every byte not handed out yet, held ones included. Setting the same bytes again costs a comparison.
    ///
    /// Outside a callback, take steps with an empty input afterwards: the new terminator may be complete already.
    pub(crate) fn set_terminator(&mut self, terminator: Terminator) {
        let mode = match terminator {
            Terminator::Count(count) => Mode::Count(count),
            Terminator::Bytes(needle) if !needle.is_empty() => match &self.mode {
                Mode::Bytes(search) if search.is_for(&needle) => return,
                _ => Mode::Bytes(Search::new(needle, &mut self.spare)),
            },
            Terminator::Bytes(_) | Terminator::None => {
                self.frame_len = 0;
                Mode::None
            }
        };
        self.changes = self.changes.wrapping_add(1);
        self.ends = false;
        if let Mode::Bytes(search) = mem::replace(&mut self.mode, mode) {
            let held = search.held();
            if held > 0 {
                debug_assert!(self.replay.is_none());
                self.replay = Some(Box::new(search.prefix(held)));
            }
            self.spare = search.into_spare().or(self.spare.take());
        }
    }

    /// A frame of more data bytes than this is [`Step::TooLong`]. Bytes of the current frame that were handed out
    /// count. Without a terminator there are no frames and no limit.
    pub(crate) fn set_max_frame(&mut self, max: Option<usize>) {
        self.changes = self.changes.wrapping_add(1);
        self.max_frame = max.map_or(NO_LIMIT, |max| NO_LIMIT.min(max as u64));
    }

    pub(crate) fn max_frame(&self) -> Option<usize> {
        usize::try_from(self.max_frame)
            .ok()
            .filter(|_| self.max_frame != NO_LIMIT)
    }

    /// Whether there is a step to take without any input.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.mode, Mode::Count(0)) || self.replay.is_some()
    }

    /// Input that was read and is held back because it may be the start of the terminator.
    fn held(&self) -> Bytes {
        match (&self.replay, &self.mode) {
            (Some(replay), _) => (**replay).clone(),
            (None, Mode::Bytes(search)) => search.prefix(search.held()),
            (None, _) => Bytes::new(),
        }
    }

    /// Takes the held bytes out.
    pub(crate) fn take_held(&mut self) -> Bytes {
        let held = self.held();
        self.changes = self.changes.wrapping_add(1);
        self.ends = false;
        self.replay = None;
        if let Mode::Bytes(search) = &mut self.mode {
            search.forget();
        }
        held
    }

    /// Forgets the frame begun: its length and the held start of its terminator. The caller drops the rest of the
    /// input.
    pub(crate) fn discard(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        self.ends = false;
        self.replay = None;
        self.frame_len = 0;
        if let Mode::Bytes(search) = &mut self.mode {
            search.forget();
        }
    }

    /// The next step with `input`, which is cut down to the rest; the rest has to be passed the next time.
    ///
    /// Only a `Count(0)` makes a step that uses nothing up. If every `found_terminator` sets one, the row of
    /// [`Step::Terminator`] is endless: the caller bounds it.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        if self.replay.is_some()
            && let Some(step) = self.next_of_replay()
        {
            return step;
        }
        self.next_of(input)
    }

    /// The fast way to take frames that lie whole in the input, if the state of the framer allows it. The answer is
    /// valid until the framer has [`changed`](Self::has_changed).
    #[inline]
    pub(crate) fn whole_frames(&self) -> Option<WholeFrames> {
        let search = match &self.mode {
            Mode::Bytes(search) if self.frame_len == 0 && self.replay.is_none() => search,
            _ => return None,
        };
        search.is_at_start().then(|| WholeFrames {
            short: search.short_needle(),
            terminator_len: search.needle_len(),
            max: self.max_frame,
            changes: self.changes,
        })
    }

    /// The length of the frame at the front of `input`, if all of it is there and its terminator is not short.
    #[inline(never)]
    pub(crate) fn find_long(&self, frames: &WholeFrames, input: &[u8]) -> Option<usize> {
        match &self.mode {
            Mode::Bytes(search) => frames.admit(search.find_long(input)?),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn has_changed(&self, frames: &WholeFrames) -> bool {
        self.changes != frames.changes
    }

    /// The data of a whole frame is about to be handed out. Its terminator stays in the input, because a callback may
    /// change it.
    #[inline]
    pub(crate) fn begin_frame(&mut self, len: usize) {
        self.frame_len = len as u64;
        self.ends = true;
    }

    /// The terminator of a whole frame is taken off the input.
    #[inline]
    pub(crate) fn end_frame(&mut self) {
        self.frame_len = 0;
        self.ends = false;
    }

    /// Whether the `len` bytes just handed out are all data of their frame.
    #[inline]
    pub(crate) fn is_whole(&self, len: usize) -> bool {
        self.ends && self.frame_len == len as u64
    }

    /// At the end of the stream, instead of [`next`](Self::next), until [`Step::NeedInput`]: the held start of a
    /// terminator that will not be completed is data, [`Step::Held`].
    pub(crate) fn finish(&mut self) -> Step<'static> {
        let step = self.next(&mut &[][..]);
        if step == Step::NeedInput
            && let Mode::Bytes(search) = &mut self.mode
            && let held @ 1.. = search.held()
        {
            search.forget();
            return self.next_held(held).unwrap_or(Step::NeedInput);
        }
        step
    }

    #[cold]
    fn next_of_replay<'a>(&mut self) -> Option<Step<'a>> {
        let mut replay = *self.replay.take()?;
        let mut input = &replay[..];
        let step = match self.next_of(&mut input) {
            Step::Data(data) => Step::Held(replay.slice_ref(data)),
            Step::Held(data) => Step::Held(data),
            Step::Terminator => Step::Terminator,
            Step::TooLong => Step::TooLong,
            Step::NeedInput => return None,
        };
        let left = input.len();
        if left > 0 {
            replay.advance(replay.len() - left);
            self.replay = Some(Box::new(replay));
        }
        Some(step)
    }

    #[inline]
    fn next_of<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        loop {
            let cut = match &mut self.mode {
                Mode::None if input.is_empty() => return Step::NeedInput,
                Mode::None => return Step::Data(mem::take(input)),
                Mode::Count(0) => {
                    self.mode = Mode::None;
                    Cut::Terminator(0)
                }
                Mode::Count(left) => count(left, input.len()),
                Mode::Bytes(search) => search.next(input),
            };
            match cut {
                Cut::Data(len) => {
                    let data = take(input, len);
                    self.ends = match &self.mode {
                        Mode::None => false,
                        Mode::Count(left) => *left == 0,
                        Mode::Bytes(search) => search.is_found(),
                    };
                    match self.admit(len) {
                        Admit::Deliver => return Step::Data(data),
                        Admit::TooLong => return Step::TooLong,
                        Admit::Skip => {}
                    }
                }
                Cut::Held(len) => {
                    if let Some(step) = self.next_held(len) {
                        return step;
                    }
                }
                Cut::Terminator(len) => {
                    take(input, len);
                    self.frame_len = 0;
                    self.ends = false;
                    return Step::Terminator;
                }
                Cut::Everything => {
                    *input = &[];
                    return Step::NeedInput;
                }
            }
        }
    }

    /// The first `len` bytes of the terminator, as data; `None` if they are skipped.
    #[cold]
    fn next_held(&mut self, len: usize) -> Option<Step<'static>> {
        let Mode::Bytes(search) = &self.mode else {
            return None;
        };
        let data = search.prefix(len);
        match self.admit(len) {
            Admit::Deliver => Some(Step::Held(data)),
            Admit::TooLong => Some(Step::TooLong),
            Admit::Skip => None,
        }
    }

    #[inline]
    fn admit(&mut self, len: usize) -> Admit {
        let frame_len = self.frame_len + len as u64;
        if frame_len <= self.max_frame {
            self.frame_len = frame_len;
            Admit::Deliver
        } else if self.frame_len < TOO_LONG {
            self.frame_len = TOO_LONG;
            Admit::TooLong
        } else {
            Admit::Skip
        }
    }
}

/// What is needed to find whole frames, between two changes of their framer.
#[derive(Clone, Copy)]
pub(crate) struct WholeFrames {
    pub(crate) short: Option<ShortNeedle>,
    pub(crate) terminator_len: usize,
    max: u64,
    changes: u32,
}

impl WholeFrames {
    /// The length of the frame at the front of `input`, if all of it is there and its terminator is `needle`.
    #[inline(always)]
    pub(crate) fn find_short(&self, needle: ShortNeedle, input: &[u8]) -> Option<usize> {
        let near = needle.find_near(input);
        self.admit(near.or_else(|| needle.find_whole(input))?)
    }

    #[inline]
    fn admit(&self, len: usize) -> Option<usize> {
        (len as u64 <= self.max).then_some(len)
    }
}

/// What happens to data under `max_frame`.
enum Admit {
    Deliver,
    TooLong,
    Skip,
}

fn count(left: &mut u64, available: usize) -> Cut {
    match usize::try_from(*left).map_or(available, |left| left.min(available)) {
        0 => Cut::Everything,
        len => {
            *left -= len as u64;
            Cut::Data(len)
        }
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = input.split_at(len);
    *input = left;
    taken
}
