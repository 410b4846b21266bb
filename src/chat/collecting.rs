//! What a chat has whose frames are collected for it.

/// The pieces of the frame begun. Without memory between two frames.
#[derive(Debug, Default)]
pub(super) struct Pieces(pub(super) Vec<u8>);

/// The kinds of data that `collect_incoming_data` is called with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handing {
    /// A piece, of a frame or of a stream without frames.
    Piece,
    /// A frame that is taken off the input with its terminator.
    WholeFrame,
    /// The frame that the end of file has cut off.
    Tail,
}
