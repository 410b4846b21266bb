//! Clients that mean harm, as a set (R8, R12, R13, R19): while they are at it, memory and processor time stay bounded, an
//! honest client gets its answers about as fast as without them, and the log says what happened once. After it all
//! descriptors are back, and a signal ends the server with 0.
//!
//! `cargo test -p asynchat-suites --test attackers -- --nocapture` shows the figures; `ASYNCHAT_ATTACKERS=all` takes longer and more of
//! everything. Tools that are not installed are skipped with a line that says so.
// poll(2) looks at all connections in each turn, and what that costs is no subject here.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

mod backend;
mod chat_room;
mod honest;
mod http;
mod http_corpus;
mod http_floods;
mod http_paths;
mod http_resets;
mod http_siege;
mod http_slow;
mod http_tools;
mod members;
mod proxy_tools;
mod resets;
mod tcp_proxy;
