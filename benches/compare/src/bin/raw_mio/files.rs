//! Files below a directory: opened for each request, small ones copied behind their header and
//! written with it, large ones sent by the kernel.
//!
//! Paths are taken as they are, without percent-decoding; one with a `..` in it names nothing.

use std::io::{self, Write as _};
use std::mem;
use std::os::fd::OwnedFd;

use mio::net::TcpStream;
use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode as Permissions, OFlags, fstat, openat, sendfile};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::date::Date;
use crate::net::{Held, receive};
use crate::requests::{self, head};
use crate::serve::{BUDGET, Mode, Ready, Verdict};

/// Up to here one copy costs less than the calls that spare it.
const SMALL: u64 = 16_384;
/// Answers collected before they are written.
const ENOUGH: usize = 65_536;

pub(crate) struct Files {
    root: OwnedFd,
    date: Date,
    buffer: Box<[u8]>,
    out: Vec<u8>,
}

pub(crate) struct Conn {
    stream: TcpStream,
    closed: bool,
    /// No request is taken any more: the connection ends behind what is under way.
    done: bool,
    requests: Vec<u8>,
    held: Held,
    /// What follows all that is held.
    body: Option<Body>,
}

struct Body {
    file: OwnedFd,
    left: u64,
}

impl Files {
    pub(crate) fn new(root: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: openat(CWD, root, flags, Permissions::empty())?,
            date: Date::new(),
            buffer: vec![0; 16_384].into(),
            out: Vec::with_capacity(ENOUGH + 2 * SMALL as usize),
        })
    }

    /// Answers whole requests until one of them needs the socket: how many bytes they were.
    fn answer(&mut self, conn: &mut Conn) -> io::Result<usize> {
        let mut taken = 0;
        while !conn.done && conn.body.is_none() && self.out.len() < ENOUGH {
            let Some(head) = head(&conn.requests[taken..]) else {
                break;
            };
            taken += head.len;
            conn.done = head.close;
            let extra = if head.close {
                "Connection: close\r\n"
            } else {
                ""
            };
            let Some((file, length)) = self.open(head.line)? else {
                self.head("404 Not Found", 0, extra);
                continue;
            };
            self.head("200 OK", length, extra);
            if length > SMALL {
                conn.body = Some(Body { file, left: length });
            } else {
                self.copy(&file, length as usize)?;
            }
        }
        Ok(taken)
    }

    /// The regular file a request line asks for.
    fn open(&self, line: &[u8]) -> io::Result<Option<(OwnedFd, u64)>> {
        let Some(path) = path(line) else {
            return Ok(None);
        };
        // Without NONBLOCK the open of a FIFO would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match openat(&self.root, path, flags, Permissions::empty()) {
            Ok(file) => file,
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let stat = fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(None);
        }
        Ok(Some((file, stat.st_size.try_into().unwrap_or_default())))
    }

    fn head(&mut self, status: &str, length: u64, extra: &str) {
        let out = &mut self.out;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\r\nDate: ");
        out.extend_from_slice(self.date.text().as_bytes());
        out.extend_from_slice(b"\r\nContent-Length: ");
        // Writing to a vector does not fail.
        let _ = write!(out, "{length}");
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(extra.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn copy(&mut self, file: &OwnedFd, length: usize) -> io::Result<()> {
        let end = self.out.len() + length;
        self.out.reserve(length);
        while self.out.len() < end {
            if rustix::io::read(file, spare_capacity(&mut self.out))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.out.truncate(end);
        Ok(())
    }
}

/// The path below the root that a request line names.
fn path(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"GET /")?;
    let end = memchr::memchr2(b' ', b'?', rest)?;
    let above = rest[..end].iter().take_while(|&&byte| byte == b'/').count();
    let path = &rest[above..end];
    let leaves = path.split(|&byte| byte == b'/').any(|part| part == b"..");
    (!leaves).then_some(path)
}

impl Mode for Files {
    type Conn = Conn;

    fn accepted(&mut self, stream: TcpStream) -> Conn {
        Conn {
            stream,
            closed: false,
            done: false,
            requests: Vec::new(),
            held: Held::default(),
            body: None,
        }
    }

    fn stream(conn: &mut Conn) -> &mut TcpStream {
        &mut conn.stream
    }

    fn tick(&mut self) {
        self.date.renew();
    }

    fn visit(&mut self, conn: &mut Conn, ready: Ready) -> io::Result<Verdict> {
        conn.closed |= ready.closed;
        if !conn.held.is_empty() || conn.body.is_some() {
            if !conn.held.is_empty() && !conn.held.flush(&mut conn.stream)? || !conn.send_body()? {
                return Ok(Verdict::Wait);
            }
        } else if !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        let mut drained = false;
        for _ in 0..BUDGET {
            if conn.done {
                return Ok(Verdict::Close);
            }
            self.out.clear();
            let taken = self.answer(conn)?;
            if taken > 0 {
                conn.requests.drain(..taken);
                if !conn.send(&self.out)? {
                    return Ok(Verdict::Wait);
                }
                continue;
            }
            if conn.requests.len() > requests::LONGEST {
                return Ok(Verdict::Close);
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
    /// Sends answers, and the body the last of them announces; whether all of it went.
    fn send(&mut self, out: &[u8]) -> io::Result<bool> {
        if self.body.is_none() {
            return self.held.send(&mut self.stream, out);
        }
        // The header waits for the first bytes of the body and shares their segment.
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let sent = match rustix::net::send(&self.stream, out, flags) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        if sent < out.len() && !self.held.send(&mut self.stream, &out[sent..])? {
            return Ok(false);
        }
        self.send_body()
    }

    /// Whether nothing of a body is left.
    fn send_body(&mut self) -> io::Result<bool> {
        let Some(mut body) = mem::take(&mut self.body) else {
            return Ok(true);
        };
        // Sendfile stops short for more reasons than a full socket, and only that brings an event.
        while body.left > 0 {
            match sendfile(&self.stream, &body.file, None, body.left as usize) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => body.left -= sent as u64,
                Err(Errno::AGAIN) => {
                    self.body = Some(body);
                    return Ok(false);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}
