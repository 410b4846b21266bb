//! Network faults (R1, R8 to R14, R20) between the example programs, each in a network namespace of its own: loss, low
//! rates, small segments and buffers, few ports, resets, silence, and one byte at a time. What is sent arrives whole, or
//! the client says what is missing; nothing hangs, spins or keeps a descriptor.
//!
//! `ASYNCHAT_NETWORK=all` moves more, with the kernel's own retransmission times. What the system does not allow is
//! skipped with a line that says so.
// Once is enough: how the poller does is the subject of others.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

mod buffers;
mod line;
mod namespace;
mod peers;
mod ports;
mod proxied;
mod racing;
mod refused;
mod relay;
mod resets;
mod silence;
mod site;
mod sliced;
