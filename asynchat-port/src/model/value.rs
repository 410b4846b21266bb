//! The kind of a value, as its expression shows it.

use serde::Serialize;

use crate::syntax::{Node, Tree};

/// The kind of a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// `"…"`, also with values in it.
    Text,
    /// `b"…"`.
    Bytes,
    /// `[…]`, or a comprehension.
    List,
    /// `(…, …)`.
    Tuple,
    /// `{…: …}`.
    Dict,
    /// `{…}`.
    Set,
    /// A call of this dotted name.
    Call(String),
    /// A dotted name.
    Name(String),
    /// `lambda`.
    Lambda,
    /// Any other expression.
    Other,
}

impl Value {
    /// Of an expression.
    pub fn of(tree: &Tree, node: Node) -> Self {
        let node = tree.unwrapped(node);
        match tree.kind(node) {
            "none" => Self::None,
            "true" | "false" => Self::Bool,
            "integer" => Self::Int,
            "float" => Self::Float,
            "string" => Self::of_string(tree, node),
            "concatenated_string" => tree
                .children(node)
                .next()
                .map_or(Self::Text, |first| Self::of_string(tree, first)),
            "list" | "list_comprehension" => Self::List,
            "tuple" | "expression_list" => Self::Tuple,
            "dictionary" | "dictionary_comprehension" => Self::Dict,
            "set" | "set_comprehension" => Self::Set,
            "lambda" => Self::Lambda,
            "unary_operator" => tree
                .child(node, "argument")
                .map_or(Self::Other, |argument| match tree.kind(argument) {
                    "integer" => Self::Int,
                    "float" => Self::Float,
                    _ => Self::Other,
                }),
            "not_operator" | "comparison_operator" => Self::Bool,
            "call" => tree
                .child(node, "function")
                .and_then(|function| tree.dotted(function))
                .map_or(Self::Other, |names| Self::Call(names.join("."))),
            "identifier" | "attribute" => tree
                .dotted(node)
                .map_or(Self::Other, |names| Self::Name(names.join("."))),
            _ => Self::Other,
        }
    }

    fn of_string(tree: &Tree, node: Node) -> Self {
        let start = tree
            .children(node)
            .next()
            .map_or("", |start| tree.text(start));
        if start.contains(['b', 'B']) {
            Self::Bytes
        } else {
            Self::Text
        }
    }
}
