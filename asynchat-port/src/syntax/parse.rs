//! From text to a [`Tree`], by tree-sitter.

use std::{error, fmt, ops::ControlFlow};

use tree_sitter::{ParseOptions, ParseState, Parser};

use super::{
    marks::Marks,
    tree::{Entry, Fault, Tree},
};

/// tree-sitter asks once in this number of steps whether to go on: `OP_COUNT_PER_PARSER_CALLBACK_CHECK` of its `parser.c`.
const STEPS_PER_QUESTION: u64 = 100;

/// Faults that are kept of a file.
const FAULTS: usize = 20;

/// Why a text was not parsed at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The parser took more steps than the limit allows.
    Steps,
    /// The grammar is of another version than the parser.
    Grammar,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steps => "too far from Python to be parsed within --max-steps for each byte",
            Self::Grammar => "the grammar does not fit the parser",
        })
    }
}

impl error::Error for Failure {}

/// Parses Python 2 or 3. Errors in the text do not end it, see [`Tree::faults`].
pub fn parse(text: String, steps_per_byte: u64) -> Result<Tree, Failure> {
    let parsed = tree_of(&text, steps_per_byte)?;
    let mut tree = flatten(&parsed, text);
    // The grammar takes `x` of Python 2 for a string. Brackets of the same length show what is in it.
    if let Some(text) = with_brackets_for_backquotes(&tree) {
        let parsed = tree_of(&text, steps_per_byte)?;
        let original = std::mem::take(&mut tree.text);
        tree = flatten(&parsed, text);
        tree.text = original;
    }
    Ok(tree)
}

fn tree_of(text: &str, steps_per_byte: u64) -> Result<tree_sitter::Tree, Failure> {
    let mut parser = Parser::new();
    let grammar = tree_sitter_python::LANGUAGE.into();
    parser
        .set_language(&grammar)
        .map_err(|_| Failure::Grammar)?;
    let allowed = steps_per_byte.saturating_mul(text.len() as u64 + 1000) / STEPS_PER_QUESTION;
    let mut asked = 0;
    let mut go_on = |_: &ParseState| {
        asked += 1;
        if asked > allowed {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut go_on);
    let mut piece = |offset: usize, _| text.as_bytes().get(offset..).unwrap_or_default();
    parser
        .parse_with_options(&mut piece, None, Some(options))
        .ok_or(Failure::Steps)
}

/// The named nodes in the order of the text. A cursor walks without recursion.
fn flatten(parsed: &tree_sitter::Tree, text: String) -> Tree {
    let mut entries: Vec<Entry> = Vec::new();
    let mut faults = Vec::new();
    let mut cursor = parsed.walk();
    // Of each open node its place in the table, or that of its nearest named ancestor, and whether it has one.
    let mut open: Vec<(u32, bool)> = Vec::new();
    loop {
        let node = cursor.node();
        let parent = open.last().map_or(0, |&(at, _)| at);
        let at = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let (start, end) = (offset(node.start_byte()), offset(node.end_byte()));
        if (node.is_error() || node.is_missing()) && faults.len() < FAULTS {
            let missing = node.is_missing().then(|| node.kind());
            let offset = node.start_byte();
            faults.push(Fault { offset, missing });
        }
        let kept = node.is_named();
        if kept {
            entries.push(Entry {
                kind: node.kind(),
                field: cursor.field_name(),
                start,
                end,
                parent,
                behind: 0,
            });
        }
        open.push((if kept { at } else { parent }, kept));
        if cursor.goto_first_child() {
            continue;
        }
        loop {
            if let Some((at, true)) = open.pop() {
                entries[at as usize].behind = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            }
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                let marks = Marks::new(&text);
                return Tree {
                    text,
                    entries,
                    marks,
                    faults,
                };
            }
        }
    }
}

/// Files are far smaller than 4 GiB, see `Limits::file_size`.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn with_brackets_for_backquotes(tree: &Tree) -> Option<String> {
    let mut bytes: Option<Vec<u8>> = None;
    for node in tree.nodes().filter(|&node| tree.kind(node) == "string") {
        let span = tree.span(node);
        let quoted = tree.text(node);
        if quoted.len() > 2 && quoted.starts_with('`') && quoted.ends_with('`') {
            let bytes = bytes.get_or_insert_with(|| tree.source().as_bytes().to_vec());
            bytes[span.start] = b'(';
            bytes[span.end - 1] = b')';
        }
    }
    String::from_utf8(bytes?).ok()
}
