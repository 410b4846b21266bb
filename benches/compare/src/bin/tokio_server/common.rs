//! What the servers on other libraries do alike before their library comes in: arguments, limits,
//! the listening socket.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// `SERVER MODE PORT [ROOT]`, of which the root concerns `files` alone.
pub(crate) struct Arguments {
    pub(crate) mode: String,
    pub(crate) port: u16,
}

impl Arguments {
    /// Reads the command line; says how it goes where it is not understood.
    pub(crate) fn parse() -> Result<Self, ExitCode> {
        let mut given = std::env::args().skip(1);
        let mode = given.next();
        let port = given.next().and_then(|port| port.parse().ok());
        match (mode, port, given.nth(1)) {
            (Some(mode), Some(port), None) => Ok(Self { mode, port }),
            _ => {
                eprintln!("usage: MODE PORT [ROOT]");
                Err(ExitCode::from(2))
            }
        }
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
