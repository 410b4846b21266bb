//! Limits, and the options that change them.

use std::{num::NonZeroUsize, time::Duration};

use clap::Args;
use shared::cli;

/// Above the high mark of replies that a client has not read its commands wait, until the low one is reached.
pub(crate) const LOW_MARK: usize = 1024;
pub(crate) const HIGH_MARK: usize = 4 * 1024;
/// Replies that wait for a client: one more than fits below the high mark, and the longest is that to EHLO.
pub(crate) const OUTGOING: usize = 64 * 1024;
/// A client that was told goodbye and goes on sending.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(2);
pub(crate) const LINGER_BYTES: usize = 256 * 1024;
/// The time that messages under way have after the first signal.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// Threads that write into the Maildir. File systems write for all that wait at the same time at once.
pub(crate) const WRITERS: usize = 16;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Bytes of a message; past it 552
    #[arg(long = "size", value_name = "BYTES", default_value = "33554432", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) size: u64,
    /// Recipients of a message; past it 452
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) max_recipients: NonZeroUsize,
    /// Wrong commands of a client; with the last it is disconnected
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) max_errors: NonZeroUsize,
    /// Connections at the same time; past it 421
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) max_connections: NonZeroUsize,
    /// Connections from one address at the same time; past it closed
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) max_per_peer: NonZeroUsize,
    /// Seconds without traffic; then 421
    #[arg(long = "idle-timeout", value_name = "SECS", default_value = "300", value_parser = cli::seconds)]
    pub(crate) idle: Duration,
    /// Seconds that a connection lasts at most; then 421
    #[arg(long = "session-timeout", value_name = "SECS", default_value = "3600", value_parser = cli::seconds)]
    pub(crate) session: Duration,
}
