//! A message on its way to the reader.

use std::io::{self, Write};

/// Takes a message in pieces, and keeps its beginning to be shown.
#[derive(Debug)]
pub struct Excerpt {
    kept: Vec<u8>,
    limit: usize,
    size: u64,
}

impl Excerpt {
    /// Bytes of a message that are kept by default.
    pub const LIMIT: usize = 16 * 1024 * 1024;

    pub fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit,
            size: 0,
        }
    }

    pub fn push(&mut self, data: &[u8]) {
        let room = self.limit - self.kept.len();
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.size += data.len() as u64;
    }

    /// As [`summary`](super::summary) does.
    pub fn summary(&self) -> String {
        super::summary(&self.kept)
    }

    /// As [`show`](super::show) does, and a line that says how much is missing.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        super::show(&self.kept, out)?;
        match self.size - self.kept.len() as u64 {
            0 => Ok(()),
            missing => writeln!(
                out,
                "[the message is larger than {} bytes: {missing} further bytes are not shown]",
                self.limit
            ),
        }
    }
}

impl Default for Excerpt {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}
