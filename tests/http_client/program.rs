//! For the test programs that look for it here; it is in `tests/util`.
#![allow(
    unreachable_pub,
    unused_imports,
    reason = "each test file uses some of it"
)]

#[path = "../util/program.rs"]
mod shared;
pub use shared::*;
