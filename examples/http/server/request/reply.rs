//! An answer before it is sent, and its head as bytes.

use std::{io::Write, time::SystemTime};

use asynchat::{Bytes, FilePart};
use shared::http::date::DateText;

use super::conditional::Validators;
use crate::site::page;

/// What the server calls itself.
pub(crate) const SERVER: &str = concat!("asynchat-http/", env!("CARGO_PKG_VERSION"));

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) file: Option<Validators>,
    pub(crate) extra: Extra,
    pub(crate) body: Body,
    /// Whether it took so long to make that others should have their turn.
    pub(crate) is_costly: bool,
}

/// The header that only this kind of answer has.
#[derive(Debug)]
pub(crate) enum Extra {
    None,
    Location(String),
    Allow,
    /// The part that is sent; the whole is in `file`.
    Part {
        start: u64,
        len: u64,
    },
    NoPart,
    NoStore,
    RetryAfter,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// An answer that never has one, nor a length of one: 304.
    Absent,
    Page(Bytes),
    File(FilePart),
}

/// What becomes of the connection, and how the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    /// HTTP/1.1, where that need not be said.
    KeepAlive,
    /// HTTP/1.0, where it must.
    SayKeepAlive,
}

const HTML: &str = "text/html; charset=utf-8";

impl Reply {
    pub(crate) fn page(page: impl Into<Bytes>, extra: Extra) -> Self {
        Self {
            status: 200,
            content_type: HTML,
            file: None,
            extra,
            body: Body::Page(page.into()),
            is_costly: false,
        }
    }

    pub(crate) fn error(status: u16, detail: &str) -> Self {
        Self::error_with(status, detail, Extra::None)
    }

    pub(crate) fn error_with(status: u16, detail: &str, extra: Extra) -> Self {
        Self {
            status,
            ..Self::page(page::error(status, reason(status), detail), extra)
        }
    }

    /// The answer to a client whose copy is good: nothing but the validators.
    pub(crate) fn not_modified(file: Validators) -> Self {
        Self {
            status: 304,
            content_type: "",
            file: Some(file),
            extra: Extra::None,
            body: Body::Absent,
            is_costly: false,
        }
    }

    /// Length of the body in bytes, sent or not (HEAD).
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            Body::Absent => 0,
            Body::Page(page) => page.len() as u64,
            Body::File(part) => part.len(),
        }
    }

    /// Appends the head, the empty line included.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, dates: &mut Dates, then: Then) {
        // Writing to memory does not fail.
        let _ = self.try_write_head(out, dates, then);
    }

    fn try_write_head(
        &self,
        out: &mut Vec<u8>,
        dates: &mut Dates,
        then: Then,
    ) -> std::io::Result<()> {
        let date = dates.now.http(SystemTime::now());
        write!(
            out,
            "HTTP/1.1 {} {}\r\nServer: {SERVER}\r\nDate: {date}\r\n",
            self.status,
            reason(self.status)
        )?;
        if !matches!(self.body, Body::Absent) {
            write!(
                out,
                "Content-Type: {}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\n",
                self.content_type,
                self.length()
            )?;
        }
        if let Some(file) = &self.file {
            let modified = dates.modified.http(file.modified);
            write!(
                out,
                "Last-Modified: {modified}\r\nETag: {}\r\nAccept-Ranges: bytes\r\n",
                file.etag()
            )?;
        }
        let whole = self.file.map_or(0, |file| file.len);
        match &self.extra {
            Extra::None => {}
            Extra::Location(url) => write!(out, "Location: {url}\r\n")?,
            Extra::Allow => out.extend_from_slice(b"Allow: GET, HEAD\r\n"),
            Extra::Part { start, len } => write!(
                out,
                "Content-Range: bytes {start}-{}/{whole}\r\n",
                start + len - 1
            )?,
            Extra::NoPart => write!(out, "Content-Range: bytes */{whole}\r\n")?,
            Extra::NoStore => out.extend_from_slice(b"Cache-Control: no-store\r\n"),
            Extra::RetryAfter => out.extend_from_slice(b"Retry-After: 5\r\n"),
        }
        out.extend_from_slice(match then {
            Then::Close => b"Connection: close\r\n\r\n",
            Then::KeepAlive => b"\r\n",
            Then::SayKeepAlive => b"Connection: keep-alive\r\n\r\n",
        });
        Ok(())
    }
}

/// The dates of the last answer, likely to be those of the next.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    now: DateText,
    modified: DateText,
}

/// The words behind a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
