//! Text that a lone dot ends: a line that begins with a dot was sent with a second one (RFC 5321, 4.5.2; RFC 1939, 3;
//! RFC 3977, 3.1.1). The other direction is the library's `EscapingProducer`.

use asynchat::Result;

/// Takes the lines of such a text in pieces of any size, and gives them without the dots that were added. Nothing is kept
/// but a few bytes, so a line may be of any length.
#[derive(Debug, Default)]
pub struct Unstuffing {
    line: Line,
}

/// How the current line begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    /// A dot, not given yet.
    Dot,
    /// A dot and a CR, not given yet.
    DotCr,
    Text,
}

impl Unstuffing {
    /// A piece of a line, without LF.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn piece(&mut self, mut data: &[u8], mut give: impl FnMut(&[u8]) -> Result) -> Result {
        while let Some((&first, rest)) = data.split_first() {
            match (self.line, first) {
                (Line::Empty, b'.') => (self.line, data) = (Line::Dot, rest),
                (Line::Dot, b'\r') => (self.line, data) = (Line::DotCr, rest),
                (before, _) => {
                    self.line = Line::Text;
                    if before == Line::DotCr {
                        give(b"\r")?;
                    }
                    return give(data);
                }
            }
        }
        Ok(())
    }

    /// The LF that ends the line. True if the line was the lone dot that ends the text; the next text may begin. The line
    /// end is not given.
    pub fn line_end(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        matches!(line, Line::Dot | Line::DotCr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_dots_are_removed_however_the_text_is_cut() {
        let sent = b"..\r\n..two\r\na.b\r\n\r\n.\rx\r\n.one\r\n.\r\nrest";
        for size in 1..=sent.len() {
            let mut dots = Unstuffing::default();
            let mut text = Vec::new();
            let mut left = None;
            'text: for (at, piece) in sent.chunks(size).enumerate() {
                for (n, part) in piece.split(|&b| b == b'\n').enumerate() {
                    if n > 0 {
                        if dots.line_end() {
                            left = Some(at);
                            break 'text;
                        }
                        text.push(b'\n');
                    }
                    dots.piece(part, |data| {
                        text.extend_from_slice(data);
                        Ok(())
                    })
                    .expect("memory");
                }
            }
            assert!(left.is_some());
            assert_eq!(
                String::from_utf8_lossy(&text),
                ".\r\n.two\r\na.b\r\n\r\n\rx\r\none\r\n"
            );
        }
    }
}
