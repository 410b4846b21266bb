//! Reads a Python program that uses `asyncore` or `asynchat`, and says what its port to the crate `asynchat` will meet.
//! The program `asynchat-port` is all there is to it for users; as a library it serves its tests.

#![forbid(unsafe_code)]

pub mod find;
pub mod json;
pub mod knowledge;
pub mod library;
pub mod limits;
pub mod load;
pub mod model;
pub mod order;
pub mod report;
pub mod resolve;
pub mod skeleton;
pub mod source;
pub mod summary;
pub mod syntax;
pub mod text;
