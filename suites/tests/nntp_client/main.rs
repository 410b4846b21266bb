//! The program `nntp_client` against INN.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "the helpers of a test are part of it"
)]

mod inn;
mod reading;

use std::net::SocketAddr;

use suites::program::{Ended, Program, example};

/// Runs a command. Options come behind the host.
#[track_caller]
fn news(server: SocketAddr, args: &[&str]) -> Ended {
    let mut client = example("nntp_client");
    client
        .arg(server.ip().to_string())
        .args(["--port", &server.port().to_string()])
        .args(args)
        .env("ASYNCHAT_PASSWORD", "p");
    Program::start(&mut client).ended()
}

/// What a command that works says.
#[track_caller]
fn said(server: SocketAddr, args: &[&str]) -> String {
    let ended = news(server, args);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
    ended.out()
}

/// Checks that a command fails with this reason.
#[track_caller]
fn assert_fails(server: SocketAddr, args: &[&str], why: &str) {
    let ended = news(server, args);
    assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.out());
    let expected = format!("nntp_client: {why}");
    assert!(ended.err.starts_with(&expected), "{args:?}: {}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{args:?}: {}", ended.err);
}
