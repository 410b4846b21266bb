//! `max_per_peer`: a bound on the connections from one address (R19).

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    sync::mpsc,
    time::Duration,
};

use asynchat::{
    ChannelId, Dispatcher, Handle, ListenOptions, Reactor, Registry, Result, Stream, accept_fn,
    testing::Harness,
};
use util::{DEADLINE, Log, address_of, peer::read_to_end, reactor, settle, turn_until};

struct Session;
impl Dispatcher for Session {}

fn accept(registry: &mut Registry, stream: Stream) -> Result {
    registry.register(stream, Session)?;
    Ok(())
}

fn listen(reactor: &mut Reactor, on: &str, limit: usize) -> (ChannelId, SocketAddr) {
    let server = accept_fn(|registry, stream, _| accept(registry, stream));
    let options = ListenOptions::new().max_per_peer(limit).v6_only(false);
    let id = reactor.listen_with(on, &options, server).unwrap();
    (id, address_of(reactor, id))
}

/// A client from this address.
fn client(from: &str, to: SocketAddr) -> TcpStream {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(from),
        socket2::Type::STREAM,
        None,
    );
    let socket = socket.unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Connects, and tells whether the listener has kept the connection.
fn is_kept(reactor: &mut Reactor, client: &mut TcpStream) -> bool {
    let address = client.local_addr().unwrap();
    let before = reactor.stats();
    turn_until(reactor, |reactor| {
        let now = reactor.stats();
        now.accepted + now.refused > before.accepted + before.refused
    });
    let kept = reactor.channels().any(|channel| {
        let peer = channel.peer.and_then(|peer| peer.inet());
        peer.is_some_and(|peer| {
            peer.ip().to_canonical() == address.ip() && peer.port() == address.port()
        })
    });
    if !kept {
        assert_eq!(read_to_end(reactor, client), b"");
    }
    kept
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn a_peer_past_its_limit_is_closed_at_once_and_others_are_not() {
    let mut reactor = reactor();
    let (_, address) = listen(&mut reactor, "127.0.0.1:0", 2);
    let mut open = Vec::new();
    for (from, expected) in [
        ("127.0.0.1", true),
        ("127.0.0.1", true),
        ("127.0.0.1", false),
        ("127.0.0.2", true),
        ("127.0.0.2", true),
        ("127.0.0.2", false),
        ("127.0.0.1", false),
    ] {
        let mut client = client(from, address);
        assert_eq!(
            is_kept(&mut reactor, &mut client),
            expected,
            "{from}, {} open",
            open.len()
        );
        open.push(client);
    }
    let stats = reactor.stats();
    assert_eq!((stats.accepted, stats.refused), (4, 3));

    // One that ends is a place for another.
    drop(open.remove(0));
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 4);
    let mut again = client("127.0.0.1", address);
    assert!(is_kept(&mut reactor, &mut again));
    let mut too_many = client("127.0.0.1", address);
    assert!(!is_kept(&mut reactor, &mut too_many));
}

#[test]
fn both_ip_versions_are_counted_on_one_listener() {
    let mut reactor = reactor();
    let (_, address) = listen(&mut reactor, "[::]:0", 1);
    let mut open = Vec::new();
    for (from, expected) in [
        ("::1", true),
        ("127.0.0.1", true),
        ("127.0.0.1", false),
        ("::1", false),
    ] {
        let ip: IpAddr = from.parse().unwrap();
        let mut client = client(from, (ip, address.port()).into());
        assert_eq!(is_kept(&mut reactor, &mut client), expected, "{from}");
        open.push(client);
    }
}

#[cfg(unix)]
#[test]
fn connections_to_a_unix_path_are_not_limited_and_0_refuses_every_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut reactor = reactor();
    let server = accept_fn(|registry, stream, _| accept(registry, stream));
    let options = ListenOptions::new().max_per_peer(0);
    reactor
        .listen_with(path.as_path(), &options, server)
        .unwrap();
    let (_, address) = listen(&mut reactor, "127.0.0.1:0", 0);
    let _clients = [(); 3].map(|()| UnixStream::connect(&path).unwrap());
    let _refused = [(); 3].map(|()| TcpStream::connect(address).unwrap());
    turn_until(&mut reactor, |reactor| reactor.stats().refused == 3);
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 3);
}

/// Hands each stream to whoever asks.
fn streams(reactor: &mut Reactor) -> (SocketAddr, mpsc::Receiver<Stream>) {
    let (to, streams) = mpsc::channel();
    let server = accept_fn(move |_, stream, _| Ok(to.send(stream)?));
    let options = ListenOptions::new().max_per_peer(1);
    let id = reactor
        .listen_with("127.0.0.1:0", &options, server)
        .unwrap();
    (address_of(reactor, id), streams)
}

