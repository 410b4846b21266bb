//! The program `smtp_client` against servers of others: Postfix and its smtp-sink, which fails to order, and Python's.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "the helpers of a test are part of it"
)]

// It changes owners.
#[cfg(unix)]
mod postfix;
mod python;
mod sink;
mod tls;
mod wrong;

use std::{net::SocketAddr, path::Path};

use suites::{
    others::{Said, run, set_mode},
    program::example,
};
use tempfile::TempDir;

/// Leading dots, a lone one, 8-bit text, and no line end at the end.
const MESSAGE: &str = "Subject: dots\n\n.\n..two\n.one\nbl\u{e5}\nlast";
const ASCII: &str = "Subject: dots\n\n.\n..two\n.one\nlast";

/// Sends a message from a@x.example.
#[track_caller]
fn send(server: SocketAddr, args: &[&str], message: &str) -> Said {
    let mut command = example("smtp_client");
    command
        .args([&server.ip().to_string(), "-"])
        .args(["--port", &server.port().to_string()])
        .args(["--from", "a@x.example"])
        .args(args);
    run(&mut command, message.as_bytes())
}

/// That every user of this machine can reach, for servers that change theirs.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

fn open_to_all(path: &Path) {
    set_mode(path, 0o777);
}
