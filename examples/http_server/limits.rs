//! Every limit of the server. Those in [`Limits`] can be set on the command line, the others are constants.

use std::time::Duration;

/// Bytes of a request line, without its line end; past it 414.
pub(crate) const REQUEST_LINE: usize = 8 * 1024;
/// Bytes of all header lines, without the empty line; past it 431. Their number: `request::MAX_HEADERS`.
pub(crate) const HEADER_BLOCK: usize = 16 * 1024;
/// Bytes of the line before a chunk, and of all trailers; past it 400.
pub(crate) const CHUNK_LINE: usize = 256;
pub(crate) const TRAILERS: usize = 8 * 1024;
/// Empty requests that are overlooked in a row: some clients send a line end too many.
pub(crate) const EMPTY_REQUESTS: u8 = 4;
/// Up to this size a body is read at once and leaves together with the head; larger ones come from a producer.
pub(crate) const INLINE_BODY: usize = 32 * 1024;
/// Entries of one directory page; those past it are counted, not shown.
pub(crate) const LISTING: usize = 10_000;
/// Rows of the status page.
pub(crate) const STATUS_ROWS: usize = 200;
/// After an answer that ends the connection, so long and for so many bytes the rest of the request is thrown away: a
/// client that writes all of a large upload before it reads still finds the answer, not a reset.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(30);
pub(crate) const LINGER_BYTES: usize = 1024 * 1024 * 1024;
/// Above the high mark of bytes waiting for a peer its further requests wait, until the low one is reached.
pub(crate) const LOW_MARK: usize = 32 * 1024;
pub(crate) const HIGH_MARK: usize = 128 * 1024;
/// After the first signal answers under way have so long to be sent.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);
/// And those that are sent, to clients that do not close their side, hold up the end for so long, or twice that.
pub(crate) const SHUTDOWN_LINGER: Duration = Duration::from_secs(1);

/// What the command line may change.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at the same time; more wait in the kernel's queue.
    pub(crate) connections: usize,
    /// A connection on which nothing moves for so long, in either direction, is closed.
    pub(crate) idle: Duration,
    /// A request must have arrived so long after its first byte, body included; past it 408.
    pub(crate) request_time: Duration,
    /// A request body of so many bytes is read and thrown away; past it 413.
    pub(crate) body: u64,
    /// Bytes that may wait for one peer; past it the connection is closed.
    pub(crate) outgoing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            idle: Duration::from_secs(30),
            request_time: Duration::from_secs(20),
            body: 1024 * 1024,
            outgoing: 1024 * 1024,
        }
    }
}
