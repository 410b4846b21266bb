//! Beginning connections: the options, and the sockets under them.

use std::{io, time::Duration};

use crate::{
    address::Address,
    net::{errno::unsupported, io::Io, socket::Socket},
};

/// Options of [`Registry::connect_with`](crate::Registry::connect_with).
///
/// ```
/// use std::time::Duration;
///
/// let options = asynchat::ConnectOptions::new().timeout(Duration::from_secs(3)).nodelay(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are passed on"]
pub struct ConnectOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) nodelay: bool,
}

impl ConnectOptions {
    /// The defaults: [`Builder::connect_timeout`](crate::Builder::connect_timeout), Nagle's algorithm on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long one attempt to one address may take. After it the next address is tried, or `handle_expt` gets
    /// `ConnectFailed` with `TimedOut`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether to switch Nagle's algorithm off (`TCP_NODELAY`). Default: no.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }
}

pub(crate) fn connect(address: &Address) -> io::Result<Io> {
    match address {
        Address::Inet(addr) => mio::net::TcpStream::connect(*addr).map(Io::TcpStream),
        #[cfg(unix)]
        Address::Unix(path) => mio::net::UnixStream::connect(path).map(Io::UnixStream),
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => {
            use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
            let addr = SocketAddr::from_abstract_name(name)?;
            mio::net::UnixStream::connect_addr(&addr).map(Io::UnixStream)
        }
        other => Err(unsupported("connect to", other)),
    }
}

impl Socket {
    /// Makes a UDP socket that sends to and receives from `peer` only, on a port the system chooses.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Reactor, Result, Socket};
    /// use std::net::UdpSocket;
    ///
    /// struct Query;
    /// impl Dispatcher for Query {
    ///     fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         channel.send(b"what time is it?")?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let mut reactor = Reactor::new()?;
    /// reactor.register(Socket::connected_udp(server.local_addr()?)?, Query)?;
    /// reactor.turn(None)?;
    /// let mut buf = [0; 100];
    /// assert_eq!(server.recv(&mut buf)?, 16);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `socket` and `connect`.
    pub fn connected_udp(peer: std::net::SocketAddr) -> io::Result<Self> {
        let any: std::net::SocketAddr = if peer.is_ipv4() {
            (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = mio::net::UdpSocket::bind(any)?;
        socket.connect(peer)?;
        Ok(Self::own(Io::Udp(socket)))
    }
}
