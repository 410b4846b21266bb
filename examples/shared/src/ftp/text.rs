//! Line ends of text (TYPE A): CR LF on the way (RFC 959, 3.1.1.1), LF here.

use std::io::{self, Read};

use asynchat::{Produced, Producer};
use memchr::memchr;

/// Bytes of a file that are read at once.
const BLOCK: usize = 64 * 1024;

/// Takes text off the wire in pieces of any size: CR LF becomes LF, any other CR stays.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// A CR came last, and was not given yet.
    cr: bool,
}

impl Decoder {
    pub(super) fn piece(&mut self, mut data: &[u8], text: &mut Vec<u8>) {
        if self.cr && !data.is_empty() {
            self.cr = false;
            if data[0] != b'\n' {
                text.push(b'\r');
            }
        }
        while let Some(cr) = memchr(b'\r', data) {
            let rest = &data[cr + 1..];
            let kept = match rest.first() {
                Some(b'\n') => cr,
                Some(_) => cr + 1,
                None => {
                    self.cr = true;
                    cr
                }
            };
            text.extend_from_slice(&data[..kept]);
            data = rest;
        }
        text.extend_from_slice(data);
    }

    /// The end of the text.
    pub(super) fn end(&mut self, text: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            text.push(b'\r');
        }
    }
}

/// Gives the bytes of a reader with CR LF for each LF that has no CR before it.
pub(super) struct Encoder<R> {
    reader: R,
    block: Vec<u8>,
    cr: bool,
}

impl<R: Read> Encoder<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            block: vec![0; BLOCK],
            cr: false,
        }
    }
}

impl<R: Read> Producer for Encoder<R> {
    fn more(&mut self) -> io::Result<Produced> {
        let n = loop {
            match self.reader.read(&mut self.block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if n == 0 {
            return Ok(Produced::Done);
        }
        let mut text = Vec::with_capacity(n + n / 32);
        for line in self.block[..n].split_inclusive(|&byte| byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) if !line.last().map_or(self.cr, |&last| last == b'\r') => {
                    text.extend_from_slice(line);
                    text.extend_from_slice(b"\r\n");
                }
                _ => text.extend_from_slice(line),
            }
            self.cr = line.last() == Some(&b'\r');
        }
        Ok(Produced::Data(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_change_however_the_text_is_cut() {
        for (wire, here) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\nb", "a\nb"),
            ("\r\n\r\n\r\r\n", "\n\n\r\n"),
            ("\r", "\r"),
            ("a\rb\r\r", "a\rb\r\r"),
            ("\r\0x\r\n", "\r\0x\n"),
            ("", ""),
        ] {
            for size in 1..=wire.len().max(1) {
                let (mut decoder, mut text) = (Decoder::default(), Vec::new());
                for piece in wire.as_bytes().chunks(size) {
                    decoder.piece(piece, &mut text);
                }
                decoder.end(&mut text);
                assert_eq!(text, here.as_bytes(), "{wire:?} in pieces of {size}");
            }
        }
    }

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buffer.len());
            self.0.read(&mut buffer[..n])
        }
    }

    #[test]
    fn a_file_gets_the_line_ends_of_the_wire_however_it_is_read() {
        for (here, wire) in [
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\r\nb", "a\r\nb"),
            ("\n\n\r\n\n", "\r\n\r\n\r\n\r\n"),
            ("a\rb\r", "a\rb\r"),
            ("", ""),
        ] {
            for size in 1..=here.len().max(1) {
                let mut encoder = Encoder::new(Slow(here.as_bytes(), size));
                let mut sent = Vec::new();
                while let Produced::Data(data) = encoder.more().expect("memory") {
                    sent.extend_from_slice(&data);
                }
                assert_eq!(sent, wire.as_bytes(), "{here:?} in pieces of {size}");
            }
        }
    }
}
