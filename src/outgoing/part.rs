//! What can be queued, as a value, and how much of it has left ([`Channel::push_then`](crate::Channel::push_then)).

use std::{fmt, mem};

use bytes::Bytes;

use super::{Left, Outgoing, Spare, WAITING_WEIGHT};
use crate::{id::ChannelId, outgoing::file_part::FilePart, producer::Producer};

/// A part of an outgoing queue, for [`Channel::push_then`](crate::Channel::push_then): bytes, a part of a file, or a
/// producer.
///
/// Bytes and a [`FilePart`] convert into it. A producer needs a call, because `Vec<u8>`, `String` and others are bytes
/// and producers too.
///
/// ```
/// use asynchat::{FilePart, LinesProducer, Part};
///
/// fn body(page: Option<String>, file: Option<FilePart>) -> Part {
///     match (page, file) {
///         (Some(page), _) => page.into(),
///         (None, Some(file)) => file.into(),
///         (None, None) => Part::producer(LinesProducer::new(["nothing", "here"])),
///     }
/// }
/// # let _ = body(None, None);
/// ```
#[must_use = "a part is sent only once it is pushed"]
pub struct Part(Content);

enum Content {
    Bytes(Bytes),
    File(FilePart),
    Producer(Box<dyn Producer>),
}

impl Part {
    /// A part that a producer makes on the way.
    pub fn producer(producer: impl Producer + 'static) -> Self {
        Self(Content::Producer(Box::new(producer)))
    }

    /// What it counts for: bytes in memory, and bytes in a file.
    pub(crate) fn weigh(&self) -> (usize, u64) {
        match &self.0 {
            Content::Bytes(bytes) => (bytes.len(), 0),
            Content::File(part) => Outgoing::weigh(part),
            Content::Producer(_) => (WAITING_WEIGHT, 0),
        }
    }

    /// Leaves bytes that were copied, as [`Outgoing::push`] does.
    pub(crate) fn push_to(&mut self, queue: &mut Outgoing, spare: &mut Spare) {
        match mem::replace(&mut self.0, Content::Bytes(Bytes::new())) {
            Content::Bytes(mut bytes) => {
                queue.push(&mut bytes, spare);
                self.0 = Content::Bytes(bytes);
            }
            Content::File(part) => queue.push_file(part, spare),
            Content::Producer(producer) => queue.push_producer(producer),
        }
    }
}

impl<B: Into<Bytes>> From<B> for Part {
    fn from(bytes: B) -> Self {
        Self(Content::Bytes(bytes.into()))
    }
}

impl From<FilePart> for Part {
    fn from(part: FilePart) -> Self {
        Self(Content::File(part))
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Content::File(part) => f.debug_tuple("File").field(part).finish(),
            Content::Producer(_) => f.write_str("Producer"),
        }
    }
}

/// How much of a part has left: been handed to the system. For the closure of
/// [`Channel::push_then`](crate::Channel::push_then).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The channel to which the part was pushed. It may be closed.
    pub channel: ChannelId,
    /// Bytes of the part that have left.
    pub bytes: u64,
    /// Whether that is all of the part. A producer's is complete when it has answered
    /// [`Done`](crate::Produced::Done).
    pub complete: bool,
}

impl Sent {
    pub(crate) fn new(channel: ChannelId, left: Left) -> Self {
        Self {
            channel,
            bytes: left.bytes,
            complete: left.complete,
        }
    }

    /// Of a part that was not queued.
    pub(crate) fn nothing(channel: ChannelId) -> Self {
        Self {
            channel,
            bytes: 0,
            complete: false,
        }
    }
}
