//! A non-blocking connection, plain or with TLS on it.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::ClientConnection;

use crate::tls;

/// The longest part of a record that can wait for its rest (RFC 8446, section 5.2).
const PARTIAL: usize = 5 + (1 << 14) + 256;

pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// What a read gave.
pub(crate) enum Got {
    /// The peer's end of the stream.
    End,
    /// So many bytes, and whether there may be more.
    Bytes(usize, bool),
}

impl Stream {
    pub(crate) fn new(socket: std::net::TcpStream, tls: Option<ClientConnection>) -> Self {
        Self {
            socket: TcpStream::from_std(socket),
            tls: tls.map(Box::new),
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut self.socket,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Takes part of `bytes`. With TLS the last of them may need a [`flush`](Self::flush) yet.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        tls::send(tls, &mut self.socket)?;
        let taken = tls.writer().write(bytes)?;
        match tls::send(tls, &mut self.socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what an earlier write has left.
    #[inline]
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls::send(tls, &mut self.socket),
        }
    }

    /// Reads into `bytes`, with TLS by way of `sealed`, which must be as long.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &mut [u8], sealed: &mut [u8]) -> io::Result<Got> {
        match &mut self.tls {
            None => Ok(match self.socket.read(bytes)? {
                0 => Got::End,
                count => Got::Bytes(count, count == bytes.len()),
            }),
            Some(tls) => open(tls, &mut self.socket, bytes, sealed),
        }
    }

    pub(crate) fn half_close(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush()?;
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Everything in the records that have arrived: their plaintext is shorter, so that it has room.
fn open(
    tls: &mut ClientConnection,
    socket: &mut TcpStream,
    bytes: &mut [u8],
    sealed: &mut [u8],
) -> io::Result<Got> {
    let room = sealed.len().min(bytes.len()) - PARTIAL;
    let count = socket.read(&mut sealed[..room])?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let mut rest = &sealed[..count];
    let mut opened = 0;
    while !rest.is_empty() && tls.read_tls(&mut rest)? > 0 {
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let got = tls.reader().read(&mut bytes[opened..])?;
            opened += got;
            left -= got;
        }
        if state.peer_has_closed() {
            return Ok(if opened == 0 {
                Got::End
            } else {
                Got::Bytes(opened, true)
            });
        }
    }
    Ok(Got::Bytes(opened, count == room))
}
