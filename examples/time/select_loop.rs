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
use clap::Parser;
use shared::{cli, rfc868, signals};

/// Serve the time (RFC 868) on 127.0.0.1 and tell every second how it goes
#[derive(Debug, Parser)]
#[command(name = "select_loop")]
struct Args {
    /// TCP port; 0 takes a free one
    #[arg(long, default_value_t = 8037)]
    port: u16,
}

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

fn run(Args { port }: Args) -> Result {
    let mut reactor = Reactor::new()?;
    signals::shut_down_on_signal(&mut reactor, SECOND)?;
    let service = reactor.listen((Ipv4Addr::LOCALHOST, port), Service)?;
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
    cli::main(run)
}
