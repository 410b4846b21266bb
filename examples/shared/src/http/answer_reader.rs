//! Reads answers off a connection, one after another. Pure: it is given the frames of a chat, and answers with what was found
//! and the terminator of the next frame. Content is not kept.

use asynchat::Terminator;

use super::response::{BadAnswer, Body, Head, check_trailer, chunk_size, may_be_http};

/// The longest header, and the longest trailer behind a chunked body.
pub const MAX_HEADER: usize = 64 * 1024;
/// The longest line that gives the size of a chunk.
pub const MAX_LINE: usize = 4 * 1024;
/// A server that has more to say before it comes to the point is not going to.
pub const MAX_INTERIM: usize = 16;
/// What ends a line. A header may do without the CR before it.
pub const LINE_END: &str = "\n";

/// What the bytes up to the next terminator are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    /// No request is under way.
    Nothing,
    Head,
    Content(Body),
    ChunkSize,
    Chunk,
    ChunkEnd,
    Trailer,
}

/// One connection's answers.
#[derive(Debug)]
pub struct AnswerReader {
    expecting: Expecting,
    to_head: bool,
    /// The header, trailer or line begun.
    collected: Vec<u8>,
    interim: usize,
}

/// What a frame led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing to speak of.
    Nothing,
    /// A provisional answer; the real one is still to come.
    Interim(Head),
    /// The head of the answer. [`AnswerReader::has_ended`] says whether that is all.
    Head(Head, Body),
    /// A chunk of this size comes.
    Chunk(u64),
    ChunkEnd,
    /// The answer is complete.
    End,
}

/// Why nothing more can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bad {
    Answer(BadAnswer),
    /// Bytes came where no answer was due.
    Unasked,
    HeaderTooLong,
    LineTooLong,
    TooManyInterim,
    /// A chunk is longer than announced, or a line of the coding ends in LF alone.
    Chunk,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(bad) => bad.fmt(f),
            Self::Unasked => f.write_str("the server sent more than was asked for"),
            Self::HeaderTooLong => write!(f, "header or trailer longer than {MAX_HEADER} bytes"),
            Self::LineTooLong => write!(f, "malformed chunk: a line longer than {MAX_LINE} bytes"),
            Self::TooManyInterim => write!(f, "more than {MAX_INTERIM} interim answers"),
            Self::Chunk => f.write_str("malformed chunk"),
        }
    }
}

impl std::error::Error for Bad {}

impl From<BadAnswer> for Bad {
    fn from(bad: BadAnswer) -> Self {
        Self::Answer(bad)
    }
}

impl Default for AnswerReader {
    fn default() -> Self {
        Self {
            expecting: Expecting::Nothing,
            to_head: false,
            collected: Vec::new(),
            interim: 0,
        }
    }
}

impl AnswerReader {
    /// A request is on its way; `to_head` says whether it is a HEAD. The next frame ends with [`LINE_END`].
    pub fn begin(&mut self, to_head: bool) {
        self.expecting = Expecting::Head;
        self.to_head = to_head;
        self.interim = 0;
        self.collected.clear();
    }

    /// Whether no answer is due.
    pub fn has_ended(&self) -> bool {
        self.expecting == Expecting::Nothing
    }

    /// Whether the bytes of the current frame are content.
    pub fn is_in_content(&self) -> bool {
        matches!(self.expecting, Expecting::Content(_) | Expecting::Chunk)
    }

    /// Whether the end of the connection is the end of the answer.
    pub fn ends_with_connection(&self) -> bool {
        self.expecting == Expecting::Content(Body::UntilClose)
    }

