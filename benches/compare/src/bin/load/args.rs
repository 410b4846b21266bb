//! The command line.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lexopt::prelude::*;
use rustls::ClientConfig;

use crate::tls;

pub(crate) const HELP: &str = "\
Drive a server of the comparison and check every byte it sends back.

Usage: load SCENARIO PORT [OPTIONS]
       load mkfile PATH SIZE

Scenarios, with the server mode they need and what counts as an operation:
  echo       a message comes back                      [size 64, ops 100000]
  lines      a line of SIZE bytes with its CRLF comes back [size 20, ops 1000000]
  http       GET PATH, answered by `Hello, world!`     [path /, ops 100000]
  files      GET PATH, answered by what mkfile wrote   [path /SIZE.bin, size 1024, ops 20000]
  source     GIVE SIZE, answered by so many bytes      [size 1048576, ops 2000]
  sink       SIZE bytes are taken; at the end the stream is half-closed and its end awaited [size 65536, ops 20000]
  time       connect, four bytes, end of stream; --conns of them at a time [ops 10000]
  handshake  connect, a full TLS handshake, close; --conns of them at a time; needs --tls [ops 10000]
  idle       hold --conns connections until the end of standard input

Options:
      --conns N     connections [default: 1]
      --window W    messages written at once; the next W once all are answered [default: 1]
      --ops N       operations over all connections
      --seconds S   stop after so long, instead of or in addition to --ops
      --size BYTES  see above
      --path P      see above
      --idle N      idle connections beside the busy ones [default: 0]
      --ping WHICH  of the idle connections `last` or `all` must get a line echoed first [default: none]
      --tls FILE    speak TLS 1.3 with a server that has the certificate in FILE (PEM), made out to localhost
      --strict      the head of an HTTP answer must be the agreed one byte for byte, not just equivalent
      --stall S     give up after so many seconds without progress [default: 10]
      --wait-go     wait for a line on standard input after `warm`, and for its end after the report
  -h, --help        show this

`warm` on standard error says that all connections are made and each has had one message answered. The latencies are those
of whole windows. Status 1: wrong bytes, a lost connection or no progress; 2: wrong usage.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Echo,
    Lines,
    Http,
    Files,
    Source,
    Sink,
    Time,
    Handshake,
    Idle,
}

impl Scenario {
    const ALL: [Self; 9] = [
        Self::Echo,
        Self::Lines,
        Self::Http,
        Self::Files,
        Self::Source,
        Self::Sink,
        Self::Time,
        Self::Handshake,
        Self::Idle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Lines => "lines",
            Self::Http => "http",
            Self::Files => "files",
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Time => "time",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
        }
    }

    fn default_size(self) -> usize {
        match self {
            Self::Echo => 64,
            Self::Lines => 20,
            Self::Files => 1024,
            Self::Source => 1 << 20,
            Self::Sink => 1 << 16,
            Self::Http | Self::Time | Self::Handshake | Self::Idle => 0,
        }
    }

    fn default_ops(self) -> u64 {
        match self {
            Self::Echo | Self::Http => 100_000,
            Self::Lines => 1_000_000,
            Self::Files | Self::Sink => 20_000,
            Self::Source => 2_000,
            Self::Time | Self::Handshake => 10_000,
            Self::Idle => 0,
        }
    }
}

/// Which idle connections must get a line echoed, as proof that the server has accepted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    None,
    /// Connections are accepted in order, so this one speaks for all.
    Last,
    All,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) port: u16,
    pub(crate) conns: usize,
    pub(crate) window: usize,
    pub(crate) ops: u64,
    pub(crate) size: usize,
    pub(crate) idle: usize,
    pub(crate) path: String,
    pub(crate) seconds: Option<Duration>,
    pub(crate) ping: Ping,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) strict: bool,
    pub(crate) stall: Duration,
    pub(crate) wait_go: bool,
}

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    MakeFile { path: PathBuf, size: usize },
    Run(Options),
}

pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut positional = Vec::new();
    let (mut conns, mut window, mut idle) = (1_usize, 1_usize, 0);
    let (mut ops, mut size, mut path, mut seconds) = (None, None, None, None);
    let (mut ping, mut strict, mut wait_go) = (Ping::None, false, false);
    let mut tls = None;
    let mut stall = Duration::from_secs(10);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("conns") => conns = parser.value()?.parse()?,
            Long("window") => window = parser.value()?.parse()?,
            Long("ops") => ops = Some(parser.value()?.parse()?),
            Long("size") => size = Some(parser.value()?.parse()?),
            Long("idle") => idle = parser.value()?.parse()?,
            Long("path") => path = Some(parser.value()?.string()?),
            Long("seconds") => seconds = Some(duration(&mut parser)?),
            Long("stall") => stall = duration(&mut parser)?,
            Long("tls") => tls = Some(certificate(&mut parser)?),
            Long("strict") => strict = true,
            Long("wait-go") => wait_go = true,
            Long("ping") => {
                ping = match parser.value()?.string()?.as_str() {
                    "none" => Ping::None,
                    "last" => Ping::Last,
                    "all" => Ping::All,
                    other => return Err(format!("--ping {other}: none, last or all").into()),
                }
            }
            Value(value) => positional.push(value.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    let mut positional = positional.into_iter();
    let (Some(first), Some(second)) = (positional.next(), positional.next()) else {
        return Err("a scenario and a port are needed".into());
    };
    if first == "mkfile" {
        let Some(size) = positional.next().and_then(|size| size.parse().ok()) else {
            return Err("mkfile PATH SIZE".into());
        };
        let path = second.into();
        return Ok(Command::MakeFile { path, size });
    }
    if let Some(surplus) = positional.next() {
        return Err(format!("unexpected `{surplus}`").into());
    }
    let Some(scenario) = Scenario::ALL.into_iter().find(|s| s.name() == first) else {
        return Err(format!("no scenario `{first}`").into());
    };
    let Ok(port) = second.parse() else {
        return Err(format!("`{second}` is not a port").into());
    };
    let size = size.unwrap_or(scenario.default_size());
    if conns == 0 || window == 0 {
        return Err("--conns and --window must be at least 1".into());
    }
    let smallest = match scenario {
        Scenario::Echo | Scenario::Source | Scenario::Sink => 1,
        Scenario::Lines => 2,
        Scenario::Http
        | Scenario::Files
        | Scenario::Time
        | Scenario::Handshake
        | Scenario::Idle => 0,
    };
    if size < smallest {
        return Err(format!("{first}: --size must be at least {smallest}").into());
    }
    let path = match (path, scenario) {
        (Some(path), _) if path.starts_with('/') => path,
        (Some(path), _) => format!("/{path}"),
        (None, Scenario::Files) => format!("/{size}.bin"),
        (None, _) => "/".to_owned(),
    };
    Ok(Command::Run(Options {
        scenario,
        port,
        conns,
        window,
        ops: match (ops, seconds) {
            (Some(ops), _) => ops,
            (None, Some(_)) => u64::MAX,
            (None, None) => scenario.default_ops(),
        },
        size,
        idle,
        path,
        seconds,
        ping,
        tls,
        strict,
        stall,
        wait_go,
    }))
}

fn certificate(parser: &mut lexopt::Parser) -> Result<Arc<ClientConfig>, lexopt::Error> {
    let file = parser.value()?;
    tls::config(Path::new(&file)).map_err(|failure| failure.to_string().into())
}

fn duration(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string().into())
}
