//! Python's syntax, versions 2 and 3, as a flat table of nodes. Nothing here or above it recurses along the nesting of
//! a program, which may be 100,000 brackets deep.

mod marks;
pub mod parse;
pub mod tree;

pub use self::{
    marks::Position,
    parse::{Failure, parse},
    tree::{Fault, Node, Tree},
};
