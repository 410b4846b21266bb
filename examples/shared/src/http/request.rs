//! The head of a request, parsed strictly: what two readers could understand differently is refused.

use std::{borrow::Cow, fmt};

use super::{BadFraming, Framing, Header, all, framing, has_token, header, is_token};

/// So many header lines a request may have.
pub const MAX_HEADERS: usize = 100;

/// A request line and its headers, borrowed from the bytes they came in.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and what comes after it (RFC 9110, 2.5).
    pub minor: u8,
    pub headers: &'a [Header<'a>],
}

/// Why a head is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    Syntax(&'static str),
    Version,
    TooManyHeaders,
    UnknownCoding,
}

impl fmt::Display for BadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax(what) => what,
            Self::Version => "This server speaks HTTP/1.0 and HTTP/1.1.",
            Self::TooManyHeaders => "The request has too many headers.",
            Self::UnknownCoding => "This server decodes no transfer coding but chunked.",
        })
    }
}

impl Request<'_> {
    /// Parses a head, the empty line at its end included, and lends it to `f`.
    pub fn parse<R>(head: &[u8], f: impl FnOnce(Result<Request<'_>, BadHead>) -> R) -> R {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let request = parse_line(head).and_then(|(line, rest)| {
            Ok(Request {
                headers: parse_headers(rest, &mut headers)?,
                ..line
            })
        });
        f(request)
    }

    /// How long the body is, after all that makes a request untrustworthy.
    pub fn framing(&self) -> Result<Framing, BadHead> {
        let mut hosts = all(self.headers, "host");
        match (hosts.next(), hosts.next()) {
            (None, None) if self.minor == 0 => {}
            (Some(host), None) if host.iter().all(|&byte| is_host_byte(byte)) => {}
            (None, _) => return Err(BadHead::Syntax("The Host header is missing.")),
            (Some(_), None) => return Err(BadHead::Syntax("The Host header is malformed.")),
            (Some(_), Some(_)) => return Err(BadHead::Syntax("There are two Host headers.")),
        }
        if self.headers.iter().any(|header| nearly_frames(header.name)) {
            return Err(BadHead::Syntax(
                "A header could be taken for Content-Length or Transfer-Encoding.",
            ));
        }
        framing(self.headers, self.minor).map_err(|bad| match bad {
            BadFraming::Ambiguous => {
                BadHead::Syntax("Content-Length or Transfer-Encoding is malformed or ambiguous.")
            }
            BadFraming::UnknownCoding => BadHead::UnknownCoding,
        })
    }

    /// The path and query of a target that may name scheme and host too, as clients of proxies write it.
    /// `None` if the host is missing.
    pub fn origin_form(&self) -> Option<Cow<'_, str>> {
        origin_form(self.target)
    }

    /// Whether the client wants to send another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        if has_token(self.headers, "connection", "close") {
            return false;
        }
        self.minor > 0 || has_token(self.headers, "connection", "keep-alive")
    }

    /// Whether the client waits for a word before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.minor > 0
            && header(self.headers, "expect")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }
}

fn origin_form(target: &str) -> Option<Cow<'_, str>> {
    // Either scheme on any connection: a proxy in front of the server may end TLS.
    let after = |scheme: &str| match target.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => Some(rest),
        _ => None,
    };
    let Some(rest) = after("http://").or_else(|| after("https://")) else {
        return Some(target.into());
    };
    let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A fragment is for the client alone.
    let rest = rest.split('#').next().unwrap_or("");
    match rest.as_bytes().first() {
        _ if host.is_empty() => None,
        Some(b'/') => Some(rest.into()),
        _ => Some(format!("/{rest}").into()),
    }
}

