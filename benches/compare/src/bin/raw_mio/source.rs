//! `GIVE n` answered by n bytes: written straight from one static block, one answer after another.

use std::io;

use mio::net::TcpStream;

use crate::net::{receive, send};
use crate::serve::{BUDGET, Mode, Ready, Verdict};

const BLOCK: usize = 524_288;
/// Longer than any `GIVE n` there is: n has at most 20 digits.
const LONGEST: usize = 32;

static ANSWER: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        block[at] = (at % 251) as u8;
        at += 1;
    }
    block
};

pub(crate) struct Source {
    buffer: Box<[u8]>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
    /// Bytes of the answer under way that are still to go.
    left: u64,
    /// Bytes of it that have gone, counted within the block.
    at: usize,
    /// Requests read behind it, and at most one that is cut.
    requests: Vec<u8>,
    taken: usize,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; 4096].into(),
        }
    }
}

impl Mode for Source {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
            left: 0,
            at: 0,
            requests: Vec::new(),
            taken: 0,
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

    fn visit(&mut self, conn: &mut Conn, ready: Ready) -> io::Result<Verdict> {
        conn.closed |= ready.closed;
        if conn.left == 0 && !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        let mut drained = false;
        for _ in 0..BUDGET {
            if conn.left > 0 {
                if !conn.give()? {
                    return Ok(Verdict::Wait);
                }
                continue;
            }
            if conn.next_request()? {
                continue;
            }
            if drained {
                return Ok(Verdict::Wait);
            }
            match receive(&mut conn.stream, &mut self.buffer)? {
                None => return Ok(Verdict::Wait),
                Some(0) => return Ok(Verdict::Close),
                Some(got) => {
                    conn.requests.extend_from_slice(&self.buffer[..got]);
                    // A short read has emptied the socket, unless its end stands behind it.
                    drained = got < self.buffer.len() && !conn.closed;
                }
            }
        }
        Ok(Verdict::Again)
    }
}

impl Conn {
    /// Writes once; whether the socket takes more.
    fn give(&mut self) -> io::Result<bool> {
        let rest = &ANSWER[self.at..];
        let part = match usize::try_from(self.left) {
            Ok(left) if left < rest.len() => &rest[..left],
            _ => rest,
        };
        let sent = send(&mut self.stream, part)?;
        self.left -= sent as u64;
        self.at = (self.at + sent) % BLOCK;
        Ok(sent == part.len())
    }

    /// Begins the answer to the next whole request, if one is there.
    fn next_request(&mut self) -> io::Result<bool> {
        let rest = &self.requests[self.taken..];
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else {
            if rest.len() > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.requests.drain(..self.taken);
            self.taken = 0;
            return Ok(false);
        };
        self.left = asked_for(&rest[..end]).ok_or(io::ErrorKind::InvalidData)?;
        self.at = 0;
        self.taken += end + 2;
        Ok(true)
    }
}

fn asked_for(request: &[u8]) -> Option<u64> {
    let digits = request.strip_prefix(b"GIVE ")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
