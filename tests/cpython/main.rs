//! The tests of CPython's own modules, one by one under their names.
#![cfg(unix)]

mod asynchat;
mod asyncore;
