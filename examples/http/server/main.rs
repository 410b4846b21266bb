//! A web server for files: `cargo run --release --example http_server -- --root .`, then open
//! <http://127.0.0.1:8000/>; with `--tls-cert cert.pem --tls-key key.pem` that is `https`.
//!
//! HTTP/1.0 and 1.1, GET and HEAD, keep-alive and pipelining, ranges and conditions, directory pages, compressed files,
//! names and passwords, a status page. TLS 1.2 and 1.3, with certificates that are read again at SIGHUP.
//! Reading a file or a directory holds up all connections of a thread for as long as the disk takes; there is one
//! thread unless `--threads` says more, and then each has a reactor of its own.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use asynchat::Result;
use clap::Parser;

use shared::{
    cli::{self, Listen},
    http::{access_log::Writer, auth::Users, paths::Root},
    signals,
};

use crate::{
    entrance::Entrance,
    limits::Limits,
    options::Options,
    threads::{Spread, worker::Plan},
    tls::TlsOptions,
};

mod downloads;
mod ending;
mod entrance;
mod files;
mod limits;
mod options;
mod request;
mod server;
mod site;
mod status;
mod threads;
mod tls;

/// Serve the files below a directory over HTTP/1.1
#[derive(Debug, Parser)]
#[command(name = "http_server", after_help = NOTES)]
struct Args {
    #[command(flatten)]
    listen: Listen<8000>,
    /// Threads that serve, each on its own; at most --max-connections
    #[arg(long, value_name = "N", default_value = "1", value_parser = cli::at_least_one)]
    threads: usize,
    /// How connections are spread over threads: kernel (each thread listens on the port, SO_REUSEPORT; about even) or
    /// accept (one thread accepts, the others have their turns; even)
    #[arg(
        long,
        value_name = "HOW",
        default_value_t,
        value_enum,
        hide_possible_values = true
    )]
    spread: Spread,
    /// Directory to serve [default: .]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The same as DIR
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "directory",
        help_heading = "Files"
    )]
    root: Option<PathBuf>,
    /// List and serve names that begin with a dot; /.well-known/ is served always
    #[arg(long, help_heading = "Files")]
    hidden: bool,
    /// Follow symbolic links that lead out of the root
    #[arg(long, help_heading = "Files")]
    follow_symlinks: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    tls: TlsOptions,
    /// Show the live reactors at /-/status
    #[arg(long, help_heading = "Output")]
    status: bool,
    /// No access log
    #[arg(long, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    limits: Limits,
}

const NOTES: &str = "\
Fixed limits: request line 8 KiB (414), headers 16 KiB and 100 lines (431). A directory is listed whole, sorted, in pages \
of 2000 entries. A request for more than 16 ranges of a file, or for ranges that overlap, gets the whole file.
The access log goes to standard output, in UTC; RUST_LOG=info shows the server's own doings on \
standard error. Where nobody reads the log, lines are dropped and counted.
Ctrl-C or SIGTERM ends the server when the answers under way are sent, a second one without waiting for them, a third one \
the process at once (exit code 130).
Without --follow-symlinks links are followed as long as they stay below the root.
--max-connections is for all threads together: each has its share of it, and makes room among its own connections.
With several threads and --spread kernel the port may be shared: a program of the same user that comes later and shares it \
too gets a part of the connections. One that is there before is an error, as always.";

fn check(args: &Args) -> Result<(), String> {
    let port = args.listen.address().port();
    if args.threads > args.limits.connections {
        Err("--threads must not be more than --max-connections".into())
    } else if port != 0 && args.tls.tls_port == Some(port) {
        Err("--tls-port must not be --port".into())
    } else {
        Ok(())
    }
}

fn run(args: Args) -> Result {
    let directory = args.directory.or(args.root).unwrap_or(".".into());
    let root = Root::new(&directory, args.hidden)
        .map_err(|error| format!("cannot serve {}: {error}", directory.display()))?
        .follow_symlinks(args.follow_symlinks);
    let users = args.options.auth.as_deref().map(|file| {
        let users = Users::read(file);
        users.map_err(|error| format!("cannot read names from {}: {error}", file.display()))
    });
    let users = users.transpose()?.map(Arc::new);
    let tls = args.tls.load()?;
    let writer = match args.quiet {
        true => None,
        false => Some(Writer::start()?),
    };
    let plan = Plan {
        root,
        options: args.options,
        users,
        limits: args.limits,
        threads: args.threads,
        entrances: args.tls.entrances(args.listen.address(), tls.as_ref()),
        listens: args.threads == 1 || args.spread == Spread::Kernel,
        tls,
        log: writer.as_ref().map(Writer::shared),
        board: args.status.then(|| Arc::new(threads::board(args.threads))),
    };
    let announce = |entrances: &[Entrance]| {
        let root = directory.display();
        let urls: Vec<_> = entrances.iter().map(Entrance::to_string).collect();
        Ok(cli::say(&format!(
            "serving {root} on {}",
            urls.join(" and ")
        ))?)
    };
    let outcome = match args.threads {
        1 => serve(&plan, announce),
        _ => threads::run(&plan, args.spread, announce),
    };
    if let Some(writer) = writer {
        writer.finish();
    }
    outcome
}

/// Serves on this thread.
fn serve(plan: &Plan, announce: impl FnOnce(&[Entrance]) -> Result) -> Result {
    let mut worker = plan.worker(0)?;
    signals::end_on_signal(&mut worker.reactor, ending::end)?;
    plan.reload_on_hangup(&mut worker.reactor)?;
    announce(&worker.listen(&plan.entrances, false)?)?;
    worker.run()
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
