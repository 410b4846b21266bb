//! From the greeting to a session that can do something: AUTH TLS, USER, PASS, ACCT.

use asynchat::Result;
use clap::ValueEnum;

use super::data::Ports;
use crate::reply::Reply;

/// Who logs in.
#[derive(Clone)]
pub struct Account {
    pub user: String,
    pub password: String,
    /// For a server that asks for one (ACCT).
    pub account: Option<String>,
}

impl Account {
    /// Its password is no secret (RFC 1635).
    fn is_anonymous(&self) -> bool {
        matches!(self.user.as_str(), "anonymous" | "ftp")
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            user: "anonymous".into(),
            password: "anonymous@".into(),
            account: None,
        }
    }
}

/// Who makes the data connection, and by which command it is agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The client does: EPSV, or PASV if the server does not know it.
    #[default]
    Passive,
    /// The client does: PASV.
    Pasv,
    /// The server does: EPRT, or PORT if the server does not know it.
    Active,
    /// The server does: PORT.
    Port,
}

impl Mode {
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::Port)
    }
}

/// Whether anybody on the way can read along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    #[default]
    None,
    /// AUTH TLS before anything else (RFC 4217). A server that cannot is an error.
    Explicit,
    /// TLS from the start.
    Implicit,
}

/// Of a session.
#[derive(Clone, Default)]
pub struct Options {
    pub account: Account,
    pub mode: Mode,
    /// Where the data connections of an active mode arrive.
    pub ports: Ports,
    pub protection: Protection,
    /// Send a password in clear to another machine.
    pub allow_cleartext: bool,
}

impl Options {
    pub(super) fn has_secret(&self) -> bool {
        !self.allow_cleartext && !self.account.is_anonymous()
    }
}

/// What was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Greeting,
    Auth,
    /// AUTH was accepted: the handshake.
    Handshake,
    BufferSize,
    ProtectionLevel,
    User,
    Password,
    Account,
}

/// What comes next.
pub(super) enum Next {
    Send(Step, &'static str, Vec<u8>),
    StartTls,
    LoggedIn,
}

impl Step {
    /// # Errors
    /// The server refused, or did not answer as it should.
    pub(super) fn reply(self, options: &Options, reply: &Reply) -> Result<Next> {
        let Account {
            user,
            password,
            account,
        } = &options.account;
        let send = |step, verb, argument: &str| Next::Send(step, verb, argument.into());
        let begin = match options.protection {
            Protection::None => send(Self::User, "USER", user),
            _ => send(Self::BufferSize, "PBSZ", "0"),
        };
        Ok(match (self, reply.code) {
            (Self::Greeting, 200..=299) if options.protection == Protection::Explicit => {
                send(Self::Auth, "AUTH", "TLS")
            }
            (Self::Greeting, 200..=299) => begin,
            (Self::Auth, 234) => Next::StartTls,
            (Self::BufferSize, 200..=299) => send(Self::ProtectionLevel, "PROT", "P"),
            (Self::ProtectionLevel, 200..=299) => send(Self::User, "USER", user),
            (Self::User, 331) => send(Self::Password, "PASS", password),
            (Self::User | Self::Password, 332) => match account {
                Some(account) => send(Self::Account, "ACCT", account),
                None => return Err(reply.refusal("login: an account is needed").into()),
            },
            (Self::User | Self::Password | Self::Account, 200..=299) => Next::LoggedIn,
            _ => return Err(reply.refusal(self.name()).into()),
        })
    }

    pub(super) fn secured() -> Next {
        Next::Send(Self::BufferSize, "PBSZ", b"0".into())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Auth | Self::Handshake => "AUTH TLS",
            Self::BufferSize => "PBSZ",
            Self::ProtectionLevel => "PROT P: data would be sent in clear",
            Self::User | Self::Password | Self::Account => "login",
        }
    }
}
