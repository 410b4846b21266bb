//! From input to the callbacks of a chat: whole frames in one tight loop, everything else step by step (R16, R17).

use std::mem;

use super::{
    AsyncChat, ChatChannel,
    extras::Handing,
    frame::Frame,
    framer::{Step, whole_frames::WholeFrames},
};
use crate::error::{FrameTooLong, Result};

/// A visit ends after this number of frames in a row that use no input (`Count(0)` set again and again).
const EMPTY_FRAMES: usize = 1000;

/// Calls back until the input is used up, or until the channel or its chat wants no more of it. Then the same for what
/// the end of file has made of the rest. Called in one place, so that its loops have no pointer to `view` to follow.
pub(super) fn run<C: AsyncChat>(chat: &mut C, view: &mut ChatChannel<'_>, end: bool) -> Result {
    let mut slow = Slow::default();
    let mut at_end = false;
    loop {
        let then = run_whole_frames(chat, view, at_end, &slow.collected)?;
        if slow.collected.capacity() > 0 {
            view.give_memory(mem::take(&mut slow.collected));
        }
        if then == Then::GoOn && run_stepwise(chat, view, at_end, &mut slow)? == Then::GoOn {
            continue;
        }
        if !end || at_end || !view.rest().is_empty() || view.has_unread() || !view.goes_on() {
            return Ok(());
        }
        at_end = true;
        slow.empty_frames = EmptyFrames::default();
    }
}

/// What only frames need that do not lie whole in the input.
#[derive(Default)]
struct Slow {
    empty_frames: EmptyFrames,
    /// A frame that came in pieces, with its terminator.
    collected: Vec<u8>,
}

/// Frames in a row that used no input.
#[derive(Default)]
struct EmptyFrames {
    count: usize,
    /// How much input was left at the last one.
    left: usize,
}

impl EmptyFrames {
    fn note(&mut self, left: usize) {
        let empty = left == self.left;
        self.count = if empty { self.count + 1 } else { 0 };
        self.left = left;
    }

    fn are_enough(&self) -> bool {
        self.count == EMPTY_FRAMES
    }
}

#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    Stop,
}

/// Hands out the frame that is collected, if there is one, then those that lie whole in the input, as most do.
fn run_whole_frames<C: AsyncChat>(
    chat: &mut C,
    view: &mut ChatChannel<'_>,
    end: bool,
    collected: &[u8],
) -> Result<Then> {
    let mut frames = WholeFrames::none();
    'find: loop {
        let mut rest = if let Some(len) = view.collected.take() {
            frames.set_one(collected.len(), collected.len() - len);
            // It is about to be taken off the input, where it is not.
            view.at = view.at.wrapping_sub(collected.len());
            collected
        } else if !end && view.find_whole_frames(&mut frames) {
            view.rest()
        } else {
            break;
        };
        let mut len = frames.first;
        let mut ahead = frames.ahead().iter();
        loop {
            let bytes;
            (bytes, rest) = rest.split_at(len);
            view.at = view.at.wrapping_add(len);
            // The only call, so that the compiler makes one loop of it and of a short handler.
            chat.found_frame(view, Frame::new(bytes, len - frames.terminator_len))?;
            if view.is_unmoved() {
                if !chat.readable() {
                    // What is left at the end of file cannot wait.
                    return Ok(if end { Then::GoOn } else { Then::Stop });
                }
            } else if !view.goes_on() || (!chat.readable() && !end) {
                return Ok(Then::Stop);
            } else if view.has_changed() {
                continue 'find;
            }
            match ahead.next() {
                Some(next) => len = usize::from(*next),
                None => break,
            }
        }
        view.framer.note_used(&frames);
    }
    Ok(if !end && view.rest().is_empty() && !view.framer.is_due() {
        Then::Stop
    } else {
        Then::GoOn
    })
}

/// The default `found_frame`: the two steps of asynchat.
#[inline(always)]
pub(super) fn hand_over_in_steps<C: AsyncChat + ?Sized>(
    chat: &mut C,
    view: &mut ChatChannel<'_>,
    frame: Frame<'_>,
) -> Result {
    let (data, terminator_len) = (frame.data(), frame.terminator_len());
    if !data.is_empty() {
        if !view.may_step_back() {
            return hand_over_taken(chat, view, data, frame.terminator());
        }
        // A callback may do anything between the two steps, so the first is complete before it.
        view.step_back(data.len(), terminator_len);
        chat.collect_incoming_data(view, data)?;
        if !view.is_unmoved() || !chat.readable() {
            // The terminator is a step of its own.
            view.note_change();
            return Ok(());
        }
        view.step_on(terminator_len);
    }
    chat.found_terminator(view)
}

