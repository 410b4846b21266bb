//! asynchat: input cut into frames at a terminator, for objects that care about frames and not about reads.

mod channel;
mod dispatcher;
mod framer;
mod terminator;

pub use channel::ChatChannel;
pub use dispatcher::ChatDispatcher;
pub use terminator::Terminator;

use crate::{
    error::{BoxError, Result},
    state::dispatcher::{Exceptional, defaults},
};

/// The callbacks of one channel whose input comes in frames.
///
/// Bytes up to the terminator go to [`collect_incoming_data`](Self::collect_incoming_data), in as many pieces as
/// they arrive in; then comes [`found_terminator`](Self::found_terminator). Wrap the object in a
/// [`ChatDispatcher`] to register it.
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
/// # let mut reactor = asynchat::Reactor::new().unwrap();
/// # let (here, _there) = std::net::TcpListener::bind("127.0.0.1:0").map(|l| {
/// #     (std::net::TcpStream::connect(l.local_addr().unwrap()).unwrap(), l) }).unwrap();
/// reactor.register(here, asynchat::ChatDispatcher::new(Lengths::default(), "\r\n")).unwrap();
/// ```
///
/// # Order, errors, re-entrancy
/// As for [`Dispatcher`](crate::Dispatcher). A failed callback leaves what was read and not yet handed out; it
/// comes next, if `handle_error` keeps the channel open.
#[allow(unused_variables, reason = "defaults keep the documented names")]
pub trait AsyncChat: 'static {
    /// Some bytes of the current frame; never none. They are lent: copy what is to be kept.
    ///
    /// A frame may come in any number of pieces. Without a terminator everything comes here.
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result;

    /// The frame is complete; the terminator itself is not handed out.
    ///
    /// What is set here (terminator, `max_frame`) applies to the bytes that follow, also to those already read. A
    /// [`Terminator::Count`] that is used up has become [`Terminator::None`] (R16).
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result;

    /// Whether input is wanted. Default: always. Asked after every callback: a chat that stops wanting input in the
    /// middle of what was read gets the rest when it wants again; see [`Channel::touch`](crate::Channel::touch).
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
        defaults::expt(chat, &what);
        Ok(())
    }

    /// See [`Dispatcher::handle_close`](crate::Dispatcher::handle_close). Default: `close_when_done`.
    ///
    /// A frame cut short by the end of file has been handed to `collect_incoming_data` before (R17).
    ///
    /// # Errors
    /// See [`Dispatcher`](crate::Dispatcher#errors).
    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.close_when_done();
        Ok(())
    }

    /// See [`Dispatcher::handle_error`](crate::Dispatcher::handle_error). Default: log and close.
    ///
    /// A frame past `max_frame` comes here as [`FrameTooLong`](crate::FrameTooLong). If the channel is kept open the
    /// rest of that frame is skipped and its `found_terminator` comes as usual.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        defaults::error(chat, &error);
    }
}
