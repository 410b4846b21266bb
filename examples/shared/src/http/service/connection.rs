//! The object of the reactor: from frames to the callbacks of a handler.

use std::{
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Address, AsyncChat, BoxError, ChatChannel, ChatDispatcher, Closed, Exceptional, Panicked,
    Registry, Result, Sent,
};
use asynchat_rustls::ChannelTls;

use super::{
    super::{
        body::BadBody,
        reader::{Found, HEAD_END, Reader, Refusal},
        request::{BadHead, Request},
    },
    Answered, Handler, Ticket,
    exchange::Exchange,
    options::{ANSWERS, CHUNK_PARTS, UPLOAD_LINGER_BYTES, UPLOAD_LINGER_TIME},
    state::{Clock, Incoming, Outgoing, Place, Shared, State},
};

/// One connection with its handler.
pub struct Connection<H> {
    reader: Reader,
    handler: H,
    state: State,
    /// There are too many connections: it is told so and closed.
    unwanted: bool,
}

impl<H: Handler> Connection<H> {
    pub(super) fn dispatcher(
        shared: Rc<Shared>,
        peer: Option<Address>,
        since: Option<Instant>,
        unwanted: bool,
        handler: H,
    ) -> ChatDispatcher<Self> {
        let place = Place::new(&shared);
        let mut state = State::new(shared, peer, place);
        state.since = since;
        let connection = Self {
            reader: Reader::new(state.shared.options.limits.body, |_| true),
            handler,
            state,
            unwanted,
        };
        ChatDispatcher::new(connection, HEAD_END)
    }

