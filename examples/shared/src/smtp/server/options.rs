//! What all sessions of a server share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use asynchat_rustls::TlsAcceptor;

use super::Handler;

/// Bytes of a command line without its CRLF, in CPython's `smtpd` (RFC 5321, 4.5.3.1.4, counts the CRLF).
pub(super) const MAX_COMMAND: usize = 512;
/// More for MAIL, because of SIZE (RFC 1870, 3) and of SMTPUTF8 (RFC 6531, 3.4).
pub(super) const MAX_SIZE_PARAMETER: usize = 26;
pub(super) const MAX_UTF8_PARAMETER: usize = 10;
/// A longer line is too long for any command.
pub(super) const MAX_LINE: usize = MAX_COMMAND + MAX_SIZE_PARAMETER + MAX_UTF8_PARAMETER;
/// Commands of a client that are answered before others have their turn.
pub(super) const MAX_COMMANDS_A_TURN: u32 = 64;
/// Connections past the limit that are told so. Further ones wait.
pub(super) const REFUSALS: usize = 16;

/// What a server offers, and its limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the server.
    pub hostname: String,
    /// Bytes of a message (SIZE). A client that sends twice as many is disconnected.
    pub max_size: u64,
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8; needs `eight_bit`.
    pub utf8: bool,
    /// STARTTLS.
    pub tls: Option<TlsAcceptor>,
    /// Mail is taken over TLS only.
    pub require_tls: bool,
    /// Recipients of a message.
    pub max_recipients: usize,
    /// Refused commands, after which a client is disconnected.
    pub max_errors: usize,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// Without traffic (RFC 5321, 4.5.3.2.7).
    pub idle: Duration,
    /// Of a session.
    pub session: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            max_size: 33_554_432,
            eight_bit: true,
            utf8: false,
            tls: None,
            require_tls: false,
            max_recipients: 100,
            max_errors: 20,
            max_sessions: 1000,
            idle: Duration::from_secs(300),
            session: Duration::from_secs(3600),
        }
    }
}

/// Options, handler and sessions of a server.
pub struct Server {
    pub(super) options: Options,
    pub(super) handler: Box<dyn Handler>,
    pub(super) sessions: Cell<usize>,
    pub(super) is_ending: Cell<bool>,
    /// For the text of the piece that is being read.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl Server {
    /// # Errors
    /// Two options do not fit each other.
    pub fn new(options: Options, handler: impl Handler) -> Result<Rc<Self>, &'static str> {
        if options.utf8 && !options.eight_bit {
            return Err("SMTPUTF8 needs 8BITMIME (RFC 6531, 3.1)");
        }
        if options.require_tls && options.tls.is_none() {
            return Err("TLS is required, and there is no certificate");
        }
        Ok(Rc::new(Self {
            options,
            handler: Box::new(handler),
            sessions: Cell::new(0),
            is_ending: Cell::new(false),
            scratch: RefCell::default(),
        }))
    }

    /// The number of channels that the reactor of this server may have, with this number of listeners.
    pub fn max_channels(options: &Options, listeners: usize) -> usize {
        options
            .max_sessions
            .saturating_add(REFUSALS)
            .saturating_add(listeners)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// The place of a session among all.
#[derive(Debug)]
pub(super) struct Seat(Rc<Server>);

impl Seat {
    pub(super) fn take(server: &Rc<Server>) -> Self {
        server.sessions.set(server.sessions.get() + 1);
        Self(Rc::clone(server))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sessions.set(self.0.sessions.get() - 1);
    }
}
