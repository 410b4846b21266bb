//! One connection: head, body, answer, and again.
//!
//! A request is answered when all of it has arrived; its body is thrown away. Answers leave in the order of the requests.
//! While a large body is on its way, or too much waits to be sent, no further request is read: ten
//! thousand pipelined requests of a peer that does not read its answers cost as much as one.

use std::{
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Address, AsyncChat, BoxError, Cause, ChatChannel, Closed, Registry, Result, TimerId,
};
use asynchat_rustls::ChannelTls;
use shared::{
    http::{
        body::BadBody,
        reader::{Found, HEAD_END, Reader, Refusal},
        request::{BadHead, Request},
    },
    tls::protection::Protection,
};

use super::{
    answer,
    reply::{Reply, Then},
    send::Outlet,
};
use crate::{limits, server::Server};

/// The chat behind every connection.
pub(crate) struct HttpChannel {
    reader: Reader,
    connection: Connection,
}

/// What there is of a connection besides the bytes that are read.
struct Connection {
    server: Rc<Server>,
    /// When the first byte of the request in progress came; `None` between requests.
    started: Option<Instant>,
    /// Looks whether a request takes too long. Armed once for many requests, not once for each.
    deadline: Option<TimerId>,
    outlet: Outlet,
    /// When this connection began, or its last request was answered.
    since: Instant,
    /// Since the others had their turn.
    answers: u8,
    /// Chunks of a body, each counted as its parts, since the others had their turn.
    chunk_parts: u16,
    /// There are too many connections.
    unwanted: bool,
}

impl HttpChannel {
    /// An `unwanted` connection is told so and closed.
    pub(crate) fn new(server: Rc<Server>, peer: &Address, now: Instant, unwanted: bool) -> Self {
        Self {
            reader: Reader::new(server.limits.body, answer::accepts),
            connection: Connection {
                outlet: Outlet::new(Rc::clone(&server), peer),
                server,
                started: None,
                deadline: None,
                since: now,
                answers: 0,
                chunk_parts: 0,
                unwanted,
            },
        }
    }

    /// Since when this connection is the client's doing: no complete request comes, or, with some patience, no more of the
    /// answer is taken. `None` while all goes well.
    pub(crate) fn waiting_since(&self, chat: &ChatChannel<'_>, now: Instant) -> Option<Instant> {
        let connection = &self.connection;
        let progress = connection.outlet.last_progress();
        let since = progress.map_or(connection.since, |progress| progress.max(connection.since));
        if connection.outlet.is_busy() {
            let stalled = since + connection.server.limits.stalled();
            return (stalled <= now).then_some(stalled);
        }
        let yields = chat.is_reading_paused() && connection.started.is_none();
        let answering = yields || self.reader.has_ended();
        (!answering).then_some(since)
    }

    /// Closes the connection in favour of another.
    pub(crate) fn give_way(&mut self, chat: &mut ChatChannel<'_>) {
        log::debug!("{}: makes room for another", chat.describe());
        chat.close();
    }

    fn check_deadline(&mut self, chat: &mut ChatChannel<'_>) {
        let connection = &mut self.connection;
        connection.deadline = None;
        let Some(started) = connection.started else {
            return;
        };
        let taken = chat.registry().now().saturating_duration_since(started);
        match connection.server.limits.request_time.checked_sub(taken) {
            Some(left) if !left.is_zero() => connection.arm(chat, left),
            _ => self.time_out(chat),
        }
    }

    fn time_out(&mut self, chat: &mut ChatChannel<'_>) {
        self.refuse(
            chat,
            Reply::error(408, "The request took too long to arrive."),
        );
    }

    /// Answers a request that cannot be read to its end, so that the connection cannot be used any more.
    fn refuse(&mut self, chat: &mut ChatChannel<'_>, reply: Reply) {
        self.connection.refuse(chat, self.reader.line(), reply);
        self.reader.end();
    }

    /// A request has a limited time to arrive from its first byte on.
    fn watch_the_clock(&mut self, chat: &mut ChatChannel<'_>) {
        let connection = &mut self.connection;
        if !self.reader.is_in_request() {
            connection.started = None;
        } else if connection.started.is_none() {
            connection.started = Some(chat.registry().now());
            if connection.deadline.is_none() {
                connection.arm(chat, connection.server.limits.request_time);
            }
        }
    }
}

impl Connection {
    fn arm(&mut self, chat: &mut ChatChannel<'_>, delay: Duration) {
        self.deadline = Some(chat.call_later(delay, |this: &mut HttpChannel, chat| {
            this.check_deadline(chat);
            Ok(())
        }));
    }

    fn disarm(&mut self, chat: &mut ChatChannel<'_>) {
        if let Some(timer) = self.deadline.take() {
            chat.registry().cancel(timer);
        }
    }

    /// Lets the others have their turn before the next request is read.
    fn give_turn(&mut self, chat: &mut ChatChannel<'_>) {
        self.answers = 0;
        self.chunk_parts = 0;
        chat.pause_reading(Duration::ZERO);
    }

