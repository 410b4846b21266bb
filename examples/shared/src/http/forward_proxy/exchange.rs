//! A request and its answer, from the client's side.

use std::{cell::Cell, fmt, io::Write, net::IpAddr, rc::Rc};

use asynchat::{ChannelId, ChatChannel, CoupleOptions, Registry, Result};

use super::{
    Counted, Entry, Proxy,
    fields::{self, Announced, Unfit},
    limits::{UPLOAD_LINGER_BYTES, UPLOAD_LINGER_TIME},
    order::Order,
    pass,
    refusal::Refusal,
    target::Place,
    upstream::{Coding, Lost, Upstream},
};
use crate::http::{
    request::Request,
    response::{Body, Head},
    service::reset_on_close,
};

/// How much of a request is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    Complete,
    Counted(u64),
    Chunked,
}

/// What there is of a client's connection beside what is read.
pub(super) struct Link {
    pub(super) proxy: Rc<Proxy>,
    peer: Option<IpAddr>,
    pub(super) exchange: Option<Exchange>,
    /// Counts requests: an answer of the resolver may be late.
    pub(super) serial: u64,
    /// Bytes of the body of the answer; the server's side counts them.
    pub(super) passed: Rc<Cell<u64>>,
    /// The client has enough to take.
    is_congested: bool,
    /// Nothing is read any more.
    pub(super) has_ended: bool,
    pub(super) count: Option<Counted>,
}

pub(super) struct Exchange {
    pub(super) place: Rc<Place>,
    pub(super) is_tunnel: bool,
    pub(super) upstream: Option<ChannelId>,
    /// Kept as long as the request may be sent again.
    pub(super) head: Vec<u8>,
    /// May be sent again (RFC 9110, 9.2.2), and has no body, of which nothing is kept.
    pub(super) is_repeatable: bool,
    pub(super) is_on_kept_connection: bool,
    pub(super) to_head: bool,
    minor: u8,
    keeps_alive: bool,
    upload: Upload,
    /// The server has enough to take, or there is none yet.
    pub(super) is_held: bool,
    line: Vec<u8>,
    user: Option<Rc<str>>,
    /// The client finds the end of the answer by that of the connection.
    lasts_until_close: bool,
    /// That of the answer, once it has begun.
    status: Option<u16>,
}

impl Link {
    pub(super) fn new(proxy: &Rc<Proxy>, peer: Option<IpAddr>) -> Self {
        Self {
            proxy: Rc::clone(proxy),
            peer,
            exchange: None,
            serial: 0,
            passed: Rc::default(),
            is_congested: false,
            has_ended: false,
            count: Some(Counted::new(&proxy.clients)),
        }
    }

