//! APOP (RFC 1939, 7): a digest in place of the password.

use std::fmt::Write;

use md5::{Digest, Md5};

/// The timestamp of a greeting. It is a message id (RFC 1939, 7; RFC 5322, 3.6.4) in printable ASCII: a server in the middle
/// that chooses other bytes could find out the password from a collision of MD5.
pub fn timestamp(greeting: &str) -> Option<&str> {
    let begin = greeting.find('<')?;
    let end = begin + greeting[begin..].find('>')?;
    let (left, right) = greeting[begin + 1..end].split_once('@')?;
    let is_half = |half: &str| {
        !half.is_empty()
            && half
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<@".contains(&byte))
    };
    (is_half(left) && is_half(right)).then_some(&greeting[begin..=end])
}

/// The proof that one knows the password, in hexadecimal digits.
pub fn digest(timestamp: &str, password: &str) -> String {
    let mut text = String::new();
    for byte in Md5::new()
        .chain_update(timestamp)
        .chain_update(password)
        .finalize()
    {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_rfc() {
        let greeting = "POP3 server ready <1896.697170952@dbc.mtview.ca.us>";
        let timestamp = timestamp(greeting).expect("a timestamp");
        assert_eq!(timestamp, "<1896.697170952@dbc.mtview.ca.us>");
        assert_eq!(
            digest(timestamp, "tanstaaf"),
            "c4c9334bac560ecc979e58001b3e22fb"
        );
    }

    #[test]
    fn a_timestamp_is_a_message_id() {
        for (greeting, expected) in [
            ("ready", None),
            ("ready <1@x>", Some("<1@x>")),
            ("<1@x> <2@x>", Some("<1@x>")),
            ("ready <1@x", None),
            ("ready 1@x>", None),
            ("ready <>", None),
            ("ready <1>", None),
            ("ready <@x>", None),
            ("ready <1@>", None),
            ("ready <1@x@y>", None),
            ("ready <1 2@x>", None),
            ("ready <1<2@x>", None),
            ("ready <1\x012@x>", None),
            ("ready <1\u{fffd}@x>", None),
            ("ready <ä@x>", None),
        ] {
            assert_eq!(timestamp(greeting), expected, "{greeting}");
        }
    }
}
