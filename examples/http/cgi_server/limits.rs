//! Every limit of the server. Those in [`Limits`] can be set on the command line, the others are constants. Those of a
//! request's form stand in `shared::http`: `reader`, `body` and `request`; those of a script's header in `shared::cgi::answer`.

use std::time::Duration;

use clap::Args;
use shared::cli;

/// Redirects in the server that one request may lead to.
pub(crate) const REDIRECTS: u8 = 10;
/// Bytes of a request's body that wait for a script: above the high mark no more is read until the low one is reached.
pub(crate) const INPUT_MARKS: (usize, usize) = (32 * 1024, 128 * 1024);
/// Bytes of a line of a script's standard error that are logged.
pub(crate) const ERROR_LINE: usize = 1024;
/// Lines of a script's standard error that are logged.
pub(crate) const ERROR_LINES: u64 = 100;
/// The same of all scripts together, a second.
pub(crate) const ERROR_RATE: u32 = 200;
/// The time that is left to read what a script that has ended said on its standard error.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);
/// The time that answers under way have after the first signal.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);
/// Bytes of all bodies of unknown length that are kept in files until their scripts can be told the length.
pub(crate) const SPOOLED: u64 = 256 * 1024 * 1024;

/// What the command line may change.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Scripts that run at once
    #[arg(long = "max-scripts", value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) scripts: u16,
    /// Requests that wait until a script may run; past it 503
    #[arg(long = "max-waiting", value_name = "N", default_value_t = 128)]
    pub(crate) waiting: usize,
    /// Seconds that a request waits until its script may run; then 503
    #[arg(long = "wait-timeout", value_name = "S", default_value = "10", value_parser = cli::seconds)]
    pub(crate) waiting_time: Duration,
    /// Seconds without output of a script that could go on; then it is ended, with 504 if it has said nothing
    #[arg(long = "script-timeout", value_name = "S", default_value = "60", value_parser = cli::seconds)]
    pub(crate) output_time: Duration,
    /// Seconds that a script may take in all
    #[arg(long = "max-script-time", value_name = "S", default_value = "3600", value_parser = cli::seconds)]
    pub(crate) script_time: Duration,
    /// Seconds from SIGTERM to SIGKILL for a script that is ended
    #[arg(long, value_name = "S", default_value = "5", value_parser = cli::seconds)]
    pub(crate) grace: Duration,
    /// Bytes of a script's document [default: no limit]
    #[arg(long = "max-answer", value_name = "BYTES")]
    pub(crate) answer: Option<u64>,
    /// Bytes of a request's body; past it 413
    #[arg(long = "max-body", value_name = "BYTES", default_value_t = 1024 * 1024 * 1024)]
    pub(crate) body: u64,
    /// Connections at the same time; past it 503
    #[arg(long = "max-connections", value_name = "N", default_value = "400", value_parser = cli::at_least_one)]
    pub(crate) connections: usize,
    /// Seconds after which a connection without traffic is closed, unless a script is waited for
    #[arg(long = "idle-timeout", value_name = "S", default_value = "30", value_parser = cli::seconds)]
    pub(crate) idle: Duration,
    /// Seconds that the head of a request may take, and each 4 KiB of its body; then 408
    #[arg(long = "request-timeout", value_name = "S", default_value = "20", value_parser = cli::seconds)]
    pub(crate) request_time: Duration,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        limits: Limits,
    }

    /// The usual limit of descriptors is 1024. A connection has another one of a file, a script has three pipes and its exit.
    #[test]
    fn the_defaults_leave_descriptors_for_scripts() {
        let Options { limits } = Options::parse_from(["cgi_server"]);
        let all = 2 * limits.connections + 4 * usize::from(limits.scripts);
        assert!(all < 1000, "{all}");
    }
}
