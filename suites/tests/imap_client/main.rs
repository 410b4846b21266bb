//! The program `imap_client` against Dovecot, and against servers that lie.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub,
    reason = "the helpers of a test are part of it"
)]

use std::process::Command;

use suites::program::{Ended, Program, example};

mod hostile;
#[cfg(target_os = "linux")]
mod peers;

fn command(port: u16, args: &[&str]) -> Command {
    let mut command = example("imap_client");
    command
        .env("ASYNCHAT_PASSWORD", "p")
        .args(["--port", &port.to_string(), "--user", "u"])
        .args(args);
    command
}

/// Runs the program.
#[track_caller]
fn imap(port: u16, args: &[&str]) -> Ended {
    Program::start(&mut command(port, args)).ended()
}

#[track_caller]
fn done(port: u16, args: &[&str]) -> String {
    let ended = imap(port, args);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
    ended.out()
}

/// Checks that it fails with one line that begins so.
#[track_caller]
fn fails(port: u16, args: &[&str], why: &str) {
    let ended = imap(port, args);
    let begin = format!("imap_client: {why}");
    assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.err);
    assert!(ended.err.starts_with(&begin), "{args:?}: {}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
}
