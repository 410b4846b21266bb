//! Every kind of socket behind one type, and the system calls on it. Everything goes through mio's types, because some
//! of its backends must see each call.

#[cfg(unix)]
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
};
use std::{
    io::{self, IoSlice, Read, Write},
    net,
    time::Duration,
};

use mio::{Interest, Token};

#[cfg(windows)]
use crate::net::datagram::look_up_sender;
use crate::{
    address::Address,
    net::{
        datagram::{cut_datagram, skip_earlier},
        readiness::SHORT_MEANS_DRAINED,
    },
};

#[cfg(any(target_os = "linux", target_os = "android"))]
const MSG_NOSIGNAL: std::ffi::c_int = 0x4000;

#[derive(Debug)]
pub(crate) enum Io {
    /// A connection attempt that failed before there was a socket to keep.
    Absent,
    TcpListener(mio::net::TcpListener),
    TcpStream(mio::net::TcpStream),
    Udp(mio::net::UdpSocket),
    #[cfg(unix)]
    UnixListener(mio::net::UnixListener),
    #[cfg(unix)]
    UnixStream(mio::net::UnixStream),
    #[cfg(unix)]
    UnixDatagram(mio::net::UnixDatagram),
    #[cfg(unix)]
    Fd(File),
    #[cfg(feature = "testing")]
    MemoryStream(crate::net::memory::End),
    #[cfg(feature = "testing")]
    MemoryListener(crate::net::memory::End),
}

/// The operations that a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Listener,
    Stream,
    Datagram,
    /// A byte stream without shutdown and without a peer address.
    Fd,
}

/// Evaluates `$call` on the socket of any kind, `$fd` on another descriptor, `$test` on a connection in memory.
macro_rules! on_socket {
    ($io:expr, $s:ident => $call:expr, fd $f:ident => $fd:expr) => {
        on_socket!($io, $s => $call, fd $f => $fd, test _end => Err(io::ErrorKind::Unsupported.into()))
    };
    ($io:expr, $s:ident => $call:expr, fd $f:ident => $fd:expr, test $t:ident => $test:expr) => {
        match $io {
            Io::Absent => Err(io::ErrorKind::NotConnected.into()),
            Io::TcpListener($s) => $call,
            Io::TcpStream($s) => $call,
            Io::Udp($s) => $call,
            #[cfg(unix)]
            Io::UnixListener($s) => $call,
            #[cfg(unix)]
            Io::UnixStream($s) => $call,
            #[cfg(unix)]
            Io::UnixDatagram($s) => $call,
            #[cfg(unix)]
            Io::Fd($f) => $fd,
            #[cfg(feature = "testing")]
            Io::MemoryStream($t) | Io::MemoryListener($t) => $test,
        }
    };
}

#[cfg(unix)]
pub(crate) use on_socket;

