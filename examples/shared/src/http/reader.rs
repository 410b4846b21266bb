//! Reads requests off a connection, head and body, and again. Pure: it is given the frames of a chat, and answers with
//! the terminator of the next one, a request, or the reason why nothing more can be read.
//!
//! A head with a body to come is handed out at once, and the request again when all of it has arrived. Content is not
//! kept: who wants it takes the frames for which [`Reader::is_in_content`].

use std::ops::ControlFlow;

use asynchat::Terminator;

use super::{
    Framing,
    body::{BadBody, Body, Next},
    header,
    request::{BadHead, HeadScan, Request},
};

/// Bytes of a request line, without its line end; past it 414.
pub const REQUEST_LINE: usize = 8 * 1024;
/// Bytes of all header lines, without the empty line; past it 431. Their number: `request::MAX_HEADERS`.
pub const HEADER_BLOCK: usize = 16 * 1024;
/// Empty requests that are overlooked in a row: some clients send a line end too many.
pub const EMPTY_REQUESTS: u8 = 4;
/// The terminator of a head.
pub const HEAD_END: &str = "\r\n\r\n";

/// One connection's requests.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// The head of the request in progress.
    head: Vec<u8>,
    /// Where its first line ends, once that is known.
    line_end: Option<usize>,
    scan: HeadScan,
    /// Bytes of the head that were scanned.
    scanned: usize,
    empty_requests: u8,
    max_body: u64,
    accepts: fn(&str) -> bool,
}

/// What the bytes that come belong to.
#[derive(Debug)]
enum State {
    Head,
    Body(Body),
    /// Nothing is read any more.
    Ended,
}

/// What a frame led to.
#[derive(Debug)]
pub enum Found<'a> {
    /// Nothing to speak of; the terminator stays.
    Nothing,
    /// The head of a request with a body, which begins with the frame up to this terminator.
    Body {
        request: &'a Request<'a>,
        /// `None` in chunks.
        length: Option<u64>,
        terminator: Terminator,
        /// The client waits for a word (`100 Continue`) before it sends the body.
        awaited: bool,
    },
    /// The next frame of a body.
    BodyPart(Terminator),
    /// A request, complete. The next frame is a head, up to [`HEAD_END`].
    Request(&'a Request<'a>),
    /// The connection cannot be used for another request.
    Refused(Refusal),
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    LineTooLong,
    HeadersTooLong,
    /// Only line ends came.
    Empty,
    Head(BadHead),
    Body(BadBody),
    /// The request has a body that is too large or that the client asks leave to send, and a method that is not accepted.
    Method,
}

impl Refusal {
    /// Whether the client may have much of a body still to send.
    pub fn is_of_upload(self) -> bool {
        matches!(
            self,
            Self::Body(_) | Self::Method | Self::Head(BadHead::UnknownCoding)
        )
    }
}

impl Reader {
    /// Bodies may have up to `max_body` bytes. A request with a method that `accepts` denies is handed out like any other,
    /// but not waited for if its body would be refused or is only announced.
    pub fn new(max_body: u64, accepts: fn(&str) -> bool) -> Self {
        Self {
            state: State::Head,
            head: Vec::new(),
            line_end: None,
            scan: HeadScan::default(),
            scanned: 0,
            empty_requests: 0,
            max_body,
            accepts,
        }
    }

    /// Whether the first bytes of a request are here, and not yet all of it. A CR alone may be half of an empty line.
    pub fn is_in_request(&self) -> bool {
        !matches!(self.head.as_slice(), [] | [b'\r'])
    }

