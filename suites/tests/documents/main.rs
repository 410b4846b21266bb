//! What the documents claim holds: links and names resolve, every Rust block is compiled, the commands run, and the
//! options of the examples are those of their `--help`. What is checked needs the whole repository: a package unpacked
//! without it skips these tests with a line that says so.
// Once is enough: nothing here depends on the poller.
#![cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

use suites::root;

mod blocks;
mod commands;
mod items;
mod likeness;
mod links;
mod markdown;
mod named;
mod options;
mod repository;
mod scene;
mod shell;
mod tables;

/// Fails with all that is wrong, not with the first of it.
#[track_caller]
fn nothing_wrong(mut wrong: Vec<String>) {
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
