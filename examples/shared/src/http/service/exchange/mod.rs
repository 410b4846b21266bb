//! A request and its answer, as the handler sees them.

mod exact;

use std::{cell::Cell, fmt, io::Write, rc::Rc};

use asynchat::{
    Address, Bytes, ChannelId, ChatChannel, ChunkedProducer, FilePart, Part, Producer, Registry,
    Result, Sent,
};

use self::exact::Exact;
use super::{
    super::status,
    Ticket,
    answer::Answer,
    options::ErrorPage,
    state::{Framing, Incoming, Outgoing, Place, State},
};

/// The argument of every callback of a [`Handler`](super::Handler).
pub struct Exchange<'a, 'r> {
    pub(super) state: &'a mut State,
    pub(super) chat: &'a mut ChatChannel<'r>,
    /// Tells the connection, which knows the type of its handler, that a part has left.
    pub(super) part_left: fn(&mut Registry, Ticket, Sent) -> Result,
}

/// # What is known
impl<'r> Exchange<'_, 'r> {
    /// Names this exchange for [`with`](super::with).
    pub fn ticket(&self) -> Ticket {
        Ticket {
            channel: self.chat.id(),
            request: self.state.request,
        }
    }

    pub fn id(&self) -> ChannelId {
        self.chat.id()
    }

    pub fn registry(&mut self) -> &mut Registry {
        self.chat.registry()
    }

    /// The client's address when it connected.
    pub fn peer(&self) -> Option<&Address> {
        self.state.peer.as_ref()
    }

    /// Whether the connection is TLS.
    pub fn is_protected(&self) -> bool {
        self.state.is_protected
    }

    /// The channel. What is pushed here goes past the framing of the answer.
    pub fn chat(&mut self) -> &mut ChatChannel<'r> {
        self.chat
    }

    /// Type, id and addresses, for a log.
    pub fn describe(&self) -> String {
        self.chat.describe()
    }

    /// Whether some of the request's body is still to come.
    pub fn has_body(&self) -> bool {
        self.state.incoming == Incoming::Body
    }

    /// Bytes of the request's body still to come; `None` in chunks.
    pub fn body_left(&self) -> Option<u64> {
        self.state.left
    }

    /// Whether the head of the answer is written.
    pub fn has_begun(&self) -> bool {
        self.state.has_begun()
    }

    /// Whether the answer is complete, or cut: nothing more can be written.
    pub fn has_ended(&self) -> bool {
        self.state.has_ended()
    }

    /// Whether too much of the answer waits for the client. [`drained`](super::Handler::drained) is called once there is room.
    pub fn is_congested(&self) -> bool {
        self.chat.is_congested()
    }
}

