//! Corners where rules meet, most of which once went wrong: limits reached inside callbacks (R12-R14), reads and
//! closes by somebody else than the channel's own object (R3, R4, R7-R11), pipes and datagrams among the streams
//! (R10), and time outside a turn (R20, R22). The line above a test says what used to happen.

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, PipeReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Address, AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher,
    Produced, Producer, Reactor, Result, Socket, State, Stream, from_fn,
};
use util::{
    DEADLINE, Log, Recorder, Trace,
    peer::{read_to_end, read_while, reset, tcp_pair, turns, unanswering},
    reactor, run, settle, turn_until,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Serves one end of a TCP connection, past its greeting, and gives the other end.
fn settled(reactor: &mut Reactor, d: impl Dispatcher) -> (ChannelId, TcpStream) {
    let (ours, theirs) = tcp_pair();
    let id = reactor.register(ours, d).unwrap();
    settle(reactor);
    (id, theirs)
}

/// How many errors about a full queue `handle_error` was given.
fn refusals(trace: &Trace) -> usize {
    let lines = trace.lines();
    lines
        .iter()
        .filter(|line| line.starts_with("error:") && line.contains("max_outgoing"))
        .count()
}

// ---- the outgoing queue

/// The stream stalled: a queue that was full again after `handle_drain` was not looked at until something else
/// happened.
#[test]
fn a_handle_drain_that_fills_the_queue_again_is_called_again() {
    const REFILLS: usize = 10;
    const PIECE: usize = 2000;
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_connect = Some(Box::new(|channel| {
        channel.set_watermarks(100, 1000);
        channel.push(vec![0; PIECE]);
        Ok(())
    }));
    let mut left = REFILLS;
    recorder.on_drain = Some(Box::new(move |channel| {
        if left > 0 {
            left -= 1;
            channel.push(vec![0; PIECE]);
        }
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    let whole = PIECE * (1 + REFILLS);
    read_while(&mut reactor, &mut theirs, |got| got.len() >= whole);
    settle(&mut reactor);
    assert_eq!(trace.count("drain"), 1 + REFILLS);
}

/// The refused bytes were lost without a word.
#[test]
fn a_push_refused_in_handle_drain_is_told() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.on_drain = Some(Box::new(|channel| {
        channel.push(vec![0; 9000]);
        Ok(())
    }));
    let (id, _theirs) = settled(&mut reactor, recorder);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(100, 1000);
    channel.set_max_outgoing(3000);
    channel.push(vec![0; 2000]);
    settle(&mut reactor);
    assert_eq!(refusals(&trace), 1, "{:?}", trace.lines());
}

/// Only the first refusal was told, and the channel took nothing any more.
#[test]
fn a_push_refused_in_handle_error_is_told() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    let mut answers = vec!["short".to_string(), "too long".repeat(1000)];
    recorder.on_error = Some(Box::new(move |channel| {
        if let Some(answer) = answers.pop() {
            channel.push(answer);
        }
        Ok(())
    }));
    let (id, mut theirs) = settled(&mut reactor, recorder);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_max_outgoing(3000);
    channel.push(vec![0; 9000]);
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() >= 5);
    assert_eq!(got, b"short");
    assert_eq!(refusals(&trace), 2, "{:?}", trace.lines());
}

/// A push of nothing onto a queue past its limit was an `OutgoingFull`.
#[test]
fn an_empty_push_onto_a_full_queue_is_no_error() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    let mut channel = reactor.channel(id).unwrap();
    channel.push("xxxx");
    channel.set_max_outgoing(2);
    channel.push("");
    channel.write_all(b"").unwrap();
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() >= 4);
    assert_eq!(got, b"xxxx");
    settle(&mut reactor);
    assert_eq!(refusals(&trace), 0, "{:?}", trace.lines());
    assert!(reactor.channel(id).is_some());
}

