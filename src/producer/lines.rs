//! [`LinesProducer`]: lines of text, each ended by CRLF.

use std::{fmt, io};

use bytes::BytesMut;

use super::{BLOCK, Produced, Producer};

/// Gives the lines of an iterator with CRLF after each, 50 lines at a time.
///
/// Lines are taken from the iterator only when they are needed: the listing of a large directory is never in memory as
/// a whole. They are not changed; a line break inside one is sent.
///
/// *Memory*: one block of 50 lines, or of the lines that fill 64 KiB if those are fewer. It is reused when the queue
/// has dropped it.
///
/// ```
/// use asynchat::{LinesProducer, Produced, Producer};
///
/// let mut help = LinesProducer::new(["214-Known commands:", " HELO QUIT", "214 end"])
///     .with_lines_per_block(2);
/// assert_eq!(help.more()?, Produced::Data("214-Known commands:\r\n HELO QUIT\r\n".into()));
/// assert_eq!(help.more()?, Produced::Data("214 end\r\n".into()));
/// assert_eq!(help.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct LinesProducer<I> {
    lines: Option<I>,
    lines_per_block: usize,
    block: BytesMut,
}

impl<I: Iterator<Item: AsRef<[u8]>>> LinesProducer<I> {
    /// Gives `lines`, 50 at a time.
    pub fn new(lines: impl IntoIterator<IntoIter = I>) -> Self {
        let lines = Some(lines.into_iter());
        Self {
            lines,
            lines_per_block: 50,
            block: BytesMut::new(),
        }
    }

    /// Sets the number of lines given at a time. 0 counts as 1.
    pub fn with_lines_per_block(mut self, lines: usize) -> Self {
        self.lines_per_block = lines.max(1);
        self
    }
}

impl<I: Iterator<Item: AsRef<[u8]>>> Producer for LinesProducer<I> {
    fn more(&mut self) -> io::Result<Produced> {
        let Some(lines) = &mut self.lines else {
            return Ok(Produced::Done);
        };
        // A guess at the whole block, lest it grow by doubling.
        self.block
            .reserve(self.lines_per_block.saturating_mul(80).min(BLOCK));
        for _ in 0..self.lines_per_block {
            let Some(line) = lines.next() else {
                self.lines = None;
                break;
            };
            self.block.extend_from_slice(line.as_ref());
            self.block.extend_from_slice(b"\r\n");
            if self.block.len() >= BLOCK {
                break;
            }
        }
        if self.block.is_empty() {
            return Ok(Produced::Done);
        }
        Ok(Produced::Data(self.block.split().freeze()))
    }
}

impl<I> fmt::Debug for LinesProducer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinesProducer")
            .field("lines_per_block", &self.lines_per_block)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{answers, collect},
        *,
    };

    #[test]
    fn each_line_is_ended_by_crlf_empty_ones_too() {
        assert_eq!(
            answers(LinesProducer::new(["a", "", "b"])),
            ["a\r\n\r\nb\r\n", "."]
        );
        assert_eq!(
            answers(LinesProducer::new(vec![b"a".to_vec()])),
            ["a\r\n", "."]
        );
        assert_eq!(answers(LinesProducer::new([""; 0])), ["."]);
    }

    #[test]
    fn fifty_lines_make_a_block() {
        let lines = (0..120).map(|n| n.to_string());
        let answers = answers(LinesProducer::new(lines));
        let lines: Vec<usize> = answers.iter().map(|block| block.lines().count()).collect();
        assert_eq!(lines, [50, 50, 20, 1], "the last one is the end");
        assert!(answers[1].starts_with("50\r\n51\r\n"));
    }

    #[test]
    fn as_many_lines_as_fill_a_block_come_without_an_empty_one() {
        let producer = LinesProducer::new(["a", "b"]).with_lines_per_block(2);
        assert_eq!(answers(producer), ["a\r\nb\r\n", "."]);
        let producer = LinesProducer::new(["a", "b"]).with_lines_per_block(0);
        assert_eq!(answers(producer), ["a\r\n", "b\r\n", "."]);
    }

    #[test]
    fn long_lines_end_a_block_early() {
        let mut producer = LinesProducer::new(std::iter::repeat("x".repeat(BLOCK / 2)));
        let Produced::Data(block) = producer.more().unwrap() else {
            panic!("no data")
        };
        assert_eq!(block.len(), 2 * (BLOCK / 2 + 2));
    }

    #[test]
    fn lines_are_made_when_they_are_needed() {
        let made = std::cell::Cell::new(0);
        let lines = (0..100).map(|n| {
            made.set(made.get() + 1);
            n.to_string()
        });
        let mut producer = LinesProducer::new(lines);
        assert_eq!(made.get(), 0);
        producer.more().unwrap();
        assert_eq!(made.get(), 50);
        collect(producer).unwrap();
        assert_eq!(made.get(), 100);
    }

    #[test]
    fn a_block_the_queue_has_dropped_is_filled_again() {
        let mut producer = LinesProducer::new(std::iter::repeat("x".repeat(100)));
        let mut address = || match producer.more().unwrap() {
            Produced::Data(block) => block.as_ptr(),
            other => panic!("no data but {other:?}"),
        };
        address();
        let second = address();
        assert_eq!([address(), address(), address()], [second; 3]);
    }
}
