//! A listener under test, and everybody who connects to it.

use std::{
    cell::{RefCell, RefMut},
    fmt,
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
    /// When the system has no descriptor for a poller.
    pub fn new(d: impl Dispatcher) -> Self {
        Self::with_builder(Reactor::builder().propagate_panics(true), d)
    }

    /// The same with other sizes and policies of the reactor.
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
    pub fn with_builder(builder: Builder, d: impl Dispatcher) -> Self {
        Self::with_handle(builder, |_| d)
    }

    /// The same for an object that needs the [`Handle`] of its reactor.
    ///
    /// # Panics
    /// When the system has no descriptor for a poller.
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

    /// A new peer connects. Until the listener accepts it the connection waits in the backlog.
    ///
    /// # Panics
    /// When the listener is closed.
    #[track_caller]
    pub fn connect(&mut self) -> Harness {
        let address = self.address.clone();
        let arrived = Harness::arrive(&self.world, &address);
        arrived.expect("the listener is closed")
    }

    /// The next connection that an object behind this reactor has begun with [`Registry::connect`] and its kin.
    pub fn dialled(&mut self) -> Option<Harness> {
        Harness::next_dialled(&self.world)
    }

    /// The channel of the listener.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The registry all connections live in. What is done to it takes effect with the next call on the kit.
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
