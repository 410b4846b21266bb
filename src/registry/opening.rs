//! Opening channels: sockets that the program has, listeners, connections.

use std::{io, net::SocketAddr};

use crate::{
    address::{Address, given},
    error::{BoxError, Result},
    id::ChannelId,
    net::{
        connect::ConnectOptions,
        io::{Io, Role},
        listen::ListenOptions,
        peers::Peers,
        readiness::Readiness,
        stream::Stream,
    },
    registry::accept_fn::accept_fn,
    state::{
        dispatcher::{Dispatcher, boxed},
        filtered::Filtered,
        phase::{Accepting, Attempt, Phase},
        registry::Registry,
        slot::Slot,
        socket::Socket,
    },
};

/// # Opening
///
/// ```
/// use asynchat::{ConnectOptions, Dispatcher, Reactor};
/// use std::time::Duration;
///
/// struct Server;
/// impl Dispatcher for Server {}
/// struct Client;
/// impl Dispatcher for Client {}
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// let listener = reactor.listen("127.0.0.1:0", Server)?;
/// let address = reactor.channel(listener).ok_or("closed")?.local_addr()?;
/// reactor.connect(address, Client)?;
///
/// // A host name is looked up first, without blocking. The first of its addresses that answers is the connection.
/// reactor.connect_host("localhost", 7, Client)?;
/// let options = ConnectOptions::new().timeout(Duration::from_secs(3)).nodelay(true);
/// reactor.connect_with(&["127.0.0.1:7".parse()?, "[::1]:7".parse()?], &options, Client)?;
/// # Ok(())
/// # }
/// ```
impl Registry {
    /// Hands a socket and the object that serves it to the reactor.
    ///
    /// No callback runs inside this call. An object that has to know its id before the first one is made by
    /// [`with_id`](crate::with_id). `handle_connect` of a stream runs in the next turn. A stream is announced to
    /// the poller after its first visit, and only if it is still open then.
    ///
    /// A TCP stream that is still connecting goes on as in [`connect`](Self::connect), with the time limit of
    /// [`Builder::connect_timeout`](crate::Builder::connect_timeout).
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Acceptor;
    /// impl Dispatcher for Acceptor {
    ///     fn handle_accepted(
    ///         &mut self,
    ///         channel: &mut Channel<'_>,
    ///         stream: asynchat::Stream,
    ///         _: asynchat::Address,
    ///     ) -> Result {
    ///         let id = channel.registry().register(stream, Session)?;
    ///         log::info!("channel {id}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Session;
    /// impl Dispatcher for Session {}
    /// # #[cfg(feature = "testing")] {
    /// let mut listener = asynchat::testing::Listener::new(Acceptor);
    /// let mut peer = listener.connect();
    /// assert!(!peer.is_closed());
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a regular file, which cannot be watched. Otherwise the error of the system if it cannot watch
    /// the descriptor or make it non-blocking. Socket and object are dropped.
    pub fn register(
        &mut self,
        socket: impl Into<Socket>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let socket = socket.into();
        if socket.adopted {
            socket.io.check_pollable()?;
            socket.set_nonblocking()?;
        }
        let role = socket.io.role();
        let connecting = socket.adopted && socket.io.is_unconnected();
        let phase = match role {
            Role::Listener => Phase::Listening(Box::default()),
            Role::Stream if connecting => {
                let timeout = self.policy.connect_timeout;
                let attempt = Attempt::new(None, timeout, self.clock.present());
                Phase::Connecting(Box::new(attempt))
            }
            Role::Stream => Phase::Greeting,
            Role::Datagram | Role::Fd => Phase::Open,
        };
        let serial = socket.serial;
        let mut slot = Slot::new(socket.io, boxed(d), phase, self.clock.stamp());
        slot.lent.set(socket.lent);
        slot.peer = socket.peer.into();
        slot.set_place(socket.place);
        slot.give_back(&socket.unread);
        let layer = socket.layer;
        if let Some(layer) = layer.as_ref().filter(|layer| layer.has_ended()) {
            if layer.has_wire() {
                slot.flags.begin_ending();
            } else {
                // Most likely it is shut down already, and the peer may be gone: no error counts.
                let _ = slot.io.shutdown_write();
                slot.flags.shut_down();
            }
        }
        slot.readiness = match role {
            Role::Stream if !connecting => Readiness::ASSUMED,
            // So that a first datagram can be sent at once.
            Role::Datagram => Readiness::WRITABLE,
            Role::Listener | Role::Stream | Role::Fd => Readiness::default(),
        };
        let id = self.insert(slot, role != Role::Stream || connecting)?;
        if connecting {
            self.begin_attempt(id);
        } else if let Some(layer) = layer {
            self.begin_handshake(id, Box::new(Filtered::resumed(layer)));
        } else if role == Role::Stream {
            self.enqueue(id);
        }
        if serial != 0 {
            self.adopted = Some((serial, id));
        }
        Ok(id)
    }

