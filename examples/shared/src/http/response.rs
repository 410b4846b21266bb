//! The answers of HTTP servers: status line, header, and how the end of the body is found (RFC 9112, section 6).
//!
//! Pure functions of bytes; who reads them from where is not their business. Strict where leniency would let two
//! readers of one answer see different ends.

use std::fmt;

/// More fields than any sensible answer has.
const MAX_FIELDS: usize = 256;

/// Status line and header of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The digit behind `HTTP/1.`.
    pub version: u8,
    /// From 100 to 999.
    pub status: u16,
    pub reason: String,
    /// In the order they came.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, even if the header names a length.
    Absent,
    Length(u64),
    Chunked,
    /// It ends when the server closes the connection.
    UntilClose,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    NotHttp,
    Header(&'static str),
    Trailer(&'static str),
    TooManyFields,
    ContentLength(String),
    TransferEncoding(String),
    ChunkSize(String),
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("the server does not speak HTTP/1"),
            Self::Header(what) => write!(f, "malformed header: {what}"),
            Self::Trailer(what) => write!(f, "malformed trailer: {what}"),
            Self::TooManyFields => write!(f, "malformed: more than {MAX_FIELDS} fields"),
            Self::ContentLength(value) => write!(f, "malformed Content-Length {value:?}"),
            Self::TransferEncoding(value) => {
                write!(
                    f,
                    "Transfer-Encoding {value:?} is not supported, only chunked"
                )
            }
            Self::ChunkSize(line) => write!(f, "malformed chunk size {line:?}"),
        }
    }
}

impl std::error::Error for BadAnswer {}

/// The version whose minor number has one digit: a higher one than 1 is to be read as 1 (RFC 9110, 2.5).
const MAGIC: &[u8] = b"HTTP/1.";

/// Whether an answer that begins like this may still turn out to be HTTP/1.
pub fn may_be_http(start: &[u8]) -> bool {
    let n = start.len().min(MAGIC.len());
    start[..n] == MAGIC[..n]
}

impl Head {
    /// Reads a header without the empty line that ends it. A line ends in CRLF, or in LF alone (RFC 9112, 2.2).
    pub fn parse(bytes: &[u8]) -> Result<Self, BadAnswer> {
        let mut lines = lines(bytes);
        let line = lines.next().unwrap_or_default();
        let rest = line.strip_prefix(MAGIC).ok_or(BadAnswer::NotHttp)?;
        let (version, status, reason) =
            status_line(rest).ok_or(BadAnswer::Header("the status line"))?;
        if status < 100 {
            return Err(BadAnswer::Header("no such status"));
        }
        Ok(Self {
            version,
            status,
            reason: String::from_utf8_lossy(reason).into_owned(),
            fields: fields(lines)?,
        })
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Something provisional, with the real answer still to come.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// The request failed: 4xx, 5xx, and what is no status at all and counts as 5xx (RFC 9110, 15).
    pub fn is_error(&self) -> bool {
        self.status >= 400
    }

    /// Where the body of this answer ends; `to_head`: whether the request was a HEAD.
    pub fn body(&self, to_head: bool) -> Result<Body, BadAnswer> {
        if to_head || self.is_interim() || matches!(self.status, 204 | 304) {
            return Ok(Body::Absent);
        }
        let codings = list(self.all("transfer-encoding"));
        if !codings.is_empty() {
            // It overrides a Content-Length.
            return match codings.as_slice() {
                [only] if only.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
                _ => Err(BadAnswer::TransferEncoding(codings.join(", "))),
            };
        }
        let lengths = list(self.all("content-length"));
        match lengths.split_first() {
            None if self.get("content-length").is_none() => Some(Body::UntilClose),
            // Some senders repeat it; as long as they agree there is no doubt.
            Some((first, others)) if others.iter().all(|other| other == first) => {
                number(first, 10).map(Body::Length)
            }
            _ => None,
        }
        .ok_or_else(|| BadAnswer::ContentLength(lengths.join(", ")))
    }
}

/// Reads the lines behind a chunked body, without the empty one that ends them. Nobody here uses what they say.
pub fn check_trailer(bytes: &[u8]) -> Result<(), BadAnswer> {
    match fields(lines(bytes)) {
        Err(BadAnswer::Header(what)) => Err(BadAnswer::Trailer(what)),
        other => other.map(drop),
    }
}

/// The lines without their ends. The last one may have none.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Minor version, status and reason, from what stands behind `HTTP/1.`.
fn status_line(rest: &[u8]) -> Option<(u8, u16, &[u8])> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    let &[minor, b' ', a, b, c, ref reason @ ..] = rest else {
        return None;
    };
    let status = [a, b, c].into_iter().try_fold(0, |status, byte| {
        Some(status * 10 + u16::from(digit(byte)?))
    })?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    is_text(reason).then_some((digit(minor)?, status, reason))
}

