//! Tests of handlers without ports, threads or sleeps (feature `testing`).
//!
//! A [`Harness`] is the peer of one connection: it sends, ends or ownership_changes the connection, and says what came back.
//! The reactor under it is the real one, with its order of callbacks, its outgoing queue and its timers; only the
//! socket is memory, and the clock stands still until [`advance`](Harness::advance). Each call returns when the
//! reactor has nothing left to do, so the same input leads to the same callbacks.
//!
//! ```
//! use asynchat::{testing::Harness, *};
//! use std::{io::Write, time::Duration};
//!
//! struct Greeter(Vec<u8>);
//! impl AsyncChat for Greeter {
//!     fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
//!         chat.set_idle_timeout(Some(Duration::from_secs(60)));
//!         Ok(write!(chat, "220 ready\r\n")?)
//!     }
//!     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
//!         Ok(self.0.write_all(data)?)
//!     }
//!     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
//!         let line = String::from_utf8(std::mem::take(&mut self.0))?;
//!         match line.strip_prefix("HELO ") {
//!             Some(name) => write!(chat, "250 Hello {name}, on this fine day\r\n")?,
//!             None => write!(chat, "500 What?\r\n")?,
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut peer = Harness::chat(Greeter(Vec::new()), "\r\n");
//! peer.play(
//!     "S: 220 ready
//!      C: HELO x
//!      S: 250 Hello x, …
//!      C: EHLO x
//!      S: 500 What?
//!      wait 60s
//!      S closes",
//! );
//! ```
//!
//! # What it tests
//! A [`Dispatcher`] or [`ChatDispatcher`] behind one stream ([`Harness::new`], [`Harness::chat`]), one that connects
//! ([`Harness::connecting`]), or a listener with all its connections ([`Listener`]). What these connect to and listen on
//! by themselves is in memory too ([`Harness::dialled`]).
//!
//! # What it does not
//! Datagram sockets and descriptors a handler opens itself are real. An in-memory stream has no descriptor:
//! [`Channel::as_fd`](crate::Channel::as_fd) and [`Socket::into_fd`](crate::Socket::into_fd) fail, a
//! [`Stream`](crate::Stream)'s `as_fd` panics. Out-of-band data does not come. Only the reactor's time stands still
//! ([`Registry::now`]), not that of [`Instant::now`](std::time::Instant::now).

mod listener;
mod script;
pub(crate) mod world;

use std::{
    cell::{RefCell, RefMut},
    fmt, io,
    rc::Rc,
    time::Duration,
};

pub use listener::Listener;
pub use script::Mismatch;
use world::World;

use crate::{
    address::Address,
    builder::Builder,
    chat::{AsyncChat, ChatDispatcher, Terminator},
    error::BoxError,
    id::ChannelId,
    net::{
        io::Io,
        memory::{End, Pipe, Shared, documentation},
        socket::Socket,
    },
    reactor::Reactor,
    state::{dispatcher::Dispatcher, registry::Registry},
};

/// The peer of one connection under test; see [the module](self).
///
/// ```
/// use asynchat::{testing::Harness, *};
///
/// struct Echo;
/// impl Dispatcher for Echo {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.recv_with(std::io::Write::write_all)??;
///         Ok(())
///     }
/// }
///
/// let mut peer = Harness::new(Echo);
/// peer.feed("hello");
/// assert_eq!(peer.output(), b"hello");
/// peer.eof();
/// assert!(peer.is_closed());
/// ```
pub struct Harness {
    world: Rc<RefCell<World>>,
    pipe: Shared<Pipe>,
    line_end: Vec<u8>,
}

impl Harness {
    /// Puts `d` behind a stream as accepted, in a reactor of its own, and runs its `handle_connect`.
    ///
    /// A panic in a callback, a failed assertion say, leaves the call that caused it. Where `handle_error` is to have
    /// it, as in production, use [`with_builder`](Self::with_builder).
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
    pub fn new(d: impl Dispatcher) -> Self {
        Self::with_builder(Reactor::builder().propagate_panics(true), d)
    }

    /// The same with other sizes and policies of the reactor.
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
    pub fn with_builder(builder: Builder, d: impl Dispatcher) -> Self {
        let mut world = World::new(builder);
        let pipe = world.net.arrive(None).expect("no listener was asked for");
        let peer = pipe.lock().peer.inet();
        let socket = Socket {
            peer,
            ..Socket::own(Io::MemoryStream(End::of_stream(pipe.clone())))
        };
        let id = world.reactor.register(socket, d).expect("in memory");
        pipe.lock().id = Some(id);
        Self::around(Rc::new(RefCell::new(world)), pipe)
    }

    /// [`new`](Self::new) for a chat in a [`ChatDispatcher`].
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
    pub fn chat(chat: impl AsyncChat, terminator: impl Into<Terminator>) -> Self {
        Self::new(ChatDispatcher::new(chat, terminator))
    }

    /// Has `d` connect. The outcome is up to [`connected`](Self::connected),
    /// [`connect_failed`](Self::connect_failed), or the connection timeout.
    ///
    /// ```
    /// use asynchat::{testing::Harness, *};
    /// use std::io;
    ///
    /// struct Client;
    /// impl Dispatcher for Client {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.push("hello");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = Harness::connecting(Client);
    /// assert_eq!(server.output(), b"");
    /// server.connected();
    /// assert_eq!(server.output(), b"hello");
    ///
    /// let mut nobody = Harness::connecting(Client);
    /// nobody.connect_failed(io::ErrorKind::ConnectionRefused);
    /// assert!(nobody.is_closed());
    /// ```
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
    pub fn connecting(d: impl Dispatcher) -> Self {
        let mut world = World::new(Reactor::builder().propagate_panics(true));
        let to = Address::from(documentation(2, 7));
        world.reactor.connect(to, d).expect("in memory");
        let pipe = world.net.dialled().expect("a connection was begun");
        Self::around(Rc::new(RefCell::new(world)), pipe)
    }

