//! Every byte back: written straight from the read buffer, only what the socket refuses is kept.

use std::io;

use mio::net::TcpStream;

use crate::net::{Held, receive};
use crate::serve::{BUDGET, Mode, Ready, Verdict};

pub(crate) struct Echo {
    buffer: Box<[u8]>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
    held: Held,
}

impl Echo {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; 65_536].into(),
        }
    }
}

impl Mode for Echo {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
            held: Held::default(),
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

    #[inline(always)]
    fn visit(&mut self, conn: &mut Conn, ready: Ready) -> io::Result<Verdict> {
        conn.closed |= ready.closed;
        if !conn.held.is_empty() {
            if !conn.held.flush(&mut conn.stream)? {
                return Ok(Verdict::Wait);
            }
        } else if !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        for _ in 0..BUDGET {
            let got = match receive(&mut conn.stream, &mut self.buffer)? {
                None => return Ok(Verdict::Wait),
                Some(0) => return Ok(Verdict::Close),
                Some(got) => got,
            };
            if !conn.held.send(&mut conn.stream, &self.buffer[..got])? {
                return Ok(Verdict::Wait);
            }
            // A short read has emptied the socket, unless the end of the stream stands behind it.
            if got < self.buffer.len() && !conn.closed {
                return Ok(Verdict::Wait);
            }
        }
        Ok(Verdict::Again)
    }
}