/// The producer was asked before the bytes ahead of it were written, and its error took them along.
#[test]
fn bytes_ahead_of_a_failing_producer_arrive() {
    type Fail = fn() -> io::Result<Produced>;
    let failures: [(&str, Fail); 2] = [
        ("error:no more", || Err(io::Error::other("no more"))),
        ("error:panicked: no more", || panic!("no more")),
    ];
    for (told, fail) in failures {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
        let mut channel = reactor.channel(id).unwrap();
        channel.push("hello");
        channel.push_with_producer(from_fn(fail));
        assert_eq!(read_to_end(&mut reactor, &mut theirs), b"hello", "{told}");
        assert_eq!(trace.lines().last().unwrap(), told);
    }
}

/// Owns nothing and objects loudly to being dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

impl Producer for Bomb {
    fn more(&mut self) -> io::Result<Produced> {
        Ok(Produced::Pending)
    }
}

/// The second panic came while the first was unwinding, which aborts the process.
#[test]
fn two_producers_that_panic_when_dropped_harm_nobody() {
    type End = fn(&mut Reactor, ChannelId, TcpStream);
    let ends: [(&str, End); 3] = [
        ("bomb under close", |reactor, id, _| {
            reactor.channel(id).unwrap().close();
        }),
        ("bomb under reset", |reactor, id, theirs| {
            reset(theirs);
            turn_until(reactor, |reactor| reactor.channel(id).is_none());
        }),
        ("bomb under close_all", |reactor, _, _| reactor.close_all()),
    ];
    for (message, end) in ends {
        let log = Log::start();
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, mut other) = settled(&mut reactor, Recorder::named(&trace, "before"));
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.has("before.read:1"));
        let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
        let mut channel = reactor.channel(id).unwrap();
        channel.push_with_producer(Bomb(message));
        channel.push_with_producer(Bomb(message));
        end(&mut reactor, id, theirs);
        let lines = log.lines(message);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (_, mut other) = settled(&mut reactor, Recorder::named(&trace, "after"));
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.has("after.read:1"));
    }
}

/// The same, for what a reactor still holds when it is dropped itself: producers, timers and posted calls.
#[test]
fn what_panics_when_dropped_with_the_reactor_harms_nobody() {
    const MESSAGE: &str = "bomb under the reactor";
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    for _ in 0..2 {
        let mut channel = reactor.channel(id).unwrap();
        channel.push_with_producer(Bomb(MESSAGE));
        let timer = Bomb(MESSAGE);
        reactor.call_later(HOUR, move |_| {
            let _ = &timer;
            Ok(())
        });
        let handle = reactor.handle();
        let posted = Bomb(MESSAGE);
        handle
            .call_soon(move |_| {
                let _ = &posted;
                Ok(())
            })
            .unwrap();
    }
    drop(reactor);
    assert_eq!(log.lines(MESSAGE).len(), 6);
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

// ---- callbacks

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

/// In a visit with nothing else to do the push stayed in the queue and the channel open.
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

/// One bad connection closed the listener, against R9.
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

/// The same for a datagram socket: one bad datagram is not the end of all.
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

/// Whether there is still somebody to greet was once in doubt; R4 has no exception.
#[test]
fn a_stream_that_is_to_close_before_its_first_visit_is_greeted_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("goodbye");
    channel.close_when_done();
    assert!(trace.lines().is_empty());
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"goodbye");
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
}

// ---- what the peer did, and who found out

/// Nobody looked at the channel again, so `handle_close` never came.
#[test]
fn an_end_of_file_read_from_outside_leads_to_handle_close() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, theirs) = settled(&mut reactor, recorder);
    drop(theirs);
    // Past the event, which would have the channel looked at.
    settle(&mut reactor);
    assert_eq!(reactor.channel(id).unwrap().recv(&mut [0]).unwrap(), 0);
    assert!(!trace.has("close"), "not from inside recv");
    turn_until(&mut reactor, |_| trace.has("close"));
    assert_eq!(trace.lines(), ["connect", "close"]);
}

