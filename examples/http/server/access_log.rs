//! The access log: Common Log Format on standard output, written by a thread, so that a reader who stops reading does
//! not stop the server. Lines that find no place in the buffer are dropped and counted. All reactors write to one.

use std::{
    fmt::Display,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use asynchat::Handle;
use shared::http::date::DateText;

use crate::limits;

/// The log as one reactor sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessLog {
    handle: Handle,
    shared: Arc<Shared>,
}

/// What all reactors and the writer share.
#[derive(Default)]
pub(crate) struct Shared {
    // The writer holds the lock only to take what is there.
    buffer: Mutex<Buffer>,
    /// There is something to write, or nothing more will come.
    filled: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// Lines since the last that had a place.
    dropped: u64,
    date: DateText,
    is_last: bool,
    is_written: bool,
}

/// The thread that writes.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A line that is complete but for the number of bytes sent, which is written when it is known.
pub(crate) struct OpenLine {
    log: AccessLog,
    start: Vec<u8>,
}

impl AccessLog {
    pub(crate) fn new(handle: Handle, shared: Arc<Shared>) -> Self {
        Self { handle, shared }
    }

    /// Logs a request that is answered.
    pub(crate) fn line(&self, peer: impl Display, request: &[u8], status: u16, bytes: u64) {
        let mut buffer = self.shared.lock();
        let first = buffer.lines.is_empty();
        if buffer.has_place() {
            let Buffer { lines, date, .. } = &mut *buffer;
            start_line(lines, date, peer, request, status);
            end_line(lines, bytes);
        }
        let pressing = buffer.lines.len() > limits::LOG_PRESSING;
        drop(buffer);
        self.write_soon(first, pressing);
    }

    /// Logs a request whose answer is yet to be sent.
    pub(crate) fn open_line(&self, peer: impl Display, request: &[u8], status: u16) -> OpenLine {
        let mut start = Vec::with_capacity(128);
        let mut buffer = self.shared.lock();
        start_line(&mut start, &mut buffer.date, peer, request, status);
        drop(buffer);
        OpenLine {
            log: self.clone(),
            start,
        }
    }

    /// Wakes the writer once for all lines of a turn. The thread that was to do so may be held up, which must cost
    /// the others no lines.
    fn write_soon(&self, first: bool, pressing: bool) {
        if pressing {
            self.shared.filled.notify_one();
        } else if first {
            let shared = Arc::clone(&self.shared);
            // Refused where a reactor is dropped with its connections: then all end, and the writer is woken anyway.
            let _ = self.handle.call_soon(move |_| {
                shared.filled.notify_one();
                Ok(())
            });
        }
    }
}

impl Buffer {
    /// Whether there is a place for one more line; if not, it is counted.
    fn has_place(&mut self) -> bool {
        // In the order of the lines: those behind a gap wait for the note that tells of it.
        let has = self.dropped == 0 && self.lines.len() < limits::LOG;
        self.dropped += u64::from(!has);
        has
    }

    /// What is to be written now, in exchange for an empty buffer.
    fn take(&mut self, empty: Vec<u8>) -> Vec<u8> {
        let mut lines = std::mem::replace(&mut self.lines, empty);
        if self.dropped > 0 {
            let _ = writeln!(lines, "{} lines dropped", std::mem::take(&mut self.dropped));
        }
        lines
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes until the last line.
    fn write_all(&self, out: &mut impl Write) {
        let mut lines = Vec::new();
        loop {
            lines.clear();
            let mut buffer = self.lock();
            while buffer.lines.is_empty() && !buffer.is_last {
                buffer = self
                    .filled
                    .wait(buffer)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            lines = buffer.take(lines);
            if lines.is_empty() {
                buffer.is_written = true;
                self.ended.notify_all();
                return;
            }
            drop(buffer);
            // Where nobody reads the log any more the server goes on without.
            let _ = out.write_all(&lines);
        }
    }

    /// No line will come any more; gives whether all are written in time.
    fn end(&self, time: Duration) -> bool {
        let mut buffer = self.lock();
        buffer.is_last = true;
        self.filled.notify_one();
        let waited = self
            .ended
            .wait_timeout_while(buffer, time, |buffer| !buffer.is_written);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_written
    }
}

impl Writer {
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("access log".into())
            .spawn(move || writing.write_all(&mut std::io::stdout()))?;
        Ok(Self { shared, thread })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Waits until all is written, but not for ever: the reader may have stopped reading.
    pub(crate) fn finish(self) {
        if self.shared.end(limits::LOG_GRACE) {
            let _ = self.thread.join();
        } else {
            log::warn!("nobody reads the access log, its end is lost");
        }
    }
}

impl OpenLine {
    pub(crate) fn finish(mut self, bytes: u64) {
        end_line(&mut self.start, bytes);
        let mut buffer = self.log.shared.lock();
        let first = buffer.lines.is_empty();
        if buffer.has_place() {
            buffer.lines.append(&mut self.start);
        }
        let pressing = buffer.lines.len() > limits::LOG_PRESSING;
        drop(buffer);
        self.log.write_soon(first, pressing);
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
    let (request, is_cut) = match request.get(..limits::LOGGED_LINE) {
        Some(start) => (start, request.len() > start.len()),
        None => (request, false),
    };
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
    // No request looks like that: its backslashes are doubled.
    let mark = if is_cut { "\\..." } else { "" };
    let _ = write!(out, "{mark}\" {status} ");
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

    #[test]
    fn a_long_request_line_is_cut_before_it_is_escaped() {
        let line = |length| {
            let mut out = Vec::new();
            let request = vec![0xff; length];
            start_line(&mut out, &mut DateText::default(), "::1", &request, 414);
            String::from_utf8(out).expect("ASCII")
        };
        let whole = "\\xff".repeat(limits::LOGGED_LINE);
        let uncut = line(limits::LOGGED_LINE);
        assert!(uncut.ends_with(&format!("\"{whole}\" 414 ")), "{uncut}");
        let cut = line(limits::LOGGED_LINE + 1);
        assert!(cut.ends_with(&format!("\"{whole}\\...\" 414 ")), "{cut}");
    }

    #[test]
    fn lines_without_a_place_are_dropped_and_counted_once() {
        let mut buffer = Buffer::default();
        assert!(buffer.has_place());
        buffer.lines.resize(limits::LOG, b'x');
        assert!(!buffer.has_place() && !buffer.has_place());
        assert!(buffer.take(Vec::new()).ends_with(b"x2 lines dropped\n"));
        assert!(buffer.has_place() && buffer.take(Vec::new()).is_empty());
    }

    #[test]
    fn a_reader_who_does_not_read_cannot_hold_up_the_end() {
        let shared = Arc::<Shared>::default();
        shared.lock().lines.push(b'x');
        assert!(!shared.end(Duration::ZERO));
        let mut out = Vec::new();
        shared.write_all(&mut out);
        assert!(out == b"x" && shared.end(Duration::ZERO));
    }
}
