//! The object of the reactor: from what happens to a socket to what happens to a protocol.

use std::io;

use asynchat::{
    AsyncChat, BoxError, Cause, ChannelId, ChatChannel, ChatDispatcher, Closed, Exceptional, Frame,
    Registry, Result,
};
use asynchat_rustls::RegistryTls;

use super::{
    Protocol,
    contact::Contact,
    reason::{CUT, failed_handshake, reason},
    talk::{LINE_END, State, Talk},
};

/// Bytes of a line: a server that sends a longer one is not understood. Bodies have no such limit.
pub const MAX_LINE: usize = 64 * 1024;

/// A connection to a server, with the protocol that is spoken on it.
pub struct Connection<P> {
    protocol: P,
    state: State,
    /// The line begun.
    line: Vec<u8>,
}

impl<P: Protocol> Connection<P> {
    /// Connects to the first address of the host that answers, with TLS from the start if `tls` says so.
    /// [`Protocol::finished`] gets the outcome, a failure too.
    ///
    /// # Errors
    /// The protocol is dropped without another call: `--cacert` cannot be read, the reactor has no room.
    pub fn start(
        registry: &mut Registry,
        contact: &Contact,
        (host, port): (&str, u16),
        tls: bool,
        protocol: P,
    ) -> Result<ChannelId> {
        let connection = Self::new(protocol, contact, host);
        let options = contact.connect_options();
        let chat = ChatDispatcher::new(connection, LINE_END);
        let id = match tls {
            true => registry.connect_tls_with(host, port, &options, contact.tls()?, chat)?,
            false => registry.connect_host_with(host, port, &options, chat)?,
        };
        if let Some(limit) = contact.max_time {
            registry.with_chat(id, |_: &mut Self, chat| {
                chat.call_later(limit, move |connection: &mut Self, chat| {
                    let error = format!("the whole takes longer than {limit:?}");
                    connection.fail(chat, error);
                    Ok(())
                });
            })?;
        }
        Ok(id)
    }

    /// For a channel that exists: tests, and connections that the server makes.
    pub fn new(protocol: P, contact: &Contact, host: &str) -> Self {
        Self {
            protocol,
            state: State {
                contact: contact.clone(),
                host: host.into(),
                streaming: false,
                outcome: None,
            },
            line: Vec::new(),
        }
    }

    /// In a dispatcher, for [`Registry::register`] and the testing kit.
    pub fn dispatcher(protocol: P, contact: &Contact, host: &str) -> ChatDispatcher<Self> {
        ChatDispatcher::new(Self::new(protocol, contact, host), LINE_END)
    }

    /// The protocol and its channel, from outside: what a callback of it would have.
    pub fn with<R>(
        &mut self,
        chat: &mut ChatChannel<'_>,
        call: impl FnOnce(&mut P, &mut Talk<'_, '_>) -> R,
    ) -> R {
        let state = &mut self.state;
        call(&mut self.protocol, &mut Talk { chat, state })
    }

    fn call(
        &mut self,
        chat: &mut ChatChannel<'_>,
        call: impl FnOnce(&mut P, &mut Talk<'_, '_>) -> Result,
    ) -> Result {
        match self.state.outcome {
            // What comes behind the end is not the protocol's any more.
            Some(_) => Ok(()),
            None => self.with(chat, call).map_err(of_this_end),
        }
    }

    fn fail(&mut self, chat: &mut ChatChannel<'_>, error: impl Into<BoxError>) {
        self.with(chat, |_, talk| talk.fail(error));
    }

    fn take_part_of_line(&mut self, data: &[u8]) -> Result {
        if data.len() > MAX_LINE - self.line.len() {
            return Err(format!("the server sent a line of more than {MAX_LINE} bytes").into());
        }
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn give_line(&mut self, chat: &mut ChatChannel<'_>, line: &[u8]) -> Result {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.call(chat, |protocol, talk| protocol.line(talk, line))
    }
}

/// A `BrokenPipe` of standard output must not pass for the server's doing, nor a `WouldBlock` for nothing at all.
fn of_this_end(error: BoxError) -> BoxError {
    match error.downcast_ref::<io::Error>() {
        Some(system) if system.get_ref().is_none() => error.to_string().into(),
        _ => error,
    }
}

impl<P: Protocol> AsyncChat for Connection<P> {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.state.contact.timeout));
        self.call(chat, Protocol::connected)
    }

    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.line.clear();
        self.call(chat, Protocol::secured)
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        if self.state.streaming {
            if !frame.is_empty() {
                self.call(chat, |protocol, talk| protocol.data(talk, &frame))?;
            }
            self.call(chat, Protocol::data_end)
        } else if self.line.is_empty() {
            self.give_line(chat, frame.data())
        } else {
            self.take_part_of_line(frame.data())?;
            self.found_terminator(chat)
        }
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        match self.state.streaming {
            true => self.call(chat, |protocol, talk| protocol.data(talk, data)),
            false => self.take_part_of_line(data),
        }
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.state.streaming {
            return self.call(chat, Protocol::data_end);
        }
        let line = std::mem::take(&mut self.line);
        self.give_line(chat, &line)
    }

    fn readable(&self) -> bool {
        self.protocol.readable()
    }

    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.call(chat, Protocol::drained)
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let silence = self.state.contact.timeout;
        let error = format!("nothing moved for {silence:?}");
        self.fail(chat, error);
        Ok(())
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(error) => {
                let error = reason(
                    &self.state.host,
                    format!("connection failed: {error}").into(),
                );
                self.fail(chat, error);
            }
            Exceptional::HandshakeFailed(error) => {
                let error = failed_handshake(&self.state.host, &error);
                self.fail(chat, error);
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if chat.is_truncated() {
            return Err(CUT.into());
        }
        if chat.is_reset() {
            return Err("the server broke the connection".into());
        }
        self.call(chat, Protocol::end_of_file)?;
        chat.close_when_done();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let error = reason(&self.state.host, error);
        self.fail(chat, error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let outcome = self.state.outcome.take().unwrap_or_else(|| {
            Err(match why.cause {
                Cause::Shutdown | Cause::CloseAll => "interrupted".into(),
                _ => reason(
                    &self.state.host,
                    format!("the connection ended: {why}").into(),
                ),
            })
        });
        self.protocol.finished(registry, outcome);
    }
}
