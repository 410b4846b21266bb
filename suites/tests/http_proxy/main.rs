//! The program `http_proxy` between clients of others and servers: curl, Chromium, wrk; its answers against tinyproxy's.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod comparison;
mod curl;
// Memory and descriptors are read from /proc.
#[cfg(target_os = "linux")]
mod load;
mod program;
mod scene;
