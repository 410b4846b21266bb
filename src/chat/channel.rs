//! A channel as its chat sees it: with a terminator.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;

use super::{Terminator, framer::Framer};
use crate::{
    channel::handover::Detached,
    id::ChannelId,
    state::{channel::Channel, dispatcher::Dispatcher, registry::Registry},
};

/// The argument of every [`AsyncChat`](crate::AsyncChat) callback: a [`Channel`] whose input is cut at a terminator.
pub struct ChatChannel<'r> {
    channel: Channel<'r>,
    pub(super) framer: &'r mut Framer,
    /// What was read and not yet handed out.
    pub(super) rest: &'r [u8],
    /// Changes when this channel may have been closed, replaced or detached.
    ownership_changes: u64,
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
        }
    }

    /// Whether more of what was read may be handed to this object.
    #[inline]
    pub(super) fn goes_on(&mut self) -> bool {
        self.channel.registry().ownership_changes == self.ownership_changes || self.still_goes_on()
    }

    /// Whether bytes were given back, to come before anything else.
    pub(super) fn has_unread(&self) -> bool {
        self.channel.slot().is_ok_and(|slot| slot.unread.is_some())
    }

    #[cold]
    fn still_goes_on(&mut self) -> bool {
        self.ownership_changes = self.channel.registry().ownership_changes;
        self.channel.is_served()
    }

    /// The terminator in force; a [`Terminator::Count`] says how many bytes are still missing.
    pub fn terminator(&self) -> Terminator {
        self.framer.terminator()
    }

    /// Sets where the frame ends: a byte string, a number of bytes, or never.
    ///
    /// Applies to the bytes that follow, also to those already read (R16). `0` fires at once. Setting the same
    /// again costs nothing.
    ///
    /// ```
    /// # use asynchat::*;
    /// # fn example(chat: &mut ChatChannel<'_>, content_length: u64) {
    /// chat.set_terminator("\r\n\r\n");            // a header block
    /// chat.set_terminator(content_length);        // then its body
    /// chat.set_terminator(Terminator::None);      // then whatever comes
    /// # }
    /// ```
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.framer.set_terminator(terminator.into());
    }

    /// Limits a frame to so many bytes; `None`: no limit. See [`ChatDispatcher::max_frame`](crate::ChatDispatcher::max_frame).
    pub fn set_max_frame(&mut self, bytes: Option<usize>) {
        self.framer.set_max_frame(bytes);
    }

    /// Whether `data`, just given to `collect_incoming_data`, is all of its frame: unless the terminator is changed
    /// now, `found_terminator` comes next. So a handler can do without a copy of every frame that arrives in one
    /// piece.
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

    /// Drops what was read and not yet handed out, and forgets the frame begun.
    pub fn discard_input(&mut self) {
        self.framer.discard();
        self.rest = &[];
        self.channel.discard_unread();
    }

    /// Drops what is queued and not yet sent.
    pub fn discard_output(&mut self) {
        self.channel.discard_output();
    }

    /// Like [`Channel::unread`]: the bytes come again before anything not yet handed out.
    pub fn unread(&mut self, bytes: impl Into<Bytes>) {
        let held = self.framer.take_held();
        let rest = std::mem::take(&mut self.rest);
        self.channel.keep_rest(Bytes::copy_from_slice(rest));
        self.channel.unread(held);
        self.channel.unread(bytes);
    }

    /// Like [`Channel::detach`]; what was read and not yet handed out is in [`Detached::unread`].
    pub fn detach(&mut self) -> Option<Detached> {
        self.give_back();
        self.channel.detach()
    }

    /// Like [`Channel::replace`]; what was read and not yet handed out goes to the new object.
    pub fn replace(&mut self, d: impl Dispatcher) {
        self.give_back();
        self.channel.replace(d);
    }

    fn give_back(&mut self) {
        let held = self.framer.take_held();
        let rest = std::mem::take(&mut self.rest);
        self.framer.discard();
        self.channel.unread(held);
        self.channel.keep_rest(Bytes::copy_from_slice(rest));
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

/// The outgoing queue, as for [`Channel`].
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
