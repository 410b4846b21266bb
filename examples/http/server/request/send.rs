//! Putting an answer on its way, and a line into the access log when it has been sent.

use std::{
    io::{self, Read},
    net::IpAddr,
    rc::Rc,
    time::{Instant, SystemTime},
};

use asynchat::{Address, ChatChannel, Part, ReaderProducer, SimpleProducer};
use shared::{
    http::{Header, access_log::Client},
    tls::protection::Protection,
};

use super::reply::{Body, Reply, Then};
use crate::{downloads::Download, limits, server::Server};

/// The sending side of one connection.
pub(crate) struct Outlet {
    server: Rc<Server>,
    peer: Option<IpAddr>,
    protection: Option<Protection>,
    /// Bytes queued since the connection began.
    queued: u64,
    /// The last body that was too large to leave with its head.
    download: Option<Rc<Download>>,
    congested: bool,
}

impl Outlet {
    pub(crate) fn new(server: Rc<Server>, peer: &Address) -> Self {
        Self {
            server,
            // On a listener for both, IPv4 comes as `::ffff:127.0.0.1`.
            peer: peer.inet().map(|peer| peer.ip().to_canonical()),
            protection: None,
            queued: 0,
            download: None,
            congested: false,
        }
    }

    /// Who a request is from, for the log.
    pub(crate) fn client<'a>(&self, headers: &[Header<'a>], user: Option<&'a str>) -> Client<'a> {
        let options = &self.server.options;
        Client {
            protection: self.protection,
            ..Client::of_request(
                self.peer,
                headers,
                user,
                &options.proxies,
                options.log_format,
            )
        }
    }

    /// Who a request is from that could not be read.
    pub(crate) fn stranger(&self) -> Client<'static> {
        Client {
            protection: self.protection,
            ..Client::of_peer(self.peer)
        }
    }

    /// The handshake is complete.
    pub(crate) fn secured(&mut self, protection: Protection) {
        self.protection = Some(protection);
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.protection.is_some()
    }

    /// Whether a body is still on its way, or too much of the last answers waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.congested || self.is_sending()
    }

    fn is_sending(&self) -> bool {
        let download = self.download.as_ref();
        download.is_some_and(|download| !download.has_left())
    }

    /// When more of the last large body was seen to be taken, or it was over.
    pub(crate) fn last_progress(&self) -> Option<Instant> {
        self.download.as_ref().map(|download| download.progress())
    }

    pub(crate) fn drained(&mut self) {
        self.congested = false;
    }

    /// Has the client send the body that it has announced.
    pub(crate) fn send_continue(&mut self, chat: &mut ChatChannel<'_>) {
        self.write(chat, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Answers the request with this first line, be it well-formed or not.
    pub(crate) fn send(
        &mut self,
        chat: &mut ChatChannel<'_>,
        client: &Client<'_>,
        line: &[u8],
        mut reply: Reply,
        then: Then,
    ) {
        let head_only = line.starts_with(b"HEAD ");
        let server = Rc::clone(&self.server);
        server.requests.set(server.requests.get() + 1);
        // Once for the head and the log, because asking is a good part of what a line costs.
        let now = SystemTime::now();
        let mut out = server.scratch.borrow_mut();
        loop {
            out.clear();
            let dates = &mut server.dates.borrow_mut();
            reply.write_head(&mut out, dates, now, then, &server.options);
            if head_only || reply.length() > limits::INLINE_BODY as u64 {
                break;
            }
            let head = out.len();
            let length = reply.length();
            let read = match &mut reply.body {
                Body::Absent => Ok(()),
                Body::Page(page) => {
                    out.extend_from_slice(page);
                    Ok(())
                }
                Body::File(part) => read_exactly(part, length, &mut out),
                Body::Parts(parts) => read_exactly(parts, length, &mut out),
            };
            if let Err(error) = read {
                log::warn!("{}: {error}", chat.describe());
                // Nothing is sent yet, so the client can be told.
                reply = Reply::error(500, "The file could not be read.");
                continue;
            }
            let sent = (out.len() - head) as u64;
            self.write(chat, &out);
            self.log(client, now, line, reply.status, sent);
            self.congested = chat.is_congested();
            return;
        }
        self.write(chat, &out);
        self.congested = chat.is_congested();
        drop(out);
        if head_only {
            self.log(client, now, line, reply.status, 0);
        } else {
            self.queue(chat, client, now, line, reply);
        }
    }

    /// Queues a body behind its head.
    fn queue(
        &mut self,
        chat: &mut ChatChannel<'_>,
        client: &Client<'_>,
        now: SystemTime,
        line: &[u8],
        reply: Reply,
    ) {
        let len = reply.length();
        let log = self.server.log.as_ref();
        let line = log.map(|log| log.open_line(client, now, line, reply.status));
        let download = Download::new(self.queued, chat.registry().now());
        let body = match reply.body {
            Body::Absent => Part::from(""),
            Body::Page(page) => Part::producer(SimpleProducer::new(page)),
            Body::File(part) => Part::from(part),
            Body::Parts(parts) => Part::producer(ReaderProducer::new(parts).exactly(len)),
        };
        self.queued += len;
        let id = chat.id();
        self.server.watch(chat.registry(), id, &download);
        self.download = Some(Rc::clone(&download));
        chat.push_then(body, move |registry, sent| {
            download.leave(registry.now());
            if let Some(line) = line {
                line.finish(sent.bytes);
            }
            Ok(())
        });
    }

    fn log(&self, client: &Client<'_>, now: SystemTime, line: &[u8], status: u16, bytes: u64) {
        if let Some(log) = &self.server.log {
            log.line(client, now, line, status, bytes);
        }
    }

    fn write(&mut self, chat: &mut ChatChannel<'_>, bytes: &[u8]) {
        self.queued += bytes.len() as u64;
        // Queueing cannot fail; a queue that is too long is told to `handle_error`.
        let _ = io::Write::write_all(chat, bytes);
    }
}

fn read_exactly(from: &mut impl Read, len: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    out.resize(start + len, 0);
    from.read_exact(&mut out[start..])
}
