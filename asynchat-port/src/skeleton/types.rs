//! Types of fields and parameters, and those that a person has to name.

use std::collections::BTreeMap;

use crate::{
    model::ClassId,
    skeleton::{comment, literal::Literal, names},
};

/// A type as far as the Python shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Bytes,
    Text,
    Int,
    Float,
    Bool,
    /// `Vec` of a type to be decided.
    List(String),
    /// `HashMap` from text to a type to be decided.
    Map(String),
    /// `HashSet` of a type to be decided.
    Set(String),
    /// A channel, which others know by its id.
    Channel,
    Address,
    /// A class of the program that is no channel.
    Object(ClassId),
    /// To be decided.
    Todo(String),
    Option(Box<Self>),
}

impl Type {
    pub(super) fn of_literal(literal: &Literal) -> Option<Self> {
        Some(match literal {
            Literal::None => return None,
            Literal::Bool(_) => Self::Bool,
            Literal::Int(_) => Self::Int,
            Literal::Float(_) => Self::Float,
            Literal::Text(_) => Self::Text,
            Literal::Bytes(_) => Self::Bytes,
        })
    }

    /// True if a value can be used twice.
    pub(super) fn is_copy(&self) -> bool {
        match self {
            Self::Int | Self::Float | Self::Bool | Self::Channel | Self::Todo(_) => true,
            Self::Option(inner) => inner.is_copy(),
            _ => false,
        }
    }

    /// True if a value can be copied by `clone`, or needs no copy.
    pub(super) fn is_clone(&self) -> bool {
        match self {
            Self::Object(_) => false,
            Self::Option(inner) => inner.is_clone(),
            _ => true,
        }
    }

    /// The value that a literal assigns to a field of this type.
    pub(super) fn value(&self, literal: &Literal) -> Option<String> {
        use super::literal::{quoted, quoted_bytes};
        Some(match (self, literal) {
            (Self::Option(_), Literal::None) => "None".to_owned(),
            (Self::Option(inner), literal) => format!("Some({})", inner.value(literal)?),
            (Self::Bytes | Self::List(_), Literal::None) => "Vec::new()".to_owned(),
            (Self::Text, Literal::Text(text)) if text.is_empty() => "String::new()".to_owned(),
            (Self::Text, Literal::Text(text)) => format!("{}.to_owned()", quoted(text)),
            (Self::Bytes, Literal::Text(text)) if text.is_empty() => "Vec::new()".to_owned(),
            (Self::Bytes, Literal::Bytes(bytes)) if bytes.is_empty() => "Vec::new()".to_owned(),
            (Self::Bytes, Literal::Text(text)) if text.is_ascii() => {
                format!("{}.to_vec()", quoted_bytes(text.as_bytes()))
            }
            (Self::Bytes, Literal::Bytes(bytes)) => format!("{}.to_vec()", quoted_bytes(bytes)),
            (Self::Int, Literal::Int(number)) => number.to_string(),
            (Self::Float, Literal::Float(number)) => format!("{number:?}"),
            (Self::Float, Literal::Int(number)) => format!("{number}.0"),
            (Self::Bool, Literal::Bool(value)) => value.to_string(),
            (Self::Bool, Literal::Int(number @ 0..=1)) => (*number == 1).to_string(),
            _ => return None,
        })
    }

    /// The value of `[]`, `{}` or `set()`.
    pub(super) fn empty(&self) -> Option<&'static str> {
        match self {
            Self::Bytes | Self::List(_) => Some("Vec::new()"),
            Self::Map(_) => Some("HashMap::new()"),
            Self::Set(_) => Some("HashSet::new()"),
            _ => None,
        }
    }

    /// As Rust writes it; `object` writes the type of a class.
    pub(super) fn rust(&self, object: &dyn Fn(ClassId) -> String) -> String {
        match self {
            Self::Bytes => "Vec<u8>".to_owned(),
            Self::Text => "String".to_owned(),
            Self::Int => "i64".to_owned(),
            Self::Float => "f64".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::List(item) => format!("Vec<todo::{item}>"),
            Self::Map(item) => format!("HashMap<String, todo::{item}>"),
            Self::Set(item) => format!("HashSet<todo::{item}>"),
            Self::Channel => "ChannelId".to_owned(),
            Self::Address => "Address".to_owned(),
            Self::Object(class) => object(*class),
            Self::Todo(name) => format!("todo::{name}"),
            Self::Option(inner) => format!("Option<{}>", inner.rust(object)),
        }
    }
}

/// Characters of an assignment that are shown.
const SHOWN: usize = 60;

/// The types to be decided: each by its name, with the Python that named it first.
#[derive(Default, Debug)]
pub(super) struct Todo(BTreeMap<String, String>);

impl Todo {
    /// The name of the type for this Python name.
    pub(super) fn name(&mut self, python: &str, origin: &str) -> String {
        let name = names::type_(python);
        self.0.entry(name.clone()).or_insert_with(|| {
            let line = origin.lines().next().unwrap_or_default();
            let mut safe = comment::line(line, usize::MAX);
            if let Some((cut, _)) = safe.char_indices().nth(SHOWN) {
                safe.truncate(cut);
                safe.push('…');
            }
            safe
        });
        name
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, origin)| (name.as_str(), origin.as_str()))
    }
}