/// Reads one byte, and then has enough.
struct Sipping {
    trace: Trace,
    enough: bool,
}

impl Dispatcher for Sipping {
    fn readable(&self) -> bool {
        !self.enough
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0])?;
        self.enough = true;
        self.trace.add("sip");
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.trace
            .add(format!("close, reset: {}", channel.is_reset()));
        Ok(())
    }
}

/// The reset was left to be found by the next read, and there was none.
#[test]
fn a_reset_is_noticed_though_its_reader_pauses_in_the_same_visit() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let sipping = Sipping {
        trace: trace.clone(),
        enough: false,
    };
    let (id, mut theirs) = settled(&mut reactor, sipping);
    theirs.write_all(b"abc").unwrap();
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.lines().last().unwrap(), "close, reset: true");
    assert_eq!(trace.count("close, reset: true"), 1);
}

/// Calls its connection broken without having read from it.
struct Despairing(Trace);

impl Dispatcher for Despairing {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
        self.0.add("read");
        Err(io::Error::from(ErrorKind::BrokenPipe).into())
    }

    fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
        self.0.add("close");
        Ok(())
    }
}

/// `handle_read` was called for ever, for the input that stands before a reset.
#[test]
fn a_reset_out_of_a_callback_that_reads_nothing_ends_the_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Despairing(trace.clone()));
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.has("read"));
    turns(&mut reactor, 10);
    assert_eq!(trace.lines().last().unwrap(), "close");
    assert_eq!(trace.count("close"), 1);
    assert!(reactor.channel(id).is_none());
}

/// There was no way to tell in `handle_close`, and what went wrong on this side must not count.
#[test]
fn is_reset_tells_what_the_peer_broke_and_nothing_else() {
    for (kind, last) in [
        (ErrorKind::BrokenPipe, "reset:true"),
        (ErrorKind::ConnectionReset, "reset:true"),
        (ErrorKind::InvalidData, "reset:false"),
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.on_read = Some(Box::new(move |channel| {
            assert!(!channel.is_reset(), "nothing is wrong yet");
            Err(io::Error::from(kind).into())
        }));
        for hook in [&mut recorder.on_close, &mut recorder.on_error] {
            let seen = trace.clone();
            *hook = Some(Box::new(move |channel| {
                seen.add(format!("reset:{}", channel.is_reset()));
                channel.close();
                assert!(!channel.is_reset(), "a closed channel has no peer");
                Ok(())
            }));
        }
        let (id, mut theirs) = settled(&mut reactor, recorder);
        theirs.write_all(b"x").unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.lines().last().unwrap(), last, "{kind:?}");
    }
}

/// The `NotConnected` of the closed channel passed for a reset of the one whose callback was running.
#[test]
fn recv_on_a_closed_sibling_is_an_error_of_the_caller_and_not_its_reset() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (sibling, _other) = settled(&mut reactor, Recorder::named(&trace, "sibling"));
    let mut recorder = Recorder::named(&trace, "caller");
    let seen = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if seen.lines().last().unwrap() == "caller.read:1" {
            let mut sibling = channel.registry().channel(sibling).unwrap();
            sibling.close();
            sibling.recv(&mut [0])?;
        }
        Ok(())
    }));
    let seen = trace.clone();
    recorder.on_error = Some(Box::new(move |channel| {
        seen.add(format!("reset:{}", channel.is_reset()));
        Ok(())
    }));
    let (_, mut theirs) = settled(&mut reactor, recorder);
    trace.clear();
    theirs.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| trace.has("reset:false"));
    theirs.write_all(b"yz").unwrap();
    turn_until(&mut reactor, |_| trace.has("caller.read:2"));
    assert_eq!(
        trace.lines(),
        [
            "caller.read:1",
            "caller.error:the channel is closed",
            "reset:false",
            "caller.read:2"
        ]
    );
}