    pub(super) fn is_uploading(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.upload != Upload::Complete)
    }

    pub(super) fn is_reading(&self) -> bool {
        match &self.exchange {
            None => !self.is_congested,
            Some(exchange) => exchange.upload != Upload::Complete && !exchange.is_held,
        }
    }

    /// The head of a request is here.
    pub(super) fn begin(
        &mut self,
        chat: &mut ChatChannel<'_>,
        line: &[u8],
        request: &Request<'_>,
        upload: Upload,
    ) {
        let settings = &self.proxy.settings;
        let body = match upload {
            Upload::Complete if has_length(request) => Announced::Length(0),
            Upload::Complete => Announced::Nothing,
            Upload::Counted(length) => Announced::Length(length),
            Upload::Chunked => Announced::Chunked,
        };
        let admitted = settings.admit(request);
        let user = admitted.as_ref().ok().cloned().flatten();
        let order = admitted.and_then(|_| settings.order(request, body, self.peer));
        self.serial += 1;
        self.passed.set(0);
        let mut exchange = Exchange {
            place: Rc::default(),
            is_tunnel: false,
            upstream: None,
            head: Vec::new(),
            is_repeatable: upload == Upload::Complete && is_idempotent(request.method),
            is_on_kept_connection: false,
            to_head: request.method == "HEAD",
            minor: request.minor,
            keeps_alive: request.keeps_alive(),
            upload,
            is_held: true,
            line: line.to_vec(),
            user,
            lasts_until_close: false,
            status: None,
        };
        match order {
            Ok(Order::Forward { place, head }) => {
                exchange.place = place;
                exchange.head = head;
                self.exchange = Some(exchange);
                self.send(chat);
            }
            Ok(Order::Tunnel(place)) => {
                exchange.place = place;
                exchange.is_tunnel = true;
                exchange.is_repeatable = false;
                self.exchange = Some(exchange);
                self.look_up(chat);
            }
            Ok(Order::Trace(trace)) => {
                self.exchange = Some(exchange);
                self.answer_here(chat, "Content-Type: message/http\r\n", &trace);
            }
            Ok(Order::Options) => {
                self.exchange = Some(exchange);
                self.answer_here(chat, "", b"");
            }
            Err(refusal) => {
                // A client that cannot write a target may not have written what follows as a request either.
                exchange.keeps_alive &= refusal.status != 400;
                self.exchange = Some(exchange);
                self.fail(chat, &refusal);
            }
        }
    }

    /// A piece of the request's body.
    pub(super) fn upload(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) {
        if let Some(exchange) = &mut self.exchange
            && let Some(id) = exchange.upstream
            && let Some(mut upstream) = chat.registry().channel(id)
        {
            exchange.is_held = pass(&mut upstream, data);
        }
    }

    /// What stands around the chunks of it.
    pub(super) fn upload_framing(&mut self, chat: &mut ChatChannel<'_>, text: fmt::Arguments<'_>) {
        if let Some(exchange) = &self.exchange
            && exchange.upload == Upload::Chunked
            && let Some(id) = exchange.upstream
            && let Some(mut upstream) = chat.registry().channel(id)
        {
            let _ = upstream.write_fmt(text);
        }
    }

    pub(super) fn uploaded(&mut self, chat: &mut ChatChannel<'_>) {
        self.upload_framing(chat, format_args!("0\r\n\r\n"));
        if let Some(exchange) = &mut self.exchange {
            exchange.upload = Upload::Complete;
        }
    }

    pub(super) fn interim(&mut self, chat: &mut ChatChannel<'_>, head: &Head) {
        // HTTP/1.0 has none (RFC 9110, 15.2).
        if self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.minor > 0)
        {
            let mut out = Vec::new();
            if fields::write_answer(
                &mut out,
                &self.proxy.settings.rewriting,
                head,
                Announced::Nothing,
                "",
            )
            .is_ok()
            {
                let _ = chat.write_all(&out);
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        chat: &mut ChatChannel<'_>,
        head: &Head,
        body: Body,
    ) -> Result<Coding, Unfit> {
        let Some(exchange) = &mut self.exchange else {
            return Ok(Coding::Plain);
        };
        let is_modern = exchange.minor > 0;
        let (announced, coding) = match body {
            Body::Absent => (fields::length_without_body(head), Coding::Plain),
            Body::Length(length) => (Announced::Length(length), Coding::Plain),
            Body::Chunked if is_modern => (Announced::Chunked, Coding::Chunks),
            Body::UntilClose if is_modern => (Announced::Chunked, Coding::Pieces),
            Body::Chunked | Body::UntilClose => {
                exchange.keeps_alive = false;
                exchange.lasts_until_close = true;
                (Announced::Nothing, Coding::Plain)
            }
        };
        // The server may not read the rest of the request, so the client's next could not be told from it.
        exchange.keeps_alive &= exchange.upload == Upload::Complete && !self.proxy.ends.get();
        let mut out = Vec::with_capacity(512);
        let persistence = exchange.persistence();
        fields::write_answer(
            &mut out,
            &self.proxy.settings.rewriting,
            head,
            announced,
            persistence,
        )?;
        exchange.status = Some(head.status);
        exchange.is_repeatable = false;
        exchange.head = Vec::new();
        let _ = chat.write_all(&out);
        Ok(coding)
    }

    pub(super) fn answered(&mut self, chat: &mut ChatChannel<'_>) -> bool {
        let Some(exchange) = self.exchange.take() else {
            return false;
        };
        self.log(&exchange);
        let is_complete = exchange.upload == Upload::Complete;
        if !exchange.keeps_alive || self.proxy.ends.get() {
            self.end(chat, is_complete);
        } else {
            self.is_congested = chat.is_congested();
        }
        is_complete
    }

    /// An answer of the proxy's own, with 200.
    fn answer_here(&mut self, chat: &mut ChatChannel<'_>, fields: &str, body: &[u8]) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.keeps_alive &= exchange.upload == Upload::Complete;
        exchange.status = Some(200);
        let persistence = exchange.persistence();
        let length = body.len();
        let _ = write!(
            chat,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}{persistence}\r\n"
        );
        let _ = chat.write_all(body);
        self.passed.set(length as u64);
        self.answered(chat);
        chat.pause_reading(std::time::Duration::ZERO);
    }

    pub(super) fn lost(&mut self, chat: &mut ChatChannel<'_>, upstream: ChannelId, lost: &Lost) {
        let Some(exchange) = self
            .exchange
            .as_mut()
            .filter(|exchange| exchange.upstream == Some(upstream))
        else {
            return;
        };
        exchange.upstream = None;
        // The server may have closed it before it saw the request (RFC 9112, 9.3.1).
        if lost.is_unanswered && exchange.is_on_kept_connection && exchange.is_repeatable {
            exchange.is_held = true;
            self.look_up(chat);
        } else {
            self.fail(chat, &lost.why);
        }
    }

    /// The request under way gets this answer, or a part of one is all that it gets.
    pub(super) fn fail(&mut self, chat: &mut ChatChannel<'_>, refusal: &Refusal) {
        let Some(mut exchange) = self.exchange.take() else {
            return;
        };
        if let Some(upstream) = exchange.upstream.take()
            && let Some(mut upstream) = chat.registry().channel(upstream)
        {
            upstream.close();
        }
        if exchange.status.is_some() {
            self.log(&exchange);
            self.has_ended = true;
            if exchange.lasts_until_close {
                // An end of file would be the end of the answer.
                reset_on_close(chat);
            }
            chat.close();
            return;
        }
        log::debug!("{}: {}", exchange.place, refusal.status);
        exchange.status = Some(refusal.status);
        let is_complete = exchange.upload == Upload::Complete;
        exchange.keeps_alive &= is_complete && !self.proxy.ends.get();
        let pseudonym = self.proxy.settings.pseudonym();
        let written = refusal.write(chat, pseudonym, !exchange.to_head, exchange.persistence());
        self.passed.set(written.unwrap_or(0));
        self.log(&exchange);
        if exchange.keeps_alive {
            self.is_congested = chat.is_congested();
            // Ten thousand of them in one read shall not hold the others up.
            chat.pause_reading(std::time::Duration::ZERO);
        } else {
            self.end(chat, is_complete);
        }
    }

    /// The request cannot be read to its end, so that the connection cannot be used any more.
    pub(super) fn give_up(&mut self, chat: &mut ChatChannel<'_>, line: &[u8], refusal: &Refusal) {
        let mut exchange = self.exchange.take().unwrap_or_else(|| Exchange {
            place: Rc::default(),
            is_tunnel: false,
            upstream: None,
            head: Vec::new(),
            is_repeatable: false,
            is_on_kept_connection: false,
            to_head: false,
            minor: 1,
            keeps_alive: false,
            upload: Upload::Chunked,
            is_held: false,
            line: line.to_vec(),
            user: None,
            lasts_until_close: false,
            status: None,
        });
        exchange.keeps_alive = false;
        self.exchange = Some(exchange);
        self.fail(chat, refusal);
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>, request_is_complete: bool) {
        self.has_ended = true;
        if !request_is_complete {
            chat.set_linger(UPLOAD_LINGER_TIME, UPLOAD_LINGER_BYTES);
        }
        chat.close_when_done();
    }

    /// The client sends no more requests.
    pub(super) fn close_when_answered(&mut self, chat: &mut ChatChannel<'_>) {
        match &mut self.exchange {
            Some(exchange) => exchange.keeps_alive = false,
            None => self.end(chat, true),
        }
    }

    pub(super) fn drained(&mut self, chat: &mut ChatChannel<'_>) {
        self.is_congested = false;
        if let Some(exchange) = &self.exchange
            && let Some(id) = exchange.upstream
        {
            // It may be a tunnel that is being made.
            let _ = chat
                .registry()
                .with_chat(id, |upstream: &mut Upstream, _| upstream.release());
        }
    }

    pub(super) fn tunnel(&mut self, chat: &mut ChatChannel<'_>) -> Option<CoupleOptions> {
        let mut exchange = self.exchange.take()?;
        let _ = write!(chat, "HTTP/1.1 200 Connection established\r\n\r\n");
        exchange.status = Some(200);
        let (proxy, peer, count) = (Rc::clone(&self.proxy), self.peer, self.count.take());
        let options = CoupleOptions::new().idle_timeout(proxy.settings.limits.tunnel_timeout);
        Some(options.on_end(move |registry, coupled| {
            proxy.log(&exchange.entry(peer, coupled.from_far));
            drop(count);
            proxy.shut_down_if_idle(registry);
        }))
    }

    pub(super) fn closed(&mut self, registry: &mut Registry) {
        if let Some(exchange) = self.exchange.take() {
            if let Some(upstream) = exchange.upstream
                && let Some(mut upstream) = registry.channel(upstream)
            {
                upstream.close();
            }
            self.log(&exchange);
        }
        self.count = None;
        self.proxy.shut_down_if_idle(registry);
    }

    fn log(&self, exchange: &Exchange) {
        self.proxy
            .log(&exchange.entry(self.peer, self.passed.get()));
    }
}

impl Exchange {
    /// The end of the head of an answer.
    fn persistence(&self) -> &'static str {
        match (self.keeps_alive, self.minor) {
            (false, _) => "Connection: close\r\n",
            (true, 0) => "Connection: keep-alive\r\n",
            (true, _) => "",
        }
    }

    /// 499: the client left before it had an answer, as other servers log it.
    fn entry(&self, peer: Option<IpAddr>, bytes: u64) -> Entry<'_> {
        Entry {
            peer,
            user: self.user.as_deref(),
            line: &self.line,
            status: self.status.unwrap_or(499),
            bytes,
        }
    }
}

fn has_length(request: &Request<'_>) -> bool {
    crate::http::header(request.headers, "content-length").is_some()
}

fn is_idempotent(method: &str) -> bool {
    matches!(
        method,
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
    )
}
