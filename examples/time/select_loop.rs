//! The loop written by hand: `cargo run --example select_loop [--port PORT]`.
//!
//! A time server (RFC 868) that says "still waiting" in every second in which nothing happens. `Reactor::run` is
//! such a loop without the second; a program that has a loop of its own calls `turn` from there.

use std::{
    net::Ipv4Addr,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use asynchat::{Address, Channel, Dispatcher, Reactor, Result, Stream};
use lexopt::prelude::*;
use shared::{cli, rfc868, signals};

const HELP: &str = "\
Serve the time (RFC 868) on 127.0.0.1 and tell every second how it goes.

Usage: select_loop [--port PORT]

Options:
      --port PORT  TCP port; 0 takes a free one [default: 8037]
  -h, --help       show this";

const SECOND: Duration = Duration::from_secs(1);

struct Service;

impl Dispatcher for Service {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        cli::say(&format!("connection from {peer}"))?;
        let client = channel.registry().register(stream, Client)?;
        if let Some(mut client) = channel.registry().channel(client) {
            if let Some(time) = rfc868::encode(SystemTime::now()) {
                client.push(time.to_vec());
            }
            client.close_when_done();
        }
        Ok(())
    }
}

/// Everything is said when it is registered: the reactor sends it and closes.
struct Client;

impl Dispatcher for Client {}

fn parse(mut parser: lexopt::Parser) -> Result<Option<u16>, lexopt::Error> {
    let mut port = 8037;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("port") => port = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(port))
}

fn run(port: u16) -> Result {
    let mut reactor = Reactor::new()?;
    signals::shut_down_on_signal(reactor.handle(), SECOND)?;
    let service = reactor
        .listen((Ipv4Addr::LOCALHOST, port), Service)
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    if let Some(service) = reactor.channel(service) {
        cli::say(&format!("listening on {}", service.local_addr()?))?;
    }
    while !reactor.is_idle() {
        let start = Instant::now();
        let turn = reactor.turn(Some(SECOND))?;
        // A turn may also end early for nothing, by a signal for one.
        if turn.callbacks == 0 && start.elapsed() >= SECOND {
            cli::say("still waiting")?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    cli::main("select_loop", HELP, parse, run)
}
