//! A time client (RFC 868): `cargo run --example time_client HOST [PORT] [--udp]`.
//!
//! The work is in `shared::gettime`, which other programs can use too.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use asynchat::Result;
use clap::Parser;
use jiff::{Timestamp, tz::TimeZone};
use shared::{
    cli,
    gettime::{Transport, ask},
    rfc868,
};

/// Ask a server for the time (RFC 868) and compare it with the local clock
#[derive(Debug, Parser)]
#[command(
    name = "time_client",
    after_help = "The difference is local minus server: a positive number means that the local clock is fast."
)]
struct Args {
    /// Name or IP address; every address of a name is tried
    host: String,
    /// TCP or UDP port
    #[arg(default_value_t = 37, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Ask with datagrams, again and again until one is answered
    #[arg(long)]
    udp: bool,
    /// Give up after this time; fractions are allowed
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = cli::seconds)]
    timeout: Duration,
}

/// As C's `ctime` writes it, in the local time zone.
fn ctime(time: SystemTime) -> Result<String> {
    let local = Timestamp::try_from(time)?.to_zoned(TimeZone::system());
    Ok(local.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let transport = match args.udp {
        true => Transport::Udp,
        false => Transport::Tcp,
    };
    let reading = ask(&args.host, args.port, transport, args.timeout)?;
    let off = rfc868::seconds_off(reading.local, reading.server);
    cli::say(&format!("server time is {}", ctime(reading.server)?))?;
    cli::say(&format!("local clock is {off} seconds off"))?;
    Ok(())
}

fn main() -> ExitCode {
    cli::main(run)
}
