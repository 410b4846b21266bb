//! What ends a run early, worded for the reader of a log.

use std::{fmt, io, time::Duration};

#[derive(Debug)]
pub(crate) enum Failure {
    /// A byte is not the one that must come at this place.
    Wrong {
        what: &'static str,
        at: usize,
        got: u8,
        expected: u8,
    },
    /// Bytes came that nothing asked for.
    Surplus {
        bytes: usize,
    },
    /// The peer ended the stream in the middle.
    Ended,
    /// An answer that cannot be understood, or means something else.
    Answer(String),
    /// No TLS can be had, or not the agreed one.
    Tls(String),
    Io {
        doing: String,
        error: io::Error,
    },
    Stalled {
        after: Duration,
        ops: u64,
        waiting: usize,
    },
    /// Standard input ended before the word to go.
    NoGo,
    /// Another failure, and where it happened.
    On {
        connection: usize,
        failure: Box<Failure>,
    },
}

impl Failure {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            doing: doing.into(),
            error,
        }
    }

    pub(crate) fn on(self, connection: usize) -> Self {
        Self::On {
            connection,
            failure: Box::new(self),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong {
                what,
                at,
                got,
                expected,
            } => write!(
                f,
                "mismatch: byte {at} of {what} is {got:#04x}, expected {expected:#04x}"
            ),
            Self::Surplus { bytes } => write!(f, "mismatch: {bytes} bytes more than asked for"),
            Self::Ended => write!(f, "the server ended the stream"),
            Self::Answer(text) => write!(f, "mismatch: {text}"),
            Self::Tls(text) => write!(f, "TLS: {text}"),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
            Self::Stalled {
                after,
                ops,
                waiting,
            } => write!(
                f,
                "no progress for {after:?}, {ops} operations done, {waiting} connections waiting"
            ),
            Self::NoGo => write!(f, "standard input ended before the word to go"),
            Self::On {
                connection,
                failure,
            } => write!(f, "connection {connection}: {failure}"),
        }
    }
}

/// Compares bytes with those that must come; `at` is where they stand in `what`.
#[inline]
pub(crate) fn compare(
    got: &[u8],
    expected: &[u8],
    what: &'static str,
    at: usize,
) -> Result<(), Failure> {
    debug_assert_eq!(got.len(), expected.len());
    if got == expected {
        return Ok(());
    }
    Err(first_difference(got, expected, what, at))
}

#[cold]
fn first_difference(got: &[u8], expected: &[u8], what: &'static str, at: usize) -> Failure {
    let mut pairs = got
        .iter()
        .copied()
        .zip(expected.iter().copied())
        .enumerate();
    match pairs.find(|(_, (got, expected))| got != expected) {
        Some((i, (got, expected))) => Failure::Wrong {
            what,
            at: at + i,
            got,
            expected,
        },
        None => Failure::Surplus {
            bytes: got.len().saturating_sub(expected.len()),
        },
    }
}
