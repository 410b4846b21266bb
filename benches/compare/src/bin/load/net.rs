//! Making connections, busy and idle.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    args::{Options, Ping},
    failure::Failure,
    tls,
};

/// One source address has some 28,000 ports, and the kernel takes long to find a free one when most are taken.
const PER_ADDRESS: usize = 5_000;

pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it the run ends with "too many open files" where it needs more, which says enough.
    let _ = setrlimit(Resource::Nofile, limit);
}

pub(crate) fn server(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The `index`th connection of this process, established, in non-blocking mode, with TLS if that is wanted.
pub(crate) fn connect(
    options: &Options,
    index: usize,
) -> Result<(TcpStream, Option<ClientConnection>), Failure> {
    let port = options.port;
    let mut stream = establish(port, index).map_err(Failure::io(format!(
        "making connection {index} to port {port}"
    )))?;
    let set_up = "setting up a connection";
    stream.set_nodelay(true).map_err(Failure::io(set_up))?;
    let tls = match &options.tls {
        None => None,
        Some(config) => {
            let patience = Some(options.stall);
            stream
                .set_read_timeout(patience)
                .map_err(Failure::io(set_up))?;
            Some(tls::shake_hands(config, &mut stream)?)
        }
    };
    stream.set_nonblocking(true).map_err(Failure::io(set_up))?;
    Ok((stream, tls))
}

fn establish(port: u16, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    if index >= PER_ADDRESS {
        let host = 1 + u8::try_from(index / PER_ADDRESS).map_err(io::Error::other)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
    }
    socket.connect(&server(port).into())?;
    Ok(socket.into())
}

/// Connections that do nothing. They are in nobody's poll set, so that their number costs the load nothing.
pub(crate) struct Crowd(Vec<(TcpStream, Option<ClientConnection>)>);

impl Crowd {
    pub(crate) fn gather(options: &Options, count: usize) -> Result<Self, Failure> {
        let mut crowd: Vec<_> = (0..count)
            .map(|index| connect(options, index))
            .collect::<Result<_, _>>()?;
        let first = match options.ping {
            Ping::None => count,
            Ping::Last => count.saturating_sub(1),
            Ping::All => 0,
        };
        for (index, (stream, tls)) in crowd.iter_mut().enumerate().skip(first) {
            ping(stream, tls.as_mut(), options.stall).map_err(|failure| failure.on(index))?;
        }
        Ok(Self(crowd))
    }

    /// Fails if the server has dropped one of them or said anything.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (index, (stream, _)) in self.0.iter().enumerate() {
            let failure = match stream.peek(&mut [0; 16]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => Failure::io("an idle connection")(error),
                Ok(0) => Failure::Ended,
                Ok(bytes) => Failure::Surplus { bytes },
            };
            return Err(failure.on(index));
        }
        Ok(())
    }
}

fn ping(
    stream: &mut TcpStream,
    tls: Option<&mut ClientConnection>,
    patience: Duration,
) -> Result<(), Failure> {
    const LINE: &[u8] = b"ping\r\n";
    let mut got = [0; LINE.len()];
    stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(patience)))
        .and_then(|()| match tls {
            None => stream
                .write_all(LINE)
                .and_then(|()| stream.read_exact(&mut got)),
            Some(tls) => tls::exchange(tls, stream, LINE, &mut got),
        })
        .and_then(|()| stream.set_nonblocking(true))
        .map_err(Failure::io("a ping"))?;
    crate::failure::compare(&got, LINE, "a ping", 0)
}
