//! Text on its way to a server that a lone dot ends (RFC 5321, 4.5.2; RFC 3977, 3.1.1): line ends are CRLF, a line that begins
//! with a dot gets a second one, and the lone dot follows. The other direction is [`dots`](crate::dots).

use std::io;

use asynchat::{EscapingProducer, Produced, Producer};

/// The line that ends a text.
const END: &str = ".\r\n";

/// Makes each line end a CRLF: an LF, and a CR that stands alone too. A server that took one of them for a line end would
/// see other lines than its neighbour (SMTP smuggling).
pub fn crlf(text: impl Producer) -> impl Producer {
    let one_byte = EscapingProducer::replacing(text, "\r\n", "\n");
    let one_kind = EscapingProducer::replacing(one_byte, "\r", "\n");
    EscapingProducer::replacing(one_kind, "\n", "\r\n")
}

/// The whole of what is sent for a text with line ends of any kind, the lone dot included.
pub fn dot_ended(text: impl Producer) -> impl Producer {
    Ended {
        text: EscapingProducer::new(crlf(text)),
        in_line: false,
        over: false,
    }
}

struct Ended<P> {
    text: P,
    /// The last line has no end yet.
    in_line: bool,
    over: bool,
}

impl<P: Producer> Producer for Ended<P> {
    fn more(&mut self) -> io::Result<Produced> {
        if self.over {
            return Ok(Produced::Done);
        }
        let answer = self.text.more();
        // A text that cannot be read is not whole, so it gets no end.
        self.over = answer.is_err();
        Ok(match answer? {
            Produced::Data(data) => {
                if let Some(&last) = data.last() {
                    self.in_line = last != b'\n';
                }
                Produced::Data(data)
            }
            Produced::Done => {
                self.over = true;
                let line_end = if self.in_line { "\r\n" } else { "" };
                Produced::Data(format!("{line_end}{END}").into())
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use asynchat::ReaderProducer;

    use super::*;

    fn sent(mut producer: impl Producer) -> String {
        let mut all = Vec::new();
        while let Produced::Data(data) = producer.more().expect("a text in memory") {
            all.extend_from_slice(&data);
        }
        String::from_utf8(all).expect("ASCII")
    }

    #[test]
    fn a_text_is_sent_in_lines_without_a_lone_dot_however_it_is_cut() {
        for (text, expected) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\n", "a\r\n.\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n.\r\n"),
            ("a\rb\r", "a\r\nb\r\n.\r\n"),
            ("a\n\rb\r\r\n", "a\r\n\r\nb\r\n\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".a\n..\n.", "..a\r\n...\r\n..\r\n.\r\n"),
            // What SMTP smuggling tries.
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\n\r.\r\nb", "a\r\n\r\n..\r\nb\r\n.\r\n"),
            ("a\r\n.\r\r\nb", "a\r\n..\r\n\r\nb\r\n.\r\n"),
        ] {
            for size in [1, 2, 3, 1000] {
                let pieces = ReaderProducer::new(text.as_bytes()).with_block_size(size);
                assert_eq!(sent(dot_ended(pieces)), expected, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_text_that_cannot_be_read_is_not_ended() {
        let mut failed = false;
        let broken = asynchat::from_fn(move || match std::mem::replace(&mut failed, true) {
            false => Ok(Produced::Data("a\n".into())),
            true => Err(io::Error::other("gone")),
        });
        let mut text = dot_ended(broken);
        let mut all = Vec::new();
        let error = loop {
            match text.more() {
                Ok(Produced::Data(data)) => all.extend_from_slice(&data),
                other => break other,
            }
        };
        assert!(error.is_err());
        assert_eq!(text.more().ok(), Some(Produced::Done));
        assert_eq!(all, b"a\r\n");
    }
}
