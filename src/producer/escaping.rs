//! [`EscapingProducer`]: find and replace in a stream, above all dot-stuffing.
//!
//! Between pieces it keeps no text, only the number of bytes of the needle that have matched: they are the needle's own
//! first bytes. The time is linear in the length of the text, however it is cut.

mod needle;

use std::{fmt, io, mem, ops::Range};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use self::needle::Needle;
use super::{BLOCK, Fused, Produced, Producer};

/// Replaces one byte string by another in the bytes of a producer, across the borders of its pieces.
///
/// [`new`](Self::new) is the dot-stuffing of SMTP (RFC 5321 §4.5.2), NNTP (RFC 3977 §3.1.1) and POP3 (RFC 1939 §3): a
/// line that starts with a dot gets a second one, so that it is not taken for the lone dot that ends the text. The
/// caller pushes that lone dot.
///
/// Occurrences are replaced from left to right and do not overlap; the replacement is not searched. If a piece ends
/// within a possible occurrence, the undecided part is held back until the next piece or the end. The bytes that needle
/// and replacement both begin with are never undecided, so dot-stuffing holds nothing back.
///
/// *Memory*: a stretch of up to 64 KiB with nothing to replace is passed on uncopied. Others are copied into a block of
/// at most 128 KiB and one replacement, reused when the queue has dropped it.
///
/// ```
/// use asynchat::{EscapingProducer, Produced, Producer};
///
/// let mut mail = EscapingProducer::new(".profile\r\n..\r\nis mine.\r\n");
/// assert_eq!(mail.more()?, Produced::Data("..profile\r\n...\r\nis mine.\r\n".into()));
/// assert_eq!(mail.more()?, Produced::Done);
///
/// let mut unix = EscapingProducer::replacing("a\r\nb\r\n", "\r\n", "\n");
/// assert_eq!(unix.more()?, Produced::Data("a\nb\n".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct EscapingProducer<P> {
    inner: Fused<P>,
    input: Bytes,
    needle: Needle,
    replacement: Bytes,
    /// Number of bytes of the needle that the text so far ends with.
    matched: usize,
    /// Number of those that have been given: at most `shared`.
    given: usize,
    /// Number of bytes that needle and replacement both begin with.
    shared: usize,
    output: BytesMut,
}

impl<P: Producer> EscapingProducer<P> {
    /// Doubles the dot at the start of each line, the first one included (RFC 5321 §4.5.2).
    ///
    /// Medusa left a dot at the very start alone. That is right only for text that continues in the middle of a line:
    /// `replacing(producer, "\r\n.", "\r\n..")`.
    pub fn new(producer: P) -> Self {
        // The text starts as if a line break had just been given.
        Self {
            matched: 2,
            given: 2,
            ..Self::replacing(producer, "\r\n.", "\r\n..")
        }
    }

    /// Replaces each `needle` by `replacement`. An empty needle is never found.
    pub fn replacing(producer: P, needle: impl Into<Bytes>, replacement: impl Into<Bytes>) -> Self {
        let (needle, replacement) = (needle.into(), replacement.into());
        let shared = needle
            .iter()
            .zip(&replacement)
            .take_while(|(n, r)| n == r)
            .count();
        Self {
            inner: Fused::new(producer),
            input: Bytes::new(),
            needle: Needle::new(needle),
            replacement,
            matched: 0,
            given: 0,
            shared,
            output: BytesMut::new(),
        }
    }

    /// Escapes the next block of the input.
    fn escape(&mut self) -> Bytes {
        let Some(&first) = self.needle.bytes.first() else {
            return mem::take(&mut self.input);
        };
        let end = self.input.len().min(BLOCK);
        // Positions in the text count from the start of the match that was under way: `before`
        // bytes that are the needle's, then the input.
        let before = self.matched;
        let mut given = self.given;
        let mut read = 0;
        while read < end && self.output.len() < BLOCK {
            if self.matched == 0 {
                read += memchr(first, &self.input[read..end]).unwrap_or(end - read);
                if read == end {
                    break;
                }
            }
            self.matched = self.needle.step(self.matched, self.input[read]);
            read += 1;
            if self.matched == self.needle.bytes.len() {
                let start = before + read - self.matched;
                self.copy(before, given..start);
                let given_of_it = given.saturating_sub(start);
                self.output
                    .extend_from_slice(&self.replacement[given_of_it..]);
                given = before + read;
                self.matched = 0;
            }
        }
        let start = before + read - self.matched;
        let certain = given.max(start + self.matched.min(self.shared));
        self.given = certain - start;
        let escaped = if self.output.is_empty() && given >= before {
            self.input.slice(given - before..certain - before)
        } else {
            self.copy(before, given..certain);
            self.output.split().freeze()
        };
        self.input.advance(read);
        escaped
    }

    /// Copies a range of the text into the output. Its first `before` bytes are the needle's.
    fn copy(&mut self, before: usize, range: Range<usize>) {
        if self.output.is_empty() {
            self.output
                .reserve(self.input.len().min(BLOCK) + self.replacement.len());
        }
        if range.start < before.min(range.end) {
            let needle = &self.needle.bytes[range.start..before.min(range.end)];
            self.output.extend_from_slice(needle);
        }
        if before.max(range.start) < range.end {
            let input = &self.input[before.max(range.start) - before..range.end - before];
            self.output.extend_from_slice(input);
        }
    }
}

impl<P: Producer> Producer for EscapingProducer<P> {
    fn more(&mut self) -> io::Result<Produced> {
        if self.input.is_empty() {
            match self.inner.more() {
                Ok(Produced::Data(input)) => self.input = input,
                Ok(Produced::Done) if self.given < self.matched => {
                    let rest = self.needle.bytes.slice(self.given..self.matched);
                    self.given = self.matched;
                    return Ok(Produced::Data(rest));
                }
                answer => {
                    if answer.is_err() {
                        self.given = self.matched;
                    }
                    return answer;
                }
            }
        }
        Ok(Produced::Data(self.escape()))
    }
}

impl<P> fmt::Debug for EscapingProducer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EscapingProducer")
            .field("needle", &self.needle.bytes)
            .field("replacement", &self.replacement)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
