//! A channel with a terminator, as its chat sees it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytes::Bytes;

use super::{AsyncChat, Terminator, dispatcher::enter_as, framer::Framer};
use crate::{
    channel::handover::Detached,
    error::Result,
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
    /// Bytes that were read and not yet handed out.
    pub(super) rest: &'r [u8],
    /// Changes when this channel may have been closed, replaced or detached, or may have bytes given back.
    ownership_changes: u64,
    /// Other bytes come before the rest now.
    has_given_back: bool,
}

impl<'r> ChatChannel<'r> {
    pub(super) fn new(
        registry: &'r mut Registry,
        id: ChannelId,
        framer: &'r mut Framer,
        rest: &'r [u8],
    ) -> Self {
        Self {
            ownership_changes: registry.ownership_changes,
            channel: Channel::new(registry, id),
            framer,
            rest,
            has_given_back: false,
        }
    }

    /// Whether more of the bytes read may be handed to this object.
    #[inline]
    pub(super) fn goes_on(&mut self) -> bool {
        self.channel.registry().ownership_changes == self.ownership_changes || self.still_goes_on()
    }

    /// Whether bytes were given back, which come before anything else.
    pub(super) fn has_unread(&self) -> bool {
        self.channel.slot().is_ok_and(|slot| slot.unread.is_some())
    }

    #[cold]
    fn still_goes_on(&mut self) -> bool {
        let goes_on =
            !self.has_given_back && self.channel.is_served() && !self.channel.is_reading_paused();
        // If not, the next question gets the same answer.
        if goes_on {
            self.ownership_changes = self.channel.registry().ownership_changes;
        }
        goes_on
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
        self.framer.set_terminator(terminator.into());
    }

    /// Limits a frame to `bytes`; `None` is no limit. See
    /// [`ChatDispatcher::max_frame`](crate::ChatDispatcher::max_frame).
    pub fn set_max_frame(&mut self, bytes: Option<usize>) {
        self.framer.set_max_frame(bytes);
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
        self.framer.is_whole(data.len())
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
        self.rest = &[];
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

    /// Like [`Channel::detach`]. Bytes that were read and not yet handed out are in [`Detached::unread`].
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

    fn give_back(&mut self) {
        let held = self.framer.take_held();
        let rest = std::mem::take(&mut self.rest);
        self.framer.discard();
        self.channel.give_back(&held);
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
            .field("rest", &self.rest.len())
            .finish()
    }
}
