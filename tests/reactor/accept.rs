//! Listening (R19): a budget per visit, `max_channels` with hysteresis, errors that never close the listener (R9).

use std::{
    cell::RefCell,
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Dispatcher, Reactor, Result, Socket, State, Stream,
};
use util::{
    Acceptor, Log, Recorder, Trace, address_of,
    peer::{OwnedHandle, accepts_resets, read_to_end, reset, tcp_pair, turns},
    reactor, serve, settle, turn_until,
};

fn clients(address: SocketAddr, n: usize) -> Vec<TcpStream> {
    (0..n)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect()
}

/// Connections, listeners not counted.
fn connections(reactor: &Reactor) -> Vec<ChannelId> {
    let open = reactor
        .channels()
        .filter(|channel| channel.state != State::Listening);
    open.map(|channel| channel.id).collect()
}

#[test]
fn a_handler_that_accepts_in_a_loop_keeps_to_the_budget_as_well() {
    struct Takes;
    impl Dispatcher for Takes {
        fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
            while channel.accept().is_ok() {}
            Ok(())
        }
    }
    let mut reactor = Reactor::builder().accept_budget(3).build().unwrap();
    let id = reactor.listen(([127, 0, 0, 1], 0), Takes).unwrap();
    let _clients = clients(address_of(&mut reactor, id), 20);
    let mut accepted = 0;
    turn_until(&mut reactor, |reactor| {
        let now = reactor.stats().accepted;
        assert!(now - accepted <= 3, "{} in one visit", now - accepted);
        accepted = now;
        accepted == 20
    });
}

#[test]
fn a_budget_without_a_bound_is_none_for_any_visit() {
    let mut reactor = Reactor::builder()
        .accept_budget(usize::MAX)
        .build()
        .unwrap();
    let id = reactor.listen_fn(([127, 0, 0, 1], 0), |_, _, _| Ok(()));
    let address = address_of(&mut reactor, id.unwrap());
    for accepted in 1..4 {
        let _client = clients(address, 1);
        turn_until(&mut reactor, |reactor| reactor.stats().accepted == accepted);
    }
}

#[test]
fn a_burst_of_connections_is_accepted_by_the_budget_and_others_get_their_turn() {
    let mut reactor = Reactor::builder()
        .accept_budget(3)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    // A channel that always has something to do.
    let (ours, _theirs) = util::peer::tcp_pair();
    let mut busy = Recorder::named(&trace, "busy");
    busy.writable = true;
    reactor.register(ours, busy).unwrap();
    let server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| Recorder::new(&server));
    let _clients = clients(address, 20);

    let mut accepted = 0;
    turn_until(&mut reactor, |reactor| {
        let now = reactor.stats().accepted;
        assert!(now - accepted <= 3, "{} in one visit", now - accepted);
        accepted = now;
        accepted == 20
    });
    settle_busy(&mut reactor);
    assert_eq!(trace.count("connect"), 20);
    let first = trace
        .lines()
        .iter()
        .position(|line| line == "connect")
        .unwrap();
    let last = trace
        .lines()
        .iter()
        .rposition(|line| line == "connect")
        .unwrap();
    let between = trace.lines()[first..last]
        .iter()
        .filter(|line| *line == "busy.write")
        .count();
    assert!(
        between >= 5,
        "served {between} times while the burst was accepted"
    );
}

/// `settle` for a reactor in which one channel is always due.
fn settle_busy(reactor: &mut Reactor) {
    turns(reactor, 20);
}

#[test]
fn one_turn_accepts_all_that_the_budget_allows() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| Recorder::new(&server));
    let _clients = clients(address, 100);
    turn_until(&mut reactor, |reactor| reactor.stats().accepted > 0);
    assert_eq!(reactor.stats().accepted, 64, "the default budget");
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 100);
}