/// The request line without its headers, and what follows it.
fn parse_line(head: &[u8]) -> Result<(Request<'_>, &[u8]), BadHead> {
    let end = memchr::memmem::find(head, b"\r\n").ok_or(CUT_SHORT)?;
    let (line, rest) = (&head[..end], &head[end + 2..]);
    let mut scan = HeadScan::default();
    if scan.find_impossible(&head[..end + 2]).is_some() {
        return Err(scan.refusal());
    }
    let words = std::str::from_utf8(line).ok().map(|line| line.split(' '));
    let mut words = words.ok_or(BAD_LINE)?;
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(BAD_LINE);
    };
    // The scan has seen `HTTP/`, a digit, a dot and a digit.
    let minor = match version.as_bytes() {
        [.., b'1', b'.', b'0'] => 0,
        [.., b'1', b'.', _] => 1,
        _ => return Err(BadHead::Version),
    };
    let request = Request {
        method,
        target,
        minor,
        headers: &[],
    };
    Ok((request, rest))
}

fn parse_headers<'h, 'b>(
    bytes: &'b [u8],
    headers: &'h mut [Header<'b>],
) -> Result<&'h [Header<'b>], BadHead> {
    use httparse::Error as E;
    if !has_clean_line_ends(bytes) {
        return Err(BARE_LINE_END);
    }
    match httparse::parse_headers(bytes, headers) {
        Ok(httparse::Status::Complete((used, headers))) if used == bytes.len() => Ok(headers),
        Ok(_) => Err(CUT_SHORT),
        Err(E::TooManyHeaders) => Err(BadHead::TooManyHeaders),
        Err(E::HeaderName) => Err(BadHead::Syntax(
            "A header's name is malformed, or a header is folded.",
        )),
        Err(_) => Err(BadHead::Syntax("A header's value is malformed.")),
    }
}

const BAD_LINE: BadHead = BadHead::Syntax("The request line is malformed.");
const BARE_LINE_END: BadHead = BadHead::Syntax("A line ends with a bare CR or LF.");
const CUT_SHORT: BadHead = BadHead::Syntax("The request ends too early.");

/// Finds the first byte of a head with which no head can go on, before the head is complete: a client that speaks
/// another protocol may be waiting for an answer.
///
/// Judges the request line (RFC 9112, 3) and the line ends. Names and values of headers are left to
/// [`Request::parse`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    part: Part,
    /// Whether the byte before was a CR.
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Start,
    Method,
    TargetStart,
    Target,
    /// The version, of which this many bytes are here.
    Version(usize),
    Headers,
}

impl HeadScan {
    /// Looks at the next bytes of a head; answers with the place of an impossible one among them. Nothing may be
    /// scanned behind that.
    pub fn find_impossible(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if matches!(self.part, Part::Headers) && !self.after_cr {
                at += memchr::memchr2(b'\r', b'\n', &bytes[at..])?;
            }
            if !self.accepts(bytes[at]) {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Why the byte that was found is impossible.
    pub fn refusal(&self) -> BadHead {
        match self.part {
            Part::Headers => BARE_LINE_END,
            _ => BAD_LINE,
        }
    }

    fn accepts(&mut self, byte: u8) -> bool {
        const VERSION: &[u8] = b"HTTP/0.0";
        if self.after_cr || byte == b'\r' {
            let is_line_end = match self.part {
                Part::Headers => true,
                Part::Version(len) => len == VERSION.len(),
                _ => false,
            };
            if !is_line_end || self.after_cr != (byte == b'\n') {
                return false;
            }
            if self.after_cr {
                self.part = Part::Headers;
            }
            self.after_cr = !self.after_cr;
            return true;
        }
        let (fits, next) = match self.part {
            Part::Method if byte == b' ' => (true, Part::TargetStart),
            Part::Start | Part::Method => (is_token(byte), Part::Method),
            Part::Target if byte == b' ' => (true, Part::Version(0)),
            Part::TargetStart | Part::Target => {
                (byte > b' ' && !byte.is_ascii_control(), Part::Target)
            }
            Part::Version(len) => {
                let fits = VERSION.get(len).is_some_and(|expected| match expected {
                    b'0' => byte.is_ascii_digit(),
                    _ => byte == *expected,
                });
                (fits, Part::Version(len + 1))
            }
            Part::Headers => (byte != b'\n', Part::Headers),
        };
        if fits {
            self.part = next;
        }
        fits
    }
}

/// The parser takes a bare LF for a line's end; others do not, and that difference can be exploited.
fn has_clean_line_ends(head: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', head).all(|at| match head[at] {
        b'\r' => head.get(at + 1) == Some(&b'\n'),
        _ => at > 0 && head[at - 1] == b'\r',
    })
}

