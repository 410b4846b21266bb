//! Errors and panics stay with their channel, and a listener survives them (R9).

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{TcpStream, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Dispatcher, Panicked, Reactor, Result, State, Stream,
};
use util::{
    Log, Recorder, Trace, address_of,
    peer::{read_to_end, settled, tcp_pair},
    reactor, run, serve, settle, turn_until,
};

use super::stage::{Callback, stage, with_input};

#[test]
fn an_error_in_any_callback_goes_to_handle_error_once_and_touches_no_other_channel() {
    for &callback in Callback::ALL {
        if callback == Callback::Error {
            continue;
        }
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let staged = stage(&mut reactor, &trace, callback, |_| Err("boom".into()));
        expect_failure(&mut reactor, &trace, callback, staged.id, "a.error:boom");
    }
}

#[test]
fn a_panic_in_any_callback_goes_to_handle_error_once_and_touches_no_other_channel() {
    for &callback in Callback::ALL {
        if callback == Callback::Error {
            continue;
        }
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let staged = stage(&mut reactor, &trace, callback, |_| panic!("boom"));
        expect_failure(
            &mut reactor,
            &trace,
            callback,
            staged.id,
            "a.error:panicked: boom",
        );
    }
}

fn expect_failure(
    reactor: &mut Reactor,
    trace: &Trace,
    callback: Callback,
    id: ChannelId,
    report: &str,
) {
    turn_until(reactor, |_| {
        trace.has(callback.word()) && trace.has("other.read:5")
    });
    settle(reactor);
    let lines = trace.lines();
    let at = lines
        .iter()
        .position(|line| line == callback.word())
        .unwrap();
    assert_eq!(lines[at + 1], report, "{callback:?}: {lines:?}");
    assert_eq!(trace.count(report), 1, "{callback:?}: {lines:?}");
    assert!(
        reactor.channel(id).is_none(),
        "{callback:?}: handle_error closed it"
    );
    let last = lines.iter().rfind(|line| line.starts_with("a.")).unwrap();
    assert_eq!(last, report, "{callback:?}: {lines:?}");
    assert_eq!(reactor.stats().errors, 1, "{callback:?}");
}

#[test]
fn a_panic_is_handed_over_as_panicked_with_its_message() {
    #[derive(Default)]
    struct Panics(Rc<RefCell<Option<Panicked>>>);
    impl Dispatcher for Panics {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("at {}", 7);
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
            *self.0.borrow_mut() = error.downcast_ref::<Panicked>().cloned();
            channel.close();
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let object = Panics::default();
    let panicked = object.0.clone();
    reactor.register(tcp_pair().0, object).unwrap();
    run(&mut reactor);
    assert_eq!(panicked.borrow().as_ref().unwrap().message, "at 7");
}

/// In asyncore such an exception leaves the loop and ends the program.
#[test]
fn a_panic_in_a_predicate_is_its_channels_error_only() {
    struct Panics {
        readable: bool,
        armed: Rc<Cell<bool>>,
        trace: Trace,
    }
    impl Dispatcher for Panics {
        fn readable(&self) -> bool {
            assert!(!(self.readable && self.armed.get()), "in readable");
            true
        }
        fn writable(&self) -> bool {
            assert!(self.readable || !self.armed.get(), "in writable");
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv(&mut [0; 16])?;
            Ok(())
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: asynchat::BoxError) {
            self.trace.add(error.to_string());
            channel.close();
        }
    }
    for (readable, at_once, message) in [
        (true, true, "panicked: in readable"),
        (true, false, "panicked: in readable"),
        (false, true, "panicked: in writable"),
        (false, false, "panicked: in writable"),
    ] {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let armed = Rc::new(Cell::new(at_once));
        let (ours, mut theirs) = tcp_pair();
        let object = Panics {
            readable,
            armed: armed.clone(),
            trace: trace.clone(),
        };
        let id = reactor.register(ours, object).unwrap();
        let (ours, mut other) = tcp_pair();
        let served = Trace::new();
        reactor.register(ours, Recorder::new(&served)).unwrap();
        settle(&mut reactor);
        armed.set(true);
        // The peer of a channel that failed at once is gone.
        let _ = theirs.write_all(b"x");
        other.write_all(b"hello").unwrap();
        turn_until(&mut reactor, |_| {
            served.has("read:5") && !trace.lines().is_empty()
        });
        assert_eq!(trace.joined(), message);
        assert!(reactor.channel(id).is_none());
        assert_eq!(reactor.stats().errors, 1);
    }
}

/// Panics when one of its predicates is asked for the `fuse`-th time, then apologises and ends.
struct Grumpy {
    predicate: &'static str,
    fuse: Rc<Cell<u32>>,
}

impl Grumpy {
    fn asked(&self, predicate: &str) {
        let left = self.fuse.get();
        if predicate == self.predicate && left > 0 {
            self.fuse.set(left - 1);
            assert!(left > 1, "{predicate}, again?");
        }
    }
}

impl Dispatcher for Grumpy {
    fn readable(&self) -> bool {
        self.asked("readable");
        true
    }

    fn writable(&self) -> bool {
        self.asked("writable");
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0])?;
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, _: BoxError) {
        channel.push("sorry");
        channel.close_when_done();
    }
}

