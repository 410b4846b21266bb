//! Where a connection is: in a request, in an answer, between two.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    rc::Rc,
    time::Instant,
};

use asynchat::{Address, ChatChannel, TimerId};

use super::{
    super::{date::DateText, request::Request},
    answer::Answer,
    options::{LOGGED_LINE, Options},
};

/// What all connections of a service share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    /// Open connections.
    pub(super) open: Cell<usize>,
    /// No connection is kept behind its answer any more.
    pub(super) ending: Cell<bool>,
    date: RefCell<DateText>,
    scratch: RefCell<Vec<u8>>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            open: Cell::new(0),
            ending: Cell::new(false),
            date: RefCell::default(),
            scratch: RefCell::default(),
        }
    }
}

/// A place among the connections of a service, for as long as it is kept.
#[derive(Debug)]
pub struct Place(Rc<Shared>);

impl Place {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// The side that the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The head of a request is read, or awaited.
    Head,
    /// Its body is.
    Body,
    /// All of the request is here.
    Complete,
    /// Nothing is read any more.
    Ended,
}

/// The side that the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// No answer has begun.
    Nothing,
    /// The head is written; the body ends as this says.
    Body(Framing),
    /// A part that is the rest of the body is on its way.
    Part,
    /// The answer is complete.
    Ended,
    /// It never will be.
    Cut,
}

/// How the client sees the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever is written: HEAD, 204, 304.
    None,
    /// Bytes that are missing.
    Length(u64),
    Chunked,
    UntilClose,
}

/// All of a connection but its reader and its handler.
#[derive(Debug)]
pub(super) struct State {
    pub(super) shared: Rc<Shared>,
    pub(super) peer: Option<Address>,
    /// `None` once the connection belongs to somebody else.
    pub(super) place: Option<Place>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// The number of the request, from 1.
    pub(super) request: u64,
    pub(super) line: Vec<u8>,
    pub(super) head_only: bool,
    pub(super) minor: u8,
    pub(super) is_connect: bool,
    /// Another request may follow.
    pub(super) keep: bool,
    /// The client waits for leave to send the body.
    pub(super) awaited: bool,
    /// Bytes of the body still to come, if that is known.
    pub(super) left: Option<u64>,
    /// Bytes of the body that came behind the answer.
    pub(super) drained: u64,
    pub(super) status: u16,
    /// Bytes of the answer's body.
    pub(super) sent: u64,
    /// Since when the client or the handler is waited for.
    pub(super) clock: Clock,
    pub(super) timer: Option<(TimerId, Instant)>,
    /// The end of the answer is the end of the connection.
    pub(super) lasts_until_close: bool,
    /// When the connection began, or was free for its next request; `None` before.
    pub(super) since: Option<Instant>,
    /// Answers, and parts of chunks, since the others had their turn.
    pub(super) answers: u8,
    pub(super) chunk_parts: u16,
    pub(super) is_protected: bool,
    /// Too much of the last answers waits for the client.
    pub(super) congested: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Nothing with a limit of its own.
    Stopped,
    /// The rest of a head.
    Head(Instant),
    /// More of a body, of which this many bytes have come since.
    Body(Instant, u64),
    /// The beginning of the answer.
    Answer(Instant),
}

impl State {
    pub(super) fn new(shared: Rc<Shared>, peer: Option<Address>, place: Place) -> Self {
        Self {
            shared,
            peer,
            place: Some(place),
            incoming: Incoming::Head,
            outgoing: Outgoing::Nothing,
            request: 0,
            line: Vec::new(),
            head_only: false,
            minor: 1,
            is_connect: false,
            keep: false,
            awaited: false,
            left: None,
            drained: 0,
            status: 0,
            sent: 0,
            clock: Clock::Stopped,
            timer: None,
            lasts_until_close: false,
            since: None,
            answers: 0,
            chunk_parts: 0,
            is_protected: false,
            congested: false,
        }
    }