/// Reads the fields of a header or trailer. A line that begins with white space goes on with the value before, and the
/// fold becomes a space (RFC 9112, 5.2); white space before the colon is not part of the name (5.1).
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(String, Vec<u8>)>, BadAnswer> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        let more = if line.starts_with(b" ") || line.starts_with(b"\t") {
            line
        } else {
            let colon = line.iter().position(|&byte| byte == b':');
            let (name, more) = line.split_at(colon.unwrap_or(line.len()));
            let name = trimmed(name);
            if more.is_empty() || !is_token(name) {
                return Err(BadAnswer::Header("a field's name"));
            }
            if fields.len() == MAX_FIELDS {
                return Err(BadAnswer::TooManyFields);
            }
            fields.push((String::from_utf8_lossy(name).into_owned(), Vec::new()));
            &more[1..]
        };
        // What is indented behind the status line could be anything, so it is nothing (RFC 9112, 2.2).
        let Some((_, value)) = fields.last_mut() else {
            return Err(BadAnswer::Header("it begins with white space"));
        };
        let more = trimmed(more);
        if !is_text(more) {
            return Err(BadAnswer::Header("a field's value"));
        }
        if !value.is_empty() && !more.is_empty() {
            value.push(b' ');
        }
        value.extend_from_slice(more);
    }
    Ok(fields)
}

/// Without the blanks of HTTP around it, which are two.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

pub(super) fn is_token(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(fits)
}

/// Whether there is no control character in it, and so no CR by itself.
pub(super) fn is_text(text: &[u8]) -> bool {
    !text
        .iter()
        .any(|&byte| byte != b'\t' && byte.is_ascii_control())
}

/// The size a chunk begins with; extensions behind a semicolon are ignored.
pub fn chunk_size(line: &[u8]) -> Result<u64, BadAnswer> {
    let size = line.split(|&b| b == b';').next().unwrap_or_default();
    // Blanks before the semicolon are common enough to be let through.
    let size = size.trim_ascii_end();
    std::str::from_utf8(size)
        .ok()
        .and_then(|size| number(size, 16))
        .ok_or_else(|| BadAnswer::ChunkSize(line.escape_ascii().to_string()))
}

/// Digits and nothing but digits: `from_str_radix` alone would take a sign.
fn number(digits: &str, radix: u32) -> Option<u64> {
    let good = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    good.then(|| u64::from_str_radix(digits, radix).ok())?
}