/// Gateways that make variables of headers, as CGI does, see no difference between `Content_Length` and
/// `Content-Length`, and would find another body than this server.
fn nearly_frames(name: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        letters.map(|byte| byte.to_ascii_lowercase())
    }
    ["content-length", "transfer-encoding"]
        .iter()
        .any(|frames| {
            name.len() >= frames.len()
                && !name.eq_ignore_ascii_case(frames)
                && letters(name).eq(letters(frames))
        })
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str) -> Result<Framing, BadHead> {
        Request::parse(head.as_bytes(), |request| request?.framing())
    }

    #[test]
    fn a_plain_request_is_taken_apart() {
        let head = "GET /a?b HTTP/1.1\r\nHost: x:80\r\nX-Empty:\r\n\r\n";
        Request::parse(head.as_bytes(), |request| {
            let request = request.expect("a good request");
            assert_eq!((request.method, request.target), ("GET", "/a?b"));
            assert_eq!((request.minor, request.headers.len()), (1, 2));
            assert!(request.keeps_alive() && !request.expects_continue());
        });
    }

    #[test]
    fn a_target_may_name_the_host() {
        for (target, origin) in [
            ("/a?b", "/a?b"),
            ("http://host:80/a?b", "/a?b"),
            ("https://host:443/a?b", "/a?b"),
            ("HTTP://host", "/"),
            ("Https://host", "/"),
            ("httpss://host", "httpss://host"),
            ("http://x?y=/ten.txt", "/?y=/ten.txt"),
            ("http://x#/ten.txt", "/"),
            ("http://x/a#/b", "/a"),
            ("*", "*"),
            ("host:443", "host:443"),
        ] {
            assert_eq!(origin_form(target).as_deref(), Some(origin));
        }
        for target in [
            "http://",
            "http:///a",
            "http://?/a",
            "http://#",
            "https:///a",
        ] {
            assert_eq!(origin_form(target), None, "{target}");
        }
    }

    #[test]
    fn what_could_be_smuggled_is_a_syntax_error() {
        for lines in [
            "Host : a\r\n",
            " Host: a\r\n",
            "Host: a\r\n folded\r\n",
            "Host: a\r\n\tfolded\r\n",
            "Host: a\nX: b\r\n",
            "Host: a\rX: b\r\n",
            "Host: a\r\nX: b\rc\r\n",
            "Host: a\r\nX: \0\r\n",
            "Host: a\r\nno colon\r\n",
            "Host: a\r\n: nameless\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "X: no host\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nTransfer-Encoding: identity\r\n",
            "Host: a\r\nTransfer_Encoding: chunked\r\n",
            "Host: a\r\nCONTENT--LENGTH: 1\r\n",
        ] {
            let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            assert!(matches!(check(&head), Err(BadHead::Syntax(_))), "{head:?}");
        }
    }

    #[test]
    fn a_header_may_have_more_in_its_name_than_content_length() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Content-Length: 1\r\nContent_Lengths: 1\r\n\r\n";
        assert_eq!(check(head), Ok(Framing::Unsaid));
    }

    const MALFORMED_LINES: [&str; 18] = [
        "GET /",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "G\u{1}T / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "/",
        "GET / FTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/ 1.1",
        "GET / HTTP/01.01",
        "GET / HTTP/1.1.1",
        "GET / HTTP/1x1",
        "GET /a b HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
    ];

    #[test]
    fn malformed_request_lines_are_told_from_other_versions() {
        for line in MALFORMED_LINES {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(&head), Err(BAD_LINE), "{head:?}");
        }
        for line in ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/9.1"] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(&head), Err(BadHead::Version), "{head:?}");
        }
    }

    #[test]
    fn a_later_minor_version_is_served_as_1_1() {
        for (line, expected) in [
            ("GET / HTTP/1.0", 0),
            ("GET / HTTP/1.1", 1),
            ("GET / HTTP/1.2", 1),
            ("GET / HTTP/1.9", 1),
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            let minor = Request::parse(head.as_bytes(), |request| request.map(|r| r.minor));
            assert_eq!(minor, Ok(expected), "{line}");
        }
    }

    /// Where the scan stops, given the bytes in one piece and one by one.
    fn impossible(head: &[u8]) -> Option<usize> {
        let whole = HeadScan::default().find_impossible(head);
        let mut scan = HeadScan::default();
        let one_by_one = head
            .iter()
            .position(|&byte| scan.find_impossible(&[byte]).is_some());
        assert_eq!(whole, one_by_one, "{}", head.escape_ascii());
        whole
    }

    #[test]
    fn the_first_byte_that_fits_no_request_is_found_where_it_stands() {
        for (head, at) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], 0),
            (b"\x80\x2e\x01", 0),
            (b" GET / HTTP/1.1", 0),
            (b"\nGET / HTTP/1.1", 0),
            (b"\rGET / HTTP/1.1", 0),
            (b"SSH-2.0-OpenSSH_9.2\r\n", 19),
            (b"GET\t/ HTTP/1.1", 3),
            (b"GET  / HTTP/1.1", 4),
            (b"GET /\r\n", 5),
            (b"GET /a b HTTP/1.1", 7),
            (b"GET / http/1.1", 6),
            (b"GET / HTTP/1\r\n", 12),
            (b"GET / HTTP/01.01", 12),
            (b"GET / HTTP/1.10", 14),
            (b"GET / HTTP/1.1 \r\n", 14),
            (b"GET / HTTP/1.1\nHost: a\n\n", 14),
            (b"GET / HTTP/1.1\rHost: a", 15),
            (b"GET / HTTP/1.1\r\nHost: a\nX: y", 23),
            (b"GET / HTTP/1.1\r\nHost: a\rX: y", 24),
            (b"GET / HTTP/1.1\r\nHost: a\r\r\n", 24),
        ] {
            assert_eq!(impossible(head), Some(at), "{}", head.escape_ascii());
        }
        for head in [
            &b"BREW /\xc3\xa9?\\ HTTP/1.1\r\nX:\0y\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\n",
            b"GET / HTTP/1.1\r",
            b"GET / HTTP/1.1\r\n\r",
        ] {
            assert_eq!(impossible(head), None, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn what_the_scan_refuses_the_parser_refuses_too() {
        for line in MALFORMED_LINES {
            assert!(
                impossible(format!("{line}\r\n").as_bytes()).is_some(),
                "{line}"
            );
        }
    }

    #[test]
    fn a_hundred_headers_are_enough() {
        let head = |n| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(n - 1)
            )
        };
        assert_eq!(check(&head(MAX_HEADERS)), Ok(Framing::Unsaid));
        assert_eq!(check(&head(MAX_HEADERS + 1)), Err(BadHead::TooManyHeaders));
    }

    #[test]
    fn http_1_0_needs_no_host_and_keeps_alive_only_when_asked_to() {
        let alive = |head: &str| {
            Request::parse(head.as_bytes(), |request| {
                request.is_ok_and(|r| r.keeps_alive())
            })
        };
        assert_eq!(check("GET / HTTP/1.0\r\n\r\n"), Ok(Framing::Unsaid));
        assert!(!alive("GET / HTTP/1.0\r\n\r\n"));
        assert!(alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!alive(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n"
        ));
    }
}