    /// Since when the client is waited for.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match (self.state.incoming, self.state.clock) {
            (Incoming::Head, _) => self.state.since,
            (_, Clock::Body(since, _)) => Some(since),
            _ => None,
        }
    }

    /// Closes the connection in favour of another, which has its place from now on.
    pub(super) fn give_way(&mut self, chat: &mut ChatChannel<'_>) {
        log::debug!("{}: makes room for another", chat.describe());
        self.cut(chat);
        self.state.place = None;
    }

    /// A call from outside, if the exchange that it means is under way.
    pub(super) fn visit(
        &mut self,
        chat: &mut ChatChannel<'_>,
        request: u64,
        f: impl FnOnce(&mut H, &mut Exchange<'_, '_>) -> Result,
    ) -> bool {
        let state = &self.state;
        let is_under_way = !matches!(state.incoming, Incoming::Head | Incoming::Ended);
        if state.request != request || !is_under_way || state.has_ended() {
            return false;
        }
        self.call(chat, f);
        self.settle(chat);
        // `readable` may have another answer now.
        chat.touch();
        true
    }

    /// Calls the handler, and makes an answer of its error.
    fn call(
        &mut self,
        chat: &mut ChatChannel<'_>,
        f: impl FnOnce(&mut H, &mut Exchange<'_, '_>) -> Result,
    ) {
        call(&mut self.handler, &mut self.state, chat, f);
    }

    /// The service ends: no request is read behind the one under way.
    pub(super) fn wind_up(&mut self, chat: &mut ChatChannel<'_>) {
        self.state.keep = false;
        if self.state.incoming == Incoming::Head {
            self.end(chat);
            chat.close_when_done();
        }
    }

    /// Draws the conclusions of what a callback has done.
    fn settle(&mut self, chat: &mut ChatChannel<'_>) {
        if self.state.incoming != Incoming::Ended {
            match self.state.outgoing {
                Outgoing::Ended if self.state.place.is_none() => self.leave(chat),
                Outgoing::Ended => self.finish(chat),
                Outgoing::Cut => {
                    self.note_answered(chat.registry(), false);
                    self.cut(chat);
                }
                _ => {}
            }
        }
        self.state.congested = chat.is_congested();
        self.set_clock(chat);
    }

    /// The answer is complete.
    fn finish(&mut self, chat: &mut ChatChannel<'_>) {
        match self.state.incoming {
            Incoming::Complete if self.state.keep => {
                self.note_answered(chat.registry(), true);
                self.state.incoming = Incoming::Head;
                self.state.outgoing = Outgoing::Nothing;
                self.state.since = Some(chat.registry().now());
                self.state.answers += 1;
                if self.state.answers >= ANSWERS {
                    self.give_turn(chat);
                }
            }
            // The rest of the body is dropped as it comes.
            Incoming::Body if self.state.keep => {}
            Incoming::Head => {}
            incoming => {
                self.note_answered(chat.registry(), true);
                if incoming == Incoming::Body {
                    // The answer must not be lost to a reset, however much of the body is still to come.
                    chat.set_linger(UPLOAD_LINGER_TIME, UPLOAD_LINGER_BYTES);
                }
                self.end(chat);
                chat.close_when_done();
            }
        }
    }

    /// Another object is going to serve the channel.
    fn leave(&mut self, chat: &mut ChatChannel<'_>) {
        self.note_answered(chat.registry(), true);
        self.end(chat);
    }

    /// Nothing more can be made of the connection.
    fn cut(&mut self, chat: &mut ChatChannel<'_>) {
        if self.state.lasts_until_close {
            // An end of file would be the end of the answer.
            reset_on_close(chat);
        }
        self.end(chat);
        chat.close();
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>) {
        self.state.incoming = Incoming::Ended;
        self.reader.end();
        if let Some((timer, _)) = self.state.timer.take() {
            chat.registry().cancel(timer);
        }
    }

    fn note_answered(&mut self, registry: &mut Registry, complete: bool) {
        if self.state.status == 0 {
            return;
        }
        let answered = Answered {
            peer: self.state.peer.as_ref(),
            line: &self.state.line,
            status: self.state.status,
            bytes: self.state.sent,
            complete,
        };
        self.handler.answered(registry, &answered);
        self.state.status = 0;
    }

    /// Lets the other connections have their turn.
    fn give_turn(&mut self, chat: &mut ChatChannel<'_>) {
        self.state.answers = 0;
        self.state.chunk_parts = 0;
        chat.pause_reading(Duration::ZERO);
    }

    /// Some of the body has come.
    fn take_content(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) {
        let len = data.len() as u64;
        let state = &mut self.state;
        // It has not waited.
        state.awaited = false;
        if let Some(left) = &mut state.left {
            *left = left.saturating_sub(len);
        }
        if let Clock::Body(_, came) = &mut state.clock {
            *came += len;
        }
        if !state.has_ended() {
            self.call(chat, |handler, exchange| handler.body(exchange, data));
        } else {
            state.drained += len;
            if state.drained > state.shared.options.limits.drain {
                state.keep = false;
            }
        }
    }

    /// Answers a request that cannot be read to its end, so that the connection cannot be used any more.
    fn refuse(&mut self, chat: &mut ChatChannel<'_>, refusal: Refusal) {
        let line = self.reader.line();
        let (status, explain) = explain(line, refusal);
        if refusal.is_of_upload() {
            // The client finds the answer, not a reset, however much of the body is still to come.
            chat.set_linger(UPLOAD_LINGER_TIME, UPLOAD_LINGER_BYTES);
        }
        if self.state.incoming == Incoming::Head {
            self.state.begin(line);
            self.state.incoming = Incoming::Complete;
        }
        self.refuse_with(chat, status, &explain);
    }

    fn refuse_with(&mut self, chat: &mut ChatChannel<'_>, status: u16, explain: &str) {
        self.state.keep = false;
        self.reader.end();
        if self.state.has_ended() {
            // In the body behind an answer.
            self.state.incoming = Incoming::Complete;
        } else if self.state.has_begun() {
            self.state.outgoing = Outgoing::Cut;
        } else {
            self.call(chat, |_, exchange| exchange.error(status, explain));
        }
    }
}

