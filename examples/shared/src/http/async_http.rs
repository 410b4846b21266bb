//! `AsyncHttp` sends one request and feeds a consumer with the answer.
//!
//! The terminator follows the answer: a line end ends each line of the header and the size of a chunk, a number of
//! bytes the body or a chunk; a body without a length has no terminator at all.

use std::time::Duration;

use asynchat::{
    AsyncChat, BoxError, Bytes, ChannelId, ChatChannel, ChatDispatcher, ConnectOptions,
    Exceptional, HandshakeFailed, Registry, Result, Truncated,
};
use asynchat_rustls::{ChannelTls, RegistryTls};

use super::{
    challenge::{Asker, Tries},
    consumer::{Consumer, Deadline, Next, Order, Request, hang_up},
    incoming::{Expecting, Incoming, LINE_END},
    response::{Body, Head, check_trailer},
    sending::{self, Sent, Way},
};
use crate::tls::client;

/// A server that has more to say before it comes to the point is not going to.
const MAX_INTERIM: usize = 16;
/// A server may not know `Expect`: after this time the body goes without its consent (RFC 9110, 10.1.1).
const CONSENT: Duration = Duration::from_secs(1);

/// One request.
pub struct AsyncHttp {
    order: Order,
    way: Way,
    /// `None` before the channel exists, and once it knows the outcome.
    consumer: Option<Box<dyn Consumer>>,
    incoming: Incoming,
    interim: usize,
    sent: Sent,
    /// Of the proxy.
    tries: Tries,
}

impl AsyncHttp {
    /// Connects to the first address of the host that answers, or to the proxy. The consumer learns the outcome.
    ///
    /// The handshake of TLS has the time that the reactor gives it
    /// ([`Builder::handshake_timeout`](asynchat::Builder::handshake_timeout)).
    pub fn start(registry: &mut Registry, order: Order, consumer: impl Consumer + 'static) {
        Self::start_boxed(registry, order, Box::new(consumer), Tries::default());
    }

