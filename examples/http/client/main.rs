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

use asking::Asking;
use failing::Failing;
use identity::{Identity, Session};
use output::Output;
use progress::Progress;
use report::{Failures, Report};
use resuming::Resuming;
use saving::Saving;
use shared::{
    cli,
    http::{
        async_http::AsyncHttp,
        coding::Decoding,
        consumer::{Consumer, Deadline, Order},
        redirecting::{RedirectingConsumer, Redirects},
        url::{Url, without_user},
    },
    saving::Target,
    signals,
    text::printable,
    tls::client::Trust,
};
use spider::SpiderOptions;

mod asking;
mod failing;
mod identity;
mod output;
mod progress;
mod report;
mod resuming;
mod saving;
mod spider;

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
    /// Save the body of the one URL, under that name once it is complete; - is standard output, and the rest goes to
    /// standard error
    #[arg(short = 'o', value_name = "FILE")]
    target: Option<Target>,
    /// Go on with the -o FILE that is there in part. What has come stays if the rest does not
    #[arg(short = 'C', value_name = "FROM", requires = "target", conflicts_with_all = ["compressed", "body"], value_parser = ["-"])]
    continue_at: Option<String>,
    /// Treat a status of 400 and more as an error, and do not save its body
    #[arg(short = 'f', long)]
    fail: bool,
    /// Ask for a compressed body, and unpack it: gzip, deflate, br
    #[arg(long)]
    compressed: bool,
    /// Give up a body that unpacks to more than this number of times its size, and to more than 16 MiB
    #[arg(long, value_name = "NUM", default_value_t = 200)]
    max_ratio: u64,
    #[command(flatten)]
    redirects: Redirects,
    /// Give up when looking the name up takes longer, or connecting, or the handshake of TLS, or nothing comes for this
    /// time
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = cli::seconds)]
    timeout: Duration,
    /// Give up when a URL takes longer altogether, redirects included
    #[arg(long, value_name = "SECS", value_parser = cli::seconds)]
    max_time: Option<Duration>,
    /// Give up a body that is larger, unpacked
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    spider: SpiderOptions,
}

fn check(args: &Args) -> Result<(), String> {
    if args.target.is_some() && args.urls.len() > 1 {
        return Err("-o takes one URL".into());
    }
    match (&args.continue_at, &args.target) {
        (Some(_), Some(Target::Stdout)) => {
            Err("-C goes on with a file, not with standard output".into())
        }
        _ => Ok(()),
    }
}

impl Args {
    /// Where lines about a URL go. It is as it may be shown.
    fn output(&self, url: &str) -> Output {
        let to_stderr = |target: &Target| matches!(target, Target::Stdout);
        Output {
            label: (self.urls.len() > 1).then(|| printable(url)),
            to_stderr: self.target.as_ref().is_some_and(to_stderr)
                || self.identity.cookie_jar.as_ref().is_some_and(to_stderr),
        }
    }

    /// The consumers for one answer, from the one with cookies down to the one that reports.
    fn stack(
        &self,
        url: &Url,
        session: &Session,
        report: Report,
        output: Output,
    ) -> Box<dyn Consumer> {
        // With -C, every answer but one that goes on or begins anew is an error already; 416 may say that there is no rest.
        let report: Box<dyn Consumer> = match self.fail && self.continue_at.is_none() {
            true => Box::new(Failing(report)),
            false => Box::new(report),
        };
        let consumer = match &self.target {
            None => report,
            Some(target) => {
                let saving: Box<dyn Consumer> = match (target, &self.continue_at) {
                    (Target::File(path), Some(_)) => Box::new(Resuming::new(path, report)),
                    _ => Box::new(Saving::new(target.clone(), report)),
                };
                saving
            }
        };
        // A bar would stand in the middle of a body that is shown.
        let shown = matches!(self.target, Some(Target::Stdout)) && io::stdout().is_terminal();
        let consumer: Box<dyn Consumer> = match io::stderr().is_terminal() && !shown {
            true => Box::new(Progress::new(consumer, self.target.is_some())),
            false => consumer,
        };
        let consumer: Box<dyn Consumer> = match self.compressed {
            true => Box::new(Decoding::new(consumer, self.max_ratio)),
            false => consumer,
        };
        let consumer = identity::authenticating(consumer, session.credentials(), url);
        let consumer = RedirectingConsumer::new(consumer, self.redirects, move |url| {
            Ok(output.line(&format!("redirecting to {url} ..."))?)
        });
        session.with_cookies(Box::new(consumer))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    if let Some(warning) = args.trust.warning() {
        // As for complaints: where standard error is closed there is no place for it.
        let _ = writeln!(io::stderr(), "http_client: {warning}");
    }
    let parse = |text: &String| Url::parse(text.as_bytes()).ok();
    let urls: Vec<_> = args.urls.iter().filter_map(parse).collect();
    let session = args.identity.session(args.timeout, &urls, &args.trust)?;
    let session = Rc::new(session);
    let body = args.asking.body()?;
    let mut reactor = Reactor::builder().handshake_timeout(args.timeout).build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::ZERO)?;
    let failures = Failures::default();
    let now = reactor.now();
    for text in &args.urls {
        let url = match Url::parse(text.as_bytes()) {
            Ok(url) => url,
            Err(error) => {
                let shown = without_user(text);
                let mut report = Report::new(&shown, args.output(&shown), failures.clone());
                report.close(Err(error.into()));
                continue;
            }
        };
        let mut order = Order {
            deadline: args.max_time.and_then(|limit| Deadline::after(now, limit)),
            max_size: args.max_size,
            ..Order::get(url, &session.agent)
        };
        args.asking.ask(&mut order, body.as_ref());
        let output = args.output(text);
        if args.spider.spider {
            let told = (output, failures.clone());
            spider::start(&mut reactor, order, &session, args.spider, told);
        } else {
            let report = Report::new(text, output.clone(), failures.clone());
            let consumer = args.stack(&order.url, &session, report, output);
            AsyncHttp::start(&mut reactor, order, consumer);
        }
    }
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    if let Err(error) = session.save_cookies() {
        failures.borrow_mut().push(error.to_string());
    }
    match failures.borrow().as_slice() {
        [] => Ok(()),
        lines => Err(lines.join("\nhttp_client: ").into()),
    }
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
