//! A TCP proxy: `cargo run --example tcp_proxy -- --listen 127.0.0.1:8080 --to example.com:80`.
//!
//! Each connection is a pair of channels that know each other by `ChannelId`. What one reads the other pushes, and
//! while the other is congested the one does not read: a stalled reader costs its queue's high watermark, not more,
//! and the sender is slowed down by TCP itself.

use std::{
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    process::ExitCode,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, ConnectOptions, Dispatcher, Exceptional, Handle,
    ListenOptions, Reactor, Result, Stream,
};
use clap::Parser;
use shared::{cli, signals};

/// What waits for a reader that stalls, besides one read: enough to be busy with, and little enough for all connections
/// to do it at a time.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;
/// How long to wait for a descriptor.
const REST: Duration = Duration::from_millis(100);

/// The listening socket.
struct Proxy {
    to: Vec<SocketAddr>,
    connect: ConnectOptions,
    idle_timeout: Duration,
    handle: Handle,
    /// There was no descriptor to connect with: nobody else is accepted until there is one.
    short: bool,
}

impl Proxy {
    fn half(&self, held: bool) -> Half {
        Half {
            partner: None,
            held,
            ended: false,
            broken: false,
            idle_timeout: self.idle_timeout,
            handle: self.handle.clone(),
        }
    }

    /// Connects for a client. Where descriptors have run out the client waits for one, unread, and those behind it wait
    /// in the listener's queue.
    fn dial(&mut self, channel: &mut Channel<'_>, client: ChannelId) -> Result {
        let registry = channel.registry();
        if registry.channel(client).is_none() {
            self.short = false;
            return Ok(());
        }
        match registry.connect_with(&self.to, &self.connect, self.half(false)) {
            Ok(server) => {
                registry.with(server, |half: &mut Half, _| half.partner = Some(client))?;
                registry.with(client, |half: &mut Half, _| {
                    half.partner = Some(server);
                    half.held = false;
                })?;
                self.short = false;
            }
            // An address that cannot be reached is told to the object.
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
        let client = channel.registry().register(stream, self.half(true))?;
        self.dial(channel, client)
    }
}

/// One of the two channels of a connection.
struct Half {
    partner: Option<ChannelId>,
    /// The partner has enough to send for now, or there is none yet.
    held: bool,
    /// The end of file has come and was passed on.
    ended: bool,
    /// It was reset, perhaps after its end of file.
    broken: bool,
    idle_timeout: Duration,
    handle: Handle,
}

impl Dispatcher for Half {
    fn readable(&self) -> bool {
        !self.held
    }

    /// All that is sent goes through the queue.
    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.set_idle_timeout(Some(self.idle_timeout));
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let partner = self.partner;
        self.held = channel.recv_with(|channel, data| -> io::Result<bool> {
            let Some(mut partner) = partner.and_then(|id| channel.registry().channel(id)) else {
                return Ok(false);
            };
            partner.write_all(data)?;
            Ok(partner.is_congested())
        })??;
        Ok(())
    }

    /// This channel's queue has room again: the partner may read on. `with` has its `readable` asked afterwards.
    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        if let Some(partner) = self.partner {
            // A partner that is gone has nothing more to read.
            let _ = channel
                .registry()
                .with(partner, |half: &mut Self, _| half.held = false);
        }
        Ok(())
    }

    /// An end of file is passed on behind what is queued; the second of a pair ends it. After a reset this channel
    /// is closed anyway.
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        if channel.is_reset() {
            self.broken = true;
            return Ok(());
        }
        self.ended = true;
        let partner_ended = self.partner.is_none_or(|partner| {
            let passed_on = channel
                .registry()
                .with(partner, |half: &mut Self, channel| {
                    channel.shutdown_write();
                    half.ended
                });
            passed_on.unwrap_or(true)
        });
        if partner_ended {
            channel.close_when_done();
        }
        Ok(())
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(error) => {
                log::warn!("{}: connection failed: {error}", channel.describe());
            }
            Exceptional::Reset => self.broken = true,
            _ => {}
        }
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::warn!("{}: {error}", channel.describe());
        channel.close();
    }
}

/// Neither stays without the other. If a channel ends (by a reset, a failed connect, a timeout, an error), its
/// object is dropped then, and this is the one place that all of them lead to.
///
/// What is queued for the other is sent, however slowly it reads. Not after a reset, when it is only a part of
/// something: a peer that has stalled could keep it queued until the idle timeout.
impl Drop for Half {
    fn drop(&mut self) {
        let Some(partner) = self.partner else { return };
        let broken = self.broken;
        // Fails only when the reactor is gone, and the partner with it.
        let _ = self.handle.call_soon(move |registry| {
            if let Some(mut partner) = registry.channel(partner) {
                if broken {
                    partner.close();
                } else {
                    partner.close_when_done();
                }
            }
            Ok(())
        });
    }
}

/// Pass TCP connections on to another address
#[derive(Debug, Parser)]
#[command(
    name = "tcp_proxy",
    after_help = "A half-close is passed on as such, a reset as a close at once. RUST_LOG=info shows connections and why \
                  they fail."
)]
struct Args {
    /// Where to take connections; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where to pass them on; every address of a name is tried
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Connections served at a time; others wait
    #[arg(
        long,
        value_name = "NUM",
        default_value = "1000",
        help_heading = "Limits"
    )]
    max_connections: NonZeroUsize,
    /// How long connecting to one address may take
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = cli::seconds, help_heading = "Limits")]
    connect_timeout: Duration,
    /// Close connections on which nothing moves for this time
    #[arg(long, value_name = "SECS", default_value = "3600", value_parser = cli::seconds, help_heading = "Limits")]
    idle_timeout: Duration,
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let to = args.to.to_socket_addrs();
    let to = to.map_err(|error| format!("cannot pass connections on to {}: {error}", args.to))?;
    let mut reactor = Reactor::builder()
        // Two channels each.
        .max_channels(args.max_connections.get().saturating_mul(2))
        .watermarks(LOW, HIGH)
        .build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::from_secs(1))?;
    let proxy = Proxy {
        to: to.collect(),
        connect: ConnectOptions::new()
            .timeout(args.connect_timeout)
            .nodelay(true),
        idle_timeout: args.idle_timeout,
        handle: reactor.handle(),
        short: false,
    };
    let id = reactor.listen_with(args.listen, &ListenOptions::new(), proxy)?;
    if let Some(listener) = reactor.channel(id) {
        let address = listener.local_addr()?;
        cli::say(&format!(
            "listening on {address}, passing on to {}",
            args.to
        ))?;
    }
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}

/// `cargo test --features testing --example tcp_proxy`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::testing::{Harness, Listener};

    use super::*;

    fn proxy() -> Listener {
        let proxy = |handle| Proxy {
            to: vec![([192, 0, 2, 3], 80).into(), ([192, 0, 2, 4], 80).into()],
            connect: ConnectOptions::new().timeout(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(3600),
            handle,
            short: false,
        };
        Listener::with_handle(Reactor::builder(), proxy)
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
