//! Listeners behind a proxy: the header first, then the connection with the address that it gives (R19).

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, Channel, ChannelId, Dispatcher, ListenOptions, Network, Reactor, Registry, Result,
    Socket, Stream, accept_fn, testing::Harness,
};
use util::{
    Log, address_of,
    peer::{read_to_end, turns},
    reactor, turn_until,
};

const LINE: &str = "PROXY TCP4 198.51.100.7 203.0.113.1 56324 80\r\n";
const CLIENT: &str = "198.51.100.7:56324";

/// Greets with the peer, as the channel knows it, and echoes.
struct Session(Address);

impl Dispatcher for Session {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        if let Some(told) = self.0.inet() {
            assert_eq!(channel.peer_addr()?, told.into());
        }
        Ok(writeln!(channel, "{}", self.0)?)
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }
}

fn options(from: &str) -> ListenOptions {
    let proxies = from
        .split_whitespace()
        .map(|network| network.parse().unwrap());
    ListenOptions::new().proxy_protocol(proxies.collect::<Vec<Network>>())
}

fn greet(registry: &mut Registry, stream: Stream, peer: Address) -> Result {
    registry.register(stream, Session(peer))?;
    Ok(())
}

fn listen(registry: &mut Registry, on: &str, options: &ListenOptions) -> ChannelId {
    let server = accept_fn(greet);
    registry.listen_with(on, options, server).unwrap()
}

/// A kit with a listener at 192.0.2.1:80, whose peers are at 192.0.2.2.
fn kit(options: &ListenOptions) -> (Harness, ChannelId) {
    let mut kit = Harness::new(Session(Address::Unnamed));
    let id = listen(&mut kit.registry(), "192.0.2.1:80", options);
    (kit, id)
}

fn connect(kit: &mut Harness) -> Harness {
    kit.connect_to("192.0.2.1:80").unwrap()
}

fn binary(command: u8, source: [u8; 4]) -> Vec<u8> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let ports = [0xdc, 4, 0, 80];
    [
        &signature[..],
        &[command, 0x11, 0, 12],
        &source,
        &[203, 0, 113, 1],
        &ports,
    ]
    .concat()
}

#[test]
fn the_client_is_the_peer_and_what_follows_the_header_is_read_first() {
    let headers = [LINE.as_bytes().to_vec(), binary(0x21, [198, 51, 100, 7])];
    for header in headers {
        for bytewise in [false, true] {
            let (mut kit, _) = kit(&options("192.0.2.0/24"));
            let mut proxy = connect(&mut kit);
            assert_eq!(proxy.output(), b"", "nothing before the header");
            assert_eq!(kit.registry().stats().accepted, 0);
            let input = [&header[..], b"hello"].concat();
            if bytewise {
                proxy.feed_bytewise(&input);
            } else {
                proxy.feed(&input);
            }
            proxy.feed(" world");
            assert_eq!(
                proxy.output(),
                format!("{CLIENT}\nhello world").into_bytes()
            );
            assert_eq!(kit.registry().stats().accepted, 1);
            let known = kit
                .registry()
                .channels()
                .any(|channel| channel.peer.is_some_and(|peer| peer.to_string() == CLIENT));
            assert!(known);
            assert_eq!(kit.registry().stats().timers, 0);
        }
    }
}

#[test]
fn a_connection_of_the_proxys_own_keeps_its_peer() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, [198, 51, 100, 7]),
    ] {
        let (mut kit, _) = kit(&options("192.0.2.2"));
        let mut proxy = connect(&mut kit);
        proxy.feed(&header);
        assert_eq!(
            proxy.output(),
            format!("{}\n", proxy.address()).into_bytes()
        );
    }
}

#[test]
fn what_comes_from_elsewhere_is_closed_before_it_says_anything() {
    for from in ["", "192.0.2.1", "10.0.0.0/8 ::/0"] {
        let (mut kit, _) = kit(&options(from));
        let mut stranger = connect(&mut kit);
        assert!(stranger.is_closed());
        stranger.feed(LINE);
        let stats = kit.registry().stats();
        assert_eq!((stats.accepted, stats.refused), (0, 1));
    }
}

