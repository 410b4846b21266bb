//! The text of a message on its way from the wire (RFC 5321, 4.5.2): added dots are removed, and lines end with LF.

use memchr::memchr2;

/// Takes a text that begins with CRLF, in pieces of any size. Every CRLF begins a line.
#[derive(Debug, Default)]
pub(super) struct Text {
    at: At,
    /// The first line has begun.
    has_line: bool,
    /// Bytes of the text (RFC 1870, 3): with CRLF as line ends, without added dots.
    size: u64,
    bare: Option<Bare>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    LineStart,
    #[default]
    Line,
    Cr,
}

/// A byte of a line end without its other one. Some servers end a line there, and with it a message: a text that has one
/// may hold another message for them (SMTP smuggling), so it is not to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Cr,
    Lf,
}

impl Text {
    /// Appends the text of a piece to `out`. Behind a bare CR or LF nothing is appended any more.
    pub(super) fn decode(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while self.bare.is_none() {
            let Some((&first, rest)) = piece.split_first() else {
                return;
            };
            match self.at {
                At::Cr if first == b'\n' => {
                    piece = rest;
                    self.begin_line(out);
                }
                At::Cr => self.bare = Some(Bare::Cr),
                At::LineStart => {
                    self.at = At::Line;
                    if first == b'.' {
                        piece = rest;
                    }
                }
                At::Line => {
                    let end = memchr2(b'\r', b'\n', piece).unwrap_or(piece.len());
                    out.extend_from_slice(&piece[..end]);
                    self.size += end as u64;
                    match piece.get(end) {
                        Some(b'\r') => self.at = At::Cr,
                        Some(_) => self.bare = Some(Bare::Lf),
                        None => return,
                    }
                    piece = &piece[end + 1..];
                }
            }
        }
    }

    fn begin_line(&mut self, out: &mut Vec<u8>) {
        self.at = At::LineStart;
        if self.has_line {
            self.end_line(out);
        }
        self.has_line = true;
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.push(b'\n');
        self.size += 2;
    }

    /// The end, the CRLF of the last line left out.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.at == At::Cr {
            self.bare = Some(Bare::Cr);
        } else if self.has_line && self.bare.is_none() {
            self.end_line(out);
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn bare(&self) -> Option<Bare> {
        self.bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, or what is wrong with it, cut into pieces of every size.
    #[track_caller]
    fn decoded(wire: &str) -> Result<(String, u64), Bare> {
        let results = (1..=wire.len().max(1)).map(|size| {
            let (mut text, mut out) = (Text::default(), Vec::new());
            for piece in wire.as_bytes().chunks(size) {
                text.decode(piece, &mut out);
            }
            text.finish(&mut out);
            match text.bare() {
                Some(bare) => Err(bare),
                None => Ok((String::from_utf8_lossy(&out).into_owned(), text.size())),
            }
        });
        let mut results: Vec<_> = results.collect();
        results.dedup();
        assert_eq!(results.len(), 1, "{wire:?}: {results:?}");
        results.remove(0)
    }

    #[test]
    fn added_dots_are_removed_and_each_line_ends_with_a_line_feed() {
        for (wire, text, size) in [
            ("", "", 0),
            ("\r\n", "\n", 2),
            ("\r\na", "a\n", 3),
            ("\r\na\r\n", "a\n\n", 5),
            ("\r\n..", ".\n", 3),
            ("\r\n..\r\n.b\r\na.b..", ".\nb\na.b..\n", 13),
            ("\r\n.", "\n", 2),
            ("\r\n\0\u{e4}", "\0\u{e4}\n", 5),
        ] {
            assert_eq!(decoded(wire), Ok((text.into(), size)), "{wire:?}");
        }
    }

    #[test]
    fn half_a_line_end_is_found() {
        for (wire, bare) in [
            ("\r\na\nb", Bare::Lf),
            ("\r\n\nb", Bare::Lf),
            ("\r\na\rb", Bare::Cr),
            ("\r\n\r\r\n", Bare::Cr),
            ("\r\na\r", Bare::Cr),
            ("\r\na\n\r\n", Bare::Lf),
            ("\r\na\r\n\r", Bare::Cr),
            ("\r\n.\rb", Bare::Cr),
            ("\r\n.\nb", Bare::Lf),
            ("\r\na\rb\nc", Bare::Cr),
        ] {
            assert_eq!(decoded(wire), Err(bare), "{wire:?}");
        }
    }
}
