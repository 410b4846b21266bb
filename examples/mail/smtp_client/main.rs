//! A client of SMTP: `cargo run --example smtp_client -- localhost --from me@x.example --to you@x.example MESSAGE`.
//!
//! `shared::smtp::client` talks to the server. `message.rs` is the text, `header.rs` the header that is made for it,
//! `outbox.rs` what the session asks for the next message and gives the answers to.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use asynchat::Result;
use clap::Parser;

use header::{Field, Header};
use message::Message;
use outbox::{Envelope, Outbox, Report};
use shared::{
    cli,
    client::{Contact, ContactOptions, Encryption, Login},
    smtp::client::{self, Address, MAX_LINE, Settings},
    source,
    text::is_unprintable,
};

mod header;
mod message;
mod outbox;

const PORT: u16 = 25;
/// Of SMTP with TLS from the start (RFC 8314).
const TLS_PORT: u16 = 465;

/// Send messages to a mail server
#[derive(Debug, Parser)]
#[command(
    name = "smtp_client",
    after_help = "Exit code 0: every message was taken for every recipient; 1: some were not, and the reason of each is a \
                  line on standard error; 2: called the wrong way."
)]
struct Args {
    /// Name or address of the server
    #[arg(value_name = "HOST")]
    host: String,
    /// Files with a message each, - is standard input: header, empty line, text. With --subject or --header it is the text
    /// alone
    #[arg(value_name = "MESSAGE", default_value = "-")]
    messages: Vec<OsString>,
    /// Port of the server [default: 25, with --tls 465]
    #[arg(long)]
    port: Option<u16>,
    /// The sender; '' is the empty one, of a report
    #[arg(long, value_name = "ADDRESS", value_parser = sender)]
    from: Sender,
    /// A recipient; may be given many times
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<Address>,
    /// Make a header, with this subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Make a header, with this field, in place of the one of that name that would be made; may be given many times
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<Field>,
    /// Name of this machine, for the server [default: its address]
    #[arg(long, value_name = "NAME", value_parser = helo)]
    helo: Option<String>,
    /// Bytes of the longest line that is sent
    #[arg(long, value_name = "BYTES", default_value_t = MAX_LINE)]
    max_line: usize,
    #[command(flatten)]
    encryption: Encryption,
    #[command(flatten)]
    login: Login,
    /// Log in although others on the way can read the password
    #[arg(long)]
    allow_cleartext: bool,
    #[command(flatten)]
    contact: ContactOptions,
    /// Give up when the server thinks about a whole message for longer
    #[arg(long, value_name = "SECS", default_value = "600", value_parser = cli::seconds)]
    answer_timeout: Duration,
}

/// `None` is the empty path.
type Sender = Option<Address>;

fn sender(text: &str) -> Result<Sender, String> {
    match text {
        "" | "<>" => Ok(None),
        address => address.parse().map(Some),
    }
}

fn helo(text: &str) -> Result<String, String> {
    let wrong = |c: char| is_unprintable(c) || c.is_whitespace();
    match text.is_empty() || text.contains(wrong) {
        true => Err("not a name".into()),
        false => Ok(text.into()),
    }
}

impl Args {
    /// The header that is to be made, if any.
    fn header(&self) -> Option<Header<'_>> {
        (self.subject.is_some() || !self.header.is_empty()).then_some(Header {
            from: self.from.as_ref(),
            to: &self.to,
            subject: self.subject.as_deref(),
            fields: &self.header,
        })
    }
}

fn check(args: &Args) -> Result<(), String> {
    if args.messages.iter().filter(|name| *name == "-").count() > 1 {
        return Err("standard input is one message".into());
    }
    match args.header() {
        Some(header) => header.check(),
        None => Ok(()),
    }
}

fn run(args: Args) -> Result {
    // The password may be the first line of standard input, in front of the message.
    let login = args.login.credentials()?;
    let header = args.header();
    let messages = args.messages.iter().map(|name| {
        Message::read(name, header.as_ref(), args.max_line)
            .map_err(|error| format!("{}: {error}", source::label(name)))
    });
    let messages = messages.collect::<Result<_, _>>()?;
    let mut reactor = args.contact.reactor("smtp_client")?;
    let report = Report::default();
    let port = match args.encryption.tls {
        true => TLS_PORT,
        false => PORT,
    };
    let settings = Settings {
        encryption: args.encryption,
        login,
        allow_cleartext: args.allow_cleartext,
        helo: args.helo,
        patience: args.answer_timeout,
    };
    let envelope = Envelope {
        from: args.from,
        to: args.to,
    };
    client::connect(
        &mut reactor,
        &Contact::new(&args.contact),
        (&args.host, args.port.unwrap_or(port)),
        settings,
        Outbox::new(envelope, messages, report.clone()),
    )?;
    reactor.run()?;
    // With what a second signal left in it.
    drop(reactor);
    report.result()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