#[test]
fn a_connection_without_a_proper_header_in_time_is_closed() {
    let log = Log::start();
    for input in [
        "GET / HTTP/1.1\r\n\r\n",
        "PROXY TCP4 1.2.3.4\r\n",
        &"x".repeat(600),
    ] {
        let (mut kit, _) = kit(&options("192.0.2.0/24"));
        let mut proxy = connect(&mut kit);
        proxy.feed(input);
        assert!(proxy.is_closed(), "{input}");
        assert_eq!(proxy.output(), b"");
        assert_eq!(kit.registry().stats().refused, 1);
    }
    for input in ["", "PROXY TCP4 198.51", "\r\n\r\n"] {
        let (mut kit, _) = kit(&options("192.0.2.0/24"));
        let mut proxy = connect(&mut kit);
        proxy.feed(input);
        kit.advance(Duration::from_millis(2_900));
        assert!(!proxy.is_closed());
        // Drops do not buy time.
        if input.starts_with('P') {
            proxy.feed(".");
        }
        kit.advance(Duration::from_millis(100));
        assert!(proxy.is_closed(), "{input}");
        assert_eq!(kit.registry().stats().refused, 1);
    }
    assert_eq!(log.lines("refusing 192.0.2.2:").len(), 6);
    assert_eq!(
        log.lines("no header of the PROXY protocol within 3s").len(),
        3
    );
}

#[test]
fn a_check_that_the_port_is_open_is_no_warning() {
    let log = Log::start();
    let (mut kit, _) = kit(&options("192.0.2.0/24"));
    for reset in [false, true] {
        let mut proxy = connect(&mut kit);
        proxy.feed("PROXY");
        if reset {
            proxy.reset();
        } else {
            proxy.eof();
        }
        assert!(proxy.is_closed());
    }
    assert_eq!(kit.registry().stats().refused, 0);
    assert_eq!(kit.registry().stats().timers, 0);
    assert_eq!(log.lines("WARN").len(), 0);
}

#[test]
fn an_end_of_file_right_behind_the_header_is_told_as_usual() {
    let (mut kit, _) = kit(&options("192.0.2.0/24"));
    let mut proxy = connect(&mut kit);
    proxy.feed(format!("{LINE}bye"));
    proxy.eof();
    assert_eq!(proxy.output(), format!("{CLIENT}\nbye").into_bytes());
    assert!(proxy.is_closed());
}

#[test]
fn the_limit_of_a_peer_is_that_of_the_client() {
    let (mut kit, _) = kit(&options("192.0.2.0/24").max_per_peer(1));
    let mut proxied = |client: &str| {
        let mut proxy = connect(&mut kit);
        proxy.feed(format!("PROXY TCP4 {client} 203.0.113.1 1 80\r\n"));
        proxy
    };
    let mut first = proxied("198.51.100.1");
    let mut second = proxied("198.51.100.2");
    let mut third = proxied("198.51.100.1");
    assert!(!first.is_closed() && !second.is_closed() && third.is_closed());
    first.eof();
    assert!(first.is_closed());
    let mut again = proxied("198.51.100.1");
    assert!(!again.is_closed());
}

#[test]
fn a_listener_that_closes_takes_connections_without_a_header_along() {
    let (mut kit, id) = kit(&options("192.0.2.0/24"));
    let mut proxy = connect(&mut kit);
    kit.registry().channel(id).unwrap().close();
    proxy.feed(LINE);
    assert!(proxy.is_closed());
    assert_eq!(kit.registry().stats().timers, 0);
}

#[test]
fn an_error_of_the_listener_closes_the_connection_that_it_has_registered() {
    let mut kit = Harness::with_builder(Reactor::builder(), Session(Address::Unnamed));
    let server = accept_fn(|registry, stream, peer| {
        greet(registry, stream, peer)?;
        Err("no".into())
    });
    kit.registry()
        .listen_with("192.0.2.1:80", &options("192.0.2.0/24"), server)
        .unwrap();
    let mut proxy = connect(&mut kit);
    proxy.feed(LINE);
    assert!(proxy.is_closed());
}

