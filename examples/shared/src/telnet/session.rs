//! The connection of a user to a server.

use asynchat::{BoxError, Registry, Result, Terminator};
use socket2::SockRef;

use super::{
    command::{IAC, SB, SE},
    decoder::{Decoder, Event},
    encoder::Encoder,
    options::{Options, option},
};
use crate::client::{Protocol, Talk};

/// The first byte of a subnegotiation about the type of the terminal (RFC 1091).
const IS: u8 = 0;
const SEND: u8 = 1;

/// What the server is told about the terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// As in the variable `TERM`.
    pub name: String,
    /// Columns and rows.
    pub size: (u16, u16),
}

/// Whoever sits at the terminal.
pub trait User {
    /// The connection is made.
    ///
    /// # Errors
    /// Each error of these methods is the outcome.
    fn connected(&mut self, _line: &mut Line<'_, '_, '_>) -> Result {
        Ok(())
    }

    /// A piece of text, never empty. Its lines end in CR LF.
    ///
    /// # Errors
    /// See [`connected`](Self::connected).
    fn text(&mut self, line: &mut Line<'_, '_, '_>, text: &[u8]) -> Result;

    /// Something came, and the text in it, if there was any, has been given.
    ///
    /// # Errors
    /// See [`connected`](Self::connected).
    fn received(&mut self, _line: &mut Line<'_, '_, '_>) -> Result {
        Ok(())
    }

    /// The server echoes from now on what it is sent, or does not.
    ///
    /// # Errors
    /// See [`connected`](Self::connected).
    fn echo(&mut self, _line: &mut Line<'_, '_, '_>, _there: bool) -> Result {
        Ok(())
    }

    /// Whether more is wanted: if not, the server waits.
    fn readable(&self) -> bool {
        true
    }

    /// The last call. The server's end of the connection is no error.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}

/// Telnet on a [`Connection`](crate::client::Connection).
pub struct Session {
    user: Box<dyn User>,
    decoder: Decoder,
    state: State,
    /// The server does not take the answers to what it asks: no more is read.
    congested: bool,
}

struct State {
    options: Options,
    encoder: Encoder,
    terminal: Terminal,
    binary: bool,
}

impl Session {
    /// `binary`: asks for eight bits without line ends both ways (RFC 856).
    pub fn new(terminal: Terminal, binary: bool, user: impl User + 'static) -> Self {
        Self {
            user: Box::new(user),
            decoder: Decoder::default(),
            state: State {
                options: Options::default(),
                encoder: Encoder::default(),
                terminal,
                binary,
            },
            congested: false,
        }
    }

    /// The user and the line, from outside: what a callback of the user would have.
    pub fn with<R>(
        &mut self,
        talk: &mut Talk<'_, '_>,
        call: impl FnOnce(&mut dyn User, &mut Line<'_, '_, '_>) -> R,
    ) -> R {
        let state = &mut self.state;
        call(&mut *self.user, &mut Line { talk, state })
    }

    fn event(&mut self, talk: &mut Talk<'_, '_>, event: Event<'_>) -> Result {
        match event {
            Event::Text(text) => self.with(talk, |user, line| user.text(line, text)),
            Event::Negotiation(verb, option) => self.negotiation(talk, verb, option),
            Event::Subnegotiation(option::TERMINAL_TYPE, data) if data == [SEND] => {
                if self.state.options.is_on_here(option::TERMINAL_TYPE) {
                    let name = self.state.terminal.name.to_ascii_uppercase();
                    subnegotiate(
                        talk,
                        option::TERMINAL_TYPE,
                        &[&[IS], name.as_bytes()].concat(),
                    );
                }
                Ok(())
            }
            Event::Subnegotiation(option, _) => {
                log::debug!("subnegotiation of option {option} ignored");
                Ok(())
            }
            Event::Command(command) => {
                log::debug!("command {command} ignored");
                Ok(())
            }
        }
    }

    fn negotiation(&mut self, talk: &mut Talk<'_, '_>, verb: u8, option: u8) -> Result {
        let options = &mut self.state.options;
        let window = options.is_on_here(option::WINDOW_SIZE);
        let echo = options.is_on_there(option::ECHO);
        let answer = options.received(verb, option);
        log::debug!("received {verb} {option}, answered {answer:?}");
        if let Some(answer) = answer {
            talk.push(answer.to_vec());
        }
        if !window && self.state.options.is_on_here(option::WINDOW_SIZE) {
            self.with(talk, |_, line| line.tell_size());
        }
        let there = self.state.options.is_on_there(option::ECHO);
        match echo == there {
            true => Ok(()),
            false => self.with(talk, |user, line| user.echo(line, there)),
        }
    }
}

/// A server sends IAC DM with the DM as urgent data (RFC 854, Synch). The system would take that byte out of the stream, and
/// the next one would be read as the command.
fn urgent_in_line(talk: &Talk<'_, '_>) {
    #[cfg(unix)]
    let socket = talk.as_fd();
    #[cfg(windows)]
    let socket = talk.as_socket();
    let set = socket.and_then(|socket| SockRef::from(&socket).set_out_of_band_inline(true));
    if let Err(error) = set {
        log::debug!("urgent data is not in line: {error}");
    }
}

/// Data that may have an IAC in it, which is doubled.
fn subnegotiate(talk: &mut Talk<'_, '_>, option: u8, data: &[u8]) {
    let mut message = vec![IAC, SB, option];
    for &byte in data {
        message.push(byte);
        if byte == IAC {
            message.push(IAC);
        }
    }
    message.extend_from_slice(&[IAC, SE]);
    talk.push(message);
}

/// The line to the server, as its user sees it.
pub struct Line<'l, 'a, 'r> {
    pub talk: &'l mut Talk<'a, 'r>,
    state: &'l mut State,
}

impl Line<'_, '_, '_> {
    /// Sends text, whose lines may end in LF or in CR LF. More of it may follow.
    pub fn send(&mut self, text: &[u8]) {
        let mut wire = Vec::with_capacity(text.len() + 8);
        let binary = self.state.options.is_on_here(option::BINARY);
        self.state.encoder.text(text, binary, &mut wire);
        self.talk.push(wire);
    }

    /// Sends what is complete in itself, as keys that were pressed.
    pub fn send_keys(&mut self, keys: &[u8]) {
        self.send(keys);
        let mut wire = Vec::new();
        self.state.encoder.end(&mut wire);
        self.talk.push(wire);
    }

    /// The window has another size: columns and rows.
    pub fn resize(&mut self, size: (u16, u16)) {
        if std::mem::replace(&mut self.state.terminal.size, size) != size
            && self.state.options.is_on_here(option::WINDOW_SIZE)
        {
            self.tell_size();
        }
    }

    fn tell_size(&mut self) {
        let (columns, rows) = self.state.terminal.size;
        let size = [columns.to_be_bytes(), rows.to_be_bytes()].concat();
        subnegotiate(self.talk, option::WINDOW_SIZE, &size);
    }

    /// Whether the server echoes what it is sent.
    pub fn is_echoed(&self) -> bool {
        self.state.options.is_on_there(option::ECHO)
    }
}

impl Protocol for Session {
    fn connected(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        talk.read_data(Terminator::None);
        urgent_in_line(talk);
        if self.state.binary {
            let asked = self.state.options.ask_for(option::BINARY);
            talk.push(asked);
        }
        self.with(talk, |user, line| user.connected(line))
    }

    fn line(&mut self, _: &mut Talk<'_, '_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn data(&mut self, talk: &mut Talk<'_, '_>, mut data: &[u8]) -> Result {
        loop {
            let binary = self.state.options.is_on_there(option::BINARY);
            let Some(event) = self.decoder.next(&mut data, binary)? else {
                break;
            };
            self.event(talk, event)?;
        }
        self.with(talk, |user, line| user.received(line))?;
        self.congested = talk.is_congested();
        Ok(())
    }

    fn drained(&mut self, _: &mut Talk<'_, '_>) -> Result {
        self.congested = false;
        Ok(())
    }

    fn readable(&self) -> bool {
        !self.congested && self.user.readable()
    }

    fn end_of_file(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        talk.succeed();
        Ok(())
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        self.user.finished(registry, outcome);
    }
}
