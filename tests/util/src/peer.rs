//! Plain std sockets as the other side: connected pairs, resets, ports that refuse, and reading while a reactor turns.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    time::{Duration, Instant},
};

use asynchat::{Channel, ChannelId, Dispatcher, Reactor};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{DEADLINE, lacks, settle};

#[cfg(not(unix))]
pub use std::net::TcpStream as LocalStream;
/// A stream of this machine that comes in pairs: a Unix one, or a TCP one on loopback where there are none.
#[cfg(unix)]
pub use std::os::unix::net::UnixStream as LocalStream;

/// Two connected streams, for tests to which the kind of stream does not matter.
#[cfg(unix)]
pub fn pair() -> (LocalStream, LocalStream) {
    LocalStream::pair().unwrap()
}

#[cfg(not(unix))]
pub fn pair() -> (LocalStream, LocalStream) {
    tcp_pair()
}

/// A socket without its type.
#[cfg(unix)]
pub use std::os::fd::OwnedFd as OwnedHandle;
#[cfg(windows)]
pub use std::os::windows::io::OwnedSocket as OwnedHandle;

/// The channel's socket, for options of the system.
#[cfg(unix)]
pub fn borrowed<'c>(channel: &'c Channel<'_>) -> std::io::Result<std::os::fd::BorrowedFd<'c>> {
    channel.as_fd()
}

#[cfg(windows)]
pub fn borrowed<'c>(
    channel: &'c Channel<'_>,
) -> std::io::Result<std::os::windows::io::BorrowedSocket<'c>> {
    channel.as_socket()
}

/// Two connected TCP sockets on loopback.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, from) = listener.accept().unwrap();
    assert_eq!(from, ours.local_addr().unwrap());
    (ours, theirs)
}

/// Serves one end of a TCP connection, past its greeting, and gives the other end.
pub fn settled(reactor: &mut Reactor, object: impl Dispatcher) -> (ChannelId, TcpStream) {
    let (ours, theirs) = tcp_pair();
    let id = reactor.register(ours, object).unwrap();
    settle(reactor);
    (id, theirs)
}

/// Two connected TCP sockets with small buffers: `ours` cannot send far ahead of what `theirs` reads.
pub fn narrow_tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = listener.accept().unwrap().0;
    SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    (ours, theirs)
}

/// The same of this machine's streams. Of Unix ones the send buffer is all that there is.
#[cfg(unix)]
pub fn narrow_pair() -> (LocalStream, LocalStream) {
    let (ours, theirs) = pair();
    SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    (ours, theirs)
}

#[cfg(not(unix))]
pub fn narrow_pair() -> (LocalStream, LocalStream) {
    narrow_tcp_pair()
}

/// Closes with a reset instead of an end of file.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// What tests need of a system and not every system has: found once, by sockets that no reactor serves. A line says if it
/// is missing.
macro_rules! probe {
    ($(#[$doc:meta])* $name:ident, $missing:literal, $has:expr) => {
        $(#[$doc])*
        pub fn $name() -> bool {
            static HAS: LazyLock<bool> = LazyLock::new(|| {
                let has: bool = $has;
                if !has {
                    lacks($missing);
                }
                has
            });
            *HAS
        }
    };
}

probe! {
    /// Whether this system tells a reset from an end of file when a plain socket reads. Wine does not.
    tells_resets, "this system reads a reset as an end of file", {
        let (mut ours, theirs) = tcp_pair();
        reset(theirs);
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        ours.read(&mut [0]).is_err()
    }
}

probe! {
    /// Whether a plain socket reads what arrived before a reset.
    keeps_input_before_resets, "this system throws away what arrived before a reset", {
        let (mut ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        reset(theirs);
        // Until the reset has arrived.
        while ours.write_all(&[0]).is_ok() {}
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        matches!(ours.read(&mut [0]), Ok(1))
    }
}

probe! {
    /// Whether `accept` gives a connection that was reset while it waited.
    accepts_resets, "accept of this system gives no connection that was reset", {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let first = TcpStream::connect(address).unwrap();
        let port = first.local_addr().unwrap().port();
        reset(first);
        // Or it would wait where the first is forgotten.
        let _second = TcpStream::connect(address).unwrap();
        matches!(listener.accept(), Ok((_, from)) if from.port() == port)
    }
}

probe! {
    /// Whether mio reports an end that comes behind data that nobody has read. Under wine it does not.
    announces_ends_behind_data, "the poller of this system sees no end behind unread data", {
        let (ours, mut theirs) = tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let mut ours = mio::net::TcpStream::from_std(ours);
        let mut poll = mio::Poll::new().unwrap();
        let readable = mio::Interest::READABLE;
        poll.registry().register(&mut ours, mio::Token(0), readable).unwrap();
        let mut events = mio::Events::with_capacity(1);
        theirs.write_all(b"x").unwrap();
        poll.poll(&mut events, Some(DEADLINE)).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        events.iter().any(mio::event::Event::is_read_closed)
    }
}

/// A loopback address that refuses connections as long as the socket lives: bound, so that nobody else gets the
/// port, but not listening.
pub fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A listener whose queue is full, so that a further connect gets no answer; with what fills it.
pub fn unanswering() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue of {address} never fills");
    }
    (listener, address, waiting)
}

/// Reads from `stream`, turning the reactor meanwhile, until `done` is satisfied with what came or the stream ends.
#[track_caller]
pub fn read_while(
    reactor: &mut Reactor,
    stream: &mut (impl Read + NonBlocking),
    mut done: impl FnMut(&[u8]) -> bool,
) -> Vec<u8> {
    stream.set_nonblocking();
    let end = Instant::now() + DEADLINE;
    let mut received = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while !done(&received) {
        assert!(
            Instant::now() < end,
            "{} bytes, then nothing within {DEADLINE:?}",
            received.len()
        );
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => received.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                reactor.turn(Some(Duration::from_millis(1))).unwrap();
            }
            Err(error) => panic!("after {} bytes: {error}", received.len()),
        }
    }
    received
}

/// Reads until the end of file, turning the reactor meanwhile.
#[track_caller]
pub fn read_to_end(reactor: &mut Reactor, stream: &mut (impl Read + NonBlocking)) -> Vec<u8> {
    read_while(reactor, stream, |_| false)
}

pub trait NonBlocking {
    fn set_nonblocking(&self);
}

impl NonBlocking for TcpStream {
    fn set_nonblocking(&self) {
        TcpStream::set_nonblocking(self, true).unwrap();
    }
}

#[cfg(unix)]
impl NonBlocking for LocalStream {
    fn set_nonblocking(&self) {
        LocalStream::set_nonblocking(self, true).unwrap();
    }
}

/// Turns `n` times without waiting and gives the number of callbacks.
pub fn turns(reactor: &mut Reactor, n: usize) -> usize {
    (0..n)
        .map(|_| reactor.turn(Some(Duration::ZERO)).unwrap().callbacks)
        .sum()
}
