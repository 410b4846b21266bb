//! rustls between a socket and its channel.

use std::{
    fmt,
    io::{self, BufRead, IoSlice, Write},
    sync::Arc,
};

use asynchat::{Filter, FilterPhase, Result};
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConnection,
    server::{AcceptedAlert, Acceptor},
};

use crate::{
    choice::Choice,
    info::TlsInfo,
    name::{refused, server_name},
};

/// One end of a TLS connection, as a [`Filter`] for [`Channel::upgrade`](asynchat::Channel::upgrade).
pub struct TlsFilter {
    state: State,
    peer_ended: bool,
}

enum State {
    /// The ClientHello is still to come.
    Choosing(Box<Acceptor>, Choice),
    Running(Box<Connection>),
    /// No configuration was chosen.
    Refused,
}

impl TlsFilter {
    pub(crate) fn server(choice: Choice) -> io::Result<Self> {
        let state = match choice {
            Choice::Fixed(config) => {
                let connection = ServerConnection::new(config)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                State::Running(Box::new(connection.into()))
            }
            chosen @ Choice::ByHello(_) => State::Choosing(Box::default(), chosen),
        };
        Ok(Self {
            state,
            peer_ended: false,
        })
    }

    /// The client's side, for a server whose certificate has to be valid for `name`: a DNS name or an IP address, an IPv6
    /// one perhaps in brackets.
    ///
    /// # Errors
    /// `InvalidInput` for any other `name`, and with the error of rustls for a configuration that no connection can use.
    pub fn client(name: impl AsRef<str>, config: Arc<ClientConfig>) -> io::Result<Self> {
        let host = name.as_ref();
        let connection = ClientConnection::new(config, server_name(host)?)
            .map_err(|error| refused(host, error))?;
        Ok(Self {
            state: State::Running(Box::new(connection.into())),
            peer_ended: false,
        })
    }

    /// What was agreed on, once the handshake is complete.
    pub fn info(&self) -> Option<TlsInfo<'_>> {
        match &self.state {
            State::Running(connection) => TlsInfo::new(connection),
            State::Choosing(..) | State::Refused => None,
        }
    }

    fn choose(&mut self, cipher: &mut &[u8], wire: &mut Vec<u8>) -> Result {
        let State::Choosing(acceptor, Choice::ByHello(choose)) = &mut self.state else {
            return Ok(());
        };
        while !cipher.is_empty() {
            acceptor.read_tls(cipher)?;
            let outcome = match acceptor.accept() {
                Ok(None) => continue,
                Ok(Some(accepted)) => match choose(&accepted.client_hello()) {
                    Ok(config) => accepted.into_connection(config),
                    Err(error) => {
                        self.state = State::Refused;
                        return Err(error);
                    }
                },
                Err(failed) => Err(failed),
            };
            self.state = match outcome {
                Ok(connection) => State::Running(Box::new(connection.into())),
                Err((error, alert)) => {
                    self.state = State::Refused;
                    return Err(last_words(alert, error, wire));
                }
            };
            break;
        }
        Ok(())
    }
}

fn last_words(
    mut alert: AcceptedAlert,
    error: rustls::Error,
    wire: &mut Vec<u8>,
) -> asynchat::BoxError {
    let _ = alert.write_all(wire);
    error.into()
}

fn take_in(
    connection: &mut Connection,
    mut cipher: &[u8],
    plain: &mut Vec<u8>,
    peer_ended: &mut bool,
) -> Result {
    // Not without bytes: rustls would take that for the end of file. 0: behind close_notify nothing counts.
    while !cipher.is_empty() && connection.read_tls(&mut cipher)? > 0 {
        process(connection, plain, peer_ended)?;
    }
    Ok(())
}

fn process(connection: &mut Connection, plain: &mut Vec<u8>, peer_ended: &mut bool) -> Result {
    let outcome = connection.process_new_packets();
    // Also after an error: what came before the bad record counts.
    if outcome
        .as_ref()
        .map_or(true, |state| state.plaintext_bytes_to_read() > 0)
    {
        let mut reader = connection.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            plain.extend_from_slice(chunk);
            let n = chunk.len();
            reader.consume(n);
        }
    }
    *peer_ended |= outcome?.peer_has_closed();
    Ok(())
}

fn hand_on(connection: &mut Connection, wire: &mut Vec<u8>) {
    while connection.wants_write() {
        if connection.write_tls(wire).is_err() {
            return;
        }
    }
}

impl Filter for TlsFilter {
    fn feed(&mut self, mut input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        let chose = matches!(self.state, State::Choosing(..));
        if chose {
            self.choose(&mut input, wire)?;
        }
        let State::Running(connection) = &mut self.state else {
            return Ok(());
        };
        let mut outcome = Ok(());
        // What `Acceptor` has read is in there already.
        if chose {
            outcome = process(connection, plain, &mut self.peer_ended);
        }
        if outcome.is_ok() {
            outcome = take_in(connection, input, plain, &mut self.peer_ended);
        }
        hand_on(connection, wire);
        outcome
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        let State::Running(connection) = &mut self.state else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        let n = connection.writer().write_vectored(plain)?;
        hand_on(connection, wire);
        Ok(n)
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        if let State::Running(connection) = &mut self.state {
            connection.send_close_notify();
            hand_on(connection, wire);
        }
    }

    fn phase(&self) -> FilterPhase {
        match &self.state {
            State::Running(connection) if !connection.is_handshaking() => {
                if self.peer_ended {
                    FilterPhase::PeerEnded
                } else {
                    FilterPhase::Open
                }
            }
            _ => FilterPhase::Handshaking,
        }
    }
}

impl fmt::Debug for TlsFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFilter")
            .field("phase", &self.phase())
            .field("info", &self.info())
            .finish()
    }
}
