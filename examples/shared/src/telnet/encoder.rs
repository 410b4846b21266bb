//! Text on its way to the server.

use super::command::IAC;

/// Takes text in pieces of any size. Lines may end in LF or in CR LF.
#[derive(Debug, Default)]
pub struct Encoder {
    /// A CR came last, and was not given yet.
    cr: bool,
}

impl Encoder {
    /// LF becomes CR LF, a CR that is alone CR NUL (RFC 854), and an IAC in the text is doubled. `binary`: the last of
    /// them alone.
    pub fn text(&mut self, text: &[u8], binary: bool, to: &mut Vec<u8>) {
        for &byte in text {
            match (std::mem::take(&mut self.cr), byte) {
                (_, b'\n') if !binary => to.extend_from_slice(b"\r\n"),
                (cr, byte) => {
                    if cr {
                        to.extend_from_slice(b"\r\0");
                    }
                    match byte {
                        b'\r' if !binary => self.cr = true,
                        IAC => to.extend_from_slice(&[IAC, IAC]),
                        byte => to.push(byte),
                    }
                }
            }
        }
    }

    /// No LF follows, as behind a key that was pressed.
    pub fn end(&mut self, to: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            to.extend_from_slice(b"\r\0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_network_has_it_however_they_are_cut() {
        for (text, binary, sent) in [
            (&b"ls\n"[..], false, &b"ls\r\n"[..]),
            (b"ls\r\n", false, b"ls\r\n"),
            (b"a\rb\r\r\n\r", false, b"a\r\0b\r\0\r\n\r\0"),
            (b"\n\n", false, b"\r\n\r\n"),
            (b"\xff\r\xff", false, b"\xff\xff\r\0\xff\xff"),
            (b"a\r\n\r\xff", true, b"a\r\n\r\xff\xff"),
            (b"", false, b""),
        ] {
            for size in 1..=text.len().max(1) {
                let (mut encoder, mut found) = (Encoder::default(), Vec::new());
                for piece in text.chunks(size) {
                    encoder.text(piece, binary, &mut found);
                }
                encoder.end(&mut found);
                assert_eq!(found, sent, "{text:?} by {size}");
            }
        }
    }
}