    pub fn is_in_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether the current frame is content of a body.
    pub fn is_in_content(&self) -> bool {
        matches!(&self.state, State::Body(body) if body.is_in_content())
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Reads nothing more.
    pub fn end(&mut self) {
        self.state = State::Ended;
        self.head = Vec::new();
        self.forget_head();
    }

    fn forget_head(&mut self) {
        self.head.clear();
        self.line_end = None;
        self.scan = HeadScan::default();
        self.scanned = 0;
    }

    /// The first line of the request in progress, or all there is of it. A bare CR or LF ends it too: what follows may be
    /// a header with a password, which belongs in no log.
    pub fn line(&self) -> &[u8] {
        let end = self
            .line_end
            .or_else(|| memchr::memchr2(b'\r', b'\n', &self.head));
        &self.head[..end.unwrap_or(self.head.len())]
    }

    /// Takes bytes of the current frame.
    pub fn collect(&mut self, data: &[u8]) -> Result<(), Refusal> {
        match &mut self.state {
            State::Head => self.collect_head(data),
            State::Body(body) => body.collect(data).map_err(Refusal::Body),
            State::Ended => Ok(()),
        }
    }

    fn collect_head(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        // A line end too many after the request before is overlooked. It may come in two pieces.
        if self.head == b"\r"
            && let Some(rest) = data.strip_prefix(b"\n")
        {
            self.head.clear();
            data = rest;
        }
        if self.head.is_empty() {
            while let Some(rest) = data.strip_prefix(b"\r\n") {
                data = rest;
            }
        }
        let seen = self.head.len().saturating_sub(1);
        self.head.extend_from_slice(data);
        if self.line_end.is_none() {
            self.line_end = memchr::memmem::find(&self.head[seen..], b"\r\n").map(|at| seen + at);
        }
        let impossible = self.find_impossible();
        // The first that is wrong counts, however the head is cut.
        let judged = impossible.map_or(self.head.len(), |at| at + 1);
        if self.line_len().min(judged) > REQUEST_LINE {
            Err(Refusal::LineTooLong)
        } else if self
            .line_end
            .is_some_and(|end| judged.saturating_sub(end + 2) > HEADER_BLOCK)
        {
            Err(Refusal::HeadersTooLong)
        } else if impossible.is_some() {
            Err(Refusal::Head(self.scan.refusal()))
        } else {
            Ok(())
        }
    }

    /// The place of the first byte with which no head can go on, if it is among those that are new.
    fn find_impossible(&mut self) -> Option<usize> {
        // Half of an empty line before a request.
        if self.head == b"\r" {
            return None;
        }
        let seen = self.scanned;
        self.scanned = self.head.len();
        let found = self.scan.find_impossible(&self.head[seen..]);
        found.map(|at| seen + at)
    }

    /// Bytes of the first line so far. A CR at the end may be half of its line end.
    fn line_len(&self) -> usize {
        let so_far = self.head.strip_suffix(b"\r").unwrap_or(&self.head);
        self.line_end.unwrap_or(so_far.len())
    }

    /// The current frame is complete: calls `then` with the first line of the request in progress, and what came of the
    /// frame. Nothing more is read after a refusal, or if `then` answers `Break`.
    pub fn found(&mut self, then: impl FnOnce(&[u8], Found<'_>) -> ControlFlow<()>) {
        let next = match &mut self.state {
            State::Head => match self.complete_head() {
                Some(Found::Refused(refusal)) => refused(b"", refusal, then),
                Some(found) => State::Head.unless_broken(then(b"", found)),
                None => self.judge_head(true, then),
            },
            State::Body(body) => match body.found() {
                Ok(Next::Frame(terminator)) => {
                    if then(self.line(), Found::BodyPart(terminator)).is_break() {
                        self.state = State::Ended;
                    }
                    return;
                }
                Ok(Next::End) => self.judge_head(false, then),
                Err(bad) => refused(self.line(), Refusal::Body(bad), then),
            },
            State::Ended => return,
        };
        if !matches!(next, State::Body(_)) {
            self.forget_head();
            // A connection that waits should not hold the memory of its longest request.
            self.head.shrink_to(1024);
        }
        self.state = next;
    }

    /// Puts the end on the head, unless there is none.
    fn complete_head(&mut self) -> Option<Found<'static>> {
        if self.head.is_empty() {
            self.empty_requests += 1;
            return Some(match self.empty_requests > EMPTY_REQUESTS {
                true => Found::Refused(Refusal::Empty),
                false => Found::Nothing,
            });
        }
        self.empty_requests = 0;
        self.line_end.get_or_insert(self.head.len());
        self.head.extend_from_slice(HEAD_END.as_bytes());
        None
    }

    /// Hands the request out, or goes on to its body if that is still `to_come`.
    fn judge_head(
        &self,
        to_come: bool,
        then: impl FnOnce(&[u8], Found<'_>) -> ControlFlow<()>,
    ) -> State {
        let line = self.line();
        Request::parse(&self.head, |request| match request.and_then(judged) {
            Err(bad) => refused(line, Refusal::Head(bad), then),
            Ok((request, framing))
                if to_come && !matches!(framing, Framing::Unsaid | Framing::Length(0)) =>
            {
                self.begin_body(line, &request, framing, then)
            }
            Ok((request, _)) => State::Head.unless_broken(then(line, Found::Request(&request))),
        })
    }

    fn begin_body(
        &self,
        line: &[u8],
        request: &Request<'_>,
        framing: Framing,
        then: impl FnOnce(&[u8], Found<'_>) -> ControlFlow<()>,
    ) -> State {
        let too_large = matches!(framing, Framing::Length(length) if length > self.max_body);
        let awaited = request.expects_continue();
        if (too_large || awaited) && !(self.accepts)(request.method) {
            return refused(line, Refusal::Method, then);
        }
        if too_large {
            return refused(line, Refusal::Body(BadBody::TooLarge), then);
        }
        let (body, terminator) = match framing {
            Framing::Length(length) => Body::counted(length),
            _ => Body::chunked(self.max_body),
        };
        let found = Found::Body {
            request,
            length: match framing {
                Framing::Length(length) => Some(length),
                _ => None,
            },
            terminator,
            awaited,
        };
        State::Body(body).unless_broken(then(line, found))
    }
}

impl State {
    fn unless_broken(self, flow: ControlFlow<()>) -> Self {
        match flow {
            ControlFlow::Continue(()) => self,
            ControlFlow::Break(()) => Self::Ended,
        }
    }
}

fn refused(
    line: &[u8],
    refusal: Refusal,
    then: impl FnOnce(&[u8], Found<'_>) -> ControlFlow<()>,
) -> State {
    // After any answer the place where the next request would begin is unknown.
    let _ = then(line, Found::Refused(refusal));
    State::Ended
}

fn judged(request: Request<'_>) -> Result<(Request<'_>, Framing), BadHead> {
    let framing = request.framing()?;
    match has_good_host(&request) {
        true => Ok((request, framing)),
        false => Err(BadHead::Syntax("The Host header is malformed.")),
    }
}

/// Whether there is one port at most, and it is a number. The characters have been checked before.
fn has_good_host(request: &Request<'_>) -> bool {
    let host = header(request.headers, "host").unwrap_or_default();
    let port = match host.iter().position(|&byte| byte == b']') {
        Some(end) if host.starts_with(b"[") => match &host[end + 1..] {
            [] => &[],
            [b':', port @ ..] => port,
            _ => return false,
        },
        Some(_) => return false,
        None if host.contains(&b'[') => return false,
        None => host
            .splitn(2, |&byte| byte == b':')
            .nth(1)
            .unwrap_or_default(),
    };
    port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(method: &str) -> bool {
        method == "GET"
    }

    /// What each frame of `stream` leads to, and the reader behind it.
    fn read(stream: &[u8]) -> (Vec<String>, Reader) {
        let mut reader = Reader::new(10, accepts);
        let mut terminator = Terminator::from(HEAD_END);
        let mut seen = Vec::new();
        let mut rest = stream;
        while !reader.has_ended() {
            let (data, behind) = match &terminator {
                Terminator::Count(count) => {
                    let Some((data, behind)) = rest.split_at_checked(*count as usize) else {
                        break;
                    };
                    (data, behind)
                }
                Terminator::Bytes(end) => {
                    let Some(at) = memchr::memmem::find(rest, end) else {
                        break;
                    };
                    (&rest[..at], &rest[at + end.len()..])
                }
                _ => unreachable!("a terminator without an end"),
            };
            rest = behind;
            if !data.is_empty()
                && let Err(refusal) = reader.collect(data)
            {
                seen.push(format!("{refusal:?}"));
                reader.end();
                break;
            }
            reader.found(|line, found| {
                let line = line.escape_ascii();
                match found {
                    Found::Nothing => seen.push("nothing".into()),
                    Found::Body {
                        terminator: next,
                        awaited,
                        ..
                    } => {
                        seen.push(format!("body {awaited}"));
                        terminator = next;
                    }
                    Found::BodyPart(next) => terminator = next,
                    Found::Request(request) => {
                        seen.push(format!("{line}"));
                        terminator = HEAD_END.into();
                        if !request.keeps_alive() {
                            return ControlFlow::Break(());
                        }
                    }
                    Found::Refused(refusal) => seen.push(format!("{refusal:?}")),
                }
                ControlFlow::Continue(())
            });
        }
        (seen, reader)
    }

    #[test]
    fn requests_follow_one_another_with_and_without_a_body() {
        let (seen, reader) = read(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
              GET /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        );
        let all = [
            "GET /1 HTTP/1.1",
            "body false",
            "PUT /2 HTTP/1.1",
            "body false",
            "GET /3 HTTP/1.1",
        ];
        assert_eq!(seen, all);
        assert!(!reader.is_in_request() && !reader.has_ended());
    }

    #[test]
    fn nothing_is_read_behind_a_refusal_or_where_the_connection_ends() {
        let next = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
        for (head, seen) in [
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close",
                "GET / HTTP/1.1",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a:b",
                "Head(Syntax(\"The Host header is malformed.\"))",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 11",
                "Body(TooLarge)",
            ),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11", "Method"),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue",
                "Method",
            ),
        ] {
            let stream = format!("{head}\r\n\r\n{next}");
            let (all, reader) = read(stream.as_bytes());
            assert_eq!(all, [seen], "{head}");
            assert!(reader.has_ended(), "{head}");
        }
    }

    #[test]
    fn a_client_may_wait_for_a_word_before_the_body() {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
        let (seen, reader) = read(head);
        assert_eq!(seen, ["body true"]);
        assert!(reader.is_in_body() && reader.is_in_request());
        assert_eq!(reader.line(), b"GET / HTTP/1.1");
    }

    #[test]
    fn a_few_empty_requests_are_overlooked() {
        let few = "\r\n\r\n".repeat(usize::from(EMPTY_REQUESTS));
        assert_eq!(read(few.as_bytes()).0, ["nothing"; EMPTY_REQUESTS as usize]);
        let (seen, reader) = read(format!("{few}\r\n\r\n").as_bytes());
        assert_eq!(seen.last().map(String::as_str), Some("Empty"));
        assert!(reader.has_ended());
    }

    #[test]
    fn a_line_and_headers_have_their_limits_byte_by_byte_too() {
        let line = format!("GET /{} HTTP/1.1", "x".repeat(REQUEST_LINE - 14));
        let headers = format!("X: {}", "x".repeat(HEADER_BLOCK - 3));
        for (head, refusal) in [
            (format!("{line}\r\n{headers}"), None),
            (format!("{line}x"), Some(Refusal::LineTooLong)),
            (
                format!("GET / HTTP/1.1\r\n{headers}x"),
                Some(Refusal::HeadersTooLong),
            ),
        ] {
            for size in [1, head.len()] {
                let mut reader = Reader::new(10, accepts);
                let seen = head
                    .as_bytes()
                    .chunks(size)
                    .try_for_each(|data| reader.collect(data));
                assert_eq!(seen.err(), refusal, "{size}");
            }
        }
    }

    #[test]
    fn what_cannot_become_a_request_is_refused_before_its_end() {
        for (stream, begin) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 0),
            (b"GET / HTTP/1.1\nHost: a\n\n", 14),
            (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\n\n", 27),
        ] {
            for size in [1, stream.len()] {
                let mut reader = Reader::new(10, accepts);
                let mut pieces = stream.chunks(size);
                let refused = pieces.position(|data| reader.collect(data).is_err());
                assert_eq!(refused, Some(begin / size), "{}", stream.escape_ascii());
            }
        }
        // A log gets the line alone.
        let mut reader = Reader::new(10, accepts);
        assert!(
            reader
                .collect(b"GET / HTTP/1.1\nAuthorization: x\n\n")
                .is_err()
        );
        assert_eq!(reader.line(), b"GET / HTTP/1.1");
        // The first that is wrong counts, in one piece as well.
        let long = [&b"GET /"[..], &[b'x'; REQUEST_LINE], b"\0"].concat();
        assert_eq!(
            Reader::new(10, accepts).collect(&long),
            Err(Refusal::LineTooLong)
        );
    }

    #[test]
    fn half_of_an_empty_line_begins_no_request() {
        let mut reader = Reader::new(10, accepts);
        assert_eq!(reader.collect(b"\r"), Ok(()));
        assert!(!reader.is_in_request());
        assert_eq!(reader.collect(b"\nG"), Ok(()));
        assert!(reader.is_in_request());
        assert_eq!(reader.line(), b"G");
    }
}
