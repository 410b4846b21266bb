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
    /// 0 or 1: the digit behind `HTTP/1.`.
    pub version: u8,
    pub status: u16,
    pub reason: String,
    /// In the order they came.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, whatever the header says.
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
            Self::TooManyFields => write!(f, "malformed header: more than {MAX_FIELDS} fields"),
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

/// Whether an answer that begins like this may still turn out to be HTTP/1.
pub fn may_be_http(start: &[u8]) -> bool {
    const MAGIC: &[u8] = b"HTTP/1.";
    let n = start.len().min(MAGIC.len());
    start[..n] == MAGIC[..n]
}

impl Head {
    /// Reads a header without the empty line that ends it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadAnswer> {
        if !may_be_http(bytes) {
            return Err(BadAnswer::NotHttp);
        }
        let whole = [bytes, b"\r\n\r\n"].concat();
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(&whole) {
            Ok(httparse::Status::Complete(used)) if used == whole.len() => {}
            Ok(_) => return Err(BadAnswer::Header("it ends too early")),
            Err(error) => return Err(error.into()),
        }
        let (Some(version), Some(status)) = (answer.version, answer.code) else {
            return Err(BadAnswer::NotHttp);
        };
        if !(100..=599).contains(&status) {
            return Err(BadAnswer::Header("no such status"));
        }
        Ok(Self {
            version,
            status,
            reason: answer.reason.unwrap_or_default().to_owned(),
            fields: answer
                .headers
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
        })
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Something provisional, with the real answer still to come.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
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

impl From<httparse::Error> for BadAnswer {
    fn from(error: httparse::Error) -> Self {
        use httparse::Error as E;
        Self::Header(match error {
            E::HeaderName => "a field's name",
            E::HeaderValue => "a field's value",
            E::NewLine => "a line's end",
            E::Status => "the status line",
            E::Version => return Self::NotHttp,
            E::TooManyHeaders => return Self::TooManyFields,
            E::Token => "an illegal character",
        })
    }
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
        for (bytes, error) in [
            (&b""[..], BadAnswer::Header("it ends too early")),
            (b"SSH-2.0-OpenSSH", BadAnswer::NotHttp),
            (b"HTTP/2 200", BadAnswer::NotHttp),
            (b"HTTP/1.7 200 OK", BadAnswer::NotHttp),
            (b"HTTP/1.1 abc", BadAnswer::Header("the status line")),
            (b"HTTP/1.1 999 X", BadAnswer::Header("no such status")),
            (
                b"HTTP/1.1 200 OK\r\nno colon",
                BadAnswer::Header("a field's name"),
            ),
            (
                b"HTTP/1.1 200 OK\r\na b: c",
                BadAnswer::Header("a field's name"),
            ),
            (
                b"HTTP/1.1 200 OK\r\na: \x01",
                BadAnswer::Header("a field's value"),
            ),
            (
                b"HTTP/1.1 200 OK\n\nearly",
                BadAnswer::Header("it ends too early"),
            ),
            (many.as_bytes(), BadAnswer::TooManyFields),
        ] {
            assert_eq!(Head::parse(bytes), Err(error), "{}", bytes.escape_ascii());
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
