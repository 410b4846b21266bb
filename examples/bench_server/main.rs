//! One small server per mode, as fast as the public API allows: `cargo run --release --example bench_server -- echo 8007`.
//!
//! `benches/compare` measures it against the same protocols written by hand and on other libraries. One handler object
//! per connection behind `dyn Dispatcher`, nothing that reaches round the library.

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
};

use asynchat::{Builder, ChannelId, Reactor, Registry, Result};
use lexopt::prelude::*;
use shared::cli;

mod allocations;
mod date;
mod echo;
mod files;
mod head;
mod http;
mod lines;
mod listener;
mod pressure;
mod signals;
mod sink;
mod source;
mod time;

const HELP: &str = "\
Serve one protocol on 127.0.0.1, to be measured.

Usage: bench_server MODE PORT [ROOT]

Modes:
  echo    every byte back
  lines   every line back, ended by CRLF, up to 16000 bytes long
  sink    takes everything
  source  answers each line `GIVE n` with n bytes
  time    the time in four bytes (RFC 868)
  http    answers every request with `Hello, world!`
  files   the files below ROOT [default: the current directory]

Prints `ready` once it listens. Port 0 takes a free one, and the line is `ready on ADDRESS`.

Options:
      --count-allocations  print `allocations: N bytes: N live: N` on standard error at the end, and at SIGUSR1:
                           how many, their bytes, the bytes still in use
  -h, --help               show this";

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Lines,
    Sink,
    Source,
    Time,
    Http,
    Files,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "echo" => Self::Echo,
            "lines" => Self::Lines,
            "sink" => Self::Sink,
            "source" => Self::Source,
            "time" => Self::Time,
            "http" => Self::Http,
            "files" => Self::Files,
            _ => return Err("no such mode"),
        })
    }
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

    fn listen(self, registry: &mut Registry, args: &Args) -> io::Result<ChannelId> {
        let address = args.address;
        match self {
            Self::Echo => listener::listen(registry, address, echo::connection),
            Self::Lines => listener::listen(registry, address, lines::connection),
            Self::Sink => listener::listen(registry, address, sink::connection),
            Self::Source => listener::listen(registry, address, source::connections()),
            Self::Time => listener::listen(registry, address, time::connection),
            Self::Http => listener::listen(registry, address, http::connections()),
            Self::Files => listener::listen(registry, address, files::connections(&args.root)?),
        }
    }
}

struct Args {
    mode: Mode,
    address: SocketAddr,
    root: PathBuf,
    count_allocations: bool,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut values: Vec<OsString> = Vec::new();
    let mut count_allocations = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if values.len() < 3 => values.push(value),
            Long("count-allocations") => count_allocations = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    let mut values = values.into_iter();
    let mode = values.next().ok_or("no MODE")?.parse()?;
    let port: u16 = values.next().ok_or("no PORT")?.parse()?;
    Ok(Some(Args {
        mode,
        address: (Ipv4Addr::LOCALHOST, port).into(),
        root: values.next().unwrap_or_else(|| ".".into()).into(),
        count_allocations,
    }))
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
        .map_err(|error| format!("cannot serve on {}: {error}", args.address))?;
    match reactor.channel(listener) {
        Some(listener) if args.address.port() == 0 => {
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
    cli::main("bench_server", HELP, parse, run)
}
