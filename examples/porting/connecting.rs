//! Idioms of "Connecting".

use std::{net::SocketAddr, time::Duration};

use asynchat::{
    Backoff, Cause, Channel, ChannelId, Closed, ConnectOptions, Dispatcher, Exceptional, Registry,
    Result, Socket,
};

struct Client;

impl Dispatcher for Client {
    // region 9
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.push("NICK porter\r\n");
        Ok(())
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            eprintln!("{}: {error}", channel.describe());
        }
        Ok(())
    }
    // end
}

fn dial(registry: &mut Registry, host: &str, port: u16) -> Result<ChannelId> {
    // region 9
    let id = registry.connect_host(host, port, Client)?; // the look-up does not block
    // end
    Ok(id)
}

fn dial_within_a_time(registry: &mut Registry, host: &str, port: u16) -> Result<ChannelId> {
    // region 10
    let second = Duration::from_secs(1);
    let options = ConnectOptions::new()
        .resolve_timeout(5 * second)
        .deadline(9 * second);
    let id = registry.connect_host_with(host, port, &options, Client)?; // its addresses race
    // end
    Ok(id)
}

struct Datagrams;
impl Dispatcher for Datagrams {}

fn look_up(registry: &mut Registry, host: &str) {
    // region look-up
    registry.resolve(host, 53, |registry, found| {
        let server = *found?.first().ok_or("no address")?; // an error goes to on_error
        registry.register(Socket::connected_udp(server)?, Datagrams)?;
        Ok(())
    });
    // end
}

struct Upstream;
impl Dispatcher for Upstream {}

fn dial_from_port_20(registry: &mut Registry, client: SocketAddr) -> Result<ChannelId> {
    // region 13
    let source: SocketAddr = "0.0.0.0:20".parse()?;
    let options = ConnectOptions::new().source(source).reuse_addr(true);
    let id = registry.connect_with(&[client], &options, Upstream)?;
    // end
    Ok(id)
}

struct Request {
    server: SocketAddr,
}

impl Dispatcher for Request {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 11
        let request = channel.recv_with(|_, data| data.to_vec())?;
        let id = channel.registry().connect(self.server, Upstream)?;
        if let Some(mut upstream) = channel.registry().channel(id) {
            upstream.push(request); // leaves once connected
        }
        // end
        Ok(())
    }
}

#[derive(Clone)]
struct Link {
    server: (String, u16),
    backoff: Backoff,
}

impl Link {
    fn reply(&self, channel: &mut Channel<'_>, data: &[u8]) -> Result {
        match data {
            b"fail" => Err("a bad request".into()),
            b"rest" => {
                channel.set_idle_timeout(Some(Duration::from_millis(1)));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

// region 12
impl Link {
    fn dial(self, registry: &mut Registry) {
        let (host, port) = self.server.clone();
        let next = self.clone();
        // Looked up each time: the server may have moved.
        if let Err(error) = registry.connect_host(host, port, self) {
            log::warn!("{error}"); // no descriptor: no channel, so no end
            next.dial_later(registry);
        }
    }

    fn dial_later(mut self, registry: &mut Registry) {
        registry.call_later(self.backoff.next_delay(), move |registry| {
            self.dial(registry);
            Ok(())
        });
    }
}

impl Dispatcher for Link {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let data = channel.recv_with(|_, data| data.to_vec())?;
        if !data.is_empty() {
            self.backoff.reset(); // it answers; to accept is not enough
        }
        self.reply(channel, &data)
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        log::warn!("link lost: {why}"); // end of file, reset, error, idle, not connected, …
        if why.cause != Cause::Shutdown {
            self.clone().dial_later(registry);
        }
    }
}
// end

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Shutdown, TcpListener, TcpStream},
        time::Instant,
    };

    use asynchat::Reactor;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DEADLINE: Duration = Duration::from_secs(10);

    fn link(address: SocketAddr) -> Link {
        Link {
            server: (address.ip().to_string(), address.port()),
            backoff: Backoff::new(MS, 10 * MS),
        }
    }

    /// Turns until the link has connected.
    fn accept(reactor: &mut Reactor, listener: &TcpListener) -> TcpStream {
        let start = Instant::now();
        loop {
            reactor.turn(Some(10 * MS)).unwrap();
            if let Ok((stream, _)) = listener.accept() {
                return stream;
            }
            assert!(start.elapsed() < DEADLINE, "nothing dials");
        }
    }

    #[test]
    fn whatever_ends_a_link_another_one_is_dialled() {
        let ends: [(&str, fn(TcpStream) -> Option<TcpStream>); 5] = [
            ("end of file", |stream| {
                stream.shutdown(Shutdown::Write).unwrap();
                Some(stream)
            }),
            ("closed", |_| None),
            ("reset", |stream| {
                let zero = Some(Duration::ZERO);
                socket2::SockRef::from(&stream).set_linger(zero).unwrap();
                None
            }),
            ("error", |mut stream| {
                stream.write_all(b"fail").unwrap();
                Some(stream)
            }),
            ("idle", |mut stream| {
                stream.write_all(b"rest").unwrap();
                Some(stream)
            }),
        ];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        link(listener.local_addr().unwrap()).dial(&mut reactor);
        let mut stream = accept(&mut reactor, &listener);
        for (_, end) in ends {
            let _kept = end(stream);
            stream = accept(&mut reactor, &listener);
        }
        // Nothing is dialled after a shutdown.
        reactor.shutdown(Duration::ZERO);
        reactor.run().unwrap();
        stream.set_nonblocking(false).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(listener.accept().is_err() && reactor.is_idle());
    }

    #[test]
    fn a_server_that_refuses_and_a_name_that_is_none_are_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut reactor = Reactor::new().unwrap();
        link(address).dial(&mut reactor);
        let start = Instant::now();
        // Nobody listens: after some attempts somebody does.
        while reactor.stats().turns < 20 || reactor.stats().timers == 0 {
            reactor.turn(Some(10 * MS)).unwrap();
            assert!(start.elapsed() < DEADLINE, "nothing dials");
        }
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        accept(&mut reactor, &listener);

        let mut reactor = Reactor::new().unwrap();
        let mut nowhere = link(address);
        nowhere.server.0 = "a name of two words".into();
        nowhere.dial(&mut reactor);
        let start = Instant::now();
        while reactor.stats().timers == 0 {
            reactor.turn(Some(10 * MS)).unwrap();
            assert!(start.elapsed() < DEADLINE, "nothing is tried again");
        }
    }
}