    /// Takes bytes of the current frame. What is said of them early depends on the bytes alone, not on where they were cut.
    pub fn collect(&mut self, data: &[u8]) -> Result<(), Bad> {
        let limit = match self.expecting {
            Expecting::Nothing => return Err(Bad::Unasked),
            Expecting::Content(_) | Expecting::Chunk => return Ok(()),
            Expecting::Head | Expecting::Trailer => MAX_HEADER,
            Expecting::ChunkSize | Expecting::ChunkEnd => MAX_LINE,
        };
        self.collected.extend_from_slice(data);
        match self.expecting {
            Expecting::Head if !may_be_http(&self.collected) => Err(BadAnswer::NotHttp.into()),
            Expecting::ChunkEnd if self.collected != b"\r" => Err(Bad::Chunk),
            _ if self.collected.len() <= limit => Ok(()),
            Expecting::ChunkSize => Err(Bad::LineTooLong),
            _ => Err(Bad::HeaderTooLong),
        }
    }

    /// The current frame is complete.
    pub fn found(&mut self) -> Result<(Found, Option<Terminator>), Bad> {
        Ok(match self.expecting {
            Expecting::Nothing => return Err(Bad::Unasked),
            Expecting::Head => match self.lines_complete()? {
                true => self.take_head()?,
                false => (Found::Nothing, None),
            },
            Expecting::Content(_) => self.end(),
            Expecting::ChunkSize => {
                let size = chunk_size(self.line()?)?;
                self.collected.clear();
                match size {
                    0 => {
                        self.expecting = Expecting::Trailer;
                        (Found::Nothing, None)
                    }
                    size => {
                        self.expecting = Expecting::Chunk;
                        (Found::Chunk(size), Some(size.into()))
                    }
                }
            }
            Expecting::Chunk => {
                self.expecting = Expecting::ChunkEnd;
                (Found::Nothing, Some(LINE_END.into()))
            }
            Expecting::ChunkEnd => {
                self.line()?;
                self.collected.clear();
                self.expecting = Expecting::ChunkSize;
                (Found::ChunkEnd, None)
            }
            Expecting::Trailer => match self.lines_complete()? {
                true => {
                    check_trailer(&self.collected)?;
                    self.end()
                }
                false => (Found::Nothing, None),
            },
        })
    }

    fn end(&mut self) -> (Found, Option<Terminator>) {
        self.expecting = Expecting::Nothing;
        self.collected.clear();
        self.collected.shrink_to(1024);
        (Found::End, Some(LINE_END.into()))
    }

    fn take_head(&mut self) -> Result<(Found, Option<Terminator>), Bad> {
        let head = Head::parse(&self.collected)?;
        self.collected.clear();
        if head.is_interim() {
            self.interim += 1;
            return match self.interim > MAX_INTERIM {
                true => Err(Bad::TooManyInterim),
                false => Ok((Found::Interim(head), None)),
            };
        }
        let body = head.body(self.to_head)?;
        let terminator = match body {
            Body::Absent | Body::Length(0) => {
                self.end();
                None
            }
            Body::Length(length) => Some(length.into()),
            Body::UntilClose => Some(Terminator::None),
            Body::Chunked => None,
        };
        if !self.has_ended() {
            self.expecting = match body {
                Body::Chunked => Expecting::ChunkSize,
                body => Expecting::Content(body),
            };
        }
        Ok((Found::Head(head, body), terminator))
    }

    /// A line of the chunked coding: its ends are CRLF and nothing else, unlike those of a header.
    fn line(&self) -> Result<&[u8], Bad> {
        self.collected.strip_suffix(b"\r").ok_or(Bad::Chunk)
    }