/// The elements of a comma-separated field that may have come as several.
fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let joined: Vec<_> = values.map(String::from_utf8_lossy).collect();
    let elements = joined.iter().flat_map(|value| value.split(','));
    elements
        .map(|element| element.trim().to_owned())
        .filter(|element| !element.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        let bytes = lines.replace('\n', "\r\n");
        Head::parse(bytes.as_bytes()).unwrap_or_else(|error| panic!("{lines}: {error}"))
    }

    fn body(fields: &str) -> Result<Body, BadAnswer> {
        head(&format!("HTTP/1.1 200 OK{fields}")).body(false)
    }

    #[test]
    fn status_line_and_fields_are_read() {
        let answer = head("HTTP/1.0 404 Not Found\nServer: x\nX-Two: 1\nx-two: 2\nEmpty:");
        assert_eq!((answer.version, answer.status), (0, 404));
        assert_eq!(answer.reason, "Not Found");
        assert_eq!(answer.fields.len(), 4);
        assert_eq!(answer.get("SERVER"), Some(&b"x"[..]));
        assert_eq!(answer.get("X-TWO"), Some(&b"1"[..]));
        assert_eq!(answer.get("empty"), Some(&b""[..]));
        assert_eq!(answer.get("absent"), None);
        assert_eq!(head("HTTP/1.1 200").reason, "");
        assert_eq!(head("HTTP/1.1 200 ").fields, []);
    }

    #[test]
    fn malformed_headers_are_told_apart() {
        let many = format!("HTTP/1.1 200 OK{}", "\r\na: b".repeat(MAX_FIELDS + 1));
        let [status_line, name, value] =
            ["the status line", "a field's name", "a field's value"].map(BadAnswer::Header);
        for (bytes, error) in [
            (&b""[..], BadAnswer::NotHttp),
            (b"SSH-2.0-OpenSSH", BadAnswer::NotHttp),
            (b"HTTP/2 200", BadAnswer::NotHttp),
            (b"HTTP/1.x 200 OK", status_line.clone()),
            (b"HTTP/1.10 200 OK", status_line.clone()),
            (b"HTTP/1.1 abc", status_line.clone()),
            (b"HTTP/1.1  200 OK", status_line.clone()),
            (b"HTTP/1.1 20", status_line.clone()),
            (b"HTTP/1.1 1000 X", status_line.clone()),
            (b"HTTP/1.1 200 O\rK", status_line),
            (b"HTTP/1.1 099 X", BadAnswer::Header("no such status")),
            (b"HTTP/1.1 200 OK\r\nno colon", name.clone()),
            (b"HTTP/1.1 200 OK\r\na b: c", name.clone()),
            (b"HTTP/1.1 200 OK\r\n: c", name.clone()),
            (b"HTTP/1.1 200 OK\r\na: b\r\n\r\nc: d", name),
            (b"HTTP/1.1 200 OK\r\na: \x01", value.clone()),
            (b"HTTP/1.1 200 OK\r\na: b\rc", value.clone()),
            (b"HTTP/1.1 200 OK\r\na: b\r\n c\0", value),
            (
                b"HTTP/1.1 200 OK\r\n a: b",
                BadAnswer::Header("it begins with white space"),
            ),
            (many.as_bytes(), BadAnswer::TooManyFields),
        ] {
            assert_eq!(Head::parse(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_folded_value_is_one_with_spaces() {
        for (text, value) in [
            ("A: one\n two\n\t three", "one two three"),
            ("A:\n one", "one"),
            ("A: one \t\n \t\n two\t", "one two"),
            ("A: one\n ", "one"),
        ] {
            let answer = head(&format!("HTTP/1.1 200 OK\n{text}\nB: c"));
            assert_eq!(answer.get("a"), Some(value.as_bytes()), "{text:?}");
            assert_eq!(answer.get("b"), Some(&b"c"[..]), "{text:?}");
        }
        assert_eq!(body("\nContent-Length:\n 12"), Ok(Body::Length(12)));
        assert_eq!(body("\nTransfer-Encoding:\n\tchunked"), Ok(Body::Chunked));
        let error = body("\nContent-Length: 1\n 2");
        assert_eq!(error, Err(BadAnswer::ContentLength("1 2".into())));
    }

    #[test]
    fn white_space_before_the_colon_is_not_part_of_the_name() {
        let answer = head("HTTP/1.1 200 OK\nA : b\nContent-Length\t : 12");
        assert_eq!(answer.get("a"), Some(&b"b"[..]));
        assert_eq!(answer.body(false), Ok(Body::Length(12)));
    }

    #[test]
    fn a_line_may_end_in_lf_alone() {
        let answer = Head::parse(b"HTTP/1.1 200 OK\nA: b\r\n c\nD: e\n").expect("a header");
        assert_eq!(answer.reason, "OK");
        assert_eq!(answer.get("a"), Some(&b"b c"[..]));
        assert_eq!(answer.get("d"), Some(&b"e"[..]));
    }

    #[test]
    fn every_minor_version_is_http_1() {
        for version in 0..10 {
            let answer = head(&format!("HTTP/1.{version} 200 OK\nContent-Length: 12"));
            assert_eq!(answer.version, version);
            assert_eq!(answer.body(false), Ok(Body::Length(12)));
        }
    }

    #[test]
    fn a_status_past_599_is_an_error_of_the_servers() {
        for (status, error) in [(200, false), (399, false), (400, true), (599, true)] {
            let answer = head(&format!("HTTP/1.1 {status} X"));
            assert_eq!(answer.is_error(), error, "{status}");
        }
        for status in [600, 999] {
            let answer = head(&format!("HTTP/1.1 {status} X\nContent-Length: 12"));
            assert!(answer.is_error() && !answer.is_interim(), "{status}");
            assert_eq!(answer.body(false), Ok(Body::Length(12)), "{status}");
        }
    }

    #[test]
    fn a_trailer_has_the_syntax_of_a_header() {
        for good in ["", "A: b", "A: b\r\nC:\r\n", "A : b\n c\n"] {
            assert_eq!(check_trailer(good.as_bytes()), Ok(()), "{good:?}");
        }
        for (bad, what) in [
            ("A", "a field's name"),
            ("HTTP/1.1 200 OK", "a field's name"),
            ("A: b\r\n: c", "a field's name"),
            ("A: \u{1}", "a field's value"),
            (" A: b", "it begins with white space"),
        ] {
            let error = check_trailer(bad.as_bytes());
            assert_eq!(error, Err(BadAnswer::Trailer(what)), "{bad:?}");
        }
    }

    #[test]
    fn a_wrong_start_is_seen_before_the_header_is_complete() {
        assert!(may_be_http(b""));
        assert!(may_be_http(b"HTT"));
        assert!(may_be_http(b"HTTP/1.1 200"));
        assert!(!may_be_http(b"HTTP/2"));
        assert!(!may_be_http(b"S"));
    }

    #[test]
    fn the_end_of_the_body_is_found_as_the_rules_say() {
        for (fields, expected) in [
            ("", Body::UntilClose),
            ("\nContent-Length: 0", Body::Length(0)),
            ("\ncontent-length:  12 ", Body::Length(12)),
            (
                "\nContent-Length: 12, 12\nContent-Length: 12",
                Body::Length(12),
            ),
            ("\nTransfer-Encoding: chunked", Body::Chunked),
            (
                "\nTransfer-Encoding: Chunked\nContent-Length: 12",
                Body::Chunked,
            ),
        ] {
            assert_eq!(body(fields), Ok(expected), "{fields:?}");
        }
    }

    #[test]
    fn lengths_and_codings_that_leave_a_doubt_are_refused() {
        for value in [
            "",
            ",",
            "-1",
            "+1",
            "1 2",
            "0x10",
            "1,2",
            "18446744073709551616",
            "ten",
        ] {
            let error = body(&format!("\nContent-Length: {value}"));
            assert!(
                matches!(error, Err(BadAnswer::ContentLength(_))),
                "{value:?}: {error:?}"
            );
        }
        let twice = body("\nContent-Length: 1\nContent-Length: 2");
        assert_eq!(twice, Err(BadAnswer::ContentLength("1, 2".into())));
        for value in ["gzip", "gzip, chunked", "chunked, chunked", "identity"] {
            let error = body(&format!("\nTransfer-Encoding: {value}"));
            assert!(
                matches!(error, Err(BadAnswer::TransferEncoding(_))),
                "{value}: {error:?}"
            );
        }
    }

    #[test]
    fn answers_to_head_and_some_statuses_have_no_body() {
        let fields = "\nContent-Length: 10";
        assert_eq!(
            head(&format!("HTTP/1.1 200 OK{fields}")).body(true),
            Ok(Body::Absent)
        );
        for status in [100, 103, 204, 304] {
            let answer = head(&format!("HTTP/1.1 {status} X{fields}"));
            assert_eq!(answer.body(false), Ok(Body::Absent), "{status}");
        }
        for status in [200, 205, 301, 404, 500] {
            let answer = head(&format!("HTTP/1.1 {status} X{fields}"));
            assert_eq!(answer.body(false), Ok(Body::Length(10)), "{status}");
        }
        assert!(head("HTTP/1.1 103 Early Hints").is_interim());
        assert!(!head("HTTP/1.1 200 OK").is_interim());
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_and_nothing_else() {
        for (line, size) in [
            ("0", 0),
            ("a", 10),
            ("001F", 31),
            ("5;name=value", 5),
            ("5 ; x", 5),
            ("ffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(chunk_size(line.as_bytes()), Ok(size), "{line}");
        }
        for line in [
            "",
            ";x",
            " 5",
            "-5",
            "+5",
            "0x5",
            "5 5",
            "g",
            "10000000000000000",
            "\u{665}",
        ] {
            assert!(chunk_size(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
