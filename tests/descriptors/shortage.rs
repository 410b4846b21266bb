//! Out of descriptors (R19): the listener rests, says so once, does not spin, does not close, and goes on by itself.
//!
//! Each test has a process of its own, because the limit and the exhaustion are the whole process's. The trap: epoll stays
//! silent when descriptors have come back. asyncore closed the listener.

use std::{
    fs::File,
    io,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use asynchat::{
    Address, Channel, ConnectOptions, Dispatcher, Reactor, Result, State, ThreadResolver,
};
use util::{
    DEADLINE, Log, Recorder, Trace, address_of, peer::unanswering, process::with_descriptors,
    serve, turn_until,
};

use crate::alone;

/// Opens files until the process may open no more.
fn use_up_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(24), "{error}");
                return files;
            }
        }
        assert!(files.len() < 10_000, "the limit is not in force");
    }
}

fn listening(reactor: &Reactor) -> bool {
    reactor
        .channels()
        .any(|channel| channel.state == State::Listening)
}

#[test]
fn a_listener_out_of_descriptors_rests_and_goes_on_without_a_new_event() {
    let log = Log::start();
    let _alone = alone();
    with_descriptors(256, || {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let server = trace.clone();
        let (id, address) = serve(&mut reactor, move |_| Recorder::new(&server));
        let tired = format!("channel {id}: not accepting for a while");
        assert_eq!(log.lines(&tired).len(), 0);
        let clients: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut files = use_up_descriptors();

        turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 1);
        let before = reactor.stats();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            reactor.turn(Some(Duration::from_millis(100))).unwrap();
        }
        let after = reactor.stats();
        // 50 + 100 + 200 ms: three or four attempts in that time, not thousands.
        assert!(
            after.callbacks - before.callbacks <= 10,
            "{before:?} {after:?}"
        );
        assert!(after.turns - before.turns <= 40, "{before:?} {after:?}");
        assert_eq!(
            (after.accepted, after.accept_pauses, after.errors),
            (0, 1, 0)
        );
        assert!(listening(&reactor));
        let lines = log.lines(&tired);
        assert_eq!(lines.len(), 1, "once per episode: {lines:?}");
        assert!(
            lines[0].starts_with("WARN asynchat::accept: "),
            "{}",
            lines[0]
        );
        assert!(
            lines[0].contains("max_channels"),
            "says what to do: {}",
            lines[0]
        );

        // Descriptors come back behind the reactor's back, and no new connection brings an event.
        // One more than connections: accept(2) takes a descriptor before it finds that nobody waits.
        files.truncate(files.len() - 4);
        turn_until(&mut reactor, |_| trace.count("connect") == 3);
        turn_until(&mut reactor, |_| {
            log.lines(&format!("channel {id}: accepting again")).len() == 1
        });

        // A second shortage is a second episode.
        files.truncate(files.len() - 2);
        let _more: Vec<_> = (0..2)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        files.extend(use_up_descriptors());
        turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 2);
        assert_eq!(log.lines(&tired).len(), 2);
        drop(clients);
        turn_until(&mut reactor, |_| trace.count("connect") == 5);
    });
}

#[test]
fn a_resting_listener_wakes_when_a_channel_closes() {
    let _alone = alone();
    with_descriptors(256, || {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let server = trace.clone();
        let (_, address) = serve(&mut reactor, move |_| Recorder::new(&server));
        let _first = TcpStream::connect(address).unwrap();
        turn_until(&mut reactor, |_| trace.count("connect") == 1);
        let served = reactor
            .channels()
            .find(|channel| channel.state == State::Open)
            .unwrap()
            .id;

        let _second = TcpStream::connect(address).unwrap();
        let _files = use_up_descriptors();
        // Rest until the pauses are long: a second each.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(900) {
            reactor.turn(Some(Duration::from_millis(50))).unwrap();
        }
        assert_eq!(reactor.stats().accepted, 1);
        reactor.channel(served).unwrap().close();
        for _ in 0..3 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(reactor.stats().accepted, 2, "at once, not after the rest");
        assert_eq!(trace.count("connect"), 2);
    });
}

#[test]
fn a_listener_closed_while_it_rests_leaves_no_timer() {
    let _alone = alone();
    with_descriptors(256, || {
        let mut reactor = util::reactor();
        let (id, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
        let _client = TcpStream::connect(address).unwrap();
        let _files = use_up_descriptors();
        turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 1);
        assert_eq!(reactor.stats().timers, 1);
        reactor.channel(id).unwrap().close();
        assert_eq!(reactor.stats().timers, 0);
    });
}

