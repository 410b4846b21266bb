//! Cuts a stream into frames at a [`Terminator`] (R15–R18).
//!
//! Pure: no socket, no clock, no callback. The caller pulls [`Step`]s and runs the callbacks between two of them, so a
//! change made in a callback applies to the next byte, read already or not (R16). Between reads the framer keeps no
//! input, only the number of bytes of the terminator that have matched: they are the terminator's own first bytes.

use std::{fmt, mem, ops::Deref};

use bytes::{Buf, Bytes};

use self::search::{Cut, LongNeedle, Search};
use super::terminator::Terminator;

mod search;
#[cfg(test)]
mod tests;
pub(crate) mod whole_frames;

/// The next action of a [`ChatDispatcher`](crate::ChatDispatcher).
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

/// What [`Framer::feed`] has found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// Part of the current frame, at least one byte. Without a terminator all input comes as this.
    Data(Piece<'a>),
    /// The frame is complete. A [`Terminator::Count`] that is used up has become [`Terminator::None`].
    Terminator,
    /// The frame is longer than the limit. Comes once for each frame. The rest of its data is skipped and its
    /// `Terminator` follows, unless [`Framer::discard`] ends the frame before.
    TooLong,
}

impl<'a> FrameEvent<'a> {
    fn of(step: Step<'a>) -> Option<Self> {
        Some(match step {
            Step::Data(data) => Self::Data(Piece(Part::Input(data))),
            Step::Held(data) => Self::Data(Piece(Part::Held(data))),
            Step::Terminator => Self::Terminator,
            Step::TooLong => Self::TooLong,
            Step::NeedInput => return None,
        })
    }
}

/// Part of a frame's data, in a [`FrameEvent`]. It dereferences to the bytes, and nothing is copied for it: the bytes
/// are those of the input, or of the terminator if an earlier input ended with what looked like its start.
#[derive(Clone)]
pub struct Piece<'a>(Part<'a>);

#[derive(Clone)]
enum Part<'a> {
    Input(&'a [u8]),
    Held(Bytes),
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Part::Input(data) => data,
            Part::Held(data) => data,
        }
    }
}

impl PartialEq for Piece<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Piece<'_> {}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// Cuts a stream into frames at a [`Terminator`], without a socket: for input that is decompressed or decrypted first,
/// for files, and for tests. A [`ChatDispatcher`](crate::ChatDispatcher) has one, so the rules are the same.
///
/// It keeps no input, only how many bytes of the terminator have matched. The cost is linear in the input, however that
/// is cut.
///
/// ```
/// use asynchat::{FrameEvent, Framer, Terminator};
///
/// /// Reads a length in decimal on a line of its own, then a body of that length.
/// fn bodies(framer: &mut Framer, mut input: &[u8], part: &mut Vec<u8>) -> Vec<Vec<u8>> {
///     let mut bodies = Vec::new();
///     while let Some(event) = framer.feed(&mut input) {
///         match event {
///             FrameEvent::Data(data) => part.extend_from_slice(&data),
///             FrameEvent::Terminator => {
///                 let frame = std::mem::take(part);
///                 if framer.terminator() == Terminator::None {
///                     bodies.push(frame);
///                     framer.set_terminator("\n");
///                 } else {
///                     let length: u64 = String::from_utf8_lossy(&frame).parse().unwrap_or(0);
///                     framer.set_terminator(length);
///                 }
///             }
///             FrameEvent::TooLong => part.clear(),
///         }
///     }
///     bodies
/// }
///
/// let mut framer = Framer::new("\n").max_frame(1024);
/// let mut part = Vec::new();
/// assert_eq!(bodies(&mut framer, b"5\nhel", &mut part), Vec::<Vec<u8>>::new());
/// assert_eq!(bodies(&mut framer, b"lo0\n2\n, ", &mut part), [&b"hello"[..], b"", b", "]);
/// ```
#[derive(Debug)]
pub struct Framer {
    mode: Mode,
    /// Whether the bytes handed out last end the data of their frame.
    ends: bool,
    /// How many bytes behind a whole frame may be searched for further ones.
    window: u16,
    /// Data bytes of the current frame, or [`TOO_LONG`]. 0 while there is no terminator.
    frame_len: u64,
    max_frame: u64,
    aside: Option<Box<Aside>>,
}

/// What only a chat that changes its terminator needs.
#[derive(Debug, Default)]
struct Aside {
    /// Bytes held under an earlier terminator which the current one has yet to examine. They come before the input.
    /// While there are any, the current terminator holds none of its own.
    replay: Bytes,
    /// The data of a frame was handed out behind its terminator, and its end was not told yet: it comes before all else.
    end_owed: bool,
    /// That terminator.
    terminator: Vec<u8>,
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
    /// Cuts at `terminator`, without a limit to the length of a frame.
    pub fn new(terminator: impl Into<Terminator>) -> Self {
        let mut framer = Self {
            mode: Mode::None,
            ends: false,
            window: 0,
            frame_len: 0,
            max_frame: NO_LIMIT,
            aside: None,
        };
        framer.set_terminator(terminator);
        framer
    }

