//! A TCP proxy: `cargo run --example tcp_proxy -- --listen 127.0.0.1:8080 --to example.com:80`.
//!
//! Each client is coupled with a connection to the server (`Registry::couple`): bytes, half-closes and resets pass both
//! ways, and a stalled reader costs the high watermark of its queue, not more.
//!
//! `--tls-cert` and `--tls-key` end TLS in front of a plain server, and `--to-tls` speaks it to the target; both together
//! encrypt anew. A close_notify is passed on as an end of file, and the other way round. A TLS stream that ends without one
//! was cut, perhaps by an attacker: it is passed on as a reset.

mod tls;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use asynchat::{
    Address, Channel, ChannelId, ConnectOptions, CoupleOptions, Dispatcher, ListenOptions,
    Question, Reactor, Result, Stream,
};
use asynchat_rustls::{RegistryTls, TlsAcceptor};
use clap::Parser;
use shared::{cli, signals};

use crate::tls::{Target, TlsOptions};

/// What waits for a reader that stalls, besides one read: enough to be busy with, and little enough for all connections
/// to do it at a time.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;
/// How long to wait for a descriptor.
const REST: Duration = Duration::from_millis(100);

/// The listening socket.
struct Proxy {
    /// Looked up for each client: the server may move.
    to: To,
    /// `None` for plain clients.
    tls: Option<TlsAcceptor>,
    /// `None` for a plain target.
    target: Option<Target>,
    connect: ConnectOptions,
    idle_timeout: Duration,
    /// There was no descriptor to connect with: nobody else is accepted until there is one.
    short: bool,
}

impl Proxy {
    /// Connects for a client. If descriptors have run out, a client of a server given by address waits for one, unread, and
    /// those behind it wait in the listener's queue. With a name the lack shows after the look-up, and ends the pair.
    fn dial(&mut self, channel: &mut Channel<'_>, client: ChannelId) -> Result {
        let registry = channel.registry();
        if registry.channel(client).is_none() {
            self.short = false;
            return Ok(());
        }
        let To { host, port } = &self.to;
        match registry.connect_host_with(host, *port, &self.connect, Waiting) {
            Ok(server) => {
                if let Some(target) = &self.target {
                    target.secure(registry, server)?;
                }
                registry.couple(client, server, self.options())?;
                self.short = false;
            }
            // A name that is not known and an address that cannot be reached end the pair.
            Err(error) => {
                if !std::mem::replace(&mut self.short, true) {
                    log::warn!("no connections for a while: {error}");
                }
                channel.call_later(REST, move |proxy: &mut Self, channel| {
                    proxy.dial(channel, client)
                });
            }
        }
        Ok(())
    }

    fn options(&self) -> CoupleOptions {
        let target = self.target.clone();
        CoupleOptions::new()
            .watermarks(LOW, HIGH)
            .idle_timeout(self.idle_timeout)
            .on_end(move |_, coupled| {
                let (up, down) = (coupled.from_near, coupled.from_far);
                log::debug!("connection over: {up} bytes up, {down} down");
                let far = coupled.far.as_ref();
                match target.and_then(|target| target.complaint(far?)) {
                    Some(complaint) => log::warn!("{complaint}"),
                    None => {
                        if let Some(failure) = far.and_then(tls::failure) {
                            log::info!("the connection to the target failed: {failure}");
                        }
                    }
                }
                if let Some(failure) = coupled.near.as_ref().and_then(tls::failure) {
                    log::info!("the connection from a client failed: {failure}");
                }
            })
    }
}

impl Dispatcher for Proxy {
    fn readable(&self) -> bool {
        !self.short
    }

    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        stream.set_nodelay(true)?;
        let registry = channel.registry();
        let client = match &self.tls {
            Some(acceptor) => registry.register_tls(stream, acceptor, Waiting)?,
            None => registry.register(stream, Waiting)?,
        };
        self.dial(channel, client)
    }
}

/// Reads nothing, until the pair is complete.
struct Waiting;

impl Dispatcher for Waiting {
    fn readable(&self) -> bool {
        false
    }
}

/// Pass TCP connections on to another address, with TLS on either side
#[derive(Debug, Parser)]
#[command(
    name = "tcp_proxy",
    after_help = "A half-close is passed on as such, a reset as a reset at once, and so is a TLS stream that ends without a \
                  close_notify. RUST_LOG=info shows connections and why they fail."
)]
struct Args {
    /// Where to take connections; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where to pass them on; every address of a name is tried
    #[arg(long, value_name = "HOST:PORT")]
    to: To,
    #[command(flatten)]
    tls: TlsOptions,
    /// Connections served at a time; others wait
    #[arg(
        long,
        value_name = "NUM",
        default_value = "1000",
        help_heading = "Limits"
    )]
    max_connections: NonZeroUsize,
    /// How long connecting to one address may take, and a TLS handshake on either side
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = cli::seconds, help_heading = "Limits")]
    connect_timeout: Duration,
    /// Close connections on which nothing moves for this time
    #[arg(long, value_name = "SECS", default_value = "3600", value_parser = cli::seconds, help_heading = "Limits")]
    idle_timeout: Duration,
}

/// A host, an IPv6 address perhaps in brackets, and a port.
#[derive(Clone, Debug)]
struct To {
    host: String,
    port: u16,
}

impl FromStr for To {
    type Err = String;

