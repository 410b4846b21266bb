//! The head of a request, parsed strictly: what two readers could understand differently is refused.

use std::{borrow::Cow, fmt, mem::MaybeUninit};

use super::{BadFraming, Framing, Header, all, framing, has_token, header};

/// So many header lines a request may have.
pub const MAX_HEADERS: usize = 100;

/// A request line and its headers, borrowed from the bytes they came in.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
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
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        if !has_clean_line_ends(head) {
            return f(Err(BadHead::Syntax("A line ends with a bare CR or LF.")));
        }
        let outcome = parsed.parse_with_uninit_headers(head, &mut headers);
        let complete =
            matches!(outcome, Ok(httparse::Status::Complete(used)) if used == head.len());
        let request = match (outcome, parsed.method, parsed.path, parsed.version) {
            (Ok(_), Some(method), Some(target), Some(minor)) if complete => Ok(Request {
                method,
                target,
                minor,
                headers: parsed.headers,
            }),
            (Err(error), ..) => Err(bad_head(error)),
            _ => Err(BadHead::Syntax("The request ends too early.")),
        };
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
    let scheme = "http://";
    let rest = match target.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => rest,
        _ => return Some(target.into()),
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

fn bad_head(error: httparse::Error) -> BadHead {
    use httparse::Error as E;
    match error {
        E::TooManyHeaders => BadHead::TooManyHeaders,
        E::Version => BadHead::Version,
        E::HeaderName => BadHead::Syntax("A header's name is malformed, or a header is folded."),
        E::HeaderValue => BadHead::Syntax("A header's value is malformed."),
        _ => BadHead::Syntax("The request line is malformed."),
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
            ("HTTP://host", "/"),
            ("http://x?y=/ten.txt", "/?y=/ten.txt"),
            ("http://x#/ten.txt", "/"),
            ("http://x/a#/b", "/a"),
            ("*", "*"),
            ("host:443", "host:443"),
        ] {
            assert_eq!(origin_form(target).as_deref(), Some(origin));
        }
        for target in ["http://", "http:///a", "http://?/a", "http://#"] {
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

    #[test]
    fn malformed_request_lines_are_told_from_other_versions() {
        for line in [
            "GET /",
            "GET / HTTP/1.1 ",
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "G\u{1}T / HTTP/1.1",
            "/",
            "GET / FTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert!(
                matches!(check(&head), Err(BadHead::Syntax(_) | BadHead::Version)),
                "{head:?}"
            );
        }
        for line in ["GET / HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9"] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(&head), Err(BadHead::Version), "{head:?}");
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