    /// Limits a frame to `bytes`; the terminator does not count.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.set_max_frame(Some(bytes));
        self
    }

    /// Limits a frame to `bytes`; `None` is no limit. A frame of more data is a [`FrameEvent::TooLong`]. Bytes of the
    /// current frame that came as events count. Without a terminator there are no frames and no limit.
    pub fn set_max_frame(&mut self, bytes: Option<usize>) {
        self.max_frame = bytes.map_or(NO_LIMIT, |max| NO_LIMIT.min(max as u64));
    }

    /// The current terminator. A [`Terminator::Count`] is the number of bytes still missing.
    pub fn terminator(&self) -> Terminator {
        match &self.mode {
            Mode::None => Terminator::None,
            Mode::Count(left) => Terminator::Count(*left),
            Mode::Bytes(search) => Terminator::Bytes(search.prefix(search.needle_len())),
        }
    }

    /// Sets where the frame ends. It applies to the bytes that follow the last event, fed already or not. Setting the
    /// same byte string again costs one comparison.
    ///
    /// Between two inputs, [`feed`](Self::feed) an empty one afterwards: the new terminator may be complete already.
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.replace_terminator(terminator.into());
    }

    /// Cuts the next event off the front of `input`, and `input` down to the rest. `None` once the input is used up:
    /// call until then, because an event may follow the last byte.
    ///
    /// `Count(0)` is an event that uses nothing up. If every event sets it again, there is no end to them.
    ///
    /// ```
    /// use asynchat::{FrameEvent, Framer};
    ///
    /// let mut framer = Framer::new("\r\n");
    /// let mut lengths = Vec::new();
    /// let mut length = 0;
    /// for mut input in [&b"one\r\nth"[..], b"ree\r", b"\n"] {
    ///     while let Some(event) = framer.feed(&mut input) {
    ///         match event {
    ///             FrameEvent::Data(data) => length += data.len(),
    ///             FrameEvent::Terminator => lengths.push(std::mem::take(&mut length)),
    ///             FrameEvent::TooLong => unreachable!("there is no limit"),
    ///         }
    ///     }
    /// }
    /// assert_eq!(lengths, [3, 5]);
    /// ```
    pub fn feed<'a>(&mut self, input: &mut &'a [u8]) -> Option<FrameEvent<'a>> {
        FrameEvent::of(self.step(input))
    }

    /// At the end of the stream: what looked like the start of a terminator is data. Call until it is `None`.
    ///
    /// ```
    /// use asynchat::{FrameEvent, Framer};
    ///
    /// let mut framer = Framer::new("\r\n");
    /// assert_eq!(framer.feed(&mut &b"\r"[..]), None);
    /// let Some(FrameEvent::Data(tail)) = framer.finish() else { panic!("the tail is lost") };
    /// assert_eq!(*tail, *b"\r");
    /// assert_eq!(framer.finish(), None);
    /// ```
    pub fn finish(&mut self) -> Option<FrameEvent<'static>> {
        FrameEvent::of(self.last_step())
    }

    /// Whether `data`, the last event, is all of its frame. If so, [`FrameEvent::Terminator`] comes next, unless the
    /// terminator is changed now.
    #[inline]
    pub fn is_whole_frame(&self, data: &[u8]) -> bool {
        self.ends && self.frame_len == data.len() as u64
    }

    /// Takes out the bytes that are held back because they may be the start of the terminator. They come before the
    /// rest of the input: for handing the stream to another reader.
    pub fn take_held(&mut self) -> Bytes {
        let held = self.held();
        self.ends = false;
        self.drop_replay();
        if let Mode::Bytes(search) = &mut self.mode {
            search.forget();
        }
        held
    }

    /// Forgets the frame begun: its length and the held start of its terminator. The caller drops the rest of the
    /// input.
    pub fn discard(&mut self) {
        self.take_held();
        self.frame_len = 0;
        self.take_owed_end();
    }

    /// Applies to every byte not handed out yet, held ones included. False if it is the same byte string as before:
    /// that costs a comparison.
    ///
    /// Outside a callback, take steps with an empty input afterwards: the new terminator may be complete already.
    pub(crate) fn replace_terminator(&mut self, terminator: Terminator) -> bool {
        let mut spare = None;
        let mode = match terminator {
            Terminator::Count(count) => Mode::Count(count),
            Terminator::Bytes(needle) if !needle.is_empty() => match &self.mode {
                Mode::Bytes(search) if search.is_for(&needle) => return false,
                _ => {
                    spare = self.aside.as_mut().and_then(|aside| aside.spare.take());
                    Mode::Bytes(Search::new(needle, &mut spare))
                }
            },
            Terminator::Bytes(_) | Terminator::None => {
                self.frame_len = 0;
                Mode::None
            }
        };
        self.ends = false;
        if let Mode::Bytes(search) = mem::replace(&mut self.mode, mode) {
            let held = search.held();
            if held > 0 {
                debug_assert!(!self.has_replay());
                self.aside.get_or_insert_default().replay = search.prefix(held);
            }
            spare = search.into_spare().or(spare);
        }
        if spare.is_some() {
            self.aside.get_or_insert_default().spare = spare;
        }
        true
    }

    fn has_replay(&self) -> bool {
        self.replay().is_some()
    }

    /// The next step is the end of a frame whose terminator is off the input.
    pub(crate) fn owe_end(&mut self, terminator: &[u8]) {
        let aside = self.aside.get_or_insert_default();
        aside.end_owed = true;
        aside.terminator.clear();
        aside.terminator.extend_from_slice(terminator);
    }

    /// The terminator whose frame has no end yet.
    pub(crate) fn owed_terminator(&self) -> &[u8] {
        match &self.aside {
            Some(aside) if aside.end_owed => &aside.terminator,
            _ => &[],
        }
    }

    pub(crate) fn owes_end(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.end_owed)
    }

    /// False if no end is owed.
    pub(crate) fn take_owed_end(&mut self) -> bool {
        self.aside
            .as_mut()
            .is_some_and(|aside| mem::take(&mut aside.end_owed))
    }

    fn replay(&self) -> Option<&Bytes> {
        let aside = self.aside.as_ref()?;
        (!aside.replay.is_empty()).then_some(&aside.replay)
    }

    fn drop_replay(&mut self) {
        if let Some(aside) = &mut self.aside {
            aside.replay = Bytes::new();
        }
    }

    pub(crate) fn limit(&self) -> Option<usize> {
        usize::try_from(self.max_frame)
            .ok()
            .filter(|_| self.max_frame != NO_LIMIT)
    }

    /// Whether there is a step to take without any input.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.mode, Mode::Count(0)) || self.has_step_aside()
    }

    /// Bytes that have arrived of a frame that is neither complete nor too long.
    pub(crate) fn begun(&self) -> u64 {
        (self.frame_len & !TOO_LONG) + self.held().len() as u64
    }

    fn has_step_aside(&self) -> bool {
        let aside = self.aside.as_ref();
        aside.is_some_and(|aside| aside.end_owed || !aside.replay.is_empty())
    }

    /// Input that was read and is held back because it may be the start of the terminator.
    fn held(&self) -> Bytes {
        match (self.replay(), &self.mode) {
            (Some(replay), _) => replay.clone(),
            (None, Mode::Bytes(search)) => search.prefix(search.held()),
            (None, _) => Bytes::new(),
        }
    }

    /// The next step with `input`, which is cut down to the rest; the rest has to be passed the next time.
    ///
    /// Only a `Count(0)` makes a step that uses nothing up. If every `found_terminator` sets one, the row of
    /// [`Step::Terminator`] is endless: the caller bounds it.
    pub(crate) fn step<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        if self.aside.is_some()
            && let Some(step) = self.next_aside()
        {
            return step;
        }
        self.next_of(input)
    }

    pub(crate) fn has_terminator(&self) -> bool {
        !matches!(self.mode, Mode::None)
    }

    /// Whether the rest of a frame that was too long is being skipped.
    pub(crate) fn is_skipping(&self) -> bool {
        self.frame_len >= TOO_LONG
    }

    /// Appends the terminator, if it is a byte string.
    pub(crate) fn append_terminator(&self, bytes: &mut Vec<u8>) {
        if let Mode::Bytes(search) = &self.mode {
            search.append_needle(bytes);
        }
    }

    /// At the end of the stream, instead of [`step`](Self::step), until [`Step::NeedInput`]: the held start of a
    /// terminator that will not be completed is data, [`Step::Held`].
    pub(crate) fn last_step(&mut self) -> Step<'static> {
        let step = self.step(&mut &[][..]);
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
    fn next_aside<'a>(&mut self) -> Option<Step<'a>> {
        if self.take_owed_end() {
            return Some(Step::Terminator);
        }
        let mut replay = mem::take(&mut self.aside.as_mut()?.replay);
        if replay.is_empty() {
            return None;
        }
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
            self.aside.get_or_insert_default().replay = replay;
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
