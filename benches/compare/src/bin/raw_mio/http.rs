//! `Hello, world!` over HTTP/1.1: all the answers to a read in one write.

use std::io;

use mio::net::TcpStream;

use crate::date::Date;
use crate::net::{Held, receive};
use crate::requests::{self, head};
use crate::serve::{BUDGET, Mode, Ready, Verdict};

const READ: usize = 65_536;

pub(crate) struct Http {
    buffer: Box<[u8]>,
    out: Vec<u8>,
    date: Date,
    answers: Answers,
}

/// The answer of this second.
struct Answers {
    keep: Vec<u8>,
    close: Vec<u8>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
    /// The last answer has been written, or is held.
    done: bool,
    /// The start of a head that came cut.
    begun: Vec<u8>,
    held: Held,
}

impl Http {
    pub(crate) fn new() -> Self {
        let date = Date::new();
        Self {
            buffer: vec![0; READ].into(),
            out: Vec::new(),
            answers: Answers::of(date.text()),
            date,
        }
    }
}

impl Answers {
    fn of(date: &str) -> Self {
        let answer = |extra| {
            format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
                 Content-Length: 13\r\n{extra}\r\nHello, world!"
            )
            .into_bytes()
        };
        Self {
            keep: answer(""),
            close: answer("Connection: close\r\n"),
        }
    }

    /// Answers the whole heads in `data`: how much of it they were, and whether one was the last.
    #[inline(always)]
    fn answer(&self, data: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let mut taken = 0;
        while let Some(head) = head(&data[taken..]) {
            taken += head.len;
            if head.close {
                out.extend_from_slice(&self.close);
                return (taken, true);
            }
            out.extend_from_slice(&self.keep);
        }
        (taken, false)
    }
}

impl Mode for Http {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
            done: false,
            begun: Vec::new(),
            held: Held::default(),
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

    fn tick(&mut self) {
        if self.date.renew() {
            self.answers = Answers::of(self.date.text());
        }
    }

    fn visit(&mut self, conn: &mut Conn, ready: Ready) -> io::Result<Verdict> {
        conn.closed |= ready.closed;
        if !conn.held.is_empty() {
            if !conn.held.flush(&mut conn.stream)? {
                return Ok(Verdict::Wait);
            }
            if conn.done {
                return Ok(Verdict::Close);
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
            self.out.clear();
            if conn.begun.is_empty() {
                let data = &self.buffer[..got];
                let (taken, done) = self.answers.answer(data, &mut self.out);
                conn.done = done;
                conn.begun.extend_from_slice(&data[taken..]);
            } else {
                conn.begun.extend_from_slice(&self.buffer[..got]);
                let (taken, done) = self.answers.answer(&conn.begun, &mut self.out);
                conn.done = done;
                conn.begun.drain(..taken);
            }
            let all_gone = self.out.is_empty() || conn.held.send(&mut conn.stream, &self.out)?;
            if !all_gone {
                return Ok(Verdict::Wait);
            }
            if conn.done || conn.begun.len() > requests::LONGEST {
                return Ok(Verdict::Close);
            }
            // A short read has emptied the socket, unless the end of the stream stands behind it.
            if got < READ && !conn.closed {
                return Ok(Verdict::Wait);
            }
        }
        Ok(Verdict::Again)
    }
}
