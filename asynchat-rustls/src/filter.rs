//! rustls between a socket and its channel.

use std::{
    fmt,
    io::{self, BufRead, IoSlice, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use asynchat::{BoxError, Filter, FilterPhase, Result};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, ConnectionCommon, Error, IoState,
    Reader, ServerConnection, SideData,
    server::{Accepted, Acceptor},
};

use crate::{
    choice::{ByHello, Choice},
    info::TlsInfo,
    name::{refused, server_name},
};

/// One end of a TLS connection, as a [`Filter`] for [`Channel::upgrade`](asynchat::Channel::upgrade).
///
/// [`RegistryTls`](crate::RegistryTls) and [`ChannelTls`](crate::ChannelTls) make it and put it there. A program needs it
/// for a filter of its own around it, and to use TLS without a reactor.
///
/// # What goes in and out
/// - *Errors* are [`rustls::Error`]s, or the one of the program's that [`choose`](crate::TlsAcceptor::choose) gave. The
///   alert that the peer gets is in `wire`. No alert follows some breaches of limits, and none follows an alert.
/// - *Early data* (0-RTT), if a configuration allows it, comes as plaintext before all else. A channel hands it out after
///   the handshake only, so that it cannot be replayed (RFC 8446 §8).
/// - *Key updates* (RFC 8446 §4.6.3) of the peer are followed, and answered with the next plaintext. The 33rd without
///   application data in between is an error. Own keys are renewed before they are used up. Those of TLS 1.2 cannot be
///   renewed, and sealing fails then: after 2^24 records with AES-GCM, for instance.
/// - *Renegotiation*, which TLS 1.2 has, is refused with a warning alert, the second time with an error.
/// - Bytes behind the peer's close_notify are ignored (RFC 8446 §6.1).
///
/// # Memory
/// Nothing that was received or sealed stays but a record, or a message of the handshake, of which a part is missing. With
/// rustls 0.23.46 and ring on 64-bit systems a filter takes
///
/// - 3 KiB, and 7 KiB once a byte has arrived, as in a connection that is idle;
/// - 28 KiB more at most for a record that is incomplete;
/// - 72 KiB at most during a handshake, whatever arrives: rustls takes no message beyond 64 KiB;
/// - 160 KiB at most, and 512 KiB for moments of the handshake, if the peer shows certificates. Servers do so, and clients
///   that a server asks.
///
/// The session storage and the tickets in a configuration have limits of their own.
pub struct TlsFilter {
    state: State,
    has_failed: bool,
    has_ended: bool,
    peer_ended: bool,
}

enum State {
    /// The ClientHello is still to come.
    Choosing(Acceptor, Arc<ByHello>),
    Running(Connection),
    /// No configuration was chosen.
    Refused,
}

impl TlsFilter {
    pub(crate) fn server(choice: Choice) -> io::Result<Self> {
        let state = match choice {
            Choice::Fixed(config) => {
                let connection = ServerConnection::new(config)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                State::Running(connection.into())
            }
            Choice::ByHello(choose) => State::Choosing(Acceptor::default(), choose),
        };
        Ok(Self::new(state))
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
        Ok(Self::new(State::Running(connection.into())))
    }

    fn new(state: State) -> Self {
        Self {
            state,
            has_failed: false,
            has_ended: false,
            peer_ended: false,
        }
    }

    /// What was agreed on, once the handshake is complete.
    pub fn info(&self) -> Option<TlsInfo<'_>> {
        match &self.state {
            State::Running(connection) => TlsInfo::new(connection),
            State::Choosing(..) | State::Refused => None,
        }
    }

    /// Looks for the ClientHello in `input`, of which the rest is left, and lets the configuration be chosen by it.
    fn choose(&mut self, input: &mut &[u8], wire: &mut Vec<u8>) -> Result {
        let State::Choosing(acceptor, choose) = &mut self.state else {
            return Ok(());
        };
        while !input.is_empty() {
            acceptor.read_tls(input).map_err(inner)?;
            let accepted = match acceptor.accept() {
                Ok(None) => continue,
                Ok(Some(accepted)) => accepted,
                Err((error, mut alert)) => {
                    self.state = State::Refused;
                    alert.write_all(wire)?;
                    return Err(error.into());
                }
            };
            let configured = configure(accepted, &**choose, wire);
            self.state = State::Refused;
            self.state = State::Running(configured?);
            break;
        }
        Ok(())
    }

    fn take_in(&mut self, mut input: &[u8], has_held: bool, plain: &mut Vec<u8>) -> Result {
        let State::Running(connection) = &mut self.state else {
            return Ok(());
        };
        if has_held {
            self.peer_ended |= process(connection, self.has_ended, plain)?;
        }
        while !input.is_empty() && !self.peer_ended {
            if connection.read_tls(&mut input).map_err(inner)? == 0 {
                break;
            }
            self.peer_ended |= process(connection, self.has_ended, plain)?;
        }
        Ok(())
    }
}

fn configure(accepted: Accepted, choose: &ByHello, wire: &mut Vec<u8>) -> Result<Connection> {
    let hello = accepted.client_hello();
    let config = match choose(&hello) {
        Ok(config) => config,
        Err(error) => {
            let alert = match error.downcast_ref() {
                Some(Error::NoApplicationProtocol) => AlertDescription::NoApplicationProtocol,
                _ if hello.server_name().is_some() => AlertDescription::UnrecognisedName,
                _ => AlertDescription::HandshakeFailure,
            };
            wire.extend_from_slice(&fatal_alert(alert));
            return Err(error);
        }
    };
    match accepted.into_connection(config) {
        Ok(connection) => Ok(connection.into()),
        Err((error, mut alert)) => {
            alert.write_all(wire)?;
            Err(error.into())
        }
    }
}

