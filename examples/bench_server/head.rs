//! What a server has to know of a request's head, found while the head comes in.
//!
//! The common head is looked at where it lies and nothing of it is copied: only a header line that may matter and does
//! not end in the piece it began in.

use std::mem;

use memchr::memchr;

/// The part of a head that has arrived, in any pieces.
#[derive(Default)]
pub(crate) struct Head {
    at: At,
    closes: bool,
    /// The last character of the request line, which is that of the version.
    version: u8,
    /// The beginning of a header line that may matter.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    RequestLine,
    LineStart,
    /// In a header line that does not matter.
    Other,
    /// In one of which `line` has the beginning.
    Matter,
}

/// What a complete head calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// There was none, only the empty line some clients send behind a body.
    Nothing,
    /// An answer.
    Stay,
    /// An answer, and the end: the client says so, or does not know of connections that stay, or a body comes that
    /// nobody is going to read.
    Close,
}

impl Head {
    pub(crate) fn feed(&mut self, mut data: &[u8]) {
        let mut at = self.at;
        while let Some(&first) = data.first() {
            let end = memchr(b'\n', data);
            let (line, rest) = data.split_at(end.unwrap_or(data.len()));
            data = rest.get(1..).unwrap_or_default();
            at = match at {
                At::Start | At::RequestLine => {
                    if let [.., last, b'\r'] | [.., last] = line
                        && *last != b'\r'
                    {
                        self.version = *last;
                    }
                    At::RequestLine
                }
                At::LineStart if may_matter(first) => self.keep(line, end.is_some()),
                At::Matter => self.keep(line, end.is_some()),
                At::LineStart | At::Other => At::Other,
            };
            // Empty lines before a request are none of it.
            if end.is_some() && (at != At::RequestLine || self.version != 0) {
                at = At::LineStart;
            }
        }
        self.at = at;
    }

    /// The head is complete: begins the next one.
    pub(crate) fn end(&mut self) -> Then {
        let at = mem::take(&mut self.at);
        if at == At::Matter {
            self.keep(&[], true);
        }
        let closes = mem::take(&mut self.closes) || self.version == b'0';
        self.version = 0;
        match (at, closes) {
            (At::Start, _) => Then::Nothing,
            (_, false) => Then::Stay,
            (_, true) => Then::Close,
        }
    }

    /// Looks at a line that may matter once all of it is there.
    #[cold]
    fn keep(&mut self, piece: &[u8], complete: bool) -> At {
        if complete && self.line.is_empty() {
            self.judge(piece);
        } else {
            self.line.extend_from_slice(piece);
        }
        if complete && !self.line.is_empty() {
            let line = mem::take(&mut self.line);
            self.judge(&line);
            self.line = line;
            self.line.clear();
        }
        At::Matter
    }

    fn judge(&mut self, line: &[u8]) {
        let Some(colon) = memchr(b':', line) else {
            return;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        self.closes |= if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|&byte| byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
        } else if name.eq_ignore_ascii_case(b"content-length") {
            value.trim_ascii() != b"0"
        } else {
            name.eq_ignore_ascii_case(b"transfer-encoding")
        };
    }
}

/// `Connection`, `Content-Length`, `Transfer-Encoding`
fn may_matter(first: u8) -> bool {
    matches!(first | 0x20, b'c' | b't')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost";

    /// In one piece, and cut in two and into bytes at every place.
    fn then(head: &str) -> Then {
        let mut whole = Head::default();
        whole.feed(head.as_bytes());
        let then = whole.end();
        for cut in 0..head.len() {
            for size in [1, 2, head.len()] {
                let mut pieces = Head::default();
                let (first, second) = head.as_bytes().split_at(cut);
                first.chunks(size).for_each(|piece| pieces.feed(piece));
                second.chunks(size).for_each(|piece| pieces.feed(piece));
                assert_eq!(pieces.end(), then, "{head:?} at {cut}, by {size}");
            }
        }
        then
    }

    #[test]
    fn a_connection_stays_unless_the_client_says_otherwise() {
        for header in [
            "",
            "\r\nConnection: keep-alive",
            "\r\nConnection: closed",
            "\r\nCookie: close",
            "\r\nX-Connection: close",
            "\r\nX: y\nTe: trailers",
            "\r\nContent-Length: 0",
        ] {
            assert_eq!(then(&format!("{GET}{header}")), Then::Stay, "{header:?}");
        }
        for header in [
            "\r\nConnection: close",
            "\r\nCONNECTION:close\r\nAccept: */*",
            "\r\nAccept: */*\r\nconnection: te, Close , x\r\nTe: x",
        ] {
            assert_eq!(then(&format!("{GET}{header}")), Then::Close, "{header:?}");
        }
    }

    #[test]
    fn what_has_a_body_or_an_old_version_is_the_last_request() {
        assert_eq!(then(&format!("{GET}\r\nContent-Length: 10")), Then::Close);
        assert_eq!(
            then(&format!("{GET}\r\ntransfer-encoding: chunked")),
            Then::Close
        );
        assert_eq!(then("GET / HTTP/1.0"), Then::Close);
        assert_eq!(then("GET / HTTP/1.0\r\nHost: x"), Then::Close);
        assert_eq!(then("GET / HTTP/1.1"), Then::Stay);
    }

    #[test]
    fn empty_lines_before_a_request_are_none_of_it() {
        assert_eq!(then("\r\nGET / HTTP/1.0\r\nA: b"), Then::Close);
        assert_eq!(then("\r\nGET / HTTP/1.1\r\nConnection: close"), Then::Close);
        assert_eq!(then("\r\nGET / HTTP/1.1"), Then::Stay);
        assert_eq!(Head::default().end(), Then::Nothing);
    }

    #[test]
    fn one_head_says_nothing_about_the_next() {
        let mut head = Head::default();
        head.feed(b"GET / HTTP/1.0\r\nConnection: close\r\nConne");
        assert_eq!(head.end(), Then::Close);
        assert_eq!(head.end(), Then::Nothing);
        head.feed(b"GET / HTTP/1.1\r\nHost: x");
        assert_eq!(head.end(), Then::Stay);
    }
}
