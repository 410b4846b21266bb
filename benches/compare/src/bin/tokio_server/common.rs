//! What the servers on other libraries do alike before their library comes in: arguments, limits,
//! the listening socket.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg::Long, Arg::Value, ValueExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const USAGE: &str = "usage: MODE PORT [ROOT] [--tls-cert FILE --tls-key FILE] [--io-uring]";

/// The command line.
pub(crate) struct Arguments {
    pub(crate) mode: String,
    pub(crate) port: u16,
    #[allow(
        dead_code,
        reason = "of `files` alone, which tokio_server does not have"
    )]
    pub(crate) root: PathBuf,
    #[allow(dead_code, reason = "of monoio_server alone")]
    pub(crate) io_uring: bool,
    /// Certificate and key, both in PEM.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

impl Arguments {
    /// Reads the command line; says how it goes where it is not understood.
    pub(crate) fn parse() -> Result<Self, ExitCode> {
        Self::read(lexopt::Parser::from_env()).map_err(|error| {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        })
    }

    fn read(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let (mut mode, mut port, mut root) = (None, None, None);
        let (mut certificate, mut key, mut io_uring) = (None, None, false);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("tls-cert") => certificate = Some(parser.value()?.into()),
                Long("tls-key") => key = Some(parser.value()?.into()),
                Long("io-uring") => io_uring = true,
                Value(value) if mode.is_none() => mode = Some(value.string()?),
                Value(value) if port.is_none() => port = Some(value.parse()?),
                Value(value) if root.is_none() => root = Some(value.into()),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Self {
            mode: mode.ok_or("no mode")?,
            port: port.ok_or("no port")?,
            root: root.unwrap_or_else(|| ".".into()),
            io_uring,
            tls: match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                _ => return Err("--tls-cert and --tls-key go together".into()),
            },
        })
    }
}

/// The answer to a mode that makes no sense for this library.
pub(crate) fn not_supported() -> ExitCode {
    eprintln!("mode not supported");
    ExitCode::from(2)
}

/// Listens on the loopback, non-blocking, with the descriptor limit raised.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it on Linux.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Tells whoever started this server that it listens.
pub(crate) fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(b"ready\n")?;
    stdout.flush()
}