/// `BrokenPipe`, which passes for the peer's doing, and so half a conversation was thrown away.
#[test]
fn a_send_after_ones_own_shutdown_write_is_no_reset() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    recorder.on_connect = Some(Box::new(|channel| {
        channel.shutdown_write();
        Ok(())
    }));
    recorder.on_read = Some(Box::new(|channel| {
        channel.send(b"x")?;
        Ok(())
    }));
    let seen = trace.clone();
    recorder.on_error = Some(Box::new(move |channel| {
        seen.add(format!("reset:{}", channel.is_reset()));
        Ok(())
    }));
    let (id, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.count("read:1") == 3);
    settle(&mut reactor);
    assert!(trace.count("reset:false") >= 3, "{:?}", trace.lines());
    assert!(!trace.has("reset:true"), "{:?}", trace.lines());
    assert!(!trace.has("close"), "{:?}", trace.lines());
    assert!(reactor.channel(id).is_some());
}

// ---- closing and half-closing

/// The loop turned without pause until the linger time was up.
#[test]
fn a_lingering_channel_whose_end_of_file_another_callback_reads_is_closed() {
    let mut reactor = Reactor::builder()
        .propagate_panics(true)
        .linger(HOUR, 1 << 20)
        .build()
        .unwrap();
    let trace = Trace::new();
    let target = Rc::new(Cell::new(None));
    let lingering = target.clone();
    let mut recorder = Recorder::named(&trace, "thief");
    let seen = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if let Some(id) = lingering.take()
            && let Some(mut victim) = channel.registry().channel(id)
        {
            seen.add(format!("{:?} {:?}", victim.state(), victim.recv(&mut [0])));
            victim.touch();
        }
        Ok(())
    }));
    // First in the table and first to have news, so that its callback runs before the other channel is visited.
    let (_, mut thiefs) = settled(&mut reactor, recorder);
    let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
    target.set(Some(id));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    thiefs.write_all(b"x").unwrap();
    drop(theirs);
    turn_until(&mut reactor, |_| trace.has("thief.read:1"));
    // poll(2) gives its events in any order: there the other channel may be visited, and closed, first.
    assert!(
        trace.has("Closing Ok(0)") || cfg!(mio_unsupported_force_poll_poll),
        "{:?}",
        trace.lines()
    );
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
}

/// The failing system call was taken for a reset and closed the channel.
#[test]
fn shutdown_write_of_what_is_no_stream_changes_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = reactor
        .register(socket, Recorder::named(&trace, "datagrams"))
        .unwrap();
    let (reader, mut into_reader) = io::pipe().unwrap();
    let reader = reactor
        .register(reader, Recorder::named(&trace, "reader"))
        .unwrap();
    let (mut from_writer, writer) = io::pipe().unwrap();
    let writer = reactor
        .register(writer, Recorder::named(&trace, "writer"))
        .unwrap();
    settle(&mut reactor);
    let ids = [datagrams, reader, writer];
    for id in ids {
        reactor.channel(id).unwrap().shutdown_write();
    }
    settle(&mut reactor);

    for id in ids {
        assert_eq!(reactor.channel(id).map(|c| c.state()), Some(State::Open));
    }
    client.send_to(b"x", address).unwrap();
    into_reader.write_all(b"xy").unwrap();
    turn_until(&mut reactor, |_| {
        trace.has("datagrams.read:1") && trace.has("reader.read:2")
    });
    let mut channel = reactor.channel(writer).unwrap();
    channel.push("still writing");
    channel.close_when_done();
    turn_until(&mut reactor, |reactor| reactor.channel(writer).is_none());
    let mut got = String::new();
    from_writer.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still writing");
    for name in ["datagrams", "reader", "writer"] {
        assert!(!trace.has(&format!("{name}.close")), "{:?}", trace.lines());
    }
}

/// Implements nothing but the end.
struct Silent(Trace);

