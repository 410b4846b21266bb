//! A message, or a part of one: a header and a body.

use std::borrow::Cow;

use mail_parser::{
    Header, HeaderName, MessageParser, MimeHeaders,
    decoders::{
        base64::base64_decode, charsets::map::charset_decoder,
        quoted_printable::quoted_printable_decode,
    },
};
use memchr::{memchr_iter, memmem};

/// Bytes of a header: fields behind them are not seen.
const MAX_HEADER: usize = 256 * 1024;

pub(super) struct Entity<'a> {
    message: mail_parser::Message<'a>,
    body: &'a [u8],
}

impl<'a> Entity<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let (header, body) = split(bytes);
        let header = &header[..header.len().min(MAX_HEADER)];
        let parser = MessageParser::new()
            .with_mime_headers()
            .header_address(HeaderName::From)
            .header_address(HeaderName::To)
            .header_address(HeaderName::Cc)
            .header_text(HeaderName::Date)
            .header_text(HeaderName::Subject)
            .default_header_ignore();
        let message = parser.parse_headers(header).unwrap_or_default();
        Self { message, body }
    }

    pub(super) fn headers(&self) -> &[Header<'a>] {
        self.message
            .parts
            .first()
            .map_or(&[], |part| part.headers.as_slice())
    }

    /// `type/subtype` in lower case. Without one, or with half of one, it is text (RFC 2045, 5.2).
    pub(super) fn media_type(&self) -> String {
        let content = self.part().and_then(MimeHeaders::content_type);
        let whole = content.and_then(|content| Some((content.ctype(), content.subtype()?)));
        let (kind, subtype) = whole.unwrap_or(("text", "plain"));
        format!("{kind}/{subtype}").to_ascii_lowercase()
    }

    pub(super) fn is_attachment(&self) -> bool {
        let disposition = self.part().and_then(MimeHeaders::content_disposition);
        disposition.is_some_and(mail_parser::ContentType::is_attachment)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.part().and_then(MimeHeaders::attachment_name)
    }

    /// The body of a message within this one, or of the parts of a multipart: no encoding may be around them
    /// (RFC 2045, 6.4).
    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Without its transfer encoding. A body that is not in that encoding stays as it is.
    pub(super) fn decoded(&self) -> Cow<'a, [u8]> {
        let encoding = self
            .part()
            .and_then(MimeHeaders::content_transfer_encoding)
            .unwrap_or_default();
        let decoded = match encoding.to_ascii_lowercase().as_str() {
            "base64" => base64_decode(self.body),
            "quoted-printable" => quoted_printable_decode(self.body),
            _ => None,
        };
        decoded.map_or(Cow::Borrowed(self.body), Cow::Owned)
    }

    /// The text in its charset. What is no text in UTF-8 is replaced if the charset is not known.
    pub(super) fn text(&self) -> String {
        let bytes = self.decoded();
        let charset = self
            .part()
            .and_then(MimeHeaders::content_type)
            .and_then(|content| content.attribute("charset"));
        match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
            Some(decode) => decode(&bytes),
            None => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub(super) fn boundary(&self) -> Option<&str> {
        let content = self.part().and_then(MimeHeaders::content_type)?;
        let boundary = content.attribute("boundary")?;
        (content.ctype().eq_ignore_ascii_case("multipart") && !boundary.is_empty())
            .then_some(boundary)
    }

    fn part(&self) -> Option<&mail_parser::MessagePart<'a>> {
        self.message.parts.first()
    }
}

/// Header and body: an empty line is between them, or the header is all there is.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    for empty in [&b"\n"[..], b"\r\n"] {
        if let Some(body) = bytes.strip_prefix(empty) {
            return (b"", body);
        }
    }
    for at in memchr_iter(b'\n', bytes) {
        let (header, rest) = bytes.split_at(at + 1);
        if let Some(body) = rest
            .strip_prefix(b"\n")
            .or_else(|| rest.strip_prefix(b"\r\n"))
        {
            return (header, body);
        }
    }
    (bytes, b"")
}

/// The parts between delimiter lines (RFC 2046, 5.1.1). A last one without a close delimiter ends with the body.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = format!("--{boundary}");
    let mut rest = next_delimiter(body, delimiter.as_bytes()).and_then(|found| found.rest);
    std::iter::from_fn(move || {
        let part = rest?;
        match next_delimiter(part, delimiter.as_bytes()) {
            None => {
                rest = None;
                Some(part)
            }
            Some(found) => {
                rest = found.rest;
                Some(&part[..found.start])
            }
        }
    })
}

struct Delimiter<'a> {
    /// Where the line end before it begins: it belongs to the delimiter.
    start: usize,
    /// `None` behind the close delimiter.
    rest: Option<&'a [u8]>,
}

fn next_delimiter<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<Delimiter<'a>> {
    memmem::find_iter(body, delimiter).find_map(|at| {
        let (before, line) = body.split_at(at);
        if !matches!(before.last(), None | Some(b'\n')) {
            return None;
        }
        let line = &line[delimiter.len()..];
        let end = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        let (tail, rest) = line.split_at(end);
        let rest = match tail.trim_ascii() {
            b"" => Some(rest),
            b"--" => None,
            _ => return None,
        };
        let text = before.strip_suffix(b"\n").unwrap_or(before);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Some(Delimiter {
            start: text.len(),
            rest,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_between_lines_of_the_delimiter() {
        for (body, expected) in [
            (
                "preamble\r\n--b\r\none\r\n--b \r\n\r\ntwo\r\n--b--\r\nepilogue",
                &["one", "\r\ntwo"][..],
            ),
            (
                "--b\none\n--bc\n --b\nx--b\n--b--x\n--b--",
                &["one\n--bc\n --b\nx--b\n--b--x"],
            ),
            ("--b\none", &["one"]),
            ("--b\n--b\n--b--\n", &["", ""]),
            ("--b--\n", &[]),
            ("no parts", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> = parts(body.as_bytes(), "b")
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect();
            assert_eq!(found, expected, "{body:?}");
        }
    }

    #[test]
    fn a_header_ends_at_the_first_empty_line() {
        for (message, header, body) in [
            ("A: b\r\n\r\nc\n\nd", "A: b\r\n", "c\n\nd"),
            ("A: b\n\nc", "A: b\n", "c"),
            ("A: b\r\n", "A: b\r\n", ""),
            ("\nA: b", "", "A: b"),
            ("\r\nA: b", "", "A: b"),
            ("", "", ""),
        ] {
            assert_eq!(
                split(message.as_bytes()),
                (header.as_bytes(), body.as_bytes())
            );
        }
    }
}
