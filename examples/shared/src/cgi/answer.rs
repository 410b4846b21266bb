//! What a script answers: the header before its document, and what the server is to do about it (RFC 3875, 6). Pure.
//!
//! Scripts are often careless with what a client sent them. A header that a client could have made longer is refused
//! wherever two readers could see different answers in it.

use std::fmt;

use crate::http::{decimal, is_token};

/// Bytes of a script's header, its line ends included.
pub const HEADER: usize = 32 * 1024;
/// Fields of a script's header.
pub const FIELDS: usize = 100;
/// Bytes of the status line of a script that makes its own header (`nph-`).
pub const STATUS_LINE: usize = 1024;

/// What a header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This head goes to the client, and the rest of the output behind it.
    Document(Head),
    /// The server answers as if the client had asked for this path and query (6.2.2). The rest of the output is not used.
    Local(String),
}

/// A head for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// From 200 to 599.
    pub status: u16,
    /// The script's own words behind the status.
    pub reason: Option<String>,
    /// In the order they came, without those that are the server's.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Bytes of the document.
    pub length: Option<u64>,
}

impl Head {
    /// Whether a document may follow (RFC 9110, 15.3.5 and 15.4.5).
    pub fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

/// Why an answer is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// Neither Content-Type, Location nor Status.
    Nothing,
    /// The output ended in the header.
    CutShort,
    TooLong,
    TooManyFields,
    /// Not `name: value`.
    Line(String),
    /// A field that a script may send once, sent twice.
    Twice(&'static str),
    Status(String),
    Location(String),
    ContentLength(String),
    ContentType,
    /// The length of an answer is the server's to mark.
    TransferEncoding,
    StatusLine(String),
    /// The output of a script that makes its own header ended in the first line.
    NoStatusLine,
    /// More bytes of a document are announced than this limit.
    TooLarge(u64),
    /// More bytes of a document came than are allowed.
    OutputLimit,
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the header has no Content-Type, Location or Status"),
            Self::CutShort => {
                f.write_str("the output ended before the empty line behind the header")
            }
            Self::TooLong => write!(f, "the header has more than {HEADER} bytes"),
            Self::TooManyFields => write!(f, "the header has more than {FIELDS} fields"),
            Self::Line(line) => write!(f, "the header has the line \"{line}\""),
            Self::Twice(name) => write!(f, "the header has {name} twice"),
            Self::Status(value) => write!(f, "the header has the Status \"{value}\""),
            Self::Location(value) => write!(f, "the header has the Location \"{value}\""),
            Self::ContentLength(value) => {
                write!(f, "the header has the Content-Length \"{value}\"")
            }
            Self::ContentType => f.write_str("the header has an empty Content-Type"),
            Self::TransferEncoding => f.write_str("the header has a Transfer-Encoding"),
            Self::StatusLine(line) => write!(
                f,
                "the output begins with \"{line}\", not with a status line of HTTP"
            ),
            Self::NoStatusLine => f.write_str("the output ended before a status line"),
            Self::TooLarge(limit) => write!(
                f,
                "the header announces more than {limit} bytes (--max-answer)"
            ),
            Self::OutputLimit => f.write_str("the output has more bytes than --max-answer"),
        }
    }
}

impl std::error::Error for BadAnswer {}

/// Collects a header from pieces of output.
#[derive(Debug, Default)]
pub struct HeaderReader {
    header: Vec<u8>,
    /// Where the last line begins.
    line: usize,
}

impl HeaderReader {
    /// Takes output up to the end of the header; with the answer comes the number of bytes taken from `data`.
    pub fn collect(&mut self, data: &[u8]) -> Result<Option<(Answer, usize)>, BadAnswer> {
        let mut taken = 0;
        while let Some(end) = memchr::memchr(b'\n', &data[taken..]) {
            self.append(&data[taken..=taken + end])?;
            taken += end + 1;
            if matches!(&self.header[self.line..], b"\n" | b"\r\n") {
                self.header.truncate(self.line);
                return answer(&self.header).map(|answer| Some((answer, taken)));
            }
            self.line = self.header.len();
        }
        self.append(&data[taken..])?;
        Ok(None)
    }

