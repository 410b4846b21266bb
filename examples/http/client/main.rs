//! An HTTP client: `cargo run --example http_client http://example.com/ [-o FILE]`.
//!
//! `async_http.rs` talks to the server and feeds a `Consumer`; the other files are consumers, stacked as the
//! arguments ask for.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use asynchat::{Reactor, Result};
use lexopt::prelude::*;

use output::Output;
use progress::Progress;
use redirecting::RedirectingConsumer;
use report::{Failures, Report};
use saving::{Saving, Target};
use shared::{
    cli,
    http::{
        async_http::AsyncHttp,
        consumer::{Consumer, Order},
        url::Url,
    },
    signals,
};

mod output;
mod progress;
mod redirecting;
mod report;
mod saving;

const HELP: &str = "\
Fetch http URLs, all at once, and show status, header and size of the body.

Usage: http_client [OPTIONS] URL...

Options:
  -I                       ask for the header only (HEAD)
  -o FILE                  save the body of the one URL; - is standard output, where the rest goes to standard error
      --max-redirects NUM  how many redirects to follow [default: 10]
      --timeout SECS       give up when connecting takes longer, or nothing comes for so long [default: 30]
  -h, --help               show this

Exit code 0: every URL was answered in full, whatever the status; 1: some were not; 2: called the wrong way.";

struct Args {
    urls: Vec<String>,
    head_only: bool,
    target: Option<Target>,
    max_redirects: usize,
    timeout: Duration,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        urls: Vec::new(),
        head_only: false,
        target: None,
        max_redirects: 10,
        timeout: Duration::from_secs(30),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Short('I') => args.head_only = true,
            Short('o') => {
                args.target = Some(match parser.value()? {
                    dash if dash == "-" => Target::Stdout,
                    path => Target::File(path.into()),
                });
            }
            Long("max-redirects") => args.max_redirects = parser.value()?.parse()?,
            Long("timeout") => args.timeout = parser.value()?.parse_with(cli::seconds)?,
            Short('h') | Long("help") => return Ok(None),
            Value(url) => args.urls.push(url.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    if args.urls.is_empty() {
        return Err("URL is missing".into());
    }
    if args.target.is_some() && (args.urls.len() > 1 || args.head_only) {
        return Err("-o takes one URL, and no -I".into());
    }
    Ok(Some(args))
}

/// The consumers for one answer, from the one that follows redirects down to the one that reports.
fn stack(url: &str, args: &Args, failures: &Failures) -> impl Consumer + 'static {
    let output = Output {
        label: (args.urls.len() > 1).then(|| output::printable(url)),
        to_stderr: matches!(args.target, Some(Target::Stdout)),
    };
    let report = Report::new(url, output.clone(), failures.clone());
    let consumer: Box<dyn Consumer> = match &args.target {
        None => Box::new(report),
        Some(target) => {
            let saving = Saving::new(target.clone(), report);
            if io::stderr().is_terminal() {
                Box::new(Progress::new(saving))
            } else {
                Box::new(saving)
            }
        }
    };
    RedirectingConsumer::new(consumer, args.max_redirects, output)
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::new()?;
    signals::shut_down_on_signal(reactor.handle(), Duration::ZERO)?;
    let failures = Failures::default();
    for text in &args.urls {
        let mut consumer = stack(text, &args, &failures);
        match Url::parse(text.as_bytes()) {
            Ok(url) => {
                let order = Order {
                    url,
                    head_only: args.head_only,
                    timeout: args.timeout,
                };
                AsyncHttp::start(&mut reactor, order, consumer);
            }
            Err(error) => consumer.close(Err(error.into())),
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
    cli::main("http_client", HELP, parse, run)
}
