//! The skeletons: what is written for which Python, and that each compiles.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

#[path = "../common/mod.rs"]
mod common;
mod compiled;
mod documents;
mod hostile;
mod mapped;
mod programs;

use asynchat_port::skeleton;

/// The skeleton of a program.
pub fn skeleton(files: &[(&str, &str)]) -> String {
    let loaded = common::load(files);
    skeleton::skeleton(&loaded.program, &loaded.names)
}
