//! The result of `accept`: a connected stream that belongs to no reactor yet.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::{io, net::SocketAddr, sync::atomic::AtomicBool};

use bytes::Bytes;

use crate::{
    address::Address,
    net::{io::Io, peers::Place},
};

/// A connected stream from `accept`, not registered anywhere yet. Dropping it closes it.
///
/// It can be registered here, or sent to another thread's reactor through its [`Handle`](crate::Handle):
///
/// ```
/// use asynchat::{Address, Channel, Dispatcher, Handle, Result, Stream};
///
/// /// Hands each connection to the reactor of a worker thread.
/// struct Distributor {
///     worker: Handle,
/// }
/// impl Dispatcher for Distributor {
///     fn handle_accepted(&mut self, _: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
///         stream.set_nodelay(true)?;
///         self.worker.call_soon(move |registry| {
///             registry.register(stream, Session)?;
///             Ok(())
///         })?;
///         Ok(())
///     }
/// }
///
/// struct Session;
/// impl Dispatcher for Session {}
/// ```
#[derive(Debug)]
pub struct Stream {
    pub(crate) io: Io,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) serial: u64,
    /// Of a listener that counts the connections of each peer.
    pub(crate) place: Option<Box<Place>>,
    /// What came with the header of the PROXY protocol: read before the socket.
    pub(crate) unread: Bytes,
    /// Whether duplicates of the descriptor may be about. Atomic, so that a `Stream` is `Sync`.
    pub(crate) lent: AtomicBool,
}

impl Stream {
    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.io.local_addr()
    }

    /// The address of the peer, as `handle_accepted` was told.
    ///
    /// # Errors
    /// Those of `getpeername` for a Unix stream.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.peer
            .map_or_else(|| self.io.peer_addr(), |peer| Ok(peer.into()))
    }

    /// Switches Nagle's algorithm off (`true`) or on. Does nothing for a Unix stream.
    ///
    /// [`ListenOptions::nodelay`](crate::ListenOptions::nodelay) does it once for all accepted streams.
    ///
    /// # Errors
    /// Those of `setsockopt`.
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
        self.lent.store(true, std::sync::atomic::Ordering::Relaxed);
        match &self.io {
            Io::TcpStream(stream) => stream.as_fd(),
            Io::UnixStream(stream) => stream.as_fd(),
            #[cfg(feature = "testing")]
            Io::MemoryStream(_) => panic!("a stream in memory has no descriptor"),
            // A `Stream` is made by `accept` alone, of the kinds above.
            other => unreachable!("accept never gives {other:?}"),
        }
    }
}
