//! Escapes: percent signs in URLs, entities in HTML.

use std::{borrow::Cow, fmt};

/// Text in HTML, element or quoted attribute.
pub use html_escape::encode_quoted_attribute as html;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// Everything but the characters that mean themselves in every part of a URL (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One segment of a path, for a URL.
pub fn segment(name: &[u8]) -> impl fmt::Display {
    percent_encode(name, RESERVED)
}

/// Undoes percent escapes; `None` if one of them is none.
pub fn decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest[at + 1..] {
            [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return None,
        }
        rest = &rest[at + 3..];
    }
    Some(percent_decode(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding() {
        let name = "a b/ü?%#&;\u{0}\"'~-._";
        let encoded = segment(name.as_bytes()).to_string();
        assert_eq!(encoded, "a%20b%2F%C3%BC%3F%25%23%26%3B%00%22%27~-._");
        assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(name.as_bytes()));
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for bad in ["%", "%4", "a%zz", "%%41", "%41%"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert!(matches!(
            decode(b"plain+text"),
            Some(Cow::Borrowed(b"plain+text"))
        ));
        assert_eq!(decode(b"%41%6a").as_deref(), Some(&b"Aj"[..]));
    }

    #[test]
    fn html_has_no_markup_left() {
        assert_eq!(
            html("<a href=\"x\">it's & all</a>"),
            "&lt;a href=&quot;x&quot;&gt;it&#x27;s &amp; all&lt;/a&gt;"
        );
    }
}
