//! The example of BaseHTTPServer: a page with another quote each time it is loaded. `cargo run --example quote_server`, then
//! open <http://127.0.0.1:8000/> in a browser; the form adds a quote.
//!
//! The handler is straight code on a thread of a pool, the reactor reads and writes for it.

mod handler;
mod quotes;
mod template;

use std::{path::PathBuf, process::ExitCode, rc::Rc, sync::Arc, time::Duration};

use asynchat::{Address, Reactor, Result};
use asynchat_rustls::TlsAcceptor;
use clap::Parser;
use shared::{
    cli::{self, Listen},
    handlers::{Pool, PoolOptions, Times},
    http::{
        request_handler::Threaded,
        service::{Limits, Options, Service},
    },
    signals,
    tls::server::CertificateFiles,
};

use crate::{
    handler::QuoteHandler,
    quotes::{MAX_FORM, Quotes},
    template::Template,
};

const SERVER_VERSION: &str = concat!("asynchat-quotes/", env!("CARGO_PKG_VERSION"));
/// The time that answers under way have after the first signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Protocols of TLS (RFC 7301).
const PROTOCOLS: &[&[u8]] = &[shared::http::ALPN];

/// Serve a page with a quote, another one each time
#[derive(Debug, Parser)]
#[command(name = "quote_server", after_help = NOTES)]
struct Args {
    #[command(flatten)]
    listen: Listen<8000>,
    /// File of quotes, with a line of one percent sign between two, as fortune has them [default: a few of its own]
    #[arg(long, value_name = "FILE")]
    quotes: Option<PathBuf>,
    /// Page of errors, in HTML with {code}, {message} and {explain}
    #[arg(long, value_name = "FILE")]
    error_page: Option<PathBuf>,
    /// Refuse new quotes
    #[arg(long)]
    read_only: bool,
    /// Quotes that are kept; past it a new one is refused
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_quotes: usize,
    /// Threads for handlers
    #[arg(long, value_name = "N", default_value = "8", value_parser = cli::at_least_one)]
    threads: usize,
    /// Connections at the same time; past it who waits longest makes room, or 503
    #[arg(long, value_name = "N", default_value = "1000", value_parser = cli::at_least_one)]
    max_connections: usize,
    /// Seconds after which a connection without traffic is closed
    #[arg(long, value_name = "S", default_value = "30", value_parser = cli::seconds)]
    idle_timeout: Duration,
    /// Seconds a request may take to arrive; then 408
    #[arg(long, value_name = "S", default_value = "20", value_parser = cli::seconds)]
    request_timeout: Duration,
    #[command(flatten)]
    tls: CertificateFiles,
}

const NOTES: &str = "\
GET and HEAD of / give a page, of /quote.txt plain text. POST to / with a form's field `quote` adds one, of at most 1000 \
characters, until the server ends. RUST_LOG=info shows each request.";

impl Args {
    fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            idle: self.idle_timeout,
            request_time: self.request_timeout,
            body: MAX_FORM,
            ..Limits::default()
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let quotes = match &args.quotes {
        Some(file) => Quotes::read(file, args.max_quotes)?,
        None => Quotes::own(args.max_quotes),
    };
    let template = match &args.error_page {
        Some(file) => Template::read(file)?,
        None => Template::default(),
    };
    let identity = args.tls.identity(PROTOCOLS);
    let tls = match &identity {
        Some(identity) => Some(TlsAcceptor::new(identity.config()?)),
        None => None,
    };
    let handler = Arc::new(QuoteHandler {
        quotes,
        read_only: args.read_only,
    });
    let service = Service::new(Options {
        limits: args.limits(),
        server: Some(SERVER_VERSION),
        error_page: Rc::new(move |page| template.page(page)),
    });
    let pool = Pool::new(PoolOptions {
        threads: args.threads,
        ..PoolOptions::default()
    });

    let mut reactor = Reactor::builder()
        .handshake_timeout(args.request_timeout)
        .build()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let (Some(identity), Some(acceptor)) = (identity, &tls) {
        identity.reload_on_hangup(&mut reactor, acceptor.clone())?;
    }
    let make = {
        let pool = pool.clone();
        move |_: &mut _, _: &Address| Threaded::new(&handler, &pool, Times::default())
    };
    let id = service.listen(&mut reactor, args.listen.address(), tls, make)?;
    signals::end_on_signal(&mut reactor, move |registry| {
        service.shut_down::<Threaded<QuoteHandler>>(registry, SHUTDOWN_GRACE);
    })?;
    if let Some(listener) = reactor.channel(id) {
        cli::say(&format!(
            "serving at {scheme}://{}/",
            listener.local_addr()?
        ))?;
    }
    reactor.run()?;
    Ok(())
}

fn main() -> ExitCode {
    cli::main(run)
}
