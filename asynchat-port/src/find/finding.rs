//! What is found.

use serde::Serialize;

use crate::{
    knowledge::{self, Difference, Idiom, Pitfall, Row, Section},
    model::ModuleId,
    syntax::Position,
};

/// The kind of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A class that descends from one of the two modules, or is a producer.
    Class,
    /// A callback that a class overrides.
    Callback,
    /// Another method of the two modules that a class overrides.
    Override,
    /// A name of the two modules, or of ssl.
    Name,
    /// A method of a channel or producer that is called.
    Method,
    /// An attribute of a channel or producer.
    Attribute,
    /// A numbered idiom.
    Idiom,
    /// A difference that shows here.
    Difference,
    /// A pitfall.
    Pitfall,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Callback => "callback",
            Self::Override => "override",
            Self::Name => "name",
            Self::Method => "method",
            Self::Attribute => "attribute",
            Self::Idiom => "idiom",
            Self::Difference => "difference",
            Self::Pitfall => "pitfall",
        }
    }
}

/// The part of the porting guide that a finding leads to.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// A row of a table of names.
    Row(&'static Section, &'static Row),
    /// An idiom.
    Idiom(&'static Idiom),
    /// A difference.
    Difference(&'static Difference),
    /// A pitfall.
    Pitfall(&'static Pitfall),
}

impl Entry {
    /// The anchor in the guide.
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Row(section, _) => section.anchor,
            Self::Idiom(idiom) => idiom.anchor,
            Self::Difference(_) => knowledge::DIFFERENCES_ANCHOR,
            Self::Pitfall(_) => knowledge::PITFALLS_ANCHOR,
        }
    }

    /// The first words of the entry, which no other has.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Row(_, row) => row.python,
            Self::Idiom(idiom) => idiom.python,
            Self::Difference(difference) => difference.python,
            Self::Pitfall(pitfall) => pitfall.title,
        }
    }

    /// What a port does.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Row(_, row) => row.rust,
            Self::Idiom(_) => "",
            Self::Difference(difference) => difference.symptom,
            Self::Pitfall(pitfall) => pitfall.text,
        }
    }
}

/// One place in the program, and what a port meets there.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file.
    pub module: ModuleId,
    /// The place.
    pub position: Position,
    /// The kind.
    pub kind: Kind,
    /// The name or expression in question.
    pub name: String,
    /// The reason, if the name alone does not show it.
    pub because: Option<String>,
    /// Where the guide explains it.
    pub entry: Entry,
}
