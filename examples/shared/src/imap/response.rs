//! What a server says (RFC 3501, 7).

use std::fmt;

use asynchat::{BoxError, Result};

use super::{
    names,
    values::{Part, Value, number, parse},
};
use crate::text::printable;

/// Characters of what the server says that are shown.
const SHOWN: usize = 300;

/// A whole response.
#[derive(Debug)]
pub(super) enum Response {
    /// `+`: the server waits for the rest of a command.
    Continue,
    /// The end of the command with this tag.
    Tagged(String, Status),
    Greeting(Status),
    Capabilities(Vec<String>),
    Mailbox {
        attributes: Vec<String>,
        delimiter: Option<String>,
        name: String,
    },
    Found(Vec<u32>),
    Exists(u32),
    Recent(u32),
    Expunged(u32),
    Fetched(u32, Vec<(String, Value)>),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    Ok,
    No,
    Bad,
    Preauth,
    Bye,
}

/// How a command went, or what a server has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub kind: StatusKind,
    /// The response code: `UIDVALIDITY 3857529045`.
    pub code: Option<String>,
    pub text: String,
}

/// In one line, fit for a terminal.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            StatusKind::Ok => "OK",
            StatusKind::No => "NO",
            StatusKind::Bad => "BAD",
            StatusKind::Preauth => "PREAUTH",
            StatusKind::Bye => "BYE",
        };
        let code = self.code.as_ref();
        let code = code.map_or(String::new(), |code| format!("[{code}] "));
        f.write_str(&shown(&format!("{kind} {code}{}", self.text)))
    }
}

impl Status {
    /// As an error: what was refused, and what the server said.
    pub fn refusal(&self, of: impl fmt::Display) -> BoxError {
        format!("{of}: the server says {self}").into()
    }

    /// Its capabilities, if it names them.
    pub(super) fn capabilities(&self) -> Option<Vec<String>> {
        let (name, rest) = self.code.as_ref()?.split_once(' ')?;
        name.eq_ignore_ascii_case("CAPABILITY").then(|| {
            rest.split_ascii_whitespace()
                .map(str::to_ascii_uppercase)
                .collect()
        })
    }

    fn parse(word: &str, rest: &str) -> Option<Self> {
        let kinds = [
            ("OK", StatusKind::Ok),
            ("NO", StatusKind::No),
            ("BAD", StatusKind::Bad),
            ("PREAUTH", StatusKind::Preauth),
            ("BYE", StatusKind::Bye),
        ];
        let (_, kind) = kinds
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))?;
        let code = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (code, text) = match code {
            Some((code, text)) => (Some(code.to_owned()), text.trim_start()),
            None => (None, rest),
        };
        Some(Self {
            kind,
            code,
            text: text.into(),
        })
    }
}

