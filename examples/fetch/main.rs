//! One door for URLs: `cargo run --example fetch URL`, after Python's `urllib`.
//!
//! The scheme says which way a URL is fetched ([`door`]); whatever the way is, its bytes go into a [`download`]. All URLs are
//! fetched at once.

use std::{
    cell::RefCell,
    io::{self, Write},
    process::ExitCode,
    rc::Rc,
};

use asynchat::Result;
use clap::Parser;

use door::Door;
use download::{Download, Failures};
use places::Places;
use shared::{
    cli,
    client::{Contact, ContactOptions},
    http::{redirecting::Redirects, url::without_user},
    saving::Target,
    text::printable,
};

mod door;
mod download;
mod file;
mod http;
mod places;

/// Fetch URLs of any kind, all at once: http, https, ftp, ftps, gopher, gophers, file, data
#[derive(Debug, Parser)]
#[command(
    name = "fetch",
    after_help = "Exit code 0: everything was fetched in full; 1: something was not; 2: called the wrong way."
)]
struct Args {
    /// What to fetch, as https://example.com/, ftp://ftp.example.com/FILE, file:///PATH or data:,TEXT
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Save the one URL under this name, once it is complete; - is standard output, as without any of -o, -O and --open
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<Target>,
    /// Save each URL in the current folder, under the last part of its path
    #[arg(short = 'O', long, conflicts_with = "output")]
    remote_name: bool,
    /// Show the result in the browser, from a file that stays; BROWSER in the environment names another one
    #[arg(long)]
    open: bool,
    /// Give up what is larger
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    #[command(flatten)]
    redirects: Redirects,
    #[command(flatten)]
    contact: ContactOptions,
}

fn check(args: &Args) -> Result<(), String> {
    match args.urls.len() {
        0 | 1 => {}
        _ if args.output.is_some() => return Err("-o takes one URL; -O saves several".into()),
        _ if !args.remote_name && !args.open => {
            return Err("several URLs need -O or --open: standard output takes one".into());
        }
        _ => {}
    }
    match (&args.output, args.open) {
        (Some(Target::Stdout), true) => Err("--open shows a file, not standard output".into()),
        _ => Ok(()),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = args.contact.reactor("fetch")?;
    let failures = Failures::default();
    let mut places = Places::new(args.output.clone(), args.remote_name, args.open);
    let door = Door::new(
        Contact::new(&args.contact),
        &args.contact,
        args.redirects,
        args.max_size,
        reactor.now(),
    )?;
    let mut fetched = Vec::new();
    for text in &args.urls {
        let place = Rc::new(RefCell::new(places.of(text)));
        let name = printable(&without_user(text));
        let download = Download::new(&name, &place, args.max_size, &failures);
        door.enter(&mut reactor, text, (&name, &failures), download);
        fetched.push((name, place));
    }
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    if args.open {
        for (name, place) in &fetched {
            if let Err(error) = place.borrow().show() {
                failures.set(name, &error);
            }
        }
    }
    failures.outcome()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}

/// A line for the user, beside what standard output takes.
fn tell(line: &str) {
    // Where standard error is closed there is no place for it.
    let _ = writeln!(io::stderr(), "{}", printable(line));
}
