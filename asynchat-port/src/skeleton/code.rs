//! Pieces of Rust that stand for a statement of Python.

use crate::skeleton::page::Page;

/// A line, or the border of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Line(String),
    /// `head(arguments)tail`.
    Call(String, Vec<String>, &'static str),
    Open(String),
    Close,
}

impl Code {
    pub(super) fn line(line: impl Into<String>) -> Self {
        Self::Line(line.into())
    }

    pub(super) fn call(head: impl Into<String>, arguments: Vec<String>) -> Self {
        Self::Call(head.into(), arguments, ";")
    }

    pub(super) fn tried(head: impl Into<String>, arguments: Vec<String>) -> Self {
        Self::Call(head.into(), arguments, "?;")
    }

    pub(super) fn write(&self, page: &mut Page) {
        match self {
            Self::Line(line) => page.line(line),
            Self::Call(head, arguments, tail) => page.call(head, arguments, tail),
            Self::Open(head) => page.open(head),
            Self::Close => page.close(),
        }
    }
}
