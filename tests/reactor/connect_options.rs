//! What a socket gets before it connects, and sockets that a program made itself (R4).
#![cfg(target_os = "linux")]

use std::{
    cell::RefCell,
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, Channel, ChannelId, ConnectOptions, Dispatcher, Exceptional, Reactor, Result, Socket,
};
use socket2::{Domain, SockRef, Type};
use util::{
    Recorder, Trace,
    peer::{refusing, turns},
    reactor, turn_until,
};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[derive(Default)]
struct Client {
    told: Rc<RefCell<Vec<String>>>,
}

impl Dispatcher for Client {
    fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
        self.told.borrow_mut().push("connected".into());
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
        let Exceptional::ConnectFailed(error) = what else {
            panic!("{what:?}");
        };
        self.told.borrow_mut().push(error.to_string());
        Ok(())
    }
}

/// The one outcome of an attempt.
fn outcome(
    reactor: &mut Reactor,
    begin: impl FnOnce(&mut Reactor, Client) -> std::io::Result<ChannelId>,
) -> String {
    let client = Client::default();
    let told = Rc::clone(&client.told);
    begin(reactor, client).unwrap();
    assert_eq!(told.borrow().len(), 0, "from inside the call");
    turn_until(reactor, |_| !told.borrow().is_empty());
    turns(reactor, 3);
    let told = told.borrow();
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].clone()
}

#[test]
fn options_of_a_socket_are_set_before_it_connects() {
    let (listener, address) = listener();
    let mut reactor = reactor();
    let options = ConnectOptions::new()
        .source("127.0.0.2:0".parse().unwrap())
        .recv_buffer(20_000)
        .send_buffer(30_000)
        .keepalive(Duration::from_secs(77));
    let trace = Trace::new();
    let id = reactor
        .connect_with(&[address], &options, Recorder::new(&trace))
        .unwrap();
    let channel = reactor.channel(id).unwrap();
    let fd = channel.as_fd().unwrap();
    let socket = SockRef::from(&fd);
    assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
    assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
    assert!(socket.keepalive().unwrap());
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(77)
    );
    assert!(!socket.reuse_address().unwrap());
    let (_accepted, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.2");
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(
        reactor.channel(id).unwrap().local_addr().unwrap(),
        from.into()
    );
}

