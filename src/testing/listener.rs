//! A listener under test, and the peers that connect to it.

use std::{
    cell::{RefCell, RefMut},
    fmt,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use super::{Harness, world::World};
use crate::{
    address::Address,
    builder::Builder,
    handle::Handle,
    id::ChannelId,
    net::memory::documentation,
    reactor::Reactor,
    state::{dispatcher::Dispatcher, registry::Registry},
};

/// A listener under test: a server with any number of connections, each a [`Harness`].
///
/// ```
/// use asynchat::{testing::Listener, *};
/// use std::io::Write;
///
/// struct Counter(u32);
/// impl Dispatcher for Counter {
///     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
///         self.0 += 1;
///         let id = channel.registry().register(stream, Silent)?;
///         let mut guest = channel.registry().channel(id).ok_or("closed")?;
///         Ok(writeln!(guest, "you are number {}", self.0)?)
///     }
/// }
///
/// struct Silent;
/// impl Dispatcher for Silent {}
///
/// let mut counter = Listener::new(Counter(0));
/// let mut ann = counter.connect();
/// let mut bob = counter.connect();
/// assert_eq!(bob.output(), b"you are number 2\n");
/// assert_eq!(ann.output(), b"you are number 1\n");
/// ```
pub struct Listener {
    world: Rc<RefCell<World>>,
    id: ChannelId,
    address: Address,
}

impl Listener {
    /// Puts `d` behind a listener at 192.0.2.1:7, in a reactor of its own.
    ///
    /// A panic in a callback leaves the call that caused it; see [`with_builder`](Self::with_builder).
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
    pub fn new(d: impl Dispatcher) -> Self {
        Self::with_builder(Reactor::builder().propagate_panics(true), d)
    }

    /// Like [`new`](Self::new), with other sizes and policies of the reactor.
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
    pub fn with_builder(builder: Builder, d: impl Dispatcher) -> Self {
        Self::with_handle(builder, |_| d)
    }

    /// Like [`with_builder`](Self::with_builder), for an object that needs the [`Handle`] of its reactor.
    ///
    /// ```
    /// use asynchat::{testing::Listener, *};
    ///
    /// /// Accepts one connection, then ends the loop.
    /// struct Once(Handle);
    /// impl Dispatcher for Once {
    ///     fn handle_accepted(&mut self, channel: &mut Channel<'_>, _: Stream, _: Address) -> Result {
    ///         self.0.shutdown(std::time::Duration::ZERO);
    ///         channel.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut listener = Listener::with_handle(Reactor::builder(), Once);
    /// let mut peer = listener.connect();
    /// assert!(peer.is_closed());
    /// assert!(listener.registry().is_idle());
    /// ```
    ///
    /// # Panics
    /// If the system has no descriptor for a poller.
    pub fn with_handle<D: Dispatcher>(builder: Builder, d: impl FnOnce(Handle) -> D) -> Self {
        let mut world = World::new(builder);
        let address = Address::from(documentation(1, 7));
        let d = d(world.reactor.handle());
        let id = world.reactor.listen(&address, d);
        Self {
            id: id.expect("listening in memory"),
            address,
            world: Rc::new(RefCell::new(world)),
        }
    }

    /// Connects a new peer. Until the listener accepts the connection, it waits in the backlog.
    ///
    /// # Panics
    /// If the listener is closed.
    #[track_caller]
    pub fn connect(&mut self) -> Harness {
        let address = self.address.clone();
        let arrived = Harness::arrive(&self.world, &address);
        arrived.expect("the listener is closed")
    }

    /// Like [`connect`](Self::connect), from a peer with this address.
    ///
    /// ```
    /// use asynchat::{Dispatcher, accept_fn, testing::Listener};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {}
    ///
    /// let mut server = Listener::new(accept_fn(|registry, stream, peer| {
    ///     if peer.inet().is_some_and(|peer| peer.ip().is_loopback()) {
    ///         registry.register(stream, Session)?;
    ///     }
    ///     Ok(())
    /// }));
    /// assert!(!server.connect_from(([127, 0, 0, 1], 1024).into()).is_closed());
    /// assert!(server.connect().is_closed());
    /// ```
    ///
    /// # Panics
    /// If the listener is closed.
    #[track_caller]
    pub fn connect_from(&mut self, peer: SocketAddr) -> Harness {
        let arrived = Harness::arrive_from(&self.world, peer, &self.address);
        arrived.expect("the listener is closed")
    }

    /// The next connection attempt that an object in this reactor has made; see [`Harness::dialled`].
    pub fn dialled(&mut self) -> Option<Harness> {
        Harness::next_dialled(&self.world)
    }

    /// The channel id of the listener.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The registry that holds all connections. Changes take effect with the next call on the kit; drop the borrow
    /// before that.
    pub fn registry(&mut self) -> RefMut<'_, Registry> {
        RefMut::map(self.world.borrow_mut(), |world| &mut *world.reactor)
    }

    /// Lets time pass; see [`Harness::advance`].
    pub fn advance(&mut self, time: Duration) {
        self.world.borrow_mut().advance(time);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("id", &self.id).finish()
    }
}
