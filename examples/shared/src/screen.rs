//! What strangers send, made fit for a terminal.

use std::io::{self, IsTerminal, Write};

use crate::text::is_unprintable;

/// A terminal that a body is written to: line ends and tabs are kept, everything else that is not to be seen becomes a
/// replacement character. A CR is left out, the one of a line end too.
pub struct Screen<W> {
    terminal: W,
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
}

impl<W> Screen<W> {
    pub fn new(terminal: W) -> Self {
        Self {
            terminal,
            begun: Vec::new(),
        }
    }

    pub fn get_mut(&mut self) -> &mut W {
        &mut self.terminal
    }
}

impl<W: Write> Screen<W> {
    fn show(&mut self, text: &str) -> io::Result<()> {
        let keep = |c: char| matches!(c, '\n' | '\t');
        let unwanted = |c: char| is_unprintable(c) && !keep(c);
        let shown = text.replace('\r', "").replace(unwanted, "\u{fffd}");
        self.terminal.write_all(shown.as_bytes())
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let bytes = [std::mem::take(&mut self.begun).as_slice(), data].concat();
        let last = bytes.utf8_chunks().last();
        let rest = last.map_or(&[][..], |chunk| chunk.invalid());
        let begun = match std::str::from_utf8(rest) {
            Err(error) if error.error_len().is_none() => rest.len(),
            _ => 0,
        };
        let (complete, begun) = bytes.split_at(bytes.len() - begun);
        self.begun = begun.to_vec();
        self.show(&String::from_utf8_lossy(complete))?;
        Ok(data.len())
    }

    /// At the end: what has begun stays without its rest.
    fn flush(&mut self) -> io::Result<()> {
        let begun = std::mem::take(&mut self.begun);
        self.show(&String::from_utf8_lossy(&begun))?;
        self.terminal.flush()
    }
}

/// Standard output for bytes of strangers: as they came into a file or pipe, fit to be seen on a terminal.
pub fn stdout() -> Box<dyn Write> {
    match io::stdout().is_terminal() {
        true => Box::new(Screen::new(io::stdout())),
        false => Box::new(io::stdout()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_text_and_no_control_characters_however_the_text_is_cut() {
        let body = b"a\x1b[2J\tb\r\n\xc2\x9b1m \xe2\x80\xaec \xff\xc3\xa4\xf0\x9f\x98\x80\xe2\x80";
        let shown = "a\u{fffd}[2J\tb\n\u{fffd}1m \u{fffd}c \u{fffd}\u{e4}\u{1f600}\u{fffd}";
        for size in 1..=body.len() {
            let mut terminal = Vec::new();
            let mut screen = Screen::new(&mut terminal);
            for piece in body.chunks(size) {
                screen.write_all(piece).expect("memory");
            }
            screen.flush().expect("memory");
            assert_eq!(String::from_utf8_lossy(&terminal), shown, "{size}");
        }
    }
}