    /// Whether this line, an empty one, ends the header or trailer.
    fn lines_complete(&mut self) -> Result<bool, Bad> {
        let begun = memchr::memrchr(b'\n', &self.collected).map_or(0, |at| at + 1);
        if let [] | b"\r" = &self.collected[begun..] {
            self.collected.truncate(begun);
            return match begun == 0 && self.expecting == Expecting::Head {
                true => Err(BadAnswer::NotHttp.into()),
                false => Ok(true),
            };
        }
        self.collected.push(b'\n');
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in these bytes, and how the reader stands behind them.
    fn read(to_head: bool, mut input: &[u8], piece: usize) -> Result<(String, bool), Bad> {
        let mut reader = AnswerReader::default();
        reader.begin(to_head);
        let mut terminator = Terminator::from(LINE_END);
        let mut seen = String::new();
        while !input.is_empty() {
            let (end, skip) = match &terminator {
                Terminator::Count(count) => (usize::try_from(*count).expect("small"), 0),
                Terminator::None => (usize::MAX, 0),
                _ => match memchr::memchr(b'\n', input) {
                    Some(end) => (end, 1),
                    None => (usize::MAX, 0),
                },
            };
            let whole = end <= input.len();
            for piece in input[..end.min(input.len())].chunks(piece) {
                if reader.is_in_content() {
                    seen.push_str(&piece.escape_ascii().to_string());
                }
                reader.collect(piece)?;
            }
            if !whole {
                break;
            }
            input = &input[end + skip..];
            let (found, next) = reader.found()?;
            seen.push_str(&match found {
                Found::Nothing => String::new(),
                Found::Interim(head) => format!("<{}>", head.status),
                Found::Head(head, body) => format!("[{} {body:?}]", head.status),
                Found::Chunk(size) => format!("({size}:"),
                Found::ChunkEnd => ")".into(),
                Found::End => ".".into(),
            });
            if let Some(next) = next {
                terminator = next;
            }
        }
        Ok((seen, reader.has_ended()))
    }

    #[test]
    fn answers_end_where_they_say_however_they_are_cut() {
        for (to_head, input, seen, ended) in [
            (
                false,
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                "[200 Length(3)]abc.",
                true,
            ),
            (
                false,
                "HTTP/1.1 200 OK\nContent-Length: 3\n\nab",
                "[200 Length(3)]ab",
                false,
            ),
            (
                true,
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
                "[200 Absent]",
                true,
            ),
            (
                false,
                "HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\n",
                "[304 Absent]",
                true,
            ),
            (
                false,
                "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n",
                "<100><103>[200 Length(0)]",
                true,
            ),
            (
                false,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
                "[200 Chunked](3:abc)(10:0123456789).",
                true,
            ),
            (
                false,
                "HTTP/1.0 200 OK\r\n\r\nabc\r\n\r\n",
                "[200 UntilClose]abc\\r\\n\\r\\n",
                false,
            ),
        ] {
            for piece in [1, usize::MAX] {
                let read = read(to_head, input.as_bytes(), piece);
                assert_eq!(read, Ok((seen.to_owned(), ended)), "{input:?}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_however_it_is_cut() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let long = "x".repeat(MAX_HEADER);
        for (input, bad) in [
            ("SSH-2.0-x\r\n".to_owned(), Bad::Answer(BadAnswer::NotHttp)),
            ("\r\n\r\n".into(), Bad::Answer(BadAnswer::NotHttp)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
                Bad::Unasked,
            ),
            (format!("HTTP/1.1 200 OK\r\nA: {long}"), Bad::HeaderTooLong),
            (
                "HTTP/1.1 100 X\r\n\r\n".repeat(MAX_INTERIM + 1),
                Bad::TooManyInterim,
            ),
            (format!("{chunked}3\r\nabcd"), Bad::Chunk),
            (format!("{chunked}3\nabc"), Bad::Chunk),
            (format!("{chunked}0\r\nT: {long}"), Bad::HeaderTooLong),
            (
                format!("{chunked}1;{}", &long[..MAX_LINE]),
                Bad::LineTooLong,
            ),
            (
                format!("{chunked}0\r\nno colon\r\n\r\n"),
                Bad::Answer(BadAnswer::Trailer("a field's name")),
            ),
        ] {
            for piece in [1, usize::MAX] {
                let read = read(false, input.as_bytes(), piece);
                assert_eq!(read, Err(bad.clone()), "{input:.60?}");
            }
        }
    }
}
