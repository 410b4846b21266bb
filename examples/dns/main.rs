//! A stub resolver: `cargo run --example dns_lookup -- --type AAAA example.org example.net`.
//!
//! Each name is a question on a datagram socket of its own ([`datagram`]), all on one reactor. An answer that is too
//! long for a datagram is asked for again over TCP ([`stream`]).

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use asynchat::{Reactor, Result};
use clap::Parser;
use shared::{cli, signals};

use lookups::{Lookups, Plan};
use query::{Kind, Query};

mod datagram;
mod lookups;
mod query;
mod server;
mod stream;
mod text;

/// Ask a DNS server for the records of names, all at once
#[derive(Debug, Parser)]
#[command(
    name = "dns_lookup",
    after_help = "A line is a record, as in a zone file. Names are taken as they are: no search list, no /etc/hosts. \
                  Exit code 0: every name has such records; 1: some have not, or there was no answer; 2: called the \
                  wrong way."
)]
struct Args {
    /// Name to look up; with --type PTR an IP address too
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Server to ask, on port 53 if no other is given; by default the first of /etc/resolv.conf, or else the loopback
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server::parse)]
    server: Option<SocketAddr>,
    /// Type of the records
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true, default_value_t = Kind::A)]
    kind: Kind,
    /// How long a try waits for its answer
    #[arg(long, value_name = "SECS", default_value = "2", value_parser = cli::seconds)]
    timeout: Duration,
    /// How often a datagram is sent
    #[arg(long, value_name = "NUM", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    tries: u8,
    /// Ask over TCP only
    #[arg(long)]
    tcp: bool,
}

fn queries(args: &Args) -> Result<Vec<Query>, String> {
    let queries = args.names.iter().map(|name| Query::new(name, args.kind));
    queries.collect()
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::new()?;
    let plan = Plan {
        server: args.server.unwrap_or_else(server::of_system),
        timeout: args.timeout,
        tries: args.tries,
        tcp: args.tcp,
    };
    let lookups = Lookups::new(plan, queries(&args)?);
    let ends = lookups.clone();
    signals::end_on_signal(&mut reactor, move |registry| ends.interrupt(registry))?;
    lookups.go_on(&mut reactor);
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    lookups.outcome()
}

fn main() -> ExitCode {
    cli::main_checked(|args| queries(args).map(drop), run)
}