impl Dispatcher for Silent {
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.add("close");
        channel.close();
        Ok(())
    }
}

/// Input was thrown away to find the end of file for sockets only; a pipe stayed open for ever.
#[test]
fn a_pipe_nobody_reads_closes_at_its_end() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = io::pipe().unwrap();
    let id = reactor.register(ours, Silent(trace.clone())).unwrap();
    theirs.write_all(b"abc").unwrap();
    settle(&mut reactor);
    assert!(reactor.channel(id).is_some());
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.lines(), ["close"]);
}

// ---- handing sockets on

/// It gave a socket that was not connected, which then passed for a stream that is.
#[test]
fn detach_while_connecting_gives_nothing_and_the_channel_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor.connect(address, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("queued before");
    assert_eq!(channel.state(), State::Connecting);
    assert!(channel.detach().is_none());
    assert_eq!(channel.state(), State::Connecting);
    let mut theirs = listener.accept().unwrap().0;
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() >= 13);
    assert_eq!(got, b"queued before");
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"hello");
    assert_eq!(trace.lines(), ["connect", "read:5"]);
    assert!(reactor.channel(id).unwrap().detach().is_some());
}

/// Registers, detaches and ends the reactor, which must not end the socket.
fn through_a_reactor(socket: impl Into<Socket>) -> Socket {
    let mut reactor = reactor();
    let id = reactor
        .register(socket, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().detach().unwrap().socket
}

/// There was no way out of a `Socket` but into another reactor.
#[test]
fn a_detached_tcp_stream_goes_back_to_the_standard_library() {
    let (ours, mut theirs) = tcp_pair();
    let mut stream = through_a_reactor(ours).into_tcp_stream().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), theirs.local_addr().unwrap());
    let nothing = stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    for end in [&stream, &theirs] {
        end.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    theirs.write_all(b"to std").unwrap();
    let mut got = [0; 6];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"to std");
    stream.write_all(b"from std").unwrap();
    drop(stream);
    let mut got = String::new();
    theirs.read_to_string(&mut got).unwrap();
    assert_eq!(got, "from std");
}

/// The same, for what is not a TCP stream: the socket comes back, and its descriptor is whatever it was.
#[test]
fn a_detached_socket_of_another_kind_goes_back_as_a_descriptor() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let socket = through_a_reactor(ours).into_tcp_stream().unwrap_err();
    let mut stream = UnixStream::from(socket.into_fd().unwrap());
    theirs.write_all(b"unix").unwrap();
    let mut got = [0; 4];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"unix");

    let (ours, mut theirs) = io::pipe().unwrap();
    let mut pipe = PipeReader::from(through_a_reactor(ours).into_fd().unwrap());
    theirs.write_all(b"pipe").unwrap();
    pipe.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"pipe");

    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ours.local_addr().unwrap();
    let listener = TcpListener::from(through_a_reactor(ours).into_fd().unwrap());
    let client = TcpStream::connect(address).unwrap();
    let from = listener.accept().unwrap().1;
    assert_eq!(from, client.local_addr().unwrap());
}

/// Writes down that frames end.
struct Frames(Trace);

impl AsyncChat for Frames {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.add(format!("data:{}", data.len()));
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.0.add("found");
        Ok(())
    }
}

/// The call without input that a count of zero asks for showed as an end of file to whoever read first.
#[test]
fn a_count_of_zero_is_no_end_of_file_for_others_who_read() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let chat = ChatDispatcher::new(Frames(trace.clone()), "\n");
    let (id, mut theirs) = settled(&mut reactor, chat);
    reactor
        .with_chat(id, |_: &mut Frames, chat| chat.set_terminator(0))
        .unwrap();
    let read = reactor.channel(id).unwrap().recv_with(|_, data| data.len());
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    turn_until(&mut reactor, |_| trace.has("found"));
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.has("data:3"));
    assert_eq!(trace.lines(), ["found", "data:3"]);
}

// ---- time

