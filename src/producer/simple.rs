//! [`SimpleProducer`]: one buffer, slice by slice.

use std::{fmt, io};

use bytes::Bytes;

use super::{BLOCK, Produced, Producer};

/// Gives one buffer in slices of at most 64 KiB.
///
/// Pushing the bytes themselves sends the same. This is for a producer around it that handles the slices one by one,
/// such as [`ChunkedProducer`](crate::ChunkedProducer).
///
/// *Memory*: only the buffer. The slices share it, and it is freed with the last of them.
///
/// ```
/// use asynchat::{Produced, Producer, SimpleProducer};
///
/// let mut slices = SimpleProducer::new("abcde").with_slice_size(3);
/// assert_eq!(slices.more()?, Produced::Data("abc".into()));
/// assert_eq!(slices.more()?, Produced::Data("de".into()));
/// assert_eq!(slices.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct SimpleProducer {
    rest: Bytes,
    slice_size: usize,
}

impl SimpleProducer {
    /// Gives `data` in slices of 64 KiB.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            rest: data.into(),
            slice_size: BLOCK,
        }
    }

    /// Sets the length of a slice in bytes. 0 counts as 1.
    pub fn with_slice_size(mut self, bytes: usize) -> Self {
        self.slice_size = bytes.max(1);
        self
    }
}

impl Producer for SimpleProducer {
    fn more(&mut self) -> io::Result<Produced> {
        if self.rest.is_empty() {
            return Ok(Produced::Done);
        }
        let slice = self.rest.split_to(self.slice_size.min(self.rest.len()));
        Ok(Produced::Data(slice))
    }
}

impl fmt::Debug for SimpleProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimpleProducer")
            .field("left", &self.rest.len())
            .field("slice_size", &self.slice_size)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::answers, *};

    #[test]
    fn a_buffer_comes_in_slices_with_a_short_last_one() {
        let producer = SimpleProducer::new("abcdefgh").with_slice_size(3);
        assert_eq!(answers(producer), ["abc", "def", "gh", "."]);
        assert_eq!(
            answers(SimpleProducer::new("abcd").with_slice_size(2)),
            ["ab", "cd", "."]
        );
        assert_eq!(answers(SimpleProducer::new("")), ["."]);
    }

    #[test]
    fn a_slice_is_64_kib_unless_told_otherwise_and_never_0() {
        let mut long = SimpleProducer::new(vec![b'x'; BLOCK + 1]);
        let Produced::Data(slice) = long.more().unwrap() else {
            panic!("no data")
        };
        assert_eq!(slice.len(), 64 * 1024);
        assert_eq!(
            answers(SimpleProducer::new("ab").with_slice_size(0)),
            ["a", "b", "."]
        );
    }

    #[test]
    fn slices_are_not_copies() {
        let buffer = Bytes::from(b"abcd".to_vec());
        let mut producer = SimpleProducer::new(buffer.clone()).with_slice_size(2);
        producer.more().unwrap();
        let Produced::Data(second) = producer.more().unwrap() else {
            panic!("no data")
        };
        assert_eq!(second.as_ptr(), buffer[2..].as_ptr());
    }
}
