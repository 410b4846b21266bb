//! Every limit of the server. Those in [`Limits`] can be set on the command line, the others are constants. Those of a
//! request's form stand with its readers, in `shared::http`: `reader`, `body` and `request`.

use std::time::Duration;

use clap::Args;
use shared::cli;

/// Up to this size a body is read at once and leaves together with the head; larger ones are queued behind it.
pub(crate) const INLINE_BODY: usize = 32 * 1024;
/// Ranges of a file that one request may ask for; with more it gets the whole.
pub(crate) const RANGES: usize = 16;
/// Entries of one directory page, of which a directory has as many as it needs.
pub(crate) const LISTING: usize = 2_000;
/// The number of directory pages kept, and the time each is kept.
pub(crate) const PAGES: usize = 8;
pub(crate) const PAGE_AGE: Duration = Duration::from_secs(1);
/// Files that a thread keeps (`--file-cache`), and those of them that are open: the others are up to [`INLINE_BODY`] bytes in
/// memory. Descriptors are few, because clients need them.
pub(crate) const KEPT_FILES: usize = 128;
pub(crate) const KEPT_DESCRIPTORS: usize = 16;
/// After this number of answers, or one directory page, the other connections get their turn.
pub(crate) const ANSWERS: u8 = 16;
/// The same after this number of parts of chunks: a read may bring thousands of chunks of one byte.
pub(crate) const CHUNK_PARTS: u16 = 256;
/// Channels on the status page, of all threads together.
pub(crate) const STATUS_ROWS: usize = 200;
/// After an answer that ends the connection, input is thrown away for this time and this number of bytes.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(2);
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;
/// The same where a body is refused: a client that writes all of a large upload before it reads still finds the answer,
/// not a reset.
pub(crate) const UPLOAD_LINGER_TIME: Duration = Duration::from_secs(30);
pub(crate) const UPLOAD_LINGER_BYTES: usize = 1024 * 1024 * 1024;
/// So many connections past the limit are told that they are too many; the rest are closed without a word.
pub(crate) const REFUSALS: usize = 16;
/// Connections that may wait for a thread that is held up, when one accepts for all.
pub(crate) const HANDED_OVER: usize = 64;
/// Above the high mark of bytes waiting for a peer its further requests wait, until the low one is reached.
pub(crate) const LOW_MARK: usize = 32 * 1024;
pub(crate) const HIGH_MARK: usize = 128 * 1024;
/// More than any answer that is queued whole: a body of [`INLINE_BODY`] and a head with a path as long as a request line may be.
pub(crate) const LARGEST_ANSWER: usize = 48 * 1024;
/// What may wait for one client must be more than that.
pub(crate) const LEAST_OUTGOING: usize = 64 * 1024;
/// The longest that a TLS handshake may take; [`Limits::request_time`] if that is less.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The time that answers under way have after the first signal.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);
/// Answers that are sent, to clients that do not close their side, hold up the end for this time, or twice that.
pub(crate) const SHUTDOWN_LINGER: Duration = Duration::from_secs(1);

/// What the command line may change.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Connections at the same time; past it who waits longest makes room, or 503
    // It has waited longest for its request to be complete, or it does not take its answer. A thread looks at its own
    // connections only.
    #[arg(long = "max-connections", value_name = "N", default_value = "1000", value_parser = cli::at_least_one)]
    pub(crate) connections: usize,
    /// Seconds after which a connection without traffic is closed
    #[arg(long = "idle-timeout", value_name = "S", default_value = "30", value_parser = cli::seconds)]
    pub(crate) idle: Duration,
    /// Seconds a request may take to arrive, body included; then 408. Seconds, but no more than 10, of a TLS handshake
    #[arg(long = "request-timeout", value_name = "S", default_value = "20", value_parser = cli::seconds)]
    pub(crate) request_time: Duration,
    /// Bytes of a request body, which is thrown away; past it 413
    #[arg(long = "max-body", value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub(crate) body: u64,
    /// Bytes that may wait for one client, at least 65536; past it it is closed
    #[arg(
        long = "max-outgoing",
        value_name = "BYTES",
        default_value_t = 1024 * 1024,
        value_parser = outgoing
    )]
    pub(crate) outgoing: usize,
}

/// Less would cut answers off.
fn outgoing(text: &str) -> Result<usize, String> {
    cli::at_least(LEAST_OUTGOING, text)
}

impl Limits {
    /// What one of several threads may have, so that all together have no more than this.
    pub(crate) fn share(&self, thread: usize, threads: usize) -> Self {
        let rest = usize::from(thread < self.connections % threads);
        Self {
            connections: self.connections / threads + rest,
            ..self.clone()
        }
    }

    /// A client that has not taken a block of its answer for this time makes room for others: well before it is idle.
    pub(crate) fn stalled(&self) -> Duration {
        self.idle / 3
    }

    pub(crate) fn handshake(&self) -> Duration {
        HANDSHAKE_TIME.min(self.request_time)
    }

    /// The watermarks: an answer begun below the high one still fits.
    pub(crate) fn marks(&self) -> (usize, usize) {
        let high = HIGH_MARK.min(self.outgoing.saturating_sub(LARGEST_ANSWER));
        (LOW_MARK.min(high / 2), high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_threads_make_up_the_limit() {
        for (connections, threads) in [(1000, 1), (1000, 3), (7, 7), (8, 7)] {
            let limits = Limits {
                connections,
                idle: Duration::ZERO,
                request_time: Duration::ZERO,
                body: 0,
                outgoing: 0,
            };
            let shares = (0..threads).map(|thread| limits.share(thread, threads).connections);
            let shares: Vec<_> = shares.collect();
            assert_eq!(shares.iter().sum::<usize>(), connections, "{shares:?}");
            assert!(
                shares.iter().all(|share| shares[0] - share <= 1),
                "{shares:?}"
            );
        }
    }
}
