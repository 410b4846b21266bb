//! An answer before it is sent, and its head as bytes.

use std::{borrow::Cow, io::Write, rc::Rc, time::SystemTime};

use asynchat::{Bytes, FilePart};
use shared::http::date::DateText;

use super::{
    conditional::{Span, Validators},
    multipart::Multipart,
};
use crate::{
    files::open::{Cut, OpenFile},
    options::Options,
    site::page,
};

/// What the server calls itself.
pub(crate) const SERVER: &str = concat!("asynchat-http/", env!("CARGO_PKG_VERSION"));

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    /// The coding of the file, if it is a compressed one.
    pub(crate) coding: Option<&'static str>,
    pub(crate) file: Option<Validators>,
    /// The header fields, if they were written before: those of a whole file are the same each time.
    pub(crate) fields: Option<Rc<[u8]>>,
    pub(crate) extra: Extra,
    pub(crate) body: Body,
    /// Whether making it took long enough that others should have their turn.
    pub(crate) is_costly: bool,
}

/// The header that only this kind of answer has.
#[derive(Debug)]
pub(crate) enum Extra {
    None,
    Location(String),
    Allow,
    /// The part that is sent; the whole is in `file`.
    Part(Span),
    NoPart,
    /// Name and password are asked for.
    Challenge,
    /// What a browser asks before it lets a page of another origin send a request.
    Preflight,
    NoStore,
    RetryAfter,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// An answer that never has one, nor a length of one: 204, 304.
    Absent,
    Page(Bytes),
    File(FilePart),
    Parts(Multipart),
}

impl From<Cut> for Body {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Bytes(bytes) => Self::Page(bytes),
            Cut::File(part) => Self::File(part),
        }
    }
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
            content_type: HTML.into(),
            coding: None,
            file: None,
            fields: None,
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
            file: Some(file),
            ..Self::bare(304, Extra::None)
        }
    }

    /// An answer without a body.
    pub(crate) fn bare(status: u16, extra: Extra) -> Self {
        Self {
            status,
            content_type: "".into(),
            coding: None,
            file: None,
            fields: None,
            extra,
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
            Body::Parts(parts) => parts.len(),
        }
    }

    /// Takes the fields from the file that all of this answer is about, if it is sent whole.
    pub(crate) fn with_fields(mut self, open: &OpenFile, options: &Options) -> Self {
        if self.status == 200 {
            let fields = open.fields.get_or_init(|| {
                let mut fields = Vec::new();
                self.write_fields(&mut fields, &mut DateText::default(), options);
                fields.into()
            });
            self.fields = Some(Rc::clone(fields));
        }
        self
    }

    /// Appends the head, the empty line included.
    pub(crate) fn write_head(
        &self,
        out: &mut Vec<u8>,
        dates: &mut Dates,
        now: SystemTime,
        then: Then,
        options: &Options,
    ) {
        let mut status = [b'0'; 3];
        // Writing to memory does not fail.
        let _ = write!(&mut status[..], "{}", self.status);
        let date = dates.now.http(now);
        for part in [
            b"HTTP/1.1 ",
            &status[..],
            b" ",
            reason(self.status).as_bytes(),
            b"\r\nServer: ",
            SERVER.as_bytes(),
            b"\r\nDate: ",
            date.as_bytes(),
            b"\r\n",
        ] {
            out.extend_from_slice(part);
        }
        match &self.fields {
            Some(fields) => out.extend_from_slice(fields),
            None => self.write_fields(out, &mut dates.modified, options),
        }
        out.extend_from_slice(match then {
            Then::Close => b"Connection: close\r\n\r\n",
            Then::KeepAlive => b"\r\n",
            Then::SayKeepAlive => b"Connection: keep-alive\r\n\r\n",
        });
    }

    /// Appends the fields that are the same for each connection and at any time.
    fn write_fields(&self, out: &mut Vec<u8>, modified: &mut DateText, options: &Options) {
        // Writing to memory does not fail.
        let _ = self.try_write_fields(out, modified, options);
    }

    fn try_write_fields(
        &self,
        out: &mut Vec<u8>,
        modified: &mut DateText,
        options: &Options,
    ) -> std::io::Result<()> {
        if !matches!(self.body, Body::Absent) {
            write!(
                out,
                "Content-Type: {}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\n",
                self.content_type,
                self.length()
            )?;
        }
        if let Some(file) = &self.file {
            let modified = modified.http(file.modified);
            write!(
                out,
                "Last-Modified: {modified}\r\nETag: {}\r\nAccept-Ranges: bytes\r\n",
                file.etag()
            )?;
            if let Some(seconds) = options.cache {
                write!(out, "Cache-Control: max-age={seconds}\r\n")?;
            }
            if options.precompressed {
                out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
            }
        }
        if let Some(coding) = self.coding {
            write!(out, "Content-Encoding: {coding}\r\n")?;
        }
        if options.cors {
            out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n");
        }
        let whole = self.file.map_or(0, |file| file.len);
        match &self.extra {
            Extra::None => {}
            Extra::Location(url) => write!(out, "Location: {url}\r\n")?,
            Extra::Allow => out.extend_from_slice(b"Allow: GET, HEAD\r\n"),
            Extra::Part(Span { start, len }) => write!(
                out,
                "Content-Range: bytes {start}-{}/{whole}\r\n",
                start + len - 1
            )?,
            Extra::NoPart => write!(out, "Content-Range: bytes */{whole}\r\n")?,
            Extra::Challenge => out.extend_from_slice(
                b"WWW-Authenticate: Basic realm=\"files\", charset=\"UTF-8\"\r\n",
            ),
            Extra::Preflight => out.extend_from_slice(
                b"Access-Control-Allow-Methods: GET, HEAD\r\n\
                  Access-Control-Allow-Headers: *, Authorization\r\n",
            ),
            Extra::NoStore => out.extend_from_slice(b"Cache-Control: no-store\r\n"),
            Extra::RetryAfter => out.extend_from_slice(b"Retry-After: 5\r\n"),
        }
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
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
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