/// The times that are waited.
impl<H: Handler> Connection<H> {
    /// Starts the clock of what is waited for now, if it is something else than before.
    fn set_clock(&mut self, chat: &mut ChatChannel<'_>) {
        let state = &mut self.state;
        let now = chat.registry().now();
        let takes_body = self.handler.readable() || state.has_ended();
        let clock = match (state.incoming, state.outgoing) {
            (Incoming::Head, _) if self.reader.is_in_request() => match state.clock {
                clock @ Clock::Head(_) => clock,
                _ => Clock::Head(now),
            },
            (Incoming::Body, _) if takes_body => match state.clock {
                clock @ Clock::Body(..) => clock,
                _ => Clock::Body(now, 0),
            },
            (Incoming::Complete, Outgoing::Nothing) => match state.clock {
                clock @ Clock::Answer(_) => clock,
                _ => Clock::Answer(now),
            },
            _ => Clock::Stopped,
        };
        state.clock = clock;
        self.arm(chat);
    }

    /// One timer serves many requests: it is set anew only if it would come too late.
    fn arm(&mut self, chat: &mut ChatChannel<'_>) {
        let limits = &self.state.shared.options.limits;
        let (since, limit) = match self.state.clock {
            Clock::Stopped => return,
            Clock::Head(since) | Clock::Body(since, _) => (since, limits.request_time),
            Clock::Answer(since) => (since, limits.answer_time),
        };
        let due = since.checked_add(limit);
        let Some(due) = due else { return };
        if let Some((timer, at)) = self.state.timer {
            if at <= due {
                return;
            }
            chat.registry().cancel(timer);
        }
        let delay = due.saturating_duration_since(chat.registry().now());
        let timer = chat.call_later(delay, |connection: &mut Self, chat| {
            connection.check_clock(chat);
            Ok(())
        });
        self.state.timer = Some((timer, due));
    }

    fn check_clock(&mut self, chat: &mut ChatChannel<'_>) {
        self.state.timer = None;
        let now = chat.registry().now();
        let limits = &self.state.shared.options.limits;
        let is_over =
            |since: std::time::Instant, limit| now.saturating_duration_since(since) >= limit;
        match self.state.clock {
            Clock::Head(since) if is_over(since, limits.request_time) => self.time_out(chat),
            Clock::Body(since, came) if is_over(since, limits.request_time) => {
                if came < limits.slowest_body {
                    self.time_out(chat);
                } else {
                    self.state.clock = Clock::Body(now, 0);
                }
            }
            Clock::Answer(since) if is_over(since, limits.answer_time) => {
                log::warn!("{}: no answer in {:?}", chat.describe(), limits.answer_time);
                self.refuse_with(chat, 503, "The answer took too long.");
            }
            _ => {}
        }
        self.settle(chat);
    }

    /// The request takes too long to arrive.
    fn time_out(&mut self, chat: &mut ChatChannel<'_>) {
        if self.state.incoming == Incoming::Head {
            self.state.begin(self.reader.line());
            self.state.incoming = Incoming::Complete;
        }
        self.refuse_with(chat, 408, "The request took too long to arrive.");
    }
}

fn call<H: Handler>(
    handler: &mut H,
    state: &mut State,
    chat: &mut ChatChannel<'_>,
    f: impl FnOnce(&mut H, &mut Exchange<'_, '_>) -> Result,
) {
    let mut exchange = Exchange {
        state,
        chat,
        part_left: part_left::<H>,
    };
    if let Err(error) = f(handler, &mut exchange) {
        log::warn!("{}: {error}", exchange.describe());
        fail(&mut exchange);
    }
}

fn fail(exchange: &mut Exchange<'_, '_>) {
    exchange.close_after();
    if exchange.has_begun() {
        exchange.abort();
    } else if exchange.error(500, "").is_err() {
        exchange.state.outgoing = Outgoing::Cut;
    }
}

/// The rest of an answer has left, or will not.
fn part_left<H: Handler>(registry: &mut Registry, ticket: Ticket, sent: Sent) -> Result {
    // If the channel is closed, `gone` has been told.
    let _ = registry.with_chat(ticket.channel, |connection: &mut Connection<H>, chat| {
        let state = &mut connection.state;
        if state.request == ticket.request && state.outgoing == Outgoing::Part {
            state.sent += sent.bytes;
            state.outgoing = match sent.complete {
                true => Outgoing::Ended,
                false => Outgoing::Cut,
            };
            connection.settle(chat);
            chat.touch();
        }
    });
    Ok(())
}

