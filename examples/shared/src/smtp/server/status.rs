//! The reply that decides on a message or a recipient.

use std::{borrow::Cow, fmt};

/// A reply of one line: a code of RFC 5321, 4.2.3, and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: u16,
    text: Cow<'static, str>,
}

impl Status {
    pub const OK: Self = Self {
        code: 250,
        text: Cow::Borrowed("OK"),
    };

    /// The codes are 2xx, 4xx (try again) and 5xx; 421 ends the connection. What is not printable ASCII is replaced.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    pub fn code(&self) -> u16 {
        self.code
    }

    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, ascii(&self.text))
    }
}

/// Text of strangers in a reply, which is ASCII (RFC 5321, 4.2).
pub(super) fn ascii(text: &str) -> Cow<'_, str> {
    let is_wrong = |c: char| !c.is_ascii_graphic() && c != ' ';
    match text.contains(is_wrong) {
        true => text.replace(is_wrong, "?").into(),
        false => text.into(),
    }
}
