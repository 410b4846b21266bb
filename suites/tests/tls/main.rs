//! TLS shown by others (R5, R8, R11, R13): the clients and servers of other implementations talk with the programs, and
//! attackers find memory, descriptors and processor time as before, and honest clients served.
//!
//! `cargo test -p asynchat-suites --test tls -- --nocapture` shows the figures; `ASYNCHAT_TLS=all` does more of everything,
//! and `ASYNCHAT_TLS_TARGET=nginx` attacks nginx. Tools that are not installed are skipped with a line that says so.
// poll(2) looks at all connections in each turn, and what that costs is no subject here.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

mod certificate;
mod client;
mod clients;
mod drips;
mod ends;
mod floods;
mod garbage;
mod hostile;
mod pieces;
mod reload;
mod scanner;
mod servers;
mod site;
mod starttls;

use std::path::PathBuf;

/// A script beside this file.
fn script(name: &str) -> PathBuf {
    suites::root().join("suites/tests/tls").join(name)
}

/// More of everything, where somebody wants to wait for it.
fn thorough() -> bool {
    std::env::var_os("ASYNCHAT_TLS").is_some_and(|value| value == "all")
}
