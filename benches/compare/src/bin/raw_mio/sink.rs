//! Takes everything; closes once the peer has closed its half.

use std::io;

use mio::net::TcpStream;

use crate::net::receive;
use crate::serve::{BUDGET, Mode, Ready, Verdict};

pub(crate) struct Sink {
    buffer: Box<[u8]>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
}

impl Sink {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; 262_144].into(),
        }
    }
}

impl Mode for Sink {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

    fn visit(&mut self, conn: &mut Conn, ready: Ready) -> io::Result<Verdict> {
        conn.closed |= ready.closed;
        if !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        for _ in 0..BUDGET {
            match receive(&mut conn.stream, &mut self.buffer)? {
                None => return Ok(Verdict::Wait),
                Some(0) => return Ok(Verdict::Close),
                Some(got) if got < self.buffer.len() && !conn.closed => return Ok(Verdict::Wait),
                Some(_) => {}
            }
        }
        Ok(Verdict::Again)
    }
}
