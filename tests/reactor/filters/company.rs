//! Filters beside the reactor's other parts: names and races, PROXY headers, coupled channels, and memory in bounds.

use std::{cell::RefCell, io::Write, net::SocketAddr, rc::Rc};

use asynchat::{
    Address, Channel, ChannelId, ConnectOptions, CoupleOptions, Dispatcher, ListenOptions, Network,
    Reactor, Result, Stream,
    testing::{Harness, Listener, Names},
};
use util::{
    Recorder, Trace,
    files::content,
    peer::{pair, read_while},
    settle,
    toy::{Call, Far, Toy, Watch},
};

use super::{Gate, Kind, Line, SECOND, builder, recorder, words};

/// A kit in which an object connects to `host` over a filter. Gives the kit, the watch, and the trace.
fn dialling(names: Names) -> (Harness, ChannelId, Watch, Trace) {
    struct Idle;
    impl Dispatcher for Idle {}
    let mut kit = Harness::with_builder(builder().resolver(names), Idle);
    let trace = Trace::new();
    let toy = Toy::client();
    let watch = toy.watch();
    let id = {
        let mut registry = kit.registry();
        let id = registry
            .connect_host("server.example", 7, recorder(&trace))
            .unwrap();
        registry.channel(id).unwrap().upgrade(toy).unwrap();
        id
    };
    (kit, id, watch, trace)
}

fn addresses(n: u8) -> Names {
    Names::new().found("server.example", (1..=n).map(|host| [192, 0, 2, host]))
}

#[test]
fn a_channel_that_waits_for_a_name_can_be_upgraded() {
    let (mut kit, id, watch, trace) = dialling(addresses(1));
    let mut server = kit.dialled().expect("a connection");
    server.connected();
    server.upgrade(Toy::server());
    assert_eq!(words(&trace), "connect");
    kit.registry().channel(id).unwrap().push("hello");
    assert_eq!(server.output(), b"hello");
    watch.check();
}

#[test]
fn a_name_that_is_not_found_never_comes_to_its_filter() {
    let (mut kit, id, watch, trace) = dialling(Names::new());
    kit.advance(SECOND);
    assert!(kit.registry().channel(id).is_none());
    assert!(words(&trace).starts_with("failed:"), "{}", words(&trace));
    assert_eq!(watch.calls(Call::Feed), 0);
    watch.check_gone();
}

#[test]
fn the_winner_of_a_race_gets_the_filter() {
    for winner in 0..3 {
        let (mut kit, _, watch, trace) = dialling(addresses(3));
        let mut attempts = Vec::new();
        for _ in 0..3 {
            attempts.extend(kit.dialled());
            kit.advance(SECOND);
        }
        assert_eq!(attempts.len(), 3);
        attempts[winner].connected();
        attempts[winner].upgrade(Toy::server());
        assert_eq!(words(&trace), "connect", "winner {winner}");
        for (n, attempt) in attempts.iter_mut().enumerate() {
            assert_eq!(attempt.is_closed(), n != winner);
        }
        attempts[winner].feed("hello");
        assert_eq!(words(&trace), "connect read:5");
        watch.check();
    }
}

#[test]
fn a_failed_handshake_does_not_try_the_next_address() {
    let (mut kit, _, watch, trace) = dialling(addresses(3));
    let mut first = kit.dialled().unwrap();
    first.connected();
    first.feed("garbage");
    assert!(
        words(&trace).starts_with("handshake:no record"),
        "{}",
        words(&trace)
    );
    kit.advance(5 * SECOND);
    assert!(kit.dialled().is_none());
    first.eof();
    assert!(first.is_closed());
    watch.check_gone();
}

#[test]
fn all_addresses_fail_before_the_filter_begins() {
    let (mut kit, id, watch, trace) = dialling(addresses(3));
    for _ in 0..3 {
        let mut attempt = kit.dialled().expect("another address");
        attempt.connect_failed(std::io::ErrorKind::ConnectionRefused);
    }
    assert!(kit.registry().channel(id).is_none());
    assert!(
        words(&trace).starts_with("failed:ConnectionRefused"),
        "{}",
        words(&trace)
    );
    watch.check_gone();
}

