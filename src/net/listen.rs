//! Making listeners: the options of the socket under them.

use std::{error::Error, fmt, io, net::SocketAddr};

#[cfg(unix)]
use socket2::SockRef;
use socket2::{Domain, Protocol, Type};

use crate::{
    address::Address,
    net::{errno::unsupported, io::Io},
    network::Network,
};

/// Options of [`Registry::listen_with`](crate::Registry::listen_with).
///
/// ```
/// use asynchat::{Dispatcher, ListenOptions, Reactor};
///
/// struct Server;
/// impl Dispatcher for Server {}
///
/// # fn main() -> std::io::Result<()> {
/// let mut reactor = Reactor::new()?;
/// let options = ListenOptions::new().backlog(4096).nodelay(true);
/// reactor.listen_with(([127, 0, 0, 1], 0), &options, Server)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are passed on"]
pub struct ListenOptions {
    pub(crate) backlog: i32,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) v6_only: Option<bool>,
    pub(crate) nodelay: bool,
    pub(crate) max_per_peer: Option<usize>,
    pub(crate) proxies: Option<Vec<Network>>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_addr: true,
            reuse_port: false,
            v6_only: None,
            nodelay: false,
            max_per_peer: None,
            proxies: None,
        }
    }
}

impl ListenOptions {
    /// The defaults: a backlog of 1,024 and `SO_REUSEADDR`, except on Windows, where it would let other programs take
    /// the port.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many connections the kernel keeps waiting. It may cut the number (`net.core.somaxconn`). Default 1,024.
    pub fn backlog(mut self, connections: u16) -> Self {
        self.backlog = connections.into();
        self
    }

    /// Whether the port can be bound while connections of an earlier listener linger (`SO_REUSEADDR`). Default on; no
    /// effect on Windows.
    pub fn reuse_addr(mut self, on: bool) -> Self {
        self.reuse_addr = on;
        self
    }

    /// Whether several listeners may share the port (`SO_REUSEPORT`). Default off. On Windows, Solaris, illumos and Cygwin
    /// it makes `listen_with` fail.
    ///
    /// Linux spreads the connections over all listeners by a hash of the addresses, about evenly; macOS and the BSDs do
    /// not. Any other program of the same user that sets this option can join without notice and gets its share of the
    /// connections.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Whether an IPv6 listener refuses IPv4 (`IPV6_V6ONLY`). Default: that of the system.
    pub fn v6_only(mut self, on: bool) -> Self {
        self.v6_only = Some(on);
        self
    }

    /// Whether accepted streams have Nagle's algorithm off (`TCP_NODELAY`). Default off. On Linux streams inherit it
    /// from the listener, at no cost for each connection.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Sets how many connections from one IP address may be open. Further ones are closed as soon as they are accepted, and
    /// counted in [`Stats::refused`](crate::Stats::refused). Default: no limit. With 0 all are refused.
    ///
    /// Of an IPv6 address its first 64 bits count: any host may choose the rest. Connections to a Unix path are not limited.
    /// A connection counts until its channel or [`Stream`](crate::Stream) is closed, in any reactor, or until
    /// [`Socket::into_tcp_stream`](crate::Socket::into_tcp_stream) or `into_fd` takes it out of the library. O(1) for each
    /// connection.
    ///
    /// Beginning to refuse is a warning in the log. Once none has been refused for 10 seconds, a line says how many were.
    ///
    /// ```
    /// use asynchat::{Dispatcher, ListenOptions, accept_fn};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {}
    ///
    /// # #[cfg(feature = "testing")] {
    /// let server = accept_fn(|registry, stream, _| {
    ///     registry.register(stream, Session)?;
    ///     Ok(())
    /// });
    /// let mut first = asynchat::testing::Harness::new(Session);
    /// let options = ListenOptions::new().max_per_peer(1);
    /// first.registry().listen_with("192.0.2.1:80", &options, server).expect("in memory");
    /// let mut second = first.connect_to("192.0.2.1:80").expect("a listener");
    /// let mut third = first.connect_to("192.0.2.1:80").expect("a listener");
    /// assert!(!second.is_closed() && third.is_closed());
    /// assert_eq!(first.registry().stats().refused, 1);
    /// # }
    /// ```
    pub fn max_per_peer(mut self, connections: usize) -> Self {
        self.max_per_peer = Some(connections);
        self
    }

