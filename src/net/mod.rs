//! The operating system: sockets of every kind, their readiness, and the meaning of its error numbers.

pub(crate) mod connect;
pub(crate) mod datagram;
pub(crate) mod errno;
pub(crate) mod failures;
pub(crate) mod io;
pub(crate) mod listen;
#[cfg(feature = "testing")]
pub(crate) mod memory;
pub(crate) mod peers;
pub(crate) mod readiness;
pub(crate) mod stream;