#[test]
fn an_accepted_stream_is_named_with_its_peer_and_greeted_later() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let peers = Rc::new(RefCell::new(Vec::new()));
    let (server, seen) = (trace.clone(), peers.clone());
    let (_, address) = serve(&mut reactor, move |peer: &Address| {
        assert_eq!(server.lines(), [""; 0], "nothing before it is registered");
        seen.borrow_mut().push(peer.clone());
        Recorder::new(&server)
    });
    let client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(*peers.borrow(), [client.local_addr().unwrap().into()]);
}

#[test]
fn a_closure_takes_each_stream_and_its_error_closes_only_that() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (server, mut number) = (trace.clone(), 0);
    let id = reactor.listen_fn("127.0.0.1:0", move |registry, stream, peer| {
        number += 1;
        registry.register(stream, Recorder::new(&server))?;
        assert!(peer.inet().is_some());
        if number == 1 {
            Err("not this one".into())
        } else {
            Ok(())
        }
    });
    let id = id.unwrap();
    let name = reactor.channels().next().unwrap().type_name;
    assert!(name.contains("a_closure_takes_each_stream"), "{name}");
    let address = address_of(&mut reactor, id);
    let mut first = TcpStream::connect(address).unwrap();
    let _second = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.count("connect") == 1);
    assert_eq!(read_to_end(&mut reactor, &mut first), b"");
    assert_eq!(connections(&reactor).len(), 1);
}

#[test]
fn text_that_is_no_address_is_an_error_of_the_call_and_says_what_to_do() {
    let mut reactor = reactor();
    let listening = reactor.listen("localhost:80", Recorder::new(&Trace::new()));
    let connecting = reactor.connect(String::from("localhost:80"), Recorder::new(&Trace::new()));
    for error in [listening.unwrap_err(), connecting.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(
            text.contains("not an IP address") && text.contains("connect_host"),
            "{text}"
        );
    }
    assert_eq!(reactor.stats().channels, 0);
}

#[test]
fn text_is_an_address_to_listen_on_and_to_connect_to() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("s").display());
    let all = ["127.0.0.1:0", "[::1]:0", &unix];
    for on in &all[..if cfg!(unix) { 3 } else { 2 }] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let client = Recorder::new(&trace);
        let id = reactor
            .listen(
                *on,
                Acceptor(move |_: &Address| Recorder::new(&Trace::new())),
            )
            .unwrap();
        let address = reactor
            .channel(id)
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        reactor.connect(&address, client).unwrap();
        turn_until(&mut reactor, |_| trace.has("connect"));
    }
}

#[cfg(unix)]
#[test]
fn a_unix_peer_is_unnamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let acceptor = Acceptor(move |peer: &Address| {
        server.add(peer.to_string());
        Recorder::new(&server)
    });
    reactor.listen(path.as_path(), acceptor).unwrap();
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(trace.lines()[..2], ["unnamed", "connect"]);
}

#[test]
fn max_channels_stops_accepting_until_a_sixteenth_is_free() {
    let mut reactor = Reactor::builder()
        .max_channels(33)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let server = trace.clone();
    let (id, address) = serve(&mut reactor, move |_| Recorder::new(&server));
    let stopped = format!("channel {id}: not accepting, 33 channels");
    let resumed = format!("channel {id}: accepting again");
    let log = Log::start();
    let _clients = clients(address, 40);
    settle(&mut reactor);
    assert_eq!(
        connections(&reactor).len(),
        33,
        "the listener does not count"
    );
    assert_eq!(reactor.stats().accept_pauses, 1);
    assert_eq!(turns(&mut reactor, 50), 0, "it waits, it does not spin");
    assert_eq!(log.lines(&stopped).len(), 1);

    let close_one = |reactor: &mut Reactor| {
        let last = connections(reactor).pop().unwrap();
        reactor.channel(last).unwrap().close();
        settle(reactor);
    };
    close_one(&mut reactor);
    assert_eq!(
        connections(&reactor).len(),
        32,
        "one free channel is not enough"
    );
    assert_eq!(log.lines(&resumed).len(), 0);
    close_one(&mut reactor);
    assert_eq!(
        connections(&reactor).len(),
        33,
        "two are, and then it is full again"
    );
    assert_eq!(reactor.stats().accept_pauses, 2);
    assert_eq!(log.lines(&resumed).len(), 0, "others wait still");

    // Seven waited; the two above are in. With room for all, all come in and nothing is paused any more.
    for id in connections(&reactor) {
        reactor.channel(id).unwrap().close();
    }
    settle(&mut reactor);
    assert_eq!(connections(&reactor).len(), 5);
    assert_eq!(reactor.stats().accept_pauses, 2);
    assert_eq!(reactor.stats().accepted, 40);
    assert_eq!(
        (log.lines(&stopped).len(), log.lines(&resumed).len()),
        (1, 1),
        "said once for all of it"
    );
}

