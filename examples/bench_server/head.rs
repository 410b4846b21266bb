//! What a server has to know of a request's head, which lies whole in the input as most do.

use memchr::memchr;

/// What a head calls for.
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

impl Then {
    /// For a head without the empty line that ends it.
    pub(crate) fn of(head: &[u8]) -> Self {
        let mut lines = Lines { rest: head };
        // Empty lines before a request are none of it.
        let Some(request) = lines.find(|line| !matches!(line, [] | [b'\r'])) else {
            return Self::Nothing;
        };
        // The last character of the request line is that of the version.
        let mut closes = request.strip_suffix(b"\r").unwrap_or(request).last() == Some(&b'0');
        for line in lines {
            if line.first().is_some_and(|first| may_matter(*first)) {
                closes |= closes_after(line);
            }
        }
        if closes { Self::Close } else { Self::Stay }
    }
}

/// What stands between line feeds.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_at(line_len(self.rest));
        self.rest = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// Header lines are short: eight bytes at a time are faster than setting up a vector search.
#[inline]
fn line_len(data: &[u8]) -> usize {
    let (words, tail) = data.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let before = before_line_feed(*word);
        if before < 8 {
            return index * 8 + before;
        }
    }
    match data.last_chunk::<8>() {
        // The first bytes of this word are searched twice, which takes fewer instructions than the tail byte by byte.
        Some(word) => data.len() - 8 + before_line_feed(*word),
        None => tail.iter().take_while(|byte| **byte != b'\n').count(),
    }
}

/// 8 if there is no line feed.
#[inline]
fn before_line_feed(word: [u8; 8]) -> usize {
    const LOW: u64 = u64::MAX / 0xff;
    // A zero byte where a line feed is; the lowest set bit of `zeros` marks the first one.
    let difference = u64::from_le_bytes(word) ^ (LOW * u64::from(b'\n'));
    let zeros = difference.wrapping_sub(LOW) & !difference & (LOW << 7);
    zeros.trailing_zeros() as usize / 8
}

/// `Connection`, `Content-Length`, `Transfer-Encoding`
fn may_matter(first: u8) -> bool {
    matches!(first | 0x20, b'c' | b't')
}

/// Whether a header line makes the answer the last.
#[cold]
fn closes_after(line: &[u8]) -> bool {
    let Some(colon) = memchr(b':', line) else {
        return false;
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.eq_ignore_ascii_case(b"connection") {
        let mut options = value.split(|&byte| byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    } else if name.eq_ignore_ascii_case(b"content-length") {
        value.trim_ascii() != b"0"
    } else {
        name.eq_ignore_ascii_case(b"transfer-encoding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1";

    fn then(head: &str) -> Then {
        Then::of(head.as_bytes())
    }

    /// Of a GET with these headers alone, behind another one, and before a line feed.
    #[track_caller]
    fn expect(headers: &str, expected: Then) {
        for (before, behind) in [("", ""), ("\r\nHost: localhost", ""), ("", "\r\n")] {
            let head = format!("{GET}{before}{headers}{behind}");
            assert_eq!(then(&head), expected, "{head:?}");
        }
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
            expect(header, Then::Stay);
        }
        for header in [
            "\r\nConnection: close",
            "\r\nCONNECTION:close\r\nAccept: */*",
            "\r\nAccept: */*\r\nconnection: te, Close , x\r\nTe: x",
        ] {
            expect(header, Then::Close);
        }
    }

    #[test]
    fn what_has_a_body_or_an_old_version_is_the_last_request() {
        expect("\r\nContent-Length: 10", Then::Close);
        expect("\r\ntransfer-encoding: chunked", Then::Close);
        assert_eq!(then("GET / HTTP/1.0"), Then::Close);
        assert_eq!(then("GET / HTTP/1.0\r\nHost: x"), Then::Close);
        assert_eq!(then("GET / HTTP/1.1"), Then::Stay);
    }

    #[test]
    fn a_line_ends_at_its_first_line_feed_wherever_it_is() {
        for len in 0..40 {
            // A byte next to a line feed, or one bit away, is none.
            for other in [b'x', 0x0b, 0x8a, 0x09, 0] {
                let mut data = vec![other; len];
                assert_eq!(line_len(&data), len);
                for at in (0..len).rev() {
                    data[at] = b'\n';
                    assert_eq!(line_len(&data), at, "of {len} with {other}");
                }
            }
        }
    }

    #[test]
    fn empty_lines_before_a_request_are_none_of_it() {
        assert_eq!(then("\r\nGET / HTTP/1.0\r\nA: b"), Then::Close);
        assert_eq!(then("\r\nGET / HTTP/1.1\r\nConnection: close"), Then::Close);
        assert_eq!(then("\r\nGET / HTTP/1.1"), Then::Stay);
        assert_eq!(then("\r\n"), Then::Nothing);
        assert_eq!(then(""), Then::Nothing);
    }
}