    /// What a frame led to is done; `Break` if the connection ends with it.
    fn proceed(
        &mut self,
        chat: &mut ChatChannel<'_>,
        line: &[u8],
        found: Found<'_>,
    ) -> ControlFlow<()> {
        match found {
            Found::Nothing => {}
            Found::Body {
                terminator,
                awaited,
                ..
            } => {
                if awaited {
                    self.outlet.send_continue(chat);
                }
                chat.set_terminator(terminator);
            }
            Found::BodyPart(terminator) => {
                chat.set_terminator(terminator);
                self.chunk_parts += 1;
                if self.chunk_parts == limits::CHUNK_PARTS {
                    self.give_turn(chat);
                }
            }
            Found::Request(request) => return self.answer(chat, line, request),
            Found::Refused(refusal) => {
                self.refuse_request(chat, line, refusal);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn answer(
        &mut self,
        chat: &mut ChatChannel<'_>,
        line: &[u8],
        request: &Request<'_>,
    ) -> ControlFlow<()> {
        self.started = None;
        self.since = chat.registry().now();
        let server = Rc::clone(&self.server);
        let (reply, user) = match answer::admit(&server, request) {
            Ok(user) => (answer::answer(&server, chat.registry(), request), user),
            Err(refusal) => (refusal.into(), None),
        };
        let client = self.outlet.client(request.headers, user);
        let then = match (request.keeps_alive(), request.minor) {
            (false, _) => Then::Close,
            // A client that cannot write a target may not have written what follows as a request either.
            _ if reply.status == 400 => Then::Close,
            (true, 0) => Then::SayKeepAlive,
            (true, _) => Then::KeepAlive,
        };
        self.answers += 1;
        let turn_used = reply.is_costly || self.answers >= limits::ANSWERS;
        self.outlet.send(chat, &client, line, reply, then);
        if then == Then::Close {
            self.end(chat);
            return ControlFlow::Break(());
        }
        if turn_used {
            self.give_turn(chat);
        }
        ControlFlow::Continue(())
    }

    fn refuse_request(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], refusal: Refusal) {
        if refusal.is_of_upload() {
            // The answer to a refused upload must not be lost to a reset, however much of it is still to come.
            chat.set_linger(limits::UPLOAD_LINGER_TIME, limits::UPLOAD_LINGER_BYTES);
        }
        let reply = match refusal {
            // A method longer than any that is known (RFC 9112, 3).
            Refusal::LineTooLong if !line.contains(&b' ') => {
                Reply::error(501, "This server does not know the method.")
            }
            Refusal::LineTooLong => Reply::error(414, "The request line is too long."),
            Refusal::HeadersTooLong => Reply::error(431, "The headers are too long."),
            Refusal::Empty => Reply::error(400, "There is no request."),
            Refusal::Head(bad) => {
                let status = match bad {
                    BadHead::Syntax(_) => 400,
                    BadHead::TooManyHeaders => 431,
                    BadHead::UnknownCoding => 501,
                    BadHead::Version => 505,
                };
                Reply::error(status, &bad.to_string())
            }
            Refusal::Body(BadBody::Malformed) => {
                Reply::error(400, "The body's chunks are malformed.")
            }
            Refusal::Body(BadBody::TooLarge) => Reply::error(413, "The body is too large."),
            Refusal::Method => {
                let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
                answer::refuse_method(std::str::from_utf8(method).unwrap_or_default())
            }
        };
        self.refuse(chat, line, reply);
    }

    /// The handshake is complete, if there was one.
    fn note_protection(&mut self, chat: &mut ChatChannel<'_>) {
        let Some(protection) = chat.tls().map(Protection::from) else {
            return;
        };
        // Requests have lengths of their own: one that is whole is answered, one that is cut never (RFC 9112, section 9.8).
        chat.tolerate_truncation();
        self.outlet.secured(protection);
        let mut handshakes = self.server.handshakes.get();
        handshakes.count(protection);
        self.server.handshakes.set(handshakes);
    }

    fn refuse(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], reply: Reply) {
        let client = self.outlet.stranger();
        self.outlet.send(chat, &client, line, reply, Then::Close);
        self.end(chat);
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>) {
        self.disarm(chat);
        chat.close_when_done();
    }
}

impl AsyncChat for HttpChannel {
    fn readable(&self) -> bool {
        !self.connection.outlet.is_busy()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.connection.server.limits.idle));
        self.connection.note_protection(chat);
        if self.connection.unwanted {
            self.refuse(chat, answer::overloaded());
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        let outcome = self.reader.collect(data);
        self.watch_the_clock(chat);
        if let Err(refusal) = outcome {
            self.connection
                .refuse_request(chat, self.reader.line(), refusal);
            self.reader.end();
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let Self { reader, connection } = self;
        let was_in_body = reader.is_in_body();
        reader.found(|line, found| connection.proceed(chat, line, found));
        if was_in_body && !reader.is_in_body() {
            chat.set_terminator(HEAD_END);
        }
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.connection.outlet.drained();
        Ok(())
    }

    /// Nothing moves: the client sends no request, or does not take its answer.
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.connection.started.is_some() && !self.reader.has_ended() {
            self.time_out(chat);
        } else if self.connection.outlet.is_protected() && chat.outgoing_len() == 0 {
            // The end that TLS demands (RFC 9112, section 9.8).
            chat.close_when_done();
        } else {
            chat.close();
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.reader.end();
        self.connection.end(chat);
        Ok(())
    }

    /// A file that shrank while it was sent, or a peer that lets too much wait. The answer is cut short, which its
    /// length tells the client.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        // What breaks TLS, an alert for instance, is the client's doing.
        let level = match error.is::<rustls::Error>() {
            true => log::Level::Debug,
            false => log::Level::Warn,
        };
        log::log!(level, "{}: {error}", chat.describe());
        chat.close();
    }

    fn handle_closed(&mut self, _: &mut Registry, why: Closed) {
        if why.cause == Cause::HandshakeFailed {
            let server = &self.connection.server;
            let mut handshakes = server.handshakes.get();
            handshakes.failed += 1;
            server.handshakes.set(handshakes);
        }
    }
}
