//! The time client of RFC 868: `gettime("localhost", 8037)` asks a server and waits for the answer.
//!
//! Each call has a reactor of its own and returns when there is an outcome, so it is for programs that have nothing
//! else to do meanwhile; from inside a reactor's callbacks register a dispatcher like [`TimeRequest`] instead.

use std::{
    cell::Cell,
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, SystemTime},
};

use asynchat::{
    BoxError, Channel, ChannelId, ConnectOptions, Dispatcher, Exceptional, Reactor, Registry,
    Result, Socket,
};

use crate::rfc868;

/// How long [`gettime`] waits for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server has for closing the connection once it has sent the time.
const CLOSING: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Tcp,
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The server's clock.
    pub server: SystemTime,
    /// The local clock when the answer came.
    pub local: SystemTime,
}

impl Reading {
    fn new(answer: &[u8], local: SystemTime) -> Result<Self> {
        match <[u8; 4]>::try_from(answer) {
            Ok(count) => Ok(Self {
                server: rfc868::decode(count, local),
                local,
            }),
            Err(_) if answer.is_empty() => {
                Err("the server sent nothing; it may not know the time".into())
            }
            Err(_) if answer.len() < 4 => {
                Err(format!("only {} of 4 bytes came", answer.len()).into())
            }
            Err(_) => Err("more than 4 bytes came; this is no time server".into()),
        }
    }
}

/// The time of the server at `host` and `port`, asked over TCP.
///
/// # Errors
/// The name is unknown, no address takes a connection, or what comes within [`TIMEOUT`] is not a time.
pub fn gettime(host: &str, port: u16) -> Result<SystemTime> {
    ask(host, port, Transport::Tcp, TIMEOUT).map(|reading| reading.server)
}

/// Like [`gettime`], with a choice of transport and time limit, and with the local clock to compare.
///
/// The limit covers looking up the name. Over UDP that has as long beside.
pub fn ask(host: &str, port: u16, transport: Transport, timeout: Duration) -> Result<Reading> {
    let reading = match transport {
        Transport::Tcp => ask_tcp(timeout, |registry, options, request| {
            registry.connect_host_with(host, port, options, request)
        }),
        Transport::Udp => {
            look_up(host, port, timeout).and_then(|addresses| ask_udp(&addresses, timeout))
        }
    };
    reading.map_err(|error| {
        let host = host.escape_debug();
        format!("no time from {host} port {port} over {transport}: {error}").into()
    })
}

/// Asks the first of a server's addresses that can be reached.
pub fn ask_any(
    addresses: &[SocketAddr],
    transport: Transport,
    timeout: Duration,
) -> Result<Reading> {
    match transport {
        Transport::Tcp => ask_tcp(timeout, |registry, options, request| {
            registry.connect_with(addresses, options, request)
        }),
        Transport::Udp => ask_udp(addresses, timeout),
    }
}

fn ask_tcp(
    timeout: Duration,
    connect: impl FnOnce(&mut Registry, &ConnectOptions, TimeRequest) -> io::Result<ChannelId>,
) -> Result<Reading> {
    let options = ConnectOptions::new()
        .resolve_timeout(timeout)
        .timeout(timeout);
    wait_for(timeout, |registry, outcome| {
        let request = TimeRequest {
            answer: Vec::new(),
            outcome,
        };
        connect(registry, &options, request)?;
        Ok(())
    })
}

fn look_up(host: &str, port: u16, timeout: Duration) -> Result<Vec<SocketAddr>> {
    wait_for(timeout, |registry, outcome| {
        registry.resolve(host, port, move |registry, found| {
            outcome.set(Some(found.map_err(Into::into)));
            registry.stop();
            Ok(())
        });
        Ok(())
    })
}

/// One address after the other; the last one's failure is everybody's. They share the time limit, so that a silent one
/// does not keep the next from being tried.
fn ask_udp(addresses: &[SocketAddr], timeout: Duration) -> Result<Reading> {
    let tries = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let share = timeout / tries;
    let mut failure: BoxError = "the name has no address".into();
    for &address in addresses {
        let reading = wait_for(share, |registry, outcome| {
            let request = TimeDatagram { due: true, outcome };
            let id = registry.register(Socket::connected_udp(address)?, request)?;
            if let Some(mut channel) = registry.channel(id) {
                channel.set_idle_timeout(Some((share / 4).min(Duration::from_secs(1))));
            }
            Ok(())
        });
        match reading {
            Ok(reading) => return Ok(reading),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Where a request leaves what came of it.
type Outcome<T = Reading> = Rc<Cell<Option<Result<T>>>>;

/// Runs one request until its outcome is there.
fn wait_for<T>(
    timeout: Duration,
    start: impl FnOnce(&mut Registry, Outcome<T>) -> io::Result<()>,
) -> Result<T> {
    let mut reactor = Reactor::builder().resolve_timeout(timeout).build()?;
    let outcome = Outcome::default();
    start(&mut reactor, outcome.clone())?;
    reactor.call_later(timeout, |registry| {
        registry.stop();
        Ok(())
    });
    reactor.run()?;
    outcome
        .take()
        .unwrap_or_else(|| Err(format!("no complete answer within {timeout:?}").into()))
}

fn finish(channel: &mut Channel<'_>, outcome: &Outcome, result: Result<Reading>) {
    outcome.set(Some(result));
    end(channel);
}

fn end(channel: &mut Channel<'_>) {
    channel.close();
    channel.registry().stop();
}

/// One question over TCP, which is asked by connecting.
///
/// Four bytes are the time only if no fifth follows. So the end of file is waited for, after the client's own end
/// has been closed, as the protocol has it; a server that closes late or never does no harm.
struct TimeRequest {
    answer: Vec<u8>,
    outcome: Outcome,
}

impl TimeRequest {
    fn note(&self) {
        let reading = Reading::new(&self.answer, SystemTime::now());
        self.outcome.set(Some(reading));
    }

    /// Nothing more comes, or nothing more is wanted.
    fn conclude(&self, channel: &mut Channel<'_>) {
        if self.answer.len() != 4 {
            self.note();
        }
        end(channel);
    }
}

impl Dispatcher for TimeRequest {
    fn writable(&self) -> bool {
        false
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            finish(channel, &self.outcome, Err(error.into()));
        }
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; 5];
        let n = channel.recv(&mut buf)?;
        self.answer.extend_from_slice(&buf[..n]);
        match self.answer.len() {
            4 if n > 0 => {
                // Noted now: the local clock goes on, and the time limit may pass before the server closes.
                self.note();
                channel.shutdown_write();
                channel.set_idle_timeout(Some(CLOSING));
            }
            5.. => self.conclude(channel),
            _ => {}
        }
        Ok(())
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.conclude(channel);
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.conclude(channel);
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        finish(channel, &self.outcome, Err(error));
    }
}

/// One question over UDP: an empty datagram, sent again whenever the answer is late. The socket is connected, so
/// only what comes from the server's address is received, and a closed port is an error at once.
struct TimeDatagram {
    due: bool,
    outcome: Outcome,
}

impl Dispatcher for TimeDatagram {
    fn writable(&self) -> bool {
        self.due
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.send(&[])?;
        self.due = false;
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; 5];
        let n = channel.recv(&mut buf)?;
        let reading = Reading::new(&buf[..n], SystemTime::now());
        finish(channel, &self.outcome, reading);
        Ok(())
    }

    /// Either datagram may have been lost.
    fn handle_timeout(&mut self, _: &mut Channel<'_>) -> Result {
        self.due = true;
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        finish(channel, &self.outcome, Err(error));
    }
}
