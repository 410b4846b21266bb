//! Commands, and how they are sent: strings that are no plain ASCII are literals, for which the server is asked first unless
//! it has LITERAL+ or LITERAL- (RFC 7888).

use std::{fmt, time::Duration};

use super::names::encode;

/// Bytes of a literal that LITERAL- takes without a question.
const SMALL: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Mailboxes whose names fit the pattern (`*`, `%`).
    List { pattern: String },
    /// Opens a mailbox, and leaves its messages as they are.
    Examine { mailbox: String },
    /// Opens a mailbox.
    Select { mailbox: String },
    /// Messages that fit all keys, each a word of its own: `SUBJECT`, `hello world`.
    Search { keys: Vec<String>, by_uid: bool },
    /// Items of messages: `1:3,7`, `(UID BODY.PEEK[])`.
    Fetch {
        set: String,
        items: String,
        by_uid: bool,
    },
    /// Events, for this time or until [`Session::done`](super::Session::done). Servers end sessions that are idle for 30
    /// minutes (RFC 2177).
    Idle(Duration),
    /// Ends the session. Its outcome is the connection's.
    Logout,
}

/// What an error names.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List { .. } => f.write_str("LIST"),
            Self::Examine { mailbox } => write!(f, "EXAMINE {mailbox}"),
            Self::Select { mailbox } => write!(f, "SELECT {mailbox}"),
            Self::Search { .. } => f.write_str("SEARCH"),
            Self::Fetch { set, .. } => write!(f, "FETCH {set}"),
            Self::Idle(_) => f.write_str("IDLE"),
            Self::Logout => f.write_str("LOGOUT"),
        }
    }
}

impl Command {
    pub(super) fn line(&self) -> Line {
        let mut line = Line::default();
        match self {
            Self::List { pattern } => line.word("LIST \"\"").string(&encode(pattern)),
            Self::Examine { mailbox } => line.word("EXAMINE").string(&encode(mailbox)),
            Self::Select { mailbox } => line.word("SELECT").string(&encode(mailbox)),
            Self::Search { keys, by_uid } => {
                line.word(uid(*by_uid)).word("SEARCH");
                if !keys.iter().all(|key| key.is_ascii()) {
                    line.word("CHARSET UTF-8");
                }
                for key in keys {
                    match is_key(key) {
                        true => line.word(key),
                        false => line.string(key),
                    };
                }
                &mut line
            }
            Self::Fetch { set, items, by_uid } => {
                line.word(uid(*by_uid)).word("FETCH").word(set).word(items)
            }
            Self::Idle(_) => line.word("IDLE"),
            Self::Logout => line.word("LOGOUT"),
        };
        line
    }
}

fn uid(by_uid: bool) -> &'static str {
    if by_uid { "UID" } else { "" }
}

/// What goes without quotes: names of keys, numbers, dates, sets, parentheses.
fn is_key(key: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"()*:,.-+$_@<>".contains(&byte);
    !key.is_empty() && key.bytes().all(fits)
}

/// Numbers of messages, or ranges of them, separated by commas (RFC 3501, 9: sequence-set). `*` is the last one.
pub fn is_set(text: &str) -> bool {
    let is_number = |text: &str| {
        text == "*" || text.parse::<u32>().is_ok_and(|n| n > 0) && !text.starts_with('+')
    };
    text.split(',').all(|range| match range.split_once(':') {
        Some((from, to)) => is_number(from) && is_number(to),
        None => is_number(range),
    })
}

/// A command without its tag and its line end, in parts: the first is sent at once, each further one is a literal and what
/// comes behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) literals: Vec<(Vec<u8>, String)>,
}

impl Line {
    fn end(&mut self) -> &mut String {
        match self.literals.last_mut() {
            Some((_, text)) => text,
            None => &mut self.text,
        }
    }

    /// A word that needs no quotes. An empty one is none.
    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        if !word.is_empty() {
            let is_first = self.literals.is_empty() && self.text.is_empty();
            let end = self.end();
            if !is_first {
                end.push(' ');
            }
            end.push_str(word);
        }
        self
    }

    /// Any text: quoted if it can be, else a literal.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        let can_be_quoted = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if can_be_quoted {
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
            return self.word(&format!("\"{escaped}\""));
        }
        self.end().push(' ');
        self.literals.push((text.as_bytes().into(), String::new()));
        self
    }

    /// How the size of a literal is sent, and whether the server has to be waited for.
    pub(super) fn announce(literal: &[u8], capabilities: &[String]) -> (String, bool) {
        let has = |name: &str| capabilities.iter().any(|capability| capability == name);
        let size = literal.len();
        match has("LITERAL+") || size <= SMALL && has("LITERAL-") {
            true => (format!("{{{size}+}}\r\n"), false),
            false => (format!("{{{size}}}\r\n"), true),
        }
    }
}
