//! A time client (RFC 868): `cargo run --example time_client HOST [PORT] [--udp]`.
//!
//! The work is in `shared::gettime`, which other programs can use too.

use std::{
    num::NonZeroU16,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use asynchat::Result;
use jiff::{Timestamp, tz::TimeZone};
use lexopt::prelude::*;
use shared::{
    cli,
    gettime::{self, Transport, ask},
    rfc868,
};

const HELP: &str = "\
Ask a server for the time (RFC 868) and compare it with the local clock.

Usage: time_client [OPTIONS] HOST [PORT]

Arguments:
  HOST  name or IP address; every address of a name is tried
  PORT  [default: 37]

Options:
      --udp           ask with datagrams, again and again until one is answered
      --timeout SECS  give up after so long, fractions allowed [default: 10]
  -h, --help          show this

The difference is local minus server: a positive number means that the local clock is fast.";

struct Args {
    host: String,
    port: u16,
    transport: Transport,
    timeout: Duration,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut host = None;
    let mut port = None;
    let mut transport = Transport::Tcp;
    let mut timeout = gettime::TIMEOUT;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("udp") => transport = Transport::Udp,
            Long("timeout") => timeout = parser.value()?.parse_with(cli::seconds)?,
            Short('h') | Long("help") => return Ok(None),
            Value(value) if host.is_none() => host = Some(value.string()?),
            Value(value) if port.is_none() => port = Some(value.parse::<NonZeroU16>()?),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(Args {
        host: host.ok_or("HOST is missing")?,
        port: port.map_or(37, NonZeroU16::get),
        transport,
        timeout,
    }))
}

/// As C's `ctime` writes it, in the local time zone.
fn ctime(time: SystemTime) -> Result<String> {
    let local = Timestamp::try_from(time)?.to_zoned(TimeZone::system());
    Ok(local.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let reading = ask(&args.host, args.port, args.transport, args.timeout)?;
    let off = rfc868::seconds_off(reading.local, reading.server);
    cli::say(&format!("server time is {}", ctime(reading.server)?))?;
    cli::say(&format!("local clock is {off} seconds off"))?;
    Ok(())
}

fn main() -> ExitCode {
    cli::main("time_client", HELP, parse, run)
}
