//! A client of Gopher: `cargo run --example gopher_client -- gopher://localhost/`.
//!
//! `shared::gopher` asks the server. `view.rs` shows menus and texts, or saves what came.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
};

use asynchat::Result;
use clap::Parser;

use shared::{
    cli,
    client::{Contact, ContactOptions, Outcome},
    gopher::{self, GopherUrl},
    saving::Target,
};
use view::View;

mod view;

/// Show menus and texts of a Gopher server, and save its files
#[derive(Debug, Parser)]
#[command(
    name = "gopher_client",
    after_help = "Exit code 0: the document came; 1: it did not, and the reason is on standard error; 2: called the wrong \
                  way."
)]
struct Args {
    /// What to fetch, as gopher://localhost/1/path; gophers is Gopher through TLS
    #[arg(value_name = "URL")]
    url: GopherUrl,
    /// Words to search for, with a URL of type 7
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// Save the document as it came, under that name once it is complete; - is standard output
    #[arg(short, value_name = "FILE")]
    output: Option<OsString>,
    /// Speak TLS, as with a gophers URL
    #[arg(long)]
    tls: bool,
    /// Give up a document that is larger
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    #[command(flatten)]
    contact: ContactOptions,
}

impl Args {
    fn url(&self) -> Result<GopherUrl, String> {
        let mut url = self.url.clone();
        if self.tls {
            url.set_tls();
        }
        match &self.search {
            Some(_) if url.kind() != '7' => return Err("--search needs a URL of type 7".into()),
            Some(words) => url
                .set_search(words)
                .map_err(|why| format!("--search: {why}"))?,
            None if url.kind() == '7' && url.search().is_none() => {
                return Err("a URL of type 7 needs --search".into());
            }
            None => {}
        }
        Ok(url)
    }
}

fn check(args: &Args) -> Result<(), String> {
    args.url().map(drop)
}

fn run(args: Args) -> Result {
    let url = args.url()?;
    let view = match args.output {
        Some(name) => View::saved(Target::from(name)),
        None if url.is_menu() => View::menu(),
        None if !url.is_text() && io::stdout().is_terminal() => {
            return Err(
                format!("a document of type {} is no text: -o saves it", url.kind()).into(),
            );
        }
        None => View::text(),
    };
    let mut reactor = args.contact.reactor("gopher_client")?;
    let outcome = Outcome::default();
    let consumer = view.limited(args.max_size, outcome.clone());
    gopher::fetch(&mut reactor, &Contact::new(&args.contact), &url, consumer)?;
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    outcome.take()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
