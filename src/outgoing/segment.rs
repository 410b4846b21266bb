//! The pieces of an outgoing queue, and those handed back.

use std::fmt;

use bytes::Bytes;

use super::READ_MAX;
use crate::{error::BoxError, outgoing::file_part::FilePart, producer::Producer};

/// One piece of an outgoing queue, from [`Detached::unsent`](crate::Detached::unsent).
/// [`Channel::detach`](crate::Channel::detach) has an example.
#[non_exhaustive]
pub enum Unsent {
    /// Bytes that were queued and not sent.
    Bytes(Bytes),
    /// A producer that is not done, without its last piece, which is the [`Bytes`](Self::Bytes) before it.
    Producer(Box<dyn Producer>),
    /// The rest of a file, without the bytes read ahead, which are the [`Bytes`](Self::Bytes) before it.
    File(FilePart),
    /// The place where a producer or a file failed ahead of its turn. No callback got the error.
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
        /// Bytes read from it already.
        block: Vec<u8>,
        part: FilePart,
        /// Whether the system would not send it: it is read and written instead.
        sendfile_refused: bool,
    },
    /// The place where a producer or a file failed. Reported once everything before it is sent.
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

    /// Whether an action is due after its bytes are sent and before those behind it may leave.
    pub(super) fn is_barrier(&self) -> bool {
        !matches!(self, Self::Copied(_) | Self::Shared(_))
    }

    /// Whether the system is to send the rest of a file.
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
