//! What `accept` hands out: a connected stream that belongs to no reactor yet.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::{io, net::SocketAddr};

use crate::{address::Address, net::io::Io};

/// A connected stream as `accept` gives it: not registered anywhere yet, and closed when dropped.
///
/// It can be registered here, or sent to another thread's reactor through its [`Handle`](crate::Handle).
#[derive(Debug)]
pub struct Stream {
    pub(crate) io: Io,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) serial: u64,
}

impl Stream {
    /// The address of this end.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.io.local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the peer has already reset the connection.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.io.peer_addr()
    }

    /// Switches Nagle's algorithm off (`true`) or on; nothing for a Unix stream.
    ///
    /// [`ListenOptions::nodelay`](crate::ListenOptions::nodelay) does it once for all accepted streams.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match &self.io {
            Io::TcpStream(stream) => stream.set_nodelay(on),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.io {
            Io::TcpStream(stream) => stream.as_fd(),
            Io::UnixStream(stream) => stream.as_fd(),
            #[cfg(feature = "testing")]
            Io::MemoryStream(_) => panic!("a stream in memory has no descriptor"),
            other => unreachable!("accept never gives {other:?}"),
        }
    }
}
