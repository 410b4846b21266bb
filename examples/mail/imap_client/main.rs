//! An IMAP client: `cargo run --example imap_client -- --user NAME HOST list`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use asynchat::{Registry, Result};
use clap::{Parser, Subcommand};

use asking::Asking;
use fetching::{Fetching, Wanted};
use idling::Idling;
use shared::{
    cli,
    client::{Connection, Contact, ContactOptions, Encryption, Login, Outcome},
    imap::{Auth, Client, Command, Settings, User, is_set},
};

mod asking;
mod fetching;
mod idling;

/// List mailboxes, search them, show and fetch messages, and wait for new ones by IMAP
#[derive(Debug, Parser)]
#[command(
    name = "imap_client",
    arg_required_else_help = false,
    after_help = "Exit code 0: done; 1: the server refused something, or the connection failed; 2: called the wrong way."
)]
struct Args {
    /// Name or address of the server
    #[arg(value_name = "HOST")]
    host: String,
    /// Port of the server [default: 143, and 993 with --tls]
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    login: Login,
    #[command(flatten)]
    encryption: Encryption,
    /// How the password is sent
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
    /// Names of mailboxes, with their attributes
    List {
        /// Only those that fit: * is any text, % any without the delimiter
        #[arg(default_value = "*")]
        pattern: String,
    },
    /// How many messages a mailbox has, and what the server says of it
    Select {
        /// Name of the mailbox, as INBOX
        mailbox: String,
    },
    /// Numbers of messages that fit all keys
    Search {
        mailbox: String,
        /// Keys of RFC 3501, 6.4.4, a word each, as UNSEEN SUBJECT "two words"
        #[arg(required = true, value_name = "KEY", allow_hyphen_values = true)]
        keys: Vec<String>,
        /// Unique ids in place of numbers
        #[arg(long)]
        uid: bool,
    },
    /// Show messages: their text, and a line for each attachment; they stay unseen
    Fetch {
        mailbox: String,
        /// Numbers and ranges, as 1,3:5,9:*
        #[arg(value_parser = set)]
        set: String,
        /// The set has unique ids
        #[arg(long)]
        uid: bool,
        /// Only size, date, sender and subject
        #[arg(long, conflicts_with_all = ["raw", "maildir"])]
        summary: bool,
        /// Show them as they are
        #[arg(long, conflicts_with = "maildir")]
        raw: bool,
        /// Save them in this Maildir, made if it is not there
        #[arg(long, value_name = "DIR")]
        maildir: Option<PathBuf>,
    },
    /// Show what happens in a mailbox (IDLE)
    Idle {
        mailbox: String,
        /// End after this time
        #[arg(long = "for", value_name = "SECS", value_parser = cli::seconds)]
        limit: Option<Duration>,
        /// End after this number of events
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
}

fn set(text: &str) -> Result<String, String> {
    match is_set(text) {
        true => Ok(text.into()),
        false => Err("neither numbers nor ranges of them".into()),
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
    let tls = args.encryption.tls;
    let port = args.port.unwrap_or(if tls { 993 } else { 143 });
    let client = Client::new(settings, user);
    Connection::start(registry, &contact, (&args.host, port), tls, client)?;
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let (user, password) = args.login.credentials()?.unwrap_or_default();
    let settings = Settings {
        starttls: args.encryption.starttls,
        auth: args.auth,
        allow_cleartext: args.allow_cleartext,
        user,
        password,
        max_message: args.max_message,
    };
    let mut reactor = args.contact.reactor("imap_client")?;
    let outcome = Outcome::default();
    let asking = |commands| Asking::new(commands, outcome.clone());
    match args.work.clone() {
        Work::List { pattern } => {
            let asking = asking(vec![Command::List { pattern }]);
            start(&mut reactor, &args, settings, asking)?;
        }
        Work::Select { mailbox } => {
            let asking = asking(vec![Command::Examine { mailbox }]);
            start(&mut reactor, &args, settings, asking.with_status())?;
        }
        Work::Search { mailbox, keys, uid } => {
            let search = Command::Search { keys, by_uid: uid };
            let asking = asking(vec![Command::Examine { mailbox }, search]);
            start(&mut reactor, &args, settings, asking)?;
        }
        Work::Fetch {
            mailbox,
            set,
            uid,
            summary,
            raw,
            maildir,
        } => {
            let wanted = Wanted::new(summary, raw, maildir.as_deref())?;
            let fetching = Fetching::new(mailbox, (set, uid), wanted, outcome.clone());
            start(&mut reactor, &args, settings, fetching)?;
        }
        Work::Idle {
            mailbox,
            limit,
            count,
        } => {
            let idling = Idling::new(mailbox, limit, count, outcome.clone());
            start(&mut reactor, &args, settings, idling)?;
        }
    }
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    outcome.take()
}

/// What the server wants its users to see (RFC 3501, 7.1: ALERT).
fn warn(status: &shared::imap::Status) {
    if let Some(code) = &status.code
        && code.eq_ignore_ascii_case("ALERT")
    {
        log::warn!("the server says {status}");
    }
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
