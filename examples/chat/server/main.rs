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
use clap::Parser;
use shared::{
    cli::{self, Listen},
    signals,
};

mod commands;
mod monitor;
mod room;
mod session;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod user;

/// How long the last words to everybody may take.
const GRACE: Duration = Duration::from_secs(1);

/// A chat server with commands, and a port for its operator
#[derive(Debug, Parser)]
#[command(
    name = "chat_server",
    after_help = "The first line a user sends is its nick; /help shows the commands. The monitor sends a challenge, and \
                  the answer is its HMAC-SHA-256 under the password, in hexadecimal digits: \
                  printf %s CHALLENGE | openssl dgst -sha256 -hmac PASSWORD"
)]
struct Args {
    #[command(flatten)]
    listen: Listen<8518>,
    /// Connections at a time; who has no nick makes room
    #[arg(
        long,
        value_name = "NUM",
        default_value = "100",
        help_heading = "Limits"
    )]
    max_users: NonZeroUsize,
    /// Bytes that may wait for a user before it is dropped, at least 16384
    #[arg(long, value_name = "NUM", default_value = "262144", value_parser = room_enough, help_heading = "Limits")]
    max_outgoing: usize,
    /// The operator's password is its first line; without it there is no monitor
    #[arg(long, value_name = "FILE", help_heading = "Monitor")]
    password_file: Option<PathBuf>,
    /// IP address of the monitor
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into(), help_heading = "Monitor")]
    monitor_bind: IpAddr,
    /// 0 takes a free one
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8519,
        help_heading = "Monitor"
    )]
    monitor_port: u16,
}

impl Args {
    fn monitor(&self) -> SocketAddr {
        SocketAddr::new(self.monitor_bind, self.monitor_port)
    }
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

/// Fewer bytes have no room for the welcome of a newcomer and a line of each user.
fn room_enough(text: &str) -> Result<usize, String> {
    cli::at_least(16 * 1024, text)
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let password = args.password_file.as_deref().map(password).transpose()?;
    let (address, monitor_address) = (args.listen.address(), args.monitor());
    let mut reactor = Reactor::builder().max_outgoing(args.max_outgoing).build()?;
    signals::shut_down_on_signal(&mut reactor, GRACE)?;
    let room = room::open(&mut reactor, address, args.max_users.get())?;
    let monitor = password
        .map(|password| reactor.listen(monitor_address, monitor::Monitor::new(room, &password)))
        .transpose()?;
    say_where(&mut reactor, "listening", room)?;
    if let Some(monitor) = monitor {
        say_where(&mut reactor, "monitor", monitor)?;
    }
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}
