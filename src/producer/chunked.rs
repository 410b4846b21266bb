//! [`ChunkedProducer`]: HTTP/1.1 chunked transfer coding, RFC 9112 §7.1.

use std::{
    fmt::{self, Write},
    io, mem,
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{BLOCK, Fused, Produced, Producer};

/// Puts each piece of a producer into an HTTP/1.1 chunk (RFC 9112 §7.1), for a body of unknown length.
///
/// The header has to say `Transfer-Encoding: chunked`, and the peer has to speak HTTP/1.1. If the wrapped producer
/// fails, its error is passed on and the last chunk is left out, so the peer can tell a broken body from a complete
/// one. An empty piece is passed on outside any chunk, because a chunk of length 0 would end the body.
///
/// *Memory*: one block for a piece of up to 64 KiB with its framing, reused when the queue has dropped it. Longer
/// pieces are not copied. Each piece has its own framing: pass small ones through a
/// [`CoalescingProducer`](crate::CoalescingProducer) first.
///
/// ```
/// use asynchat::{ChunkedProducer, Produced, Producer};
///
/// let mut body = ChunkedProducer::new("hello, world").with_trailer("Digest", "md5=5Bo=")?;
/// assert_eq!(body.more()?, Produced::Data("C\r\nhello, world\r\n".into()));
/// assert_eq!(body.more()?, Produced::Data("0\r\nDigest: md5=5Bo=\r\n\r\n".into()));
/// assert_eq!(body.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct ChunkedProducer<P> {
    inner: Fused<P>,
    next: Next,
    framing: BytesMut,
    /// The lines between the last chunk and the final CRLF; `None` when the body has ended.
    trailers: Option<String>,
}

enum Next {
    Chunk,
    Data(Bytes),
    Crlf,
}

impl<P: Producer> ChunkedProducer<P> {
    /// Sends the pieces of `producer` as chunks.
    pub fn new(producer: P) -> Self {
        Self {
            inner: Fused::new(producer),
            next: Next::Chunk,
            framing: BytesMut::new(),
            trailers: Some(String::new()),
        }
    }

    /// Adds a trailer field, sent after the last chunk.
    ///
    /// Fields that frame, route or authenticate a message must not be trailers (RFC 9110 §6.5.1).
    ///
    /// # Errors
    /// `InvalidInput` if `name` is not a token (RFC 9110 §5.6.2), or if `value` has a control character other than tab:
    /// a line break in it could forge further fields.
    pub fn with_trailer(mut self, name: &str, value: &str) -> io::Result<Self> {
        let in_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let in_value = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
        if name.is_empty() || !name.bytes().all(in_token) || !value.bytes().all(in_value) {
            let what = format!("{name:?}: {value:?} is no trailer field");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if let Some(trailers) = &mut self.trailers {
            trailers.extend([name, ": ", value, "\r\n"]);
        }
        Ok(self)
    }

    fn chunk(&mut self, data: Bytes) -> Bytes {
        // To copy a block costs less than to send a size line and a CRLF on their own.
        let copied = Some(data.len()).filter(|&len| len <= BLOCK).unwrap_or(0);
        let needed = copied + "FFFFFFFFFFFFFFFF\r\n\r\n".len();
        if self.framing.capacity() < needed {
            // Enough for a good many size lines, lest each is an allocation.
            self.framing.reserve(needed.max(1024));
        }
        // Writing to memory cannot fail.
        let _ = write!(self.framing, "{:X}\r\n", data.len());
        if copied > 0 {
            self.framing.put_slice(&data);
            self.framing.put_slice(b"\r\n");
        } else {
            self.next = Next::Data(data);
        }
        self.framing.split().freeze()
    }
}

impl<P: Producer> Producer for ChunkedProducer<P> {
    fn more(&mut self) -> io::Result<Produced> {
        match mem::replace(&mut self.next, Next::Chunk) {
            Next::Chunk => {}
            Next::Data(data) => {
                self.next = Next::Crlf;
                return Ok(Produced::Data(data));
            }
            Next::Crlf => return Ok(Produced::Data(Bytes::from_static(b"\r\n"))),
        }
        match self.inner.more() {
            Ok(Produced::Data(data)) if !data.is_empty() => Ok(Produced::Data(self.chunk(data))),
            Ok(Produced::Done) => Ok(self.trailers.take().map_or(Produced::Done, |trailers| {
                Produced::Data(format!("0\r\n{trailers}\r\n").into())
            })),
            Err(error) => {
                self.trailers = None;
                Err(error)
            }
            answer => answer,
        }
    }
}

impl<P> fmt::Debug for ChunkedProducer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkedProducer")
            .field("ended", &self.trailers.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{answers, collect, data, failure, pending, script},
        *,
    };

    #[test]
    fn each_piece_is_a_chunk_and_the_last_chunk_ends_the_body() {
        let body = script([data("hello"), data("0123456789abcdefg")]);
        let hex = "11\r\n0123456789abcdefg\r\n";
        let chunks = ["5\r\nhello\r\n", hex, "0\r\n\r\n", "."];
        assert_eq!(answers(ChunkedProducer::new(body)), chunks);
        assert_eq!(answers(ChunkedProducer::new("")), ["0\r\n\r\n", "."]);
    }

    #[test]
    fn an_empty_piece_does_not_end_the_body() {
        let body = script([data(""), data("a"), data(""), data("b")]);
        let chunks = ["", "1\r\na\r\n", "", "1\r\nb\r\n", "0\r\n\r\n", "."];
        assert_eq!(answers(ChunkedProducer::new(body)), chunks);
    }

    #[test]
    fn an_error_leaves_the_last_chunk_out() {
        let body = ChunkedProducer::new(script([data("a"), pending(), failure()]));
        assert_eq!(answers(body), ["1\r\na\r\n", "~", "|broken"]);
    }

    #[test]
    fn a_large_piece_goes_out_uncopied_between_its_framing() {
        for len in [BLOCK, BLOCK + 1] {
            let piece = Bytes::from(vec![b'x'; len]);
            let mut expected = format!("{len:X}\r\n").into_bytes();
            expected.extend_from_slice(&piece);
            expected.extend_from_slice(b"\r\n0\r\n\r\n");
            assert_eq!(collect(ChunkedProducer::new(piece)).unwrap(), expected);
        }
        let piece = Bytes::from(vec![b'x'; 70_000]);
        let mut body = ChunkedProducer::new(piece.clone());
        assert_eq!(body.more().unwrap(), data("11170\r\n").unwrap());
        let Produced::Data(given) = body.more().unwrap() else {
            panic!("no data")
        };
        assert_eq!(given.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn trailers_come_after_the_last_chunk_and_forge_nothing() {
        let body = ChunkedProducer::new("").with_trailer("A", "1").unwrap();
        let body = body.with_trailer("B-b", "\"x\"\ty").unwrap();
        assert_eq!(answers(body), ["0\r\nA: 1\r\nB-b: \"x\"\ty\r\n\r\n", "."]);
        for (name, value) in [("", "1"), ("a:", "1"), ("a", "1\r\nb: 2")] {
            let body = ChunkedProducer::new("");
            let error = body.with_trailer(name, value).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
