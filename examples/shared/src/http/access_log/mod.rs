//! The access log: Common or Combined Log Format, or that and TLS, on standard output. A thread writes it, so that a
//! reader who stops reading does not stop the server. Lines that find no place in the buffer are dropped and counted.
//! All reactors write to one.

mod client;
mod line;

use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use clap::ValueEnum;

pub use self::client::{Client, HostName};
use self::line::{Stamp, end_line, start_line, write_bytes};

/// Bytes that may wait for the reader of the log; lines past it are dropped and counted.
const LOG: usize = 1024 * 1024;
/// The writer takes what comes within this time at once: each time it writes costs as much as a hundred lines.
const LOG_PAUSE: Duration = Duration::from_millis(20);
/// With this number of bytes waiting the writer does not wait.
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
    shared: Arc<Shared>,
    format: LogFormat,
}

/// What all reactors and the writer share.
#[derive(Default)]
pub struct Shared {
    // The writer holds the lock only to take what is there.
    buffer: Mutex<Buffer>,
    /// There is something to write, much of it, or nothing more will come.
    filled: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// Lines since the last that had a place.
    dropped: u64,
    stamp: Stamp,
    /// Whether the writer waits for the first line.
    is_awaited: bool,
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
    shared: Arc<Shared>,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl AccessLog {
    pub fn new(shared: Arc<Shared>, format: LogFormat) -> Self {
        Self { shared, format }
    }

    /// Logs a request answered at `time`. The caller gives the time, because an HTTP server needs it for `Date` too.
    /// Lines of several reactors may be a second out of order.
    pub fn line(
        &self,
        client: &Client<'_>,
        time: SystemTime,
        request: &[u8],
        status: u16,
        bytes: u64,
    ) {
        self.shared.add(|lines, stamp| {
            start_line(lines, client, stamp.of(time), request, status);
            write_bytes(lines, bytes);
            end_line(lines, client, self.format);
        });
    }

    /// Logs a request whose answer begins at this time and is yet to be sent.
    pub fn open_line(
        &self,
        client: &Client<'_>,
        time: SystemTime,
        request: &[u8],
        status: u16,
    ) -> OpenLine {
        let mut start = Vec::with_capacity(128);
        let mut buffer = self.shared.lock();
        start_line(&mut start, client, buffer.stamp.of(time), request, status);
        drop(buffer);
        let mut end = Vec::new();
        end_line(&mut end, client, self.format);
        OpenLine {
            shared: Arc::clone(&self.shared),
            start,
            end,
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

    fn presses(&self) -> bool {
        self.lines.len() > LOG_PRESSING
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

    /// Adds a line if it has a place, and wakes the writer if it should write it soon.
    fn add(&self, write: impl FnOnce(&mut Vec<u8>, &mut Stamp)) {
        let mut buffer = self.lock();
        let before = buffer.lines.len();
        if buffer.has_place() {
            let Buffer { lines, stamp, .. } = &mut *buffer;
            write(lines, stamp);
        }
        let presses = before <= LOG_PRESSING && buffer.presses();
        if std::mem::take(&mut buffer.is_awaited) || presses {
            drop(buffer);
            self.filled.notify_one();
        }
    }

    /// The thread: writes until the last line.
    fn write_all(&self, out: &mut impl Write) {
        let mut lines = Vec::new();
        let mut pause = Duration::ZERO;
        loop {
            lines.clear();
            let buffer = self.lock();
            let paused = self
                .filled
                .wait_timeout_while(buffer, pause, |buffer| !buffer.presses() && !buffer.is_last);
            let mut buffer = paused.unwrap_or_else(PoisonError::into_inner).0;
            while buffer.lines.is_empty() && !buffer.is_last {
                buffer.is_awaited = true;
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
            pause = LOG_PAUSE;
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
        self.shared.add(|lines, _| lines.append(&mut self.start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
