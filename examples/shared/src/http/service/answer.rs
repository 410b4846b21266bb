//! The head of an answer: a status, and headers that cannot break out of their lines.

use std::{fmt, io::Write, time::SystemTime};

use super::super::{date::DateText, is_token, status};

/// The head of an answer. How the body ends, and what becomes of the connection, is the service's to say.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    /// Instead of the words of the table.
    reason: Option<String>,
    length: Option<u64>,
    lines: Vec<u8>,
    has_date: bool,
    has_server: bool,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// No token (RFC 9110, 5.6.2).
    Name,
    /// A control character: a line end would forge further headers.
    Value,
    /// One that the service writes itself.
    Managed,
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a header's name is no token",
            Self::Value => "a header's value has a control character",
            Self::Managed => "the service writes Content-Length, Transfer-Encoding, Connection and their like itself",
        })
    }
}

impl std::error::Error for BadHeader {}

/// How the message is framed and what becomes of the connection.
const MANAGED: [&str; 6] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "trailer",
];

impl Answer {
    /// Codes beyond three digits, and those of interim answers, are 500: whoever gives them has not seen a final answer.
    pub fn new(status: u16) -> Self {
        Self {
            status: if (200..=999).contains(&status) {
                status
            } else {
                500
            },
            reason: None,
            length: None,
            lines: Vec::new(),
            has_date: false,
            has_server: false,
        }
    }

    /// An interim one: 100 to 199.
    pub fn interim(status: u16) -> Option<Self> {
        (100..200).contains(&status).then(|| Self {
            status,
            ..Self::new(200)
        })
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// Other words than those of the table.
    ///
    /// # Errors
    /// [`BadHeader::Value`] for a control character.
    pub fn set_reason(&mut self, reason: &str) -> Result<(), BadHeader> {
        if !reason.bytes().all(in_value) {
            return Err(BadHeader::Value);
        }
        self.reason = Some(reason.into());
        Ok(())
    }

    /// The words behind the status.
    pub fn reason(&self) -> &str {
        let own = self.reason.as_deref();
        own.unwrap_or_else(|| status::reason(self.status))
    }

    /// The length of the body, if it is known before. To HEAD and in a 304 it is said without a body.
    #[must_use]
    pub fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    pub(super) fn known_length(&self) -> Option<u64> {
        self.length
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`BadHeader`]; nothing is added then.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), BadHeader> {
        let value = value.as_ref();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(BadHeader::Name);
        }
        if MANAGED.iter().any(|managed| is(managed)) {
            return Err(BadHeader::Managed);
        }
        if !value.iter().copied().all(in_value) {
            return Err(BadHeader::Value);
        }
        self.has_date |= is("date");
        self.has_server |= is("server");
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// [`add`](Self::add), for headers that the program writes itself.
    ///
    /// # Errors
    /// [`BadHeader`].
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, BadHeader> {
        self.add(name, value)?;
        Ok(self)
    }

    /// The status line and the headers, without the empty line.
    pub(super) fn write(&self, out: &mut Vec<u8>, server: Option<&str>, date: &mut DateText) {
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, self.reason());
        if self.status >= 200 {
            if let Some(server) = server.filter(|_| !self.has_server) {
                let _ = write!(out, "Server: {server}\r\n");
            }
            if !self.has_date {
                let _ = write!(out, "Date: {}\r\n", date.http(SystemTime::now()));
            }
        }
        out.extend_from_slice(&self.lines);
    }
}

fn in_value(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