#[test]
fn every_address_gets_the_options_and_one_of_the_other_version_is_passed_over() {
    let (listener, address) = listener();
    let mut reactor = reactor();
    let trace = Trace::new();
    let options = ConnectOptions::new()
        .source("127.0.0.3:0".parse().unwrap())
        .keepalive(Duration::ZERO);
    let (_bound, refusing) = refusing();
    let addresses = ["[::1]:9".parse().unwrap(), refusing, address];
    let id = reactor
        .connect_with(&addresses, &options, Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    let (_accepted, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.3");
    let channel = reactor.channel(id).unwrap();
    let fd = channel.as_fd().unwrap();
    assert_eq!(
        SockRef::from(&fd).tcp_keepalive_time().unwrap(),
        Duration::from_secs(1)
    );
}

#[test]
fn a_source_port_is_free_again_for_the_next_address() {
    let (_listener, address) = listener();
    let source = TcpListener::bind("127.0.0.5:0").unwrap().local_addr();
    let (_bound, refusing) = refusing();
    let options = ConnectOptions::new().source(source.unwrap());
    let told = outcome(&mut reactor(), |reactor, client| {
        reactor.connect_with(&[refusing, refusing, address], &options, client)
    });
    assert_eq!(told, "connected");
}

#[test]
fn a_keep_alive_that_is_too_long_for_the_system_is_its_longest() {
    let (_listener, address) = listener();
    let options = ConnectOptions::new().keepalive(Duration::MAX);
    let told = outcome(&mut reactor(), |reactor, client| {
        reactor.connect_with(&[address], &options, client)
    });
    assert_eq!(told, "connected");
}

#[test]
fn a_source_that_the_system_refuses_is_a_failure_that_names_it() {
    for (source, to, expected) in [
        (
            "192.0.2.1:0",
            "127.0.0.1:9",
            "cannot set the source address 192.0.2.1:0: ",
        ),
        (
            "127.0.0.1:0",
            "[::1]:9",
            "[::1]:9 is of the other IP version",
        ),
    ] {
        let options = ConnectOptions::new().source(source.parse().unwrap());
        let told = outcome(&mut reactor(), |reactor, client| {
            reactor.connect_with(&[to.parse().unwrap()], &options, client)
        });
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn connections_share_a_source_port_if_all_of_them_allow_it() {
    let (first, address) = listener();
    let (_second, other) = listener();
    let mut reactor = reactor();
    let mut connect = |to, options: &ConnectOptions| {
        outcome(&mut reactor, |reactor, client| {
            reactor.connect_with(&[to], options, client)
        })
    };
    let shared = ConnectOptions::new().reuse_addr(true);
    let any = shared.clone().source("127.0.0.1:0".parse().unwrap());
    assert_eq!(connect(address, &any), "connected");
    let (_accepted, from) = first.accept().unwrap();
    assert_eq!(connect(other, &shared.source(from)), "connected");
    let told = connect(other, &ConnectOptions::new().source(from));
    assert!(told.contains("in use"), "{told}");
}

/// A socket of one's own, connected to what listens there: the listener and what it was sent.
#[test]
fn a_socket_of_ones_own_is_connected() {
    let (tcp, address) = listener();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let unix = UnixListener::bind(&path).unwrap();
    let new = |domain| socket2::Socket::new(domain, Type::STREAM, None).unwrap();
    let bound = new(Domain::IPV4);
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 4], 0)).into())
        .unwrap();
    let sockets: [(Socket, Address); 3] = [
        (OwnedFd::from(bound).into(), address.into()),
        (TcpStream::from(new(Domain::IPV4)).into(), address.into()),
        (
            OwnedFd::from(new(Domain::UNIX)).into(),
            path.as_path().into(),
        ),
    ];
    let mut reactor = reactor();
    for (number, (socket, address)) in sockets.into_iter().enumerate() {
        let trace = Trace::new();
        let id = reactor
            .connect_socket(socket, &address, Recorder::new(&trace))
            .unwrap();
        reactor.channel(id).unwrap().push("hello");
        assert_eq!(trace.lines(), [""; 0], "nothing from inside the call");
        turn_until(&mut reactor, |_| trace.has("connect"));
        let mut hello = [0; 5];
        match number {
            2 => unix.accept().unwrap().0.read_exact(&mut hello).unwrap(),
            _ => {
                let (mut accepted, from) = tcp.accept().unwrap();
                accepted.read_exact(&mut hello).unwrap();
                assert_eq!(from.ip().to_string() == "127.0.0.4", number == 0);
            }
        }
        assert_eq!(&hello, b"hello");
        assert_eq!(reactor.channel(id).unwrap().peer_addr().unwrap(), address);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
    }
}

#[test]
fn a_socket_that_cannot_be_connected_is_one_failure() {
    let (_listener, address) = listener();
    let connected = TcpStream::connect(address).unwrap();
    let fresh = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let (_bound, refusing) = refusing();
    let sockets = [
        (connected, address, "connected"),
        (fresh.into(), refusing, "refused"),
    ];
    for (socket, to, expected) in sockets {
        let told = outcome(&mut reactor(), |reactor, client| {
            reactor.connect_socket(socket, to, client)
        });
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn what_is_no_stream_socket_is_refused_by_the_call() {
    let (pipe, _) = std::io::pipe().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bare = OwnedFd::from(udp.try_clone().unwrap());
    let sockets: [Socket; 4] = [pipe.into(), udp.into(), bare.into(), listener().0.into()];
    for socket in sockets {
        let mut reactor = reactor();
        let refused = reactor.connect_socket(socket, "127.0.0.1:9", Recorder::new(&Trace::new()));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(reactor.is_idle());
    }
}
