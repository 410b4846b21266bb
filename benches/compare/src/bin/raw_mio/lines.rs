//! Each line ended by CRLF answered by the same line: one answer per line, one write per read.
//!
//! The answer to a read happens to be a prefix of what was read. That is not made use of: each
//! line is found and answered on its own, as any protocol of lines has to.

use std::io;

use mio::net::TcpStream;

use crate::net::{Held, receive};
use crate::serve::{BUDGET, Mode, Ready, Verdict};

const READ: usize = 65_536;
/// The longest line that is waited for.
const LONGEST: usize = 65_536;

pub(crate) struct Lines {
    buffer: Box<[u8]>,
    answer: Box<[u8]>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
    /// The line begun: without CRLF, perhaps with the CR of it.
    begun: Vec<u8>,
    held: Held,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; READ].into(),
            answer: vec![0; READ + LONGEST].into(),
        }
    }
}

impl Mode for Lines {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
            begun: Vec::new(),
            held: Held::default(),
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

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
            let answered = take_lines(&mut conn.begun, &self.buffer[..got], &mut self.answer);
            if conn.begun.len() > LONGEST {
                return Ok(Verdict::Close);
            }
            let answer = &self.answer[..answered];
            if answered > 0 && !conn.held.send(&mut conn.stream, answer)? {
                return Ok(Verdict::Wait);
            }
            // A short read has emptied the socket, unless the end of the stream stands behind it.
            if got < READ && !conn.closed {
                return Ok(Verdict::Wait);
            }
        }
        Ok(Verdict::Again)
    }
}

/// Answers the lines that `data` ends and keeps the one it leaves open; how long the answers are.
#[inline(always)]
fn take_lines(begun: &mut Vec<u8>, data: &[u8], answer: &mut [u8]) -> usize {
    let mut start = 0;
    let mut len = 0;
    for at in memchr::memchr_iter(b'\n', data) {
        if at > start && data[at - 1] == b'\r' {
            if !begun.is_empty() {
                answer[len..len + begun.len()].copy_from_slice(begun);
                len += begun.len();
                begun.clear();
            }
            len += found_line(&data[start..at - 1], &mut answer[len..]);
        } else if at == 0 && begun.last() == Some(&b'\r') {
            begun.pop();
            len += found_line(begun, &mut answer[len..]);
            begun.clear();
        } else {
            continue;
        }
        start = at + 1;
    }
    if start < data.len() {
        begun.extend_from_slice(&data[start..]);
    }
    len
}

#[inline(always)]
fn found_line(line: &[u8], answer: &mut [u8]) -> usize {
    let len = line.len() + 2;
    let (text, end) = answer[..len].split_at_mut(line.len());
    text.copy_from_slice(line);
    end.copy_from_slice(b"\r\n");
    len
}
