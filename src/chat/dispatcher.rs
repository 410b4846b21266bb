//! From reads to frames: the dispatcher behind every chat (R16, R17).

use std::{
    any::{Any, TypeId},
    fmt,
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{
    AsyncChat, ChatChannel, Terminator,
    delivery::run,
    extras::{Extras, Hold},
    framer::Framer,
};
use crate::{
    closed::Closed,
    error::{BoxError, Panicked, Result, Truncated, VisitError},
    id::ChannelId,
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, Exceptional},
        registry::Registry,
    },
};

/// Makes a [`Dispatcher`] of an [`AsyncChat`].
///
/// ```
/// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Reactor, Result};
/// use std::net::{TcpListener, TcpStream};
///
/// #[derive(Default)]
/// struct Session {
///     frames: u32,
/// }
/// impl AsyncChat for Session {
///     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
///         Ok(())
///     }
///     fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
///         self.frames += 1;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let stream = TcpStream::connect(listener.local_addr()?)?;
/// let mut reactor = Reactor::new()?;
/// let dispatcher = ChatDispatcher::new(Session::default(), "\r\n").max_frame(8 * 1024);
/// assert_eq!(dispatcher.chat().frames, 0);
/// let id = reactor.register(stream, dispatcher)?;
/// // From elsewhere, the session is reached by the channel's id.
/// let frames = reactor.with_chat(id, |session: &mut Session, _chat| session.frames)?;
/// assert_eq!(frames, 0);
/// # Ok(())
/// # }
/// ```
pub struct ChatDispatcher<C> {
    chat: C,
    framer: Framer,
    /// In a box, because most sessions are without.
    extras: Option<Box<Extras>>,
}

impl<C: AsyncChat> ChatDispatcher<C> {
    /// Cuts the input of `chat` at `terminator`, without a limit to the length of a frame.
    pub fn new(chat: C, terminator: impl Into<Terminator>) -> Self {
        Self {
            chat,
            framer: Framer::new(terminator),
            extras: None,
        }
    }