#[test]
fn a_flood_past_a_small_max_channels_is_two_lines_in_the_log() {
    let log = Log::start();
    let mut reactor = Reactor::builder().max_channels(2).build().unwrap();
    let (id, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    for round in 1..=2 {
        let flood = clients(address, 100);
        while reactor.stats().accepted < 100 * round {
            settle(&mut reactor);
            for id in connections(&reactor) {
                reactor.channel(id).unwrap().close();
            }
        }
        settle(&mut reactor);
        drop(flood);
        settle(&mut reactor);
        let lines = log.lines(&format!("asynchat::accept: channel {id}: "));
        assert_eq!(lines.len(), 2 * round as usize, "{lines:#?}");
    }
    assert!(reactor.stats().accept_pauses > 20);
}

/// Its `accept` fails as it does where a security module or a firewall forbids it: the connection is skipped, and is still
/// there.
fn unacceptable(reactor: &mut Reactor) -> ChannelId {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = std::net::TcpListener::from(OwnedHandle::from(socket));
    let acceptor = Acceptor(|_: &Address| Recorder::new(&Trace::new()));
    let id = reactor.register(listener, acceptor).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"readable", address).unwrap();
    id
}

// Only on Unix does a datagram socket pass for a listener.
#[cfg(unix)]
#[test]
fn a_listener_that_only_gets_transient_errors_rests_and_names_the_error_once() {
    let log = Log::start();
    let mut reactor = reactor();
    let id = unacceptable(&mut reactor);
    turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 1);
    let calls = reactor.stats().callbacks;
    assert_eq!(turns(&mut reactor, 20), 0, "it rests");
    // Through a few rests, each of which ends with one more try.
    turn_until(&mut reactor, |reactor| {
        reactor.stats().callbacks == calls + 3
    });
    assert_eq!(reactor.stats().accept_pauses, 1, "still the same episode");
    let lines: Vec<_> = log
        .lines(&format!("channel {id}: "))
        .into_iter()
        .filter(|line| !line.starts_with("DEBUG") && !line.starts_with("TRACE"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("WARN asynchat::accept: "), "{lines:?}");
    assert!(lines[0].contains("(os error 95)"), "{lines:?}");
    assert!(
        !lines[0].contains("descriptor"),
        "that is not it: {lines:?}"
    );
}

#[test]
fn a_resting_listener_that_others_wake_is_not_said_to_spin() {
    let log = Log::start();
    let mut reactor = reactor();
    unacceptable(&mut reactor);
    turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 1);
    let calls = reactor.stats().callbacks;
    for _ in 0..1200 {
        // The channel that goes may have had what the listener waits for.
        let (ours, _theirs) = tcp_pair();
        let id = reactor.register(ours, Quiet).unwrap();
        reactor.channel(id).unwrap().close();
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(reactor.stats().callbacks >= calls + 1200);
    assert!(log.lines("spins").is_empty(), "{:?}", log.lines("spins"));
}

struct Quiet;

impl Dispatcher for Quiet {}

