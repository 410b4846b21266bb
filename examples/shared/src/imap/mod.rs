//! The client's side of IMAP (RFC 3501 and RFC 9051): logs in, sends commands, and passes on what the server says.
//!
//! A [`User`] is called when the session is ready, queues [`Command`]s in it, gets [`Event`]s as they come, and the end of each
//! command. Bodies of messages are literals: they are passed on in pieces, and not kept.
//!
//! Responses are read by a parser of its own, because those of `imap-proto` (a list in 1,000 others overflows its stack) and
//! `imap-codec` (not released, 20 further crates) take a whole response, bodies and all.

mod assembly;
mod client;
mod command;
mod names;
mod response;
mod running;
mod values;

pub use client::{Client, Session};
pub use command::{Command, is_set};
pub use names::{decode, encode};
pub use response::{Event, Status, StatusKind};
pub use values::Value;

use asynchat::{BoxError, Registry, Result};
use clap::ValueEnum;

/// Bytes of a response, without the bodies that are passed on.
pub const MAX_RESPONSE: usize = 4 * 1024 * 1024;
/// Atoms, strings and lists of a response.
pub const MAX_VALUES: usize = 100_000;
/// Lists within lists.
pub const MAX_DEPTH: usize = 50;

/// How a session begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Turn to TLS before the login.
    pub starttls: bool,
    pub auth: Auth,
    /// Send a password that others can read.
    pub allow_cleartext: bool,
    pub user: String,
    pub password: String,
    /// Bytes of a message: a server that announces more of one is not listened to any longer.
    pub max_message: u64,
}

/// How a password is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// AUTHENTICATE PLAIN where the server offers it, else LOGIN
    #[default]
    Auto,
    /// AUTHENTICATE PLAIN (RFC 4616)
    Plain,
    /// LOGIN
    Login,
}

/// The program's side of a session. An error of a callback is the outcome, and ends the connection.
pub trait User: 'static {
    /// The login is done.
    fn ready(&mut self, session: &mut Session) -> Result;

    /// What the server says between the beginning and the end of commands.
    fn event(&mut self, session: &mut Session, event: Event<'_>) -> Result;

    /// The body of a message begins: `section` is `BODY[]`, `RFC822` or another that was fetched. Its event follows.
    fn body(&mut self, _number: u32, _section: &str, _size: u64) -> Result {
        Ok(())
    }

    /// A piece of the body.
    fn data(&mut self, _data: &[u8]) -> Result {
        Ok(())
    }

    /// The server has taken IDLE: events come until [`Session::done`].
    fn idling(&mut self, _session: &mut Session) -> Result {
        Ok(())
    }

    /// The end of the oldest command.
    fn completed(&mut self, session: &mut Session, command: &Command, status: &Status) -> Result;

    /// The last call.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}
