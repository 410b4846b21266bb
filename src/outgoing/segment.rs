//! What stands in an outgoing queue, and what is handed back of it.

use std::fmt;

use bytes::Bytes;

use super::READ_MAX;
use crate::{error::BoxError, outgoing::file_part::FilePart, producer::Producer};

/// One piece of an outgoing queue, as [`Detached`](crate::Detached) hands it back.
pub enum Unsent {
    /// Bytes that were queued and not sent.
    Bytes(Bytes),
    /// A producer that was not done, without what it gave last (a [`Bytes`](Self::Bytes) before it).
    Producer(Box<dyn Producer>),
    /// What is left of a file, without what was read ahead of it (a [`Bytes`](Self::Bytes) before it).
    File(FilePart),
    /// Where a producer or a file failed ahead of its turn, so that nothing was told yet.
    Failed(BoxError),
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Producer(_) => f.write_str("Producer"),
            Self::File(part) => f.debug_tuple("File").field(part).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

pub(super) enum Segment {
    Copied(Vec<u8>),
    Shared(Bytes),
    Produced {
        current: Bytes,
        producer: Box<dyn Producer>,
    },
    File {
        /// Read from it already.
        block: Vec<u8>,
        part: FilePart,
        /// Whether the system would not send it: it is read and written instead.
        sendfile_refused: bool,
    },
    /// Where a producer or a file failed: reported once everything before it is sent.
    Failed(BoxError),
}

impl Segment {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(buffer) | Self::File { block: buffer, .. } => buffer,
            Self::Shared(bytes) | Self::Produced { current: bytes, .. } => bytes,
            Self::Failed(_) => &[],
        }
    }

    /// Whether something has to be done about it, its bytes sent, before what is behind it may leave.
    pub(super) fn is_barrier(&self) -> bool {
        !matches!(self, Self::Copied(_) | Self::Shared(_))
    }

    /// Whether the system is to send a file from here on.
    pub(super) fn uses_sendfile(&self) -> bool {
        match self {
            Self::File {
                block,
                part,
                sendfile_refused,
            } => block.is_empty() && part.len() > READ_MAX && !sendfile_refused,
            _ => false,
        }
    }
}
