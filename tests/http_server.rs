//! The example `http_server` as a process, met with raw sockets: its headers, limits and statuses, byte by byte and in
//! one piece. What is pure in it is tested inside the example.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of a test"
)]

#[path = "http_server/answers.rs"]
mod answers;
#[path = "http_server/connections.rs"]
mod connections;
#[path = "http_server/files.rs"]
mod files;
#[path = "http_server/life.rs"]
mod life;
#[path = "http_server/limits.rs"]
mod limits;
#[path = "http_server/load.rs"]
mod load;
#[path = "http_server/program.rs"]
mod program;
#[path = "http_server/smuggling.rs"]
mod smuggling;
#[path = "http_server/threads.rs"]
mod threads;
