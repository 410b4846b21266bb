//! A filter between the socket and its channel: from the first byte, or from the middle of a conversation.

use std::io;

use crate::{
    error::closed,
    filter::Filter,
    net::io::Role,
    state::{
        channel::Channel,
        filtered::{Filtered, Stage},
        layer::Layer,
        phase::Phase,
        slot::Slot,
    },
};

/// # Filters
///
/// A [`Filter`] changes the bytes of a stream on their way between the socket and the channel. TLS is the one that most
/// programs need: the crate `asynchat-rustls` has it.
///
/// - Reading, pushing, producers, files and chats work as without a filter. Bytes and lengths are those of the plaintext.
/// - What is pushed is sealed when it is sent, so a long queue stays plaintext. Bytes that are sealed and unsent count for
///   [`outgoing_len`](Self::outgoing_len) and the watermarks.
/// - A file is read and sealed, not sent by the system.
/// - Callbacks wait for the handshake. It has a time limit ([`Builder::handshake_timeout`]), and a flood of handshakes
///   leaves channels that are open their turn ([`Builder::handshake_budget`]).
/// - The end of file is the filter's. A stream that ends without it [is truncated](Self::is_truncated).
/// - [`close_when_done`](Self::close_when_done) and [`shutdown_write`](Self::shutdown_write) send the filter's end before
///   that of the stream. [`close`](Self::close) sends none.
/// - If the filter fails in the middle, `handle_error` gets its error after what was received before, as long as the object
///   reads that. The channel ends then, as after [`close_when_done`](Self::close_when_done).
///
/// [`Builder::handshake_timeout`]: crate::Builder::handshake_timeout
/// [`Builder::handshake_budget`]: crate::Builder::handshake_budget
impl Channel<'_> {
    /// Puts a filter between the socket of this channel and its object.
    ///
    /// Before `handle_connect` (right after `register` or one of the `connect` methods) everything goes through the
    /// filter, and `handle_connect` comes when its handshake is done. If that fails, `handle_expt` gets
    /// [`HandshakeFailed`](crate::Exceptional::HandshakeFailed), and the channel is closed.
    ///
    /// On an open channel (STARTTLS) what was pushed before leaves as it is, and what is pushed from now on waits for the
    /// handshake. What has arrived and was not handed out goes to the filter, never to the object; so does what is given back
    /// with [`unread`](Self::unread) in the same callback. Nothing is read until
    /// [`handle_secured`](crate::Dispatcher::handle_secured) has been called. If the handshake fails, `handle_error` gets
    /// [`HandshakeFailed`](crate::HandshakeFailed), and the channel is closed; a reset is `handle_close`, as ever.
    /// [`replace`](Self::replace) beside `upgrade` gives the secured stream to a fresh object.
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Filter, Frame, Result};
    ///
    /// /// Says who it is only to a stream that is secured.
    /// struct Session {
    ///     is_secured: bool,
    /// }
    ///
    /// fn answer(chat: &mut ChatChannel<'_>, line: &[u8], filter: impl Filter) -> Result {
    ///     if line == b"STARTTLS" {
    ///         chat.push("220 ready\r\n"); // in clear
    ///         chat.replace(ChatDispatcher::collecting(Session { is_secured: true }, "\r\n", 1000));
    ///         chat.upgrade(filter)?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// impl AsyncChat for Session {
    ///     fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
    ///         assert!(self.is_secured);
    ///         chat.push("250 it is me\r\n"); // sealed
    ///         Ok(())
    ///     }
    /// #   fn found_frame(&mut self, _: &mut ChatChannel<'_>, _: Frame<'_>) -> Result { Ok(()) }
    /// }
    /// ```
    ///
    /// [`ChatChannel::upgrade`](crate::ChatChannel::upgrade) is the one for a chat, which
    /// [`with_chat`](crate::Registry::with_chat) reaches from outside: bytes that the chat holds go to the filter with it
    /// alone, and are lost with this one.
    ///
    /// # Errors
    /// `InvalidInput` for a channel that is no stream socket, that has a filter, whose peer has ended the stream, or
    /// that has ended its output or was reset; `NotConnected` for one that is closed.
    pub fn upgrade(&mut self, filter: impl Filter) -> io::Result<()> {
        let slot = self
            .registry
            .uncorked(self.id)
            .ok_or_else(|| closed(self.id))?;
        if let Some(refused) = refusal(slot) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refused));
        }
        self.attach(Box::new(Layer::new(Box::new(filter))));
        Ok(())
    }

    /// The filter of this channel, if it has one of type `F`.
    pub fn filter<F: Filter>(&self) -> Option<&F> {
        self.slot().ok()?.layer()?.filter().downcast_ref()
    }

    /// Whether the stream has ended without the end that its filter demands: anybody on the way may have cut it off.
    ///
    /// `handle_close` is called all the same. A chat never gets a frame that was cut off so, but the error
    /// [`Truncated`](crate::Truncated).
    pub fn is_truncated(&self) -> bool {
        self.slot().is_ok_and(Slot::is_truncated)
    }

    /// Takes an end of the stream without its filter's end for an ordinary end of file.
    ///
    /// For protocols with lengths of their own, as HTTP, whose peers often send no end. Does nothing on a channel without
    /// a filter.
    pub fn tolerate_truncation(&mut self) {
        if let Ok(slot) = self.slot_mut()
            && let Some(layer) = slot.layer_mut()
        {
            layer.tolerant = true;
        }
    }
}

impl Channel<'_> {
    fn attach(&mut self, layer: Box<Layer>) {
        let Ok(slot) = self.slot_mut() else { return };
        match &mut slot.phase {
            Phase::Connecting(attempt) => attempt.layer = Some(layer),
            Phase::Resolving(resolving) => resolving.layer = Some(layer),
            _ => {
                let mut filtered = Box::new(Filtered::new(layer));
                filtered.greeted = matches!(slot.phase, Phase::Open);
                // A server that is to be greeted says nothing in clear; the answer to a STARTTLS leaves as it is.
                if filtered.greeted
                    && let Some(queue) = slot.take_filled_queue()
                {
                    filtered.before = Some(queue);
                    filtered.stage = Stage::Clear;
                }
                slot.flags.take_read_request();
                self.registry.progress += 1;
                // A chat that is handing out stops here.
                self.registry.ownership_changes += 1;
                self.registry.begin_handshake(self.id, filtered);
            }
        }
    }
}

/// Why a channel takes no filter, if that is so.
fn refusal(slot: &Slot) -> Option<&'static str> {
    if slot.io.role() != Role::Stream {
        Some("only a stream takes a filter")
    } else if slot.layer().is_some() {
        Some("the channel has a filter")
    } else if slot.flags.is_finished() {
        Some("the peer has ended the stream")
    } else if slot.flags.is_output_ended() || slot.is_lingering() {
        Some("the channel has ended its output, or was reset")
    } else {
        None
    }
}