    fn append(&mut self, data: &[u8]) -> Result<(), BadAnswer> {
        if self.header.len() + data.len() > HEADER {
            return Err(BadAnswer::TooLong);
        }
        self.header.extend_from_slice(data);
        Ok(())
    }
}

/// Collects the status line of a script that makes its own header, which is checked and not changed (5).
#[derive(Debug, Default)]
pub struct StatusLineReader {
    line: Vec<u8>,
}

impl StatusLineReader {
    /// Takes output; with the first line complete and good, its status, and all that was taken so far.
    pub fn collect(&mut self, data: &[u8]) -> Result<Option<(u16, Vec<u8>)>, BadAnswer> {
        self.line.extend_from_slice(data);
        let line_end = memchr::memchr(b'\n', &self.line);
        if line_end.unwrap_or(self.line.len()) > STATUS_LINE {
            return Err(BadAnswer::StatusLine(shown(&self.line)));
        }
        let Some(end) = line_end else {
            return Ok(None);
        };
        match status_of_line(trim_cr(&self.line[..end])) {
            Some(status) => Ok(Some((status, std::mem::take(&mut self.line)))),
            None => Err(BadAnswer::StatusLine(shown(&self.line[..end]))),
        }
    }
}

fn status_of_line(line: &[u8]) -> Option<u16> {
    let [b'0' | b'1', b' ', rest @ ..] = line.strip_prefix(b"HTTP/1.")? else {
        return None;
    };
    let (digits, reason) = rest.split_at_checked(3)?;
    let is_good = matches!(digits[0], b'2'..=b'5')
        && matches!(reason.first(), None | Some(b' '))
        && reason.iter().all(|&byte| is_text(byte));
    let status = decimal(digits).filter(|_| is_good)?;
    u16::try_from(status).ok()
}

/// Judges a header without the empty line behind it.
fn answer(header: &[u8]) -> Result<Answer, BadAnswer> {
    let mut cgi = Fields::default();
    let mut fields = Vec::new();
    let mut lines = header
        .strip_suffix(b"\n")
        .unwrap_or(header)
        .split(|&byte| byte == b'\n');
    if header.is_empty() {
        return Err(BadAnswer::Nothing);
    }
    for (number, line) in lines.by_ref().map(trim_cr).enumerate() {
        if number == FIELDS {
            return Err(BadAnswer::TooManyFields);
        }
        let (name, value) = field(line).ok_or_else(|| BadAnswer::Line(shown(line)))?;
        if !cgi.takes(name, value)? && !is_the_servers(name) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    cgi.answer(fields)
}

/// The fields that mean something to the server.
#[derive(Default)]
struct Fields<'a> {
    content_type: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Whether it is one of them.
    fn takes(&mut self, name: &str, value: &'a [u8]) -> Result<bool, BadAnswer> {
        let of_server = [
            ("Content-Type", &mut self.content_type),
            ("Location", &mut self.location),
            ("Status", &mut self.status),
            ("Content-Length", &mut self.length),
        ];
        if name.eq_ignore_ascii_case("Transfer-Encoding") {
            return Err(BadAnswer::TransferEncoding);
        }
        for (known, place) in of_server {
            if name.eq_ignore_ascii_case(known) {
                return match place.replace(value) {
                    None => Ok(true),
                    Some(_) => Err(BadAnswer::Twice(known)),
                };
            }
        }
        Ok(false)
    }

    fn answer(self, mut fields: Vec<(String, Vec<u8>)>) -> Result<Answer, BadAnswer> {
        let Self {
            content_type,
            location,
            status,
            length,
        } = self;
        if content_type.is_none() && location.is_none() && status.is_none() {
            return Err(BadAnswer::Nothing);
        }
        let bad_length = |digits: &[u8]| BadAnswer::ContentLength(shown(digits));
        let length = length
            .map(|digits| decimal(digits).ok_or_else(|| bad_length(digits)))
            .transpose()?;
        let status = status.map(read_status).transpose()?;
        if let Some(place) = location {
            let bad = || BadAnswer::Location(shown(place));
            let text = std::str::from_utf8(place).map_err(|_| bad())?;
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(bad());
            }
            if text.starts_with('/') && status.is_none() {
                return match text.contains('#') {
                    false => Ok(Answer::Local(text.to_owned())),
                    true => Err(bad()),
                };
            }
            fields.insert(0, ("Location".into(), place.to_owned()));
        }
        match content_type {
            Some(b"") => return Err(BadAnswer::ContentType),
            Some(kind) => fields.insert(0, ("Content-Type".into(), kind.to_owned())),
            None => {}
        }
        let default = if location.is_some() { 302 } else { 200 };
        let (status, reason) = status.unwrap_or((default, None));
        Ok(Answer::Document(Head {
            status,
            reason,
            fields,
            length,
        }))
    }
}