#[test]
fn with_max_channels_of_one_connections_are_served_one_after_the_other() {
    struct SaysBye;
    impl Dispatcher for SaysBye {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.push("bye");
            channel.close_when_done();
            Ok(())
        }
    }
    let mut reactor = Reactor::builder().max_channels(1).build().unwrap();
    let (_, address) = serve(&mut reactor, |_| SaysBye);
    for mut client in clients(address, 5) {
        assert_eq!(read_to_end(&mut reactor, &mut client), b"bye");
        assert!(connections(&reactor).len() <= 1);
    }
}

#[test]
fn two_full_listeners_both_go_on_when_there_is_room() {
    let mut reactor = Reactor::builder().max_channels(2).build().unwrap();
    let traces = [Trace::new(), Trace::new()];
    let mut streams = Vec::new();
    for trace in &traces {
        let server = trace.clone();
        let (_, address) = serve(&mut reactor, move |_| Recorder::new(&server));
        streams.extend(clients(address, 2));
    }
    settle(&mut reactor);
    assert_eq!(connections(&reactor).len(), 2);
    for _ in 0..4 {
        for id in connections(&reactor) {
            reactor.channel(id).unwrap().close();
        }
        settle(&mut reactor);
    }
    assert_eq!(traces.map(|trace| trace.count("connect")), [2, 2]);
}

/// Fails for every second stream, before it is registered or after.
struct Fails {
    how: fn() -> Result,
    /// How often the stream is registered before the failure; between two times it is detached.
    registered: usize,
    trace: Trace,
    count: usize,
}

impl Dispatcher for Fails {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        self.count += 1;
        if self.count.is_multiple_of(2) {
            channel
                .registry()
                .register(stream, Recorder::new(&self.trace))?;
            return Ok(());
        }
        let mut socket = Socket::from(stream);
        for left in (0..self.registered).rev() {
            let registry = channel.registry();
            let id = registry.register(socket, Recorder::named(&self.trace, "failed"))?;
            if left == 0 {
                break;
            }
            let detached = registry.channel(id).and_then(|mut stream| stream.detach());
            socket = detached.unwrap().socket;
        }
        (self.how)()
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: asynchat::BoxError) {
        assert_eq!(channel.state(), State::Listening);
        self.trace.add(format!("error:{error}"));
    }
}

#[test]
fn an_error_for_one_stream_closes_that_stream_and_never_the_listener() {
    type How = (fn() -> Result, Option<&'static str>);
    let ways: [How; 3] = [
        (|| Err("no thanks".into()), Some("error:no thanks")),
        (|| panic!("no thanks"), Some("error:panicked: no thanks")),
        (
            || Err(io::Error::from(ErrorKind::ConnectionReset).into()),
            None,
        ),
    ];
    for ((how, report), registered) in ways
        .into_iter()
        .flat_map(|way| [(way, 0), (way, 1), (way, 2)])
    {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let fails = Fails {
            how,
            registered,
            trace: trace.clone(),
            count: 0,
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), fails).unwrap();
        let address = address_of(&mut reactor, id);
        let mut streams = clients(address, 6);
        turn_until(&mut reactor, |_| trace.count("connect") == 3);
        settle(&mut reactor);
        let case = format!("{report:?}, registered {registered}: {:?}", trace.lines());
        let reports = report.map_or(0, |report| trace.count(report));
        assert_eq!(reports, report.map_or(0, |_| 3), "{case}");
        assert_eq!(trace.lines().len(), 2 * 3 + reports, "{case}");
        assert_eq!(connections(&reactor).len(), 3, "{case}");
        assert_eq!(reactor.channel(id).unwrap().state(), State::Listening);
        // The refused ones are closed, in the order of the backlog: first, third, fifth.
        for refused in [4, 2, 0] {
            assert_eq!(
                read_to_end(&mut reactor, &mut streams.remove(refused)),
                b"",
                "{case}"
            );
        }
    }
}

