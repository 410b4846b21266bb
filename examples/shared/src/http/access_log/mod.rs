//! The access log: Common or Combined Log Format, or that and TLS, on standard output, written by a thread, so that a reader who stops reading does
//! not stop the server. Lines that find no place in the buffer are dropped and counted. All reactors write to one.

mod client;

use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use asynchat::Handle;
use clap::ValueEnum;

pub use self::client::{Client, HostName};
use super::date::DateText;

/// Bytes of a request line, before they are escaped.
const LOGGED_LINE: usize = 1024;
/// Bytes that may wait for the reader of the log; lines past it are dropped and counted.
const LOG: usize = 1024 * 1024;
/// With this number of bytes waiting the writer is woken at once, even if the thread that should do it is busy.
const LOG_PRESSING: usize = 64 * 1024;
/// The time that the reader of the log has at the end to take what is left.
const LOG_GRACE: Duration = Duration::from_secs(5);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    // Not documentation, or each would have a line of its own in the help.
    // Host, user, time, request line, status, bytes.
    Common,
    // The same, and two headers of the request.
    Combined,
    // The same, and how the connection is protected.
    Tls,
}

/// The log as one reactor sees it. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    handle: Handle,
    shared: Arc<Shared>,
    format: LogFormat,
}

/// What all reactors and the writer share.
#[derive(Default)]
pub struct Shared {
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
pub struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A line that is complete but for the number of bytes sent, which is written when it is known.
pub struct OpenLine {
    log: AccessLog,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl AccessLog {
    pub fn new(handle: Handle, shared: Arc<Shared>, format: LogFormat) -> Self {
        Self {
            handle,
            shared,
            format,
        }
    }

    /// Logs a request that is answered.
    pub fn line(&self, client: &Client<'_>, request: &[u8], status: u16, bytes: u64) {
        let mut buffer = self.shared.lock();
        let first = buffer.lines.is_empty();
        if buffer.has_place() {
            let Buffer { lines, date, .. } = &mut *buffer;
            start_line(lines, date, client, request, status);
            write_bytes(lines, bytes);
            end_line(lines, client, self.format);
        }
        let pressing = buffer.lines.len() > LOG_PRESSING;
        drop(buffer);
        self.write_soon(first, pressing);
    }

    /// Logs a request whose answer is yet to be sent.
    pub fn open_line(&self, client: &Client<'_>, request: &[u8], status: u16) -> OpenLine {
        let mut start = Vec::with_capacity(128);
        let mut buffer = self.shared.lock();
        start_line(&mut start, &mut buffer.date, client, request, status);
        drop(buffer);
        let mut end = Vec::new();
        end_line(&mut end, client, self.format);
        OpenLine {
            log: self.clone(),
            start,
            end,
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
        let has = self.dropped == 0 && self.lines.len() < LOG;
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
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("access log".into())
            .spawn(move || writing.write_all(&mut std::io::stdout()))?;
        Ok(Self { shared, thread })
    }

    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Waits until all is written, but not for ever: the reader may have stopped reading.
    pub fn finish(self) {
        if self.shared.end(LOG_GRACE) {
            let _ = self.thread.join();
        } else {
            log::warn!("nobody reads the access log, its end is lost");
        }
    }
}

impl OpenLine {
    pub fn finish(mut self, bytes: u64) {
        write_bytes(&mut self.start, bytes);
        self.start.append(&mut self.end);
        let mut buffer = self.log.shared.lock();
        let first = buffer.lines.is_empty();
        if buffer.has_place() {
            buffer.lines.append(&mut self.start);
        }
        let pressing = buffer.lines.len() > LOG_PRESSING;
        drop(buffer);
        self.log.write_soon(first, pressing);
    }
}

fn start_line(
    out: &mut Vec<u8>,
    date: &mut DateText,
    client: &Client<'_>,
    request: &[u8],
    status: u16,
) {
    let _ = write!(out, "{} - ", client.host);
    match client.user {
        Some(user) => {
            for byte in user.bytes() {
                match byte {
                    b' ' => out.extend_from_slice(b"\\x20"),
                    _ => escape(out, byte),
                }
            }
        }
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    for part in date.log(SystemTime::now()) {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b" +0000] ");
    quote(out, request);
    let _ = write!(out, " {status} ");
}

fn write_bytes(out: &mut Vec<u8>, bytes: u64) {
    let _ = match bytes {
        0 => write!(out, "-"),
        _ => write!(out, "{bytes}"),
    };
}

fn end_line(out: &mut Vec<u8>, client: &Client<'_>, format: LogFormat) {
    if format != LogFormat::Common {
        for value in [client.referer, client.agent] {
            out.push(b' ');
            quote(out, value.unwrap_or(b"-"));
        }
    }
    if format == LogFormat::Tls {
        let _ = match client.protection {
            Some(protection) => write!(out, " {protection}"),
            None => write!(out, " - -"),
        };
    }
    out.push(b'\n');
}

/// The start of what a client has sent.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    let (text, is_cut) = match text.get(..LOGGED_LINE) {
        Some(start) => (start, text.len() > start.len()),
        None => (text, false),
    };
    out.push(b'"');
    for &byte in text {
        escape(out, byte);
    }
    if is_cut {
        // Nothing else looks like that: backslashes are doubled.
        out.extend_from_slice(b"\\...");
    }
    out.push(b'"');
}

/// A request must not be able to forge a line, nor to talk to the terminal.
fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b' '..=b'~' => out.push(byte),
        _ => {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(client: &Client<'_>, request: &[u8], status: u16) -> String {
        let mut out = Vec::new();
        start_line(&mut out, &mut DateText::default(), client, request, status);
        String::from_utf8(out).expect("ASCII")
    }

    fn end(client: &Client<'_>, format: LogFormat) -> String {
        let mut out = Vec::new();
        end_line(&mut out, client, format);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_client_cannot_forge_a_line_of_the_log() {
        let client = Client {
            user: Some("a b\"\u{e9}"),
            referer: Some(b"\"\n\x1b"),
            agent: None,
            ..Client::of_peer("::1".parse().ok())
        };
        let line = start(&client, b"GET /\"\n\x1b[2J\\\xff HTTP/1.1", 400);
        assert!(line.starts_with("::1 - a\\x20b\\\"\\xc3\\xa9 ["), "{line}");
        assert!(
            line.ends_with(" +0000] \"GET /\\\"\\x0a\\x1b[2J\\\\\\xff HTTP/1.1\" 400 "),
            "{line}"
        );
        assert_eq!(end(&client, LogFormat::Common), "\n");
        let line = end(&client, LogFormat::Combined);
        assert_eq!(line, " \"\\\"\\x0a\\x1b\" \"-\"\n");
    }

    #[test]
    fn what_is_long_is_cut_before_it_is_escaped() {
        let long = vec![0xff; LOGGED_LINE + 1];
        let whole = "\\xff".repeat(LOGGED_LINE);
        let nobody = Client::default();
        let line = start(&nobody, &long[1..], 414);
        assert!(line.ends_with(&format!("\"{whole}\" 414 ")), "{line}");
        let line = start(&nobody, &long, 414);
        assert!(line.ends_with(&format!("\"{whole}\\...\" 414 ")), "{line}");
        let client = Client {
            agent: Some(&long),
            ..nobody
        };
        let line = end(&client, LogFormat::Combined);
        assert_eq!(line, format!(" \"-\" \"{whole}\\...\"\n"));
    }

    #[test]
    fn lines_without_a_place_are_dropped_and_counted_once() {
        let mut buffer = Buffer::default();
        assert!(buffer.has_place());
        buffer.lines.resize(LOG, b'x');
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
