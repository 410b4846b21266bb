//! Answers of the proxy itself.

use std::{borrow::Cow, io::Write, time::SystemTime};

use asynchat::{ChatChannel, Result};

use super::{fields::Unfit, target::BadTarget};
use crate::{
    http::{body::BadBody, date::DateText, reader::Refusal as Unread, request::BadHead, status},
    text::printable,
};

/// Why a request is not answered by its server.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The type of the error in Proxy-Status (RFC 9209, 2.3), if it has one.
    error: Option<&'static str>,
    text: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        error: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error: Some(error).filter(|error| !error.is_empty()),
            text: text.into(),
        }
    }

    fn bad(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, "http_request_error", text)
    }

    /// The name and the password are missing or wrong.
    pub(super) fn login() -> Self {
        Self::new(407, "", "This proxy asks for a name and a password.")
    }

    pub(super) fn denied(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "http_request_denied", text)
    }

    pub(super) fn bad_gateway(error: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(502, error, text)
    }

    /// Writes it as an answer, without the page if `has_body` is false (HEAD). Gives the bytes of the page.
    pub(super) fn write(
        &self,
        chat: &mut ChatChannel<'_>,
        pseudonym: &str,
        has_body: bool,
        persistence: &str,
    ) -> Result<u64> {
        // What is in it may have come from a server or from the client.
        let text = printable(&self.text);
        let mut date = DateText::default();
        let length = text.len() + 1;
        let Self {
            status: code,
            error,
            ..
        } = self;
        write!(
            chat,
            "HTTP/1.1 {code} {}\r\nDate: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nCache-Control: no-store\r\n",
            status::reason(*code),
            date.http(SystemTime::now()),
        )?;
        if let Some(error) = error {
            write!(chat, "Proxy-Status: {pseudonym}; error={error}\r\n")?;
        }
        if *code == 407 {
            write!(
                chat,
                "Proxy-Authenticate: Basic realm=\"proxy\", charset=\"UTF-8\"\r\n"
            )?;
        }
        write!(chat, "{persistence}\r\n")?;
        if !has_body {
            return Ok(0);
        }
        writeln!(chat, "{text}")?;
        Ok(length as u64)
    }
}

impl From<BadTarget> for Refusal {
    fn from(bad: BadTarget) -> Self {
        Self::bad(400, bad.to_string())
    }
}

/// Of a request.
impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Loop => Self::bad_gateway(
                "proxy_loop_detected",
                "The request has been here before: the proxies form a loop.",
            ),
            unfit => Self::bad(400, format!("The request cannot be passed on: {unfit}.")),
        }
    }
}

/// A request that could not be read; `line` is the first line of it.
pub(super) fn unread(refusal: Unread, line: &[u8]) -> Refusal {
    match refusal {
        // A method longer than any that is known (RFC 9112, 3).
        Unread::LineTooLong if !line.contains(&b' ') => {
            Refusal::bad(501, "The method is not known.")
        }
        Unread::LineTooLong => Refusal::bad(414, "The request line is too long."),
        Unread::HeadersTooLong => Refusal::bad(431, "The headers are too long."),
        Unread::Empty => Refusal::bad(400, "There is no request."),
        Unread::Head(bad) => {
            let status = match bad {
                BadHead::Syntax(_) => 400,
                BadHead::TooManyHeaders => 431,
                BadHead::UnknownCoding => 501,
                BadHead::Version => 505,
            };
            Refusal::bad(status, bad.to_string())
        }
        Unread::Body(BadBody::Malformed) => Refusal::bad(400, "The body's chunks are malformed."),
        Unread::Body(BadBody::TooLarge) => Refusal::bad(413, "The body is larger than --max-body."),
        Unread::Method => Refusal::bad(501, "The method is not known."),
    }
}
