//! A mail server after CPython's `smtpd`: `cargo run --example smtpd`, then `swaks --to b@x.example --server 127.0.0.1:8025`.
//!
//! The protocol is `shared::smtp::server`. Messages are printed, as by `smtpd.DebuggingServer`, or delivered into a Maildir:
//! then a message is on the disk, with its name, before it is answered with 250. Threads write them ([`pool`]), so no client
//! waits for another one's disk.

mod deliver;
mod limits;
mod pool;
mod print;

use std::{path::PathBuf, process::ExitCode, rc::Rc};

use asynchat::{ListenOptions, Network, Reactor, Registry, Result, accept_fn};
use asynchat_rustls::TlsAcceptor;
use clap::Parser;
use shared::{
    cli::{self, Listen},
    maildir::Maildir,
    signals,
    smtp::server::{self, Options, Server},
    tls::server::CertificateFiles,
};

use crate::{deliver::Delivery, limits::Limits, pool::Pool, print::Printer};

/// Receive mail by SMTP, and print it or deliver it into a Maildir
#[derive(Debug, Parser)]
#[command(name = "smtpd", after_help = NOTES)]
struct Args {
    #[command(flatten)]
    listen: Listen<8025>,
    /// Deliver into this Maildir, which is made if need be; without it messages are printed
    #[arg(long, value_name = "DIR")]
    maildir: Option<PathBuf>,
    /// The name of this server [default: that of the system]
    #[arg(long, value_name = "NAME", value_parser = hostname)]
    hostname: Option<String>,
    /// Take addresses and headers in UTF-8 (SMTPUTF8)
    #[arg(long)]
    smtputf8: bool,
    /// Every connection comes from this proxy or network (10.0.0.0/8), with a header of the PROXY protocol that names the client
    #[arg(long, value_name = "ADDR")]
    proxy_protocol_from: Vec<Network>,
    #[command(flatten)]
    files: CertificateFiles,
    /// Take mail over TLS only; the clients begin with STARTTLS
    #[arg(long, requires = "tls_cert", help_heading = "TLS")]
    require_tls: bool,
    #[command(flatten)]
    limits: Limits,
}

const NOTES: &str = "\
With --tls-cert and --tls-key clients may turn to TLS (STARTTLS). Every recipient is accepted, and all messages go to one \
Maildir: this is no relay. A message with a bare CR or LF is refused, as is a command line of more than 512 bytes (MAIL: 538, \
with --smtputf8 548).
RUST_LOG=info shows connections and messages on standard error.
Ctrl-C or SIGTERM ends the server when the messages under way are answered, or after 30 seconds; a second one at once.";

fn hostname(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    match !text.is_empty() && text.len() <= 255 && text.chars().all(fits) {
        true => Ok(text.into()),
        false => Err("not the name of a host".into()),
    }
}

fn system_hostname() -> String {
    let name = gethostname::gethostname();
    let name = name.to_str().and_then(|name| hostname(name).ok());
    name.unwrap_or_else(|| "localhost".into())
}

fn run(args: Args) -> Result {
    let limits = args.limits;
    let identity = args.files.identity(&[]);
    let tls = match &identity {
        Some(identity) => Some(TlsAcceptor::new(identity.config()?)),
        None => None,
    };
    let options = Options {
        hostname: args.hostname.unwrap_or_else(system_hostname),
        max_size: limits.size,
        eight_bit: true,
        utf8: args.smtputf8,
        tls: tls.clone(),
        require_tls: args.require_tls,
        max_recipients: limits.max_recipients.get(),
        max_errors: limits.max_errors.get(),
        max_sessions: limits.max_connections.get(),
        idle: limits.idle,
        session: limits.session,
    };
    let mut reactor = Reactor::builder()
        .max_channels(Server::max_channels(&options, 1))
        .watermarks(limits::LOW_MARK, limits::HIGH_MARK)
        .max_outgoing(limits::OUTGOING)
        .linger(limits::LINGER_TIME, limits::LINGER_BYTES)
        .build()?;
    if let (Some(identity), Some(acceptor)) = (identity, tls) {
        identity.reload_on_hangup(&mut reactor, acceptor)?;
    }
    let (server, place) = start(&reactor, options, args.maildir)?;
    end_on_signal(&mut reactor, &server)?;
    let accepting = Rc::clone(&server);
    let mut listening = ListenOptions::new()
        .max_per_peer(limits.max_per_peer.get())
        // A reply is a packet: it must not wait for the acknowledgement of the one before.
        .nodelay(true);
    if !args.proxy_protocol_from.is_empty() {
        listening = listening.proxy_protocol(args.proxy_protocol_from);
    }
    let id = reactor.listen_with(
        args.listen.address(),
        &listening,
        accept_fn(move |registry, stream, peer| server::accept(&accepting, registry, stream, peer)),
    )?;
    let address = reactor.channel(id).ok_or("closed")?.local_addr()?;
    cli::say(&format!("receiving mail on {address}, {place}"))?;
    Ok(reactor.run()?)
}

/// The server with its store, and where messages go.
fn start(
    reactor: &Reactor,
    options: Options,
    maildir: Option<PathBuf>,
) -> Result<(Rc<Server>, String)> {
    let handle = reactor.handle();
    // Each session has one message at a time.
    let queue = options.max_sessions;
    let Some(folder) = maildir else {
        let pool = Pool::start(Printer::default(), Printer::threads(), queue, handle)?;
        return Ok((Server::new(options, pool)?, "which is printed".into()));
    };
    let store = Delivery {
        maildir: Maildir::open(&folder, &options.hostname)?,
        hostname: options.hostname.clone(),
    };
    let pool = Pool::start(store, limits::WRITERS, queue, handle)?;
    let place = format!("delivered into {}", folder.display());
    Ok((Server::new(options, pool)?, place))
}

fn end_on_signal(registry: &mut Registry, server: &Rc<Server>) -> Result {
    let server = Rc::clone(server);
    signals::end_on_signal(registry, move |registry| {
        server::end(&server, registry);
        registry.call_later(limits::GRACE, |registry| {
            registry.stop();
            Ok(())
        });
    })?;
    Ok(())
}

fn main() -> ExitCode {
    cli::main(run)
}
