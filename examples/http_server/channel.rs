//! One connection: head, body, answer, and again.
//!
//! A request is answered when all of it has arrived; its body is thrown away. Answers leave in the order of the requests.
//! While an answer is still being made by a producer, or too much waits to be sent, no further request is read: ten
//! thousand pipelined requests of a peer that does not read its answers cost as much as one.

use std::{rc::Rc, time::Instant};

use asynchat::{Address, AsyncChat, BoxError, ChatChannel, Result, TimerId};

use crate::{
    answer,
    body::{BadBody, Body, Next},
    http_common::{
        Framing, header,
        request::{BadHead, Request},
    },
    limits,
    reply::{Reply, Then},
    send::Outlet,
    server::Server,
};

/// The chat behind every connection.
pub(crate) struct HttpChannel {
    server: Rc<Server>,
    state: State,
    /// The head of the request in progress.
    head: Vec<u8>,
    /// Where its first line ends, once that is known.
    line_end: Option<usize>,
    empty_requests: u8,
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
    /// The others have their turn.
    yields: bool,
    /// There are too many connections.
    unwanted: bool,
}

/// What the bytes that come belong to.
#[derive(Debug)]
enum State {
    Head,
    Body(Body),
    /// The last answer is on its way, nothing is read any more.
    Ended,
}

impl HttpChannel {
    /// The terminator of a head.
    pub(crate) const HEAD_END: &str = "\r\n\r\n";

    /// An `unwanted` connection is told so and closed.
    pub(crate) fn new(server: Rc<Server>, peer: &Address, now: Instant, unwanted: bool) -> Self {
        Self {
            outlet: Outlet::new(Rc::clone(&server), peer, now),
            server,
            state: State::Head,
            head: Vec::new(),
            line_end: None,
            empty_requests: 0,
            started: None,
            deadline: None,
            since: now,
            answers: 0,
            chunk_parts: 0,
            yields: false,
            unwanted,
        }
    }

    /// Since when this connection is the client's doing: no complete request comes, or, with some patience, no more of the
    /// answer is taken. `None` while all goes well.
    pub(crate) fn waiting_since(&self, now: Instant) -> Option<Instant> {
        let since = self.since.max(self.outlet.last_progress());
        if self.outlet.is_busy() {
            let stalled = since + self.server.limits.stalled();
            return (stalled <= now).then_some(stalled);
        }
        let yields = self.yields && self.started.is_none();
        let answering = yields || matches!(self.state, State::Ended);
        (!answering).then_some(since)
    }

    /// Closes the connection in favour of another.
    pub(crate) fn give_way(&mut self, chat: &mut ChatChannel<'_>) {
        log::debug!("{}: makes room for another", chat.describe());
        self.disarm(chat);
        chat.close();
    }

    /// Lets the others have their turn before the next request is read.
    fn give_turn(&mut self, chat: &mut ChatChannel<'_>) {
        self.yields = true;
        let id = chat.id();
        chat.registry()
            .call_later(std::time::Duration::ZERO, move |registry| {
                // A channel that is closed meanwhile has no further turn.
                let _ = registry.with_chat(id, |this: &mut Self, chat| {
                    this.answers = 0;
                    this.chunk_parts = 0;
                    this.yields = false;
                    chat.touch();
                });
                Ok(())
            });
    }

    /// The first byte of a request is here: from now on it has a limited time to arrive.
    fn begin(&mut self, chat: &mut ChatChannel<'_>) {
        self.started = Some(chat.registry().now());
        if self.deadline.is_none() {
            self.arm(chat, self.server.limits.request_time);
        }
    }

    fn arm(&mut self, chat: &mut ChatChannel<'_>, delay: std::time::Duration) {
        let id = chat.id();
        self.deadline = Some(chat.registry().call_later(delay, move |registry| {
            // A channel that is closed meanwhile has no deadline.
            let _ = registry.with_chat(id, Self::check_deadline);
            Ok(())
        }));
    }

    fn disarm(&mut self, chat: &mut ChatChannel<'_>) {
        if let Some(timer) = self.deadline.take() {
            chat.registry().cancel(timer);
        }
    }

    fn check_deadline(&mut self, chat: &mut ChatChannel<'_>) {
        self.deadline = None;
        let Some(started) = self.started else { return };
        let taken = chat.registry().now().saturating_duration_since(started);
        match self.server.limits.request_time.checked_sub(taken) {
            Some(left) if !left.is_zero() => self.arm(chat, left),
            _ => self.time_out(chat),
        }
    }