#[test]
fn a_connection_attempt_with_a_deadline_leaves_the_handshake_its_own() {
    let trace = Trace::new();
    let mut kit = Harness::new(Recorder::new(&Trace::new()));
    let options = ConnectOptions::new().deadline(SECOND);
    {
        let mut registry = kit.registry();
        let address: SocketAddr = ([192, 0, 2, 9], 7).into();
        let id = registry
            .connect_with(&[address], &options, recorder(&trace))
            .unwrap();
        registry
            .channel(id)
            .unwrap()
            .upgrade(Toy::client())
            .unwrap();
    }
    let mut server = kit.dialled().unwrap();
    server.connected();
    server.advance(5 * SECOND);
    assert_eq!(words(&trace), "");
    server.upgrade(Toy::server());
    assert_eq!(words(&trace), "connect");
}

#[test]
fn behind_a_proxy_the_header_comes_first_and_in_clear() {
    for together in [true, false] {
        let trace = Trace::new();
        let toy = Toy::server();
        let watch = toy.watch();
        let mut once = Some((recorder(&trace), toy));
        let gate = Gate {
            trace: trace.clone(),
            make: move || once.take().unwrap(),
        };
        let options =
            ListenOptions::new().proxy_protocol(["192.0.2.0/24".parse::<Network>().unwrap()]);
        let mut kit = Harness::new(Recorder::new(&Trace::new()));
        kit.registry()
            .listen_with("192.0.2.1:80", &options, gate)
            .unwrap();
        let mut peer = kit.connect_to("192.0.2.1:80").unwrap();
        let mut far = Far::client();
        let header = b"PROXY TCP4 198.51.100.7 203.0.113.1 56324 80\r\n";
        if together {
            // The first flight is behind the header in one segment.
            peer.feed([&header[..], &far.wire()].concat());
        } else {
            peer.feed_bytewise(header);
            peer.feed_bytewise(far.wire());
        }
        far.take(&peer.output());
        assert!(far.is_open());
        assert_eq!(words(&trace), "connect");
        far.say("hello");
        peer.feed(far.wire());
        assert_eq!(words(&trace), "connect read:5");
        watch.check();
    }
}

/// Couples each client, over a filter, with a server in clear, or over a filter too.
struct Proxy {
    near: Option<Toy>,
    far: Option<Toy>,
    ends: Rc<RefCell<Vec<String>>>,
}

struct Unserved;
impl Dispatcher for Unserved {}

impl Dispatcher for Proxy {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let registry = channel.registry();
        let near = registry.register(stream, Unserved)?;
        let far = registry.connect(([192, 0, 2, 7], 80), Unserved)?;
        for (id, toy) in [(near, self.near.take()), (far, self.far.take())] {
            if let Some(toy) = toy {
                registry.channel(id).ok_or("closed")?.upgrade(toy)?;
            }
        }
        let ends = self.ends.clone();
        let options = CoupleOptions::new().on_end(move |_, coupled| {
            let cause = |end: &Option<asynchat::Closed>| end.as_ref().map(|end| end.cause);
            let (near, far) = (cause(&coupled.near), cause(&coupled.far));
            let (up, down) = (coupled.from_near, coupled.from_far);
            ends.borrow_mut()
                .push(format!("{near:?} {far:?} {up} up {down} down"));
        });
        registry.couple(near, far, options)?;
        Ok(())
    }
}

#[test]
fn coupled_channels_pass_plaintext_on_whichever_has_a_filter() {
    for (near, far) in [(true, false), (false, true), (true, true)] {
        let case = format!("near {near}, far {far}");
        let ends = Rc::new(RefCell::new(Vec::new()));
        let toys = [near.then(Toy::server), far.then(Toy::client)];
        let watches: Vec<Watch> = toys.iter().flatten().map(Toy::watch).collect();
        let [of_near, of_far] = toys;
        let mut proxy = Listener::new(Proxy {
            near: of_near,
            far: of_far,
            ends: ends.clone(),
        });
        let mut client = proxy.connect();
        let mut server = proxy.dialled().expect("the proxy connects");
        // What is said before the other side is there waits.
        if near {
            client.upgrade(Toy::client());
        }
        client.feed("early ");
        server.connected();
        if far {
            server.upgrade(Toy::server());
        }
        assert_eq!(server.output(), b"early ", "{case}");
        let big = content(9, 300_000);
        client.feed(&big);
        server.feed(&big);
        assert!(server.output() == big && client.output() == big, "{case}");
        client.eof();
        assert!(server.has_ended(), "{case}");
        server.feed("last");
        assert_eq!(client.output(), b"last", "{case}");
        server.eof();
        client.output();
        assert!(client.is_closed() && server.is_closed(), "{case}");
        assert_eq!(ends.borrow().len(), 1, "{case}: {:?}", ends.borrow());
        assert!(
            ends.borrow()[0].ends_with("300006 up 300004 down"),
            "{case}: {:?}",
            ends.borrow()
        );
        for watch in watches {
            watch.check_gone();
        }
    }
}

