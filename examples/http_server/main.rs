//! A web server for files: `cargo run --release --example http_server -- --root .`, then open
//! <http://127.0.0.1:8000/>.
//!
//! HTTP/1.0 and 1.1, GET and HEAD, keep-alive and pipelining, ranges and conditions, directory pages, a status page.
//! One thread: reading a file or a directory holds up all connections for as long as the disk takes.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
};

use asynchat::{ListenOptions, Reactor, Result};
use lexopt::prelude::*;

use crate::{access_log::AccessLog, limits::Limits, paths::Root, server::Server};

mod access_log;
mod answer;
mod body;
mod channel;
#[path = "../common/cli.rs"]
mod cli;
mod conditional;
mod ending;
mod history;
#[path = "../http_common/mod.rs"]
mod http_common;
mod limits;
mod listing;
mod page;
mod pages;
mod paths;
mod reply;
mod send;
mod server;
#[path = "../common/signals.rs"]
mod signals;
mod status;
mod waiting;

const HELP: &str = "\
Serve the files below a directory over HTTP/1.1.

Usage: http_server [OPTIONS]

Options:
      --root DIR             directory to serve [default: .]
      --bind ADDR            IP address to listen on [default: 127.0.0.1]
      --port PORT            TCP port; 0 takes a free one [default: 8000]
      --index NAME           file that is served for a directory that has it [default: index.html]
      --hidden               list and serve names that begin with a dot
      --status               show the live reactor at /-/status
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
Symbolic links are followed as long as they stay below the root.";

struct Args {
    root: PathBuf,
    bind: IpAddr,
    port: u16,
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
    let Args {
        root: directory,
        limits,
        ..
    } = args;
    let root = Root::new(&directory, args.hidden)
        .map_err(|error| format!("cannot serve {}: {error}", directory.display()))?;
    let (low_mark, high_mark) = limits.marks();
    let mut reactor = Reactor::builder()
        // Who is too many is accepted too, or nobody could make room.
        .max_channels(limits.connections.saturating_add(limits::REFUSALS + 1))
        .max_outgoing(limits.outgoing)
        .watermarks(low_mark, high_mark)
        .linger(limits::LINGER_TIME, limits::LINGER_BYTES)
        .build()?;
    signals::end_on_signal(reactor.handle(), ending::end)?;
    let (log, log_writer) = match args.quiet {
        true => (None, None),
        false => {
            let (log, writer) = AccessLog::new(reactor.handle())?;
            (Some(log), Some(writer))
        }
    };
    let server = Rc::new(Server {
        root,
        index: args.index,
        limits,
        log,
        pages: RefCell::default(),
        waiting: RefCell::default(),
        history: args.status.then(RefCell::default),
        requests: Cell::new(0),
        scratch: RefCell::default(),
        dates: RefCell::default(),
    });
    server.keep_history(&mut reactor);
    let wanted = SocketAddr::new(args.bind, args.port);
    // An answer should not wait for the acknowledgement of the one before.
    let options = ListenOptions::new().nodelay(true);
    let id = reactor
        .listen_with(wanted, &options, server::HttpServer(server))
        .map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
    let address = match reactor.channel(id) {
        Some(listener) => listener.local_addr()?,
        None => wanted.into(),
    };
    cli::say(&format!(
        "serving {} on http://{address}/",
        directory.display()
    ))?;
    let outcome = reactor.run();
    // Dropping the connections completes the lines of what they were sending.
    drop(reactor);
    if let Some(writer) = log_writer {
        writer.finish();
    }
    outcome
}

fn main() -> ExitCode {
    cli::main("http_server", HELP, parse, run)
}
