//! asynchat: input cut into frames at a terminator.

mod channel;
mod delivery;
mod dispatcher;
mod extras;
mod frame;
mod framer;
mod terminator;

pub use channel::ChatChannel;
pub use dispatcher::ChatDispatcher;
pub use frame::Frame;
pub use framer::{FrameEvent, Framer, Piece};
pub use terminator::Terminator;

use std::any::Any;

use crate::{
    closed::Closed,
    error::{BoxError, Result},
    state::{
        dispatcher::{Exceptional, defaults},
        registry::Registry,
    },
};

/// The callbacks of one channel whose input comes in frames.
///
/// A [`ChatDispatcher`] makes a dispatcher of the object, in one of two ways:
///
/// - [`ChatDispatcher::new`]: bytes up to the terminator go to
///   [`collect_incoming_data`](Self::collect_incoming_data), in as many pieces as they arrive in. Then
///   [`found_terminator`](Self::found_terminator) is called. Write both, and `found_frame` to save calls.
/// - [`ChatDispatcher::collecting`]: the dispatcher collects the pieces and calls [`found_frame`](Self::found_frame)
///   with each frame. Write that one.
///
/// ```
/// use asynchat::{AsyncChat, ChatChannel, Result};
/// use std::io::Write;
///
/// /// Answers each line with its length.
/// #[derive(Default)]
/// struct Lengths {
///     length: usize,
/// }
///
/// impl AsyncChat for Lengths {
///     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
///         self.length += data.len();
///         Ok(())
///     }
///
///     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
///         write!(chat, "{}\r\n", self.length)?;
///         self.length = 0;
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")]
/// asynchat::testing::Harness::chat(Lengths::default(), "\r\n").play("C: hello\nS: 5");
/// ```
///
/// # Order, errors, re-entrancy
/// Those of [`Dispatcher`](crate::Dispatcher). If a callback fails and `handle_error` keeps the channel open, the bytes
/// that were read and not handed out come next.
#[allow(unused_variables, reason = "defaults keep the documented names")]
pub trait AsyncChat: Any {
    /// Part of the current frame, at least one byte. The bytes are lent: copy those you keep.
    ///
    /// A frame may come in any number of pieces. Without a terminator all input comes here.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors). The default fails, as in Python, but for a frame that the end of
    /// file has cut off and that a [`ChatDispatcher::collecting`] has collected.
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        chat.nobody_collects(data)
    }

    /// The frame is complete. The terminator itself is not handed out.
    ///
    /// A terminator or limit set here applies to the bytes that follow, also to those already read. A
    /// [`Terminator::Count`] that is used up has become [`Terminator::None`].
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors). The default fails, as in Python, but in a
    /// [`ChatDispatcher::collecting`], where it does nothing.
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.nobody_ends_frames()
    }

    /// A complete frame, with its terminator. Both are taken off the input, so what is set here applies to the bytes
    /// behind the terminator. A [`Terminator::Count`] has become [`Terminator::None`].
    ///
    /// With [`ChatDispatcher::collecting`] every frame comes here. With [`ChatDispatcher::new`] those come here that
    /// lie whole in one read, which most do, but for an empty `Count(0)`; the other two methods get the rest. The
    /// default hands the frame to these two, so that a chat that has only them sees no difference.
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Frame, Result};
    /// use std::io::Write;
    ///
    /// /// Adds up the numbers of each line.
    /// struct Sums;
    /// impl AsyncChat for Sums {
    ///     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
    ///         let numbers = std::str::from_utf8(&line)?.split_whitespace();
    ///         let sum = numbers.map(str::parse::<i32>).sum::<Result<i32, _>>()?;
    ///         Ok(writeln!(chat, "{sum}")?)
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(ChatDispatcher::collecting(Sums, "\n", 1000));
    /// peer.feed_bytewise("1 2 3\n-1 1\n");
    /// assert_eq!(peer.output(), b"6\n0\n");
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    #[inline]
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        delivery::hand_over_in_steps(self, chat, frame)
    }

    /// Whether input is wanted. Default: true. Asked after every callback. If it turns false in the middle of what was
    /// read, the rest is handed out once it is true again; see [`Channel::touch`](crate::Channel::touch).
    fn readable(&self) -> bool {
        true
    }

    /// See [`Dispatcher::handle_connect`](crate::Dispatcher::handle_connect).
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }

    /// See [`Dispatcher::handle_secured`](crate::Dispatcher::handle_secured). Half a frame that was received before the
    /// upgrade is forgotten; a [`Terminator::Count`] that was begun is not set back.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }

    /// See [`Dispatcher::handle_drain`](crate::Dispatcher::handle_drain).
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }

    /// See [`Dispatcher::handle_timeout`](crate::Dispatcher::handle_timeout). Default: close.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        defaults::timeout(chat);
        Ok(())
    }

    /// See [`Dispatcher::handle_expt`](crate::Dispatcher::handle_expt). Default: a line in the log.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        defaults::expt(chat, what);
        Ok(())
    }

    /// See [`Dispatcher::handle_close`](crate::Dispatcher::handle_close). Default: `close_when_done`.
    ///
    /// A frame cut short by the end of file has been handed to `collect_incoming_data` before.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.close_when_done();
        Ok(())
    }

    /// See [`Dispatcher::handle_error`](crate::Dispatcher::handle_error). Default: log and close.
    ///
    /// A frame longer than `max_frame` comes here as [`FrameTooLong`](crate::FrameTooLong). If the handler keeps the
    /// channel open, the rest of that frame is discarded and `found_terminator` is called at its end.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        defaults::error(chat, error);
    }

    /// See [`Dispatcher::handle_closed`](crate::Dispatcher::handle_closed). Default: nothing.
    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {}

    /// The name of this object in log lines and [`ChannelInfo`](crate::ChannelInfo). Default: the path of its type.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// So that a factory may return objects of different types, each in a [`ChatDispatcher`] of its own.
/// [`Registry::with_chat`](crate::Registry::with_chat) finds an object by its own type, in a box or not.
impl AsyncChat for Box<dyn AsyncChat> {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        (**self).collect_incoming_data(chat, data)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).found_terminator(chat)
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        (**self).found_frame(chat, frame)
    }

    fn readable(&self) -> bool {
        (**self).readable()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).handle_connect(chat)
    }

    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).handle_secured(chat)
    }

    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).handle_drain(chat)
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).handle_timeout(chat)
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        (**self).handle_expt(chat, what)
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        (**self).handle_close(chat)
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        (**self).handle_error(chat, error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        (**self).handle_closed(registry, why);
    }

    fn type_name(&self) -> &'static str {
        (**self).type_name()
    }
}
