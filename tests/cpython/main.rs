//! The tests of CPython's own modules, one by one; the name there stands above each.
#![cfg(unix)]

mod asynchat;
mod asyncore;
