//! The answer as it comes in: what the bytes up to the next terminator are, and how far the answer is.

use asynchat::{Result, Terminator};

use super::response::{BadAnswer, Body, chunk_size, may_be_http};

/// The longest header, and the longest trailer behind a chunked body.
const MAX_HEADER: usize = 64 * 1024;
/// The longest line that gives the size of a chunk.
const MAX_LINE: usize = 4 * 1024;

/// What ends a line. A header may do without the CR before it.
pub(super) const LINE_END: &str = "\n";

/// What the bytes up to the next terminator are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expecting {
    /// The proxy's answer to CONNECT.
    Tunnel,
    Head,
    Body(Body),
    ChunkSize,
    Chunk,
    ChunkEnd,
    Trailer,
}

pub(super) struct Incoming {
    pub(super) expecting: Expecting,
    /// The header, trailer or line begun.
    collected: Vec<u8>,
    received: u64,
    max_size: Option<u64>,
}

impl Incoming {
    pub(super) fn new(max_size: Option<u64>) -> Self {
        Self {
            expecting: Expecting::Head,
            collected: Vec::new(),
            received: 0,
            max_size,
        }
    }

    /// What ends the body's first part. A chunked one begins with a line.
    pub(super) fn begin_body(&mut self, body: Body) -> Result<Terminator> {
        if let Body::Length(length) = body {
            self.check_size(length)?;
        }
        self.expecting = Expecting::Body(body);
        Ok(match body {
            Body::Absent => 0.into(),
            Body::Length(length) => length.into(),
            Body::UntilClose => Terminator::None,
            Body::Chunked => {
                self.expecting = Expecting::ChunkSize;
                LINE_END.into()
            }
        })
    }

    /// What ends the chunk whose size the line gives, or the line behind the last chunk.
    pub(super) fn begin_chunk(&mut self) -> Result<Terminator> {
        let line = std::mem::take(&mut self.collected);
        Ok(match chunk_size(without_cr(&line)?)? {
            0 => {
                self.expecting = Expecting::Trailer;
                LINE_END.into()
            }
            size => {
                self.check_size(size)?;
                self.expecting = Expecting::Chunk;
                size.into()
            }
        })
    }

    pub(super) fn end_chunk(&mut self) -> Result {
        self.expecting = Expecting::ChunkSize;
        without_cr(&std::mem::take(&mut self.collected)).map(drop)
    }

    pub(super) fn is_body(&self) -> bool {
        matches!(self.expecting, Expecting::Body(_) | Expecting::Chunk)
    }

    /// Counts bytes of the body.
    pub(super) fn take(&mut self, bytes: usize) -> Result {
        let more = bytes as u64;
        self.check_size(more)?;
        self.received += more;
        Ok(())
    }

    /// Whether this number of further bytes of the body is within the bound.
    fn check_size(&self, more: u64) -> Result {
        match self.max_size {
            Some(max) if more > max.saturating_sub(self.received) => {
                Err(format!("the body is larger than {max} bytes").into())
            }
            _ => Ok(()),
        }
    }

    /// Keeps part of a line. What is said of it early depends on the bytes alone, not on where they were cut: another
    /// protocol may never send a line end.
    pub(super) fn take_part_of_line(&mut self, data: &[u8]) -> Result {
        self.collected.extend_from_slice(data);
        let limit = |bytes: usize, error: &str| match self.collected.len() > bytes {
            true => Err(format!("{error} longer than {bytes} bytes").into()),
            false => Ok(()),
        };
        match self.expecting {
            Expecting::Head if !may_be_http(&self.collected) => Err(BadAnswer::NotHttp.into()),
            Expecting::Tunnel if !may_be_http(&self.collected) => {
                Err("the proxy does not speak HTTP/1".into())
            }
            Expecting::Head | Expecting::Tunnel => limit(MAX_HEADER, "header"),
            Expecting::Trailer => limit(MAX_HEADER, "trailer"),
            Expecting::ChunkEnd if self.collected != b"\r" => {
                Err("malformed chunk: it is longer than announced".into())
            }
            _ => limit(MAX_LINE, "malformed chunk: a line"),
        }
    }

    /// Header or trailer, if this line ends it: an empty one.
    pub(super) fn lines_complete(&mut self) -> Option<Vec<u8>> {
        let begun = memchr::memrchr(b'\n', &self.collected).map_or(0, |at| at + 1);
        if let [] | b"\r" = &self.collected[begun..] {
            self.collected.truncate(begun);
            return Some(std::mem::take(&mut self.collected));
        }
        self.collected.push(b'\n');
        None
    }

    /// Where the answer stood when it ended like this.
    pub(super) fn cut_short(&self, how: &str) -> String {
        let received = self.received;
        match self.expecting {
            Expecting::Tunnel => format!("{how} without a tunnel of the proxy"),
            Expecting::Head if self.collected.is_empty() => format!("{how} without an answer"),
            Expecting::Head => format!("{how} within the header"),
            Expecting::Body(Body::Length(length)) => {
                format!("{how} after {received} of {length} bytes of the body")
            }
            _ => format!("{how} before the end of the body, after {received} bytes"),
        }
    }
}

/// A line of the chunked coding: its ends are CRLF and nothing else, unlike those of a header.
fn without_cr(line: &[u8]) -> Result<&[u8]> {
    line.strip_suffix(b"\r")
        .ok_or_else(|| "malformed chunk: a line ends in LF alone".into())
}
