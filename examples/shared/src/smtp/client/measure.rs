//! What a message needs of a server, found out in one pass before it is sent.

use std::io;

use asynchat::{Produced, Producer};

use crate::stuffing;

/// Bytes of a line, without its end (RFC 5321, 4.5.3.1.6).
pub const MAX_LINE: usize = 998;

/// Of a text as it is sent, but without the dots that are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub bytes: u64,
    /// Whether bytes above 127 are in it.
    pub eight_bit: bool,
    /// Whether such bytes are in its header, above the first empty line.
    pub international_header: bool,
    /// Number, counted from 1, and bytes of the first line that is too long.
    pub long_line: Option<(u64, u64)>,
    /// Number of the first line with a NUL.
    pub nul_line: Option<u64>,
}

impl Measure {
    /// Reads a text to its end, in pieces. Lines may have `max_line` bytes.
    ///
    /// # Errors
    /// Those of the text; a text that is not there at once.
    pub fn of(text: impl Producer, max_line: usize) -> io::Result<Self> {
        let mut text = stuffing::crlf(text);
        let mut reading = Reading::default();
        loop {
            match text.more()? {
                Produced::Data(data) => reading.take(&data, max_line as u64),
                Produced::Done => return Ok(reading.end(max_line as u64)),
                _ => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    found: Measure,
    /// Lines that have ended.
    lines: u64,
    /// Bytes of the current line.
    line: u64,
    in_body: bool,
}

impl Reading {
    fn take(&mut self, data: &[u8], max_line: u64) {
        self.found.bytes += data.len() as u64;
        for part in data.split_inclusive(|&byte| byte == b'\n') {
            if !part.is_ascii() {
                self.found.eight_bit = true;
                self.found.international_header |= !self.in_body;
            }
            if self.found.nul_line.is_none() && memchr::memchr(0, part).is_some() {
                self.found.nul_line = Some(self.lines + 1);
            }
            self.line += part.len() as u64;
            if part.ends_with(b"\n") {
                // The CR may have come in the piece before.
                self.line -= 2;
                self.line_end(max_line);
            }
        }
    }

    fn line_end(&mut self, max_line: u64) {
        self.lines += 1;
        self.in_body |= self.line == 0;
        if self.line > max_line && self.found.long_line.is_none() {
            self.found.long_line = Some((self.lines, self.line));
        }
        self.line = 0;
    }

    fn end(mut self, max_line: u64) -> Measure {
        if self.line > 0 {
            self.found.bytes += 2;
            self.line_end(max_line);
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use asynchat::ReaderProducer;

    use super::*;

    #[test]
    fn a_text_is_measured_however_it_is_cut() {
        let plain = |bytes| Measure {
            bytes,
            ..Measure::default()
        };
        for (text, expected) in [
            (&b""[..], plain(0)),
            (b"a", plain(3)),
            (b"a\n.b\r\nc\r", plain(10)),
            (
                b"A: b\n\n\xe4",
                Measure {
                    eight_bit: true,
                    ..plain(11)
                },
            ),
            (
                b"A: \xe4\n\nb",
                Measure {
                    eight_bit: true,
                    international_header: true,
                    ..plain(11)
                },
            ),
            (b"\n1234567890", plain(14)),
            (
                b"\n12345678901\n\n123456789012",
                Measure {
                    long_line: Some((2, 11)),
                    ..plain(31)
                },
            ),
            (
                b"\n\n12345678901\0",
                Measure {
                    long_line: Some((3, 12)),
                    nul_line: Some(3),
                    ..plain(18)
                },
            ),
        ] {
            for size in [1, 2, 3, 1000] {
                let pieces = ReaderProducer::new(text).with_block_size(size);
                let measure = Measure::of(pieces, 10).expect("a text in memory");
                assert_eq!(measure, expected, "{text:?} by {size}");
            }
        }
    }
}
