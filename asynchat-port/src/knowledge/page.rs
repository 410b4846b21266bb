//! The parts of the page.

/// A table of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// The heading's anchor.
    pub anchor: &'static str,
    /// Its rows.
    pub rows: &'static [Row],
}

/// Names, and the counterpart.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The left column.
    pub python: &'static str,
    /// The right column.
    pub rust: &'static str,
}

/// A numbered idiom.
#[derive(Debug, PartialEq, Eq)]
pub struct Idiom {
    /// Its number.
    pub number: u16,
    /// The anchor of its section.
    pub anchor: &'static str,
    /// Its first sentence.
    pub python: &'static str,
}

/// A row of the differences.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// How Python behaves.
    pub python: &'static str,
    /// How the crate behaves.
    pub here: &'static str,
    /// How a port shows it, and the remedy.
    pub symptom: &'static str,
}

/// A paragraph of the pitfalls.
#[derive(Debug, PartialEq, Eq)]
pub struct Pitfall {
    /// Its first words.
    pub title: &'static str,
    /// The rest.
    pub text: &'static str,
}

impl Row {
    /// The names in the left column: `loop` of `loop(timeout, map)`.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        spans(self.python).map(|span| {
            let name = span.split('(').next().unwrap_or(span);
            name.rsplit_once(' ').map_or(name, |(_, last)| last)
        })
    }

    /// True if there is nothing to write: the reactor does it.
    pub fn is_deleted(&self) -> bool {
        self.rust.starts_with("nothing")
    }

    /// True if a port does without it.
    pub fn has_no_counterpart(&self) -> bool {
        self.rust.starts_with("don't")
    }
}

/// The code in a text.
pub fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