/// The reading of the last turn, however old: what was armed between turns came too early.
#[test]
fn between_turns_now_is_the_present() {
    let mut reactor = reactor();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    for _ in 0..3 {
        let before = reactor.now();
        while Instant::now() == before {}
        let present = Instant::now();
        assert!(reactor.now() >= present);
    }
}

/// It had begun with the attempt: a connection that took long to make was timed out at once.
#[test]
fn idle_time_starts_with_the_connection() {
    const IDLE: Duration = Duration::from_millis(600);
    let (listener, address, waiting) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let times = Rc::new(RefCell::new(Vec::new()));
    let mut recorder = Recorder::new(&trace);
    for hook in [&mut recorder.on_connect, &mut recorder.on_timeout] {
        let times = times.clone();
        *hook = Some(Box::new(move |channel| {
            times.borrow_mut().push(channel.registry().now());
            Ok(())
        }));
    }
    let id = reactor.connect(address, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(IDLE));
    settle(&mut reactor);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);
    let kept: Vec<_> = waiting.iter().map(|_| listener.accept().unwrap()).collect();
    turn_until(&mut reactor, |_| trace.has("timeout"));
    assert_eq!(trace.lines(), ["connect", "timeout"]);
    let times = times.borrow();
    assert!(times[1] - times[0] >= IDLE, "{:?}", times[1] - times[0]);
    drop(kept);
}

/// A timeout of zero was due again at once, turn after turn.
#[test]
fn an_idle_timeout_of_zero_does_not_spin() {
    const TIMES: u32 = 20;
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.on_timeout = Some(Box::new(|_| Ok(())));
    let (id, _theirs) = settled(&mut reactor, recorder);
    let start = Instant::now();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(Duration::ZERO));
    turn_until(&mut reactor, |_| trace.count("timeout") >= TIMES as usize);
    let least = (TIMES - 1) * Duration::from_millis(1);
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
}

/// `run` returned at once, as if the shutdown that had ended before still went on.
#[test]
fn run_waits_for_timers_again_after_a_finished_shutdown() {
    let mut reactor = reactor();
    reactor.shutdown(Duration::ZERO);
    turns(&mut reactor, 3);
    let ran = Rc::new(Cell::new(false));
    let seen = ran.clone();
    reactor.call_later(Duration::from_millis(20), move |_| {
        seen.set(true);
        Ok(())
    });
    run(&mut reactor);
    assert!(ran.get());
}

// ---- predicates

/// A busy channel's predicates are asked while its object is at hand: not when that object has just closed the channel.
#[test]
fn an_object_that_closed_its_channel_is_asked_nothing() {
    struct Once {
        closed: Cell<bool>,
        trace: Trace,
    }
    impl Dispatcher for Once {
        fn readable(&self) -> bool {
            assert!(!self.closed.get(), "asked after close");
            true
        }
        fn writable(&self) -> bool {
            assert!(!self.closed.get(), "asked after close");
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv(&mut [0; 16])? > 0 {
                self.trace.add("read");
                self.closed.set(true);
                channel.close();
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let once = Once {
        closed: Cell::new(false),
        trace: trace.clone(),
    };
    let (id, mut theirs) = settled(&mut reactor, once);
    theirs.write_all(b"x").unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.joined(), "read");
}

/// The object that takes over in the middle of a busy visit is the one whose wishes count.
#[test]
fn after_replace_the_new_object_is_asked() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut old = Recorder::named(&trace, "old");
    let heir = trace.clone();
    old.on_read = Some(Box::new(move |channel| {
        let mut new = Recorder::named(&heir, "new");
        new.writable = true;
        new.on_write = Some(Box::new(|channel| {
            channel.close();
            Ok(())
        }));
        channel.replace(new);
        Ok(())
    }));
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"x").unwrap();
    let id = reactor.register(ours, old).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert!(trace.has("new.write"), "{}", trace.joined());
}
