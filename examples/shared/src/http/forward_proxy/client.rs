//! A connection of a client: its requests, one after another. The next is not read before the last is answered.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, Closed, CoupleOptions, Exceptional, Registry,
    Result, Terminator, TimerId,
};
use asynchat_rustls::ChannelTls;

use super::{
    Proxy,
    exchange::{Link, Upload},
    fields::Unfit,
    limits::{HIGH_MARK, LOW_MARK, STALLED},
    refusal::{self, Refusal},
    upstream::{Coding, Lost},
};
use crate::http::{
    reader::{Found, HEAD_END, Reader, Refusal as Unread},
    response::{Body, Head},
};

pub(super) struct Client {
    reader: Reader,
    link: Link,
    /// When the first byte of the head came; `None` otherwise.
    started: Option<Instant>,
    /// Looks whether a head takes too long. Armed once for many requests, not once for each.
    deadline: Option<TimerId>,
    /// When the connection began, its last request was answered, or something of a body was last moved.
    since: Instant,
    /// Bytes of the body of the request since then.
    moved: usize,
    /// The client has ended its side. It may read on, or be gone.
    has_left: bool,
    /// There are too many connections.
    is_unwanted: bool,
}

impl Client {
    /// An unwanted connection is told so and closed.
    pub(super) fn new(
        proxy: &Rc<Proxy>,
        peer: Option<IpAddr>,
        now: Instant,
        is_unwanted: bool,
    ) -> Self {
        let max_body = proxy.settings.limits.max_body.unwrap_or(u64::MAX);
        Self {
            reader: Reader::new(max_body, |_| true),
            link: Link::new(proxy, peer),
            started: None,
            deadline: None,
            since: now,
            moved: 0,
            has_left: false,
            is_unwanted,
        }
    }

    /// Since when this connection is the client's doing: no complete request comes, or, with some patience, no more of the
    /// body, or no more of the answer is taken, or it has ended its side. `None` while all goes well.
    pub(super) fn waiting_since(&self, chat: &ChatChannel<'_>, now: Instant) -> Option<Instant> {
        let waits_for_client = match self.link.exchange {
            None => return (!self.link.has_ended).then_some(self.since),
            Some(_) => {
                self.has_left
                    || chat.is_congested()
                    || self.is_uploading() && self.link.is_reading()
            }
        };
        let stalled = self.since + STALLED;
        (waits_for_client && stalled <= now).then_some(stalled)
    }

    /// Closes the connection in favour of another.
    pub(super) fn give_way(&mut self, chat: &mut ChatChannel<'_>) {
        log::debug!("{}: makes room for another", chat.describe());
        self.link.count = None;
        chat.close();
    }

    /// Whether it has no request under way, so that it can be let go without a word.
    pub(super) fn is_idle(&self) -> bool {
        self.link.exchange.is_none() && !self.reader.is_in_request()
    }

    pub(super) fn is_uploading(&self) -> bool {
        self.link.is_uploading()
    }

    /// The server takes bytes again.
    pub(super) fn release(&mut self) {
        if let Some(exchange) = &mut self.link.exchange {
            exchange.is_held = false;
        }
    }

    pub(super) fn resolved(
        &mut self,
        chat: &mut ChatChannel<'_>,
        serial: u64,
        found: io::Result<Vec<SocketAddr>>,
    ) {
        self.link.resolved(chat, serial, found);
    }

    pub(super) fn interim(&mut self, chat: &mut ChatChannel<'_>, head: &Head) {
        self.link.interim(chat, head);
    }

    pub(super) fn answer(
        &mut self,
        chat: &mut ChatChannel<'_>,
        head: &Head,
        body: Body,
    ) -> Result<Coding, Unfit> {
        self.link.answer(chat, head, body)
    }

    /// The answer is complete. True if the request was complete too.
    pub(super) fn answered(&mut self, chat: &mut ChatChannel<'_>) -> bool {
        self.note_progress(chat);
        self.link.answered(chat)
    }

    /// The server that had the request is gone.
    pub(super) fn lost(&mut self, chat: &mut ChatChannel<'_>, upstream: ChannelId, lost: &Lost) {
        self.link.lost(chat, upstream, lost);
    }

    /// CONNECT has its connection: what both ends get from now on is the other's.
    pub(super) fn tunnel(&mut self, chat: &mut ChatChannel<'_>) -> Option<CoupleOptions> {
        if let Some(timer) = self.deadline.take() {
            chat.registry().cancel(timer);
        }
        self.link.tunnel(chat)
    }

    fn note_progress(&mut self, chat: &mut ChatChannel<'_>) {
        self.since = chat.registry().now();
        self.moved = 0;
    }