#[test]
fn by_default_an_error_of_a_listener_is_logged_and_it_goes_on() {
    struct Rejects;
    impl Dispatcher for Rejects {
        fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, peer: Address) -> Result {
            Err(format!("cannot serve {peer}").into())
        }
    }
    let mut reactor = reactor();
    let log = Log::start();
    let id = reactor.listen(([127, 0, 0, 1], 0), Rejects).unwrap();
    let address = address_of(&mut reactor, id);
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).unwrap();
        let from = client.local_addr().unwrap();
        assert_eq!(read_to_end(&mut reactor, &mut client), b"");
        let lines = log.lines(&format!("cannot serve {from}"));
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("ERROR asynchat::channel: "),
            "{}",
            lines[0]
        );
    }
    assert_eq!(reactor.stats().errors, 3);
}

#[test]
fn by_default_an_accepted_stream_is_closed_with_a_warning() {
    struct Nothing;
    impl Dispatcher for Nothing {}
    let mut reactor = reactor();
    let log = Log::start();
    let id = reactor.listen(([127, 0, 0, 1], 0), Nothing).unwrap();
    let address = address_of(&mut reactor, id);
    let mut client = TcpStream::connect(address).unwrap();
    let from = client.local_addr().unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut client), b"");
    let lines = log.lines(&format!(
        "handle_accepted is not implemented, closing {from}"
    ));
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("WARN asynchat::accept: "),
        "{}",
        lines[0]
    );
    assert!(reactor.channel(id).is_some());
}

/// A listener that can be paused.
struct Pausing {
    paused: bool,
    trace: Trace,
}

impl Dispatcher for Pausing {
    fn readable(&self) -> bool {
        !self.paused
    }

    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        channel
            .registry()
            .register(stream, Recorder::new(&self.trace))?;
        self.paused = true;
        Ok(())
    }
}

#[test]
fn a_listener_that_is_not_readable_leaves_connections_waiting() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = Pausing {
        paused: true,
        trace: trace.clone(),
    };
    let id = reactor.listen(([127, 0, 0, 1], 0), listener).unwrap();
    let address = address_of(&mut reactor, id);
    let _clients = clients(address, 3);
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 20), 0);
    assert_eq!(reactor.stats().accepted, 0);
    // It pauses itself after each connection: asked again after every callback, also within one visit.
    for accepted in 1..=3 {
        reactor
            .with(id, |listener: &mut Pausing, _| listener.paused = false)
            .unwrap();
        turn_until(&mut reactor, |_| trace.count("connect") == accepted);
        settle(&mut reactor);
        assert_eq!(reactor.stats().accepted, accepted as u64);
    }
}

#[test]
fn a_handler_may_accept_in_a_loop_of_its_own() {
    struct Greedy(Trace);
    impl Dispatcher for Greedy {
        fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
            loop {
                // `WouldBlock` out of a callback is nothing.
                let (stream, _) = channel.accept()?;
                channel
                    .registry()
                    .register(stream, Recorder::new(&self.0))?;
            }
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Greedy(trace.clone()))
        .unwrap();
    let address = address_of(&mut reactor, id);
    for round in 1..=3 {
        let _clients = clients(address, 10);
        turn_until(&mut reactor, |_| trace.count("connect") == 10 * round);
    }
    assert_eq!(reactor.stats().errors, 0);
}

#[test]
fn a_listener_closed_in_its_own_callback_accepts_no_more() {
    struct Once(Trace);
    impl Dispatcher for Once {
        fn handle_accepted(&mut self, channel: &mut Channel<'_>, _: Stream, _: Address) -> Result {
            self.0.add("accepted");
            channel.close();
            assert_eq!(channel.state(), State::Closed);
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Once(trace.clone()))
        .unwrap();
    let address = address_of(&mut reactor, id);
    let _clients = clients(address, 3);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "accepted");
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn connections_reset_while_they_wait_do_not_disturb_the_next_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let (id, address) = serve(&mut reactor, move |_| Recorder::new(&server));
    for stream in clients(address, 5) {
        reset(stream);
    }
    let _live = TcpStream::connect(address).unwrap();
    let broken = if accepts_resets() { 5 } else { 0 };
    turn_until(&mut reactor, |_| {
        trace.count("connect") == broken + 1 && trace.count("close") == broken
    });
    assert_eq!(connections(&reactor).len(), 1);
    assert!(reactor.channel(id).is_some());
}

