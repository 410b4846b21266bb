//! The sizes and limits a reactor was built with, and those a channel may have of its own.

use std::{panic::resume_unwind, time::Duration};

use crate::error::Payload;

#[derive(Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) events: usize,
    pub(crate) read_buffer: usize,
    pub(crate) write_budget: usize,
    pub(crate) accept_budget: usize,
    pub(crate) max_channels: usize,
    pub(crate) limits: Limits,
    pub(crate) connect_timeout: Duration,
    pub(crate) resolve_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    /// Steps of handshakes in one turn.
    pub(crate) handshake_budget: usize,
    pub(crate) propagate_panics: bool,
}

impl Policy {
    /// What [`guard`](crate::error::guard) does with a panic, without a look at the policy before the call.
    #[cold]
    pub(crate) fn contain(&self, panic: Payload) -> Payload {
        if self.propagate_panics {
            resume_unwind(panic);
        }
        panic
    }
}

/// Watermarks and bound of an outgoing queue, in bytes (R14), and how long to linger after it (R10).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) max: usize,
    pub(crate) linger_time: Duration,
    pub(crate) linger_bytes: usize,
}
