//! What the suites of the example programs share: programs as processes, and clients for them.
//!
//! On Windows `ASYNCHAT_SUITES_BUILT` names the folder of the built examples where a test cannot start cargo, as under wine.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "helpers of tests: they fail by panicking"
)]

use std::{fmt, path::Path};

pub use util::{lacks, skip};

mod build;
pub mod certificates;
#[cfg(target_os = "linux")]
pub mod dovecot;
pub mod errors;
pub mod maildir;
pub mod others;
pub mod program;
pub mod scripted;
pub mod tls;
#[cfg(target_os = "linux")]
pub mod victim;
pub mod web_server;
#[cfg(windows)]
pub mod windows;

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// [`skip`] where a program of others is missing. `.ci/setup` installs none of them as a Windows program.
pub fn missing(program: impl fmt::Display) {
    if cfg!(windows) {
        lacks(format_args!("no {program}"));
    } else {
        skip(format_args!("no {program}"));
    }
}
