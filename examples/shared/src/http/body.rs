//! A request body as a row of frames: what terminator comes next, and when it is over. Pure.

use asynchat::Terminator;

use super::{chunk_size, is_token};

/// Bytes of the line before a chunk, and of all trailers; past it the body is malformed.
pub const CHUNK_LINE: usize = 256;
pub const TRAILERS: usize = 8 * 1024;

/// Where in a body the connection is.
#[derive(Debug)]
pub struct Body {
    part: Part,
    /// Bytes of content there may still be.
    left: u64,
    /// Bytes of trailers there may still be.
    trailers: usize,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Content,
    ChunkSize,
    Chunk,
    ChunkEnd,
    Trailer,
}

/// What follows a frame.
#[derive(Debug)]
pub enum Next {
    Frame(Terminator),
    End,
}

/// Why a body is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBody {
    Malformed,
    TooLarge,
}

impl Body {
    /// A body of known length.
    pub fn counted(length: u64) -> (Self, Terminator) {
        (Self::new(Part::Content, 0), length.into())
    }

    /// A body in chunks, of at most `limit` bytes.
    pub fn chunked(limit: u64) -> (Self, Terminator) {
        (Self::new(Part::ChunkSize, limit), "\r\n".into())
    }

    fn new(part: Part, left: u64) -> Self {
        Self {
            part,
            left,
            trailers: TRAILERS,
            line: Vec::new(),
        }
    }

    /// Whether the current frame is content.
    pub fn is_in_content(&self) -> bool {
        matches!(self.part, Part::Content | Part::Chunk)
    }

    /// Takes bytes of the current frame. Content is forgotten.
    pub fn collect(&mut self, data: &[u8]) -> Result<(), BadBody> {
        let limit = match self.part {
            Part::Content | Part::Chunk => return Ok(()),
            Part::ChunkSize => CHUNK_LINE,
            Part::ChunkEnd => 0,
            Part::Trailer => self.trailers,
        };
        if self.line.len() + data.len() > limit {
            return Err(BadBody::Malformed);
        }
        self.line.extend_from_slice(data);
        // Said at once: a client that ends lines with a bare LF waits for an answer. A CR at the end may be half of a
        // line end.
        let before_last = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match memchr::memchr2(b'\r', b'\n', before_last) {
            Some(_) => Err(BadBody::Malformed),
            None => Ok(()),
        }
    }

    /// The current frame is complete.
    pub fn found(&mut self) -> Result<Next, BadBody> {
        let line = std::mem::take(&mut self.line);
        let (part, terminator) = match self.part {
            Part::Content => return Ok(Next::End),
            Part::ChunkSize => match chunk_size(&line).ok_or(BadBody::Malformed)? {
                0 => (Part::Trailer, "\r\n".into()),
                size => {
                    self.left = self.left.checked_sub(size).ok_or(BadBody::TooLarge)?;
                    (Part::Chunk, size.into())
                }
            },
            Part::Chunk => (Part::ChunkEnd, "\r\n".into()),
            Part::ChunkEnd => (Part::ChunkSize, "\r\n".into()),
            Part::Trailer if line.is_empty() => return Ok(Next::End),
            Part::Trailer if !is_trailer(&line) => return Err(BadBody::Malformed),
            Part::Trailer => {
                self.trailers -= line.len();
                (Part::Trailer, "\r\n".into())
            }
        };
        self.part = part;
        Ok(Next::Frame(terminator))
    }
}

/// Trailers are thrown away. But what is no header line there is a request that somebody else would see, and what
/// belongs into a head only (RFC 9110, 6.5.1) somebody else may put there.
fn is_trailer(line: &[u8]) -> bool {
    const OF_A_HEAD: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
    let name = line.iter().take_while(|&&byte| is_token(byte));
    let (name, rest) = line.split_at(name.count());
    !name.is_empty()
        && !OF_A_HEAD.iter().any(|head| head.eq_ignore_ascii_case(name))
        && rest.first() == Some(&b':')
        && !rest
            .iter()
            .any(|&byte| byte != b'\t' && byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a chunked body through; gives what is left over.
    fn read(mut input: &[u8], limit: u64) -> Result<usize, BadBody> {
        let (mut body, mut terminator) = Body::chunked(limit);
        loop {
            match &terminator {
                Terminator::Count(count) => {
                    let count = usize::try_from(*count).expect("small");
                    body.collect(&input[..count])?;
                    input = &input[count..];
                }
                _ => {
                    let end = memchr::memmem::find(input, b"\r\n").expect("a line");
                    if end > 0 {
                        body.collect(&input[..end])?;
                    }
                    input = &input[end + 2..];
                }
            }
            match body.found()? {
                Next::End => return Ok(input.len()),
                Next::Frame(next) => terminator = next,
            }
        }
    }

    #[test]
    fn chunks_end_where_they_say() {
        assert_eq!(read(b"0\r\n\r\nnext", 10), Ok(4));
        assert_eq!(
            read(
                b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET",
                15
            ),
            Ok(3)
        );
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for bad in [
            &b"5\r\nhelloX\r\n0\r\n\r\n"[..],
            b"\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\nX: y\r\nContent-LENGTH: 3\r\n\r\n",
        ] {
            assert_eq!(
                read(bad, 100),
                Err(BadBody::Malformed),
                "{:?}",
                bad.escape_ascii().to_string()
            );
        }
        for line in [&b"5;\n"[..], b"5\n", b"5\r5"] {
            let (mut body, _) = Body::chunked(10);
            let seen = line.iter().try_for_each(|&byte| body.collect(&[byte]));
            assert_eq!(seen, Err(BadBody::Malformed), "{}", line.escape_ascii());
        }
        let (mut body, _) = Body::chunked(10);
        assert!(body.collect(b"0").is_ok() && body.found().is_ok());
        assert_eq!(body.collect(b"\n"), Err(BadBody::Malformed));
        let long = [&b"1;"[..], &[b'x'; CHUNK_LINE], b"\r\n"].concat();
        assert_eq!(read(&long, 100), Err(BadBody::Malformed));
    }

    #[test]
    fn the_limit_counts_all_chunks_together() {
        assert_eq!(read(b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 10), Ok(0));
        assert_eq!(
            read(b"5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n", 10),
            Err(BadBody::TooLarge)
        );
        assert_eq!(read(b"fffffffffffffff\r\n", 10), Err(BadBody::TooLarge));
    }
}