    fn time_out(&mut self, chat: &mut ChatChannel<'_>) {
        self.refuse(
            chat,
            Reply::error(408, "The request took too long to arrive."),
        );
    }

    fn collect_head(&mut self, chat: &mut ChatChannel<'_>, mut data: &[u8]) {
        // A line end too many after the request before is overlooked. It may come in two pieces.
        if self.head == b"\r"
            && let Some(rest) = data.strip_prefix(b"\n")
        {
            self.head.clear();
            self.started = None;
            data = rest;
        }
        if self.head.is_empty() {
            while let Some(rest) = data.strip_prefix(b"\r\n") {
                data = rest;
            }
            if data.is_empty() {
                return;
            }
            self.begin(chat);
        }
        let seen = self.head.len().saturating_sub(1);
        self.head.extend_from_slice(data);
        if self.line_end.is_none() {
            self.line_end = memchr::memmem::find(&self.head[seen..], b"\r\n").map(|at| seen + at);
        }
        if self.line_len() > limits::REQUEST_LINE {
            self.refuse(chat, Reply::error(414, "The request line is too long."));
        } else if self
            .line_end
            .is_some_and(|end| self.head.len() - end - 2 > limits::HEADER_BLOCK)
        {
            self.refuse(chat, Reply::error(431, "The headers are too long."));
        }
    }

    /// Bytes of the first line so far. A CR at the end may be half of its line end.
    fn line_len(&self) -> usize {
        let so_far = self.head.strip_suffix(b"\r").unwrap_or(&self.head);
        self.line_end.unwrap_or(so_far.len())
    }

    fn head_found(&mut self, chat: &mut ChatChannel<'_>) {
        if self.head.is_empty() {
            self.empty_requests += 1;
            if self.empty_requests > limits::EMPTY_REQUESTS {
                self.refuse(chat, Reply::error(400, "There is no request."));
            }
            return;
        }
        self.empty_requests = 0;
        self.line_end.get_or_insert(self.head.len());
        self.head.extend_from_slice(Self::HEAD_END.as_bytes());
        self.with_head(|this, head, line| {
            Request::parse(head, |request| match request {
                Err(bad) => this.refuse_head(chat, line, bad),
                Ok(request) => match request.framing() {
                    Err(bad) => this.refuse_head(chat, line, bad),
                    Ok(_) if !has_good_host(&request) => {
                        let bad = BadHead::Syntax("The Host header is malformed.");
                        this.refuse_head(chat, line, bad);
                    }
                    Ok(Framing::Unsaid | Framing::Length(0)) => this.answer(chat, line, &request),
                    Ok(framing) => this.start_body(chat, line, &request, framing),
                },
            });
        });
    }

    /// Lends the head and its first line out while the rest of this object is at work, and puts the head back unless the
    /// request is over.
    fn with_head(&mut self, f: impl FnOnce(&mut Self, &[u8], &[u8])) {
        let mut head = std::mem::take(&mut self.head);
        f(self, &head, &head[..self.line_end.unwrap_or(0)]);
        if self.started.is_none() {
            head.clear();
            // A connection that waits should not hold the memory of its longest request.
            head.shrink_to(1024);
            self.line_end = None;
        }
        self.head = head;
    }

