//! What may stand between a stream's socket and its channel, TLS above all.

use std::{any::Any, io::IoSlice};

use crate::error::Result;

/// Changes the bytes of a stream on their way between the socket and the channel: TLS, another cipher, a compression.
///
/// [`Channel::upgrade`](crate::Channel::upgrade) puts it there. A filter makes no system call: the reactor reads, feeds
/// it, and sends what it gives. The crate `asynchat-rustls` has TLS ready to use.
///
/// Plaintext is what the object behind the channel sends and receives; the wire is what the socket carries. A call that
/// panics ends the channel like one that fails, and the filter is not called again.
///
/// ```
/// use asynchat::{Filter, FilterPhase, Result};
/// use std::io::IoSlice;
///
/// /// Hides the text from nobody.
/// struct Rot13;
///
/// fn turn(byte: &u8) -> u8 {
///     match byte {
///         b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
///         other => *other,
///     }
/// }
///
/// impl Filter for Rot13 {
///     fn feed(&mut self, wire: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
///         plain.extend(wire.iter().map(turn));
///         Ok(())
///     }
///     fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
///         plain.iter().for_each(|part| wire.extend(part.iter().map(turn)));
///         Ok(plain.iter().map(|part| part.len()).sum())
///     }
///     fn end(&mut self, _: &mut Vec<u8>) {}
///     fn phase(&self) -> FilterPhase {
///         FilterPhase::Open
///     }
/// }
/// ```
pub trait Filter: Any + Send + Sync {
    /// Takes all of `input`, bytes from the socket. Appends all plaintext in it to `plain`: none may stay behind, because
    /// the reactor would not know of it. Appends to `wire` what the peer has to get because of the input.
    ///
    /// Called with empty input once at the start, so that a filter that speaks first can do so. Otherwise called only
    /// when bytes have arrived, up to one [read buffer](crate::Builder::read_buffer) at a time.
    ///
    /// # Errors
    /// The stream is broken, and the filter is not fed again. The bytes in `plain` are delivered before the error as long as
    /// the object reads them, unless the handshake was not done. Those in `wire`, an alert perhaps, are sent if the socket
    /// has room.
    fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result;

    /// Appends to `wire` as much of `plain` as it likes, at least one byte, and returns how many bytes of `plain` that
    /// were. Called only while its phase is not [`Handshaking`](FilterPhase::Handshaking).
    ///
    /// # Errors
    /// Nothing can be sent any more.
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize>;

    /// Appends to `wire` the message to the peer that no plaintext follows. Called at most once, after the last
    /// [`seal`](Self::seal); `feed` may still be called.
    fn end(&mut self, wire: &mut Vec<u8>);

    /// How far it is. It may change with every call of [`feed`](Self::feed), but not back to
    /// [`Handshaking`](FilterPhase::Handshaking): a channel that sends before it reads on would wait for ever.
    fn phase(&self) -> FilterPhase;
}

/// How far a [`Filter`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterPhase {
    /// It takes no plaintext yet. What the program pushes waits.
    Handshaking,
    /// Both directions are open.
    Open,
    /// The peer has ended its direction as the protocol demands: no plaintext follows, whatever arrives.
    PeerEnded,
}
