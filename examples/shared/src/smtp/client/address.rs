//! A mailbox, as an envelope names it.

use std::{fmt, str::FromStr};

use crate::text::is_unprintable;

/// Bytes of a path are at most 256, with its angle brackets (RFC 5321, 4.5.3.1.3).
const MAX_ADDRESS: usize = 254;

/// `local-part@domain`, or a local part alone, as `postmaster`. It ends neither the path it is put into nor the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only SMTPUTF8 can carry it.
    pub fn is_international(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl FromStr for Address {
    type Err = String;

    /// Also in angle brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
        let address = bare.unwrap_or(text);
        let wrong = |why: &str| Err(why.to_owned());
        if address.is_empty() {
            return wrong("an address is empty");
        }
        if address.len() > MAX_ADDRESS {
            return Err(format!("an address has more than {MAX_ADDRESS} bytes"));
        }
        if address.contains(is_unprintable) {
            return wrong("an address has no control characters");
        }
        let Some(ends) = end_of_local_part(address) else {
            return wrong("the quotes of an address do not end");
        };
        let (local, rest) = address.split_at(ends);
        let domain = rest.strip_prefix('@');
        let outside = |c: char| c.is_whitespace() || "<>\"".contains(c);
        let quoted = local.starts_with('"');
        if local.is_empty() || domain == Some("") {
            return wrong("an address is LOCAL-PART@DOMAIN");
        }
        if !quoted && local.contains(outside) || domain.is_none() && !rest.is_empty() {
            return wrong("an address has no spaces and brackets outside quotes");
        }
        if domain.is_some_and(|domain| domain.contains(outside) || domain.contains('@')) {
            return wrong("the domain of an address is a name");
        }
        Ok(Self(address.into()))
    }
}

/// `None` if a quoted string does not end.
fn end_of_local_part(address: &str) -> Option<usize> {
    let Some(quoted) = address.strip_prefix('"') else {
        return Some(address.find('@').unwrap_or(address.len()));
    };
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    None
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_within_its_path() {
        for (text, address) in [
            ("a@x.example", "a@x.example"),
            ("<a@x.example>", "a@x.example"),
            ("postmaster", "postmaster"),
            ("a+b-c.d@[192.0.2.1]", "a+b-c.d@[192.0.2.1]"),
            ("\"a b>@\\\"\"@x.example", "\"a b>@\\\"\"@x.example"),
            ("j\u{f6}rg@x.example", "j\u{f6}rg@x.example"),
        ] {
            let parsed: Address = text.parse().expect(text);
            assert_eq!(parsed.as_str(), address);
        }
        let long = format!("{}@x.example", "a".repeat(250));
        for text in [
            "",
            "<>",
            "@x.example",
            "a@",
            "a b@x.example",
            "a@x example",
            "a>@x.example",
            "a@x.example> SIZE=1",
            "a@x.example\r\nDATA",
            "a@x.example\nDATA",
            "a\0@x.example",
            "a\u{202e}@x.example",
            "\"a@x.example",
            "\"a\\\"@x.example",
            "\"a\"b@x.example",
            "\"a\r\nDATA\"@x.example",
            "a@b@x.example",
            "a\u{2003}b@x.example",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
