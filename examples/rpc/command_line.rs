//! `serve` and `call`.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use asynchat::Result;
use clap::{Parser, Subcommand};
use shared::{cli, screen, signals};

use crate::{
    client,
    server::{GRACE, Server},
};

/// A server for requests over a Unix socket, and its client
#[derive(Debug, Parser)]
#[command(
    name = "unix_rpc",
    arg_required_else_help = false,
    disable_help_subcommand = true
)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Serve requests until a signal or a client's `stop`
    Serve {
        /// The socket's file
        #[arg(long, value_name = "PATH", default_value = "unix_rpc.sock")]
        socket: PathBuf,
        /// Remove the socket that a server which did not end properly has left; it looks the same as one of another
        /// program that has bound it and does not listen yet
        #[arg(long)]
        force: bool,
    },
    /// Send one request, or those on standard input
    #[command(
        after_help = "Without a command, commands are read from standard input, one a line, up to the first error. \
                      Commands: ping, version, echo STRING..., status, list, get NAME, set NAME VALUE, unset NAME, stop."
    )]
    Call {
        /// The socket's file
        #[arg(long, value_name = "PATH", default_value = "unix_rpc.sock")]
        socket: PathBuf,
        /// For all answers together
        #[arg(long, value_name = "SECS", default_value = "10", value_parser = cli::seconds)]
        timeout: Duration,
        /// A command and its strings, which may begin with a hyphen
        #[arg(value_name = "COMMAND", trailing_var_arg = true)]
        request: Vec<String>,
    },
}

/// How much is read from standard input.
const MAX_INPUT: u64 = 1024 * 1024;

fn serve(socket: &Path, force: bool) -> Result {
    let server = Server::start(socket, force)?;
    // Before the line that says that it serves: a signal may follow at once.
    let (tell, told) = mpsc::channel();
    server
        .handle()
        .call_soon(move |registry| Ok(tell.send(signals::shut_down_on_signal(registry, GRACE))?))?;
    told.recv()??;
    cli::say(&format!("serving on {}", socket.display()))?;
    server.join()
}

fn call(socket: &Path, timeout: Duration, request: Vec<String>) -> Result {
    let requests = if request.is_empty() {
        from_input()?
    } else {
        vec![request]
    };
    // Other clients have chosen the values.
    let mut out = screen::stdout();
    for answer in client::call(socket, requests, timeout)? {
        for value in answer? {
            writeln!(out, "{value}")?;
        }
    }
    Ok(out.flush()?)
}

fn from_input() -> Result<Vec<Vec<String>>> {
    let mut text = String::new();
    let read = io::stdin().take(MAX_INPUT + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_INPUT {
        return Err(format!("standard input has more than {MAX_INPUT} bytes").into());
    }
    let words = |line: &str| line.split_whitespace().map(Into::into).collect();
    let requests: Vec<Vec<String>> = text.lines().map(words).collect();
    Ok(requests
        .into_iter()
        .filter(|words| !words.is_empty())
        .collect())
}

pub(crate) fn main() -> ExitCode {
    cli::main(|Args { part }| match part {
        Part::Serve { socket, force } => serve(&socket, force),
        Part::Call {
            socket,
            timeout,
            request,
        } => call(&socket, timeout, request),
    })
}
