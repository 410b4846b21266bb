//! What only some dispatchers have: frames that are collected, and input that waits for the queue.

#[derive(Default)]
pub(super) struct Extras {
    /// The pieces of the frame begun, if they are collected for the chat. Without memory between two frames.
    pub(super) pieces: Option<Vec<u8>>,
    pub(super) hold: Hold,
}

/// Whether input waits while the queue is congested.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Hold {
    #[default]
    Never,
    WhileCongested,
    /// Now.
    UntilDrained,
}

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
