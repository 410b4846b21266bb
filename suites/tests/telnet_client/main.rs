//! The program `telnet_client` by a script, with standard input, and at a terminal.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

#[cfg(unix)]
mod at_terminal;
mod peers;
mod scripted;
mod server;