#[test]
fn a_connection_that_comes_while_the_last_one_is_accepted_is_not_forgotten() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let next = Rc::new(RefCell::new(Vec::<SocketAddr>::new()));
    let (to_come, mut kept) = (next.clone(), Vec::new());
    let (_, address) = serve(&mut reactor, move |_| {
        // The next one is in the queue before this one is served.
        if let Some(address) = to_come.borrow_mut().pop() {
            kept.push(TcpStream::connect(address).unwrap());
        }
        Recorder::new(&server)
    });
    next.borrow_mut().extend([address; 9]);
    let _first = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.count("connect") == 10);
}

#[test]
fn an_idle_listener_costs_no_turns() {
    let mut reactor = reactor();
    let (_, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let _client = TcpStream::connect(address).unwrap();
    settle(&mut reactor);
    let turn = reactor.turn(Some(Duration::from_millis(30))).unwrap();
    assert_eq!((turn.events, turn.callbacks), (0, 0));
}

/// Keeps the first stream it accepts for another reactor; with one of another reactor, registers that and fails.
struct Swapper {
    lent: Rc<RefCell<Option<Stream>>>,
    registered: Rc<RefCell<Option<ChannelId>>>,
}

impl Dispatcher for Swapper {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let Some(foreign) = self.lent.borrow_mut().take() else {
            *self.lent.borrow_mut() = Some(stream);
            return Ok(());
        };
        let recorder = Recorder::new(&Trace::new());
        *self.registered.borrow_mut() = Some(channel.registry().register(foreign, recorder)?);
        Err("the own stream is no good".into())
    }
}

/// Registers each stream and fails. `handle_error` takes the stream out and registers it again.
struct Rescuer {
    how: fn() -> Result,
    first: Option<ChannelId>,
    trace: Trace,
}

impl Dispatcher for Rescuer {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let first = Recorder::named(&self.trace, "first");
        self.first = Some(channel.registry().register(stream, first)?);
        (self.how)()
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, _: BoxError) {
        let registry = channel.registry();
        let first = self.first.take().expect("it was registered");
        let stream = registry.channel(first).unwrap().detach().unwrap();
        let second = Recorder::named(&self.trace, "second");
        registry.register(stream.socket, second).unwrap();
    }
}

#[test]
fn a_stream_that_handle_error_registers_again_stays_open() {
    let ways: [fn() -> Result; 2] = [|| Err("no thanks".into()), || panic!("no thanks")];
    for how in ways {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let rescuer = Rescuer {
            how,
            first: None,
            trace: trace.clone(),
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), rescuer).unwrap();
        let mut client = TcpStream::connect(address_of(&mut reactor, id)).unwrap();
        turn_until(&mut reactor, |_| trace.has("second.connect"));
        client.write_all(b"ping").unwrap();
        turn_until(&mut reactor, |_| trace.has("second.read:4"));
        assert_eq!(connections(&reactor).len(), 1, "{:?}", trace.lines());
    }
}

/// Each reactor counts the streams it accepts, and streams change reactors: the counts must not be mixed up.
#[test]
fn a_failed_accept_closes_no_stream_that_another_reactor_accepted() {
    let lent = Rc::new(RefCell::new(None));
    let registered = Rc::new(RefCell::new(None));
    let mut reactors = [Reactor::new().unwrap(), Reactor::new().unwrap()];
    let mut clients = Vec::new();
    for reactor in &mut reactors {
        let swapper = Swapper {
            lent: lent.clone(),
            registered: registered.clone(),
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), swapper).unwrap();
        clients.push(TcpStream::connect(address_of(reactor, id)).unwrap());
        turn_until(reactor, |_| {
            lent.borrow().is_some() || registered.borrow().is_some()
        });
    }
    settle(&mut reactors[1]);
    let registered = registered.borrow().expect("the second reactor took it");
    assert!(reactors[1].channel(registered).is_some());
}