    fn watch_the_clock(&mut self, chat: &mut ChatChannel<'_>) {
        if !self.reader.is_in_request() || self.started.is_some() {
            return;
        }
        self.started = Some(chat.registry().now());
        if self.deadline.is_none() {
            let limit = self.link.proxy.settings.limits.request_timeout;
            self.arm(chat, limit);
        }
    }

    fn arm(&mut self, chat: &mut ChatChannel<'_>, delay: Duration) {
        self.deadline = Some(chat.call_later(delay, |client: &mut Self, chat| {
            client.check_deadline(chat);
            Ok(())
        }));
    }

    fn check_deadline(&mut self, chat: &mut ChatChannel<'_>) {
        self.deadline = None;
        let Some(started) = self.started else {
            return;
        };
        let taken = chat.registry().now().saturating_duration_since(started);
        let limit = self.link.proxy.settings.limits.request_timeout;
        match limit.checked_sub(taken) {
            Some(left) if !left.is_zero() => self.arm(chat, left),
            _ => self.time_out(chat, "The request took too long to arrive."),
        }
    }

    fn time_out(&mut self, chat: &mut ChatChannel<'_>, text: &'static str) {
        let line = self.reader.line().to_vec();
        self.link
            .give_up(chat, &line, &Refusal::new(408, "http_request_error", text));
    }

    fn refuse(&mut self, chat: &mut ChatChannel<'_>, unread: Unread) {
        let line = self.reader.line().to_vec();
        let refusal = refusal::unread(unread, &line);
        self.link.give_up(chat, &line, &refusal);
    }
}

impl AsyncChat for Client {
    fn readable(&self) -> bool {
        self.link.is_reading()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_watermarks(LOW_MARK, HIGH_MARK);
        chat.set_idle_timeout(Some(self.link.proxy.settings.limits.idle_timeout));
        if chat.tls().is_some() {
            // Requests have lengths of their own: one that is cut is never answered (RFC 9112, section 9.8).
            chat.tolerate_truncation();
        }
        if self.is_unwanted {
            let refusal = Refusal::new(
                503,
                "",
                "This proxy has too many connections (--max-connections).",
            );
            self.link.give_up(chat, b"", &refusal);
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if self.link.has_ended {
            return Ok(());
        }
        let is_content = self.reader.is_in_content();
        if let Err(unread) = self.reader.collect(data) {
            self.refuse(chat, unread);
        } else if is_content {
            self.moved += data.len();
            if self.moved >= HIGH_MARK {
                self.note_progress(chat);
            }
            self.link.upload(chat, data);
        } else if !self.reader.is_in_body() {
            self.watch_the_clock(chat);
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let Self {
            reader,
            link,
            started,
            since,
            ..
        } = self;
        if link.has_ended {
            return Ok(());
        }
        let was_in_body = reader.is_in_body();
        let was_content = reader.is_in_content();
        reader.found(|line, found| {
            match found {
                Found::Nothing => {}
                Found::Body {
                    request,
                    length,
                    terminator,
                    ..
                } => {
                    *started = None;
                    *since = chat.registry().now();
                    chat.set_terminator(terminator);
                    let upload = length.map_or(Upload::Chunked, Upload::Counted);
                    link.begin(chat, line, request, upload);
                }
                Found::BodyPart(terminator) => {
                    if was_content {
                        link.upload_framing(chat, format_args!("\r\n"));
                    }
                    if let Terminator::Count(size) = terminator {
                        link.upload_framing(chat, format_args!("{size:x}\r\n"));
                    }
                    chat.set_terminator(terminator);
                }
                Found::Request(_) if was_in_body => link.uploaded(chat),
                Found::Request(request) => {
                    *started = None;
                    *since = chat.registry().now();
                    link.begin(chat, line, request, Upload::Complete);
                }
                Found::Refused(unread) => {
                    link.give_up(chat, line, &refusal::unread(unread, line));
                }
            }
            match link.has_ended {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if was_in_body && !reader.is_in_body() {
            chat.set_terminator(HEAD_END);
        }
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        self.has_left |= matches!(what, Exceptional::ReadClosed);
        Ok(())
    }

    /// The client has taken what was sent: the server may send more.
    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.note_progress(chat);
        self.link.drained(chat);
        Ok(())
    }

    /// Nothing moves. If the answer is waited for, the server has a limit of its own.
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if chat.outgoing_len() > 0 || self.is_idle() {
            chat.close();
        } else if self.link.exchange.is_none() {
            self.time_out(chat, "The request took too long to arrive.");
        } else if self.link.is_uploading() && self.link.is_reading() {
            self.time_out(chat, "The body took too long to arrive.");
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.link.is_uploading() {
            // The rest of the body will not come.
            chat.close();
        } else {
            self.reader.end();
            self.link.close_when_answered(chat);
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        // What breaks TLS, an alert for instance, is the client's doing.
        log::debug!("{}: {error}", chat.describe());
        chat.close();
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        self.link.closed(registry);
    }
}
