//! What the library's tests share. Most of it is for tests of sockets, which are for Unix only.
#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

#[cfg(unix)]
pub mod files;
#[cfg(unix)]
pub mod heap;
#[cfg(unix)]
pub mod peer;
#[cfg(unix)]
pub mod process;
pub mod properties;
#[cfg(unix)]
mod recording;

#[cfg(unix)]
pub use recording::*;
