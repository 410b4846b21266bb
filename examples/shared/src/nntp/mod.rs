//! The client's side of NNTP (RFC 3977): requests of a [`Reader`], one after the other over one connection.
//!
//! The session turns to TLS (RFC 4642) and logs in (RFC 4643) as [`Settings`] say. Lists and overviews come in lines,
//! articles in pieces of any size, both without the dots that were added.

mod overview;
mod request;
mod session;

use asynchat::{BoxError, ChannelId, Registry, Result};

pub use self::{
    overview::Overview,
    request::{Part, Range, Request, Which, Word},
    session::Session,
};
use crate::{
    client::{Connection, Contact, Encryption},
    reply::Reply,
};

/// Lines of a list or an overview: more are refused.
pub const MAX_LINES: u64 = 1_000_000;
/// Bytes of an article: more are refused, unless [`Settings`] say otherwise.
pub const MAX_ARTICLE: u64 = 64 * 1024 * 1024;

/// Where requests come from, and what gets the answers.
///
/// An error of a callback ends the session.
pub trait Reader: 'static {
    /// The next request, or `None` to end the session.
    fn next(&mut self) -> Option<Request>;

    /// The server does what was asked for. Its text follows, if there is one.
    fn accepted(&mut self, _reply: &Reply) -> Result {
        Ok(())
    }

    /// A line of a list or an overview.
    fn line(&mut self, _line: &[u8]) -> Result {
        Ok(())
    }

    /// A piece of an article, line ends included, as they came.
    fn data(&mut self, _data: &[u8]) -> Result {
        Ok(())
    }

    /// The request is over: done, or refused by this reply. The session goes on.
    fn done(&mut self, refusal: Option<&Reply>) -> Result;

    /// The last call. A request that was not over has failed.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}

/// How the session is opened, and its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    pub encryption: Encryption,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// Whether the password may be sent in clear to another machine.
    pub allow_cleartext: bool,
    /// Bytes of an article.
    pub max_article: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encryption: Encryption::default(),
            login: None,
            allow_cleartext: false,
            max_article: MAX_ARTICLE,
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
    reader: impl Reader,
) -> Result<ChannelId> {
    let tls = settings.encryption.tls;
    let session = Session::new(settings, reader);
    Connection::start(registry, contact, server, tls, session)
}
