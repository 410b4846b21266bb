//! The client's side of SMTP (RFC 5321): messages of a [`Mailer`], one after the other over one connection.
//!
//! The session says EHLO, or HELO to a server that does not know it, turns to TLS (RFC 3207) and logs in (RFC 4954) as
//! [`Settings`] say. What the server offers is used: SIZE (RFC 1870), PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8
//! (RFC 6531). A message that needs what is not offered is not sent.

mod address;
mod authentication;
mod extensions;
mod measure;
mod session;
mod transaction;

use std::time::Duration;

use asynchat::{BoxError, ChannelId, Producer, Registry, Result};

pub use self::{
    address::Address,
    measure::{MAX_LINE, Measure},
    session::Session,
};
use crate::{
    client::{Connection, Contact, Encryption},
    reply::Reply,
};

/// How long the server may think about a whole message: a client that does not wait sends it twice (RFC 5321, 4.5.3.2.6).
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A message and its envelope.
pub struct Mail {
    /// `None` is the empty path of a report that must not be answered (RFC 5321, 4.5.5).
    pub from: Option<Address>,
    pub to: Vec<Address>,
    /// Of the text.
    pub measure: Measure,
    /// With line ends of any kind.
    pub text: Box<dyn Producer>,
}

/// Where messages come from, and what hears of them.
pub trait Mailer: 'static {
    /// The next message, or `None` to end the session.
    fn next(&mut self) -> Option<Mail>;

    /// The server does not take the message for this recipient. Others may get it.
    fn refused(&mut self, recipient: &Address, reply: &Reply);

    /// The message was taken for every recipient that was not refused, or it was sent to nobody, and why.
    fn answered(&mut self, answer: Result<Reply, String>);

    /// The last call. A message whose answer had not come was not sent, unless the error says otherwise.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}

/// How the session is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    pub encryption: Encryption,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// Whether the password may be sent in clear to another machine.
    pub allow_cleartext: bool,
    /// The name that EHLO gives; by default the address of this end.
    pub helo: Option<String>,
    /// How long the server may take to answer a whole message.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encryption: Encryption::default(),
            login: None,
            allow_cleartext: false,
            helo: None,
            patience: PATIENCE,
        }
    }
}

/// Opens a session.
///
/// # Errors
/// Those of [`Connection::start`].
pub fn connect(
    registry: &mut Registry,
    contact: &Contact,
    server: (&str, u16),
    settings: Settings,
    mailer: impl Mailer,
) -> Result<ChannelId> {
    let tls = settings.encryption.tls;
    let session = Session::new(settings, contact.timeout, mailer);
    Connection::start(registry, contact, server, tls, session)
}
