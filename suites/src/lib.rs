//! What the suites of the example programs share: programs as processes, and clients for them. Unix only, as the suites
//! are.
#![cfg(unix)]
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "helpers of tests: they fail by panicking"
)]

use std::path::Path;

mod build;
pub mod program;
pub mod web_server;

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
