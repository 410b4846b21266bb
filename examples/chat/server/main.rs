//! A chat server after Medusa's `chat_server.py`: `cargo run --example chat_server`, then `nc 127.0.0.1 8518` from
//! several terminals. Commands are found by name, and the operator has a port of its own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use asynchat::{ChannelId, Reactor, Result};
use lexopt::prelude::*;
use shared::{cli, signals};

mod commands;
mod monitor;
mod room;
mod session;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod user;

const HELP: &str = "\
A chat server with commands, and a port for its operator.

Usage: chat_server [OPTIONS]

Options:
      --bind ADDR           IP address to listen on [default: 127.0.0.1]
      --port PORT           0 takes a free one [default: 8518]
      --max-users NUM       connections at a time; who has no nick makes room [default: 100]
      --max-outgoing NUM    bytes that may wait for a user before it is dropped [default: 262144]
      --password-file FILE  the operator's password is its first line; without it there is no monitor
      --monitor-bind ADDR   IP address of the monitor [default: 127.0.0.1]
      --monitor-port PORT   0 takes a free one [default: 8519]
  -h, --help                show this

The first line a user sends is its nick; /help shows the commands. The monitor sends a challenge, and the answer is
its HMAC-SHA-256 under the password, in hexadecimal digits: printf %s CHALLENGE | openssl dgst -sha256 -hmac PASSWORD";

/// How long the last words to everybody may take.
const GRACE: Duration = Duration::from_secs(1);

struct Args {
    address: SocketAddr,
    max_users: NonZeroUsize,
    max_outgoing: usize,
    password_file: Option<PathBuf>,
    monitor: SocketAddr,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8518),
        max_users: NonZeroUsize::MIN.saturating_add(99),
        max_outgoing: 256 * 1024,
        password_file: None,
        monitor: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8519),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("bind") => args.address.set_ip(parser.value()?.parse()?),
            Long("port") => args.address.set_port(parser.value()?.parse()?),
            Long("max-users") => args.max_users = parser.value()?.parse()?,
            Long("max-outgoing") => args.max_outgoing = parser.value()?.parse()?,
            Long("password-file") => args.password_file = Some(parser.value()?.into()),
            Long("monitor-bind") => args.monitor.set_ip(parser.value()?.parse()?),
            Long("monitor-port") => args.monitor.set_port(parser.value()?.parse()?),
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(args))
}

/// On the command line everybody on the machine could read it.
fn password(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("{} has no password in its first line", file.display()).into()),
    }
}

fn say_where(reactor: &mut Reactor, what: &str, id: ChannelId) -> Result {
    if let Some(listener) = reactor.channel(id) {
        cli::say(&format!("{what} on {}", listener.local_addr()?))?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let password = args.password_file.as_deref().map(password).transpose()?;
    let mut reactor = Reactor::builder().max_outgoing(args.max_outgoing).build()?;
    signals::shut_down_on_signal(reactor.handle(), GRACE)?;
    let room = room::open(&mut reactor, args.address, args.max_users.get())
        .map_err(|error| format!("cannot listen on {}: {error}", args.address))?;
    let monitor = password
        .map(|password| reactor.listen(args.monitor, monitor::Monitor::new(room, &password)))
        .transpose()
        .map_err(|error| format!("cannot listen on {}: {error}", args.monitor))?;
    say_where(&mut reactor, "listening", room)?;
    if let Some(monitor) = monitor {
        say_where(&mut reactor, "monitor", monitor)?;
    }
    reactor.run()
}

fn main() -> ExitCode {
    cli::main("chat_server", HELP, parse, run)
}