#[test]
fn a_stream_that_is_not_registered_keeps_what_came_with_the_header() {
    let streams = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&streams);
    let mut reactor = reactor();
    let server = accept_fn(move |_, stream, peer| {
        assert_eq!(stream.peer_addr()?, peer);
        seen.borrow_mut().push(stream);
        Ok(())
    });
    let id = reactor
        .listen_with("127.0.0.1:0", &options("127.0.0.1"), server)
        .unwrap();
    let address = address_of(&mut reactor, id);
    let mut clients = ["", "early"].map(|early| {
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(format!("{LINE}{early}").as_bytes())
            .unwrap();
        client
    });
    turn_until(&mut reactor, |_| streams.borrow().len() == 2);
    for stream in streams.take() {
        let socket = Socket::from(stream);
        // One that has read nothing more goes to the standard library, the other only to a reactor.
        match socket.into_tcp_stream() {
            Ok(mut std) => std.write_all(b"std\n").unwrap(),
            Err(socket) => {
                let peer: Address = CLIENT.parse().unwrap();
                reactor.register(socket, Session(peer)).unwrap();
            }
        }
    }
    turns(&mut reactor, 10);
    let mut texts = clients.each_mut().map(|client| {
        client.shutdown(std::net::Shutdown::Write).unwrap();
        String::from_utf8(read_to_end(&mut reactor, client)).unwrap()
    });
    texts.sort();
    assert_eq!(texts, [format!("{CLIENT}\nearly"), "std\n".into()]);
}

/// Answers of a real listener to `input`, with the client's own address.
fn answer(reactor: &mut Reactor, address: SocketAddr, input: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(input.as_bytes()).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    String::from_utf8(read_to_end(reactor, &mut client)).unwrap()
}

#[test]
fn on_real_sockets_too() {
    let mut reactor = reactor();
    let id = listen(
        &mut reactor,
        "[::]:0",
        &options("127.0.0.0/8").v6_only(false),
    );
    let port = address_of(&mut reactor, id).port();
    let proxied = format!("{LINE}hello");
    let v4 = answer(&mut reactor, ([127, 0, 0, 1], port).into(), &proxied);
    assert_eq!(v4, format!("{CLIENT}\nhello"));
    let mut untrusted = TcpStream::connect(("::1", port)).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut untrusted), b"");
    assert_eq!(reactor.stats().refused, 1);
}

#[cfg(unix)]
#[test]
fn whoever_may_connect_to_a_unix_path_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("s").display());
    let mut reactor = reactor();
    listen(&mut reactor, &path, &options(""));
    let mut client = UnixStream::connect(&path["unix:".len()..]).unwrap();
    client.write_all(format!("{LINE}hello").as_bytes()).unwrap();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 1);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{CLIENT}\nhello"));
}

#[test]
fn connections_past_max_channels_wait_and_headers_that_are_read_do_not() {
    let mut reactor = Reactor::builder()
        .max_channels(4)
        .propagate_panics(true)
        .build()
        .unwrap();
    let id = listen(&mut reactor, "127.0.0.1:0", &options("127.0.0.1"));
    let address = address_of(&mut reactor, id);
    let mut clients: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 5);
    turns(&mut reactor, 10);
    assert_eq!(
        reactor.stats().channels,
        5,
        "four that wait for their header, and the listener"
    );
    for client in &mut clients {
        client.write_all(LINE.as_bytes()).unwrap();
    }
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 4);
    turns(&mut reactor, 10);
    assert_eq!((reactor.stats().accepted, reactor.stats().channels), (4, 5));
    clients.clear();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 10);
}

/// No channel closes then, which would have the listener go on.
#[test]
fn connections_that_are_handed_over_or_refused_make_room_for_others() {
    for kept in [false, true] {
        let mut reactor = Reactor::builder().max_channels(2).build().unwrap();
        let streams = Rc::new(RefCell::new(Vec::new()));
        let elsewhere = streams.clone();
        let server = accept_fn(move |_, stream, _| {
            if kept {
                elsewhere.borrow_mut().push(stream);
            }
            Ok(())
        });
        let id = reactor
            .listen_with("127.0.0.1:0", &options("127.0.0.1"), server)
            .unwrap();
        let address = address_of(&mut reactor, id);
        let _clients: Vec<_> = (0..10)
            .map(|_| {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(LINE.as_bytes()).unwrap();
                client
            })
            .collect();
        turn_until(&mut reactor, |reactor| reactor.stats().accepted == 10);
    }
}
