//! The table of nodes.

use std::ops::Range;

use super::marks::{Marks, Position};

/// Parts of a dotted name, brackets included.
const LONGEST_NAME: usize = 16;

/// A node of a [`Tree`]: its place in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node(pub(crate) u32);

/// A place that is no Python.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// A token that is missing there, or none if something is too much.
    pub missing: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) field: Option<&'static str>,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) parent: u32,
    /// The first entry behind the last descendant.
    pub(crate) behind: u32,
}

/// A parsed file. Only named nodes of tree-sitter's Python grammar are kept, in the order of the text, so the descendants
/// of a node stand behind it in one piece.
#[derive(Debug)]
pub struct Tree {
    pub(crate) text: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) marks: Marks,
    pub(crate) faults: Vec<Fault>,
}

impl Tree {
    /// Of an empty file.
    pub(crate) fn empty() -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
            marks: Marks::new(""),
            faults: Vec::new(),
        }
    }

    /// The number of the first node behind the last descendant.
    pub(crate) fn behind(&self, node: Node) -> u32 {
        self.entry(node).behind
    }

    /// The whole file.
    pub fn root(&self) -> Node {
        Node(0)
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// The places that are no Python, in order. The rest of the tree is as good as the parser could recover.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: there is a root.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, node: Node) -> &Entry {
        &self.entries[node.0 as usize]
    }

    /// The name of the node in the grammar, such as `call`.
    pub fn kind(&self, node: Node) -> &'static str {
        self.entry(node).kind
    }

    /// The name under which its parent knows it, such as `left`.
    pub fn field(&self, node: Node) -> Option<&'static str> {
        self.entry(node).field
    }

    /// Its place in the text, in bytes.
    pub fn span(&self, node: Node) -> Range<usize> {
        let entry = self.entry(node);
        entry.start as usize..entry.end as usize
    }

    /// Its text.
    pub fn text(&self, node: Node) -> &str {
        self.text.get(self.span(node)).unwrap_or_default()
    }

    /// Its beginning.
    pub fn position(&self, node: Node) -> Position {
        self.position_at(self.entry(node).start as usize)
    }

    /// Line and column of a byte.
    pub fn position_at(&self, offset: usize) -> Position {
        self.marks.position(&self.text, offset)
    }

    /// A line of the text without its end, counted from 1.
    pub fn line(&self, number: usize) -> &str {
        let line = self.text.get(self.line_span(number)).unwrap_or_default();
        line.trim_end_matches(['\n', '\r'])
    }

    /// The place of a line with its end.
    pub(crate) fn line_span(&self, number: usize) -> Range<usize> {
        self.marks.line(number)
    }

    /// None for the root.
    pub fn parent(&self, node: Node) -> Option<Node> {
        (node.0 != 0).then(|| Node(self.entry(node).parent))
    }

    /// From the nearest to the root.
    pub fn ancestors(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        std::iter::successors(self.parent(node), |&node| self.parent(node))
    }

    /// Children that are not comments.
    pub fn children(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let end = self.entry(node).behind;
        let mut next = node.0 + 1;
        let all = std::iter::from_fn(move || {
            let child = (next < end).then_some(Node(next))?;
            next = self.entry(child).behind;
            Some(child)
        });
        all.filter(|&child| self.kind(child) != "comment")
    }

    /// The first child with this field.
    pub fn child(&self, node: Node, field: &str) -> Option<Node> {
        self.children(node)
            .find(|&child| self.field(child) == Some(field))
    }

    /// Nodes behind a node with the same parent.
    pub fn following(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let end = self
            .parent(node)
            .map_or(0, |parent| self.entry(parent).behind);
        let mut next = self.entry(node).behind;
        std::iter::from_fn(move || {
            let sibling = (next < end).then_some(Node(next))?;
            next = self.entry(sibling).behind;
            Some(sibling)
        })
    }

    /// All below a node, in the order of the text.
    pub fn descendants(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        (node.0 + 1..self.entry(node).behind).map(Node)
    }

    /// All nodes, in the order of the text.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        (0..self.entries.len()).map(|at| Node(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// True if `inner` is `outer` or below it.
    pub fn contains(&self, outer: Node, inner: Node) -> bool {
        (outer.0..self.entry(outer).behind).contains(&inner.0)
    }

    /// The names of `a.b.c`; none for anything else, and for a name of more than 16 parts.
    pub fn dotted(&self, node: Node) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        let mut node = node;
        for _ in 0..LONGEST_NAME {
            match self.kind(node) {
                "identifier" => {
                    names.push(self.text(node));
                    names.reverse();
                    return Some(names);
                }
                "dotted_name" => {
                    return Some(self.children(node).map(|part| self.text(part)).collect());
                }
                "attribute" => {
                    names.push(self.text(self.child(node, "attribute")?));
                    node = self.child(node, "object")?;
                }
                "parenthesized_expression" => node = self.children(node).next()?,
                _ => return None,
            }
        }
        None
    }

    /// The value inside brackets that only group.
    pub fn unwrapped(&self, mut node: Node) -> Node {
        while self.kind(node) == "parenthesized_expression" {
            let Some(inner) = self.children(node).next() else {
                break;
            };
            node = inner;
        }
        node
    }

    /// The text of a string literal without its quotes, escapes as they are written; none if it is no literal, or has
    /// values in it.
    pub fn string(&self, node: Node) -> Option<&str> {
        let node = self.unwrapped(node);
        if self.kind(node) != "string" {
            return None;
        }
        let mut parts = self.children(node);
        let (first, last) = (parts.next()?, parts.last()?);
        if self.kind(first) != "string_start" || self.kind(last) != "string_end" {
            return None;
        }
        if self
            .children(node)
            .any(|part| self.kind(part) == "interpolation")
        {
            return None;
        }
        self.text.get(self.span(first).end..self.span(last).start)
    }
}
