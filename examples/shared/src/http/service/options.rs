//! What all connections of a service are made with.

use std::{fmt, rc::Rc, time::Duration};

use super::super::{escape::html, status};

/// The limits of one connection. Those of a request's form are constants of `http::reader` (request line 8 KiB, headers
/// 16 KiB), `http::request` (100 headers) and `http::body` (chunk line 256 bytes, trailers 8 KiB).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time; past it 503.
    pub connections: usize,
    /// A connection on which nothing moves is closed after this time, unless it waits for its handler.
    pub idle: Duration,
    /// The head of a request has this time to arrive, and so has each [`slowest_body`](Self::slowest_body) of its body; then
    /// 408.
    pub request_time: Duration,
    /// Bytes of a body that have to come in each `request_time`, while the handler takes them.
    pub slowest_body: u64,
    /// Bytes of a body; past it 413.
    pub body: u64,
    /// The answer has to begin within this time after the request, while no more of the body is expected; then 503.
    pub answer_time: Duration,
    /// Requests on one connection.
    pub requests: u64,
    /// Bytes of a body that are read and dropped behind an answer, to keep the connection for the next request.
    pub drain: u64,
    /// Bytes that wait for the client: above the high mark the answer is [congested](super::Exchange::is_congested) until the
    /// low one is reached.
    pub marks: (usize, usize),
    /// Bytes that wait for the client; past it the answer is cut.
    pub outgoing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            idle: Duration::from_secs(30),
            request_time: Duration::from_secs(20),
            slowest_body: 4 * 1024,
            body: 1024 * 1024,
            answer_time: Duration::from_secs(60),
            requests: 10_000,
            drain: 256 * 1024,
            marks: (32 * 1024, 128 * 1024),
            outgoing: 4 * 1024 * 1024,
        }
    }
}

/// After this number of answers the other connections get their turn.
pub(super) const ANSWERS: u8 = 16;
/// The same after this number of parts of chunks: a read may bring thousands of chunks of one byte.
pub(super) const CHUNK_PARTS: u16 = 256;
/// Where a body is refused, input is thrown away for this time and this number of bytes: a client that writes all of a large
/// upload before it reads still finds the answer, not a reset.
pub(super) const UPLOAD_LINGER_TIME: Duration = Duration::from_secs(30);
pub(super) const UPLOAD_LINGER_BYTES: usize = 1024 * 1024 * 1024;
/// So many connections past the limit get 503; the rest are closed without a word.
pub(super) const REFUSALS: usize = 16;
/// Bytes of a request line that are kept for the log.
pub(super) const LOGGED_LINE: usize = 1024;

/// Limits, and how answers look that the service makes itself.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    /// The `Server` header; a proxy has none.
    pub server: Option<&'static str>,
    /// The page of an error, in HTML.
    pub error_page: Rc<dyn Fn(&ErrorPage<'_>) -> String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            server: None,
            error_page: Rc::new(error_page),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// What an error page says: `404`, `Not Found`, and a sentence about it.
#[derive(Clone, Copy, Debug)]
pub struct ErrorPage<'a> {
    pub code: u16,
    pub message: &'a str,
    pub explain: &'a str,
}

fn error_page(page: &ErrorPage<'_>) -> String {
    let ErrorPage {
        code,
        message,
        explain,
    } = page;
    let explain = match *explain {
        "" => status::explanation(*code),
        explain => explain,
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{code} {}</title></head>\n\
         <body><h1>{code} {}</h1>\n<p>{}</p></body>\n</html>\n",
        html(message),
        html(message),
        html(explain),
    )
}