/// asyncore's own trace of this situation: 2,000 polls in 11 ms once `handle_error` only logged.
#[test]
fn a_handler_that_accepts_by_itself_is_not_called_in_a_spin_either() {
    let _alone = alone();
    with_descriptors(256, || {
        struct Accepts(Trace);
        impl Dispatcher for Accepts {
            fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
                self.0.add("accept");
                let (stream, peer) = channel.accept()?;
                self.handle_accepted(channel, stream, peer)
            }
            fn handle_accepted(
                &mut self,
                channel: &mut Channel<'_>,
                stream: asynchat::Stream,
                _: Address,
            ) -> Result {
                channel
                    .registry()
                    .register(stream, Recorder::new(&self.0))?;
                Ok(())
            }
        }
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let id = reactor
            .listen(([127, 0, 0, 1], 0), Accepts(trace.clone()))
            .unwrap();
        let address = address_of(&mut reactor, id);
        let _client = TcpStream::connect(address).unwrap();
        let files = use_up_descriptors();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            reactor.turn(Some(Duration::from_millis(50))).unwrap();
        }
        assert!(
            trace.has("accept") && trace.count("accept") <= 10,
            "{}",
            trace.count("accept")
        );
        drop(files);
        turn_until(&mut reactor, |_| trace.has("connect"));
        assert!(start.elapsed() < DEADLINE);
    });
}

#[test]
fn without_descriptors_connect_is_an_error_of_the_call() {
    let _alone = alone();
    with_descriptors(256, || {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let files = use_up_descriptors();
        let error = reactor
            .connect(([127, 0, 0, 1], 9), Recorder::new(&trace))
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(24));
        assert!(Reactor::new().is_err());
        drop(files);
        assert!(reactor.is_idle());
        assert_eq!(trace.lines(), [""; 0]);
    });
}

/// The address that had its turn has failed; the attempt before it goes on, and so does the race.
#[test]
fn without_descriptors_one_address_of_several_fails_and_the_others_go_on() {
    let _alone = alone();
    with_descriptors(256, || {
        let (_full, silent, _waiting) = unanswering();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = good.local_addr().unwrap();
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let options = ConnectOptions::new().stagger(Duration::from_millis(100));
        let id = reactor
            .connect_with(&[silent, silent, address], &options, Recorder::new(&trace))
            .unwrap();
        let log = Log::start();
        let files = use_up_descriptors();
        // The words are the C library's.
        let shortage = io::Error::from_raw_os_error(24);
        let failed = format!("channel {id}: connecting to {silent}: {shortage}");
        turn_until(&mut reactor, |_| log.lines(&failed).len() == 1);
        drop(files);
        assert_eq!(trace.lines(), [""; 0]);
        turn_until(&mut reactor, |_| trace.has("connect"));
        assert_eq!(
            reactor.channel(id).unwrap().peer_addr().unwrap(),
            address.into()
        );

        let files = use_up_descriptors();
        let error = reactor
            .connect_any(&[silent, address], Recorder::new(&trace))
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(24));
        drop(files);
    });
}

/// The system's resolver needs descriptors too, and so does the socket after it.
#[test]
fn without_descriptors_a_name_is_a_failed_attempt_and_is_found_later() {
    let _alone = alone();
    with_descriptors(256, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = Reactor::builder().resolver(ThreadResolver::with(|question| {
            Ok(vec![([127, 0, 0, 1], question.port()).into()])
        }));
        // Both live to the end: the resolver's thread keeps a descriptor until it ends, shortly after its reactor.
        let mut reactors = [found, Reactor::builder()].map(|builder| builder.build().unwrap());
        for reactor in &mut reactors {
            let files = use_up_descriptors();
            let trace = Trace::new();
            reactor
                .connect_host("localhost", port, Recorder::new(&trace))
                .unwrap();
            turn_until(reactor, |reactor| reactor.is_idle());
            assert_eq!(trace.lines().len(), 1);
            assert!(trace.joined().starts_with("failed:"), "{}", trace.joined());
            drop(files);
            let trace = Trace::new();
            reactor
                .connect_host("localhost", port, Recorder::new(&trace))
                .unwrap();
            turn_until(reactor, |_| trace.has("connect"));
        }
    });
}

// poll(2) takes any descriptor.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn a_device_that_cannot_be_watched_is_an_error_and_leaves_nothing_behind() {
    let _alone = alone();
    let mut reactor = util::reactor();
    let before = util::process::open_descriptors();
    assert!(
        reactor
            .register(
                File::open("/dev/null").unwrap(),
                Recorder::new(&Trace::new())
            )
            .is_err()
    );
    assert!(reactor.is_idle());
    assert_eq!(util::process::open_descriptors(), before);
}