/// The head of a request without a body.
fn take_whole<H: Handler>(
    handler: &mut H,
    state: &mut State,
    chat: &mut ChatChannel<'_>,
    line: &[u8],
    request: &Request<'_>,
) {
    state.take_head(line, request);
    state.incoming = Incoming::Complete;
    call(handler, state, chat, |handler, exchange| {
        handler.request(exchange, request)
    });
}

/// A connection of the testing kit has no descriptor, and a Unix socket no reset: there is nothing to be done.
pub(crate) fn reset_on_close(chat: &ChatChannel<'_>) {
    #[cfg(unix)]
    let socket = chat.as_fd();
    #[cfg(windows)]
    let socket = chat.as_socket();
    if let Ok(socket) = socket {
        let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}

fn explain(line: &[u8], refusal: Refusal) -> (u16, String) {
    match refusal {
        // A method longer than any that is known (RFC 9112, 3).
        Refusal::LineTooLong if !line.contains(&b' ') => (501, String::new()),
        Refusal::LineTooLong => (414, "The request line is too long.".into()),
        Refusal::HeadersTooLong => (431, "The headers are too long.".into()),
        Refusal::Empty => (400, "There is no request.".into()),
        Refusal::Head(bad) => {
            let status = match bad {
                BadHead::Syntax(_) => 400,
                BadHead::TooManyHeaders => 431,
                BadHead::UnknownCoding => 501,
                BadHead::Version => 505,
            };
            (status, bad.to_string())
        }
        Refusal::Body(BadBody::Malformed) => (400, "The body's chunks are malformed.".into()),
        Refusal::Body(BadBody::TooLarge) => (413, "The body is too large.".into()),
        Refusal::Method => (501, String::new()),
    }
}

/// What a frame of the request led to.
enum Step {
    Nothing,
    /// A head: the handler has seen it.
    Begun,
    /// More of a body is to come.
    BodyPart,
    /// All of the request is here.
    Complete,
    Refused(Refusal),
}

impl<H: Handler> AsyncChat for Connection<H> {
    fn readable(&self) -> bool {
        let state = &self.state;
        match state.incoming {
            Incoming::Head => state.outgoing == Outgoing::Nothing && !state.congested,
            Incoming::Body => self.handler.readable() || state.has_ended(),
            Incoming::Complete | Incoming::Ended => false,
        }
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let limits = &self.state.shared.options.limits;
        self.state.since = Some(chat.registry().now());
        chat.set_idle_timeout(Some(limits.idle));
        chat.set_watermarks(limits.marks.0, limits.marks.1);
        chat.set_max_outgoing(limits.outgoing);
        self.state.is_protected = chat.tls().is_some();
        if self.state.is_protected {
            // Requests have lengths of their own: one that is cut is never taken for whole (RFC 9112, 9.8).
            chat.tolerate_truncation();
        }
        if self.unwanted {
            self.state.begin(b"");
            self.state.incoming = Incoming::Complete;
            self.refuse_with(chat, 503, "There are too many connections. Try again soon.");
            self.settle(chat);
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if self.reader.is_in_content() {
            self.take_content(chat, data);
        } else if let Err(refusal) = self.reader.collect(data) {
            self.refuse(chat, refusal);
        }
        self.settle(chat);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let Self {
            reader,
            handler,
            state,
            ..
        } = self;
        let was_in_body = reader.is_in_body();
        let mut step = Step::Nothing;
        reader.found(|line, found| {
            match found {
                Found::Nothing => {}
                Found::Body {
                    request,
                    length,
                    terminator,
                    awaited,
                } => {
                    chat.set_terminator(terminator);
                    state.take_head(line, request);
                    state.incoming = Incoming::Body;
                    state.awaited = awaited;
                    state.left = length;
                    if state.is_connect {
                        step = Step::Refused(Refusal::Head(BadHead::Syntax(
                            "A CONNECT request has no body.",
                        )));
                        return ControlFlow::Break(());
                    }
                    call(handler, state, chat, |handler, exchange| {
                        handler.request(exchange, request)
                    });
                    step = Step::Begun;
                }
                Found::BodyPart(terminator) => {
                    chat.set_terminator(terminator);
                    step = Step::BodyPart;
                }
                Found::Request(request) => {
                    if state.incoming == Incoming::Head {
                        take_whole(handler, state, chat, line, request);
                    }
                    step = Step::Complete;
                }
                Found::Refused(refusal) => {
                    step = Step::Refused(refusal);
                    if state.incoming == Incoming::Head {
                        state.begin(line);
                        state.incoming = Incoming::Complete;
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if was_in_body && !reader.is_in_body() {
            chat.set_terminator(HEAD_END);
        }
        match step {
            Step::Nothing => {}
            Step::Begun => {
                if self.handler.readable() {
                    self.call(chat, |_, exchange| {
                        exchange.want_body();
                        Ok(())
                    });
                }
            }
            Step::BodyPart => {
                self.state.chunk_parts += 1;
                if self.state.chunk_parts >= CHUNK_PARTS {
                    self.give_turn(chat);
                }
            }
            Step::Complete => {
                self.state.incoming = Incoming::Complete;
                self.state.left = Some(0);
                if !self.state.has_ended() {
                    self.call(chat, H::body_end);
                }
            }
            Step::Refused(refusal) => self.refuse(chat, refusal),
        }
        self.settle(chat);
        Ok(())
    }

    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if matches!(self.state.outgoing, Outgoing::Body(_)) {
            self.call(chat, H::drained);
        }
        self.settle(chat);
        Ok(())
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ReadClosed = what
            && matches!(self.state.incoming, Incoming::Body | Incoming::Complete)
            && !self.state.has_ended()
        {
            self.call(chat, H::client_ended);
            self.settle(chat);
        }
        Ok(())
    }

    /// Nothing moves: the client sends no request, or does not take its answer.
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let state = &self.state;
        let waits_for_handler = chat.outgoing_len() == 0
            && matches!(state.outgoing, Outgoing::Nothing | Outgoing::Body(_));
        match state.incoming {
            Incoming::Head if !self.reader.is_in_request() => {
                // Over TLS with the end that it demands (RFC 9112, 9.8).
                match state.is_protected && chat.outgoing_len() == 0 {
                    true => chat.close_when_done(),
                    false => chat.close(),
                }
                return Ok(());
            }
            Incoming::Complete if waits_for_handler => {}
            Incoming::Body if waits_for_handler && !self.handler.readable() => {}
            Incoming::Head | Incoming::Body if waits_for_handler => self.time_out(chat),
            _ => {
                log::debug!("{}: the client takes nothing", chat.describe());
                self.cut(chat);
            }
        }
        self.settle(chat);
        Ok(())
    }

    /// The end of file between requests, or in one that will never be whole; or a reset.
    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.state.incoming == Incoming::Head {
            self.end(chat);
            chat.close_when_done();
        } else {
            self.cut(chat);
        }
        Ok(())
    }

    /// A file that shrank while it was sent, a client for which too much waits, a callback that panicked.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        // What breaks TLS, an alert for instance, is the client's doing.
        let level = match error.is::<rustls::Error>() {
            true => log::Level::Debug,
            false => log::Level::Warn,
        };
        log::log!(level, "{}: {error}", chat.describe());
        let may_answer = error.is::<Panicked>() && !self.state.has_begun();
        match self.state.incoming {
            Incoming::Body | Incoming::Complete if may_answer => {
                self.refuse_with(chat, 500, "");
                self.settle(chat);
            }
            _ => self.cut(chat),
        }
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.note_answered(registry, false);
        self.handler.gone(registry, &why);
    }
}
