//! Tests of handlers without ports, threads or sleeps (feature `testing`).
//!
//! A [`Harness`] is the peer of one connection: it sends, ends or resets the connection, and gives the bytes that came
//! back. The reactor under it is the real one, with its order of callbacks, its outgoing queue and its timers. Only the
//! socket is in memory, and the clock stands still until [`advance`](Harness::advance). Each call returns when the
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
//! ([`Harness::connecting`]), or a listener with all its connections ([`Listener`]). Connections and listeners that
//! these open themselves are in memory too ([`Harness::dialled`], [`Harness::connect_to`]). Host names are those of
//! [`Names`].
//!
//! # Filters
//! Where a handler [upgrades](crate::Channel::upgrade) its channel, [`feed`](Harness::feed) and
//! [`output`](Harness::output) carry what is on the wire. [`Harness::upgrade`] puts the other side's filter on the peer:
//! then they carry plaintext, and a dialogue reads as without a filter.
//!
//! # Limits
//! - Datagram sockets and descriptors that a handler opens itself are real.
//! - An in-memory stream has no descriptor: [`Channel::as_fd`](crate::Channel::as_fd) and
//!   [`Socket::into_fd`](crate::Socket::into_fd) fail, and `as_fd` of a [`Stream`](crate::Stream) panics.
//! - There is no out-of-band data.
//! - Only the reactor's time ([`Registry::now`]) stands still, not that of [`Instant::now`](std::time::Instant::now).

mod listener;
mod names;
mod peer_filter;
mod script;
pub(crate) mod world;

