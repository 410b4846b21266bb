//! Files below a root as hyper bodies, 64 KiB at a time.
//!
//! The reads block: `tokio::fs` would hand each to a second thread, which costs more than a read
//! from the page cache and would not show in the figures of the first.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Component, Path};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use percent_encoding::percent_decode_str;

const CHUNK: u64 = 64 * 1024;

/// A file being sent.
pub(crate) struct FileBody {
    file: File,
    left: u64,
}

impl FileBody {
    /// Opens what a request's path names; `None` where it names no regular file below `root`.
    pub(crate) fn open(root: &Path, path: &str) -> Option<Self> {
        let decoded = percent_decode_str(path).decode_utf8().ok()?;
        let relative = Path::new(decoded.trim_start_matches('/'));
        let below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(below) {
            return None;
        }
        let file = File::open(root.join(relative)).ok()?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self {
            file,
            left: metadata.len(),
        })
    }

    fn next_chunk(&mut self) -> io::Result<Bytes> {
        let size = self.left.min(CHUNK);
        let mut chunk = Vec::with_capacity(size as usize);
        let got = (&self.file).take(size).read_to_end(&mut chunk)?;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        Ok(chunk.into())
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.next_chunk().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
