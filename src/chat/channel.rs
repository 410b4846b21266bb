//! A channel with a terminator, as its chat sees it.

use std::{
    fmt, io, mem,
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytes::Bytes;

use super::{
    AsyncChat, Terminator,
    dispatcher::enter_as,
    extras::{Extras, Handing, Hold},
    framer::{Framer, Step, whole_frames::WholeFrames},
};
use crate::{
    channel::handover::Detached,
    error::{BoxError, Result},
    filter::Filter,
    id::ChannelId,
    state::{channel::Channel, dispatcher::Dispatcher, registry::Registry},
    time::timer::TimerId,
};

/// The argument of every [`AsyncChat`](crate::AsyncChat) callback: a [`Channel`] whose input is cut at a terminator. It
/// dereferences to the channel.
///
/// ```
/// use asynchat::{AsyncChat, ChatChannel, Result, Terminator};
///
/// /// Reads a length in decimal on a line of its own, then a body of that length.
/// #[derive(Default)]
/// struct Body {
///     data: Vec<u8>,
/// }
/// impl AsyncChat for Body {
///     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
///         self.data.extend_from_slice(data);
///         Ok(())
///     }
///     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
///         let data = std::mem::take(&mut self.data);
///         if let Terminator::Bytes(_) = chat.terminator() {
///             let length: u64 = std::str::from_utf8(&data)?.parse()?;
///             chat.set_terminator(length);
///         } else {
///             chat.push(data);
///             chat.set_terminator("\n");
///         }
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::chat(Body::default(), "\n");
/// peer.feed_bytewise("5\nhello0\n2\n, ");
/// assert_eq!(peer.output(), b"hello, ");
/// # }
/// ```
pub struct ChatChannel<'r> {
    channel: Channel<'r>,
    pub(super) framer: &'r mut Framer,
    extras: &'r mut Option<Box<Extras>>,
    /// Bytes that were read, as long as they are to be handed out.
    input: &'r [u8],
    /// How many of them are handed out.
    pub(super) at: usize,
    /// The length of a frame that is not in the input and comes next.
    pub(super) collected: Option<usize>,
    /// What `collect_incoming_data` is being called with.
    pub(super) handing: Handing,
    /// [`Registry::ownership_changes`] when this object was last known to be served.
    served_at: u64,
    /// The same, or [`MOVED`].
    unmoved_at: u64,
    /// The chat has changed how the next frame is found.
    changed: bool,
    /// The frame taken off the input last can be begun again, with its terminator in the input.
    may_step_back: bool,
    /// Other bytes come before the rest now.
    has_given_back: bool,
}

/// No number of changes of ownership: there is something to look at.
const MOVED: u64 = u64::MAX;

impl<'r> ChatChannel<'r> {
    pub(super) fn new(
        registry: &'r mut Registry,
        id: ChannelId,
        framer: &'r mut Framer,
        extras: &'r mut Option<Box<Extras>>,
        input: &'r [u8],
    ) -> Self {
        Self {
            served_at: registry.ownership_changes,
            unmoved_at: registry.ownership_changes,
            changed: false,
            may_step_back: false,
            channel: Channel::new(registry, id),
            framer,
            extras,
            input,
            at: 0,
            collected: None,
            handing: Handing::Piece,
            has_given_back: false,
        }
    }

    /// Whether nothing has happened that may keep this object from being served, or that changes how the next frame is
    /// found: one comparison for both.
    #[inline]
    pub(super) fn is_unmoved(&mut self) -> bool {
        self.channel.registry().ownership_changes == self.unmoved_at
    }

    /// Whether more of the bytes read may be handed to this object.
    #[inline]
    pub(super) fn goes_on(&mut self) -> bool {
        self.is_unmoved() || self.still_goes_on()
    }

    #[cold]
    fn still_goes_on(&mut self) -> bool {
        let changes = self.channel.registry().ownership_changes;
        if changes != self.served_at {
            if self.has_given_back
                || !self.channel.is_served()
                || self.channel.is_reading_paused()
                || (self.holds() && self.channel.is_congested())
            {
                return false;
            }
            self.served_at = changes;
        }
        if !self.changed {
            self.unmoved_at = changes;
        }
        true
    }

