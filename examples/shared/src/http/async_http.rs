//! `AsyncHttp` sends one request and feeds a consumer with the answer.
//!
//! The terminator follows the answer: a line end ends each line of the header and the size of a chunk, a number of
//! bytes the body or a chunk; a body without a length has no terminator at all.

use std::io::Write;

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, ChatDispatcher, ConnectOptions, Exceptional,
    Registry, Result, State, Terminator, Truncated,
};

use asynchat_rustls::RegistryTls;

use super::{
    consumer::{Consumer, Deadline, Order, Request, hang_up},
    response::{BadAnswer, Body, Head, check_trailer, chunk_size, may_be_http},
};
use crate::tls::client;

/// The longest header, and the longest trailer behind a chunked body.
const MAX_HEADER: usize = 64 * 1024;
/// The longest line that gives the size of a chunk.
const MAX_LINE: usize = 4 * 1024;
/// A server that has more to say before it comes to the point is not going to.
const MAX_INTERIM: usize = 16;

/// What ends a line. A header may do without the CR before it.
const LINE_END: &str = "\n";

/// What the bytes up to the next terminator are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    Head,
    Body(Body),
    ChunkSize,
    Chunk,
    ChunkEnd,
    Trailer,
}

/// One request.
pub struct AsyncHttp {
    order: Order,
    /// `None` before the channel exists, and once it knows the outcome.
    consumer: Option<Box<dyn Consumer>>,
    expecting: Expecting,
    /// The header, trailer or line begun.
    collected: Vec<u8>,
    received: u64,
    interim: usize,
}