/// The same with a frame of a given number of bytes, or one whose terminator is gone for good.
#[cold]
fn hand_over_taken<C: AsyncChat + ?Sized>(
    chat: &mut C,
    view: &mut ChatChannel<'_>,
    data: &[u8],
    terminator: &[u8],
) -> Result {
    if terminator.is_empty() && view.may_begin_again() {
        view.framer.begin_counted_frame(data.len());
        chat.collect_incoming_data(view, data)?;
        if !view.is_unmoved() || !chat.readable() {
            view.note_change();
            return Ok(());
        }
        view.framer.end_count();
        return chat.found_terminator(view);
    }
    // The second call comes even if the first one fails: at once, or when the chat goes on.
    view.framer.owe_end(terminator);
    view.handing = Handing::WholeFrame;
    let outcome = chat.collect_incoming_data(view, data);
    view.handing = Handing::Piece;
    outcome?;
    view.note_change();
    if view.goes_on() && chat.readable() && view.framer.take_owed_end() {
        chat.found_terminator(view)?;
    }
    Ok(())
}

/// Hands out a frame that lies across reads, and every other case, step by step.
#[inline(never)]
fn run_stepwise<C: AsyncChat>(
    chat: &mut C,
    view: &mut ChatChannel<'_>,
    end: bool,
    slow: &mut Slow,
) -> Result<Then> {
    while !slow.empty_frames.are_enough() {
        let has_collected =
            view.collects() && !view.framer.is_skipping() && !view.framer.owes_end();
        let step = if end {
            view.framer.last_step()
        } else {
            view.step()
        };
        let mut whole_ones_next = false;
        match step {
            Step::Data(data) => hand_piece(chat, view, data)?,
            Step::Held(data) => hand_piece(chat, view, &data)?,
            Step::Terminator => {
                slow.empty_frames.note(view.rest().len());
                if has_collected {
                    take_collected(view, &mut slow.collected);
                    return Ok(Then::GoOn);
                }
                chat.found_terminator(view)?;
                whole_ones_next = !end && !view.rest().is_empty();
            }
            Step::TooLong => {
                view.drop_pieces();
                return Err(FrameTooLong {
                    channel: view.id(),
                    limit: view.framer.limit().unwrap_or(usize::MAX),
                }
                .into());
            }
            Step::NeedInput if end && view.has_pieces() => {
                view.framer.end_frame();
                hand_uncollected(chat, view, Handing::Tail)?;
            }
            Step::NeedInput => return Ok(Then::Stop),
        }
        // What is left at the end of file cannot wait.
        if !view.goes_on() || (!end && !chat.readable()) {
            return Ok(Then::Stop);
        }
        if whole_ones_next && view.framer.takes_whole_frames() {
            return Ok(Then::GoOn);
        }
    }
    Ok(Then::Stop)
}

/// Part of a frame, or input without frames.
#[inline]
fn hand_piece<C: AsyncChat>(chat: &mut C, view: &mut ChatChannel<'_>, data: &[u8]) -> Result {
    if !view.collects() {
        return chat.collect_incoming_data(view, data);
    }
    if view.framer.has_terminator() {
        view.collect(data);
        return Ok(());
    }
    if view.has_pieces() {
        view.collect(data);
        return hand_uncollected(chat, view, Handing::Piece);
    }
    chat.collect_incoming_data(view, data)
}

/// The frame of which all pieces are collected.
fn take_collected(view: &mut ChatChannel<'_>, collected: &mut Vec<u8>) {
    view.collect(&[]);
    *collected = view.take_pieces();
    view.collected = Some(collected.len());
    view.framer.append_terminator(collected);
}

/// Hands out what was collected and is no frame.
fn hand_uncollected<C: AsyncChat>(
    chat: &mut C,
    view: &mut ChatChannel<'_>,
    handing: Handing,
) -> Result {
    let bytes = view.take_pieces();
    view.handing = handing;
    let outcome = chat.collect_incoming_data(view, &bytes);
    view.handing = Handing::Piece;
    view.give_memory(bytes);
    outcome
}
