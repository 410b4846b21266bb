//! An FTP client: `cargo run --example ftp_client -- ftp.example.com get README`.
//!
//! `shared::ftp` speaks the protocol; `run.rs` asks it for what the arguments say, `getting.rs` and `putting.rs` are the
//! files on this side.

use std::{path::PathBuf, process::ExitCode};

use asynchat::Result;
use clap::{Parser, Subcommand};
use shared::{
    cli,
    client::{Connection, Contact, ContactOptions, Encryption, Login},
    ftp::{Account, Mode, Options, PORT, PORT_TLS, Ports, Protection, Session},
    saving::Target,
};

use run::Run;

mod getting;
mod putting;
mod report;
mod run;

/// Fetch, store and list files on an FTP server
#[derive(Debug, Parser)]
#[command(
    name = "ftp_client",
    disable_help_subcommand = true,
    after_help = "Without --user the login is anonymous. Exit code 0: everything was done; 1: something was not; 2: called \
                  the wrong way."
)]
struct Args {
    /// Name or address of the server
    host: String,
    /// Port of the server [default: 21, with --tls 990]
    #[arg(short, long)]
    port: Option<u16>,
    #[command(flatten)]
    login: Login,
    /// Account, for a server that asks for one behind the password (ACCT)
    #[arg(long, value_name = "NAME", requires = "user")]
    account: Option<String>,
    /// Send the password in clear to another machine
    #[arg(long)]
    allow_cleartext: bool,
    #[command(flatten)]
    encryption: Encryption,
    /// Who makes the data connections: this program (passive, pasv) or the server (active, port)
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "passive|pasv|active|port"
    )]
    mode: Mode,
    /// Ports of this machine that the server may connect to, as 50000-50100 [default: the system chooses]
    #[arg(long, value_name = "RANGE")]
    active_ports: Option<Ports>,
    #[command(flatten)]
    contact: ContactOptions,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// List a folder
    List {
        /// Names alone (NLST)
        #[arg(long, conflicts_with = "facts")]
        names: bool,
        /// Names and facts in a form for programs (MLSD)
        #[arg(long)]
        facts: bool,
        /// Folder, or what else the server lists [default: where the login leads]
        #[arg(default_value = "", hide_default_value = true)]
        path: String,
    },
    /// Fetch files
    Get {
        /// Save the one file under this name once it is complete; - is standard output
        #[arg(short, value_name = "FILE")]
        output: Option<Target>,
        /// Turn the line ends of a text into LF
        #[arg(short, long, conflicts_with = "resume")]
        text: bool,
        /// Go on behind what the file here has already, and keep what came if the rest does not come
        #[arg(short = 'c', long = "continue")]
        resume: bool,
        /// Give up a file that is larger
        #[arg(long, value_name = "BYTES")]
        max_size: Option<u64>,
        /// Files on the server; each is saved in this folder under its last name
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Store files: .txt, .htm and .html as text, others byte by byte
    Put {
        /// Name of the one file on the server
        #[arg(short, value_name = "NAME")]
        output: Option<String>,
        /// Store every file as text
        #[arg(short, long, conflicts_with_all = ["binary", "resume"])]
        text: bool,
        /// Store every file byte by byte
        #[arg(short, long)]
        binary: bool,
        /// Go on behind what the server has already, byte by byte
        #[arg(short = 'c', long = "continue")]
        resume: bool,
        /// Files here; each is stored under its last name
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the size of files and when they were changed
    Info {
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Show what the server can do (FEAT)
    Features,
}

fn check(args: &Args) -> Result<(), String> {
    let (one, files) = match &args.work {
        Work::Get { output, files, .. } => (output.is_some(), files.len()),
        Work::Put { output, files, .. } => (output.is_some(), files.len()),
        _ => (false, 0),
    };
    if one && files > 1 {
        return Err("-o takes one file".into());
    }
    if let Work::Get {
        output: Some(Target::Stdout),
        resume: true,
        ..
    } = args.work
    {
        return Err("--continue: standard output has nothing to go on behind".into());
    }
    let passive = matches!(args.mode, Mode::Passive | Mode::Pasv);
    match args.active_ports.is_some() && passive {
        true => Err("--active-ports: for --mode active and port".into()),
        false => Ok(()),
    }
}

fn run(args: Args) -> Result {
    let account = match args.login.credentials()? {
        None => Account::default(),
        Some((user, password)) => Account {
            user,
            password,
            account: args.account,
        },
    };
    let options = Options {
        account,
        mode: args.mode,
        ports: args.active_ports.unwrap_or_default(),
        protection: match args.encryption {
            Encryption { tls: true, .. } => Protection::Implicit,
            Encryption { starttls: true, .. } => Protection::Explicit,
            _ => Protection::None,
        },
        allow_cleartext: args.allow_cleartext,
    };
    let mut reactor = args.contact.reactor("ftp_client")?;
    let contact = Contact::new(&args.contact);
    let tls = args.encryption.tls;
    let port = args.port.unwrap_or(if tls { PORT_TLS } else { PORT });
    let run = Run::new(args.work);
    let report = run.report();
    let session = Session::new(options, run);
    Connection::start(&mut reactor, &contact, (&args.host, port), tls, session)?;
    reactor.run()?;
    drop(reactor);
    report.outcome()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