#[test]
fn a_failed_handshake_ends_both_halves_of_a_pair() {
    for near in [true, false] {
        let ends = Rc::new(RefCell::new(Vec::new()));
        let mut proxy = Listener::new(Proxy {
            near: near.then(Toy::server),
            far: (!near).then(Toy::client),
            ends: ends.clone(),
        });
        let mut client = proxy.connect();
        let mut server = proxy.dialled().unwrap();
        server.connected();
        let failing = if near { &mut client } else { &mut server };
        failing.feed("garbage");
        failing.eof();
        client.eof();
        server.eof();
        proxy.advance(60 * SECOND);
        assert!(client.is_closed() && server.is_closed(), "near {near}");
        assert_eq!(ends.borrow().len(), 1, "{:?}", ends.borrow());
        assert!(
            ends.borrow()[0].contains("HandshakeFailed"),
            "{:?}",
            ends.borrow()
        );
    }
}

#[test]
fn both_halves_of_a_pair_made_in_a_handshake_get_their_idle_timeout() {
    for kind in Kind::BOTH {
        let mut reactor = builder().build().unwrap();
        let trace = Trace::new();
        let [(near, mut client), (far, _server)] = [(); 2].map(|()| {
            let (ours, theirs) = pair();
            (
                reactor.register(ours, Recorder::new(&trace)).unwrap(),
                theirs,
            )
        });
        if kind == Kind::Upgraded {
            settle(&mut reactor);
        }
        let toy = Toy::server();
        reactor.channel(near).unwrap().upgrade(toy).unwrap();
        let options = CoupleOptions::new().idle_timeout(60 * SECOND);
        reactor.couple(near, far, options).unwrap();
        let mut peer = Far::client();
        client.write_all(&peer.wire()).unwrap();
        peer.take(&read_while(&mut reactor, &mut client, |got| got.len() >= 7));
        assert!(peer.is_open());
        settle(&mut reactor);
        // The handshake's own is over.
        assert_eq!(reactor.stats().timers, 2, "{kind:?}");
    }
}

#[test]
fn a_coupled_stream_that_is_cut_is_not_passed_on_as_a_whole_one() {
    let ends = Rc::new(RefCell::new(Vec::new()));
    let mut proxy = Listener::new(Proxy {
        near: Some(Toy::server()),
        far: Some(Toy::client()),
        ends: ends.clone(),
    });
    let mut client = proxy.connect();
    let mut server = proxy.dialled().unwrap();
    client.upgrade(Toy::client());
    server.connected();
    server.upgrade(Toy::server());
    client.feed("half of it");
    client.truncate();
    assert_eq!(server.output(), b"half of it");
    server.eof();
    proxy.advance(60 * SECOND);
    assert!(client.is_closed() && server.is_closed());
    assert!(
        ends.borrow()[0].contains("Truncated"),
        "{:?}",
        ends.borrow()
    );
}

#[test]
fn an_accepted_channel_counts_for_max_channels_while_it_shakes_hands() {
    let trace = Trace::new();
    let gate = Gate {
        trace: trace.clone(),
        make: {
            let trace = trace.clone();
            move || (Recorder::new(&trace), Toy::server())
        },
    };
    let mut listener = Listener::with_builder(builder().max_channels(2), gate);
    let mut first = listener.connect();
    let _second = listener.connect();
    let mut third = listener.connect();
    third.upgrade(Toy::client());
    assert_eq!(words(&trace), "", "the third is not accepted");
    first.reset();
    listener.advance(SECOND);
    assert!(third.output().is_empty());
    assert_eq!(trace.count("connect"), 1);
    assert!(!words(&trace).contains("listener."));
}

#[test]
fn stats_and_the_list_of_channels_know_channels_with_filters() {
    let mut line = Line::open(|_| ());
    line.say("hello");
    let id = line.peer.id();
    let registry = line.peer.registry();
    let info = registry
        .channels()
        .find(|info| info.id == id)
        .expect("it is there");
    assert_eq!(info.bytes_in, 5, "plaintext");
    assert_eq!(registry.stats().bytes_in, 5);
    drop(registry);
    let _ = Reactor::new();
}
