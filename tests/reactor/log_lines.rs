//! What the log says about a connection's life: who (type name, id, addresses), what, and under which target.

use std::{io::Write, net::TcpStream, time::Duration};

use asynchat::{Address, Channel, Dispatcher, Reactor, Result};
use util::{
    Acceptor, Log, Recorder, Trace, address_of,
    peer::{read_to_end, refusing, reset, tcp_pair, tells_resets},
    settle, turn_until,
};

/// The crate's lines, without the poller's own.
fn own(log: &Log) -> Vec<String> {
    log.lines(" asynchat::")
}

struct Server;

impl Dispatcher for Server {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|channel, data| channel.push(data.to_vec()))?;
        Ok(())
    }

    fn writable(&self) -> bool {
        false
    }
}

struct Front;

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: asynchat::Stream,
        _: Address,
    ) -> Result {
        channel.registry().register(stream, Server)?;
        Ok(())
    }
}

#[test]
fn one_connections_life_is_two_lines_that_name_it() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let listener = reactor.listen(([127, 0, 0, 1], 0), Front).unwrap();
    let address = address_of(&mut reactor, listener);
    let mut client = TcpStream::connect(address).unwrap();
    let peer = client.local_addr().unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut client), b"hello");
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    reactor.channel(listener).unwrap().close();

    let lines = own(&log);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let id = lines[1]
        .split_whitespace()
        .find(|word| word.contains('.'))
        .unwrap();
    let front = format!("<Front {listener} {address}>");
    let server = format!("<Server {id} {address} peer {peer}>");
    assert_eq!(
        lines[0],
        format!("DEBUG asynchat::channel: adding channel {front}")
    );
    assert_eq!(
        lines[1],
        format!("DEBUG asynchat::channel: adding channel {server}")
    );
    assert_eq!(
        lines[2],
        format!(
            "DEBUG asynchat::channel: closing channel {server} (end of file): 5 bytes in, 5 out"
        )
    );
    assert_eq!(
        lines[3],
        format!("DEBUG asynchat::channel: closing channel {front} (close): 0 bytes in, 0 out")
    );
}

#[test]
fn the_closing_line_says_why() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let register = |reactor: &mut Reactor| {
        let (ours, theirs) = tcp_pair();
        (reactor.register(ours, Server).unwrap(), theirs)
    };

    let (gone, theirs) = register(&mut reactor);
    settle(&mut reactor);
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(gone).is_none());

    let (closed, _theirs) = register(&mut reactor);
    reactor.channel(closed).unwrap().close();

    let (given, _theirs) = register(&mut reactor);
    drop(reactor.channel(given).unwrap().detach());

    let (ended, _theirs) = register(&mut reactor);
    reactor.close_all();

    let (_socket, address) = refusing();
    let failed = reactor.connect(address, Server).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());

    let lines = own(&log);
    let reset = if tells_resets() {
        "reset by peer"
    } else {
        "end of file"
    };
    let outcomes = [
        (gone, reset),
        (closed, "close"),
        (given, "detached"),
        (ended, "close_all"),
        (failed, &format!("not connected: {}", refused())),
    ];
    for (id, why) in outcomes {
        let closing = format!("closing channel <Server {id} ");
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(&closing))
            .collect();
        assert_eq!(lines.len(), 1, "{id}: {lines:?}");
        assert!(lines[0].contains(&format!("> ({why}): ")), "{}", lines[0]);
    }
}

#[test]
fn a_failed_attempt_names_every_address_that_was_tried() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let (_one, first) = refusing();
    let (_two, second) = refusing();
    let id = reactor.connect_any(&[first, second], Server).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let lines = own(&log);
    for address in [first, second] {
        let line = format!("DEBUG asynchat::channel: channel {id}: connecting to {address}: ");
        assert_eq!(
            lines.iter().filter(|l| l.starts_with(&line)).count(),
            1,
            "{lines:#?}"
        );
    }
}

/// ECONNREFUSED.
fn refused() -> std::io::Error {
    std::io::Error::from_raw_os_error(match () {
        () if cfg!(windows) => 10061,
        () if cfg!(any(target_os = "linux", target_os = "android")) => 111,
        () => 61,
    })
}

#[test]
fn a_race_has_a_line_for_each_attempt_and_one_for_the_winner() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let (_one, bad) = refusing();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let good = listener.local_addr().unwrap();
    let id = reactor.connect_any(&[bad, good], Server).unwrap();
    turn_until(&mut reactor, |reactor| {
        reactor.channel(id).unwrap().state() == asynchat::State::Open
    });
    let start = format!("DEBUG asynchat::channel: channel {id}: connect");
    let lines: Vec<_> = own(&log)
        .iter()
        .filter_map(|line| line.strip_prefix(&start).map(str::to_owned))
        .collect();
    let refused = refused();
    let wanted = [
        format!("ing to {bad}"),
        format!("ing to {bad}: {refused}"),
        format!("ing to {good}"),
        format!("ed to {good}, 0 other attempts given up"),
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn an_error_names_the_channel_and_is_an_error_line() {
    struct Fails;
    impl Dispatcher for Fails {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            Err("bad greeting".into())
        }
    }
    let log = Log::start();
    let mut reactor = util::reactor();
    let (ours, theirs) = tcp_pair();
    let addresses = format!(
        "{} peer {}",
        ours.local_addr().unwrap(),
        theirs.local_addr().unwrap()
    );
    let id = reactor.register(ours, Fails).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let lines = own(&log);
    let expected = format!("ERROR asynchat::channel: <Fails {id} {addresses}>: bad greeting");
    let errors: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(errors, [&expected]);
}

