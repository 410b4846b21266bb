//! Lines ended by exactly CRLF, as a codec: a lone CR or LF is data, which tokio-util's
//! `LinesCodec` would not have.

use std::io::{self, ErrorKind};

use bytes::{BufMut as _, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

const LONGEST: usize = 64 * 1024;

/// Takes the CRLF off when decoding, puts it on when encoding.
#[derive(Default)]
pub(crate) struct Crlf {
    /// How much of the buffer is known to hold no end of line.
    searched: usize,
}

impl Decoder for Crlf {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        while let Some(at) = memchr::memchr(b'\n', &buffer[self.searched..]) {
            let newline = self.searched + at;
            self.searched = newline + 1;
            if newline > 0 && buffer[newline - 1] == b'\r' {
                let mut line = buffer.split_to(self.searched);
                line.truncate(newline - 1);
                self.searched = 0;
                return Ok(Some(line));
            }
        }
        self.searched = buffer.len();
        if self.searched > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(None)
    }

    /// What the peer left unfinished is no line, and no error either.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        self.decode(buffer)
    }
}

impl Encoder<BytesMut> for Crlf {
    type Error = io::Error;

    fn encode(&mut self, line: BytesMut, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.reserve(line.len() + 2);
        buffer.put_slice(&line);
        buffer.put_slice(b"\r\n");
        Ok(())
    }
}
