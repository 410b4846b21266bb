//! The example `http_server` as a process, met with raw sockets: its headers, limits and statuses, byte by byte and in
//! one piece. What is pure in it is tested inside the example.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of a test"
)]

mod answers;
mod cache;
mod certificates;
mod connections;
mod files;
mod life;
mod limits;
mod load;
mod names;
mod options;
mod smuggling;
mod threads;
mod tls;