    fn refuse_head(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], bad: BadHead) {
        if bad == BadHead::UnknownCoding {
            let_upload_end(chat);
        }
        let status = match bad {
            BadHead::Syntax(_) => 400,
            BadHead::TooManyHeaders => 431,
            BadHead::UnknownCoding => 501,
            BadHead::Version => 505,
        };
        self.refuse_line(chat, line, Reply::error(status, &bad.to_string()));
    }

    /// Reads the body, or answers at once if it is not worth waiting for.
    fn start_body(
        &mut self,
        chat: &mut ChatChannel<'_>,
        line: &[u8],
        request: &Request<'_>,
        framing: Framing,
    ) {
        let limit = self.server.limits.body;
        let too_large = matches!(framing, Framing::Length(length) if length > limit);
        let expects = request.expects_continue();
        let refusal = match answer::refuse_method(request.method) {
            Some(reply) if too_large || expects => Some(reply),
            _ if too_large => Some(too_large_body()),
            _ => None,
        };
        if let Some(reply) = refusal {
            let_upload_end(chat);
            return self.refuse_line(chat, line, reply);
        }
        if expects {
            chat.push("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let (body, terminator) = match framing {
            Framing::Length(length) => Body::counted(length),
            _ => Body::chunked(limit),
        };
        self.state = State::Body(body);
        chat.set_terminator(terminator);
    }

    fn refuse_body(&mut self, chat: &mut ChatChannel<'_>, bad: BadBody) {
        let_upload_end(chat);
        self.refuse(
            chat,
            match bad {
                BadBody::Malformed => Reply::error(400, "The body's chunks are malformed."),
                BadBody::TooLarge => too_large_body(),
            },
        );
    }

    fn body_ended(&mut self, chat: &mut ChatChannel<'_>) {
        self.state = State::Head;
        chat.set_terminator(Self::HEAD_END);
        self.with_head(|this, head, line| {
            // It was good before, so it is now.
            Request::parse(head, |request| match request {
                Ok(request) => this.answer(chat, line, &request),
                Err(bad) => this.refuse_head(chat, line, bad),
            });
        });
    }

    fn answer(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], request: &Request<'_>) {
        self.started = None;
        self.since = chat.registry().now();
        let reply = answer::answer(&self.server, chat.registry(), request);
        let then = match (request.keeps_alive(), request.minor) {
            (false, _) => Then::Close,
            // Whoever cannot write a target may not have written what follows as a request either.
            _ if reply.status == 400 => Then::Close,
            (true, 0) => Then::SayKeepAlive,
            (true, _) => Then::KeepAlive,
        };
        self.answers += 1;
        let turn_used = reply.is_costly || self.answers >= limits::ANSWERS;
        self.outlet.send(chat, line, reply, then);
        if then == Then::Close {
            self.end(chat);
        } else if turn_used {
            self.give_turn(chat);
        }
    }

    /// Answers a request that cannot be read to its end, so that the connection cannot be used any more.
    fn refuse(&mut self, chat: &mut ChatChannel<'_>, reply: Reply) {
        let head = std::mem::take(&mut self.head);
        self.refuse_line(chat, &head[..self.line_end.unwrap_or(head.len())], reply);
    }

    fn refuse_line(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], reply: Reply) {
        self.outlet.send(chat, line, reply, Then::Close);
        self.end(chat);
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>) {
        self.state = State::Ended;
        self.disarm(chat);
        chat.close_when_done();
    }
}

/// The answer to a refused upload must not be lost to a reset, however much of it is still to come.
fn let_upload_end(chat: &mut ChatChannel<'_>) {
    chat.set_linger(limits::UPLOAD_LINGER_TIME, limits::UPLOAD_LINGER_BYTES);
}

/// Whether there is one port at most, and it is a number. The characters have been checked before.
fn has_good_host(request: &Request<'_>) -> bool {
    let host = header(request.headers, "host").unwrap_or_default();
    let port = match host.iter().position(|&byte| byte == b']') {
        Some(end) if host.starts_with(b"[") => match &host[end + 1..] {
            [] => &[],
            [b':', port @ ..] => port,
            _ => return false,
        },
        Some(_) => return false,
        None if host.contains(&b'[') => return false,
        None => host
            .splitn(2, |&byte| byte == b':')
            .nth(1)
            .unwrap_or_default(),
    };
    port.iter().all(u8::is_ascii_digit)
}

fn too_large_body() -> Reply {
    Reply::error(413, "The body is too large.")
}

impl AsyncChat for HttpChannel {
    fn readable(&self) -> bool {
        !self.yields && !self.outlet.is_busy()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.server.limits.idle));
        if self.unwanted {
            self.refuse(chat, answer::overloaded());
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        match &mut self.state {
            State::Head => self.collect_head(chat, data),
            State::Body(body) => {
                if let Err(bad) = body.collect(data) {
                    self.refuse_body(chat, bad);
                }
            }
            State::Ended => {}
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match &mut self.state {
            State::Head => self.head_found(chat),
            State::Body(body) => match body.found() {
                Ok(Next::Frame(terminator)) => {
                    chat.set_terminator(terminator);
                    self.chunk_parts += 1;
                    if self.chunk_parts == limits::CHUNK_PARTS {
                        self.give_turn(chat);
                    }
                }
                Ok(Next::End) => self.body_ended(chat),
                Err(bad) => self.refuse_body(chat, bad),
            },
            State::Ended => {}
        }
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.outlet.drained();
        Ok(())
    }

    /// Nothing moves: the client sends no request, or does not take its answer.
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.started.is_some() && !matches!(self.state, State::Ended) {
            self.time_out(chat);
        } else {
            self.disarm(chat);
            chat.close();
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.end(chat);
        Ok(())
    }

    /// A file that shrank while it was sent, or a peer that lets too much wait. The answer is cut short, which its
    /// length tells the client.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::warn!("{}: {error}", chat.describe());
        self.disarm(chat);
        chat.close();
    }
}