    /// Has every connection begin with a header of the PROXY protocol, version 1 or 2, in which one of these proxies says
    /// whose connection it passes on. The listener gets a connection when its header is read: the peer of
    /// `handle_accepted`, of the [`Stream`](crate::Stream) and of its channel is the client, and so it is for
    /// [`max_per_peer`](Self::max_per_peer). A connection of the proxy's own, a health check for instance, keeps its peer.
    ///
    /// A connection from any other address is closed, as the specification demands: its header could be a lie. A Unix path
    /// has no addresses: every peer there is believed. A connection is closed too if its header is malformed, is
    /// longer than 536 bytes, or is not complete within 3 seconds. All these are counted in
    /// [`Stats::refused`](crate::Stats::refused), with a warning in the log when they begin and a line when none has come for
    /// 10 seconds.
    ///
    /// While its header is read, a connection is a channel: it counts for
    /// [`max_channels`](crate::Builder::max_channels), and is among [`channels`](crate::Registry::channels).
    ///
    /// ```
    /// use asynchat::{Dispatcher, ListenOptions, Network, accept_fn};
    ///
    /// struct Session;
    /// impl Dispatcher for Session {}
    ///
    /// # fn main() -> asynchat::Result {
    /// let balancers: Network = "192.0.2.0/24".parse()?;
    /// let options = ListenOptions::new().proxy_protocol([balancers]);
    /// # #[cfg(feature = "testing")] {
    /// let server = accept_fn(|registry, stream, client| {
    ///     assert_eq!(client.to_string(), "198.51.100.7:56324");
    ///     registry.register(stream, Session)?;
    ///     Ok(())
    /// });
    /// let mut kit = asynchat::testing::Harness::new(Session);
    /// kit.registry().listen_with("192.0.2.1:80", &options, server)?;
    /// let mut client = kit.connect_to("192.0.2.1:80").ok_or("no listener")?;
    /// client.feed("PROXY TCP4 198.51.100.7 203.0.113.1 56324 80\r\n");
    /// assert!(!client.is_closed());
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn proxy_protocol(mut self, from: impl IntoIterator<Item = Network>) -> Self {
        self.proxies = Some(from.into_iter().collect());
        self
    }

    pub(crate) fn bind(&self, address: &Address) -> io::Result<Io> {
        let bound = match address {
            Address::Inet(addr) => self.bind_tcp(*addr),
            #[cfg(unix)]
            Address::Unix(path) => self.bind_unix(mio::net::UnixListener::bind(path)),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
                self.bind_unix(
                    SocketAddr::from_abstract_name(name)
                        .and_then(|name| mio::net::UnixListener::bind_addr(&name)),
                )
            }
            other => return Err(unsupported("listen on", other)),
        };
        bound.map_err(|error| {
            let address = address.clone();
            io::Error::new(error.kind(), CannotListen { address, error })
        })
    }

    #[cfg(unix)]
    fn bind_unix(&self, listener: io::Result<mio::net::UnixListener>) -> io::Result<Io> {
        let listener = listener?;
        SockRef::from(&listener).listen(self.backlog)?;
        Ok(Io::UnixListener(listener))
    }

    fn bind_tcp(&self, addr: SocketAddr) -> io::Result<Io> {
        let socket =
            socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        #[cfg(not(windows))]
        socket.set_reuse_address(self.reuse_addr)?;
        if self.reuse_port {
            #[cfg(all(
                unix,
                not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
            ))]
            socket.set_reuse_port(true)?;
            #[cfg(not(all(
                unix,
                not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
            )))]
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "no SO_REUSEPORT on this system",
            ));
        }
        if let (Some(only), true) = (self.v6_only, addr.is_ipv6()) {
            socket.set_only_v6(only)?;
        }
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(self.backlog)?;
        Ok(Io::TcpListener(mio::net::TcpListener::from_std(
            socket.into(),
        )))
    }
}

/// Inside an [`io::Error`]: the system's own error does not name the address.
#[derive(Debug)]
struct CannotListen {
    address: Address,
    error: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl Error for CannotListen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