    fn start_boxed(
        registry: &mut Registry,
        mut order: Order,
        mut consumer: Box<dyn Consumer>,
        tries: Tries,
    ) {
        order.added.clear();
        if let Err(error) = consumer.http_request(&mut order) {
            consumer.close(Err(error));
            return consumer.finished(registry);
        }
        let request = Self {
            way: Way::of(&order),
            consumer: None,
            incoming: Incoming::new(order.max_size),
            interim: 0,
            sent: match order.body {
                Some(_) => Sent::Partly,
                None => Sent::Wholly,
            },
            tries,
            order,
        };
        let whom = match request.way.proxy() {
            Some(_) => "connection to the proxy",
            None => "connection",
        };
        // A chat that finds no descriptor is dropped unseen. The consumer stays here until that is past, to be told
        // the reason.
        let mut consumer = Some(consumer);
        let started = match request.connect(registry) {
            Ok(id) => registry
                .with_chat(id, |request: &mut Self, chat| {
                    request.consumer = consumer.take();
                    request.start_timer(chat);
                })
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let (Err(error), Some(mut consumer)) = (started, consumer) {
            consumer.close(Err(format!("{whom} failed: {error}").into()));
            consumer.finished(registry);
        }
    }

    fn connect(self, registry: &mut Registry) -> Result<ChannelId> {
        let timeout = self.order.agent.timeout;
        let options = ConnectOptions::new()
            .resolve_timeout(timeout)
            .timeout(timeout)
            .deadline(timeout);
        let url = self.order.url.clone();
        let way = self.way.clone();
        let tls = match url.is_https() && way.proxy().is_none() {
            true => Some(self.order.agent.tls.config()?),
            false => None,
        };
        let (host, port) = match way.proxy() {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (url.host(), url.port()),
        };
        let chat = ChatDispatcher::new(self, LINE_END);
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
            let where_it_stood = request.incoming.cut_short("timed out");
            let why = format!("the whole transfer took longer than {limit:?}");
            request.end(chat, Err(format!("{where_it_stood}: {why}").into()));
            Ok(())
        });
    }

    fn send(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push(sending::head(&self.order, &self.way)?);
        if self.order.body.is_none() {
            return Ok(());
        }
        self.sent = Sent::Asked;
        if self.order.expects_continue() {
            chat.call_later(CONSENT, |request: &mut Self, chat| {
                match request.incoming.expecting {
                    Expecting::Head => request.send_body(chat),
                    _ => Ok(()),
                }
            });
            return Ok(());
        }
        self.send_body(chat)
    }

    /// Once: at the server's consent, or without it.
    fn send_body(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.sent != Sent::Asked {
            return Ok(());
        }
        if let Some(body) = &self.order.body {
            body.send(chat, self.order.watch.as_ref())?;
        }
        self.sent = Sent::Partly;
        chat.push_then(Bytes::new(), |registry, sent| {
            if sent.complete {
                registry.with_chat(sent.channel, |request: &mut Self, _| {
                    request.sent = Sent::Wholly;
                })?;
            }
            Ok(())
        });
        Ok(())
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
                100 => self.send_body(chat),
                _ => Ok(()),
            };
        }
        if self.incoming.expecting == Expecting::Tunnel {
            return self.take_tunnel(chat, &head);
        }
        if head.status == 417 && self.order.expects_continue() {
            let mut order = self.order.clone();
            order.unannounced = true;
            self.again(chat, order, self.tries);
            return Ok(());
        }
        if matches!(self.way, Way::Forward(_)) && self.answers_proxy(chat, &head) {
            return Ok(());
        }
        // It would be taken for the whole.
        if head.status == 206 && !self.order.asks_for_part() {
            return Err("the server sent a part of the body (206) without being asked to".into());
        }
        let body = head.body(self.order.is_head())?;
        let mut next = Next::Body;
        let mut request = Request {
            order: &self.order,
            head: &head,
            length: match body {
                Body::Length(length) => Some(length),
                _ => None,
            },
            next: &mut next,
            channel: chat,
        };
        if let Some(consumer) = &mut self.consumer {
            consumer.http_header(&mut request).map_err(of_consumer)?;
        }
        match next {
            Next::Body => {}
            Next::Nothing => {
                self.consumer = None;
                chat.discard_output();
                hang_up(chat);
                return Ok(());
            }
            Next::Again(order) => {
                self.again(chat, *order, Tries::default());
                return Ok(());
            }
        }
        // A server that has refused the request need not read it (RFC 9112, 9.5).
        if self.sent != Sent::Wholly && head.status >= 300 {
            chat.discard_output();
            self.sent = Sent::Wholly;
        }
        let terminator = self.incoming.begin_body(body)?;
        chat.set_terminator(terminator);
        Ok(())
    }

    fn take_tunnel(&mut self, chat: &mut ChatChannel<'_>, head: &Head) -> Result {
        if (200..300).contains(&head.status) {
            self.incoming.expecting = Expecting::Head;
            let config = self.order.agent.tls.config()?;
            chat.start_tls_client(self.order.url.host(), config)?;
            return Ok(());
        }
        if self.answers_proxy(chat, head) {
            return Ok(());
        }
        let (status, reason) = (head.status, &head.reason);
        Err(format!("the proxy refused the tunnel with status {status} {reason}").into())
    }

    /// Makes the request again if the proxy has asked for credentials, and there are some.
    fn answers_proxy(&mut self, chat: &mut ChatChannel<'_>, head: &Head) -> bool {
        let Some(credentials) = self.way.proxy().and_then(|proxy| proxy.credentials.clone()) else {
            return false;
        };
        let proved = self.tries.is_second();
        let taken = head.status == Asker::Proxy.status()
            && self.tries.next()
            && credentials.take(head, Asker::Proxy, proved);
        if taken {
            self.again(chat, self.order.clone(), self.tries);
        }
        taken
    }

    fn again(&mut self, chat: &mut ChatChannel<'_>, order: Order, tries: Tries) {
        let consumer = self.consumer.take();
        chat.discard_output();
        hang_up(chat);
        if let Some(consumer) = consumer {
            Self::start_boxed(chat.registry(), order, consumer, tries);
        }
    }

    /// Why the stream of TLS broke.
    fn broken(&self, error: &rustls::Error) -> String {
        let why = client::reason_of_rustls(self.order.url.host(), error);
        format!(
            "{}: TLS: {why}",
            self.incoming.cut_short("connection broken")
        )
    }

    fn failed_handshake(&self, error: &BoxError) -> BoxError {
        let host = self.order.url.host();
        let why = client::reason(host, error);
        format!("TLS handshake with {host} failed: {why}").into()
    }

    /// A stream without its own end may have been cut by anybody on the way (RFC 9112, 9.8).
    fn truncated(&self) -> String {
        let where_it_stood = self.incoming.cut_short("connection cut");
        format!("{where_it_stood}: TLS was not ended (close_notify)")
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>, outcome: Result<(), BoxError>) {
        let outcome = match self.sent {
            Sent::Asked | Sent::Partly if outcome.is_ok() => {
                Err("the server answered before it had the whole body of the request".into())
            }
            _ => outcome,
        };
        let complete = outcome.is_ok();
        if let Some(mut consumer) = self.consumer.take() {
            consumer.close(outcome);
            consumer.finished(chat.registry());
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

impl AsyncChat for AsyncHttp {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.order.agent.timeout));
        if let Way::Tunnel(proxy) = &self.way {
            chat.push(sending::tunnel(&self.order, proxy)?);
            self.incoming.expecting = Expecting::Tunnel;
            return Ok(());
        }
        self.send(chat)
    }

    /// The tunnel's other end is the server.
    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.send(chat)
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(error) => {
                let whom = match self.way.proxy() {
                    Some(_) => "connection to the proxy",
                    None => "connection",
                };
                self.end(chat, Err(format!("{whom} failed: {error}").into()));
            }
            Exceptional::HandshakeFailed(error) => {
                let error = self.failed_handshake(&error);
                self.end(chat, Err(error));
            }
            _ => {}
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if !self.incoming.is_body() {
            return self.incoming.take_part_of_line(data);
        }
        self.incoming.take(data.len())?;
        match &mut self.consumer {
            Some(consumer) => consumer.feed(data).map_err(of_consumer),
            None => Ok(()),
        }
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match self.incoming.expecting {
            Expecting::Head | Expecting::Tunnel => match self.incoming.lines_complete() {
                Some(header) => self.take_head(chat, &header),
                None => Ok(()),
            },
            Expecting::Body(_) => {
                self.end(chat, Ok(()));
                Ok(())
            }
            Expecting::ChunkSize => {
                let terminator = self.incoming.begin_chunk()?;
                chat.set_terminator(terminator);
                Ok(())
            }
            Expecting::Chunk => {
                self.incoming.expecting = Expecting::ChunkEnd;
                chat.set_terminator(LINE_END);
                Ok(())
            }
            Expecting::ChunkEnd => self.incoming.end_chunk(),
            Expecting::Trailer => {
                if let Some(trailer) = self.incoming.lines_complete() {
                    check_trailer(&trailer)?;
                    self.end(chat, Ok(()));
                }
                Ok(())
            }
        }
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let where_it_stood = self.incoming.cut_short("timed out");
        let silence = self.order.agent.timeout;
        let error = format!("{where_it_stood}: the server was silent for {silence:?}");
        self.end(chat, Err(error.into()));
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        // A body that lasts until the end of file must not be ended by a reset, nor by the end of file without that of TLS.
        let reset = chat.is_reset();
        let outcome = match self.incoming.expecting {
            _ if chat.is_truncated() => Err(self.truncated().into()),
            Expecting::Body(Body::UntilClose) if !reset => Ok(()),
            _ if reset => Err(self.incoming.cut_short("connection reset").into()),
            _ => Err(self.incoming.cut_short("connection closed").into()),
        };
        self.end(chat, outcome);
        Ok(())
    }

    /// Where every other trouble ends: what the server sent, what the consumer made of it.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let error = match error.downcast::<HandshakeFailed>() {
            Ok(failed) => return self.end(chat, Err(self.failed_handshake(&failed.error))),
            Err(error) => error,
        };
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