    /// Listens on a TCP address or a Unix path, with the defaults of [`ListenOptions`].
    ///
    /// ```
    /// # use asynchat::{Dispatcher, Reactor};
    /// # struct Acceptor; impl Dispatcher for Acceptor {}
    /// # fn main() -> std::io::Result<()> {
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.listen("127.0.0.1:0", Acceptor)?;
    /// let address = reactor.channel(id).unwrap().local_addr()?;
    /// # let _ = address; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for text that is no [`Address`]: a host name is not looked up. That of `socket`, `bind` or `listen`
    /// (kind `AddrInUse`, `PermissionDenied`, …), with the address in its text; its `source` is the system's own.
    pub fn listen(
        &mut self,
        addr: impl TryInto<Address, Error: Into<BoxError>>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.listen_with(addr, &ListenOptions::new(), d)
    }

    /// Listens with other options than the defaults; [`ListenOptions`] has an example.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen).
    pub fn listen_with(
        &mut self,
        addr: impl TryInto<Address, Error: Into<BoxError>>,
        options: &ListenOptions,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let io = self.bind(&given(addr)?, options)?;
        let phase = Phase::Listening(Box::new(Accepting {
            nodelay: options.nodelay,
            peers: options.max_per_peer.map(Peers::new),
            proxies: options.proxies.clone(),
            ..Accepting::default()
        }));
        let slot = Slot::new(io, boxed(d), phase, self.clock.stamp());
        self.insert(slot, true)
    }