/// `404 Not Found`, or the number alone. A status below 200 would have the client wait for another answer.
fn read_status(value: &[u8]) -> Result<(u16, Option<String>), BadAnswer> {
    let bad = || BadAnswer::Status(shown(value));
    let (digits, reason) = value.split_at(value.len().min(3));
    let status = decimal(digits)
        .filter(|_| digits.len() == 3)
        .ok_or_else(bad)?;
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (200..600).contains(status))
        .ok_or_else(bad)?;
    match reason {
        [] => Ok((status, None)),
        [b' ', ..] => {
            let reason = std::str::from_utf8(reason).map_err(|_| bad())?.trim();
            Ok((status, (!reason.is_empty()).then(|| reason.to_owned())))
        }
        _ => Err(bad()),
    }
}

fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
    let is_good = !name.is_empty()
        && name.iter().all(|&byte| is_token(byte))
        && value.iter().all(|&byte| is_text(byte));
    is_good.then(|| std::str::from_utf8(name).ok().map(|name| (name, value)))?
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// Fields about the connection, which is the server's (6.3.5), and fields that the server makes itself.
fn is_the_servers(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Date",
        "Server",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        // Reserved for words between script and server (6.3.5).
        || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("X-CGI-"))
}

/// Other white space than this has no place in a value.
fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The beginning, for a log.
fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer and what follows it, whole and byte by byte.
    fn read(output: &[u8]) -> Result<(Answer, Vec<u8>), BadAnswer> {
        let mut outcomes = [output.len().max(1), 1].map(|size| {
            let mut reader = HeaderReader::default();
            let mut at = 0;
            for piece in output.chunks(size) {
                if let Some((answer, taken)) = reader.collect(piece)? {
                    return Ok((answer, output[at + taken..].to_vec()));
                }
                at += piece.len();
            }
            Err(BadAnswer::CutShort)
        });
        assert_eq!(outcomes[0], outcomes[1], "{}", output.escape_ascii());
        std::mem::replace(&mut outcomes[0], Err(BadAnswer::CutShort))
    }

    fn document(output: &str) -> Head {
        match read(output.as_bytes()) {
            Ok((Answer::Document(head), _)) => head,
            other => panic!("{output:?}: {other:?}"),
        }
    }

    #[test]
    fn a_header_ends_with_an_empty_line_of_either_kind() {
        for output in [
            "Content-Type: text/plain\n\nbody",
            "Content-Type: text/plain\r\n\r\nbody",
            "content-type:text/plain \r\n\nbody",
            "CONTENT-TYPE:\ttext/plain\n\r\nbody",
        ] {
            let (answer, rest) = read(output.as_bytes()).expect(output);
            let fields = vec![("Content-Type".to_owned(), b"text/plain".to_vec())];
            let head = Head {
                status: 200,
                reason: None,
                fields,
                length: None,
            };
            assert_eq!(
                (answer, &rest[..]),
                (Answer::Document(head), &b"body"[..]),
                "{output:?}"
            );
        }
    }

    #[test]
    fn a_status_is_three_digits_of_a_final_answer() {
        for (value, status, reason) in [
            ("404 Not Found", 404, Some("Not Found")),
            ("  599  Own  words ", 599, Some("Own  words")),
            ("200", 200, None),
            ("200 ", 200, None),
        ] {
            let head = document(&format!("Status: {value}\n\n"));
            assert_eq!(
                (head.status, head.reason.as_deref()),
                (status, reason),
                "{value:?}"
            );
        }
        for value in [
            "",
            "100 Continue",
            "101",
            "199",
            "600",
            "999",
            "20",
            "2000",
            "200OK",
            "+20",
            "0x1",
            "ok 200",
            "-1",
            "404\u{e9}",
        ] {
            let output = format!("Content-Type: a/b\nStatus: {value}\n\n");
            assert!(
                matches!(read(output.as_bytes()), Err(BadAnswer::Status(_))),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_location_is_for_the_server_if_it_is_a_path_alone() {
        for (output, expected) in [
            ("Location: /a?b=c\n\n", "/a?b=c"),
            ("Content-Type: a/b\nLocation: //host/a\n\n", "//host/a"),
        ] {
            assert_eq!(
                read(output.as_bytes()).map(|(answer, _)| answer),
                Ok(Answer::Local(expected.into()))
            );
        }
        for (output, status) in [
            ("Location: http://a.example/b#c\n\n", 302),
            ("Location: b.cgi\n\n", 302),
            ("Location: /b\nStatus: 303 See Other\n\n", 303),
            ("Status: 201\nLocation: /b\nContent-Type: a/b\n\n", 201),
        ] {
            let head = document(output);
            assert_eq!(head.status, status, "{output:?}");
            assert!(
                head.fields.iter().any(|(name, _)| name == "Location"),
                "{output:?}"
            );
        }
        for value in ["", "/a b", "/a\tb", "/\u{e9}", "/a#b", "http://a b/"] {
            let output = format!("Location: {value}\n\n");
            assert!(
                matches!(read(output.as_bytes()), Err(BadAnswer::Location(_))),
                "{value:?}"
            );
        }
    }

    #[test]
    fn fields_of_the_connection_are_not_a_scripts() {
        let head = document(
            "Content-Type: a/b\nConnection: close\nKeep-Alive: 1\nX-CGI-Secret: 1\nDate: x\nServer: y\nupgrade: h2c\n\
             Set-Cookie: a=1\nSet-Cookie: b=2\nX-CGI: kept\n\n",
        );
        let names: Vec<_> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Content-Type", "Set-Cookie", "Set-Cookie", "X-CGI"]);
    }

    #[test]
    fn a_length_is_digits_once() {
        assert_eq!(
            document("Content-Type: a/b\nContent-Length: 12\n\n").length,
            Some(12)
        );
        for value in ["", "-1", "+1", "1,1", "0x1", "1 2", "18446744073709551616"] {
            let output = format!("Content-Type: a/b\nContent-Length: {value}\n\n");
            assert!(
                matches!(read(output.as_bytes()), Err(BadAnswer::ContentLength(_))),
                "{value:?}"
            );
        }
        assert!(!document("Status: 204\n\n").has_body() && !document("Status: 304\n\n").has_body());
    }

    #[test]
    fn an_answer_that_could_be_two_is_refused() {
        use BadAnswer as B;
        type Is = fn(&B) -> bool;
        let line: Is = |bad| matches!(bad, B::Line(_));
        let cases: [(&[u8], Is); 21] = [
            (b"\n", |bad| *bad == B::Nothing),
            (b"\r\nContent-Type: a/b\n\n", |bad| *bad == B::Nothing),
            (b"X: y\n\n", |bad| *bad == B::Nothing),
            (b"text/html\n\n", line),
            (b"<html>\n\n", line),
            (b"Content-Type: a/b\n folded\n\n", line),
            (b"Content-Type: a/b\nX: \0\n\n", line),
            (b"Content-Type: a/b\nX: a\rY: b\n\n", line),
            (b"Content-Type: a/b\r\r\n\n", line),
            (b"Content-Type: a/b\nX: \x1b[2J\n\n", line),
            (b"Content-Type : a/b\n\n", line),
            (b": a\n\n", line),
            (b"HTTP/1.1 200 OK\nContent-Type: a/b\n\n", line),
            (b"Content-Type: a/b\nContent-Type: a/b\n\n", |bad| {
                *bad == B::Twice("Content-Type")
            }),
            (b"Status: 200\nstatus: 404\n\n", |bad| {
                *bad == B::Twice("Status")
            }),
            (b"Location: /\nLocation: /\n\n", |bad| {
                *bad == B::Twice("Location")
            }),
            (
                b"Status: 200\nContent-Length: 1\nContent-Length: 1\n\n",
                |bad| *bad == B::Twice("Content-Length"),
            ),
            (b"Status: 200\nTransfer-Encoding: chunked\n\n", |bad| {
                *bad == B::TransferEncoding
            }),
            (b"Content-Type:\n\n", |bad| *bad == B::ContentType),
            (b"Content-Type: a/b\n", |bad| *bad == B::CutShort),
            (b"", |bad| *bad == B::CutShort),
        ];
        for (output, is) in cases {
            let refused = read(output).expect_err("a bad answer");
            assert!(is(&refused), "{}: {refused:?}", output.escape_ascii());
        }
    }

    #[test]
    fn a_header_has_a_limit_of_bytes_and_of_fields() {
        let long = |bytes: usize| {
            let start = "Content-Type: a/b\nX: ";
            format!("{start}{}\n\n", "x".repeat(bytes - start.len() - 2))
        };
        assert!(read(long(HEADER).as_bytes()).is_ok());
        assert_eq!(read(long(HEADER + 1).as_bytes()), Err(BadAnswer::TooLong));
        let many = |fields: usize| format!("Content-Type: a/b\n{}\n", "X: y\n".repeat(fields - 1));
        assert!(read(many(FIELDS).as_bytes()).is_ok());
        assert_eq!(
            read(many(FIELDS + 1).as_bytes()),
            Err(BadAnswer::TooManyFields)
        );
        // What never ends is refused at the limit, not kept.
        let mut reader = HeaderReader::default();
        let refused = (0..)
            .map(|_| reader.collect(&[b'x'; 4096]))
            .find(Result::is_err);
        assert_eq!(refused, Some(Err(BadAnswer::TooLong)));
    }

    #[test]
    fn a_log_shows_no_control_characters() {
        let refused = read(b"\x1b[2J\n\n").expect_err("no field");
        assert_eq!(refused.to_string(), "the header has the line \"\\x1b[2J\"");
    }

    #[test]
    fn a_script_that_makes_its_own_header_begins_with_a_status_line() {
        let read = |output: &[u8]| {
            let mut outcomes = [output.len(), 1].map(|size| {
                let mut reader = StatusLineReader::default();
                let mut pieces = output
                    .chunks(size)
                    .map(|piece| reader.collect(piece).map(|line| line.is_some()));
                pieces
                    .find(|outcome| *outcome != Ok(false))
                    .unwrap_or(Ok(false))
            });
            assert_eq!(outcomes[0], outcomes[1], "{}", output.escape_ascii());
            std::mem::replace(&mut outcomes[0], Ok(false))
        };
        for good in [
            &b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"[..],
            b"HTTP/1.0 404\n",
            b"HTTP/1.1 599 \xe9\n",
        ] {
            assert_eq!(read(good), Ok(true), "{}", good.escape_ascii());
        }
        for bad in [
            &b"HTTP/1.1 100 Continue\r\n"[..],
            b"HTTP/1.1 600 x\r\n",
            b"HTTP/2 200 OK\r\n",
            b"HTTP/1.1  200 OK\r\n",
            b"HTTP/1.1 2000\r\n",
            b"HTTP/1.1 200 \x1b\r\n",
            b"HTTP/1.1 200 OK\rX\n",
            b"Content-Type: a/b\n",
            b"\n",
            &[b'x'; STATUS_LINE + 1],
        ] {
            assert!(
                matches!(read(bad), Err(BadAnswer::StatusLine(_))),
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(read(b"HTTP/1.1 200 OK"), Ok(false));
    }
}
