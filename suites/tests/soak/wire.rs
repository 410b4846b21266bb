//! The clients' side of a connection: blocking sockets that know what is to come.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use socket2::{SockAddr, Socket, Type};

/// What went wrong, in words.
pub type Step<T = ()> = Result<T, String>;

/// Far longer than anything that is only late; whoever waits so long hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An error with what was being done.
pub fn at<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

pub fn connect(to: &SockAddr) -> Step<Socket> {
    connect_with(to, |_| Ok(()))
}

/// Connects a socket that `set` has seen before.
pub fn connect_with(
    to: &SockAddr,
    set: impl FnOnce(&Socket) -> std::io::Result<()>,
) -> Step<Socket> {
    let make = || {
        let socket = Socket::new(to.domain(), Type::STREAM, None)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        if !to.is_unix() {
            socket.set_tcp_nodelay(true)?;
        }
        set(&socket)?;
        socket.connect(to)?;
        Ok(socket)
    };
    make().map_err(at::<std::io::Error>("connecting"))
}

/// The smallest receive buffer there is, so that the server feels early that nobody reads.
pub fn connect_narrow(to: &SockAddr) -> Step<Socket> {
    connect_with(to, |socket| socket.set_recv_buffer_size(1))
}

pub fn send(mut socket: &Socket, data: &[u8]) -> Step {
    socket.write_all(data).map_err(at("sending"))
}

/// Reads what is to come, and looks at each piece.
pub fn expect(mut from: impl Read, wanted: &[u8]) -> Step {
    let mut piece = [0; 16 * 1024];
    let mut got = 0;
    while got < wanted.len() {
        let most = piece.len().min(wanted.len() - got);
        match from.read(&mut piece[..most]) {
            Ok(0) => return Err(format!("end after {got} of {} bytes", wanted.len())),
            Ok(n) if piece[..n] == wanted[got..got + n] => got += n,
            Ok(n) => return Err(format!("wrong bytes in {got}..{}", got + n)),
            Err(error) => return Err(format!("after {got} of {} bytes: {error}", wanted.len())),
        }
    }
    Ok(())
}

/// Reads what is to come at so many bytes in so much time.
pub fn expect_slowly(mut from: impl Read, wanted: &[u8], bytes: usize, every: Duration) -> Step {
    for piece in wanted.chunks(bytes) {
        expect(&mut from, piece)?;
        thread::sleep(every);
    }
    Ok(())
}

pub fn expect_end(mut from: impl Read) -> Step {
    match from.read(&mut [0; 64]) {
        Ok(0) => Ok(()),
        Ok(n) => Err(format!("{n} bytes too many at the end")),
        Err(error) => Err(format!("at the end: {error}")),
    }
}

/// The end, by whichever of the two sides' means.
pub fn expect_any_end(mut from: impl Read) -> Step {
    let mut rest = [0; 4096];
    loop {
        match from.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(format!("at the end: {error}")),
        }
    }
}

pub fn half_close(socket: &Socket) -> Step {
    socket.shutdown(Shutdown::Write).map_err(at("half-close"))
}

/// Closes with a reset instead of an end of file. A Unix socket has none but that of unread input.
pub fn reset(socket: Socket) -> Step {
    let set = socket.set_linger(Some(Duration::ZERO));
    drop(socket);
    set.map_err(at("reset"))
}

/// One line without its end.
pub fn line(from: &mut impl BufRead) -> Step<String> {
    let mut line = String::new();
    match from.read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Ok(line.trim_end().to_owned()),
        Ok(_) => Err(format!("end in the line {line:?}")),
        Err(error) => Err(format!("in a line: {error}")),
    }
}

pub fn reader(socket: &Socket) -> BufReader<&Socket> {
    BufReader::new(socket)
}

/// Bytes that repeat nowhere near each other.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Fails unless it holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Step {
    if holds { Ok(()) } else { Err(otherwise()) }
}
