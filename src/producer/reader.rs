//! [`ReaderProducer`]: a file or any other reader, block by block.
//!
//! The memory of a block is reused once the queue has dropped it, and is zeroed only when it is new: in steady state a
//! block costs one `read` and no allocation.

use std::{
    fmt,
    fs::File,
    io::{self, ErrorKind, Read},
    mem,
};

use bytes::{Bytes, BytesMut};

use super::{BLOCK, LARGEST_BLOCK, Produced, Producer};

/// Gives the bytes of a reader, in blocks of 64 KiB.
///
/// The reader is dropped, and a file closed, when the producer is [`Done`](Produced::Done) or fails. If the reader
/// fails with `WouldBlock`, the producer is [`Pending`](Produced::Pending). A reader that blocks (a terminal, a pipe, a
/// slow disk) blocks the whole reactor. An `Interrupted` read is repeated.
///
/// *Memory*: one block, and a second one while the first is in the queue.
///
/// ```
/// use asynchat::{Produced, Producer, ReaderProducer};
///
/// // Bytes 2 to 5 of any reader, as for a range request.
/// let mut file = std::io::Cursor::new("0123456789");
/// file.set_position(2);
/// let mut range = ReaderProducer::new(file).exactly(4).with_block_size(3);
/// assert_eq!(range.more()?, Produced::Data("234".into()));
/// assert_eq!(range.more()?, Produced::Data("5".into()));
/// assert_eq!(range.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct ReaderProducer<R> {
    reader: Option<R>,
    block_size: usize,
    limit: Limit,
    /// Every byte of these is initialised. A block that nobody else holds is free to be read into.
    blocks: [Bytes; 2],
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    EndOfFile,
    UpTo { left: u64 },
    Exactly { left: u64, of: u64 },
}

impl Limit {
    fn left(&mut self) -> Option<&mut u64> {
        match self {
            Self::EndOfFile => None,
            Self::UpTo { left } | Self::Exactly { left, .. } => Some(left),
        }
    }
}

impl<R: Read> ReaderProducer<R> {
    /// Gives the bytes of `reader` from its position to its end.
    pub fn new(reader: R) -> Self {
        let blocks = [Bytes::new(), Bytes::new()];
        Self {
            reader: Some(reader),
            block_size: BLOCK,
            limit: Limit::EndOfFile,
            blocks,
        }
    }

    /// Sets the length of a block in bytes. 0 counts as 1, and more than 16 MiB as 16 MiB.
    pub fn with_block_size(mut self, bytes: usize) -> Self {
        self.block_size = bytes.clamp(1, LARGEST_BLOCK);
        self
    }

    /// Stops after `bytes` bytes, or at the end of the reader if that comes first.
    pub fn up_to(mut self, bytes: u64) -> Self {
        self.limit = Limit::UpTo { left: bytes };
        self
    }

    /// Stops after `bytes` bytes. A reader that ends before fails with [`UnexpectedEof`](ErrorKind::UnexpectedEof).
    ///
    /// For a body whose length has been announced: if the file has shrunk since, the peer must not take the next reply
    /// for the rest of the body.
    pub fn exactly(mut self, bytes: u64) -> Self {
        self.limit = Limit::Exactly {
            left: bytes,
            of: bytes,
        };
        self
    }

    fn read_block(&mut self) -> io::Result<Produced> {
        let Some(reader) = &mut self.reader else {
            return Ok(Produced::Done);
        };
        let left = self.limit.left().map_or(u64::MAX, |left| *left);
        let want = usize::try_from(left).map_or(self.block_size, |left| left.min(self.block_size));
        if want == 0 {
            return Ok(Produced::Done);
        }
        let mut block = free_block(&mut self.blocks, want);
        let read = loop {
            match reader.read(&mut block[..want]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let block = block.freeze();
        let vacant = self.blocks.iter().position(Bytes::is_empty).unwrap_or(0);
        self.blocks[vacant] = block.clone();
        match (read, &mut self.limit) {
            (Ok(0), Limit::Exactly { left, of }) => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the reader ended {left} bytes short of the {of} it was to give"),
            )),
            (Ok(0), _) => Ok(Produced::Done),
            (Ok(read), limit) => {
                if let Some(left) = limit.left() {
                    *left -= read as u64;
                }
                Ok(Produced::Data(block.slice(..read)))
            }
            (Err(error), _) if error.kind() == ErrorKind::WouldBlock => Ok(Produced::Pending),
            (Err(error), _) => Err(error),
        }
    }
}

impl ReaderProducer<File> {
    /// Gives the bytes of `file` from its position to its end.
    ///
    /// Like [`new`](Self::new), with blocks no larger than the file needs: ten thousand small files being sent do not
    /// need ten thousand blocks of 64 KiB.
    pub fn file(file: File) -> Self {
        // Files that are made up as they are read, as those in /proc, call themselves empty.
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let block_size = match usize::try_from(size) {
            Ok(size @ 1..BLOCK) => size.max(4096),
            _ => BLOCK,
        };
        Self::new(file).with_block_size(block_size)
    }
}

impl<R: Read> Producer for ReaderProducer<R> {
    fn more(&mut self) -> io::Result<Produced> {
        let answer = self.read_block();
        if matches!(answer, Ok(Produced::Done) | Err(_)) {
            self.reader = None;
            self.blocks = Default::default();
        }
        answer
    }
}

impl<R> fmt::Debug for ReaderProducer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderProducer")
            .field("limit", &self.limit)
            .field("block_size", &self.block_size)
            .finish_non_exhaustive()
    }
}

fn free_block(blocks: &mut [Bytes], size: usize) -> BytesMut {
    match blocks
        .iter_mut()
        .find(|block| block.len() >= size && block.is_unique())
    {
        Some(block) => mem::take(block).into(),
        // `split` makes it reference-counted now; otherwise each `freeze` would allocate the count.
        None => BytesMut::zeroed(size).split(),
    }
}

#[cfg(test)]
mod tests;
