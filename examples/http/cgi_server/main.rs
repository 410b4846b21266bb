//! A web server for scripts (CGI/1.1, RFC 3875) and the files beside them: `cargo run --example cgi_server -- --cgi-dir
//! examples/http/cgi_server/scripts`, then open <http://127.0.0.1:8000/cgi-bin/list.py>.
//!
//! A script is a child process whose input and output are channels ([`script`]): what a client sends goes into it as it
//! comes, and its answer out, with back-pressure both ways. Starting a process holds up the loop until it has begun.
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod handler;
#[cfg_attr(not(unix), allow(dead_code, reason = "for the help alone"))]
mod limits;
#[cfg(unix)]
mod pool;
#[cfg(unix)]
mod refusal;
#[cfg(unix)]
mod script;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod spool;
#[cfg(unix)]
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use shared::{
    cgi::place::Prefix,
    cli::{self, Listen},
    tls::server::CertificateFiles,
};

use crate::limits::Limits;

/// Run scripts (CGI/1.1) for clients of HTTP, and serve the files beside them
#[derive(Debug, Parser)]
#[command(name = "cgi_server", after_help = NOTES)]
struct Args {
    #[command(flatten)]
    listen: Listen<8000>,
    /// Directory of the files beside the scripts
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Directory of the scripts
    #[arg(
        long,
        value_name = "DIR",
        default_value = "cgi-bin",
        help_heading = "Scripts"
    )]
    cgi_dir: PathBuf,
    /// Path of URLs below which the scripts are
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/cgi-bin/",
        help_heading = "Scripts"
    )]
    cgi_path: Prefix,
    /// User that scripts run as; needs root [default: nobody, if the server runs as root]
    #[arg(long, value_name = "NAME", help_heading = "Scripts")]
    user: Option<String>,
    /// Give scripts this variable of the server's environment too; may be repeated
    #[arg(long, value_name = "NAME", value_parser = variable, help_heading = "Scripts")]
    pass_env: Vec<String>,
    /// Give scripts the names and passwords that clients send (HTTP_AUTHORIZATION)
    #[arg(long, help_heading = "Scripts")]
    pass_authorization: bool,
    /// Follow symbolic links that lead out of a directory
    #[arg(long)]
    follow_symlinks: bool,
    #[command(flatten)]
    tls: CertificateFiles,
    #[command(flatten)]
    limits: Limits,
}

const NOTES: &str = "\
A script gets the variables of RFC 3875, PATH, and nothing else of the server's environment; its standard error goes to the \
log. A file that is not executable is 403. One whose name begins with nph- writes all of its answer itself.
A script is ended, with all of its process group, when it takes too long, when its answer is none, or when its client leaves. \
A client that ends its side of the connection counts as one that leaves.
Fixed limits: request line 8 KiB (414), headers 16 KiB and 100 lines (431); header of a script 32 KiB and 100 lines (502); \
10 redirects in the server (502); 256 MiB of bodies without a length, all together (411).
Ctrl-C or SIGTERM ends the server when the answers under way are sent, a second one without waiting for them, a third one \
the process at once (exit code 130).";

/// The name of a variable. Those of HTTP are the client's.
fn variable(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['=', '\0']) || text.starts_with("HTTP_") {
        true => Err("no name of a variable that could be passed on".into()),
        false => Ok(text.into()),
    }
}

#[cfg(not(unix))]
fn run(_: Args) -> asynchat::Result {
    Err("needs Unix".into())
}

#[cfg(unix)]
use serve::run;

fn main() -> ExitCode {
    cli::main(run)
}
