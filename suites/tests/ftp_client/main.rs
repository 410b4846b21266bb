//! The program `ftp_client` against servers of others, and against servers that no other program would be.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod hostile;
mod peers;
mod servers;
mod tls;
