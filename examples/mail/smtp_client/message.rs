//! A message to be sent: measured first, then read again as the server takes it, so that its size costs no memory.

use std::{
    ffi::OsStr,
    io::{self, Read},
};

use asynchat::{ChainProducer, ReaderProducer};

use shared::{
    smtp::client::Measure,
    source::{Source, label},
};

use crate::header::Header;

/// Bytes of a message that show whether it begins with a header.
const BEGINNING: u64 = 1000;

pub(crate) struct Message {
    pub(crate) label: String,
    pub(crate) measure: Measure,
    /// Made for it; empty if it has one.
    header: Vec<u8>,
    source: Source,
}

impl Message {
    /// # Errors
    /// The file cannot be read; it is no message, and no header is made for it.
    pub(crate) fn read(
        name: &OsStr,
        header: Option<&Header<'_>>,
        max_line: usize,
    ) -> io::Result<Self> {
        let source = Source::new(name)?;
        let header = match header {
            Some(header) => {
                let text = ReaderProducer::file(source.open()?);
                let text = Measure::of(text, max_line)?;
                header.write(text.eight_bit)
            }
            None => {
                let mut beginning = Vec::new();
                source.open()?.take(BEGINNING).read_to_end(&mut beginning)?;
                if !begins_with_a_field(&beginning) {
                    let error = "it does not begin with a header field; --subject makes a header";
                    return Err(io::Error::other(error));
                }
                Vec::new()
            }
        };
        let mut message = Self {
            label: label(name),
            measure: Measure::default(),
            header,
            source,
        };
        message.measure = Measure::of(message.text()?, max_line)?;
        Ok(message)
    }

    pub(crate) fn text(&self) -> io::Result<ChainProducer> {
        let text = ReaderProducer::file(self.source.open()?);
        Ok(ChainProducer::new().with(self.header.clone()).with(text))
    }
}

/// A name and a colon (RFC 5322, 2.2). Old software puts spaces between them.
fn begins_with_a_field(text: &[u8]) -> bool {
    let name = text.split(|&byte| byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii_end();
    name.len() < text.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_a_field() {
        for (text, begins) in [
            (&b"A: b"[..], true),
            (b"Subject:\n", true),
            (b"Subject :x", true),
            (b"", false),
            (b"Subject", false),
            (b": x", false),
            (b"\nA: b", false),
            (b"Hello, this is: text", false),
            (b"From a@x.example Mon Jan  1 00:00:00 2026\n", false),
            (b"\xef\xbb\xbfA: b", false),
        ] {
            assert_eq!(begins_with_a_field(text), begins, "{text:?}");
        }
    }
}
