//! A POP3 client: `cargo run --example pop3_client -- --user NAME HOST list`.

use std::{path::PathBuf, process::ExitCode};

use asynchat::{Registry, Result};
use clap::{Parser, Subcommand};

use fetching::Fetching;
use listing::Listing;
use shared::{
    cli,
    client::{Connection, Contact, ContactOptions, Encryption, Login, Outcome},
    pop3::{Auth, Client, Settings, User},
};
use showing::Showing;

mod fetching;
mod listing;
mod seen;
mod showing;

/// List, show and fetch the messages of a mailbox by POP3
#[derive(Debug, Parser)]
#[command(
    name = "pop3_client",
    arg_required_else_help = false,
    after_help = "Exit code 0: done; 1: the server refused something, or the connection failed; 2: called the wrong way."
)]
struct Args {
    /// Name or address of the server
    #[arg(value_name = "HOST")]
    host: String,
    /// Port of the server [default: 110, and 995 with --tls]
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    login: Login,
    #[command(flatten)]
    encryption: Encryption,
    /// How the password is proved
    #[arg(long, value_enum, default_value_t = Auth::Auto)]
    auth: Auth,
    /// Send the password in clear to another machine
    #[arg(long)]
    allow_cleartext: bool,
    /// Give up when a message is larger
    #[arg(long, value_name = "BYTES", default_value = "1073741824")]
    max_message: u64,
    #[command(flatten)]
    contact: ContactOptions,
    #[command(subcommand)]
    work: Work,
}

#[derive(Clone, Debug, Subcommand)]
enum Work {
    /// Number, size, date, sender and subject of each message
    List,
    /// Show messages: their text, and a line for each attachment
    Show {
        /// Numbers of messages
        #[arg(required = true, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        numbers: Vec<u32>,
        /// Show them as they are
        #[arg(long)]
        raw: bool,
    },
    /// Save messages in a Maildir, without those that an earlier run has saved
    Fetch {
        /// Numbers of messages, also of saved ones [default: all]
        #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        numbers: Vec<u32>,
        /// Folder with the folders tmp, new and cur; made if it is not there
        #[arg(long, value_name = "DIR")]
        maildir: PathBuf,
        /// Delete each message on the server that this run saves, once it is on the disk, or an earlier one has saved
        #[arg(long)]
        delete: bool,
    },
}

impl Args {
    fn port(&self) -> u16 {
        self.port
            .unwrap_or(if self.encryption.tls { 995 } else { 110 })
    }
}

fn check(args: &Args) -> Result<(), String> {
    match args.login.user {
        None => Err("--user is needed".into()),
        Some(_) => Ok(()),
    }
}

fn start(registry: &mut Registry, args: &Args, settings: Settings, user: impl User) -> Result {
    let contact = Contact::new(&args.contact);
    let to = (args.host.as_str(), args.port());
    let client = Client::new(settings, user);
    Connection::start(registry, &contact, to, args.encryption.tls, client)?;
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let (user, password) = args.login.credentials()?.unwrap_or_default();
    let account = format!("{user}@{}:{}", args.host, args.port());
    let settings = Settings {
        starttls: args.encryption.starttls,
        auth: args.auth,
        allow_cleartext: args.allow_cleartext,
        user,
        password,
        max_message: args.max_message,
    };
    let mut reactor = args.contact.reactor("pop3_client")?;
    let outcome = Outcome::default();
    match args.work.clone() {
        Work::List => {
            let listing = Listing::new(outcome.clone());
            start(&mut reactor, &args, settings, listing)?;
        }
        Work::Show { numbers, raw } => {
            let showing = Showing::new(numbers, raw, outcome.clone());
            start(&mut reactor, &args, settings, showing)?;
        }
        Work::Fetch {
            numbers,
            maildir,
            delete,
        } => {
            let fetching = Fetching::new(numbers, &maildir, &account, delete, outcome.clone())?;
            start(&mut reactor, &args, settings, fetching)?;
        }
    }
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    outcome.take()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
