//! The example of SocketServer: the time (RFC 868) by one handler, over TCP, UDP, Unix streams and Unix datagrams.
//! `cargo run --example time_handlers`, then `cargo run --example time_client localhost 8038`.
//!
//! The handler is written twice: as straight code, which runs on the threads of a pool, and with callbacks, which run on
//! the loop (`--on-loop`).

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use asynchat::{Address, Dispatcher, Reactor, Registry, Result};
use clap::Parser;
use shared::{
    cli,
    handlers::{
        BlockingHandler, BlockingRequest, DatagramServer, LoopDatagramServer, LoopHandler,
        LoopStreamServer, Pool, PoolOptions, Reply, StreamServer, Times, shut_down,
    },
    rfc868, signals,
};

/// The time that handlers under way have after the first signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Gives the time to each client but those that would answer it.
#[derive(Clone, Copy)]
struct TimeHandler {
    /// The port of a UDP server: a server like this one answers from it.
    own_port: Option<u16>,
}

impl TimeHandler {
    fn answers(self, client: &Address) -> bool {
        match (self.own_port, client.inet()) {
            (Some(own), Some(client)) => !rfc868::would_answer(client.port(), own),
            _ => true,
        }
    }
}

/// Straight code.
impl BlockingHandler for TimeHandler {
    fn handle(&self, request: &mut BlockingRequest<'_>) -> Result {
        // Without a time the connection closes and a datagram passes in silence.
        if self.answers(request.client_address)
            && let Some(time) = rfc868::encode(SystemTime::now())
        {
            request.wfile.write_all(&time)?;
        }
        Ok(())
    }
}

/// Callbacks, of which the first is enough.
impl LoopHandler for TimeHandler {
    fn begin(&mut self, reply: &mut Reply<'_>) -> Result {
        if self.answers(reply.client_address())
            && let Some(time) = rfc868::encode(SystemTime::now())
        {
            reply.write_all(&time)?;
        }
        reply.finish();
        Ok(())
    }
}

/// Serve the time (RFC 868) by a handler, over TCP, UDP and Unix sockets
#[derive(Debug, Parser)]
#[command(name = "time_handlers", after_help = NOTES)]
struct Args {
    /// IP address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// TCP and UDP port; 0 takes free ones
    #[arg(long, default_value_t = 8038)]
    port: u16,
    /// Listen on a Unix stream socket too
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix: Option<std::path::PathBuf>,
    /// Listen on a Unix datagram socket too
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix_datagram: Option<std::path::PathBuf>,
    /// Serve with callbacks on the loop, not with threads
    #[arg(long)]
    on_loop: bool,
    /// Threads for handlers
    #[arg(long, value_name = "N", default_value = "4", value_parser = cli::at_least_one)]
    threads: usize,
}

const NOTES: &str = "\
Datagrams from the ports 7, 13, 17, 19 and 37 and from the server's own port number are not answered: the service behind \
such a port would answer the answer, for ever. RUST_LOG=info shows who asks.";

/// Makes the servers of either kind.
struct Servers {
    /// `None` for handlers on the loop.
    pool: Option<Pool>,
    times: Times,
}

impl Servers {
    fn new(args: &Args) -> Self {
        let pool = || {
            Pool::new(PoolOptions {
                threads: args.threads,
                ..PoolOptions::default()
            })
        };
        Self {
            pool: (!args.on_loop).then(pool),
            times: Times::default(),
        }
    }

    fn stream(&self) -> Box<dyn Dispatcher> {
        let handler = TimeHandler { own_port: None };
        match &self.pool {
            Some(pool) => Box::new(StreamServer::new(pool, Arc::new(handler), self.times)),
            None => Box::new(LoopStreamServer::new(move || handler, self.times)),
        }
    }

    fn datagram(&self, own_port: Option<u16>) -> Box<dyn Dispatcher> {
        let handler = TimeHandler { own_port };
        match &self.pool {
            Some(pool) => Box::new(DatagramServer::new(pool, Arc::new(handler), self.times)),
            None => Box::new(LoopDatagramServer::new(move || handler)),
        }
    }

    /// Listens on TCP and UDP; gives the addresses.
    fn listen(&self, registry: &mut Registry, address: SocketAddr) -> Result<Vec<Address>> {
        let id = registry.listen(address, self.stream())?;
        let tcp = registry.channel(id).ok_or("the listener is closed")?;
        let tcp = tcp.local_addr()?;
        let udp = UdpSocket::bind(address)
            .map_err(|error| format!("cannot listen on {address} (UDP): {error}"))?;
        let address = udp.local_addr()?;
        registry.register(udp, self.datagram(Some(address.port())))?;
        Ok(vec![tcp, address.into()])
    }
}

/// The sockets in the file system.
#[cfg(unix)]
mod files {
    use std::{io, os::unix::net::UnixDatagram, path::Path};

    use asynchat::{Registry, Result};
    use shared::socket_file::SocketFile;

    use super::{Args, Servers};

    pub(super) fn listen(
        servers: &Servers,
        registry: &mut Registry,
        args: &Args,
    ) -> Result<Vec<SocketFile>> {
        let mut files = Vec::new();
        if let Some(path) = &args.unix {
            let listening = registry.listen(path.as_path(), servers.stream());
            listening.map_err(|error| format!("{error}{}", way_out(&error)))?;
            files.push(SocketFile::of(path)?);
        }
        if let Some(path) = &args.unix_datagram {
            let socket = UnixDatagram::bind(path).map_err(|error| {
                let (path, way_out) = (path.display(), way_out(&error));
                format!("cannot listen on {path}: {error}{way_out}")
            })?;
            files.push(SocketFile::of(path)?);
            registry.register(socket, servers.datagram(None))?;
        }
        Ok(files)
    }

    /// A server that did not end properly has left its file.
    fn way_out(error: &io::Error) -> &'static str {
        match error.kind() {
            io::ErrorKind::AddrInUse => "; remove the file if no server runs there",
            _ => "",
        }
    }

    pub(super) fn names(args: &Args) -> impl Iterator<Item = String> {
        let paths = [args.unix.as_deref(), args.unix_datagram.as_deref()];
        let name = |path: &Path| path.display().to_string();
        paths.into_iter().flatten().map(name)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let servers = Servers::new(&args);
    let mut reactor = Reactor::new()?;
    signals::end_on_signal(&mut reactor, |registry| shut_down(registry, SHUTDOWN_GRACE))?;
    let addresses = servers.listen(&mut reactor, SocketAddr::new(args.bind, args.port))?;
    #[cfg(unix)]
    let files = files::listen(&servers, &mut reactor, &args)?;
    let names = addresses.iter().map(ToString::to_string);
    #[cfg(unix)]
    let names = names.chain(files::names(&args));
    let names: Vec<_> = names.collect();
    cli::say(&format!("listening on {}", names.join(", ")))?;
    reactor.run()?;
    #[cfg(unix)]
    drop(files);
    Ok(())
}

fn main() -> ExitCode {
    cli::main(run)
}
