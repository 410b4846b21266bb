//! Producers.
use bytes::Bytes;
use std::io;
/// A source.
pub trait Producer {
    /// More.
    fn more(&mut self) -> io::Result<Produced>;
}
/// What.
#[non_exhaustive]
#[derive(Debug)]
pub enum Produced {
    /// d
    Data(Bytes),
    /// p
    Pending,
    /// d
    Done,
}