/// What a server says in the middle of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line of LIST. The name is decoded.
    Mailbox {
        attributes: &'a [String],
        delimiter: Option<&'a str>,
        name: &'a str,
    },
    /// Numbers of messages, or unique ids: a line of SEARCH.
    Found(&'a [u32]),
    /// Messages of the selected mailbox.
    Exists(u32),
    Recent(u32),
    /// The message with this number is gone, and those behind it have moved up.
    Expunged(u32),
    /// Items of a message.
    Fetched(u32, &'a [(String, Value)]),
    /// OK, NO or BAD that ends no command; a code ALERT is for the user's eyes (RFC 3501, 7.1).
    Status(&'a Status),
}

/// What the first line of a response says of its literals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    /// A status has none: it is text for people.
    pub(super) may_have_literals: bool,
    /// The number of a FETCH response: `* 3 FETCH (UID 7`.
    pub(super) fetched: Option<u32>,
}

impl Beginning {
    pub(super) fn of(line: &[u8]) -> Self {
        let mut words = line
            .splitn(4, |&byte| byte == b' ')
            .map(std::str::from_utf8);
        let is_untagged = words.next() == Some(Ok("*"));
        let mut word = || words.next().and_then(Result::ok).unwrap_or_default();
        let (first, second) = (word(), word());
        let is_fetch = is_untagged && second.eq_ignore_ascii_case("FETCH");
        Self {
            may_have_literals: is_untagged && Status::parse(first, "").is_none(),
            fetched: number(first).filter(|_| is_fetch),
        }
    }
}

/// The text before the size of a literal that a line ends in, and that size (RFC 3501, 4.3; RFC 3516, `~` for binary ones).
pub(super) fn literal(line: &[u8]) -> Option<(&[u8], u64)> {
    let inner = line.strip_suffix(b"}")?;
    let at = inner.iter().rposition(|&byte| byte == b'{')?;
    let digits = std::str::from_utf8(&inner[at + 1..]).ok()?;
    if digits.is_empty() {
        return None;
    }
    let before = &inner[..at];
    let before = before.strip_suffix(b"~").unwrap_or(before);
    Some((before, number(digits)?))
}

/// Number and section of the message whose body comes behind this text of a FETCH response: `(UID 7 BODY[] `.
pub(super) fn body_of(number: u32, text: &[u8]) -> Option<(u32, String)> {
    let text = String::from_utf8_lossy(text)
        .trim_end()
        .to_ascii_uppercase();
    let section = match text.ends_with([']', '>']) {
        true => &text[text.rfind("BODY[").or_else(|| text.rfind("BINARY["))?..],
        false => text.rsplit([' ', '(']).next()?,
    };
    is_section(section).then(|| (number, section.to_owned()))
}

/// Whether an item with this name is the body of a message, or a part of it.
pub(super) fn is_section(name: &str) -> bool {
    name.starts_with("BODY[") || name.starts_with("BINARY[") || name.starts_with("RFC822")
}

impl Response {
    /// # Errors
    /// What the server sent, and what is wrong with it.
    pub(super) fn parse(mut parts: Vec<Part>) -> Result<Self> {
        let Some(Part::Text(first)) = parts.first() else {
            return Err("the server sent an empty response".into());
        };
        let first = first.clone();
        let line = String::from_utf8_lossy(&first).into_owned();
        let behind = |words: usize| {
            let rest = first.splitn(words + 1, |&byte| byte == b' ').nth(words);
            Part::Text(rest.unwrap_or_default().to_vec())
        };
        let wrong = |why: BoxError| format!("the server sent {:?}: {why}", shown(&line));
        let not_read = || wrong("no response of IMAP".into());
        if line == "+" || line.starts_with("+ ") {
            return Ok(Self::Continue);
        }
        let (tag, rest) = line.split_once(' ').ok_or_else(not_read)?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(status) = Status::parse(word, rest) {
            return Ok(match tag {
                "*" => Self::Greeting(status),
                tag => Self::Tagged(tag.into(), status),
            });
        }
        if tag != "*" {
            return Err(not_read().into());
        }
        if let Some(count) = number(word) {
            let name = rest.split(' ').next().unwrap_or_default();
            return Ok(match name.to_ascii_uppercase().as_str() {
                "EXISTS" => Self::Exists(count),
                "RECENT" => Self::Recent(count),
                "EXPUNGE" => Self::Expunged(count),
                "FETCH" => {
                    parts[0] = behind(3);
                    let items = parse(&parts).map_err(wrong)?;
                    Self::Fetched(count, pairs(items).ok_or_else(not_read)?)
                }
                _ => Self::Other,
            });
        }
        let numbers = |text: &str| -> Option<Vec<u32>> {
            text.split_ascii_whitespace().map(number).collect()
        };
        match word.to_ascii_uppercase().as_str() {
            "CAPABILITY" => {
                let names = rest.split_ascii_whitespace();
                Ok(Self::Capabilities(
                    names.map(str::to_ascii_uppercase).collect(),
                ))
            }
            // RFC 7162, 3.1.5, adds a list.
            "SEARCH" => {
                let text = rest.split('(').next().unwrap_or_default();
                Ok(Self::Found(numbers(text).ok_or_else(not_read)?))
            }
            "LIST" => {
                parts[0] = behind(2);
                let values = parse(&parts).map_err(wrong)?;
                mailbox(&values).ok_or_else(|| not_read().into())
            }
            _ => Ok(Self::Other),
        }
    }
}

/// The names of items, in upper case, with their values.
fn pairs(mut items: Vec<Value>) -> Option<Vec<(String, Value)>> {
    let (Some(Value::List(items)), true) = (items.pop(), items.is_empty()) else {
        return None;
    };
    let mut pairs = Vec::new();
    let mut items = items.into_iter();
    while let Some(name) = items.next() {
        let Value::Atom(name) = name else {
            return None;
        };
        pairs.push((name.to_ascii_uppercase(), items.next()?));
    }
    Some(pairs)
}

fn mailbox(values: &[Value]) -> Option<Response> {
    let [Value::List(attributes), delimiter, name, ..] = values else {
        return None;
    };
    Some(Response::Mailbox {
        attributes: attributes.iter().map(Value::text).collect::<Option<_>>()?,
        delimiter: delimiter.text(),
        name: names::decode(&name.text()?),
    })
}

fn shown(line: &str) -> String {
    let text: String = line.chars().take(SHOWN).collect();
    printable(&text)
}