/// # The request
impl Exchange<'_, '_> {
    /// Gives a client that waits for leave to send its body the leave (`100 Continue`), unless the answer has begun. For a
    /// handler that was not [`readable`](super::Handler::readable) when the head came.
    pub fn want_body(&mut self) {
        let state = &mut *self.state;
        if state.awaited && state.incoming == Incoming::Body && !state.has_begun() {
            state.awaited = false;
            let _ = self.chat.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
}

/// # The answer
impl Exchange<'_, '_> {
    /// Writes the head of the answer. Without a [length](Answer::length) the body goes in chunks, to a client of HTTP/1.0 until
    /// the connection closes. To HEAD, and with 204 and 304, what is written of a body is dropped.
    ///
    /// # Errors
    /// If the answer has begun.
    pub fn begin(&mut self, answer: &Answer) -> Result {
        if self.state.has_begun() {
            return Err("the answer has begun already".into());
        }
        self.state.write_head(self.chat, answer);
        Ok(())
    }

    /// Begins an answer that brings its own head in what is written: nothing is added, and it ends with the connection. The
    /// status is for the log.
    ///
    /// # Errors
    /// If the answer has begun.
    pub fn begin_raw(&mut self, status: u16) -> Result {
        if self.state.has_begun() {
            return Err("the answer has begun already".into());
        }
        self.state.keep = false;
        self.state.status = status;
        self.state.outgoing = Outgoing::Body(Framing::UntilClose);
        self.state.lasts_until_close = true;
        Ok(())
    }

    /// Writes part of the body. Never blocks: mind [`is_congested`](Self::is_congested). Past `Limits::outgoing` the answer is cut.
    ///
    /// # Errors
    /// If no answer has begun, if it has ended, or for more bytes than were announced.
    pub fn write(&mut self, data: &[u8]) -> Result {
        let Outgoing::Body(framing) = &mut self.state.outgoing else {
            return Err("there is no answer to write to".into());
        };
        let len = data.len() as u64;
        match framing {
            Framing::None => return Ok(()),
            Framing::Length(left) => {
                *left = left
                    .checked_sub(len)
                    .ok_or("the body is longer than announced")?;
                self.chat.write_all(data)?;
            }
            // A chunk of no bytes would end the body.
            Framing::Chunked if data.is_empty() => {}
            Framing::Chunked => {
                write!(self.chat, "{len:X}\r\n")?;
                self.chat.write_all(data)?;
                self.chat.write_all(b"\r\n")?;
            }
            Framing::UntilClose => self.chat.write_all(data)?,
        }
        self.state.sent += len;
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// If there is none under way, or for fewer bytes than were announced: the answer is cut then.
    pub fn end(&mut self) -> Result {
        let Outgoing::Body(framing) = self.state.outgoing else {
            return Err("there is no answer to end".into());
        };
        match framing {
            Framing::Length(left) if left > 0 => {
                return Err(format!("the body is {left} bytes shorter than announced").into());
            }
            Framing::Chunked => self.chat.write_all(b"0\r\n\r\n")?,
            _ => {}
        }
        self.state.outgoing = Outgoing::Ended;
        Ok(())
    }

    /// Answers with a body that is here as a whole.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub fn answer(&mut self, answer: Answer, body: impl Into<Bytes>) -> Result {
        let body = body.into();
        let bodiless = answer.status() == 204;
        self.begin(&match bodiless {
            true => answer,
            false => answer.length(body.len() as u64),
        })?;
        if let Outgoing::Body(Framing::Length(left)) = &mut self.state.outgoing {
            *left = 0;
            self.state.sent += body.len() as u64;
            self.chat.push(body);
        }
        self.end()
    }

    /// Queues the rest of the body, which a producer makes as the client takes it, and ends the answer behind it.
    ///
    /// A producer that is [pending](asynchat::Produced::Pending) for longer than `Limits::idle` counts as a client that takes nothing.
    ///
    /// # Errors
    /// If there is no answer under way.
    pub fn end_with(&mut self, producer: impl Producer + 'static) -> Result {
        let framing = self.framing()?;
        let given = Rc::new(Cell::new(0));
        let length = match framing {
            Framing::Length(left) => Some(left),
            _ => None,
        };
        let exact = Exact::new(producer, length, Rc::clone(&given));
        match framing {
            Framing::Chunked => {
                let part = Part::producer(ChunkedProducer::new(exact));
                self.end_with_part(framing, part, Some(given));
            }
            _ => self.end_with_part(framing, Part::producer(exact), None),
        }
        Ok(())
    }

    /// Queues a part of a file as the rest of the body, and ends the answer behind it.
    ///
    /// # Errors
    /// If there is no answer under way, or if the part has another length than the rest that was announced. In chunks it is
    /// not sent at all: say the length.
    pub fn end_with_file(&mut self, part: FilePart) -> Result {
        let framing = self.framing()?;
        match framing {
            Framing::Length(left) if left != part.len() => {
                return Err(format!("a file of {} bytes for {left} announced", part.len()).into());
            }
            Framing::Chunked => return Err("a file needs a length".into()),
            _ => self.end_with_part(framing, part.into(), None),
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing> {
        match self.state.outgoing {
            Outgoing::Body(framing) => Ok(framing),
            _ => Err("there is no answer to end".into()),
        }
    }

    fn end_with_part(&mut self, framing: Framing, part: Part, given: Option<Rc<Cell<u64>>>) {
        if framing == Framing::None {
            self.state.outgoing = Outgoing::Ended;
            return;
        }
        self.state.outgoing = Outgoing::Part;
        let (ticket, part_left) = (self.ticket(), self.part_left);
        self.chat.push_then(part, move |registry, sent| {
            let mut sent = sent;
            if let Some(given) = given {
                sent.bytes = given.get();
            }
            part_left(registry, ticket, sent)
        });
    }

    /// Answers with the page of an error. `explain` is a sentence about it; if it is empty, the table's.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub fn error(&mut self, status: u16, explain: &str) -> Result {
        self.error_with(Answer::new(status), explain)
    }

    /// The same with headers, `Allow` for instance, or with other words behind the status.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub fn error_with(&mut self, mut answer: Answer, explain: &str) -> Result {
        let code = answer.status();
        let explain = match explain {
            "" => status::explanation(code),
            explain => explain,
        };
        let page = (self.state.shared.options.error_page)(&ErrorPage {
            code,
            message: answer.reason(),
            explain,
        });
        answer.add("Content-Type", "text/html; charset=utf-8")?;
        self.answer(answer, page)
    }

    /// Sends an interim answer, 103 for instance, to clients that understand it (HTTP/1.1).
    ///
    /// # Errors
    /// If the answer has begun, or is no interim one.
    pub fn interim(&mut self, answer: &Answer) -> Result {
        if self.state.has_begun() || !(102..200).contains(&answer.status()) {
            return Err("no place for an interim answer".into());
        }
        if self.state.minor > 0 {
            self.state.write_bare_head(self.chat, answer, "");
        }
        Ok(())
    }

    /// No other request is read on this connection. Before the answer it is announced in its head.
    pub fn close_after(&mut self) {
        self.state.keep = false;
    }

    /// Gives the answer up: 502 if none has begun; otherwise it is cut, so that the client sees that it is not all.
    pub fn abort(&mut self) {
        if self.state.has_begun() {
            self.state.outgoing = Outgoing::Cut;
        } else {
            self.state.keep = false;
            let _ = self.error(502, "");
        }
    }

    /// Ends HTTP on this connection: writes the head of an answer without a body, `200` to CONNECT or `101`. Nothing more is
    /// read until another object serves the channel: [`couple`](Registry::couple), or `replace` and `detach` of
    /// [`chat`](Self::chat). The handler goes with it. The connection counts as one of the service while the [`Place`] is
    /// kept.
    ///
    /// # Errors
    /// If the answer has begun, if the body of the request is not complete, or for another status than 101 and, to CONNECT,
    /// those of success.
    pub fn switch(&mut self, answer: &Answer) -> Result<Place> {
        let status = answer.status();
        let is_tunnel = self.state.is_connect && (200..300).contains(&status);
        let fits = !self.state.has_begun() && !self.has_body() && (is_tunnel || status == 101);
        let Some(place) = self.state.place.take_if(|_| fits) else {
            return Err("this exchange cannot switch protocols".into());
        };
        let more = match is_tunnel {
            true => "",
            false => "Connection: Upgrade\r\n",
        };
        self.state.write_bare_head(self.chat, answer, more);
        self.state.status = status;
        self.state.outgoing = Outgoing::Ended;
        Ok(place)
    }
}

impl fmt::Debug for Exchange<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
