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
const FAULTS: usize = 100;

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
    let mut tree = flatten(&tree_of(&text, steps_per_byte)?, text);
    for respell in RESPELLINGS {
        if let Some(text) = respell(&tree) {
            // Each word has as many bytes as the one that it stands for, so that places stay as they are.
            let parsed = tree_of(&text, steps_per_byte)?;
            let respelled = flatten(&parsed, text);
            if respelled.faults.len() <= tree.faults.len() {
                let text = std::mem::take(&mut tree.text);
                tree = Tree { text, ..respelled };
            }
        }
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
            let offset = fault_offset(node);
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

/// An error may take the statements before it in: of a file with an open bracket it is the root. They are Python.
fn fault_offset(node: tree_sitter::Node<'_>) -> usize {
    let is_whole = |kind: &str| {
        kind.ends_with("_statement") || kind.ends_with("_definition") || kind == "comment"
    };
    let mut cursor = node.walk();
    let mut has_child = cursor.goto_first_child();
    while has_child && is_whole(cursor.node().kind()) && !cursor.node().has_error() {
        has_child = cursor.goto_next_sibling();
    }
    if has_child {
        cursor.node().start_byte()
    } else {
        node.start_byte()
    }
}

/// Files are far smaller than 4 GiB, see `Limits::file_size`.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// For parts of Python 2 that the grammar lacks.
const RESPELLINGS: [fn(&Tree) -> Option<String>; 2] = [brackets_for_backquotes, words_of_python_2];

/// The grammar takes `x` in backquotes for a string. Brackets show what is in it.
fn brackets_for_backquotes(tree: &Tree) -> Option<String> {
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

/// `exec` of anything but a name or a string, and names that are keywords since: on the lines with faults alone.
fn words_of_python_2(tree: &Tree) -> Option<String> {
    let mut bytes: Option<Vec<u8>> = None;
    for fault in tree.faults() {
        let line = tree.line_span(tree.position_at(fault.offset).line);
        let text = &tree.source()[line.clone()];
        let words = [("exec", "del "), ("async", "as_nc"), ("await", "aw_it")];
        for (word, other) in words {
            for (at, _) in text
                .match_indices(word)
                .filter(|&(at, _)| stands_alone(text, at, word))
            {
                let is_first = text[..at].trim_start().is_empty();
                if (word == "exec") == is_first {
                    let bytes = bytes.get_or_insert_with(|| tree.source().as_bytes().to_vec());
                    bytes[line.start + at..][..word.len()].copy_from_slice(other.as_bytes());
                }
            }
        }
    }
    String::from_utf8(bytes?).ok()
}

fn stands_alone(text: &str, at: usize, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[track_caller]
    fn parsed(text: &str) -> Tree {
        parse(text.to_owned(), Limits::default().steps_per_byte)
            .unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn python_of_all_versions_is_parsed_without_faults() {
        for text in [
            "print 'a', b\nprint >>f, 1,\nprint\nexec code in names\nexec 'x = 1'\n",
            "exec compile(a, 'b', 'exec') in names\nif 1:\n    exec 'x' + y in a, b\n",
            "def f(self, (a, b), c=0777):\n    if a <> b: raise E, 'x', tb\n    return lambda (p, q): p\n",
            "try:\n    pass\nexcept E, why: pass\nexcept (A, B), (code, text): pass\n",
            "x = 10L + 0xFFL\ny = ur'a'\nz = `x, y`\n",
            "class C:\n\tdef set_async(self, async):\n\t\tself.async = async\n        \treturn async\n",
            "async def f():\n    await g()\n    async with a as b: pass\n",
            "match x:\n    case [1, *rest] if rest: pass\nif (n := 1): f'{n!r:>{w}}'\n",
            "try: pass\nexcept* E as e: pass\ndef f(a, /, b, *, c: int = 1) -> None: ...\n",
        ] {
            assert_eq!(parsed(text).faults(), [], "{text}");
            assert_eq!(parsed(text).source(), text);
        }
    }

    #[test]
    fn a_value_in_backquotes_is_seen() {
        let tree = parsed("x = `self.addr`\n");
        assert!(tree.nodes().any(|node| tree.kind(node) == "attribute"));
    }

    #[test]
    fn a_fault_does_not_hide_the_rest() {
        let tree = parsed("x = = 1\nclass C: pass\ndef f(:\n    pass\nclass D: pass\n");
        assert!(!tree.faults().is_empty());
        assert_eq!(
            tree.nodes()
                .filter(|&node| tree.kind(node) == "class_definition")
                .count(),
            2
        );
    }

    #[test]
    fn a_fault_is_behind_the_statements_before_it() {
        for text in [
            "import a\n# b\nclass C: pass\n<%",
            "import a\nb = 1\n<x = %\nc()\n",
            "import a\ndef f():\n    b()\n<x = [1, %\n",
        ] {
            let text = text.replace('%', &"(".repeat(1000));
            let place = text.find('<');
            let tree = parsed(&text.replace('<', ""));
            assert_eq!(
                tree.faults().first().map(|fault| fault.offset),
                place,
                "{text}"
            );
        }
    }

    #[test]
    fn the_parser_takes_a_bounded_number_of_steps() {
        let garbage: String = (0..200_000_u32)
            .map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 94))
            .collect();
        assert_eq!(parse(garbage, 0).map(|_| ()), Err(Failure::Steps));
    }
}