#[test]
fn a_panic_in_a_callback_is_an_error_line_with_its_message() {
    struct Panics;
    impl Dispatcher for Panics {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("unreachable, they said")
        }
    }
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair();
    reactor.register(ours, Panics).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let lines = own(&log);
    let panicked = lines.iter().filter(|line| {
        line.starts_with("ERROR asynchat::channel: <Panics ")
            && line.ends_with("panicked: unreachable, they said")
    });
    assert_eq!(panicked.count(), 1, "{lines:#?}");
}

#[test]
fn errors_of_timers_and_posted_calls_have_their_own_targets() {
    let log = Log::start();
    let mut reactor = util::reactor();
    reactor.call_later(Duration::ZERO, |_| Err("late".into()));
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let handle = reactor.handle();
    handle.call_soon(|_| Err("soon".into())).unwrap();
    turn_until(&mut reactor, |reactor| reactor.stats().errors == 2);
    assert_eq!(
        log.lines("ERROR "),
        [
            "ERROR asynchat::timer: Timer callback: late",
            "ERROR asynchat::reactor: Handle callback: soon"
        ]
    );
}

#[test]
fn a_shutdown_is_announced() {
    let log = Log::start();
    let mut reactor = util::reactor();
    reactor.listen(([127, 0, 0, 1], 0), Front).unwrap();
    reactor.shutdown(Duration::from_secs(3));
    let lines = own(&log);
    let announced = "INFO asynchat::reactor: shutting down: 1 channels open, 3s of grace";
    assert!(lines.contains(&announced.into()), "{lines:#?}");
}

#[test]
fn idle_timeouts_and_out_of_band_data_are_debug_lines_by_default() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let (ours, theirs) = tcp_pair();
    let id = reactor.register(ours, Server).unwrap();
    settle(&mut reactor);
    if cfg!(target_os = "linux") {
        socket2::SockRef::from(&theirs)
            .send_out_of_band(b"!")
            .unwrap();
        settle(&mut reactor);
    }
    reactor
        .channel(id)
        .unwrap()
        .set_idle_timeout(Some(Duration::from_millis(1)));
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let lines = own(&log);
    let about = |text: &str| {
        let start = format!("DEBUG asynchat::channel: <Server {id} ");
        lines
            .iter()
            .filter(|line| line.starts_with(&start) && line.ends_with(text))
            .count()
    };
    assert_eq!(about(": idle for too long"), 1, "{lines:#?}");
    if cfg!(target_os = "linux") {
        assert_eq!(about(": out-of-band data ignored"), 1, "{lines:#?}");
    }
}

#[test]
fn a_type_may_give_itself_a_name() {
    struct Named;
    impl Dispatcher for Named {
        fn type_name(&self) -> &'static str {
            "http server"
        }
    }
    let log = Log::start();
    let mut reactor = util::reactor();
    let id = reactor.listen(([127, 0, 0, 1], 0), Named).unwrap();
    let described = reactor.channel(id).unwrap().describe();
    assert!(
        described.starts_with(&format!("<http server {id} 127.0.0.1:")),
        "{described}"
    );
    assert_eq!(reactor.channels().next().unwrap().type_name, "http server");
    reactor.close_all();
    let lines = own(&log);
    assert!(
        lines
            .iter()
            .all(|line| line.contains("channel <http server ")),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_generic_type_is_shown_whole() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let acceptor = Acceptor(|_: &Address| Server);
    reactor.listen(([127, 0, 0, 1], 0), acceptor).unwrap();
    let lines = own(&log);
    assert!(lines[0].contains("Acceptor<"), "{lines:?}");
}

/// Payload is nobody's business below `trace`.
#[test]
fn no_line_above_trace_shows_payload() {
    let log = Log::start();
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    theirs.write_all(b"s3cret-in").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:9"));
    let mut channel = reactor.channel(id).unwrap();
    channel.push("s3cret-out");
    channel.close_when_done();
    channel.push("s3cret-late");
    channel.close();
    channel.push("s3cret-later");
    let lines = own(&log);
    assert!(lines.len() >= 4, "{lines:#?}");
    let leaks = lines
        .iter()
        .filter(|line| line.contains("s3cret") && !line.starts_with("TRACE"));
    assert_eq!(leaks.count(), 0, "{lines:#?}");
}