    /// Listens with the defaults of [`ListenOptions`], and hands each accepted stream to a closure. For other options see
    /// [`accept_fn`].
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Reactor, Result};
    /// use std::io::Write;
    ///
    /// struct Echo;
    /// impl Dispatcher for Echo {
    ///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         Ok(channel.recv_with(Write::write_all)??)
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let mut reactor = Reactor::new()?;
    /// reactor.listen_fn("127.0.0.1:0", |registry, stream, _peer| {
    ///     registry.register(stream, Echo)?;
    ///     Ok(())
    /// })?;
    /// # reactor.close_all();
    /// Ok(reactor.run()?)
    /// # }
    /// ```
    ///
    /// An error of `f` closes its stream, also if it was registered meanwhile. The listener stays open.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen).
    pub fn listen_fn(
        &mut self,
        addr: impl TryInto<Address, Error: Into<BoxError>>,
        f: impl FnMut(&mut Self, Stream, Address) -> Result + 'static,
    ) -> io::Result<ChannelId> {
        self.listen(addr, accept_fn(f))
    }

    fn bind(&self, address: &Address, options: &ListenOptions) -> io::Result<Io> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return Ok(Io::MemoryListener(net.listen(address)));
        }
        options.bind(address)
    }

    /// Connects to a TCP address or a Unix path.
    ///
    /// The outcome comes in a later turn: `handle_connect`, or `handle_expt` with
    /// [`Exceptional::ConnectFailed`](crate::Exceptional::ConnectFailed). Bytes pushed before it are sent once
    /// connected. If the backlog of a Unix listener is full, the reactor tries again until the time limit.
    ///
    /// For a host name see [`connect_host`](Self::connect_host).
    ///
    /// # Errors
    /// `InvalidInput` for text that is no [`Address`], and that of the system if it has no descriptor or memory for a
    /// socket.
    pub fn connect(
        &mut self,
        addr: impl TryInto<Address, Error: Into<BoxError>>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.start_connect(vec![given(addr)?], &ConnectOptions::new(), boxed(d))
    }

    /// Connects to the first of `addrs` that answers.
    ///
    /// The addresses race (RFC 8305, "Happy Eyeballs"). IPv4 and IPv6 take turns, beginning with the version of the first
    /// address. The next address is tried as soon as the last attempt has failed or has been on for
    /// [250 ms](ConnectOptions::stagger). Earlier attempts go on meanwhile, at most 16 at a time. When one succeeds, the others
    /// are closed; of two that succeed in one turn the one that began first is taken.
    ///
    /// There is one channel and one outcome: `handle_connect`, or one `handle_expt` with
    /// [`ConnectFailed`](crate::Exceptional::ConnectFailed). The text of its error lists each address with its failure, the
    /// first 15 and the last of a longer list; the kind is that of the last failure. If descriptors run out, the address that
    /// had its turn fails, and the next is tried after the stagger. Until an address has answered, the channel has no socket:
    /// `local_addr` and the descriptor are `NotConnected`, and `peer_addr` is the address tried last.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Exceptional, Reactor, Result};
    ///
    /// struct Client;
    /// impl Dispatcher for Client {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         println!("connected to {}", channel.peer_addr()?);
    ///         channel.close();
    ///         Ok(())
    ///     }
    ///
    ///     fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
    ///         if let Exceptional::ConnectFailed(error) = what {
    ///             println!("no address answered: {error}"); // "[::1]:1: Connection refused; 127.0.0.1:1: Connection …"
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let mut reactor = Reactor::new()?;
    /// reactor.connect_any(&["[::1]:1".parse()?, "127.0.0.1:1".parse()?], Client)?;
    /// Ok(reactor.run()?)
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an empty list, otherwise those of [`connect`](Self::connect).
    pub fn connect_any(
        &mut self,
        addrs: &[SocketAddr],
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.connect_with(addrs, &ConnectOptions::new(), d)
    }

    /// Connects like [`connect_any`](Self::connect_any), with other options than the defaults.
    ///
    /// # Errors
    /// Those of [`connect_any`](Self::connect_any).
    pub fn connect_with(
        &mut self,
        addrs: &[SocketAddr],
        options: &ConnectOptions,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let addrs = addrs.iter().copied().map(Address::from).collect();
        self.start_connect(addrs, options, boxed(d))
    }

    /// Connects a stream socket that the program made and set up itself: for options that [`ConnectOptions`] does not have.
    ///
    /// Anything that converts into a [`Socket`] will do; a socket of socket2 becomes an `OwnedFd`, or on Windows a
    /// `TcpStream`, first. It is made non-blocking. The time limit is
    /// [`Builder::connect_timeout`](crate::Builder::connect_timeout). There is one attempt: a full backlog of a Unix listener
    /// is a failure here.
    ///
    /// ```
    /// use asynchat::{Dispatcher, Reactor};
    /// use socket2::{Domain, Socket, Type};
    /// use std::net::TcpStream;
    ///
    /// struct Client;
    /// impl Dispatcher for Client {}
    ///
    /// # fn main() -> asynchat::Result {
    /// let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    /// socket.set_tos_v4(0x10)?; // low delay
    /// let mut reactor = Reactor::new()?;
    /// reactor.connect_socket(TcpStream::from(socket), "127.0.0.1:9", Client)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a socket that is no stream's, and those of [`connect`](Self::connect). A socket that is connected
    /// already is a failed attempt, in `handle_expt`.
    pub fn connect_socket(
        &mut self,
        socket: impl Into<Socket>,
        addr: impl TryInto<Address, Error: Into<BoxError>>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.start_connect_of(socket.into(), given(addr)?, boxed(d))
    }
}
