//! Each line ended by CRLF answered by the same line: one answer per line, one write per read.

use std::io;

use mio::net::TcpStream;

use crate::net::{Held, receive};
use crate::serve::{BUDGET, Handler, Ready, Shared, Verdict};

/// The longest line that is waited for.
const LONGEST: usize = 65_536;

#[derive(Default)]
pub(crate) struct Lines {
    closed: bool,
    /// The line begun: without CRLF, perhaps with the CR of it.
    begun: Vec<u8>,
    held: Held,
}

impl Handler for Lines {
    fn visit(
        &mut self,
        stream: &mut TcpStream,
        shared: &mut Shared,
        ready: Ready,
    ) -> io::Result<Verdict> {
        self.closed |= ready.closed;
        if !self.held.is_empty() {
            if !self.held.flush(stream)? {
                return Ok(Verdict::Wait);
            }
        } else if !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        for _ in 0..BUDGET {
            let got = match receive(stream, &mut shared.buffer)? {
                None => return Ok(Verdict::Wait),
                Some(0) => return Ok(Verdict::Close),
                Some(got) => got,
            };
            let answered = take_lines(&mut self.begun, &shared.buffer[..got], &mut shared.answer);
            if self.begun.len() > LONGEST {
                return Ok(Verdict::Close);
            }
            let answer = &shared.answer[..answered];
            if answered > 0 && !self.held.send(stream, answer)? {
                return Ok(Verdict::Wait);
            }
            // A short read has emptied the socket, unless the end of the stream stands behind it.
            if got < shared.buffer.len() && !self.closed {
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
