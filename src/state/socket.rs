//! The sockets that callers register, and get back when they detach a channel.

#[cfg(unix)]
use std::{fs::File, os::fd::OwnedFd};
use std::{
    io,
    net::{self, SocketAddr},
};

use bytes::Bytes;

#[cfg(unix)]
use crate::net::io::on_socket;
use crate::{
    address::Address,
    net::{
        io::{Io, Role},
        peers::Place,
        stream::Stream,
    },
    state::layer::Layer,
};

/// A socket or descriptor to be registered. Functions that need one take anything that converts into it.
///
/// It is made from the sockets of `std`, from an accepted [`Stream`] and, on Unix, from any pollable descriptor
/// (`OwnedFd`, `File`, the pipes of a child process). Sockets of mio and socket2 convert into those of `std` first.
/// Registering makes it non-blocking. If the open file description is shared (a terminal, an inherited pipe), it becomes
/// non-blocking for its other owners too.
///
/// A listener passed on by the service manager is registered like any other; the [guide](crate::guide) shows it for
/// systemd.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let socket = asynchat::Socket::from(listener);
/// println!("bound to {}", socket.local_addr()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Socket {
    pub(crate) io: Io,
    /// Made elsewhere: it is still to be set non-blocking, and may be connecting.
    pub(crate) adopted: bool,
    /// Whether duplicates of the descriptor may be about, which keep a registration alive.
    pub(crate) lent: bool,
    /// The serial of the accepted stream it was; 0 for all others.
    pub(crate) serial: u64,
    pub(crate) peer: Option<SocketAddr>,
    /// Of an accepted stream that counts against `max_per_peer`.
    pub(crate) place: Option<Box<Place>>,
    /// Read before the socket.
    pub(crate) unread: Bytes,
    /// The filter that a detached channel had.
    pub(crate) layer: Option<Box<Layer>>,
}

impl Socket {
    fn adopted(io: Io) -> Self {
        Self {
            io,
            adopted: true,
            lent: true,
            serial: 0,
            peer: None,
            place: None,
            unread: Bytes::new(),
            layer: None,
        }
    }

    pub(crate) fn own(io: Io) -> Self {
        Self {
            io,
            adopted: false,
            lent: false,
            serial: 0,
            peer: None,
            place: None,
            unread: Bytes::new(),
            layer: None,
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.io {
            Io::Absent => Ok(()),
            #[cfg(feature = "testing")]
            Io::MemoryStream(_) | Io::MemoryListener(_) => Ok(()),
            #[cfg(unix)]
            io => socket2::SockRef::from(&io.as_fd()?).set_nonblocking(true),
            #[cfg(windows)]
            Io::TcpListener(socket) => socket2::SockRef::from(socket).set_nonblocking(true),
            #[cfg(windows)]
            Io::TcpStream(socket) => socket2::SockRef::from(socket).set_nonblocking(true),
            #[cfg(windows)]
            Io::Udp(socket) => socket2::SockRef::from(socket).set_nonblocking(true),
        }
    }

    /// The TCP stream in it, for the standard library; non-blocking. [`Channel::detach`](crate::Channel::detach) has an
    /// example.
    ///
    /// # Errors
    /// The socket itself, if it is not a TCP stream, if it has a [filter](crate::Channel::upgrade), which would be lost,
    /// or if bytes of it were read with its PROXY header
    /// ([`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol)) and it was not registered since.
    #[cfg_attr(
        windows,
        expect(clippy::result_large_err, reason = "mio's sockets are larger there")
    )]
    pub fn into_tcp_stream(self) -> Result<net::TcpStream, Self> {
        match self.io {
            Io::TcpStream(stream) if self.unread.is_empty() && self.layer.is_none() => {
                Ok(stream.into())
            }
            io => Err(Self { io, ..self }),
        }
    }

    /// The descriptor, of any kind of socket; non-blocking.
    ///
    /// # Errors
    /// Never for a socket without a filter from [`Channel::detach`](crate::Channel::detach), except one in memory of the
    /// testing kit. For others as with [`into_tcp_stream`](Self::into_tcp_stream).
    #[cfg(unix)]
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        if !self.unread.is_empty() {
            return Err(io::Error::other(
                "bytes of it were read with its PROXY header",
            ));
        }
        if self.layer.is_some() {
            return Err(io::Error::other("its filter would be lost"));
        }
        on_socket!(self.io, s => Ok(s.into()), fd file => Ok(file.into()))
    }

    /// The address the socket is bound to. A descriptor that is no socket has [`Address::Unnamed`].
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.io.local_addr()
    }
}

impl Socket {
    /// As a stream that can connect: a bare descriptor says first what it is.
    pub(crate) fn into_stream(self) -> io::Result<Io> {
        let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        match self.io {
            #[cfg(unix)]
            Io::Fd(file) => {
                let fd = std::os::fd::OwnedFd::from(file);
                let socket = socket2::SockRef::from(&fd);
                if !matches!(socket.r#type(), Ok(socket2::Type::STREAM)) {
                    return refused("only a stream socket can be connected");
                }
                let is_unix = socket.local_addr()?.is_unix();
                Ok(if is_unix {
                    Io::UnixStream(mio::net::UnixStream::from_std(fd.into()))
                } else {
                    Io::TcpStream(mio::net::TcpStream::from_std(fd.into()))
                })
            }
            io if io.role() == Role::Stream => Ok(io),
            _ => refused("only a stream socket can be connected"),
        }
    }

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

macro_rules! socket_from {
    ($($(#[$cfg:meta])* $std:ty, $mio:ty => $variant:ident;)*) => {$(
        $(#[$cfg])*
        impl From<$std> for Socket {
            fn from(socket: $std) -> Self {
                Self::adopted(Io::$variant(<$mio>::from_std(socket)))
            }
        }
    )*};
}

socket_from! {
    net::TcpListener, mio::net::TcpListener => TcpListener;
    net::TcpStream, mio::net::TcpStream => TcpStream;
    net::UdpSocket, mio::net::UdpSocket => Udp;
    #[cfg(unix)] std::os::unix::net::UnixListener, mio::net::UnixListener => UnixListener;
    #[cfg(unix)] std::os::unix::net::UnixStream, mio::net::UnixStream => UnixStream;
    #[cfg(unix)] std::os::unix::net::UnixDatagram, mio::net::UnixDatagram => UnixDatagram;
}

macro_rules! socket_from_fd {
    ($($fd:ty),*) => {$(
        #[cfg(unix)]
        impl From<$fd> for Socket {
            fn from(fd: $fd) -> Self {
                Self::adopted(Io::Fd(OwnedFd::from(fd).into()))
            }
        }
    )*};
}

socket_from_fd!(
    OwnedFd,
    File,
    std::io::PipeReader,
    std::io::PipeWriter,
    std::process::ChildStdin,
    std::process::ChildStdout,
    std::process::ChildStderr
);

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self {
            io: stream.io,
            adopted: false,
            lent: stream.lent.into_inner(),
            serial: stream.serial,
            peer: stream.peer,
            place: stream.place,
            unread: stream.unread,
            layer: None,
        }
    }
}
