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
        let mut line_feeds = LineFeeds::of(head);
        let mut start = 0;
        // Empty lines before a request are none of it.
        let request = loop {
            let end = line_feeds.next().unwrap_or(head.len());
            match &head[start..end] {
                [] | [b'\r'] if end == head.len() => return Self::Nothing,
                [] | [b'\r'] => start = end + 1,
                [line @ .., b'\r'] | line => break line,
            }
        };
        // The last character of the request line is that of the version.
        let mut closes = request.last() == Some(&b'0');
        for line_feed in line_feeds {
            let rest = &head[line_feed + 1..];
            if rest.first().is_some_and(|first| may_matter(*first)) {
                closes |= closes_after(rest);
            }
        }
        if closes { Self::Close } else { Self::Stay }
    }
}

/// Where line feeds stand. The lines of a head are short: eight bytes at a time are faster than setting up a vector search.
struct LineFeeds<'a> {
    words: std::slice::Iter<'a, [u8; 8]>,
    /// The bytes behind the last whole word, with zeros behind them.
    tail: Option<u64>,
    /// Where the word begins that is searched, and the high bit of each byte in it that is a line feed still to be told.
    word: usize,
    found: u64,
}

impl<'a> LineFeeds<'a> {
    #[inline]
    fn of(data: &'a [u8]) -> Self {
        let (words, tail) = data.as_chunks();
        let tail = match (tail, data.last_chunk()) {
            ([], _) => None,
            // One load instead of a copy byte by byte.
            (_, Some(last)) => Some(u64::from_le_bytes(*last) >> (8 * (8 - tail.len()))),
            (_, None) => Some(
                tail.iter()
                    .rfold(0, |word, &byte| word << 8 | u64::from(byte)),
            ),
        };
        Self {
            words: words.iter(),
            tail,
            // The first word is the next one.
            word: 0_usize.wrapping_sub(8),
            found: 0,
        }
    }
}

impl Iterator for LineFeeds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            let word = match self.words.next() {
                Some(word) => u64::from_le_bytes(*word),
                None => self.tail.take()?,
            };
            self.word = self.word.wrapping_add(8);
            self.found = line_feeds_in(word);
        }
        let at = self.word + self.found.trailing_zeros() as usize / 8;
        self.found &= self.found - 1;
        Some(at)
    }
}

/// The high bit of each byte that is a line feed.
fn line_feeds_in(word: u64) -> u64 {
    const LOW: u64 = u64::MAX / 0xff;
    const HIGH: u64 = LOW << 7;
    // A zero byte where a line feed is, and no carry from one byte into the next.
    let difference = word ^ (LOW * u64::from(b'\n'));
    !(((difference & !HIGH) + !HIGH) | difference) & HIGH
}

/// `Connection`, `Content-Length`, `Transfer-Encoding`
fn may_matter(first: u8) -> bool {
    matches!(first | 0x20, b'c' | b't')
}

/// Whether the header line at the start of `rest` makes the answer the last.
#[cold]
fn closes_after(rest: &[u8]) -> bool {
    let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
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

    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost";

    fn then(head: &str) -> Then {
        Then::of(head.as_bytes())
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
    fn every_line_feed_is_found_wherever_it_is() {
        for len in 0..40 {
            // What differs from a line feed in one bit is none, and a carry from one byte must not reach the next.
            for other in [b'x', 0x0b, 0x8a, 0x09, 0] {
                for step in 1..10 {
                    let feed = |at: &usize| at % step == 0;
                    let byte = |at: usize| if feed(&at) { b'\n' } else { other };
                    let data: Vec<u8> = (0..len).map(byte).collect();
                    let expected = (0..len).filter(feed);
                    assert!(LineFeeds::of(&data).eq(expected), "{data:?}");
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
