//! Every limit that can be set. Those of a request's form stand with its readers, in `http`: `reader`, `body`, `request` and
//! `answer_reader`.

use std::{num::NonZeroUsize, time::Duration};

use clap::Args;

use crate::cli;

/// What waits for a reader that stalls, besides one read: enough to be busy with, and little enough for all connections to
/// do it at a time.
pub(super) const HIGH_MARK: usize = 64 * 1024;
pub(super) const LOW_MARK: usize = 16 * 1024;
/// After an answer that ends the connection while the request is still coming, input is thrown away for this time and this
/// number of bytes: a client that writes all of an upload before it reads still finds the answer, not a reset.
pub(super) const UPLOAD_LINGER_TIME: Duration = Duration::from_secs(30);
pub(super) const UPLOAD_LINGER_BYTES: usize = 1024 * 1024 * 1024;
/// So many connections past the limit are told that they are too many; the rest are closed without a word.
pub(super) const REFUSALS: usize = 16;
/// A client that has moved less than [`HIGH_MARK`] of a body for this time may have to make room.
pub(super) const STALLED: Duration = Duration::from_secs(10);
/// The time that requests under way have after the first signal.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections of clients at a time; past it who waits longest makes room, or 503
    #[arg(long, value_name = "N", default_value = "400")]
    pub max_connections: NonZeroUsize,
    /// The same of one IPv4 address, or one IPv6 /64; others are closed [default: no limit]
    #[arg(long, value_name = "N")]
    pub max_per_peer: Option<NonZeroUsize>,
    /// Seconds that the head of a request may take to arrive; then 408
    #[arg(long, value_name = "S", default_value = "20", value_parser = cli::seconds)]
    pub request_timeout: Duration,
    /// Seconds after which a client that neither sends nor takes anything is let go
    #[arg(long, value_name = "S", default_value = "60", value_parser = cli::seconds)]
    pub idle_timeout: Duration,
    /// Seconds that looking the server up may take, and connecting to it; then 504
    #[arg(long, value_name = "S", default_value = "10", value_parser = cli::seconds)]
    pub connect_timeout: Duration,
    /// Seconds that the server may be silent for; then 504
    #[arg(long, value_name = "S", default_value = "60", value_parser = cli::seconds)]
    pub answer_timeout: Duration,
    /// Seconds after which a tunnel (CONNECT) without traffic is closed
    #[arg(long, value_name = "S", default_value = "600", value_parser = cli::seconds)]
    pub tunnel_timeout: Duration,
    /// Bytes of a request body; past it 413 [default: no limit]
    #[arg(long, value_name = "BYTES")]
    pub max_body: Option<u64>,
    /// Connections to servers that are kept for the next request; 0 keeps none
    #[arg(long, value_name = "N", default_value = "100")]
    pub pool: usize,
    /// The same to one server
    #[arg(long, value_name = "N", default_value = "64")]
    pub pool_per_host: usize,
    /// Seconds that such a connection is kept for
    #[arg(long, value_name = "S", default_value = "15", value_parser = cli::seconds)]
    pub pool_timeout: Duration,
}
