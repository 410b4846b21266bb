//! The tests of CPython's own modules, one by one; the name there stands above each.
#![cfg_attr(
    not(unix),
    allow(unused_imports, dead_code, reason = "tests of Unix are left out")
)]

mod asynchat;
mod asyncore;