/// Also in a visit that has nothing else to do.
#[test]
fn what_handle_error_asks_for_after_a_panic_in_a_predicate_is_done() {
    // Once before the read and once after it; the other predicate only after it.
    for (predicate, fuse_length) in [("readable", 2), ("writable", 1)] {
        let mut reactor = Reactor::new().unwrap();
        let fuse = Rc::new(Cell::new(0));
        let grumpy = Grumpy {
            predicate,
            fuse: fuse.clone(),
        };
        let (_, mut theirs) = settled(&mut reactor, grumpy);
        fuse.set(fuse_length);
        theirs.write_all(b"ab").unwrap();
        assert_eq!(read_to_end(&mut reactor, &mut theirs), b"sorry");
        assert_eq!(fuse.get(), 0, "{predicate}");
    }
}

/// Panics when `writable` is asked for the `nth` time; wants to write from its `handle_error` on.
struct Repents {
    nth: usize,
    asked: Rc<Cell<usize>>,
    wants: Cell<bool>,
    writes: Rc<Cell<usize>>,
}

impl Dispatcher for Repents {
    fn writable(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        assert_ne!(self.asked.get(), self.nth, "in writable");
        self.wants.get()
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        Ok(())
    }

    fn handle_write(&mut self, _: &mut Channel<'_>) -> Result {
        self.writes.set(self.writes.get() + 1);
        self.wants.set(false);
        Ok(())
    }

    fn handle_error(&mut self, _: &mut Channel<'_>, _: BoxError) {
        self.wants.set(true);
    }
}

/// In the visit that a poller brings for a write alone, behind a read, and where a turn ends.
#[test]
fn a_predicate_that_panicked_is_asked_again_after_handle_error() {
    let wakes: [fn(&mut Reactor, ChannelId, &mut TcpStream); 2] = [
        |_, _, theirs| theirs.write_all(b"x").unwrap(),
        |reactor, id, _| reactor.channel(id).unwrap().touch(),
    ];
    for (way, wake) in wakes.into_iter().enumerate() {
        for nth in 1..8 {
            let mut reactor = Reactor::new().unwrap();
            let (asked, writes) = (Rc::default(), Rc::default());
            let object = Repents {
                nth,
                asked: Rc::clone(&asked),
                wants: Cell::new(false),
                writes: Rc::clone(&writes),
            };
            let (id, mut theirs) = settled(&mut reactor, object);
            for _ in 0..3 {
                if asked.get() < nth {
                    wake(&mut reactor, id, &mut theirs);
                    settle(&mut reactor);
                }
            }
            let panicked = usize::from(asked.get() >= nth);
            assert_eq!(writes.get(), panicked, "way {way}, question {nth}");
        }
    }
}

/// Panics when `readable` is asked for the `nth` time; wants to accept from its `handle_error` on.
struct Opens {
    nth: usize,
    asked: Rc<Cell<usize>>,
    accepts: bool,
}

impl Dispatcher for Opens {
    fn readable(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        assert_ne!(self.asked.get(), self.nth, "in readable");
        self.accepts
    }

    fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
        Ok(())
    }

    fn handle_error(&mut self, _: &mut Channel<'_>, _: BoxError) {
        self.accepts = true;
    }
}