    /// Begins the exchange of a request with this line.
    pub(super) fn begin(&mut self, line: &[u8]) {
        self.request += 1;
        self.line.clear();
        self.line
            .extend_from_slice(&line[..line.len().min(LOGGED_LINE)]);
        self.outgoing = Outgoing::Nothing;
        self.head_only = line.starts_with(b"HEAD ");
        self.keep = false;
        self.awaited = false;
        self.left = Some(0);
        self.drained = 0;
        self.status = 0;
        self.sent = 0;
        self.is_connect = false;
        self.clock = Clock::Stopped;
    }

    pub(super) fn take_head(&mut self, line: &[u8], request: &Request<'_>) {
        self.begin(line);
        self.minor = request.minor;
        self.is_connect = request.method == "CONNECT";
        self.keep = request.keeps_alive() && self.request < self.shared.options.limits.requests;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.outgoing != Outgoing::Nothing
    }

    /// Whether the handler has nothing more to say.
    pub(super) fn has_ended(&self) -> bool {
        matches!(
            self.outgoing,
            Outgoing::Part | Outgoing::Ended | Outgoing::Cut
        )
    }

    /// Whether the exchange keeps the connection for a next one, as far as is known.
    fn may_keep(&self) -> bool {
        let is_drained = match self.incoming {
            Incoming::Body => {
                // Whether a client that waits for leave sends its body after all is unknown.
                !self.awaited
                    && self
                        .left
                        .is_none_or(|left| left <= self.shared.options.limits.drain)
            }
            Incoming::Complete => true,
            Incoming::Head | Incoming::Ended => false,
        };
        self.keep && is_drained && !self.shared.ending.get()
    }

    /// Writes the head of the final answer.
    pub(super) fn write_head(&mut self, chat: &mut ChatChannel<'_>, answer: &Answer) {
        let status = answer.status();
        let length = answer.known_length();
        let framing = match length {
            _ if self.head_only || matches!(status, 204 | 304) => Framing::None,
            Some(length) => Framing::Length(length),
            None if status == 205 => Framing::Length(0),
            None if self.minor > 0 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        self.keep = self.may_keep() && framing != Framing::UntilClose;
        let shared = Rc::clone(&self.shared);
        let mut out = shared.scratch.borrow_mut();
        out.clear();
        answer.write(
            &mut out,
            shared.options.server,
            &mut shared.date.borrow_mut(),
        );
        let _ = match (framing, length) {
            (Framing::Length(length), _) => write!(out, "Content-Length: {length}\r\n"),
            (Framing::None, Some(length)) if status != 204 => {
                write!(out, "Content-Length: {length}\r\n")
            }
            (Framing::Chunked, _) => write!(out, "Transfer-Encoding: chunked\r\n"),
            _ => Ok(()),
        };
        out.extend_from_slice(match (self.keep, self.minor) {
            (false, _) => b"Connection: close\r\n\r\n",
            (true, 0) => b"Connection: keep-alive\r\n\r\n",
            (true, _) => b"\r\n",
        });
        // Queueing does not fail; a queue that is too long is an error of its own.
        let _ = chat.write_all(&out);
        self.status = status;
        self.lasts_until_close = framing == Framing::UntilClose;
        self.outgoing = Outgoing::Body(framing);
    }

    /// Writes a head that is not the end: an interim answer, or the start of another protocol.
    pub(super) fn write_bare_head(
        &mut self,
        chat: &mut ChatChannel<'_>,
        answer: &Answer,
        more: &str,
    ) {
        let shared = Rc::clone(&self.shared);
        let mut out = shared.scratch.borrow_mut();
        out.clear();
        answer.write(
            &mut out,
            shared.options.server,
            &mut shared.date.borrow_mut(),
        );
        out.extend_from_slice(more.as_bytes());
        out.extend_from_slice(b"\r\n");
        let _ = chat.write_all(&out);
    }
}
