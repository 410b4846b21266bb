//! How connections are begun: the options, and the sockets under them.

use std::{io, time::Duration};

use crate::{
    address::Address,
    net::{errno::unsupported, io::Io, socket::Socket},
};

/// How to connect; see [`Registry::connect_with`](crate::Registry::connect_with).
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

    /// How long one attempt to one address may take before the next is tried, or `ConnectFailed(TimedOut)` comes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether to switch Nagle's algorithm off. Default: no.
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
    /// Connects a UDP socket: bound to any port, sending to and receiving from `peer` only.
    ///
    /// # Errors
    /// What `socket` and `connect` say.
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
