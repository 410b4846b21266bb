//! Beginning connections: the options, and the sockets under them.

use std::{error::Error, fmt, io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use crate::{
    address::Address,
    net::{
        errno::{is_in_progress, unsupported},
        io::Io,
    },
};

/// Linux refuses a keep-alive outside of these.
const SHORTEST_IDLE: Duration = Duration::from_secs(1);
const LONGEST_IDLE: Duration = Duration::from_secs(32_767);

/// How long an attempt is alone before the next address begins (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
const SHORTEST_STAGGER: Duration = Duration::from_millis(100);
const LONGEST_STAGGER: Duration = Duration::from_secs(2);

/// Options of [`Registry::connect_with`](crate::Registry::connect_with) and
/// [`connect_host_with`](crate::Registry::connect_host_with).
///
/// ```
/// use std::time::Duration;
///
/// let options = asynchat::ConnectOptions::new().timeout(Duration::from_secs(3)).nodelay(true);
/// # let _ = options;
/// ```
///
/// The socket of every address that is tried gets the options of a socket before it connects. If the system refuses one,
/// the attempt to this address fails, with the name of the option in the text.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are passed on"]
pub struct ConnectOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    stagger: Option<Duration>,
    pub(crate) resolve_timeout: Option<Duration>,
    pub(crate) nodelay: bool,
    pub(crate) socket: SocketOptions,
}

/// What is set on a socket before it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    source: Option<SocketAddr>,
    reuse_addr: bool,
    recv_buffer: Option<usize>,
    send_buffer: Option<usize>,
    keepalive: Option<Duration>,
}

impl ConnectOptions {
    /// The defaults: [`Builder::connect_timeout`](crate::Builder::connect_timeout), Nagle's algorithm on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long one attempt to one address may take. After it this address has failed with `TimedOut`; attempts to
    /// others go on.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long all addresses together may take. After it every address that has not failed yet fails with `TimedOut`,
    /// and `handle_expt` gets `ConnectFailed`. Default: no limit beside the [`timeout`](Self::timeout) of each.
    ///
    /// ```
    /// use asynchat::ConnectOptions;
    /// use std::time::Duration;
    ///
    /// let options = ConnectOptions::new()
    ///     .stagger(Duration::from_millis(100)) // impatient
    ///     .timeout(Duration::from_secs(5)) // for each address
    ///     .deadline(Duration::from_secs(8)); // for all of them
    /// # let _ = options;
    /// ```
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Sets how long the attempt that began last has to answer before the next address is tried beside it. At least 100 ms,
    /// at most 2 s: a value outside counts as the nearer bound. Default: 250 ms. Has no effect with one address.
    ///
    /// A short time costs connections that nobody needs: all but one are closed. See [`deadline`](Self::deadline) for an
    /// example.
    pub fn stagger(mut self, pause: Duration) -> Self {
        self.stagger = Some(pause.clamp(SHORTEST_STAGGER, LONGEST_STAGGER));
        self
    }

    /// Sets how long the look-up of a host name may take. The other limits count from its answer. Default:
    /// [`Builder::resolve_timeout`](crate::Builder::resolve_timeout), which says when it begins.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.resolve_timeout = Some(timeout);
        self
    }

    /// Whether to switch Nagle's algorithm off (`TCP_NODELAY`). Default: no.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Sets the address of this end (`bind`). Port 0 leaves the port to the system. Addresses of the other IP version fail,
    /// so [`connect_with`](crate::Registry::connect_with) goes on to the next. A port that is not 0 is one socket's at a time:
    /// without [`reuse_addr`](Self::reuse_addr) an address is tried when the one before it has failed. Default: the system
    /// chooses.
    ///
    /// ```
    /// use asynchat::{ConnectOptions, Dispatcher, Reactor};
    ///
    /// /// A data connection of FTP's active mode comes from a port that the client expects.
    /// struct Data;
    /// impl Dispatcher for Data {}
    ///
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = Reactor::new()?;
    /// let client = "127.0.0.1:9".parse()?;
    /// let port = 0; // 20 outside of a test
    /// let options = ConnectOptions::new().source(([127, 0, 0, 1], port).into()).reuse_addr(true);
    /// reactor.connect_with(&[client], &options, Data)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn source(mut self, address: SocketAddr) -> Self {
        self.socket.source = Some(address);
        self
    }

    /// Whether [`source`](Self::source) may be a port that other connections have or had a moment ago (`SO_REUSEADDR`), if
    /// they allowed it too. Default: no.
    pub fn reuse_addr(mut self, on: bool) -> Self {
        self.socket.reuse_addr = on;
        self
    }

    /// Sets the size of the kernel's buffer for input (`SO_RCVBUF`), in bytes. It bounds the window that TCP announces, so
    /// it has to be set before connecting. Linux doubles the size and cuts it (`net.core.rmem_max`). Default: the system's.
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.socket.recv_buffer = Some(bytes);
        self
    }

    /// Sets the size of the kernel's buffer for output (`SO_SNDBUF`), in bytes. Linux doubles the size and cuts it
    /// (`net.core.wmem_max`). Default: the system's.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.socket.send_buffer = Some(bytes);
        self
    }

    /// Has the system ask an idle peer whether it is still there (`SO_KEEPALIVE`), first after `idle`, in whole seconds from
    /// 1 to 32,767, and after a number of attempts break the connection. Default: no.
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.socket.keepalive = Some(idle);
        self
    }

    /// Whether only one socket at a time can have the address of this end.
    pub(crate) fn has_one_source(&self) -> bool {
        !self.socket.reuse_addr && self.socket.source.is_some_and(|source| source.port() != 0)
    }

    pub(crate) fn stagger_or_default(&self) -> Duration {
        self.stagger.unwrap_or(STAGGER)
    }

    /// The socket's options, if any is set.
    pub(crate) fn of_socket(&self) -> Option<Box<SocketOptions>> {
        (self.socket != SocketOptions::default()).then(|| Box::new(self.socket.clone()))
    }
}

