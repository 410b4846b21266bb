//! Lines and columns of bytes, each found without a look at the whole line: a file may be one line.

use std::ops::Range;

/// Bytes between two entries of [`Marks::characters`].
const STRIDE: usize = 1024;

/// A place in a file, both counted from 1, the column in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Marks {
    lines: Vec<usize>,
    /// The characters that begin before each multiple of [`STRIDE`].
    characters: Vec<usize>,
    length: usize,
}

impl Marks {
    /// Lines end as in Python: with a line feed, a carriage return, or both.
    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut lines = vec![0];
        let mut characters = Vec::with_capacity(bytes.len() / STRIDE + 1);
        let mut begun = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if at % STRIDE == 0 {
                characters.push(begun);
            }
            begun += usize::from(begins_character(byte));
            if byte == b'\n' || byte == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
                lines.push(at + 1);
            }
        }
        characters.push(begun);
        let length = text.len();
        Self {
            lines,
            characters,
            length,
        }
    }

    pub(crate) fn position(&self, text: &str, offset: usize) -> Position {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines[line.saturating_sub(1)];
        let column = self.characters_before(text, offset) - self.characters_before(text, start) + 1;
        Position { line, column }
    }

    /// A line, counted from 1, with its end; empty if there is none of this number.
    pub(crate) fn line(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).and_then(|at| self.lines.get(at));
        let end = self.lines.get(number).unwrap_or(&self.length);
        start.map_or(0..0, |&start| start..*end)
    }

    fn characters_before(&self, text: &str, offset: usize) -> usize {
        let mark = (offset / STRIDE).min(self.characters.len() - 1);
        let rest = text
            .as_bytes()
            .get(mark * STRIDE..offset)
            .unwrap_or_default();
        self.characters[mark] + rest.iter().filter(|&&byte| begins_character(byte)).count()
    }
}

fn begins_character(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_of_each_kind_and_characters() {
        let text = "a\r\nb\u{e9}c\rd\n".to_owned() + &"\u{20ac}".repeat(3000) + "x";
        let marks = Marks::new(&text);
        let at = |needle| marks.position(&text, text.find(needle).unwrap_or_default());
        let place = |line, column| Position { line, column };
        assert_eq!(at("b"), place(2, 1));
        assert_eq!(at("c"), place(2, 3));
        assert_eq!(at("d"), place(3, 1));
        assert_eq!(at("x"), place(4, 3001));
        assert_eq!(&text[marks.line(2)], "b\u{e9}c\r");
        assert_eq!(marks.line(9), 0..0);
    }
}