use std::{
    cell::{RefCell, RefMut},
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

pub use listener::Listener;
pub use names::Names;
use peer_filter::PeerFilter;
pub use script::Mismatch;
use world::World;

use crate::{
    address::{Address, given},
    builder::Builder,
    chat::{AsyncChat, ChatDispatcher, Terminator},
    closed::Cause,
    error::BoxError,
    filter::Filter,
    id::ChannelId,
    net::{
        io::Io,
        memory::{End, Pipe, Shared, documentation},
    },
    reactor::Reactor,
    state::{dispatcher::Dispatcher, registry::Registry, socket::Socket},
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
/// peer.feed_bytewise("hello");
/// assert_eq!(peer.output(), b"hello");
/// peer.eof();
/// assert!(peer.is_closed());
///
/// let mut peer = Harness::new(Echo);
/// peer.reset();
/// assert!(peer.is_closed() && peer.output().is_empty());
/// ```
pub struct Harness {
    world: Rc<RefCell<World>>,
    pipe: Shared<Pipe>,
    filter: Option<PeerFilter>,
    line_end: Vec<u8>,
}

impl Harness {
    /// Puts `d` behind an accepted stream, in a reactor of its own, and runs its `handle_connect`.
    ///
    /// A panic in a callback, such as a failed assertion, leaves the call that caused it. To pass it to `handle_error`
    /// as in production, use [`with_builder`](Self::with_builder).
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
    pub fn new(d: impl Dispatcher) -> Self {
        Self::with_builder(Reactor::builder().propagate_panics(true), d)
    }

    /// Like [`new`](Self::new), with other sizes and policies of the reactor.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// struct Broken;
    /// impl Dispatcher for Broken {
    ///     fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
    ///         panic!("no")
    ///     }
    /// }
    ///
    /// let mut peer = Harness::with_builder(Reactor::builder(), Broken);
    /// peer.feed("hello");
    /// assert!(peer.is_closed()); // by the default `handle_error`
    /// ```
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
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

    /// Like [`new`](Self::new), for a chat in a [`ChatDispatcher::new`]. One that [collects](ChatDispatcher::collecting)
    /// goes to `new`.
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
    pub fn chat(chat: impl AsyncChat, terminator: impl Into<Terminator>) -> Self {
        Self::new(ChatDispatcher::new(chat, terminator))
    }

    /// Has `d` connect. [`connected`](Self::connected), [`connect_failed`](Self::connect_failed) or the connection
    /// timeout decides the outcome.
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
    /// If the system has no descriptor for a poller.
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
            filter: None,
            line_end: b"\r\n".to_vec(),
        }
    }

    fn arrive(world: &Rc<RefCell<World>>, to: &Address) -> Option<Self> {
        let pipe = world.borrow().net.arrive(Some(to))?;
        Some(Self::around(Rc::clone(world), pipe))
    }

    fn arrive_from(world: &Rc<RefCell<World>>, peer: SocketAddr, to: &Address) -> Option<Self> {
        let pipe = world.borrow().net.arrive_from(peer, Some(to))?;
        Some(Self::around(Rc::clone(world), pipe))
    }

    fn next_dialled(world: &Rc<RefCell<World>>) -> Option<Self> {
        world.borrow_mut().settle();
        let pipe = world.borrow().net.dialled()?;
        Some(Self::around(Rc::clone(world), pipe))
    }

    /// Sends `bytes` in one piece: `handle_read` is called once for each read buffer full. Bytes for a closed channel,
    /// and bytes after [`eof`](Self::eof), are lost.
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.filter {
            None => self.act(|pipe| pipe.feed(bytes.as_ref())),
            Some(filter) => {
                filter.send(bytes.as_ref());
                self.pass_on();
            }
        }
    }

    /// Sends `bytes` one at a time, and lets the handler read each before the next.
    pub fn feed_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.feed([*byte]);
        }
    }

    /// Sends the end of file, after the end of this peer's [filter](Self::upgrade). The channel can still send.
    pub fn eof(&mut self) {
        if let Some(filter) = &mut self.filter {
            filter.end();
            self.pass_on();
        }
        self.truncate();
    }

    /// Sends the end of file without the end of this peer's [filter](Self::upgrade), which the channel calls
    /// [truncated](crate::Channel::is_truncated).
    pub fn truncate(&mut self) {
        self.act(Pipe::end);
    }

    /// Puts a filter on this peer: the other side of the one that [`Channel::upgrade`](crate::Channel::upgrade) puts on
    /// the channel. From here on [`feed`](Self::feed), [`output`](Self::output) and [`play`](Self::play) carry plaintext.
    ///
    /// If the channel has its filter, the handshake is done when this returns. Otherwise the handshake goes on with each
    /// `feed` and `output`, and what is fed meanwhile waits. A filter that fails sends its alert, and nothing else passes.
    ///
    /// ```
    /// use asynchat::{testing::Harness, *};
    /// use std::io::IoSlice;
    ///
    /// /// Turns all bits.
    /// struct Turn;
    /// impl Filter for Turn {
    ///     fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
    ///         plain.extend(input.iter().map(|byte| !byte));
    ///         Ok(())
    ///     }
    ///     fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
    ///         wire.extend(plain[0].iter().map(|byte| !byte));
    ///         Ok(plain[0].len())
    ///     }
    ///     fn end(&mut self, _: &mut Vec<u8>) {}
    ///     fn phase(&self) -> FilterPhase {
    ///         FilterPhase::Open
    ///     }
    /// }
    ///
    /// struct Session;
    /// impl AsyncChat for Session {
    ///     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
    ///         if &*frame == b"STARTTLS" {
    ///             chat.push("220 ready\r\n");
    ///             chat.upgrade(Turn)?;
    ///         } else {
    ///             chat.push("250 done\r\n");
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut peer = Harness::new(ChatDispatcher::collecting(Session, "\r\n", 1024));
    /// peer.play(
    ///     "C: STARTTLS
    ///      S: 220 ready",
    /// );
    /// peer.upgrade(Turn);
    /// peer.play(
    ///     "C: NOOP
    ///      S: 250 done",
    /// );
    /// ```
    pub fn upgrade(&mut self, filter: impl Filter) {
        self.filter = Some(PeerFilter::new(filter));
        self.pass_on();
    }

    /// Sends what the peer's filter gives. In a handshake it also gets what the channel has sent.
    fn pass_on(&mut self) {
        loop {
            let Some(filter) = &mut self.filter else {
                return;
            };
            let handshaking = filter.is_handshaking();
            let wire = filter.wire();
            self.act(|pipe| pipe.feed(&wire));
            if !handshaking || !self.take_in() && wire.is_empty() {
                return;
            }
        }
    }

    /// The peer's filter takes what the channel has sent. False if that is nothing.
    fn take_in(&mut self) -> bool {
        let wire = self.wire();
        if let Some(filter) = &mut self.filter
            && !wire.is_empty()
        {
            filter.take(&wire);
        }
        !wire.is_empty()
    }

    /// Resets the connection. Bytes that were fed and not read can still be read.
    pub fn reset(&mut self) {
        self.act(|pipe| pipe.break_off(io::ErrorKind::ConnectionReset.into()));
    }

    /// Lets the connection attempt succeed.
    ///
    /// # Panics
    /// If no connection attempt is under way.
    #[track_caller]
    pub fn connected(&mut self) {
        self.check_connecting();
        self.act(Pipe::connect);
    }

    /// Lets the connection attempt fail with this error. `handle_expt` gets it, or the next address is tried;
    /// [`dialled`](Self::dialled) then gives that attempt.
    ///
    /// # Panics
    /// If no connection attempt is under way.
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

    /// The bytes sent to this peer since the last call.
    pub fn output(&mut self) -> Vec<u8> {
        if self.filter.is_none() {
            return self.wire();
        }
        while self.take_in() {
            self.pass_on();
        }
        let filter = self.filter.as_mut();
        filter.map_or_else(Vec::new, PeerFilter::plain)
    }

    fn wire(&mut self) -> Vec<u8> {
        self.world.borrow_mut().settle();
        let output = self.pipe.lock().take_output();
        // A handler that waited for room has it now.
        self.world.borrow_mut().settle();
        output
    }

    /// Sets how many bytes may wait for [`output`](Self::output) before the channel's socket is full. Default: no
    /// limit. With 0 the peer has stopped reading. [`Channel`](crate::Channel#limits-of-the-outgoing-queue) has an
    /// example.
    pub fn set_window(&mut self, bytes: usize) {
        self.act(|pipe| pipe.set_window(bytes));
    }

    /// How many writes the channel's socket has taken so far. What is joined takes one.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// struct Greeter;
    /// impl Dispatcher for Greeter {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.push("hello ");
    ///         channel.push("there");
    ///         Ok(())
    ///     }
    /// }
    /// let mut peer = Harness::new(Greeter);
    /// assert_eq!(peer.writes(), 1);
    /// ```
    pub fn writes(&mut self) -> usize {
        self.act(|pipe| pipe.writes)
    }

    /// Whether the channel's socket is closed. A channel that lingers after `close_when_done` is not closed until
    /// [`eof`](Self::eof) or the end of its linger time; its output [has ended](Self::has_ended).
    pub fn is_closed(&mut self) -> bool {
        self.act(|pipe| pipe.closed)
    }

    /// Why the channel ended, as its object was told in [`handle_closed`](crate::Dispatcher::handle_closed). `None` before
    /// that, and after [`detach`](crate::Channel::detach).
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// # struct Idle;
    /// # impl Dispatcher for Idle {}
    /// let mut peer = Harness::new(Idle);
    /// assert_eq!(peer.closed(), None);
    /// peer.reset();
    /// assert_eq!(peer.closed(), Some(Cause::Reset));
    /// ```
    pub fn closed(&mut self) -> Option<Cause> {
        let id = self.act(|pipe| pipe.id)?;
        let world = self.world.borrow();
        let mut ends = world.reactor.ends.iter().rev();
        ends.find(|(ended, _)| *ended == id)
            .map(|&(_, cause)| cause)
    }

    /// Whether this peer sees an end of file after the bytes of [`output`](Self::output).
    pub fn has_ended(&mut self) -> bool {
        self.act(|pipe| pipe.shut || pipe.closed)
    }

    /// Whether the channel was closed over unread input, or reset by a [coupled](crate::Registry::couple) one. On TCP either
    /// resets the connection and may destroy the bytes sent last.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// struct Hasty;
    /// impl Dispatcher for Hasty {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.recv(&mut [0])?;
    ///         channel.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut peer = Harness::new(Hasty);
    /// peer.feed("hello");
    /// assert!(peer.was_aborted());
    /// ```
    pub fn was_aborted(&mut self) -> bool {
        self.act(|pipe| pipe.aborted)
    }

    /// Lets time pass. Timers, idle timeouts, connection timeouts and lingering end, each at its own time, without
    /// waiting. More than 30 years count as 30 years.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// # struct Idle;
    /// # impl Dispatcher for Idle {}
    /// use std::time::Duration;
    ///
    /// let mut peer = Harness::new(Idle);
    /// let id = peer.id();
    /// let minute = Duration::from_secs(60);
    /// peer.registry().channel(id).expect("open").set_idle_timeout(Some(minute));
    /// peer.advance(minute);
    /// assert!(peer.is_closed());
    /// ```
    pub fn advance(&mut self, time: Duration) {
        self.world.borrow_mut().advance(time);
    }

    /// The next connection attempt that an object in this reactor has made with [`Registry::connect`] or its variants.
    /// `None` if there is none.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// struct Proxy;
    /// impl Dispatcher for Proxy {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.registry().connect(([192, 0, 2, 80], 80), Upstream)?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Upstream;
    /// impl Dispatcher for Upstream {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.push("hello");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut client = Harness::new(Proxy);
    /// let mut server = client.dialled().expect("a connection to the server");
    /// server.connected();
    /// assert_eq!(server.output(), b"hello");
    /// ```
    pub fn dialled(&mut self) -> Option<Self> {
        Self::next_dialled(&self.world)
    }

    /// Connects a new peer to the listener at `address` in this reactor. `None` if there is no such listener.
    ///
    /// ```
    /// # use asynchat::{testing::Harness, *};
    /// # struct Idle;
    /// # impl Dispatcher for Idle {}
    /// let mut first = Harness::new(Idle);
    /// first.registry().listen("127.0.0.1:8007", Idle).expect("in memory");
    /// let second = first.connect_to("127.0.0.1:8007").expect("a listener");
    /// assert_ne!(first.address(), second.address());
    /// assert!(first.connect_to("127.0.0.1:9").is_none());
    /// ```
    ///
    /// # Panics
    /// If `address` is text that is no address.
    #[track_caller]
    pub fn connect_to(
        &mut self,
        address: impl TryInto<Address, Error: Into<BoxError>>,
    ) -> Option<Self> {
        let address = given(address).unwrap_or_else(|error| panic!("{error}"));
        Self::arrive(&self.world, &address)
    }

    /// The address of this peer, the channel's [`peer_addr`](crate::Channel::peer_addr).
    pub fn address(&self) -> Address {
        self.pipe.lock().peer.clone()
    }

    /// The id of the channel.
    ///
    /// # Panics
    /// If no channel has been made for the connection.
    #[track_caller]
    pub fn id(&self) -> ChannelId {
        let id = self.pipe.lock().id;
        id.expect("the connection has no channel")
    }

    /// The registry that holds the channel. Changes take effect with the next call on the kit; drop the borrow before
    /// that.
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

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("pipe", &self.pipe).finish()
    }
}
