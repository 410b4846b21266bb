//! The quotes: some of the program's own or a file in fortune's format, and those that clients add.

use std::{
    path::Path,
    sync::{PoisonError, RwLock},
};

use asynchat::Result;
use shared::{source, text::is_unprintable};

/// Characters of a quote that a client adds.
pub(crate) const MAX_QUOTE: usize = 1000;
/// Bytes of a form: [`MAX_QUOTE`] characters of four bytes, each escaped, and some more.
pub(crate) const MAX_FORM: u64 = 16 * 1024;
/// Bytes of a file.
const MAX_FILE: u64 = 16 * 1024 * 1024;

const OWN: [&str; 5] = [
    "The question of whether a computer can think is no more interesting than the question of whether a submarine can swim.",
    "Simplicity is prerequisite for reliability.",
    "Premature optimization is the root of all evil.",
    "There are only two hard things in computer science: cache invalidation and naming things.",
    "The network is reliable.",
];

/// At least one, and no more than a bound.
#[derive(Debug)]
pub(crate) struct Quotes {
    all: RwLock<Vec<String>>,
    max: usize,
}

/// Why a quote is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Empty,
    TooLong,
    TooMany,
}

impl Quotes {
    pub(crate) fn own(max: usize) -> Self {
        Self::new(OWN.map(str::to_owned).to_vec(), max)
    }

    fn new(all: Vec<String>, max: usize) -> Self {
        Self {
            all: RwLock::new(all),
            max,
        }
    }

    /// Reads a file in which a line of one percent sign stands between two quotes.
    pub(crate) fn read(file: &Path, max: usize) -> Result<Self> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let text = source::read(file, MAX_FILE).map_err(|error| failed(&error))?;
        let all = split(&String::from_utf8_lossy(&text));
        match all.len() {
            0 => Err(failed(&"there is no quote in it").into()),
            count if count > max => Err(failed(&format_args!(
                "{count} quotes are more than --max-quotes {max}"
            ))
            .into()),
            _ => Ok(Self::new(all, max)),
        }
    }

    pub(crate) fn any(&self) -> String {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        fastrand::choice(&*all).cloned().unwrap_or_default()
    }

    pub(crate) fn add(&self, quote: &str) -> Result<(), Refused> {
        let quote = quote.trim();
        if quote.is_empty() {
            return Err(Refused::Empty);
        }
        if quote.chars().count() > MAX_QUOTE {
            return Err(Refused::TooLong);
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= self.max {
            return Err(Refused::TooMany);
        }
        all.push(shown(quote));
        Ok(())
    }
}

/// A stranger's quote, without what could rewrite the terminal of another client.
fn shown(quote: &str) -> String {
    let unwanted = |c: char| is_unprintable(c) && !matches!(c, '\n' | '\t');
    quote.replace("\r\n", "\n").replace(unwanted, "\u{fffd}")
}

fn split(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let quotes = lines.split(|line| *line == "%");
    let quotes = quotes.map(|lines| lines.join("\n").trim_matches('\n').to_owned());
    quotes.filter(|quote| !quote.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_alone_on_a_line_stands_between_quotes() {
        for (text, quotes) in [
            ("a\n%\nb\n", &["a", "b"][..]),
            ("%\na\r\n  -- b\r\n%\r\n%\n\n%", &["a\n  -- b"]),
            ("100 %\n %\n", &["100 %\n %"]),
            ("", &[]),
            ("%\n \n%", &[]),
        ] {
            assert_eq!(split(text), quotes, "{text:?}");
        }
    }

    #[test]
    fn a_quote_of_a_stranger_has_nothing_that_a_terminal_obeys() {
        let quotes = Quotes::new(Vec::new(), 1);
        assert_eq!(quotes.add("a\r\n\tb\x1b[2J\r\u{202e}c"), Ok(()));
        assert_eq!(quotes.any(), "a\n\tb\u{fffd}[2J\u{fffd}\u{fffd}c");
    }

    #[test]
    fn a_quote_is_added_within_limits() {
        let quotes = Quotes::new(vec!["a".into()], 2);
        let long = "\u{1f600}".repeat(MAX_QUOTE);
        assert_eq!(quotes.add(" \r\n"), Err(Refused::Empty));
        assert_eq!(quotes.add(&format!("{long}x")), Err(Refused::TooLong));
        assert_eq!(quotes.add(&format!(" {long}\n")), Ok(()));
        assert_eq!(quotes.add("b"), Err(Refused::TooMany));
        let any: std::collections::HashSet<_> = (0..200).map(|_| quotes.any()).collect();
        assert_eq!(any.len(), 2);
    }
}