    fn around(world: Rc<RefCell<World>>, pipe: Shared<Pipe>) -> Self {
        world.borrow_mut().settle();
        Self {
            world,
            pipe,
            line_end: b"\r\n".to_vec(),
        }
    }

    fn arrive(world: &Rc<RefCell<World>>, to: &Address) -> Option<Self> {
        let pipe = world.borrow().net.arrive(Some(to))?;
        Some(Self::around(Rc::clone(world), pipe))
    }

    fn next_dialled(world: &Rc<RefCell<World>>) -> Option<Self> {
        world.borrow_mut().settle();
        let pipe = world.borrow().net.dialled()?;
        Some(Self::around(Rc::clone(world), pipe))
    }

    /// Sends `bytes` in one piece: one `handle_read` for as much as the read buffer holds. What a closed channel, or
    /// one after [`eof`](Self::eof), would be sent is lost.
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) {
        self.act(|pipe| pipe.feed(bytes.as_ref()));
    }

    /// Sends `bytes` one at a time, each with time to be served.
    pub fn feed_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.feed([*byte]);
        }
    }

    /// Sends the end of file. What comes back still arrives.
    pub fn eof(&mut self) {
        self.act(Pipe::end);
    }

    /// Resets the connection; what was fed before and not read is still there to be read.
    pub fn reset(&mut self) {
        self.act(|pipe| pipe.break_off(io::ErrorKind::ConnectionReset.into()));
    }

    /// The connection that was begun is made.
    ///
    /// # Panics
    /// When none is being made.
    #[track_caller]
    pub fn connected(&mut self) {
        self.check_connecting();
        self.act(Pipe::connect);
    }

    /// The connection that was begun fails: `handle_expt` with this error, or the next address is tried, which
    /// [`dialled`](Self::dialled) then gives.
    ///
    /// # Panics
    /// When none is being made.
    #[track_caller]
    pub fn connect_failed(&mut self, error: impl Into<io::Error>) {
        self.check_connecting();
        self.act(|pipe| pipe.break_off(error.into()));
    }

    #[track_caller]
    fn check_connecting(&self) {
        assert!(
            self.pipe.lock().is_connecting(),
            "no connection is being made here; Harness::connecting and dialled begin with one"
        );
    }

    /// What was sent to this peer since the last call.
    pub fn output(&mut self) -> Vec<u8> {
        self.world.borrow_mut().settle();
        let output = self.pipe.lock().take_output();
        // A handler that waited for room has it now.
        self.world.borrow_mut().settle();
        output
    }

    /// How many bytes may wait for [`output`](Self::output) before the channel cannot send any more. Default: no
    /// limit. With 0 the peer has stopped reading.
    pub fn set_window(&mut self, bytes: usize) {
        self.act(|pipe| pipe.set_window(bytes));
    }

    /// Whether the channel's socket is closed. A channel that lingers after `close_when_done` is not, until
    /// [`eof`](Self::eof) or until the time for it has run out; it [has ended](Self::has_ended).
    pub fn is_closed(&mut self) -> bool {
        self.act(|pipe| pipe.closed)
    }

    /// Whether this peer sees an end of file after what [`output`](Self::output) gives.
    pub fn has_ended(&mut self) -> bool {
        self.act(|pipe| pipe.shut || pipe.closed)
    }

    /// Whether the channel was closed over input it had not read, which on TCP resets the connection and may destroy
    /// what was sent last.
    pub fn was_aborted(&mut self) -> bool {
        self.act(|pipe| pipe.aborted)
    }

    /// Lets time pass: timers, idle timeouts, connection timeouts and lingering run out, each at its own time and
    /// without waiting.
    pub fn advance(&mut self, time: Duration) {
        self.world.borrow_mut().advance(time);
    }

    /// The next connection that an object in this reactor has begun with [`Registry::connect`] and its kin.
    pub fn dialled(&mut self) -> Option<Self> {
        Self::next_dialled(&self.world)
    }

    /// A new peer connects to what listens on `address` in this reactor. `None` if nobody does.
    pub fn connect_to(&mut self, address: impl Into<Address>) -> Option<Self> {
        Self::arrive(&self.world, &address.into())
    }

    /// The address of the other end: this peer's.
    pub fn address(&self) -> Address {
        self.pipe.lock().peer.clone()
    }

    /// The channel.
    ///
    /// # Panics
    /// When no channel has been made for the connection.
    #[track_caller]
    pub fn id(&self) -> ChannelId {
        let id = self.pipe.lock().id;
        id.expect("the connection has no channel")
    }

    /// The registry the channel lives in. What is done to it takes effect with the next call on the kit; give it back
    /// before that.
    pub fn registry(&mut self) -> RefMut<'_, Registry> {
        RefMut::map(self.world.borrow_mut(), |world| &mut *world.reactor)
    }

    fn act<R>(&mut self, f: impl FnOnce(&mut Pipe) -> R) -> R {
        let mut world = self.world.borrow_mut();
        world.settle();
        let result = f(&mut self.pipe.lock());
        world.settle();
        result
    }
}

impl Registry {
    /// So that a dialogue that goes wrong can tell why.
    pub(crate) fn record_error(&self, id: ChannelId, error: &BoxError) {
        if let Some(slot) = self.slot(id)
            && let Io::MemoryStream(end) = &slot.io
            && let Some(pipe) = end.pipe()
        {
            pipe.lock().failure = Some(error.to_string());
        }
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("pipe", &self.pipe).finish()
    }
}
