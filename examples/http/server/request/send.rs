//! Putting an answer on its way, and a line into the access log when it has been sent.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    rc::Rc,
    time::Instant,
};

use asynchat::{Address, ChatChannel, Produced, Producer, ReaderProducer, SimpleProducer};

use super::reply::{Body, Reply, Then};
use crate::{access_log::OpenLine, limits, server::Server};

/// The sending side of one connection.
pub(crate) struct Outlet {
    server: Rc<Server>,
    peer: Option<IpAddr>,
    /// When a producer was last asked for more, or ended; held by each one under way as well.
    sending: Rc<Cell<Instant>>,
    congested: bool,
}

impl Outlet {
    pub(crate) fn new(server: Rc<Server>, peer: &Address, now: Instant) -> Self {
        Self {
            server,
            // On a listener for both, IPv4 comes as `::ffff:127.0.0.1`.
            peer: peer.inet().map(|peer| peer.ip().to_canonical()),
            sending: Rc::new(Cell::new(now)),
            congested: false,
        }
    }

    /// Whether an answer is still being made, or too much of the last ones waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.congested || Rc::strong_count(&self.sending) > 1
    }

    /// When more of an answer that comes from a producer was last wanted, or it was over.
    pub(crate) fn last_progress(&self) -> Instant {
        self.sending.get()
    }

    pub(crate) fn drained(&mut self) {
        self.congested = false;
    }

    /// Answers the request with this first line, be it well-formed or not.
    pub(crate) fn send(
        &mut self,
        chat: &mut ChatChannel<'_>,
        line: &[u8],
        mut reply: Reply,
        then: Then,
    ) {
        let head_only = line.starts_with(b"HEAD ");
        let server = Rc::clone(&self.server);
        server.requests.set(server.requests.get() + 1);
        let mut out = server.scratch.borrow_mut();
        loop {
            out.clear();
            reply.write_head(&mut out, &mut server.dates.borrow_mut(), then);
            if head_only || reply.length() > limits::INLINE_BODY as u64 {
                break;
            }
            let head = out.len();
            match &mut reply.body {
                Body::Absent => {}
                Body::Page(page) => out.extend_from_slice(page),
                Body::File(file, len) => {
                    if let Err(error) = read_exactly(file, *len, &mut out) {
                        log::warn!("{}: {error}", chat.describe());
                        // Nothing is sent yet, so the client can be told.
                        reply = Reply::error(500, "The file could not be read.");
                        continue;
                    }
                }
            }
            let sent = (out.len() - head) as u64;
            write(chat, &out);
            self.log(line, reply.status, sent);
            self.congested = chat.is_congested();
            return;
        }
        write(chat, &out);
        self.congested = chat.is_congested();
        drop(out);
        if head_only {
            self.log(line, reply.status, 0);
        } else {
            self.produce(chat, line, reply);
        }
    }

    fn produce(&self, chat: &mut ChatChannel<'_>, line: &[u8], reply: Reply) {
        let status = reply.status;
        let line = self
            .server
            .log
            .as_ref()
            .map(|log| log.open_line(PeerName(self.peer), line, status));
        let busy = Rc::clone(&self.sending);
        match reply.body {
            Body::Absent => {}
            Body::Page(page) => {
                chat.push_with_producer(Sending::new(SimpleProducer::new(page), busy, line));
            }
            Body::File(file, len) => {
                let file = ReaderProducer::file(file).exactly(len);
                chat.push_with_producer(Sending::new(file, busy, line));
            }
        }
    }

    fn log(&self, line: &[u8], status: u16, bytes: u64) {
        if let Some(log) = &self.server.log {
            log.line(PeerName(self.peer), line, status, bytes);
        }
    }
}

fn write(chat: &mut ChatChannel<'_>, bytes: &[u8]) {
    // Queueing cannot fail; a queue that is too long is told to `handle_error`.
    let _ = io::Write::write_all(chat, bytes);
}

fn read_exactly(file: &File, len: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    out.resize(start + len, 0);
    (&*file).read_exact(&mut out[start..])
}

/// The host column of the log: a Unix socket's peer has no address.
struct PeerName(Option<IpAddr>);

impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A producer that keeps the connection busy and is logged when it goes, done or not.
///
/// `HookedProducer` would do for those that are done; a download that is broken off belongs in the log as well.
struct Sending<P> {
    inner: P,
    /// Bytes handed to the queue. Of a download that is broken off the last ones may not have left.
    sent: u64,
    line: Option<OpenLine>,
    busy: Rc<Cell<Instant>>,
}

impl<P> Sending<P> {
    fn new(inner: P, busy: Rc<Cell<Instant>>, line: Option<OpenLine>) -> Self {
        Self {
            inner,
            sent: 0,
            line,
            busy,
        }
    }
}

impl<P: Producer> Producer for Sending<P> {
    fn more(&mut self) -> io::Result<Produced> {
        let answer = self.inner.more();
        if let Ok(Produced::Data(data)) = &answer {
            self.sent += data.len() as u64;
            self.busy.set(Instant::now());
        }
        answer
    }
}

impl<P> Drop for Sending<P> {
    fn drop(&mut self) {
        self.busy.set(Instant::now());
        if let Some(line) = self.line.take() {
            line.finish(self.sent);
        }
    }
}