impl Io {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::TcpListener(_) => Role::Listener,
            Self::Absent | Self::TcpStream(_) => Role::Stream,
            Self::Udp(_) => Role::Datagram,
            #[cfg(unix)]
            Self::UnixListener(_) => Role::Listener,
            #[cfg(unix)]
            Self::UnixStream(_) => Role::Stream,
            #[cfg(unix)]
            Self::UnixDatagram(_) => Role::Datagram,
            #[cfg(unix)]
            Self::Fd(_) => Role::Fd,
            #[cfg(feature = "testing")]
            Self::MemoryStream(_) => Role::Stream,
            #[cfg(feature = "testing")]
            Self::MemoryListener(_) => Role::Listener,
        }
    }

    #[inline]
    pub(crate) fn is_tcp_stream(&self) -> bool {
        #[cfg(feature = "testing")]
        if matches!(self, Self::MemoryStream(_)) {
            return true;
        }
        matches!(self, Self::TcpStream(_))
    }

    /// Whether `WouldBlock` may be about one receiver: each Unix datagram socket has a queue, and the sender has none.
    pub(crate) fn may_block_for_one_peer(&self) -> bool {
        #[cfg(unix)]
        return matches!(self, Self::UnixDatagram(_));
        #[cfg(not(unix))]
        return false;
    }

    /// Whether this is a TCP stream without a peer: most likely one that is still connecting.
    pub(crate) fn is_unconnected(&self) -> bool {
        let Self::TcpStream(stream) = self else {
            return false;
        };
        matches!(stream.peer_addr(), Err(error) if error.kind() == io::ErrorKind::NotConnected)
    }

    /// Whether a TCP stream without a peer was connected once: it gives the rest of what arrived, or an end of file.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::TcpStream(stream) if stream.peek(&mut [0]).is_ok())
    }

    /// A regular file is always ready, which no poller can report (epoll: EPERM).
    #[cfg(unix)]
    pub(crate) fn check_pollable(&self) -> io::Result<()> {
        let Self::Fd(file) = self else {
            return Ok(());
        };
        let kind = file.metadata()?.file_type();
        if kind.is_file() || kind.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a regular file or directory cannot be watched for readiness: read it directly, or push it with a producer",
            ));
        }
        Ok(())
    }

    /// Whether this is a FIFO or terminal, where another writer, or more of what is typed, may follow an end of file.
    #[cfg(unix)]
    pub(crate) fn may_go_on_after_end(&self) -> bool {
        use std::os::unix::fs::FileTypeExt;
        let Self::Fd(file) = self else {
            return false;
        };
        file.metadata().is_ok_and(|metadata| {
            let kind = metadata.file_type();
            kind.is_fifo() || kind.is_char_device()
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn may_go_on_after_end(&self) -> bool {
        false
    }

    #[cfg(not(unix))]
    pub(crate) fn check_pollable(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn register(&mut self, poll: &mio::Registry, token: Token) -> io::Result<()> {
        let interest = self.interest();
        on_socket!(self, s => poll.register(s, token, interest),
            fd f => poll.register(&mut mio::unix::SourceFd(&std::os::fd::AsRawFd::as_raw_fd(f)), token, interest),
            test end => { end.register(token); Ok(()) })
    }

    pub(crate) fn deregister(&mut self, poll: &mio::Registry) -> io::Result<()> {
        on_socket!(self, s => poll.deregister(s),
            fd f => poll.deregister(&mut mio::unix::SourceFd(&std::os::fd::AsRawFd::as_raw_fd(f))),
            test end => { end.deregister(); Ok(()) })
    }

    /// Asks a poller that reports each readiness once (poll(2)) to report it again.
    pub(crate) fn rearm(&mut self, poll: &mio::Registry, token: Token) {
        if SHORT_MEANS_DRAINED {
            return;
        }
        let interest = self.interest();
        let rearmed: io::Result<()> = on_socket!(self, s => poll.reregister(s, token, interest),
            fd f => poll.reregister(&mut mio::unix::SourceFd(&std::os::fd::AsRawFd::as_raw_fd(f)), token, interest),
            test _end => Ok(()));
        if let Err(error) = rearmed {
            log::debug!(target: "asynchat::reactor", "re-arming {token:?}: {error}");
        }
    }

    fn interest(&self) -> Interest {
        match self.role() {
            Role::Listener => Interest::READABLE,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Role::Stream => Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY,
            _ => Interest::READABLE | Interest::WRITABLE,
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        on_socket!(self, s => s.local_addr().map(Address::from), fd _f => Ok(Address::Unnamed),
            test end => Ok(end.local_addr()))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        match self {
            Self::TcpStream(s) => s.peer_addr().map(Address::from),
            Self::Udp(s) => s.peer_addr().map(Address::from),
            #[cfg(unix)]
            Self::UnixStream(s) => s.peer_addr().map(Address::from),
            #[cfg(unix)]
            Self::UnixDatagram(s) => s.peer_addr().map(Address::from),
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.peer_addr(),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        on_socket!(self, s => s.take_error(), fd _f => Ok(None), test end => Ok(end.take_error()))
    }

    #[inline]
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::TcpStream(s) => (&*s).read(buf),
            other => other.read_other(buf),
        }
    }

    /// The same of a TCP or Unix stream alone.
    #[inline(always)]
    pub(crate) fn read_stream(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        match self {
            Self::TcpStream(s) => Some((&*s).read(buf)),
            #[cfg(unix)]
            Self::UnixStream(s) => Some((&*s).read(buf)),
            _ => None,
        }
    }

    fn read_other(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(s) => cut_datagram(skip_earlier(s, s.recv(buf)), buf.len()),
            #[cfg(unix)]
            Self::UnixStream(s) => (&*s).read(buf),
            #[cfg(unix)]
            Self::UnixDatagram(s) => s.recv(buf),
            #[cfg(unix)]
            Self::Fd(file) => (&*file).read(buf),
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.read(buf),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    pub(crate) fn write(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::TcpStream(s) => (&*s).write(data),
            other => other.write_other(data),
        }
    }

    /// The same of a TCP or Unix stream alone.
    #[inline(always)]
    pub(crate) fn write_stream(&self, data: &[u8]) -> Option<io::Result<usize>> {
        match self {
            Self::TcpStream(s) => Some((&*s).write(data)),
            #[cfg(unix)]
            Self::UnixStream(s) => Some((&*s).write(data)),
            _ => None,
        }
    }

    fn write_other(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(s) => skip_earlier(s, s.send(data)),
            #[cfg(unix)]
            Self::UnixStream(s) => (&*s).write(data),
            #[cfg(unix)]
            Self::UnixDatagram(s) => s.send(data),
            #[cfg(unix)]
            Self::Fd(file) => (&*file).write(data),
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.write(data),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::TcpStream(s) => (&*s).write_vectored(slices),
            #[cfg(unix)]
            Self::UnixStream(s) => (&*s).write_vectored(slices),
            #[cfg(unix)]
            Self::Fd(file) => (&*file).write_vectored(slices),
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.write_vectored(slices),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes bytes that a file follows at once: on TCP the head of an answer then leaves in one packet with the
    /// beginning of the file. The kernel waits for the file for 200 ms at most.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn write_before_file(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        const MSG_MORE: std::ffi::c_int = 0x8000;
        match self {
            Self::TcpStream(s) => s.try_io(|| {
                socket2::SockRef::from(s).send_vectored_with_flags(slices, MSG_MORE | MSG_NOSIGNAL)
            }),
            _ => self.write_vectored(slices),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn write_before_file(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(slices)
    }

    /// Sends from a file without reading it. `Unsupported` if the system cannot, or cannot report how much it sent: the
    /// other systems' calls may both send bytes and fail, and socket2 then reports only the failure.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn send_file(&self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let offset = isize::try_from(offset)
            .ok()
            .filter(|at| at.checked_add_unsigned(len).is_some());
        let (Some(offset), Some(len)) = (offset, std::num::NonZeroUsize::new(len)) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let offset = offset.cast_unsigned();
        // Through mio, which on poll(2) has to see the `WouldBlock`.
        match self {
            Self::TcpStream(s) => {
                s.try_io(|| socket2::SockRef::from(s).sendfile(file, offset, Some(len)))
            }
            Self::UnixStream(s) => {
                s.try_io(|| socket2::SockRef::from(s).sendfile(file, offset, Some(len)))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn send_file(&self, _: &std::fs::File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        match self {
            #[cfg(not(windows))]
            Self::Udp(s) => s.recv_from(buf).map(|(n, from)| (n, from.into())),
            // The error of a datagram that is cut has no sender, so the sender is looked up first.
            #[cfg(windows)]
            Self::Udp(s) => {
                let look = || s.try_io(|| socket2::SockRef::from(s).peek_sender());
                match look_up_sender(look) {
                    Ok(Some(from)) => {
                        let from = from.as_socket().map_or(Address::Unnamed, Address::from);
                        Ok((self.read_other(buf)?, from))
                    }
                    Ok(None) => {
                        let mut sender = Address::Unnamed;
                        let read = s.recv_from(buf).map(|(n, from)| {
                            sender = from.into();
                            n
                        });
                        skip_earlier(s, cut_datagram(read, buf.len())).map(|n| (n, sender))
                    }
                    Err(error) => skip_earlier(s, Err(error)),
                }
            }
            #[cfg(unix)]
            Self::UnixDatagram(s) => s.recv_from(buf).map(|(n, from)| (n, from.into())),
            _ => Err(not_a("datagram socket")),
        }
    }

    pub(crate) fn send_to(&self, data: &[u8], to: &Address) -> io::Result<usize> {
        match (self, to) {
            (Self::Udp(s), Address::Inet(to)) => skip_earlier(s, s.send_to(data, *to)),
            #[cfg(unix)]
            (Self::UnixDatagram(s), Address::Unix(path)) => s.send_to(data, path),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (Self::UnixDatagram(s), Address::Abstract(name)) => {
                use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
                // mio knows paths only. For socket2 a path that begins with NUL is an abstract name.
                let name = [&[0], &name[..]].concat();
                let to = socket2::SockAddr::unix(OsStr::from_bytes(&name))?;
                s.try_io(|| socket2::SockRef::from(s).send_to_with_flags(data, &to, MSG_NOSIGNAL))
            }
            (Self::Udp(_), to) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a UDP socket cannot send to {to}"),
            )),
            #[cfg(unix)]
            (Self::UnixDatagram(_), to) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a Unix datagram socket cannot send to {to}"),
            )),
            _ => Err(not_a("datagram socket")),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(Self, Address)> {
        match self {
            Self::TcpListener(s) => s
                .accept()
                .map(|(stream, peer)| (Self::TcpStream(stream), peer.into())),
            #[cfg(unix)]
            Self::UnixListener(s) => s
                .accept()
                .map(|(stream, peer)| (Self::UnixStream(stream), peer.into())),
            #[cfg(feature = "testing")]
            Self::MemoryListener(end) => end
                .accept()
                .map(|(end, peer)| (Self::MemoryStream(end), peer)),
            _ => Err(not_a("listener")),
        }
    }

    /// Has the close of a TCP stream send a reset instead of an end of file. Other streams have none.
    pub(crate) fn reset_on_close(&self) {
        match self {
            Self::TcpStream(s) => {
                let set = socket2::SockRef::from(s).set_linger(Some(Duration::ZERO));
                if let Err(error) = set {
                    log::debug!(target: "asynchat::channel", "a reset cannot be sent: {error}");
                }
            }
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.abort_on_close(),
            _ => {}
        }
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::TcpStream(s) => s.shutdown(net::Shutdown::Write),
            #[cfg(unix)]
            Self::UnixStream(s) => s.shutdown(net::Shutdown::Write),
            #[cfg(feature = "testing")]
            Self::MemoryStream(end) => end.shutdown_write(),
            _ => Err(not_a("stream socket")),
        }
    }

    /// Makes a call on the descriptor. On poll(2) and Windows mio sees its `WouldBlock`; that of [`Io::Fd`] is for `rearm`.
    #[cfg(unix)]
    pub(crate) fn try_io<R>(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        match self {
            Self::TcpStream(s) => s.try_io(|| call(s.as_fd())),
            Self::Udp(s) => s.try_io(|| call(s.as_fd())),
            Self::UnixStream(s) => s.try_io(|| call(s.as_fd())),
            Self::UnixDatagram(s) => s.try_io(|| call(s.as_fd())),
            other => call(other.as_fd()?),
        }
    }

    #[cfg(windows)]
    pub(crate) fn try_io<R>(
        &self,
        call: impl FnOnce(std::os::windows::io::BorrowedSocket<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        use std::os::windows::io::AsSocket;
        match self {
            Self::TcpStream(s) => s.try_io(|| call(s.as_socket())),
            Self::Udp(s) => s.try_io(|| call(s.as_socket())),
            other => call(other.as_socket()?),
        }
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        on_socket!(self, s => Ok(s.as_fd()), fd f => Ok(f.as_fd()))
    }

    #[cfg(windows)]
    pub(crate) fn as_socket(&self) -> io::Result<std::os::windows::io::BorrowedSocket<'_>> {
        use std::os::windows::io::AsSocket;
        on_socket!(self, s => Ok(s.as_socket()), fd f => Ok(f))
    }
}

fn not_a(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("not a {what}"))
}

#[cfg(all(test, target_os = "linux", not(debug_assertions)))]
mod size {
    #[test]
    fn an_open_socket_is_eight_bytes() {
        assert_eq!(size_of::<super::Io>(), 8);
    }
}