#[test]
fn a_listener_whose_predicate_panicked_is_asked_again_after_handle_error() {
    // An event asks twice, in the visit and behind it; a touch once.
    for nth in 1..6 {
        let mut reactor = Reactor::new().unwrap();
        let asked = Rc::new(Cell::new(0));
        let object = Opens {
            nth,
            asked: Rc::clone(&asked),
            accepts: false,
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), object).unwrap();
        let _client = TcpStream::connect(address_of(&mut reactor, id)).unwrap();
        settle(&mut reactor);
        while asked.get() < nth {
            reactor.channel(id).unwrap().touch();
            settle(&mut reactor);
        }
        assert_eq!(reactor.stats().accepted, 1, "question {nth}");
    }
}

#[test]
fn a_channel_whose_handle_error_does_not_close_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    recorder.on_read = Some(Box::new(|_| Err("bad byte".into())));
    recorder.on_error = Some(Box::new(|_| Ok(())));
    theirs.write_all(b"123").unwrap();
    reactor.register(ours, recorder).unwrap();
    turn_until(&mut reactor, |_| trace.count("error:bad byte") == 3);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.count("read:1"), 3);
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
}

#[test]
fn a_panic_inside_handle_error_closes_and_logs() {
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    let staged = stage(&mut reactor, &trace, Callback::Error, |_| {
        panic!("handling gone wrong")
    });
    turn_until(&mut reactor, |_| {
        trace.has("other.read:5") && trace.has("a.error:first")
    });
    settle(&mut reactor);
    assert!(reactor.channel(staged.id).is_none());
    assert_eq!(
        trace
            .lines()
            .iter()
            .filter(|line| line.starts_with("a.error"))
            .count(),
        1
    );
    let lines = log.lines("handling gone wrong");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("ERROR"), "{lines:?}");
    assert!(
        lines[1].starts_with("DEBUG asynchat::channel: closing"),
        "{lines:?}"
    );
}

#[test]
fn with_propagate_panics_a_panic_leaves_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let staged = stage(&mut reactor, &trace, Callback::Connect, |_| {
        panic!("as it should")
    });
    let caught = catch_unwind(AssertUnwindSafe(|| reactor.turn(Some(Duration::ZERO))));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"as it should"));
    assert!(!trace.lines().iter().any(|line| line.starts_with("a.error")));
    drop(staged);
}

// ---- listeners and datagram sockets

/// Reads until the other side has ended the connection, one way or the other; gives what came.
fn until_gone(reactor: &mut Reactor, client: &mut TcpStream) -> Vec<u8> {
    client.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    turn_until(reactor, |_| match client.read_to_end(&mut got) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    });
    got
}

#[test]
fn an_error_in_the_first_callback_of_an_accepted_stream_is_its_own() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (listener, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "stream");
        recorder.on_connect = Some(Box::new(|_| Err("cannot greet".into())));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    assert_eq!(until_gone(&mut reactor, &mut client), b"");
    assert_eq!(
        trace.lines(),
        ["stream.connect", "stream.error:cannot greet"]
    );
    assert!(reactor.channel(listener).is_some());
}

/// Fails at everything, and at saying so.
struct Clumsy(Trace);

impl Dispatcher for Clumsy {
    fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
        self.0.add("accepted");
        Err("dropped it".into())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_from(&mut [0])?;
        self.0.add("datagram");
        Err("dropped it".into())
    }

    fn handle_error(&mut self, _: &mut Channel<'_>, error: BoxError) {
        self.0.add(format!("error:{error}"));
        panic!("dropped that too");
    }
}

#[test]
fn a_listener_whose_handle_error_panics_stays_open() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Clumsy(trace.clone()))
        .unwrap();
    let address = reactor.channel(id).unwrap().local_addr().unwrap();
    for n in 1..=3 {
        let mut client = TcpStream::connect(address.inet().unwrap()).unwrap();
        assert_eq!(read_to_end(&mut reactor, &mut client), b"");
        settle(&mut reactor);
        assert_eq!(reactor.channel(id).unwrap().state(), State::Listening);
        assert_eq!(trace.count("accepted"), n);
        assert_eq!(trace.count("error:dropped it"), n);
    }
}

/// One bad datagram is not the end of all.
#[test]
fn a_datagram_socket_whose_handle_error_panics_stays_open() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let id = reactor.register(socket, Clumsy(trace.clone())).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 1..=3 {
        client.send_to(b"x", address).unwrap();
        turn_until(&mut reactor, |_| trace.count("error:dropped it") == n);
        assert_eq!(trace.count("datagram"), n);
        assert!(reactor.channel(id).is_some());
    }
}
