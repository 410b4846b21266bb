//! What every mode does once: the limits, the listening socket, the end on SIGTERM.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Listens on the loopback.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    let at_once = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGTERM, 0, at_once)?;

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it on Linux, which spares a call for each of them.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Tells whoever started the server that it listens.
pub(crate) fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(b"ready\n")?;
    stdout.flush()
}

/// Reads once; `None` where nothing is there.
#[inline(always)]
pub(crate) fn receive(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(into) {
            Ok(got) => return Ok(Some(got)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes once and says how much was taken. Less than all of it means a full socket, and that an
/// event will follow: a second write would learn no more.
#[inline(always)]
pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(sent) => return Ok(sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a full socket refused, until it takes it.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    sent: usize,
}

impl Held {
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Sends `bytes`, behind which nothing is held, and keeps the rest. Whether all of it went.
    #[inline(always)]
    pub(crate) fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<bool> {
        let sent = send(stream, bytes)?;
        if sent < bytes.len() {
            self.keep(&bytes[sent..]);
            return Ok(false);
        }
        Ok(true)
    }

    #[cold]
    fn keep(&mut self, rest: &[u8]) {
        self.bytes = rest.to_vec();
        self.sent = 0;
    }

    /// Whether all that was held has gone.
    #[cold]
    pub(crate) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        self.sent += send(stream, &self.bytes[self.sent..])?;
        if self.sent < self.bytes.len() {
            return Ok(false);
        }
        // An idle connection keeps no memory for a stall it once had.
        self.bytes = Vec::new();
        Ok(true)
    }
}