/// An alert before there are keys (RFC 8446 §5.1, §6). rustls gives none away.
fn fatal_alert(alert: AlertDescription) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, alert.into()]
}

/// Takes in what was read, and says whether the peer has ended its direction.
fn process(
    connection: &mut Connection,
    has_ended: bool,
    plain: &mut Vec<u8>,
) -> Result<bool, Error> {
    let was_handshaking = connection.is_handshaking();
    let outcome = if has_ended {
        process_behind_end(connection)
    } else {
        connection.process_new_packets()
    };
    if was_handshaking {
        drain_early_data(connection, plain);
    }
    drain(connection.reader(), &outcome, plain);
    outcome.map(|state| state.peer_has_closed())
}

/// Takes the plaintext out, also after an error: what came before the bad record counts.
#[inline(always)]
fn drain(mut reader: Reader<'_>, outcome: &Result<IoState, Error>, plain: &mut Vec<u8>) {
    let mut left = match outcome {
        Ok(state) => state.plaintext_bytes_to_read(),
        Err(_) => usize::MAX,
    };
    while left > 0
        && let Ok(chunk @ [_, ..]) = reader.fill_buf()
    {
        plain.extend_from_slice(chunk);
        let n = chunk.len();
        reader.consume(n);
        left = left.saturating_sub(n);
    }
}

/// By the role's own type, as on the hot way, the compiler inlines what it does not through `Connection`.
fn seal_open<D: SideData>(
    connection: &mut ConnectionCommon<D>,
    plain: &[IoSlice<'_>],
    wire: &mut Vec<u8>,
) -> io::Result<usize> {
    let taken = connection.writer().write_vectored(plain)?;
    hand_on(connection, wire);
    Ok(taken)
}

/// `take_in` after the handshake and before either side's end.
fn take_in_open<D: SideData>(
    connection: &mut ConnectionCommon<D>,
    mut input: &[u8],
    peer_ended: &mut bool,
    plain: &mut Vec<u8>,
) -> Result {
    while !input.is_empty() && !*peer_ended {
        if connection.read_tls(&mut input).map_err(inner)? == 0 {
            break;
        }
        let outcome = connection.process_new_packets();
        drain(connection.reader(), &outcome, plain);
        *peer_ended = outcome?.peer_has_closed();
    }
    Ok(())
}

/// rustls asserts, where debug assertions are on, that no alert follows its close_notify. A bad record asks for one.
fn process_behind_end(connection: &mut Connection) -> Result<IoState, Error> {
    catch_unwind(AssertUnwindSafe(|| connection.process_new_packets()))
        .unwrap_or_else(|_| Err(Error::General("a bad record behind close_notify".into())))
}

/// The channel hands it out after the handshake, so that it cannot be replayed (RFC 8446 §8).
fn drain_early_data(connection: &mut Connection, plain: &mut Vec<u8>) {
    if let Connection::Server(connection) = connection
        && let Some(mut early) = connection.early_data()
    {
        // It is in memory.
        let _ = early.read_to_end(plain);
    }
}

fn hand_on<D: SideData>(connection: &mut ConnectionCommon<D>, wire: &mut Vec<u8>) {
    while connection.wants_write() {
        // A vector takes all.
        let _ = connection.write_tls(wire);
    }
}

/// Whether `records` are the plaintext that was taken. Keys of TLS 1.2 cannot be renewed: if they are used up, rustls takes
/// plaintext all the same, and gives a close_notify in its place.
fn is_sealed(records: &[u8], taken: usize) -> bool {
    const APPLICATION_DATA: u8 = 23;
    records.first() == Some(&APPLICATION_DATA) && records.len() > taken
}

/// The error of rustls in an error of its I/O functions.
fn inner(error: io::Error) -> BoxError {
    let kind = error.kind();
    error
        .into_inner()
        .unwrap_or_else(|| io::Error::from(kind).into())
}

impl Filter for TlsFilter {
    fn feed(&mut self, mut input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        // The acceptor has read ahead.
        let mut has_held = false;
        if let State::Choosing(..) = &self.state {
            self.choose(&mut input, wire)?;
            has_held = true;
        }
        let is_plain = !has_held && !self.has_ended && !self.peer_ended;
        let outcome = match &mut self.state {
            State::Running(Connection::Server(server)) if is_plain && !server.is_handshaking() => {
                take_in_open(server, input, &mut self.peer_ended, plain)
            }
            State::Running(Connection::Client(client)) if is_plain && !client.is_handshaking() => {
                take_in_open(client, input, &mut self.peer_ended, plain)
            }
            _ => self.take_in(input, has_held, plain),
        };
        match &mut self.state {
            State::Running(Connection::Server(server)) => hand_on(server, wire),
            State::Running(Connection::Client(client)) => hand_on(client, wire),
            _ => {}
        }
        self.has_failed |= outcome.is_err();
        outcome
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        // Before 0.23.46 rustls seals behind its own fatal alert.
        if self.has_failed {
            return Err(Error::General("the connection has failed".into()).into());
        }
        let before = wire.len();
        let taken = match &mut self.state {
            State::Running(Connection::Server(server)) => seal_open(server, plain, wire),
            State::Running(Connection::Client(client)) => seal_open(client, plain, wire),
            _ => return Err(Error::HandshakeNotComplete.into()),
        }
        .map_err(inner)?;
        if taken > 0 && !is_sealed(&wire[before..], taken) {
            self.has_failed = true;
            self.has_ended = true;
            return Err(Error::EncryptError.into());
        }
        Ok(taken)
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.has_ended = true;
        if let State::Running(connection) = &mut self.state {
            connection.send_close_notify();
            match connection {
                Connection::Server(server) => hand_on(server, wire),
                Connection::Client(client) => hand_on(client, wire),
            }
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
