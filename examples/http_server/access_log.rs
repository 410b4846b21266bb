//! The access log: Common Log Format on standard output, one write per turn of the loop.

use std::{
    fmt::Display,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use asynchat::Handle;

use crate::http_common::date::DateText;

/// Cheap to clone; all clones write to the same place.
#[derive(Clone)]
pub(crate) struct AccessLog {
    handle: Handle,
    // A posted call must be Send; nobody else ever waits for this lock.
    buffer: Arc<Mutex<Buffer>>,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    date: DateText,
}

/// A line that is complete but for the number of bytes sent, which is written when it is known.
pub(crate) struct OpenLine {
    log: AccessLog,
    start: Vec<u8>,
}

impl AccessLog {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            buffer: Arc::default(),
        }
    }

    /// Logs a request that is answered.
    pub(crate) fn line(&self, peer: impl Display, request: &[u8], status: u16, bytes: u64) {
        let mut buffer = self.lock();
        let first = buffer.lines.is_empty();
        let Buffer { lines, date } = &mut *buffer;
        start_line(lines, date, peer, request, status);
        end_line(lines, bytes);
        drop(buffer);
        self.flush_soon(first);
    }

    /// Logs a request whose answer is yet to be sent.
    pub(crate) fn open_line(&self, peer: impl Display, request: &[u8], status: u16) -> OpenLine {
        let mut start = Vec::with_capacity(128);
        start_line(&mut start, &mut self.lock().date, peer, request, status);
        OpenLine {
            log: self.clone(),
            start,
        }
    }

    /// Writes what is there.
    pub(crate) fn flush(&self) {
        let mut buffer = self.lock();
        // Where nobody reads the log any more the server goes on without.
        let _ = std::io::stdout().lock().write_all(&buffer.lines);
        buffer.lines.clear();
    }

    fn flush_soon(&self, first: bool) {
        if first {
            let log = self.clone();
            let posted = self.handle.call_soon(move |_| {
                log.flush();
                Ok(())
            });
            if posted.is_err() {
                self.flush();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenLine {
    pub(crate) fn finish(mut self, bytes: u64) {
        end_line(&mut self.start, bytes);
        let mut buffer = self.log.lock();
        let first = buffer.lines.is_empty();
        buffer.lines.append(&mut self.start);
        drop(buffer);
        self.log.flush_soon(first);
    }
}

fn start_line(
    out: &mut Vec<u8>,
    date: &mut DateText,
    peer: impl Display,
    request: &[u8],
    status: u16,
) {
    let _ = write!(out, "{peer} - - [");
    for part in date.log(SystemTime::now()) {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b" +0000] \"");
    for &byte in request {
        // A request must not be able to forge a line, nor to talk to the terminal.
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    let _ = write!(out, "\" {status} ");
}

fn end_line(out: &mut Vec<u8>, bytes: u64) {
    let _ = match bytes {
        0 => writeln!(out, "-"),
        _ => writeln!(out, "{bytes}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_cannot_forge_a_line_of_the_log() {
        let mut out = Vec::new();
        let request = b"GET /\"\n\x1b[2J\\\xff HTTP/1.1";
        start_line(&mut out, &mut DateText::default(), "::1", request, 400);
        end_line(&mut out, 0);
        let line = String::from_utf8(out).expect("ASCII");
        assert!(line.starts_with("::1 - - ["), "{line}");
        assert!(
            line.ends_with(" +0000] \"GET /\\\"\\x0a\\x1b[2J\\\\\\xff HTTP/1.1\" 400 -\n"),
            "{line}"
        );
    }
}
