//! A frame that is all there.

use std::{fmt, ops::Deref};

/// A complete frame: the argument of [`found_frame`](crate::AsyncChat::found_frame). It dereferences to the data.
///
/// The bytes are lent: copy those you keep.
///
/// ```
/// use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Frame, Result};
///
/// /// Sends each line on as it came, but the comments.
/// struct Filter;
/// impl AsyncChat for Filter {
///     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
///         if !line.starts_with(b"#") {
///             chat.push(line.with_terminator().to_vec());
///         }
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::new(ChatDispatcher::collecting(Filter, "\n", 80));
/// peer.feed("a\n# b\nc\n");
/// assert_eq!(peer.output(), b"a\nc\n");
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Frame<'a> {
    /// The first `len` bytes are data.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], len: usize) -> Self {
        Self { bytes, len }
    }

    #[inline]
    pub(super) fn terminator_len(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// The data, for as long as the frame is lent.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        &self.bytes[..self.len]
    }

    /// The terminator. Empty for a frame of a given number of bytes.
    #[inline]
    pub fn terminator(&self) -> &'a [u8] {
        &self.bytes[self.len..]
    }

    /// The data with the terminator behind it, as they arrived: one slice, so that a frame is passed on with one
    /// write.
    #[inline]
    pub fn with_terminator(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.data()
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("data", &self.len)
            .field("terminator", &self.terminator().len())
            .finish()
    }
}
