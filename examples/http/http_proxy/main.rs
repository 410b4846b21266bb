//! A forward proxy: `cargo run --release --example http_proxy`, then `curl -x 127.0.0.1:8888 http://127.0.0.1:8000/`.
//!
//! [`shared::http::forward_proxy`] does the work. Requests with an absolute target are forwarded over connections that are kept, and
//! CONNECT couples two connections. Only the loopback is connected to unless `--allow` names other networks.

use std::{path::PathBuf, process::ExitCode, rc::Rc, time::SystemTime};

use asynchat::{ListenOptions, Reactor, Result, ThreadResolver};
use asynchat_rustls::TlsAcceptor;
use clap::Parser;
use shared::{
    cli::{self, Listen},
    http::{
        access_log::{AccessLog, Client, HostName, LogFormat, Writer},
        auth::Users,
        forward_proxy::{Allow, Blocklist, Entrance, Entry, Limits, Proxy, Rewriting, Settings},
    },
    signals,
    tls::server::CertificateFiles,
};

/// The longest that a TLS handshake may take, unless --request-timeout is less.
const HANDSHAKE_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// Names that are looked up at the same time: a few whose servers do not answer shall not hold up all others.
const LOOK_UPS: usize = 64;
/// Bytes of one read: answers of any size pass, and this is the size of the pieces.
const PIECE: usize = 64 * 1024;

/// Forward requests to web servers, and make tunnels to them
#[derive(Debug, Parser)]
#[command(name = "http_proxy", after_help = NOTES)]
struct Args {
    #[command(flatten)]
    listen: Listen<8888>,
    /// Ask for a name and a password, one of the lines USER:PASS of this file (Basic: not encrypted without TLS)
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,
    /// No access log
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    allow: Allow,
    /// File of what is not fetched; a line is a host (and all below it), or a pattern of URLs as */banners/*
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    blocklist: Option<PathBuf>,
    #[command(flatten)]
    rewriting: Rewriting,
    #[command(flatten)]
    tls: CertificateFiles,
    #[command(flatten)]
    limits: Limits,
}

const NOTES: &str = "\
Targets are http://HOST/…; https goes through CONNECT. An Upgrade is taken out of requests, so the server answers in \
HTTP/1.1. Errors of the proxy's own say why, also in the field Proxy-Status.
Fixed limits: request line 8 KiB (414), headers 16 KiB and 100 lines (431), 32 names in Connection, head of an answer 64 KiB \
(502), 64 look-ups of names at a time.
The access log goes to standard output, in UTC; 499 is a client that left before it had an answer. RUST_LOG=info shows the \
proxy's own doings on standard error.
Ctrl-C or SIGTERM ends the proxy when the answers under way are sent, after 10 seconds at the latest; a second one at once.";

fn run(args: Args) -> Result {
    let unreadable = |what: &str, file: &PathBuf, error: std::io::Error| {
        format!("cannot read {what} from {}: {error}", file.display())
    };
    let users = args.auth.as_ref().map(|file| {
        let users = Users::read(file);
        users.map_err(|error| unreadable("names", file, error))
    });
    let blocklist = args.blocklist.as_ref().map(|file| {
        let list = Blocklist::read(file);
        list.map_err(|error| unreadable("what is blocked", file, error))
    });
    let settings = Settings {
        allow: args.allow,
        blocklist: blocklist.transpose()?.unwrap_or_default(),
        rewriting: args.rewriting,
        users: users.transpose()?,
        limits: args.limits.clone(),
    };
    let mut reactor = Reactor::builder()
        .resolver(ThreadResolver::new().max_threads(LOOK_UPS))
        .resolve_timeout(args.limits.connect_timeout)
        .handshake_timeout(HANDSHAKE_TIME.min(args.limits.request_timeout))
        .read_buffer(PIECE)
        .build()?;
    let tls = match args.tls.identity(&[b"http/1.1", b"http/1.0"]) {
        None => None,
        Some(identity) => {
            let acceptor = TlsAcceptor::new(identity.config()?);
            identity.reload_on_hangup(&mut reactor, acceptor.clone())?;
            Some(acceptor)
        }
    };
    let writer = match args.quiet {
        true => None,
        false => Some(Writer::start()?),
    };
    let log = writer
        .as_ref()
        .map(|writer| AccessLog::new(writer.shared(), LogFormat::Common));
    let proxy = Proxy::new(settings, move |entry| {
        if let Some(log) = &log {
            write(log, entry);
        }
    });
    let mut options = ListenOptions::new();
    if let Some(limit) = args.limits.max_per_peer {
        options = options.max_per_peer(limit.get());
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let entrance = Entrance::new(&proxy, tls);
    let id = reactor.listen_with(args.listen.address(), &options, entrance)?;
    let ending = Rc::clone(&proxy);
    signals::end_on_signal(&mut reactor, move |registry| ending.end(registry))?;
    if let Some(listener) = reactor.channel(id) {
        let address = listener.local_addr()?;
        cli::say(&format!("a proxy on {scheme}://{address}/"))?;
    }
    let outcome = reactor.run();
    if let Some(writer) = writer {
        writer.finish();
    }
    Ok(outcome?)
}

fn write(log: &AccessLog, entry: &Entry<'_>) {
    let client = Client {
        host: HostName(entry.peer),
        user: entry.user,
        ..Client::default()
    };
    log.line(
        &client,
        SystemTime::now(),
        entry.line,
        entry.status,
        entry.bytes,
    );
}

fn main() -> ExitCode {
    cli::main(run)
}
