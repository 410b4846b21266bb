//! A web server for files: `cargo run --release --example http_server -- --root .`, then open
//! <http://127.0.0.1:8000/>.
//!
//! HTTP/1.0 and 1.1, GET and HEAD, keep-alive and pipelining, ranges and conditions, directory pages, a status page.
//! Reading a file or a directory holds up all connections of a thread for as long as the disk takes; there is one
//! thread unless `--threads` says more, and then each has a reactor of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use asynchat::Result;
use lexopt::prelude::*;

use shared::{cli, http::paths::Root, signals};

use crate::{
    access_log::Writer,
    limits::Limits,
    server::HttpServer,
    threads::{
        Spread,
        worker::{self, Plan, Worker},
    },
};

mod access_log;
mod ending;
mod limits;
mod request;
mod server;
mod site;
mod status;
mod threads;
mod waiting;

const HELP: &str = "\
Serve the files below a directory over HTTP/1.1.

Usage: http_server [OPTIONS]

Options:
      --root DIR             directory to serve [default: .]
      --bind ADDR            IP address to listen on [default: 127.0.0.1]
      --port PORT            TCP port; 0 takes a free one [default: 8000]
      --threads N            that serve, each on its own; at most --max-connections [default: 1]
      --spread HOW           of connections over threads: kernel (each thread listens on the port, SO_REUSEPORT; about
                             even) or accept (one thread accepts, the others have their turns; even)
                             [default: kernel on Linux, elsewhere accept]
      --index NAME           file that is served for a directory that has it [default: index.html]
      --hidden               list and serve names that begin with a dot
      --status               show the live reactors at /-/status
      --quiet                no access log
      --max-connections N    at the same time; past it who waits longest makes room, or 503 [default: 1000]
      --idle-timeout S       seconds after which a connection without traffic is closed [default: 30]
      --request-timeout S    seconds a request may take to arrive, body included; then 408 [default: 20]
      --max-body BYTES       of a request body, which is thrown away; past it 413 [default: 1048576]
      --max-outgoing BYTES   that may wait for one client, at least 65536; past it it is closed [default: 1048576]
  -h, --help                 show this

Fixed limits: request line 8 KiB (414), headers 16 KiB and 100 lines (431).
The access log goes to standard output in the Common Log Format, in UTC; RUST_LOG=info shows the server's own doings
on standard error. Where nobody reads the log, lines are dropped and counted.
Ctrl-C or SIGTERM ends the server when the answers under way are sent, a second one without waiting for them, a third
one the process at once, whatever it is doing (exit code 130).
Symbolic links are followed as long as they stay below the root.
--max-connections is for all threads together: each has its share of it, and makes room among its own connections.
With several threads and --spread kernel the port may be shared: a program of the same user that comes later and shares
it too gets a part of the connections. One that is there before is an error, as always.";

struct Args {
    root: PathBuf,
    bind: IpAddr,
    port: u16,
    threads: usize,
    spread: Spread,
    index: String,
    hidden: bool,
    status: bool,
    quiet: bool,
    limits: Limits,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        root: ".".into(),
        bind: Ipv4Addr::LOCALHOST.into(),
        port: 8000,
        threads: 1,
        spread: Spread::default(),
        index: "index.html".into(),
        hidden: false,
        status: false,
        quiet: false,
        limits: Limits::default(),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("root") => args.root = parser.value()?.into(),
            Long("bind") => args.bind = parser.value()?.parse()?,
            Long("port") => args.port = parser.value()?.parse()?,
            Long("threads") => args.threads = parser.value()?.parse_with(at_least_one)?,
            Long("spread") => args.spread = parser.value()?.parse_with(spread)?,
            Long("index") => args.index = parser.value()?.string()?,
            Long("hidden") => args.hidden = true,
            Long("status") => args.status = true,
            Long("quiet") => args.quiet = true,
            Long("max-connections") => {
                args.limits.connections = parser.value()?.parse_with(at_least_one)?;
            }
            Long("idle-timeout") => args.limits.idle = parser.value()?.parse_with(cli::seconds)?,
            Long("request-timeout") => {
                args.limits.request_time = parser.value()?.parse_with(cli::seconds)?;
            }
            Long("max-body") => args.limits.body = parser.value()?.parse()?,
            Long("max-outgoing") => {
                args.limits.outgoing = parser.value()?.parse_with(outgoing)?;
            }
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    if args.threads > args.limits.connections {
        return Err("--threads must not be more than --max-connections".into());
    }
    let mut index = std::path::Path::new(&args.index).components();
    match (index.next(), index.next()) {
        (Some(std::path::Component::Normal(_)), None) => Ok(Some(args)),
        _ => Err("--index takes the name of a file, without a directory".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn spread(text: &str) -> Result<Spread, String> {
    match text {
        "kernel" => Ok(Spread::Kernel),
        "accept" => Ok(Spread::Accept),
        _ => Err("must be kernel or accept".into()),
    }
}

/// Less would cut answers off.
fn outgoing(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        few if few < limits::LEAST_OUTGOING => {
            Err(format!("must be at least {}", limits::LEAST_OUTGOING))
        }
        bytes => Ok(bytes),
    }
}

fn run(args: Args) -> Result {
    let root = Root::new(&args.root, args.hidden)
        .map_err(|error| format!("cannot serve {}: {error}", args.root.display()))?;
    let writer = match args.quiet {
        true => None,
        false => Some(Writer::start()?),
    };
    let plan = Plan {
        root,
        index: args.index,
        limits: args.limits,
        threads: args.threads,
        listens: args.threads == 1 || args.spread == Spread::Kernel,
        log: writer.as_ref().map(Writer::shared),
        board: args.status.then(|| Arc::new(threads::board(args.threads))),
    };
    let wanted = SocketAddr::new(args.bind, args.port);
    let announce = |address| {
        let root = args.root.display();
        Ok(cli::say(&format!("serving {root} on http://{address}/"))?)
    };
    let outcome = match args.threads {
        1 => serve(&plan, wanted, announce),
        _ => threads::run(&plan, wanted, args.spread, announce),
    };
    if let Some(writer) = writer {
        writer.finish();
    }
    outcome
}

/// Serves on this thread. Dropping the connections at the end completes the lines of what they were sending.
fn serve(plan: &Plan, wanted: SocketAddr, announce: impl FnOnce(SocketAddr) -> Result) -> Result {
    let Worker {
        mut reactor,
        server,
    } = plan.worker(0)?;
    signals::end_on_signal(reactor.handle(), ending::end)?;
    announce(worker::listen(
        &mut reactor,
        wanted,
        false,
        HttpServer(server),
    )?)?;
    reactor.run()
}

fn main() -> ExitCode {
    cli::main("http_server", HELP, parse, run)
}
