//! `serve` and `call`.

use std::{
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use asynchat::Result;
use lexopt::prelude::*;
use shared::{cli, signals};

use crate::{
    client,
    server::{GRACE, Server},
};

const HELP: &str = "\
A server for requests over a Unix socket, and its client.

Usage: unix_rpc serve [OPTIONS]
       unix_rpc call [OPTIONS] [COMMAND [STRING...]]

Options:
      --socket PATH   the socket's file [default: unix_rpc.sock]
      --force         serve: remove the socket that a server which did not end properly has left; it looks the same
                      as one of another program that has bound it and does not listen yet
      --timeout SECS  call: for all answers together [default: 10]
  -h, --help          show this

Without a command, call reads commands from standard input, one a line, and stops at the first error. Commands: ping,
version, echo STRING..., status, list, get NAME, set NAME VALUE, unset NAME, stop.";

/// How much is read from standard input.
const MAX_INPUT: u64 = 1024 * 1024;

enum Args {
    Serve {
        socket: PathBuf,
        force: bool,
    },
    Call {
        socket: PathBuf,
        timeout: Duration,
        request: Vec<String>,
    },
}

fn parse(mut parser: lexopt::Parser) -> std::result::Result<Option<Args>, lexopt::Error> {
    let mut socket = PathBuf::from("unix_rpc.sock");
    let mut timeout = Duration::from_secs(10);
    let mut force = false;
    let mut serves = None;
    let mut request = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("socket") => socket = parser.value()?.into(),
            Long("force") if serves == Some(true) => force = true,
            Long("timeout") if serves == Some(false) => {
                timeout = parser.value()?.parse_with(cli::seconds)?;
            }
            Short('h') | Long("help") => return Ok(None),
            Value(word) if serves.is_none() && word == "serve" => serves = Some(true),
            Value(word) if serves.is_none() && word == "call" => serves = Some(false),
            Value(word) if serves == Some(false) => {
                let words = std::iter::once(word).chain(parser.raw_args()?);
                request = words
                    .map(OsString::string)
                    .collect::<std::result::Result<_, _>>()?;
            }
            _ => return Err(arg.unexpected()),
        }
    }
    match serves {
        Some(true) => Ok(Some(Args::Serve { socket, force })),
        Some(false) => Ok(Some(Args::Call {
            socket,
            timeout,
            request,
        })),
        None => Err("serve or call?".into()),
    }
}

fn serve(socket: &Path, force: bool) -> Result {
    let server = Server::start(socket, force)?;
    signals::shut_down_on_signal(server.handle(), GRACE)?;
    cli::say(&format!("serving on {}", socket.display()))?;
    server.join()
}

fn call(socket: &Path, timeout: Duration, request: Vec<String>) -> Result {
    let requests = if request.is_empty() {
        from_input()?
    } else {
        vec![request]
    };
    for answer in client::call(socket, requests, timeout)? {
        for value in answer? {
            cli::say(&value)?;
        }
    }
    Ok(())
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
    cli::main("unix_rpc", HELP, parse, |args| match args {
        Args::Serve { socket, force } => serve(&socket, force),
        Args::Call {
            socket,
            timeout,
            request,
        } => call(&socket, timeout, request),
    })
}