#[test]
fn a_connection_counts_wherever_it_goes_and_until_it_is_closed_there() {
    let mut reactor = reactor();
    let (address, streams) = streams(&mut reactor);
    let connect = |reactor: &mut Reactor| {
        let mut client = TcpStream::connect(address).unwrap();
        let before = reactor.stats().refused;
        turn_until(reactor, |reactor| {
            reactor.stats().refused > before || reactor.stats().accepted > 0
        });
        settle(reactor);
        match streams.try_recv() {
            Ok(stream) => Some((client, stream)),
            Err(_) => {
                assert_eq!(read_to_end(reactor, &mut client), b"");
                None
            }
        }
    };
    // Dropped without being registered.
    let (_client, stream) = connect(&mut reactor).expect("the first");
    assert!(connect(&mut reactor).is_none());
    drop(stream);
    let (_client, stream) = connect(&mut reactor).expect("a free place");

    // In another reactor, on another thread; detached there, and registered again.
    let (to, handles) = mpsc::channel::<Handle>();
    let worker = std::thread::spawn(move || {
        let mut other = Reactor::new().unwrap();
        to.send(other.handle()).unwrap();
        let _timer = other.call_later(Duration::from_secs(60), |_| Ok(()));
        other.run().unwrap();
    });
    let handle = handles.recv().unwrap();
    let ask = |f: Box<dyn FnOnce(&mut Registry) -> Result + Send>| {
        let (done, wait) = mpsc::channel();
        handle
            .call_soon(move |registry| {
                f(registry)?;
                Ok(done.send(())?)
            })
            .unwrap();
        wait.recv_timeout(DEADLINE).unwrap();
    };
    ask(Box::new(move |registry| accept(registry, stream)));
    assert!(connect(&mut reactor).is_none());
    ask(Box::new(|registry| {
        let id = registry.ids()[0];
        let detached = registry
            .channel(id)
            .and_then(|mut channel| channel.detach());
        registry.register(detached.ok_or("gone")?.socket, Session)?;
        Ok(())
    }));
    assert!(connect(&mut reactor).is_none());
    ask(Box::new(|registry| {
        registry.close_all();
        Ok(())
    }));
    let (_client, stream) = connect(&mut reactor).expect("a free place");
    handle.stop();
    worker.join().unwrap();

    // Taken out of the library.
    let id = reactor.register(stream, Session).unwrap();
    let detached = reactor.channel(id).unwrap().detach().unwrap();
    assert!(connect(&mut reactor).is_none());
    let _std = detached.socket.into_tcp_stream().unwrap();
    connect(&mut reactor).expect("a free place");
}

#[test]
fn refusals_use_up_the_budget_of_a_visit() {
    let mut reactor = Reactor::builder()
        .accept_budget(3)
        .propagate_panics(true)
        .build()
        .unwrap();
    let (_, address) = listen(&mut reactor, "127.0.0.1:0", 2);
    let _clients: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut seen = 0;
    turn_until(&mut reactor, |reactor| {
        let stats = reactor.stats();
        let now = stats.accepted + stats.refused;
        assert!(now - seen <= 3, "{} in one visit", now - seen);
        seen = now;
        now == 20
    });
    assert_eq!(reactor.stats().accepted, 2);
}

#[test]
fn a_flood_is_two_log_lines() {
    let log = Log::start();
    let mut kit = Harness::new(Session);
    let server = accept_fn(|registry, stream, _| accept(registry, stream));
    let options = ListenOptions::new().max_per_peer(1);
    let id = kit
        .registry()
        .listen_with("192.0.2.1:80", &options, server)
        .unwrap();
    let mut kept = kit.connect_to("192.0.2.1:80").unwrap();
    let (begins, ends) = (
        format!("channel {id}: refusing "),
        format!("channel {id}: refused "),
    );
    let flood = |kit: &mut Harness, connections: usize| {
        for _ in 0..connections {
            assert!(kit.connect_to("192.0.2.1:80").unwrap().is_closed());
            kit.advance(Duration::from_millis(700));
        }
    };
    flood(&mut kit, 100);
    assert_eq!((log.lines(&begins).len(), log.lines(&ends).len()), (1, 0));
    kit.advance(Duration::from_secs(20));
    assert_eq!(
        log.lines(&ends),
        [format!(
            "INFO asynchat::accept: channel {id}: refused 100 connections"
        )]
    );
    kit.advance(Duration::from_secs(100));
    assert_eq!(kit.registry().stats().timers, 0);

    // Another episode, which ends with its listener.
    flood(&mut kit, 2);
    assert!(!kept.is_closed());
    kit.registry().channel(id).unwrap().close();
    assert_eq!((log.lines(&begins).len(), log.lines(&ends).len()), (2, 2));
    kit.advance(Duration::ZERO);
    assert_eq!(kit.registry().stats().timers, 0);
}
