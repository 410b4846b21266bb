//! From the line ends of the network to those of files.

use std::io::{self, Write};

/// Writes CR LF as LF, as programs expect it in files. A CR that stands alone stays.
#[derive(Debug)]
pub struct LineEnds<W> {
    to: W,
    /// A CR that may belong to a line end.
    held: bool,
}

impl<W: Write> LineEnds<W> {
    pub fn new(to: W) -> Self {
        Self { to, held: false }
    }

    /// The end of the text.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        if self.held {
            self.to.write_all(b"\r")?;
        }
        Ok(self.to)
    }
}

impl<W: Write> Write for LineEnds<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut rest = data;
        if self.held && !rest.is_empty() {
            self.held = false;
            if rest[0] != b'\n' {
                self.to.write_all(b"\r")?;
            }
        }
        while let Some(at) = memchr::memchr(b'\r', rest) {
            self.to.write_all(&rest[..at])?;
            rest = &rest[at + 1..];
            match rest.first() {
                None => self.held = true,
                Some(b'\n') => {}
                Some(_) => self.to.write_all(b"\r")?,
            }
        }
        self.to.write_all(rest)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_however_it_is_cut() {
        let text = b"a\r\n\r\nb\rc\r\r\nd\ne\r";
        for size in 1..=text.len() {
            let mut lines = LineEnds::new(Vec::new());
            for piece in text.chunks(size) {
                lines.write_all(piece).expect("memory");
            }
            assert_eq!(lines.finish().expect("memory"), b"a\n\nb\rc\r\nd\ne\r");
        }
    }
}
