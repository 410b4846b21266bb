//! One small server per mode, as fast as the public API allows: `cargo run --release --example bench_server -- echo 8007`.
//!
//! `benches/compare` measures it against the same protocols written by hand and on other libraries. One handler object
//! per connection behind `dyn Dispatcher`, nothing that reaches round the library.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use asynchat::{Builder, ChannelId, Reactor, Registry, Result};
use asynchat_rustls::TlsAcceptor;
use clap::{Parser, ValueEnum};
use shared::cli;

mod allocations;
mod date;
mod echo;
mod files;
mod head;
mod http;
mod lines;
mod listener;
mod signals;
mod sink;
mod source;
mod time;
mod tls;

/// Serve one protocol on 127.0.0.1, to be measured
#[derive(Debug, Parser)]
#[command(
    name = "bench_server",
    after_help = "Prints `ready` once it listens. Port 0 takes a free one, and the line is `ready on ADDRESS`."
)]
struct Args {
    /// Protocol to serve
    mode: Mode,
    /// TCP port
    port: u16,
    /// The directory of `files`
    #[arg(default_value = ".")]
    root: PathBuf,
    /// Speak TLS with the certificates in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Their private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Print `allocations: N bytes: N live: N` on standard error at the end, and at SIGUSR1: how many, their bytes, the
    /// bytes still in use
    #[arg(long)]
    count_allocations: bool,
}

impl Args {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn tls(&self) -> Result<Option<TlsAcceptor>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => tls::acceptor(certificate, key).map(Some),
            _ => Ok(None),
        }
    }
}

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Every byte back
    Echo,
    /// Every line back, ended by CRLF, up to 16000 bytes long
    Lines,
    /// Takes everything
    Sink,
    /// Answers each line `GIVE n` with n bytes
    Source,
    /// The time in four bytes (RFC 868)
    Time,
    /// Answers every request with `Hello, world!`
    Http,
    /// The files below ROOT
    Files,
}

impl Mode {
    /// Sizes that fit the protocol.
    fn tune(self, builder: Builder) -> Builder {
        match self {
            Self::Echo => echo::tune(builder),
            Self::Sink => sink::tune(builder),
            Self::Source => source::tune(builder),
            Self::Lines | Self::Time | Self::Http | Self::Files => builder,
        }
    }

    fn listen(self, registry: &mut Registry, args: &Args) -> Result<ChannelId> {
        let (address, tls) = (args.address(), args.tls()?);
        let listening = match self {
            Self::Echo => listener::listen(registry, address, tls, echo::connection),
            Self::Lines => listener::listen(registry, address, tls, lines::connection),
            Self::Sink => listener::listen(registry, address, tls, sink::connection),
            Self::Source => listener::listen(registry, address, tls, source::connections()),
            Self::Time => listener::listen(registry, address, tls, time::connection),
            Self::Http => listener::listen(registry, address, tls, http::connections()),
            Self::Files => {
                listener::listen(registry, address, tls, files::connections(&args.root)?)
            }
        };
        Ok(listening?)
    }
}

/// Has the soft limit of descriptors as high as it may go: each connection takes one.
fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::warn!("the limit of descriptors stays as it is: {error}");
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    if args.count_allocations {
        allocations::count();
    }
    raise_descriptor_limit();
    let mut reactor = args.mode.tune(Reactor::builder()).build()?;
    signals::stop_on_signal(&mut reactor)?;
    if args.count_allocations {
        signals::report_on_signal(&mut reactor)?;
    }
    let listener = args
        .mode
        .listen(&mut reactor, &args)
        .map_err(|error| format!("cannot serve on {}: {error}", args.address()))?;
    match reactor.channel(listener) {
        Some(listener) if args.port == 0 => {
            cli::say(&format!("ready on {}", listener.local_addr()?))?;
        }
        _ => cli::say("ready")?,
    }
    reactor.run()?;
    if args.count_allocations {
        allocations::report();
    }
    Ok(())
}

fn main() -> ExitCode {
    cli::main(run)
}