impl AsyncHttp {
    /// Connects to the first address of the host that answers. The consumer learns the outcome.
    ///
    /// The handshake of TLS has the time that the reactor gives it
    /// ([`Builder::handshake_timeout`](asynchat::Builder::handshake_timeout)).
    pub fn start(registry: &mut Registry, order: Order, consumer: impl Consumer + 'static) {
        let request = Self {
            order,
            consumer: None,
            expecting: Expecting::Head,
            collected: Vec::new(),
            received: 0,
            interim: 0,
        };
        // A chat that finds no descriptor is dropped unseen. The consumer stays here until that is past, to be told
        // the reason.
        let mut consumer = Some(consumer);
        let started = match request.connect(registry) {
            Ok(id) => registry
                .with_chat(id, |request: &mut Self, chat| {
                    if let Some(consumer) = consumer.take() {
                        request.consumer = Some(Box::new(consumer));
                        request.start_timer(chat);
                    }
                })
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let (Err(error), Some(mut consumer)) = (started, consumer) {
            consumer.close(Err(format!("connection failed: {error}").into()));
        }
    }

    fn connect(self, registry: &mut Registry) -> Result<ChannelId> {
        let options = ConnectOptions::new()
            .resolve_timeout(self.order.timeout)
            .timeout(self.order.timeout)
            .deadline(self.order.timeout);
        let url = self.order.url.clone();
        let tls = match url.is_https() {
            true => Some(self.order.tls.config()?),
            false => None,
        };
        let chat = ChatDispatcher::new(self, LINE_END);
        let (host, port) = (url.host(), url.port());
        Ok(match tls {
            Some(config) => registry.connect_tls_with(host, port, &options, config, chat)?,
            None => registry.connect_host_with(host, port, &options, chat)?,
        })
    }

    fn start_timer(&self, chat: &mut ChatChannel<'_>) {
        let Some(Deadline { at, limit }) = self.order.deadline else {
            return;
        };
        let left = at.saturating_duration_since(chat.registry().now());
        chat.call_later(left, move |request: &mut Self, chat| {
            let where_it_stood = request.cut_short("timed out");
            let why = format!("the whole transfer took longer than {limit:?}");
            request.end(chat, Err(format!("{where_it_stood}: {why}").into()));
            Ok(())
        });
    }

    fn take_head(&mut self, chat: &mut ChatChannel<'_>, bytes: &[u8]) -> Result {
        let head = Head::parse(bytes)?;
        if head.is_interim() {
            self.interim += 1;
            return match head.status {
                101 => Err("the server switched protocols without being asked to".into()),
                _ if self.interim > MAX_INTERIM => {
                    Err(format!("more than {MAX_INTERIM} interim answers").into())
                }
                _ => Ok(()),
            };
        }
        let body = head.body(self.order.head_only)?;
        let mut request = Request {
            order: &self.order,
            head: &head,
            length: match body {
                Body::Length(length) => Some(length),
                _ => None,
            },
            channel: chat,
        };
        if let Some(consumer) = &mut self.consumer {
            consumer.http_header(&mut request).map_err(of_consumer)?;
        }
        if matches!(chat.state(), State::Closing | State::Closed) {
            self.consumer = None;
            return Ok(());
        }
        if let Body::Length(length) = body {
            self.check_size(length)?;
        }
        self.expecting = Expecting::Body(body);
        match body {
            Body::Absent => chat.set_terminator(0),
            Body::Length(length) => chat.set_terminator(length),
            Body::UntilClose => chat.set_terminator(Terminator::None),
            Body::Chunked => self.expecting = Expecting::ChunkSize,
        }
        Ok(())
    }

    fn take_chunk_size(&mut self, chat: &mut ChatChannel<'_>, line: &[u8]) -> Result {
        match chunk_size(without_cr(line)?)? {
            0 => self.expecting = Expecting::Trailer,
            size => {
                self.check_size(size)?;
                self.expecting = Expecting::Chunk;
                chat.set_terminator(size);
            }
        }
        Ok(())
    }

    /// Whether this number of further bytes of the body is within the bound.
    fn check_size(&self, more: u64) -> Result {
        match self.order.max_size {
            Some(max) if more > max.saturating_sub(self.received) => {
                Err(format!("the body is larger than {max} bytes").into())
            }
            _ => Ok(()),
        }
    }

    /// Keeps part of a line. What is said of it early depends on the bytes alone, not on where they were cut: another
    /// protocol may never send a line end.
    fn take_part_of_line(&mut self, data: &[u8]) -> Result {
        self.collected.extend_from_slice(data);
        let limit = |bytes: usize, error: &str| match self.collected.len() > bytes {
            true => Err(format!("{error} longer than {bytes} bytes").into()),
            false => Ok(()),
        };
        match self.expecting {
            Expecting::Head if !may_be_http(&self.collected) => Err(BadAnswer::NotHttp.into()),
            Expecting::Head => limit(MAX_HEADER, "header"),
            Expecting::Trailer => limit(MAX_HEADER, "trailer"),
            Expecting::ChunkEnd if self.collected != b"\r" => {
                Err("malformed chunk: it is longer than announced".into())
            }
            _ => limit(MAX_LINE, "malformed chunk: a line"),
        }
    }

    /// Header or trailer, if this line ends it: an empty one.
    fn lines_complete(&mut self) -> Option<Vec<u8>> {
        let begun = memchr::memrchr(b'\n', &self.collected).map_or(0, |at| at + 1);
        if let [] | b"\r" = &self.collected[begun..] {
            self.collected.truncate(begun);
            return Some(std::mem::take(&mut self.collected));
        }
        self.collected.push(b'\n');
        None
    }

    fn cut_short(&self, how: &str) -> String {
        let received = self.received;
        match self.expecting {
            Expecting::Head if self.collected.is_empty() => format!("{how} without an answer"),
            Expecting::Head => format!("{how} within the header"),
            Expecting::Body(Body::Length(length)) => {
                format!("{how} after {received} of {length} bytes of the body")
            }
            _ => format!("{how} before the end of the body, after {received} bytes"),
        }
    }

    /// Why the stream of TLS broke.
    fn broken(&self, error: &rustls::Error) -> String {
        let why = client::reason_of_rustls(self.order.url.host(), error);
        format!("{}: TLS: {why}", self.cut_short("connection broken"))
    }

    /// A stream without its own end may have been cut by anybody on the way (RFC 9112, 9.8).
    fn truncated(&self) -> String {
        let where_it_stood = self.cut_short("connection cut");
        format!("{where_it_stood}: TLS was not ended (close_notify)")
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>, outcome: Result<(), BoxError>) {
        let complete = outcome.is_ok();
        if let Some(mut consumer) = self.consumer.take() {
            consumer.close(outcome);
        }
        match complete {
            true => hang_up(chat),
            false => chat.close(),
        }
    }
}

/// An error of the consumer's. Kept apart from those of the socket: a pipe that broke behind `-o -` says nothing
/// about the server, but as an `io::Error` it would be taken for the end of the connection.
#[allow(clippy::needless_pass_by_value, reason = "what map_err calls")]
fn of_consumer(error: BoxError) -> BoxError {
    error.to_string().into()
}

/// A line of the chunked coding: its ends are CRLF and nothing else, unlike those of a header.
fn without_cr(line: &[u8]) -> Result<&[u8]> {
    line.strip_suffix(b"\r")
        .ok_or_else(|| "malformed chunk: a line ends in LF alone".into())
}

impl AsyncChat for AsyncHttp {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.order.timeout));
        let method = if self.order.head_only { "HEAD" } else { "GET" };
        let url = &self.order.url;
        write!(
            chat,
            "{method} {} HTTP/1.1\r\n\
             Host: {}\r\n\
             User-Agent: asynchat-http-client\r\n\
             Accept: */*\r\n\
             Accept-Encoding: identity\r\n\
             Connection: close\r\n\r\n",
            url.target(),
            url.authority(),
        )?;
        Ok(())
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(error) => {
                self.end(chat, Err(format!("connection failed: {error}").into()));
            }
            Exceptional::HandshakeFailed(error) => {
                let host = self.order.url.host();
                let why = client::reason(host, &error);
                let error = format!("TLS handshake with {host} failed: {why}");
                self.end(chat, Err(error.into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if !matches!(self.expecting, Expecting::Body(_) | Expecting::Chunk) {
            return self.take_part_of_line(data);
        }
        let more = data.len() as u64;
        self.check_size(more)?;
        self.received += more;
        match &mut self.consumer {
            Some(consumer) => consumer.feed(data).map_err(of_consumer),
            None => Ok(()),
        }
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match self.expecting {
            Expecting::Head => match self.lines_complete() {
                Some(header) => self.take_head(chat, &header),
                None => Ok(()),
            },
            Expecting::Body(_) => {
                self.end(chat, Ok(()));
                Ok(())
            }
            Expecting::ChunkSize => {
                let line = std::mem::take(&mut self.collected);
                self.take_chunk_size(chat, &line)
            }
            Expecting::Chunk => {
                self.expecting = Expecting::ChunkEnd;
                chat.set_terminator(LINE_END);
                Ok(())
            }
            Expecting::ChunkEnd => {
                self.expecting = Expecting::ChunkSize;
                without_cr(&std::mem::take(&mut self.collected)).map(drop)
            }
            Expecting::Trailer => {
                if let Some(trailer) = self.lines_complete() {
                    check_trailer(&trailer)?;
                    self.end(chat, Ok(()));
                }
                Ok(())
            }
        }
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let where_it_stood = self.cut_short("timed out");
        let silence = self.order.timeout;
        let error = format!("{where_it_stood}: the server was silent for {silence:?}");
        self.end(chat, Err(error.into()));
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        // A body that lasts until the end of file must not be ended by a reset, nor by the end of file without that of TLS.
        let reset = chat.is_reset();
        let outcome = match self.expecting {
            _ if chat.is_truncated() => Err(self.truncated().into()),
            Expecting::Body(Body::UntilClose) if !reset => Ok(()),
            _ if reset => Err(self.cut_short("connection reset").into()),
            _ => Err(self.cut_short("connection closed").into()),
        };
        self.end(chat, outcome);
        Ok(())
    }

    /// Where every other trouble ends: what the server sent, what the consumer made of it.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let error = match client::of_rustls(&error) {
            Some(error) => self.broken(error).into(),
            None if error.is::<Truncated>() => self.truncated().into(),
            None => error,
        };
        self.end(chat, Err(error));
    }
}

/// Closed by somebody else: the program is asked to end.
impl Drop for AsyncHttp {
    fn drop(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            consumer.close(Err("interrupted".into()));
        }
    }
}
