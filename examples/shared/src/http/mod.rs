//! HTTP/1.1 without a program around it: heads and framing, dates, escapes, paths of files, the client, and the server's
//! side of a connection.

pub mod access_log;
pub mod answer_reader;
pub mod async_http;
pub mod auth;
pub mod authenticating;
pub mod body;
pub mod challenge;
pub mod coding;
pub mod consumer;
pub mod cookies;
pub mod date;
pub mod escape;
pub mod fields;
pub mod form;
pub mod forward_proxy;
mod incoming;
pub mod links;
pub mod netscape;
mod order;
pub mod paths;
pub mod proxy;
pub mod reader;
pub mod redirecting;
pub mod request;
pub mod request_handler;
pub mod response;
pub mod robots;
mod sending;
pub mod service;
pub mod smuggling;
pub mod status;
pub mod upload;
pub mod url;

pub use httparse::Header;
pub use sending::USER_AGENT;

/// The name of HTTP/1.1 among the protocols of TLS (RFC 7301, 6).
pub const ALPN: &[u8] = b"http/1.1";

/// The value of the first header of that name, without the white space around it.
pub fn header<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    all(headers, name).next()
}

/// The values of all headers of that name.
pub fn all<'a>(headers: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

/// The elements of a comma-separated header, over all its lines. For lists of tokens: knows no quoted strings.
pub fn list<'a>(headers: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    all(headers, name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a comma-separated header has the element `token`, in any case.
pub fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    list(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Reads a decimal number the way HTTP writes one: digits and nothing else.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How long a message with these headers says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither header is there.
    Unsaid,
    Length(u64),
    Chunked,
}

/// Why a message's framing cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFraming {
    /// Two readers could see two different messages in it.
    Ambiguous,
    /// A transfer coding that exists and is not known here.
    UnknownCoding,
}

/// Reads `Content-Length` and `Transfer-Encoding`, strictly: whatever another reader could understand differently
/// is refused (RFC 9112, 6.3 and 11.2).
pub fn framing(headers: &[Header<'_>], minor: u8) -> Result<Framing, BadFraming> {
    let mut lengths = all(headers, "content-length");
    let length = lengths.next();
    let coded = all(headers, "transfer-encoding").next().is_some();
    match (length, coded) {
        (None, false) => Ok(Framing::Unsaid),
        (Some(digits), false) if lengths.next().is_none() => decimal(digits)
            .map(Framing::Length)
            .ok_or(BadFraming::Ambiguous),
        (None, true) if minor > 0 => transfer_coding(headers),
        _ => Err(BadFraming::Ambiguous),
    }
}

fn transfer_coding(headers: &[Header<'_>]) -> Result<Framing, BadFraming> {
    let known = |coding: &[u8]| {
        [
            &b"gzip"[..],
            b"x-gzip",
            b"deflate",
            b"compress",
            b"x-compress",
        ]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(coding))
    };
    // Not `list`: an empty element is a sign of somebody being clever.
    let mut codings = all(headers, "transfer-encoding")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect::<Vec<_>>();
    match codings.pop() {
        Some(last) if last.eq_ignore_ascii_case(b"chunked") => {}
        _ => return Err(BadFraming::Ambiguous),
    }
    match codings.as_slice() {
        [] => Ok(Framing::Chunked),
        before if before.iter().all(|coding| known(coding)) => Err(BadFraming::UnknownCoding),
        _ => Err(BadFraming::Ambiguous),
    }
}

pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads the line before a chunk: its length in hexadecimal, then extensions, which nobody uses.
pub fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extensions) = line.split_at(digits);
    if digits.is_empty() || digits.len() > 15 || !are_extensions(extensions) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether these are any number of `;name`, `;name=token` and `;name="text"` (RFC 9112, 7.1.1), with the white space that
/// has to be tolerated before and behind each sign (RFC 9110, 5.6.3).
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(behind) = trim_blanks(rest).strip_prefix(b";") else {
            return false;
        };
        let Some(name) = skip_token(trim_blanks(behind)) else {
            return false;
        };
        rest = name;
        if let Some(value) = trim_blanks(rest).strip_prefix(b"=") {
            let value = trim_blanks(value);
            match skip_quoted(value).or_else(|| skip_token(value)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
    }
    true
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &text[blanks..]
}

