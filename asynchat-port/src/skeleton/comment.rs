//! Lines of Python as comments of Rust.

/// Columns of a tab in Python.
const TAB: usize = 8;

/// Characters that reorder what is read, which rustc refuses in a comment, and those that end or hide a line.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// A line without its first `columns` of white space, and with escapes for unseen characters.
pub(super) fn line(python: &str, columns: usize) -> String {
    let text = python.trim_start_matches([' ', '\t', '\u{c}']);
    let mut at = 0;
    for space in python[..python.len() - text.len()].chars() {
        at = match space {
            '\t' => (at / TAB + 1) * TAB,
            ' ' => at + 1,
            _ => 0,
        };
    }
    let mut safe = " ".repeat(at.saturating_sub(columns));
    for letter in text.trim_end().chars() {
        match letter {
            '\t' => safe.push_str("    "),
            letter if is_unseen(letter) => safe.extend(letter.escape_unicode()),
            letter => safe.push(letter),
        }
    }
    safe.truncate(safe.trim_end().len());
    safe
}

/// The column at which a line begins.
pub(super) fn indentation(python: &str) -> usize {
    let whole = line(python, 0);
    whole.len() - whole.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_safe_in_a_comment() {
        for (python, columns, expected) in [
            ("    x = 1  ", 4, "x = 1"),
            ("      x", 4, "  x"),
            ("\tx\ty", 4, "    x    y"),
            ("  \tx", 8, "x"),
            ("x", 4, "x"),
            ("a */ /* b", 0, "a */ /* b"),
            ("a\u{202e}b\u{7}", 0, "a\\u{202e}b\\u{7}"),
            ("a\u{2028}b\rc", 0, "a\\u{2028}b\\u{d}c"),
            ("", 4, ""),
        ] {
            assert_eq!(line(python, columns), expected, "{python:?}");
        }
        assert_eq!(indentation("\t  x"), 10);
    }
}