    /// The next frame is to be found anew.
    pub(super) fn note_change(&mut self) {
        self.changed = true;
        self.may_step_back = false;
        self.unmoved_at = MOVED;
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// The bytes that were read and are not handed out.
    #[inline]
    pub(super) fn rest(&self) -> &'r [u8] {
        &self.input[self.at..]
    }

    pub(super) fn take_rest(&mut self) -> &'r [u8] {
        let rest = self.rest();
        (self.input, self.at) = (&[], 0);
        self.note_change();
        rest
    }

    /// Whether a frame is begun of which pieces are collected.
    #[inline]
    pub(super) fn has_pieces(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| {
            extras
                .pieces
                .as_ref()
                .is_some_and(|pieces| !pieces.is_empty())
        })
    }

    /// Finds frames that lie whole in the input, if none is begun; they are good until something has changed.
    #[inline]
    pub(super) fn find_whole_frames(&mut self, frames: &mut WholeFrames) -> bool {
        self.changed = false;
        self.unmoved_at = self.served_at;
        let found = !self.rest().is_empty()
            && !self.has_pieces()
            && self
                .framer
                .find_whole_frames(&self.input[self.at..], frames);
        self.may_step_back = frames.terminator_len > 0 && !self.collects();
        found
    }

    /// The next step of the framer.
    pub(super) fn step(&mut self) -> Step<'r> {
        let mut rest = self.rest();
        let step = self.framer.step(&mut rest);
        self.at = self.input.len() - rest.len();
        step
    }

    /// Whether [`step_back`](Self::step_back) is possible.
    #[inline]
    pub(super) fn may_step_back(&self) -> bool {
        self.may_step_back
    }

    /// Whether the frame taken off the input last can be begun again. Not if it was collected, or if the chat has
    /// changed what follows before it passes the frame on.
    pub(super) fn may_begin_again(&self) -> bool {
        !self.collects() && !self.changed && !self.has_given_back
    }

    /// Has the frame taken off the input last begun and not ended, so that its terminator is still in the input.
    #[inline]
    pub(super) fn step_back(&mut self, len: usize, terminator_len: usize) {
        self.at -= terminator_len;
        self.framer.begin_frame(len);
    }

    /// Takes off the terminator that [`step_back`](Self::step_back) has left.
    #[inline]
    pub(super) fn step_on(&mut self, terminator_len: usize) {
        self.at += terminator_len;
        self.framer.end_frame();
    }

    /// Appends to the frame begun.
    pub(super) fn collect(&mut self, data: &[u8]) {
        let frames = &mut self.channel.registry().pool.frames;
        let Some(pieces) = self
            .extras
            .as_mut()
            .and_then(|extras| extras.pieces.as_mut())
        else {
            return;
        };
        if pieces.capacity() == 0 {
            let most = self.framer.limit().unwrap_or(usize::MAX);
            *pieces = frames.take_fitting(data.len(), most);
        }
        pieces.extend_from_slice(data);
    }

    /// The frame begun; it is none any more. Its memory has to be given back.
    pub(super) fn take_pieces(&mut self) -> Vec<u8> {
        let pieces = self
            .extras
            .as_mut()
            .and_then(|extras| extras.pieces.as_mut());
        pieces.map(mem::take).unwrap_or_default()
    }

    pub(super) fn drop_pieces(&mut self) {
        let pieces = self.take_pieces();
        self.give_memory(pieces);
    }

    /// What has arrived of a frame belongs to none: the rest of it will never come.
    pub(super) fn forget_frame(&mut self) {
        self.framer.discard();
        self.drop_pieces();
    }

    /// Memory of a frame, for the next one of any channel.
    pub(super) fn give_memory(&mut self, memory: Vec<u8>) {
        self.channel.registry().pool.frames.give(memory);
    }

    pub(super) fn collects(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.pieces.is_some())
    }

    /// Whether input waits while the queue is congested.
    fn holds(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.hold != Hold::Never)
    }

    /// The default `collect_incoming_data`.
    #[cold]
    pub(super) fn nobody_collects(&self, data: &[u8]) -> Result {
        let missing = match self.handing {
            Handing::Tail => {
                log::debug!(target: "asynchat::channel", "{}: {} bytes before the end of file are no frame", self.describe(), data.len());
                return Ok(());
            }
            Handing::WholeFrame => "found_frame is not written",
            Handing::Piece if self.collects() => {
                "there is no terminator, and collect_incoming_data, which would get the input, is not written"
            }
            Handing::Piece => {
                "collect_incoming_data is not written, and the dispatcher does not collect: \
                 write it, or use ChatDispatcher::collecting"
            }
        };
        Err(missing.into())
    }

    /// The default `found_terminator`.
    #[cold]
    pub(super) fn nobody_ends_frames(&self) -> Result {
        if self.collects() {
            // The end of a frame that was too long, which was reported.
            return Ok(());
        }
        Err(BoxError::from(
            "found_terminator is not written, and the dispatcher does not collect: \
             write it, or use ChatDispatcher::collecting",
        ))
    }

    /// Whether bytes were given back, which come before anything else.
    pub(super) fn has_unread(&self) -> bool {
        self.channel.slot().is_ok_and(|slot| slot.unread.is_some())
    }

    /// The current terminator. A [`Terminator::Count`] is the number of bytes still missing.
    pub fn terminator(&self) -> Terminator {
        self.framer.terminator()
    }

    /// Sets where the frame ends: a byte string, a number of bytes, or never.
    ///
    /// It applies to the bytes that follow, also to those already read. 0 ends a frame at once. Setting the same byte
    /// string again costs one comparison.
    ///
    /// ```
    /// # use asynchat::*;
    /// # fn example(chat: &mut ChatChannel<'_>, content_length: u64) {
    /// chat.set_terminator("\r\n\r\n");            // a header block
    /// chat.set_terminator(content_length);        // then its body
    /// chat.set_terminator(Terminator::None);      // then everything else as it comes
    /// # }
    /// ```
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        if self.framer.replace_terminator(terminator.into()) {
            self.note_change();
        }
    }

    /// Limits a frame to `bytes`; `None` is no limit. See
    /// [`ChatDispatcher::max_frame`](crate::ChatDispatcher::max_frame).
    pub fn set_max_frame(&mut self, bytes: Option<usize>) {
        self.framer.set_max_frame(bytes);
        self.note_change();
    }

    /// Whether `data`, just passed to `collect_incoming_data`, is all of its frame. If so, `found_terminator` comes
    /// next, unless the terminator is changed now. A handler needs no copy of a frame that arrives in one piece.
    ///
    /// ```
    /// # use asynchat::*;
    /// # #[derive(Default)] struct Session { line: Vec<u8> }
    /// # impl Session { fn command(&mut self, _: &[u8]) {} }
    /// # impl AsyncChat for Session {
    /// fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
    ///     if chat.is_whole_frame(data) {
    ///         self.command(data);
    ///     } else {
    ///         self.line.extend_from_slice(data);
    ///     }
    ///     Ok(())
    /// }
    ///
    /// fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
    ///     let line = std::mem::take(&mut self.line);
    ///     if !line.is_empty() {
    ///         self.command(&line);
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn is_whole_frame(&self, data: &[u8]) -> bool {
        self.handing == Handing::WholeFrame || self.framer.is_whole_frame(data)
    }

    /// Drops the bytes that were read and not yet handed out, and forgets the frame begun.
    ///
    /// ```
    /// # use asynchat::*;
    /// /// Abandons the command in progress, with its answer.
    /// fn abort(chat: &mut ChatChannel<'_>) {
    ///     chat.discard_input();
    ///     chat.discard_output();
    ///     chat.push("503 aborted\r\n");
    /// }
    /// ```
    pub fn discard_input(&mut self) {
        self.framer.discard();
        self.drop_pieces();
        self.take_rest();
        self.channel.discard_unread();
    }

    /// Drops the outgoing queue, as far as it is not sent.
    pub fn discard_output(&mut self) {
        self.channel.discard_output();
    }

    /// Gives bytes back, like [`Channel::unread`]. They come before the bytes not yet handed out.
    pub fn unread(&mut self, bytes: impl Into<Bytes>) {
        self.channel.give_back(&self.framer.take_held());
        self.channel.unread(bytes);
        // The loop that hands the rest out stops, and keeps the rest behind these bytes without a copy.
        self.has_given_back = true;
        self.may_step_back = false;
        self.channel.registry().ownership_changes += 1;
    }

    /// Like [`Channel::call_later`], lent the chat. Its type may be behind a `Box<dyn AsyncChat>`.
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChatChannel, Result, TimerId};
    /// use std::time::Duration;
    ///
    /// /// Answers after a second what was said last.
    /// #[derive(Default)]
    /// struct Slow {
    ///     line: Vec<u8>,
    ///     answer: Option<TimerId>,
    /// }
    /// impl AsyncChat for Slow {
    ///     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
    ///         self.line.extend_from_slice(data);
    ///         Ok(())
    ///     }
    ///     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
    ///         let line = std::mem::take(&mut self.line);
    ///         if let Some(earlier) = self.answer.take() {
    ///             chat.registry().cancel(earlier);
    ///         }
    ///         self.answer = Some(chat.call_later(Duration::from_secs(1), |slow: &mut Slow, chat| {
    ///             slow.answer = None;
    ///             chat.push(line);
    ///             chat.push("\r\n");
    ///             Ok(())
    ///         }));
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")]
    /// asynchat::testing::Harness::chat(Slow::default(), "\r\n").play("C: one\nC: two\nwait 1s\nS: two");
    /// ```
    pub fn call_later<C: AsyncChat>(
        &mut self,
        delay: Duration,
        f: impl FnOnce(&mut C, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> TimerId {
        self.channel.arm_once(
            delay,
            Box::new(move |object, channel| enter_as(object, channel, f)?),
        )
    }

    /// Like [`Channel::call_every`], lent the chat.
    pub fn call_every<C: AsyncChat>(
        &mut self,
        period: Duration,
        mut f: impl FnMut(&mut C, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> TimerId {
        self.channel.arm_every(period, move |object, channel| {
            enter_as(object, channel, &mut f)?
        })
    }

    /// Like [`Channel::detach`]. Bytes that were read and not yet handed out are in [`Detached::unread`], unless
    /// `close_when_done` has ended reading.
    pub fn detach(&mut self) -> Option<Detached> {
        self.give_back();
        self.channel.detach()
    }

    /// Like [`Channel::replace`]. Bytes that were read and not yet handed out go to the new object.
    ///
    /// ```
    /// use asynchat::{AsyncChat, Channel, ChatChannel, Dispatcher, Result};
    /// use std::io::Write;
    ///
    /// /// Any line switches to the echo protocol.
    /// struct Switch;
    /// impl AsyncChat for Switch {
    ///     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
    ///         Ok(())
    ///     }
    ///     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
    ///         chat.replace(Echo);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Echo;
    /// impl Dispatcher for Echo {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         Ok(channel.recv_with(Write::write_all)??)
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::chat(Switch, "\r\n");
    /// peer.feed("UPGRADE echo\r\nhello");
    /// assert_eq!(peer.output(), b"hello");
    /// # }
    /// ```
    pub fn replace(&mut self, d: impl Dispatcher) {
        self.give_back();
        self.channel.replace(d);
    }

    /// Like [`Channel::upgrade`]. What was read and not handed out goes to the filter, half a frame and half a terminator
    /// included.
    ///
    /// # Errors
    /// Like [`Channel::upgrade`]. Nothing has changed then.
    pub fn upgrade(&mut self, filter: impl Filter) -> io::Result<()> {
        self.channel.upgrade(filter)?;
        self.give_back();
        Ok(())
    }

    fn give_back(&mut self) {
        let held = self.framer.take_held();
        let rest = self.take_rest();
        self.channel.give_back(&held);
        self.channel.give_back(self.framer.owed_terminator());
        self.framer.discard();
        let pieces = self.take_pieces();
        self.channel.give_back(&pieces);
        self.give_memory(pieces);
        self.channel.keep_rest(rest);
    }
}

impl<'r> Deref for ChatChannel<'r> {
    type Target = Channel<'r>;

    fn deref(&self) -> &Channel<'r> {
        &self.channel
    }
}

impl<'r> DerefMut for ChatChannel<'r> {
    fn deref_mut(&mut self) -> &mut Channel<'r> {
        &mut self.channel
    }
}

/// Writes into the outgoing queue, as for [`Channel`].
impl std::io::Write for ChatChannel<'_> {
    #[inline]
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.channel.write(data)
    }

    #[inline]
    fn write_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.channel.write_all(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ChatChannel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatChannel")
            .field("channel", &self.channel)
            .field("framer", &self.framer)
            .field("rest", &self.rest().len())
            .finish()
    }
}