/// How an attempt stands.
#[derive(Debug)]
pub(crate) enum Outcome {
    Connected,
    /// It was connected, and the connection has broken since.
    Reset,
    /// There is neither an error nor a peer.
    NoPeer(io::Error),
    Failed(io::Error),
}

impl Io {
    /// Asks the socket for its error first and for its peer second, because a second look at a failed one finds no error
    /// and an end of file.
    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        match (self.take_error(), self.peer_addr()) {
            // Only a connection that was made can be reset, after the peer has perhaps said why.
            (Ok(Some(error)), _) if is_reset(&error) => Outcome::Reset,
            (Ok(Some(error)) | Err(error), _) => Outcome::Failed(error),
            (Ok(None), Ok(_)) => Outcome::Connected,
            (Ok(None), Err(_)) if cfg!(windows) && self.has_broken() => Outcome::Reset,
            (Ok(None), Err(error)) => Outcome::NoPeer(error),
        }
    }

    /// Whether a TCP stream that has neither an error nor a peer was connected and reset. On Windows nothing else shows it,
    /// and nothing more happens to the socket.
    fn has_broken(&self) -> bool {
        match self {
            Self::TcpStream(stream) => match stream.peek(&mut [0]) {
                Ok(_) => true,
                Err(error) => is_reset(&error),
            },
            _ => false,
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

impl SocketOptions {
    fn connect(&self, to: SocketAddr) -> io::Result<Io> {
        let socket =
            socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if let Some(bytes) = self.recv_buffer {
            option("SO_RCVBUF", socket.set_recv_buffer_size(bytes))?;
        }
        if let Some(bytes) = self.send_buffer {
            option("SO_SNDBUF", socket.set_send_buffer_size(bytes))?;
        }
        if let Some(idle) = self.keepalive {
            let idle = TcpKeepalive::new().with_time(idle.clamp(SHORTEST_IDLE, LONGEST_IDLE));
            option("SO_KEEPALIVE", socket.set_tcp_keepalive(&idle))?;
        }
        if self.reuse_addr {
            option("SO_REUSEADDR", socket.set_reuse_address(true))?;
        }
        if let Some(source) = self.source {
            let bound = if source.is_ipv4() == to.is_ipv4() {
                socket.bind(&source.into())
            } else {
                let text = format!("{to} is of the other IP version");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            };
            option(&format!("the source address {source}"), bound)?;
        }
        begin(&SockRef::from(&socket), &to.into())?;
        Ok(Io::TcpStream(mio::net::TcpStream::from_std(socket.into())))
    }
}

/// Begins to connect a non-blocking socket.
fn begin(socket: &SockRef<'_>, to: &SockAddr) -> io::Result<()> {
    match socket.connect(to) {
        Err(error) if is_in_progress(&error) => Ok(()),
        answer => answer,
    }
}

fn option(name: &str, answer: io::Result<()>) -> io::Result<()> {
    answer.map_err(|error| {
        let name = name.to_owned();
        io::Error::new(error.kind(), CannotSet { name, error })
    })
}

/// Inside an [`io::Error`]: the system's own error does not name the option.
#[derive(Debug)]
struct CannotSet {
    name: String,
    error: io::Error,
}

impl fmt::Display for CannotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set {}: {}", self.name, self.error)
    }
}

impl Error for CannotSet {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

pub(crate) fn connect(address: &Address, options: Option<&SocketOptions>) -> io::Result<Io> {
    match address {
        Address::Inet(addr) => match options {
            Some(options) => options.connect(*addr),
            None => mio::net::TcpStream::connect(*addr).map(Io::TcpStream),
        },
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

fn sock_addr(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Inet(addr) => Ok((*addr).into()),
        #[cfg(unix)]
        Address::Unix(path) => SockAddr::unix(path),
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => {
            use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
            SockAddr::unix(OsStr::from_bytes(&[&[0], &name[..]].concat()))
        }
        other => Err(unsupported("connect to", other)),
    }
}

/// Begins to connect a socket that was made elsewhere and is non-blocking.
pub(crate) fn connect_stream(io: &Io, address: &Address) -> io::Result<()> {
    let to = sock_addr(address)?;
    match io {
        Io::TcpStream(stream) => begin(&SockRef::from(stream), &to),
        #[cfg(unix)]
        Io::UnixStream(stream) => begin(&SockRef::from(stream), &to),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
