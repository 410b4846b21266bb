//! A client of NNTP: `cargo run --example nntp_client -- localhost over local.test`.
//!
//! `shared::nntp` talks to the server. `command.rs` has what the command line asks for; `overview.rs`, `article.rs` and
//! `plain.rs` are tasks, which take the answers; `worklist.rs` gives the session one after the other.

use std::process::ExitCode;

use asynchat::Result;
use clap::Parser;

use command::Command;
use shared::{
    cli,
    client::{Contact, ContactOptions, Encryption, Login},
    nntp::{self, MAX_ARTICLE, Settings},
};
use worklist::{Report, Worklist};

mod article;
mod command;
mod overview;
mod plain;
mod worklist;

const PORT: u16 = 119;
/// Of NNTP with TLS from the start (RFC 4642, 1).
const TLS_PORT: u16 = 563;

/// Read and post news
#[derive(Debug, Parser)]
#[command(
    name = "nntp_client",
    after_help = "Exit code 0: the server did everything; 1: it did not, and the reason is on standard error; 2: called \
                  the wrong way."
)]
struct Args {
    /// Name or address of the server
    #[arg(value_name = "HOST")]
    host: String,
    #[command(subcommand)]
    command: Command,
    /// Port of the server [default: 119, with --tls 563]
    #[arg(long)]
    port: Option<u16>,
    /// Bytes of the largest article that is read
    #[arg(long, value_name = "BYTES", default_value_t = MAX_ARTICLE)]
    max_size: u64,
    #[command(flatten)]
    encryption: Encryption,
    #[command(flatten)]
    login: Login,
    /// Log in although others on the way can read the password
    #[arg(long)]
    allow_cleartext: bool,
    #[command(flatten)]
    contact: ContactOptions,
}

fn check(args: &Args) -> Result<(), String> {
    args.command.check()
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    // The password may be the first line of standard input, in front of an article.
    let login = args.login.credentials()?;
    let report = Report::default();
    let worklist = Worklist::new(args.command.tasks()?, report.clone());
    let mut reactor = args.contact.reactor("nntp_client")?;
    let port = match args.encryption.tls {
        true => TLS_PORT,
        false => PORT,
    };
    let settings = Settings {
        encryption: args.encryption,
        login,
        allow_cleartext: args.allow_cleartext,
        max_article: args.max_size,
    };
    nntp::connect(
        &mut reactor,
        &Contact::new(&args.contact),
        (&args.host, args.port.unwrap_or(port)),
        settings,
        worklist,
    )?;
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    report.result()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
