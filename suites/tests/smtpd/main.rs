//! The program `smtpd` with clients of others, its Maildir, its ends, and clients that attack it.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

// Memory and processor time are read from /proc.
#[cfg(target_os = "linux")]
mod attacks;
mod client;
mod clients;
mod life;
mod load;
mod maildir;
mod proxied;
mod tls;

use std::net::SocketAddr;

use suites::program::{Program, serve};

/// A server that delivers into a Maildir.
struct Setup {
    program: Program,
    address: SocketAddr,
    maildir: maildir::Maildir,
}

#[track_caller]
fn delivering(args: &[&str]) -> Setup {
    let maildir = maildir::Maildir::new();
    let folder = maildir.path().to_str().unwrap().to_owned();
    let own = [
        "--port",
        "0",
        "--hostname",
        "mx.example",
        "--maildir",
        &folder,
    ];
    let (program, address) = serve("smtpd", &[&own, args].concat());
    Setup {
        program,
        address,
        maildir,
    }
}