    /// Cuts the input of `chat` at `terminator` and gives each frame whole to
    /// [`found_frame`](AsyncChat::found_frame), the only method that the chat has to have.
    ///
    /// A frame that lies whole in one read is lent from there. The pieces of any other are collected, up to `max_frame`
    /// bytes. A frame past that is [`FrameTooLong`](crate::FrameTooLong), as for [`max_frame`](Self::max_frame).
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Frame, Result};
    /// use std::io::Write;
    ///
    /// /// Sends every line back.
    /// struct Echo;
    /// impl AsyncChat for Echo {
    ///     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
    ///         Ok(chat.write_all(line.with_terminator())?)
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(ChatDispatcher::collecting(Echo, "\r\n", 1024));
    /// peer.feed_bytewise("hello\r\n\r\nwor");
    /// assert_eq!(peer.output(), b"hello\r\n\r\n");
    /// # }
    /// ```
    ///
    /// The two older methods get only what is no complete frame. `collect_incoming_data` gets the bytes that the end of
    /// file has cut off, all at once, and the input while there is no terminator. `found_terminator` is called at the
    /// end of a frame that was too long, if `handle_error` has kept the channel open. Their defaults ignore the cut
    /// frame and the end of the long one, and refuse input without a terminator.
    ///
    /// # Memory
    /// Between two frames a session has no buffer. Its memory goes to the next frame of any session; buffers of more
    /// than 128 KiB are freed.
    pub fn collecting(chat: C, terminator: impl Into<Terminator>, max_frame: usize) -> Self {
        let mut dispatcher = Self::new(chat, terminator).max_frame(max_frame);
        dispatcher.extras.get_or_insert_default().pieces = Some(Vec::new());
        dispatcher
    }

    /// Limits a frame to `bytes`.
    ///
    /// When a frame grows past the limit, `handle_error` gets [`FrameTooLong`](crate::FrameTooLong) once. If the handler
    /// keeps the channel open, the rest of that frame is discarded.
    ///
    /// The limit also applies to a frame of a given number of bytes. Without a terminator there are no frames, and the
    /// limit has no effect.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.framer.set_max_frame(Some(bytes));
        self
    }

    /// Hands out no input while the outgoing queue is [congested](Channel::is_congested), so that a peer that sends
    /// requests and does not read the answers is slowed down.
    ///
    /// From the answer on that takes the queue past its high watermark, frames wait until it has fallen to the low one,
    /// and [`handle_drain`](AsyncChat::handle_drain) was called. Those already read wait too. It stands beside
    /// `readable()`: input is handed out if both allow it. What others push counts from the next read on.
    ///
    /// It is a pause of reading. Frames that wait are lost if the peer resets the connection or its filter fails, and the
    /// peer's end behind them is announced ([`Exceptional::ReadClosed`]); a handler that closes there leaves them
    /// unanswered. It belongs to this dispatcher and its channel: an object around it has to pass `handle_drain` on.
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Frame, Result};
    /// use std::io::Write;
    ///
    /// /// Answers each line with a page.
    /// struct Pages;
    /// impl AsyncChat for Pages {
    ///     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, _: Frame<'_>) -> Result {
    ///         Ok(chat.write_all(&[b'.'; 4096])?)
    ///     }
    /// }
    ///
    /// let pages = ChatDispatcher::collecting(Pages, "\n", 80).hold_while_congested();
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(pages);
    /// peer.feed("one\ntwo\n");
    /// assert_eq!(peer.output().len(), 2 * 4096);
    /// # }
    /// ```
    #[must_use]
    pub fn hold_while_congested(mut self) -> Self {
        self.set_hold(Hold::WhileCongested);
        self
    }

    fn hold(&self) -> Hold {
        self.extras
            .as_ref()
            .map_or(Hold::Never, |extras| extras.hold)
    }

    #[cold]
    fn hold_if_congested(&mut self, channel: &Channel<'_>) -> bool {
        let holds = self.hold() == Hold::WhileCongested && channel.is_congested();
        if holds {
            self.set_hold(Hold::UntilDrained);
        }
        holds
    }

    fn set_hold(&mut self, hold: Hold) {
        self.extras.get_or_insert_default().hold = hold;
    }

    /// The wrapped object. [`Registry::with_chat`] lends it together with its channel.
    pub fn chat(&self) -> &C {
        &self.chat
    }

    /// The wrapped object.
    pub fn chat_mut(&mut self) -> &mut C {
        &mut self.chat
    }

    /// Runs `f` with the chat's own view of its channel.
    pub(crate) fn enter<R>(
        &mut self,
        channel: &mut Channel<'_>,
        f: impl FnOnce(&mut C, &mut ChatChannel<'_>) -> R,
    ) -> R {
        let id = channel.id();
        let mut view = ChatChannel::new(
            channel.registry(),
            id,
            &mut self.framer,
            &mut self.extras,
            &[],
        );
        let result = f(&mut self.chat, &mut view);
        // A terminator set here may be complete without another byte from the peer.
        if self.framer.is_due() && channel.is_served() {
            channel.request_read();
        }
        result
    }

    /// The stream was cut: what has arrived of a frame is none.
    #[cold]
    fn check_cut(&mut self, channel: &mut Channel<'_>) -> Result {
        let len = self.framer.begun();
        // What was given back comes first.
        if len == 0 || !channel.is_at_end() {
            return Ok(());
        }
        self.enter(channel, |_, view| view.forget_frame());
        let channel = channel.id();
        Err(Truncated { channel, len }.into())
    }

    /// Hands out the frames that `input`, or the end of file, completes. Returns the number of bytes used.
    fn hand_out(&mut self, channel: &mut Channel<'_>, input: &[u8], end: bool) -> (usize, Result) {
        let id = channel.id();
        let chat = &mut self.chat;
        let mut view = ChatChannel::new(
            channel.registry(),
            id,
            &mut self.framer,
            &mut self.extras,
            input,
        );
        let outcome = catch_unwind(AssertUnwindSafe(|| run(chat, &mut view, end)));
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(panic) if view.registry().policy.propagate_panics => resume_unwind(panic),
            // As an error, so that what was not handed out is kept.
            Err(panic) => Err(Panicked::new(panic).into()),
        };
        let used = input.len() - view.rest().len();
        if used < input.len() {
            self.hold_if_congested(channel);
        }
        if self.framer.is_due() && channel.is_served() {
            channel.request_read();
        }
        (used, outcome)
    }
}

