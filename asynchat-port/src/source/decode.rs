//! From bytes to text, as Python does: a byte order mark, a cookie (PEP 263), or UTF-8 (PEP 3120).

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED};

/// The text of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// The text. Lines end with a line feed.
    pub text: String,
    /// The reason why characters may be wrong.
    pub doubt: Option<String>,
}

/// The text of a file, or the reason why it has none.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    // The mark of UTF-32 begins as that of UTF-16.
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err("is UTF-32, which Python does not read".to_owned());
    }
    let bytes = match Encoding::for_bom(bytes) {
        Some((encoding, _)) if encoding == UTF_16LE || encoding == UTF_16BE => {
            return Err("is UTF-16, which Python does not read".to_owned());
        }
        Some((_, length)) => &bytes[length..],
        None => bytes,
    };
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(format!("is no text: byte {at} is 0"));
    }
    let (text, doubt) = match cookie(bytes) {
        None => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (
                latin_1(bytes),
                Some("is not UTF-8 and names no encoding: read as Latin-1".to_owned()),
            ),
        },
        Some(name) => by_name(bytes, name),
    };
    Ok(Decoded {
        text: line_feeds(text),
        doubt,
    })
}

/// `coding: NAME` or `coding=NAME` in a comment of the first two lines, of which the first may only be a comment or blank.
fn cookie(bytes: &[u8]) -> Option<&str> {
    for line in bytes
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .filter(|line| !line.is_empty())
        .take(2)
    {
        let line = line.trim_ascii_start();
        if let Some(comment) = line.strip_prefix(b"#") {
            let found = memchr::memmem::find_iter(comment, "coding")
                .find_map(|at| name(&comment[at + 6..]));
            if found.is_some() {
                return found;
            }
        } else if !line.is_empty() {
            return None;
        }
    }
    None
}

fn name(rest: &[u8]) -> Option<&str> {
    let rest = rest
        .strip_prefix(b":")
        .or_else(|| rest.strip_prefix(b"="))?
        .trim_ascii_start();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let length = rest.iter().take_while(|byte| is_part(byte)).count();
    std::str::from_utf8(&rest[..length])
        .ok()
        .filter(|name| !name.is_empty())
}

/// Labels of the web that are no encodings of a Python file: its first lines are ASCII.
static REFUSED: [&Encoding; 4] = [UTF_16LE, UTF_16BE, REPLACEMENT, X_USER_DEFINED];

fn by_name(bytes: &[u8], name: &str) -> (String, Option<String>) {
    let normal = normal(name);
    if normal == "latin1" {
        return (latin_1(bytes), None);
    }
    let known = Encoding::for_label(normal.as_bytes());
    let Some(encoding) = known.filter(|encoding| !REFUSED.contains(encoding)) else {
        return (
            latin_1(bytes),
            Some(format!(
                "names the unknown encoding {name}: read as Latin-1"
            )),
        );
    };
    match encoding.decode_without_bom_handling(bytes) {
        (text, false) => (text.into_owned(), None),
        (_, true) if encoding == UTF_8 => (
            latin_1(bytes),
            Some("is not UTF-8: read as Latin-1".to_owned()),
        ),
        (text, true) => (
            text.into_owned(),
            Some(format!("has bytes that are not {name}")),
        ),
    }
}

/// Python's names of codecs are not all labels of the WHATWG's encodings.
fn normal(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let begins = |start: &str| name == start || name.starts_with(&format!("{start}-"));
    // Emacs writes `utf-8-unix`.
    if begins("utf-8") {
        "utf-8".to_owned()
    } else if begins("latin-1") || begins("iso-8859-1") || begins("iso-latin-1") || name == "latin1"
    {
        "latin1".to_owned()
    } else if name == "mac-roman" {
        "macintosh".to_owned()
    } else if let Some(number) = name.strip_prefix("latin-") {
        format!("latin{number}")
    } else {
        name
    }
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The grammar knows no line that ends with a carriage return alone. Positions stay as they are.
fn line_feeds(text: String) -> String {
    let bytes = text.as_bytes();
    let is_alone = |at: usize| bytes.get(at + 1) != Some(&b'\n');
    if memchr::memchr_iter(b'\r', bytes).any(is_alone) {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], text: &str, doubt: Option<&str>) {
        let decoded = decode(bytes);
        let (text, doubt) = (text.to_owned(), doubt.map(str::to_owned));
        assert_eq!(decoded, Ok(Decoded { text, doubt }));
    }

    #[test]
    fn a_file_is_read_in_the_encoding_that_python_takes() {
        check("\u{feff}é".as_bytes(), "é", None);
        check("é".as_bytes(), "é", None);
        check(
            b"# -*- coding: latin-1 -*-\n\xe9\x80",
            "# -*- coding: latin-1 -*-\né\u{80}",
            None,
        );
        check(
            b"#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\n\xc1",
            "#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\nа",
            None,
        );
        check(
            b"#coding:utf_8-unix\n\xc3\xa9",
            "#coding:utf_8-unix\né",
            None,
        );
        check(b"#coding=cp1252\r\n\x80", "#coding=cp1252\r\n€", None);
        // Only the first two lines count, and only comments.
        check(
            b"x = 1\n# coding: koi8-r\n\xc3\xa9",
            "x = 1\n# coding: koi8-r\né",
            None,
        );
        check(b"a\rb\r\nc", "a\nb\nc", None);
    }

    #[test]
    fn a_doubtful_encoding_is_reported() {
        check(
            b"\xe9",
            "é",
            Some("is not UTF-8 and names no encoding: read as Latin-1"),
        );
        check(
            b"# coding: utf-8\n\xe9",
            "# coding: utf-8\né",
            Some("is not UTF-8: read as Latin-1"),
        );
        check(
            b"# coding: rot13\n\xe9",
            "# coding: rot13\né",
            Some("names the unknown encoding rot13: read as Latin-1"),
        );
        for name in [
            "utf-16",
            "utf-16be",
            "iso-2022-kr",
            "replacement",
            "x-user-defined",
        ] {
            let line = format!("# coding: {name}\n");
            let doubt = format!("names the unknown encoding {name}: read as Latin-1");
            let bytes = [line.as_bytes(), b"\xe9"].concat();
            check(&bytes, &format!("{line}é"), Some(&doubt));
        }
        check(
            b"# coding: euc-jp\n\xff",
            "# coding: euc-jp\n\u{fffd}",
            Some("has bytes that are not euc-jp"),
        );
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let cases: [(&[u8], &str); 5] = [
            (b"ab\0", "is no text: byte 2 is 0"),
            (b"\xff\xfea\0", "is UTF-16, which Python does not read"),
            (b"\xfe\xff\0a", "is UTF-16, which Python does not read"),
            (
                b"\xff\xfe\0\0a\0\0\0",
                "is UTF-32, which Python does not read",
            ),
            (
                b"\0\0\xfe\xff\0\0\0a",
                "is UTF-32, which Python does not read",
            ),
        ];
        for (bytes, reason) in cases {
            assert_eq!(decode(bytes), Err(reason.to_owned()), "{bytes:?}");
        }
    }
}
