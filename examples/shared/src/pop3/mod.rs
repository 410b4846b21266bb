//! The client's side of POP3 (RFC 1939, with CAPA and PIPELINING of RFC 2449, STLS of RFC 2595): logs in, sends commands, and
//! passes on the answers.
//!
//! A [`User`] is called when the session is ready, queues [`Command`]s in it, and gets an [`Answer`] to each, in their order.
//! Where the server offers pipelining, commands do not wait for the answers to earlier ones.

mod apop;
mod capabilities;
mod client;
mod session;

pub use apop::{digest, timestamp};
pub use client::Client;
pub use session::Session;

use std::fmt;

use asynchat::{BoxError, Registry, Result};
use clap::ValueEnum;

/// Lines of a listing: servers with larger mailboxes are not understood.
pub const MAX_MESSAGES: usize = 200_000;
/// Bytes of a unique id. RFC 1939 has 70.
pub const MAX_UID: usize = 200;
/// Lines of the answer to CAPA.
pub const MAX_CAPABILITIES: usize = 200;

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
    /// Bytes of a message: a server that sends more of one is not listened to any longer.
    pub max_message: u64,
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// APOP where others can read along and the server offers it; else USER and PASS
    #[default]
    Auto,
    /// A digest of the password and the server's greeting
    Apop,
    /// USER and PASS: the password itself
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// How many messages there are, and how large they are together.
    Stat,
    /// The size of each message.
    List,
    /// The unique id of each message.
    Uidl,
    /// A message.
    Retr(u32),
    /// The header of a message, and the first lines of its body.
    Top(u32, u32),
    /// Deletes a message when the session is ended by QUIT.
    Dele(u32),
    /// Ends the session. Its outcome is the connection's.
    Quit,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stat => f.write_str("STAT"),
            Self::List => f.write_str("LIST"),
            Self::Uidl => f.write_str("UIDL"),
            Self::Retr(number) => write!(f, "RETR {number}"),
            Self::Top(number, lines) => write!(f, "TOP {number} {lines}"),
            Self::Dele(number) => write!(f, "DELE {number}"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

/// What the server says to a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To STAT.
    Stat { messages: u32, bytes: u64 },
    /// Number and size of a message: a line of LIST.
    Size(u32, u64),
    /// Number and unique id of a message: a line of UIDL.
    Uid(u32, &'a str),
    /// All that belongs to the answer has come.
    Done,
    /// What the server said, fit for a terminal.
    Refused(&'a str),
}

/// The program's side of a session. An error of a callback is the outcome, and ends the connection without QUIT, so the server
/// deletes nothing.
pub trait User: 'static {
    /// The login is done.
    fn ready(&mut self, session: &mut Session) -> Result;

    /// To the oldest command that has no whole answer yet.
    fn answer(&mut self, session: &mut Session, command: Command, answer: Answer<'_>) -> Result;

    /// A piece of a message, between RETR or TOP and [`Answer::Done`]: as it is, with line ends of CR LF.
    fn data(&mut self, _command: Command, _data: &[u8]) -> Result {
        Ok(())
    }

    /// The last call.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}
