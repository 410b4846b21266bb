//! What can be asked of a news server. The arguments cannot begin another command.

use std::{fmt, str::FromStr};

use asynchat::Producer;

/// Bytes of a group's name: a command has 512 (RFC 3977, 3.1).
const MAX_WORD: usize = 480;
/// Bytes of a message-id (RFC 3977, 3.6).
const MAX_ID: usize = 250;

/// The name of a group, or a wildmat (RFC 3977, 4): no space, no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |c: char| c.is_control() || c.is_whitespace();
        match text {
            "" => Err("the name of a group is empty".into()),
            _ if text.len() > MAX_WORD => Err(format!(
                "the name of a group has more than {MAX_WORD} bytes"
            )),
            _ if text.contains(wrong) => {
                Err("the name of a group has no spaces and no control characters".into())
            }
            _ => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Numbers of articles: `N`, `N-` for all from there on, `N-M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u64,
    /// `None` is the last one of the group.
    pub last: Option<u64>,
}

impl Range {
    pub const ALL: Self = Self {
        first: 1,
        last: None,
    };
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| "a range is N, N- or N-M".to_owned())
        };
        let (first, last) = match text.split_once('-') {
            None => (number(text)?, Some(number(text)?)),
            Some((first, "")) => (number(first)?, None),
            Some((first, last)) => (number(first)?, Some(number(last)?)),
        };
        Ok(Self { first, last })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.first)?;
        self.last.map_or(Ok(()), |last| write!(f, "{last}"))
    }
}

/// One article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of the current group.
    Number(u64),
    /// With its angle brackets.
    Id(String),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(Range { first, last }) = text.parse().ok().filter(|_| !text.contains('-')) {
            return match last {
                Some(_) => Ok(Self::Number(first)),
                None => Err("one number".into()),
            };
        }
        let bare = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
        match bare {
            Some(id)
                if !id.is_empty()
                    && text.len() <= MAX_ID
                    && id.bytes().all(|b| b.is_ascii_graphic() && b != b'>') =>
            {
                Ok(Self::Id(text.into()))
            }
            _ => Err("an article is a number or <MESSAGE-ID>".into()),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Id(id) => f.write_str(id),
        }
    }
}

/// Of an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    Head,
    Body,
}

/// A command.
pub enum Request {
    /// Makes the group the current one.
    Group(Word),
    /// Groups, with the numbers of their articles: all, or those that fit.
    List(Option<Word>),
    /// A line for each article of the current group.
    Over(Range),
    Article(Part, Which),
    /// An article with line ends of any kind.
    Post(Box<dyn Producer>),
}

/// What follows the first reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Lines,
    Article,
    /// The server waits for an article.
    Wanted,
}

impl Request {
    pub(super) fn command(&self) -> String {
        match self {
            Self::Group(group) => format!("GROUP {group}"),
            Self::List(None) => "LIST ACTIVE".into(),
            Self::List(Some(wildmat)) => format!("LIST ACTIVE {wildmat}"),
            Self::Over(range) => format!("OVER {range}"),
            Self::Article(Part::All, which) => format!("ARTICLE {which}"),
            Self::Article(Part::Head, which) => format!("HEAD {which}"),
            Self::Article(Part::Body, which) => format!("BODY {which}"),
            Self::Post(_) => "POST".into(),
        }
    }

    /// The code of the reply that says yes, and what follows it.
    pub(super) fn answer(&self) -> (u16, Answer) {
        match self {
            Self::Group(_) => (211, Answer::Nothing),
            Self::List(_) => (215, Answer::Lines),
            Self::Over(_) => (224, Answer::Lines),
            Self::Article(Part::All, _) => (220, Answer::Article),
            Self::Article(Part::Head, _) => (221, Answer::Article),
            Self::Article(Part::Body, _) => (222, Answer::Article),
            Self::Post(_) => (340, Answer::Wanted),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_words() {
        for (text, shown) in [("a.b", Some("a.b")), ("*,!x\u{e4}", Some("*,!x\u{e4}"))] {
            let word = text.parse::<Word>().ok().map(|word| word.to_string());
            assert_eq!(word.as_deref(), shown);
        }
        for text in [
            "",
            "a b",
            "a\r\nPOST",
            "a\n",
            "a\0",
            "a\u{2028}b",
            &"a".repeat(481),
        ] {
            assert!(text.parse::<Word>().is_err(), "{text:?}");
        }
        for (text, shown) in [("7", "7-7"), ("7-", "7-"), ("7-9", "7-9"), ("9-7", "9-7")] {
            let range = text.parse::<Range>().map(|range| range.to_string());
            assert_eq!(range.as_deref(), Ok(shown));
        }
        for text in [
            "",
            "-",
            "-7",
            "+7",
            "7-+9",
            "7--9",
            "x",
            "7 9",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
        for text in ["7", "<a@b>", "<-@b>"] {
            let which = text.parse::<Which>().map(|which| which.to_string());
            assert_eq!(which.as_deref(), Ok(text));
        }
        let long = format!("<{}>", "a".repeat(249));
        for text in [
            "",
            "7-9",
            "7-",
            "<>",
            "<a b>",
            "<a>b>",
            "<a\r\nPOST>",
            "a@b",
            "<\u{e4}>",
            &long,
        ] {
            assert!(text.parse::<Which>().is_err(), "{text:?}");
        }
    }
}
