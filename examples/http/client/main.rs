//! An HTTP client: `cargo run --example http_client https://example.com/ [-o FILE]`.
//!
//! `async_http.rs` talks to the server and feeds a `Consumer`; the other files are consumers, stacked as the
//! arguments ask for.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use asynchat::{Reactor, Result};
use clap::Parser;

use failing::Failing;
use output::Output;
use progress::Progress;
use report::{Failures, Report};
use saving::Saving;
use shared::{
    cli,
    http::{
        ALPN,
        async_http::AsyncHttp,
        consumer::{Agent, Consumer, Deadline, Method, Order},
        redirecting::{RedirectingConsumer, Redirects},
        url::{Url, without_user},
    },
    saving::Target,
    signals,
    text::printable,
    tls::client::{Lazy, Trust},
};

mod failing;
mod output;
mod progress;
mod report;
mod saving;

/// Fetch http and https URLs, all at once, and show status, header and size of the body
#[derive(Debug, Parser)]
#[command(
    name = "http_client",
    after_help = "Exit code 0: every URL was answered in full, with --fail without an error status; 1: some were \
                  not; 2: called the wrong way."
)]
struct Args {
    /// Address to fetch, as https://example.com/
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Ask for the header only (HEAD)
    #[arg(short = 'I', conflicts_with = "target")]
    head_only: bool,
    /// Save the body of the one URL, under that name once it is complete; - is standard output, and the rest goes to
    /// standard error
    #[arg(short = 'o', value_name = "FILE")]
    target: Option<Target>,
    /// Treat a status of 400 and more as an error, and do not save its body
    #[arg(short = 'f', long)]
    fail: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    redirects: Redirects,
    /// Give up when looking the name up takes longer, or connecting, or the handshake of TLS, or nothing comes for this
    /// time
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = cli::seconds)]
    timeout: Duration,
    /// Give up when a URL takes longer altogether, redirects included
    #[arg(long, value_name = "SECS", value_parser = cli::seconds)]
    max_time: Option<Duration>,
    /// Give up a body that is larger
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
}

fn check(args: &Args) -> Result<(), String> {
    match args.target.is_some() && args.urls.len() > 1 {
        true => Err("-o takes one URL".into()),
        false => Ok(()),
    }
}

/// The consumers for one answer, from the one that follows redirects down to the one that reports. `url` is as it may be
/// shown.
fn stack(url: &str, args: &Args, failures: &Failures) -> impl Consumer + 'static {
    let output = Output {
        label: (args.urls.len() > 1).then(|| printable(url)),
        to_stderr: matches!(args.target, Some(Target::Stdout)),
    };
    let report = Report::new(url, output.clone(), failures.clone());
    let report: Box<dyn Consumer> = if args.fail {
        Box::new(Failing(report))
    } else {
        Box::new(report)
    };
    let consumer: Box<dyn Consumer> = match &args.target {
        None => report,
        Some(target) => {
            let saving = Saving::new(target.clone(), report);
            // A bar would stand in the middle of a body that is shown.
            let shown = matches!(target, Target::Stdout) && io::stdout().is_terminal();
            if io::stderr().is_terminal() && !shown {
                Box::new(Progress::new(saving))
            } else {
                Box::new(saving)
            }
        }
    };
    RedirectingConsumer::new(consumer, args.redirects, move |url| {
        Ok(output.line(&format!("redirecting to {url} ..."))?)
    })
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    if let Some(warning) = args.trust.warning() {
        // As for complaints: where standard error is closed there is no place for it.
        let _ = writeln!(io::stderr(), "http_client: {warning}");
    }
    let mut reactor = Reactor::builder().handshake_timeout(args.timeout).build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::ZERO)?;
    let failures = Failures::default();
    let agent = Rc::new(Agent {
        tls: Rc::new(Lazy::new(args.trust.clone(), &[ALPN])),
        timeout: args.timeout,
        ..Agent::default()
    });
    let now = reactor.now();
    for text in &args.urls {
        match Url::parse(text.as_bytes()) {
            Ok(url) => {
                let order = Order {
                    method: match args.head_only {
                        true => Method::HEAD,
                        false => Method::GET,
                    },
                    deadline: args.max_time.and_then(|limit| Deadline::after(now, limit)),
                    max_size: args.max_size,
                    ..Order::get(url, &agent)
                };
                AsyncHttp::start(&mut reactor, order, stack(text, &args, &failures));
            }
            Err(error) => {
                stack(&without_user(text), &args, &failures).close(Err(error.into()));
            }
        }
    }
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    match failures.borrow().as_slice() {
        [] => Ok(()),
        lines => Err(lines.join("\nhttp_client: ").into()),
    }
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
