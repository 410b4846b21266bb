//! A time server (RFC 868) on TCP and UDP: `cargo run --example time_server`, then
//! `cargo run --example time_client localhost 8037`.
//!
//! A client that connects, or sends a datagram of any length, gets the seconds since 1900 in four bytes. A server
//! that does not know the time closes the connection and lets datagrams pass in silence.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use asynchat::{Address, BoxError, Channel, Dispatcher, Reactor, Registry, Result, Stream};
use clap::Parser;
use shared::{cli, rfc868, signals};

/// What a server sends; `None` while it does not know the time.
type Clock = fn() -> Option<[u8; 4]>;

/// The listening socket.
struct TimeServer {
    clock: Clock,
}

impl Dispatcher for TimeServer {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let clock = self.clock;
        channel.registry().register(stream, TimeChannel { clock })?;
        Ok(())
    }
}

/// One client.
struct TimeChannel {
    clock: Clock,
}

impl Dispatcher for TimeChannel {
    /// The client has nothing to say.
    fn readable(&self) -> bool {
        false
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        if let Some(time) = (self.clock)() {
            // Straight to the socket: four bytes fit into a new one.
            let sent = channel.send(&time)?;
            if sent < time.len() {
                channel.write_all(&time[sent..])?;
                channel.close_when_done();
                return Ok(());
            }
        }
        channel.close();
        Ok(())
    }
}

/// The datagram socket, for all clients.
struct TimeDatagrams {
    clock: Clock,
    port: u16,
}

impl TimeDatagrams {
    /// So many datagrams in a row, then it is the turn of the others.
    const BUDGET: usize = 64;

    fn would_loop(&self, from: &Address) -> bool {
        let from = from.inet();
        from.is_some_and(|from| rfc868::would_answer(from.port(), self.port))
    }
}

impl Dispatcher for TimeDatagrams {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        for _ in 0..Self::BUDGET {
            // Ends the loop with `WouldBlock`, which is no failure. What the datagram says does not matter.
            let (_, from) = channel.recv_from(&mut [0; 4])?;
            if self.would_loop(&from) {
                log::info!("datagram from {from} not answered: its answer would be answered");
                continue;
            }
            log::info!("datagram from {from}");
            let Some(time) = (self.clock)() else { continue };
            // An answer that cannot be sent is lost like any datagram; the client asks again.
            if let Err(error) = channel.send_to(&time, &from) {
                log::info!("no answer to {from}: {error}");
            }
        }
        Ok(())
    }

    /// One client's datagram is no reason to close the socket of all.
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::warn!("{}: {error}", channel.describe());
    }
}

/// Serve the time (RFC 868) on TCP and UDP
#[derive(Debug, Parser)]
#[command(
    name = "time_server",
    after_help = "Datagrams from the ports 7, 13, 17, 19 and 37 and from a server's own port number are not answered: \
                  the service behind such a port would answer the answer, for ever. RUST_LOG=info shows who asks."
)]
struct Args {
    /// IP address to listen on. UDP answers leave from the address the system picks, so on a machine with several name
    /// the one that clients use
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// TCP and UDP port; 0 takes a free one, 37 is the protocol's own
    #[arg(long, default_value_t = 8037)]
    port: u16,
    /// No UDP
    #[arg(long, conflicts_with = "udp_only")]
    tcp_only: bool,
    /// No TCP
    #[arg(long)]
    udp_only: bool,
    /// Behave as if the time were unknown
    #[arg(long)]
    no_clock: bool,
}

impl Args {
    fn clock(&self) -> Clock {
        match self.no_clock {
            true => || None,
            false => || rfc868::encode(SystemTime::now()),
        }
    }
}

/// Opens both sockets on one port number; gives the address.
fn listen(registry: &mut Registry, args: &Args) -> io::Result<Address> {
    let clock = args.clock();
    let wanted = SocketAddr::new(args.bind, args.port);
    let udp = (!args.tcp_only)
        .then(|| UdpSocket::bind(wanted))
        .transpose()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}"))
        })?;
    let mut address = match &udp {
        Some(udp) => udp.local_addr()?.into(),
        None => Address::Inet(wanted),
    };
    if !args.udp_only {
        let id = registry.listen(&address, TimeServer { clock })?;
        if let Some(listener) = registry.channel(id) {
            address = listener.local_addr()?;
        }
    }
    if let Some(udp) = udp {
        let port = udp.local_addr()?.port();
        registry.register(udp, TimeDatagrams { clock, port })?;
    }
    Ok(address)
}

/// A port that is free for UDP may be taken for TCP: with port 0, tries others.
fn listen_somewhere(registry: &mut Registry, args: &Args) -> io::Result<Address> {
    for _ in 0..16 {
        match listen(registry, args) {
            Err(error) if args.port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    listen(registry, args)
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let protocols = match (args.tcp_only, args.udp_only) {
        (true, _) => "tcp",
        (_, true) => "udp",
        _ => "tcp, udp",
    };
    let mut reactor = Reactor::new()?;
    signals::shut_down_on_signal(&mut reactor, Duration::from_secs(1))?;
    let address = listen_somewhere(&mut reactor, &args)?;
    cli::say(&format!("listening on {address} ({protocols})"))?;
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_left_alone_only_if_its_answer_would_be_answered() {
        let datagrams = TimeDatagrams {
            clock: || None,
            port: 8037,
        };
        let from = |port: u16| datagrams.would_loop(&Address::from(([192, 0, 2, 1], port)));
        for port in [7, 13, 17, 19, 37, 8037] {
            assert!(from(port), "{port}");
        }
        for port in [1, 53, 123, 1023, 1024, 8036, 8038, 65535] {
            assert!(!from(port), "{port}");
        }
    }
}