/// What follows a token.
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&byte| is_token(byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a quoted string.
fn skip_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..]
                if *byte == b'\t' || !byte.is_ascii_control() =>
            {
                behind
            }
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Header<'a>> {
        let header = |&(name, value): &(&'a str, &'a str)| Header {
            name,
            value: value.as_bytes(),
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn header_names_have_no_case_and_values_no_space_around_them() {
        let headers = of(&[
            ("CoNnEcTiOn", " keep-alive , Upgrade\t"),
            ("connection", "x"),
        ]);
        assert_eq!(
            header(&headers, "Connection"),
            Some(&b"keep-alive , Upgrade"[..])
        );
        assert_eq!(list(&headers, "connection").count(), 3);
        assert!(has_token(&headers, "connection", "upgrade"));
        assert!(!has_token(&headers, "connection", "keep"));
        assert_eq!(header(&headers, "host"), None);
    }

    #[test]
    fn a_length_is_digits_once() {
        let framed = |pairs: &[(&str, &str)]| framing(&of(pairs), 1);
        assert_eq!(framed(&[]), Ok(Framing::Unsaid));
        assert_eq!(framed(&[("content-length", "007")]), Ok(Framing::Length(7)));
        for bad in [
            "",
            "-1",
            "+1",
            "1, 1",
            "0x10",
            "1 2",
            "18446744073709551616",
            "1.0",
        ] {
            let framing = framed(&[("Content-Length", bad)]);
            assert_eq!(framing, Err(BadFraming::Ambiguous), "{bad:?}");
        }
        let twice = [("Content-Length", "3"), ("content-length", "3")];
        assert_eq!(framed(&twice), Err(BadFraming::Ambiguous));
    }

    #[test]
    fn chunked_stands_alone_and_only_in_http_1_1() {
        let coded = |value| framing(&of(&[("Transfer-Encoding", value)]), 1);
        assert_eq!(coded("chunked"), Ok(Framing::Chunked));
        assert_eq!(coded("Chunked"), Ok(Framing::Chunked));
        assert_eq!(coded("gzip, chunked"), Err(BadFraming::UnknownCoding));
        for bad in [
            "",
            "gzip",
            "chunked, gzip",
            "xchunked",
            "chunked, chunked",
            ", chunked",
            "chunked,",
            "chunked;q=1",
            "\"chunked\"",
            "chunked\u{b}",
        ] {
            assert_eq!(coded(bad), Err(BadFraming::Ambiguous), "{bad:?}");
        }
        let both = of(&[("Transfer-Encoding", "chunked"), ("Content-Length", "3")]);
        assert_eq!(framing(&both, 1), Err(BadFraming::Ambiguous));
        let old = of(&[("Transfer-Encoding", "chunked")]);
        assert_eq!(framing(&old, 0), Err(BadFraming::Ambiguous));
    }

    #[test]
    fn a_chunk_size_is_hexadecimal_with_extensions_behind_a_semicolon() {
        for (line, size) in [
            ("0", 0),
            ("1a", 26),
            ("FF;name=\"va\\\"l;ue\"", 255),
            ("00000c;a;b=c;d=\"\"", 12),
            ("5 ; a = b\t;c", 5),
        ] {
            assert_eq!(chunk_size(line.as_bytes()), Some(size), "{line}");
        }
        for bad in [
            "",
            ";",
            "0x1",
            "-1",
            "1 ",
            " 1",
            "g",
            "1\n2",
            "fffffffffffffffff",
            "1;a\rb",
            "1;",
            "1;;a",
            "1;a;",
            "1; ",
            "1;a ",
            "1;a=",
            "1;=a",
            "1;a=b=c",
            "1;a b",
            "1;a@b",
            "1;a=\"b",
            "1;a=\"b\"c",
            "1;a=\"b\\",
            "1;a=\"\0\"",
            "1;\u{e9}",
        ] {
            assert_eq!(chunk_size(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
