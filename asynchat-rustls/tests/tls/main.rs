//! TLS by rustls: the filter without a socket, and channels that have one.
#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

mod choice;
mod ends;
mod handshake;
mod hostile;
mod pair;
mod records;
#[cfg(unix)]
mod sockets;
#[cfg(unix)]
mod starttls;

#[global_allocator]
static ALLOCATOR: util::heap::Counting = util::heap::Counting;
