//! Several parts of a file as one body (RFC 9110, 14.6).

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
};

use super::conditional::Span;
use crate::files::open::{Cut, OpenFile};

/// Reads as the body: a head before each part, and an end. Holds one descriptor, however many parts there are.
#[derive(Debug)]
pub(crate) struct Multipart {
    pieces: VecDeque<Piece>,
    boundary: String,
    left: u64,
}

#[derive(Debug)]
enum Piece {
    Text(io::Cursor<Vec<u8>>),
    Cut(Cut),
}

impl Multipart {
    /// # Errors
    /// `InvalidInput` if the file has become shorter.
    pub(crate) fn new(file: &OpenFile, spans: &[Span]) -> io::Result<Self> {
        let (content_type, whole) = (file.content_type, file.len());
        // Nobody can have put it into a file.
        let random = || RandomState::new().hash_one(0);
        let boundary = format!("{:016x}{:016x}", random(), random());
        let mut pieces = VecDeque::new();
        let mut line_end = "";
        for span in spans {
            let Span { start, len } = *span;
            let head = format!(
                "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {start}-{}/{whole}\r\n\r\n",
                start + len - 1
            );
            line_end = "\r\n";
            pieces.push_back(Piece::text(head));
            pieces.push_back(Piece::Cut(file.cut(*span)?));
        }
        pieces.push_back(Piece::text(format!("{line_end}--{boundary}--\r\n")));
        let left = pieces.iter().map(Piece::len).sum();
        Ok(Self {
            pieces,
            boundary,
            left,
        })
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes that are not read yet.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }
}

impl Piece {
    fn text(text: String) -> Self {
        Self::Text(io::Cursor::new(text.into_bytes()))
    }

    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.get_ref().len() as u64,
            Self::Cut(cut) => cut.len(),
        }
    }
}

impl Read for Multipart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
        };
        let (n, is_over) = match piece {
            Piece::Text(text) => {
                let n = text.read(buf)?;
                (n, text.position() == text.get_ref().len() as u64)
            }
            Piece::Cut(cut) => {
                let n = cut.read(buf)?;
                (n, cut.len() == 0)
            }
        };
        if is_over {
            self.pieces.pop_front();
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};

    use super::*;

    fn file(in_memory: bool) -> (tempfile::NamedTempFile, OpenFile) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"0123456789").expect("a write");
        let open = OpenFile::open(file.path(), "text/plain", None, in_memory);
        (file, open.expect("a file"))
    }

    fn multipart(file: &OpenFile, spans: &[Span]) -> Multipart {
        Multipart::new(file, spans).expect("its parts")
    }

    #[test]
    fn each_part_has_its_head_and_the_length_is_known_before() {
        let spans = [Span { start: 7, len: 3 }, Span { start: 0, len: 1 }];
        for in_memory in [false, true] {
            let (_, file) = file(in_memory);
            let mut parts = multipart(&file, &spans);
            let boundary = parts.boundary.clone();
            let length = parts.len();
            let mut text = String::new();
            parts.read_to_string(&mut text).expect("text");
            let expected = format!(
                "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\r\n\
                 --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
                 --{boundary}--\r\n"
            );
            assert_eq!(text, expected);
            assert_eq!((length, parts.len()), (text.len() as u64, 0));
            assert_ne!(boundary, multipart(&file, &spans).boundary);
        }
    }

    #[test]
    fn a_file_that_has_shrunk_is_an_error_not_an_early_end() {
        let (name, file) = file(false);
        let mut parts = multipart(
            &file,
            &[Span { start: 7, len: 3 }, Span { start: 0, len: 1 }],
        );
        name.as_file().set_len(8).expect("a shorter file");
        let error = parts.read_to_end(&mut Vec::new()).expect_err("it is cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