impl<C: AsyncChat> Dispatcher for ChatDispatcher<C> {
    fn readable(&self) -> bool {
        self.hold() != Hold::UntilDrained && self.chat.readable()
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.enter(channel, C::handle_connect)
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let flags = channel.flags();
        // By what others have pushed.
        if flags.is_congested() && self.hold_if_congested(channel) {
            return Ok(());
        }
        if flags.is_read_requested() && channel.take_read_request() {
            let end = channel.is_at_end();
            let cut = end && channel.is_truncated();
            let (_, outcome) = self.hand_out(channel, &[], end && !cut);
            return if cut {
                outcome.and_then(|()| self.check_cut(channel))
            } else {
                outcome
            };
        }
        let mut cut = false;
        let handed = channel.recv_some(|channel, input, end| {
            cut = end && channel.is_truncated();
            self.hand_out(channel, input, end && !cut)
        });
        match handed {
            Ok(outcome) if cut => outcome.and_then(|()| self.check_cut(channel)),
            Ok(outcome) => outcome,
            // Nothing, told without an allocation.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.enter(channel, |chat, view| {
            view.forget_frame();
            chat.handle_secured(view)
        })
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.hold() == Hold::UntilDrained {
            self.set_hold(Hold::WhileCongested);
        }
        self.enter(channel, C::handle_drain)
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        self.enter(channel, |chat, view| chat.handle_expt(view, what))
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.enter(channel, C::handle_timeout)
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.enter(channel, C::handle_close)
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        self.enter(channel, |chat, view| chat.handle_error(view, error));
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.chat.handle_closed(registry, why);
    }

    fn type_name(&self) -> &'static str {
        self.chat.type_name()
    }
}

/// Lends the chat behind a channel, in a box or not, with its own view of the channel.
pub(super) fn enter_as<C: AsyncChat, R>(
    object: &mut (dyn Dispatcher + 'static),
    channel: &mut Channel<'_>,
    f: impl FnOnce(&mut C, &mut ChatChannel<'_>) -> R,
) -> Result<R, VisitError> {
    let id = channel.id();
    let object = object as &mut dyn Any;
    if object.is::<ChatDispatcher<C>>() {
        let own = object.downcast_mut::<ChatDispatcher<C>>();
        return own
            .map(|dispatcher| dispatcher.enter(channel, f))
            .ok_or(VisitError::WrongType(id));
    }
    object
        .downcast_mut::<ChatDispatcher<Box<dyn AsyncChat>>>()
        .and_then(|boxed| {
            boxed.enter(channel, |chat, view| {
                let chat = (&mut **chat as &mut dyn Any).downcast_mut::<C>()?;
                Some(f(chat, view))
            })
        })
        .ok_or(VisitError::WrongType(id))
}

/// # Chats
impl Registry {
    /// Lends the [`AsyncChat`] behind a channel: [`with`](Self::with) for chats. [`ChatDispatcher`] has an example.
    ///
    /// # Errors
    /// Those of [`with`](Self::with).
    ///
    /// # Panics
    /// If `f` panics.
    pub fn with_chat<C: AsyncChat, R>(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut C, &mut ChatChannel<'_>) -> R,
    ) -> Result<R, VisitError> {
        type Boxed = ChatDispatcher<Box<dyn AsyncChat>>;
        if TypeId::of::<ChatDispatcher<C>>() == TypeId::of::<Boxed>() || !self.holds::<Boxed>(id) {
            return self.with(id, |dispatcher: &mut ChatDispatcher<C>, channel| {
                dispatcher.enter(channel, f)
            });
        }
        self.with(id, |dispatcher: &mut Boxed, channel| {
            dispatcher.enter(channel, |chat, view| {
                let chat = (&mut **chat as &mut dyn Any).downcast_mut::<C>();
                chat.map(|chat| f(chat, view))
                    .ok_or(VisitError::WrongType(id))
            })
        })?
    }

    /// [`with_chat`](Self::with_chat) for an `f` that can fail: one `?` is for both.
    ///
    /// ```
    /// use asynchat::{AsyncChat, ChannelId, ChatChannel, Registry, Result};
    ///
    /// struct Account {
    ///     name: String,
    /// }
    /// # impl AsyncChat for Account {
    /// #     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result { Ok(()) }
    /// #     fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result { Ok(()) }
    /// # }
    /// fn greet(registry: &mut Registry, id: ChannelId) -> Result {
    ///     registry.try_with_chat(id, |account: &mut Account, chat| {
    ///         let first = account.name.split(' ').next().ok_or("no name")?;
    ///         chat.push(format!("hello, {first}\r\n"));
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`VisitError`] as for [`with`](Self::with), and the error of `f`.
    ///
    /// # Panics
    /// If `f` panics.
    pub fn try_with_chat<C: AsyncChat, R>(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut C, &mut ChatChannel<'_>) -> Result<R>,
    ) -> Result<R> {
        self.with_chat(id, f)?
    }
}

impl<C> fmt::Debug for ChatDispatcher<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatDispatcher")
            .field("chat", &std::any::type_name::<C>())
            .field("framer", &self.framer)
            .finish()
    }
}