    /// A host that none can have is an error now, not of each connection.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .filter(|&(_, port)| port != 0);
        let (host, port) = parts.ok_or("not HOST:PORT")?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let is_address = match bracketed {
            Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<IpAddr>().is_ok(),
        };
        if !is_address {
            Question::new(host, port).map_err(|error| error.to_string())?;
        }
        let host = host.into();
        Ok(Self { host, port })
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::builder()
        // Two channels each.
        .max_channels(args.max_connections.get().saturating_mul(2))
        .handshake_timeout(args.connect_timeout)
        .build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::from_secs(1))?;
    let target = args.tls.target(&args.to.host)?;
    let tls = match args.tls.identity() {
        Some(identity) => Some(tls::acceptor(&mut reactor, identity)?),
        None => None,
    };
    let marks = [tls.is_some(), target.is_some()].map(tls::mark);
    let proxy = Proxy {
        to: args.to.clone(),
        tls,
        target,
        connect: ConnectOptions::new()
            .timeout(args.connect_timeout)
            .nodelay(true),
        idle_timeout: args.idle_timeout,
        short: false,
    };
    let id = reactor.listen_with(args.listen, &ListenOptions::new(), proxy)?;
    if let Some(listener) = reactor.channel(id) {
        let address = listener.local_addr()?;
        cli::say(&format!(
            "listening on {address}{}, passing on to {}{}",
            marks[0], args.to, marks[1]
        ))?;
    }
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main_checked(|args: &Args| args.tls.check(), run)
}

/// `cargo test --features testing --example tcp_proxy`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::io;

    use asynchat::testing::{Harness, Listener, Names};

    use super::*;

    #[test]
    fn a_target_is_a_name_or_an_address_and_a_port() {
        for good in ["a.example:80", "127.0.0.1:1", "[::1]:1", "::1:80"] {
            assert_eq!(good.parse::<To>().map(|to| to.to_string()), Ok(good.into()));
        }
        for bad in [
            "a",
            "a:",
            "a:0",
            ":80",
            "[127.0.0.1]:80",
            "[::1:80",
            "[[::1]]:80",
            "a b:80",
        ] {
            assert!(bad.parse::<To>().is_err(), "{bad}");
        }
    }

    fn proxy() -> Listener {
        let names = Names::new().found("server.example", [[192, 0, 2, 3], [192, 0, 2, 4]]);
        let reactor = Reactor::builder().propagate_panics(true).resolver(names);
        let proxy = Proxy {
            to: "server.example:80".parse().expect("a host and a port"),
            tls: None,
            target: None,
            connect: ConnectOptions::new().timeout(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(3600),
            short: false,
        };
        Listener::with_builder(reactor, proxy)
    }

    /// A client, and the server it is passed on to.
    fn pair() -> (Listener, Harness, Harness) {
        let mut proxy = proxy();
        let client = proxy.connect();
        let mut server = proxy.dialled().expect("the proxy connects");
        server.connected();
        (proxy, client, server)
    }

    #[test]
    fn both_directions_are_passed_on_and_end_one_after_the_other() {
        let (_proxy, mut client, mut server) = pair();
        client.feed("question");
        client.eof();
        assert_eq!(server.output(), b"question");
        assert!(server.has_ended() && !client.has_ended());
        server.feed("answer");
        server.eof();
        assert_eq!(client.output(), b"answer");
        assert!(client.is_closed() && server.is_closed());
    }

    #[test]
    fn a_peer_that_does_not_read_holds_the_other_up() {
        let (mut proxy, mut client, mut server) = pair();
        client.set_window(0);
        for _ in 0..100 {
            server.feed([b'x'; 64 * 1024]);
        }
        let id = client.id();
        let queued = proxy
            .registry()
            .channel(id)
            .map_or(0, |channel| channel.outgoing_len());
        assert!((1..=512 * 1024).contains(&queued), "{queued} bytes queued");
        client.set_window(usize::MAX);
        assert_eq!(client.output().len(), 100 * 64 * 1024);
    }

    #[test]
    fn a_reset_ends_both() {
        let (_proxy, mut client, mut server) = pair();
        client.reset();
        assert!(client.is_closed() && server.is_closed());
    }

    /// The partner may be paused, or have a queue that nobody reads: neither keeps it.
    #[test]
    fn a_reset_after_an_end_of_file_ends_both_at_once() {
        for stalled in [false, true] {
            let (mut proxy, mut client, mut server) = pair();
            if stalled {
                server.set_window(0);
                client.feed(vec![b'x'; 2 * HIGH]);
                client.set_window(0);
                server.feed(vec![b'x'; 2 * HIGH]);
                server.feed("waits in the kernel");
            }
            let open = proxy.registry().stats().channels;
            client.eof();
            assert!(!client.is_closed() && !server.is_closed());
            client.reset();
            assert!(client.is_closed() && server.is_closed());
            assert_eq!(proxy.registry().stats().channels, open - 2);
        }
    }

    #[test]
    fn every_address_is_tried_and_then_the_client_let_go() {
        let mut proxy = proxy();
        let mut client = proxy.connect();
        client.feed("early");
        let mut first = proxy.dialled().expect("the first address");
        first.connect_failed(io::ErrorKind::ConnectionRefused);
        let mut second = proxy.dialled().expect("the second address");
        assert!(!client.has_ended());
        proxy.advance(Duration::from_secs(10));
        assert!(second.is_closed() && client.has_ended());
    }
}
