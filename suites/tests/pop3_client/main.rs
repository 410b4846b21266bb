//! The program `pop3_client` against Dovecot, and against servers that lie.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub,
    reason = "the helpers of a test are part of it"
)]

use std::{path::Path, process::Command};

use suites::{
    certificates::text,
    program::{Ended, Program, example},
};

mod hostile;
#[cfg(target_os = "linux")]
mod peers;

fn command(port: u16, args: &[&str]) -> Command {
    let mut command = example("pop3_client");
    command
        .env("ASYNCHAT_PASSWORD", "p")
        .args(["--port", &port.to_string(), "--user", "u"])
        .args(args);
    command
}

/// Runs the program.
#[track_caller]
fn pop3(port: u16, args: &[&str]) -> Ended {
    Program::start(&mut command(port, args)).ended()
}

#[track_caller]
fn done(port: u16, args: &[&str]) -> String {
    let ended = pop3(port, args);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
    ended.out()
}

/// Checks that it fails with one line that begins so.
#[track_caller]
fn fails(port: u16, args: &[&str], why: &str) {
    let ended = pop3(port, args);
    let begin = format!("pop3_client: {why}");
    assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.err);
    assert!(ended.err.starts_with(&begin), "{args:?}: {}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
}

fn fetch<'a>(maildir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["127.0.0.1", "fetch", "--maildir", text(maildir)], more].concat()
}
