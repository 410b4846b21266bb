//! The outgoing queue: order and coalescing (R12), producers (R13), watermarks and the bound (R14).

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Channel, ChannelId, Dispatcher, Produced, Producer, Reactor, Result, State, from_fn,
};
use bytes::Bytes;
use util::{
    Log, Recorder, Trace,
    peer::{
        LocalStream, narrow_pair, narrow_tcp_pair, pair, read_to_end, read_while, reset, settled,
        tcp_pair, tells_resets, turns,
    },
    reactor, settle, turn_until,
};

/// Answers in order, then `Done`; counts how often it is asked.
struct Script {
    answers: std::vec::IntoIter<io::Result<Produced>>,
    asked: Rc<Cell<usize>>,
}

impl Script {
    fn new(answers: Vec<io::Result<Produced>>) -> (Self, Rc<Cell<usize>>) {
        let asked = Rc::new(Cell::new(0));
        let script = Self {
            answers: answers.into_iter(),
            asked: asked.clone(),
        };
        (script, asked)
    }
}

impl Producer for Script {
    fn more(&mut self) -> io::Result<Produced> {
        self.asked.set(self.asked.get() + 1);
        self.answers.next().unwrap_or(Ok(Produced::Done))
    }
}

fn data(text: &'static str) -> io::Result<Produced> {
    Ok(Produced::Data(text.into()))
}

/// A registered stream that only talks, and the other end of it.
fn talker(reactor: &mut Reactor, trace: &Trace) -> (ChannelId, LocalStream) {
    let (ours, theirs) = pair();
    let id = reactor.register(ours, Recorder::new(trace)).unwrap();
    settle(reactor);
    trace.clear();
    (id, theirs)
}

#[test]
fn everything_leaves_in_the_order_it_was_queued() {
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let mut expected = Vec::new();
    let mut channel = reactor.channel(id).unwrap();
    for round in 0..40_u32 {
        let small = format!("small {round};");
        let large = vec![round as u8; 5000 + 997 * round as usize];
        let (script, _) = Script::new(vec![data("first,"), data(""), data("second;")]);
        expected.extend_from_slice(small.as_bytes());
        expected.extend_from_slice(&large);
        expected.extend_from_slice(format!("written {round};first,second;").as_bytes());
        channel.push(small);
        channel.push(large);
        write!(channel, "written {round};").unwrap();
        channel.push_with_producer(script);
        channel.push("");
    }
    channel.close_when_done();
    let received = read_to_end(&mut reactor, &mut theirs);
    assert!(
        received == expected,
        "{} of {} bytes",
        received.len(),
        expected.len()
    );
}

#[test]
fn what_is_pushed_between_partial_writes_keeps_its_place() {
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let mut buf = [0; 777];
    for round in 0..300_usize {
        let piece: Vec<u8> = (0..1 + round * 13 % 4000)
            .map(|n| (n + round) as u8)
            .collect();
        sent.extend_from_slice(&piece);
        reactor.channel(id).unwrap().push(piece);
        turns(&mut reactor, 1);
        if let Ok(n) = theirs.read(&mut buf) {
            received.extend_from_slice(&buf[..n]);
        }
    }
    assert!(
        reactor.channel(id).unwrap().outgoing_len() > 0,
        "the reader is slower"
    );
    reactor.channel(id).unwrap().close_when_done();
    received.extend(read_to_end(&mut reactor, &mut theirs));
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
}

#[test]
fn what_one_visit_queues_leaves_together_when_the_visit_ends() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut recorder = Recorder::new(&Trace::new());
    recorder.on_connect = Some(Box::new(|channel| {
        for n in 0..100 {
            channel.push(format!("{n:02}"));
        }
        assert_eq!(
            channel.outgoing_len(),
            200,
            "nothing left before the visit's end"
        );
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    let mut buf = [0; 4096];
    assert_eq!(theirs.read(&mut buf).unwrap(), 200);
    assert_eq!(reactor.channel(id).unwrap().outgoing_len(), 0);
}

/// The calls of write(2) and writev(2) this thread has made; the kernel counts those on pipes, not those on sockets.
#[cfg(target_os = "linux")]
fn write_calls() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    counters
        .lines()
        .find_map(|line| line.strip_prefix("syscw: ")?.parse().ok())
}

#[cfg(target_os = "linux")]
#[test]
fn many_pushes_of_one_visit_are_one_system_call() {
    if write_calls().is_none() {
        util::lacks("this kernel does not count system calls");
        return;
    }
    let mut reactor = reactor();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut source = Recorder::new(&Trace::new());
    source.readable = false;
    let id = reactor.register(writer, source).unwrap();
    settle(&mut reactor);
    let mut buf = vec![0; 1 << 16];
    for large in [false, true] {
        let mut channel = reactor.channel(id).unwrap();
        for n in 0..100 {
            channel.push(format!("{n:02}"));
            if large && n % 25 == 0 {
                channel.push(vec![b'x'; 5000]);
            }
        }
        let before = write_calls();
        turns(&mut reactor, 3);
        let after = write_calls();
        assert_eq!(after, before.map(|calls| calls + 1));
        assert_eq!(
            reader.read(&mut buf).unwrap(),
            if large { 20_200 } else { 200 }
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn small_pieces_of_a_producer_leave_in_as_few_writes_as_large_ones() {
    if write_calls().is_none() {
        util::lacks("this kernel does not count system calls");
        return;
    }
    let mut reactor = reactor();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut source = Recorder::new(&Trace::new());
    source.readable = false;
    let id = reactor.register(writer, source).unwrap();
    settle(&mut reactor);
    // Their answers count 256 bytes each, so that these 900 stay within the budget of a turn.
    let pieces = (0..900).map(|_| Ok(Produced::Data(vec![b'x'; 20].into())));
    let (script, _) = Script::new(pieces.collect());
    let mut channel = reactor.channel(id).unwrap();
    channel.push("before ");
    channel.push_with_producer(script);
    channel.push(" after");
    let before = write_calls();
    turns(&mut reactor, 3);
    assert_eq!(write_calls(), before.map(|calls| calls + 1));
    let mut buf = vec![0; 1 << 16];
    assert_eq!(reader.read(&mut buf).unwrap(), 7 + 18_000 + 6);
}

/// A call takes its time, however little comes of it: the others wait for it all the same.
#[test]
fn the_write_budget_counts_calls_as_well_as_bytes() {
    // 1,024 answers of 256 bytes at least, or 32 calls of 8 KiB at least.
    const BUDGET: usize = 256 * 1024;
    for (size, most) in [(1, 1024), (20, 20 * 1024), (9_000, 32 * 9_000)] {
        let builder = Reactor::builder().propagate_panics(true);
        let mut reactor = builder.write_budget(BUDGET).build().unwrap();
        // TCP joins what is written in small pieces, so the socket is not what stops.
        let (ours, mut theirs) = tcp_pair();
        let id = reactor
            .register(ours, Recorder::new(&Trace::new()))
            .unwrap();
        settle(&mut reactor);
        let given = Rc::new(Cell::new(0));
        reactor.channel(id).unwrap().push_with_producer(Endless {
            size,
            given: given.clone(),
        });
        theirs.set_nonblocking(true).unwrap();
        let mut buf = vec![0; 1 << 20];
        for turn in 1..5 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
            // One answer more finds the end of the producer in the turn of its last byte.
            let most = turn * (most + size);
            assert!(given.get() <= most, "{size}: {} of {most}", given.get());
            while theirs.read(&mut buf).is_ok() {}
        }
        assert!(given.get() > 0);
    }
}

#[test]
fn a_turn_sends_one_write_budget_however_often_it_flushes() {
    const BUDGET: usize = 16 * 1024;
    let mut reactor = Reactor::builder()
        .write_budget(BUDGET)
        .watermarks(0, 10)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let mut recorder = Recorder::new(&trace);
    let mut drains = 0;
    recorder.on_drain = Some(Box::new(move |channel: &mut Channel<'_>| {
        drains += 1;
        if drains == 1 {
            channel.push(vec![b'd'; BUDGET]);
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    let push = |reactor: &mut Reactor| {
        reactor.channel(id).unwrap().push(vec![b'x'; BUDGET]);
    };
    // Its own visit flushes, then drains; what a timer pushes is flushed when the turn ends.
    push(&mut reactor);
    theirs.write_all(b"!").unwrap();
    reactor.call_later(Duration::ZERO, move |registry| {
        registry
            .channel(id)
            .ok_or("closed")?
            .push(vec![b't'; BUDGET]);
        Ok(())
    });
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.count("read:1"), 1);
    assert_eq!(trace.count("drain"), 1);
    assert_eq!(reactor.stats().bytes_out, BUDGET as u64);
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(reactor.stats().bytes_out, 3 * BUDGET as u64);
    let mut received = vec![0; 3 * BUDGET];
    theirs.read_exact(&mut received).unwrap();
    // The whole budget is there again in the next turn.
    push(&mut reactor);
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(reactor.stats().bytes_out, 4 * BUDGET as u64);
}

#[test]
fn an_empty_push_is_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("");
    channel.push(Bytes::new());
    assert_eq!(channel.write(b"").unwrap(), 0);
    channel.push_with_producer(Bytes::new());
    assert_eq!(channel.outgoing_len(), 0);
    settle(&mut reactor);
    assert_eq!(trace.lines(), [""; 0]);
    reactor.channel(id).unwrap().push("end");
    reactor.channel(id).unwrap().close_when_done();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"end");
}

#[test]
fn handle_write_waits_until_the_queue_is_empty() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    recorder.on_connect = Some(Box::new(|channel| {
        channel.push(vec![1; 1 << 20]);
        Ok(())
    }));
    let seen = trace.clone();
    recorder.on_write = Some(Box::new(move |channel| {
        seen.add(format!("queued:{}", channel.outgoing_len()));
        channel.close();
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    assert!(!trace.has("write"));
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 1 << 20);
    assert_eq!(
        trace.lines()[trace.lines().len() - 2..],
        ["write", "queued:0"]
    );
}

#[test]
fn a_push_out_of_a_foreign_callback_leaves_in_the_same_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    theirs.set_nonblocking(true).unwrap();
    let mut buf = [0; 64];

    // From another channel's callback.
    let (ours, mut other) = tcp_pair();
    let mut recorder = Recorder::named(&trace, "other");
    recorder.on_read = Some(Box::new(move |channel| {
        let mut foreign = channel.registry().channel(id).expect("open");
        foreign.push("from a channel");
        Ok(())
    }));
    let other_id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().touch();
    turns(&mut reactor, 2);
    trace.clear();
    while let Ok(n) = theirs.read(&mut buf) {
        assert!(n > 0);
    }
    other.write_all(b"go").unwrap();
    let mut turns = 0;
    while !trace.has("other.read:2") {
        reactor.turn(Some(Duration::from_millis(20))).unwrap();
        turns += 1;
        assert!(turns < 500);
    }
    let n = theirs.read(&mut buf).expect("sent before the turn ended");
    assert_eq!(&buf[..n], b"from a channel");
    reactor.channel(other_id).unwrap().close();

    // From a timer, and from a posted call.
    reactor.call_later(Duration::ZERO, move |registry| {
        registry.channel(id).expect("open").push("from a timer");
        Ok(())
    });
    while reactor
        .turn(Some(Duration::from_millis(20)))
        .unwrap()
        .timers
        == 0
    {}
    let n = theirs.read(&mut buf).expect("sent before the turn ended");
    assert_eq!(&buf[..n], b"from a timer");
    let handle = reactor.handle();
    handle
        .call_soon(move |registry| {
            registry.channel(id).expect("open").push("from a handle");
            Ok(())
        })
        .unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    let n = theirs.read(&mut buf).expect("sent before the turn ended");
    assert_eq!(&buf[..n], b"from a handle");
}

#[test]
fn a_push_after_the_end_is_dropped_with_a_debug_line() {
    let log = Log::start();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let needle = format!("channel {id}: push");
    assert_eq!(log.lines(&needle).len(), 0);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("said");
    channel.close_when_done();
    channel.push(" too late");
    write!(channel, " too late").unwrap();
    channel.push_with_producer("too late");
    assert_eq!(channel.outgoing_len(), 4);
    assert_eq!(log.lines(&needle).len(), 3);
    channel.close();
    channel.push("closed");
    assert_eq!(channel.outgoing_len(), 0);
    let lines = log.lines(&needle);
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("DEBUG asynchat::channel: ")),
        "{lines:?}"
    );
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"said");
}

#[test]
fn shutdown_write_ends_the_stream_after_the_queue_and_reading_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let sent: Vec<u8> = (0..200_000_u32).map(|n| (n / 7) as u8).collect();
    let (ours, mut theirs) = narrow_tcp_pair();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(sent.clone());
    channel.shutdown_write();
    channel.shutdown_write();
    channel.push("too late");
    assert_eq!(channel.outgoing_len(), 200_000);
    assert!(read_to_end(&mut reactor, &mut theirs) == sent);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Open);
    let error = reactor.channel(id).unwrap().send(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    theirs.write_all(b"the answer").unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"the answer");
    assert!(!trace.has("close"));
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.count("close"), 1);
}

#[test]
fn send_is_straight_to_the_socket_but_overtakes_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.send(b"one ").unwrap(), 4);
    channel.push("two ");
    assert_eq!(
        channel.send(b"three").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.send(b"three").unwrap(), 5);
    channel.close_when_done();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"one two three");
}

#[test]
fn a_send_may_be_short_and_handle_write_comes_when_there_is_room() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let payload = Rc::new(RefCell::new(Bytes::from(vec![3; 500_000])));
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    let rest = payload.clone();
    let short = trace.clone();
    recorder.on_write = Some(Box::new(move |channel| {
        let mut rest = rest.borrow_mut();
        if rest.is_empty() {
            channel.close();
            return Ok(());
        }
        let n = channel.send(&rest)?;
        if n < rest.len() {
            short.add("short");
        }
        let _ = rest.split_to(n);
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    assert!(!payload.borrow().is_empty() && trace.has("short"));
    assert_eq!(
        turns(&mut reactor, 20),
        0,
        "a full socket is not asked again"
    );
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 500_000);
}

#[test]
fn a_flush_stops_at_its_budget_and_goes_on_next_turn() {
    let mut reactor = Reactor::builder()
        .write_budget(10_000)
        .propagate_panics(true)
        .build()
        .unwrap();
    let (ours, mut theirs) = pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let pieces = (0..10)
        .map(|_| Ok(Produced::Data(vec![1; 4000].into())))
        .collect();
    let (script, _) = Script::new(pieces);
    reactor.channel(id).unwrap().push_with_producer(script);
    for expected in [12_000, 24_000, 36_000, 40_000] {
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(reactor.stats().bytes_out, expected);
    }
    reactor.channel(id).unwrap().close_when_done();
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 40_000);
}

/// Endless pieces of `size` bytes; knows how many bytes it has given and keeps a hand on each piece.
struct Endless {
    size: usize,
    given: Rc<Cell<usize>>,
}

impl Producer for Endless {
    fn more(&mut self) -> io::Result<Produced> {
        self.given.set(self.given.get() + self.size);
        Ok(Produced::Data(vec![5; self.size].into()))
    }
}

#[test]
fn a_producer_without_end_needs_one_piece_of_memory() {
    const PIECE: usize = 64 * 1024;
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let given = Rc::new(Cell::new(0));
    let endless = Endless {
        size: PIECE,
        given: given.clone(),
    };
    reactor.channel(id).unwrap().push_with_producer(endless);
    settle(&mut reactor);
    let in_the_kernel = given.get();
    assert!(
        in_the_kernel < 1 << 20,
        "asked for {in_the_kernel} bytes before anybody reads"
    );
    assert_eq!(turns(&mut reactor, 20), 0);
    assert_eq!(
        given.get(),
        in_the_kernel,
        "not asked while the socket is full"
    );

    theirs.set_nonblocking(true).unwrap();
    let mut received = 0;
    let mut buf = vec![0; 16 * 1024];
    turn_until(&mut reactor, |reactor| {
        if let Ok(n) = theirs.read(&mut buf) {
            received += n;
        }
        let queued = reactor.channel(id).unwrap().outgoing_len();
        assert!(queued <= PIECE, "{queued} bytes queued");
        assert!(
            given.get() - received <= in_the_kernel + 2 * PIECE,
            "runs ahead of the reader"
        );
        received >= 5 << 20
    });
}

#[test]
fn a_producer_behind_much_data_is_not_asked_yet() {
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let (script, asked) = Script::new(vec![data("the end")]);
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![0; 8 << 20]);
    channel.push_with_producer(script);
    channel.close_when_done();
    settle(&mut reactor);
    assert_eq!(asked.get(), 0);
    let received = read_to_end(&mut reactor, &mut theirs);
    assert_eq!(received.len(), (8 << 20) + 7);
    assert!(received.ends_with(b"the end"));
    assert_eq!(asked.get(), 2, "for the data, and for the end");
}

#[test]
fn a_producer_that_has_nothing_yet_parks_the_queue_until_touch() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let (script, asked) = Script::new(vec![data("a"), Ok(Produced::Pending), data("b")]);
    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer(script);
    channel.push("c");
    assert_eq!(
        read_while(&mut reactor, &mut theirs, |got| got == b"a"),
        b"a"
    );
    settle(&mut reactor);
    assert_eq!(asked.get(), 2);
    assert_eq!(turns(&mut reactor, 20), 0, "parked: no spin");
    reactor.channel(id).unwrap().push("d");
    settle(&mut reactor);
    assert_eq!(asked.get(), 2, "a push behind it does not ask it");
    assert_eq!(reactor.channel(id).unwrap().outgoing_len(), 2);

    reactor.channel(id).unwrap().touch();
    assert_eq!(
        read_while(&mut reactor, &mut theirs, |got| got.len() == 3),
        b"bcd"
    );
}

#[test]
fn touch_before_a_producer_is_pending_again_is_not_kept() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = talker(&mut reactor, &trace);
    let answers = (0..4).map(|_| Ok(Produced::Pending)).collect();
    let (script, asked) = Script::new(answers);
    reactor.channel(id).unwrap().push_with_producer(script);
    for times in 1..=4 {
        settle(&mut reactor);
        assert_eq!(asked.get(), times, "one touch, one question");
        reactor.channel(id).unwrap().touch();
        turns(&mut reactor, 2);
    }
}

#[test]
fn close_when_done_waits_for_a_parked_producer() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let (script, _) = Script::new(vec![Ok(Produced::Pending), data("worth waiting for")]);
    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer(script);
    channel.close_when_done();
    settle(&mut reactor);
    reactor.channel(id).expect("still there").touch();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"worth waiting for");
}

#[test]
fn a_producer_that_only_gives_empty_pieces_does_not_starve_the_others() {
    struct Empty;
    impl Producer for Empty {
        fn more(&mut self) -> io::Result<Produced> {
            Ok(Produced::Data(Bytes::new()))
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = talker(&mut reactor, &trace);
    let (other, mut rest) = talker(&mut reactor, &trace);
    reactor.channel(id).unwrap().push_with_producer(Empty);
    reactor.channel(other).unwrap().push("still served");
    let served = read_while(&mut reactor, &mut rest, |got| got.len() == 12);
    assert_eq!(served, b"still served");
}

#[test]
fn an_error_from_a_producer_goes_to_handle_error_and_the_rest_is_sent_if_the_handler_says_so() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_error = Some(Box::new(|channel| {
        channel.push(" sorry");
        channel.close_when_done();
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    let failure = Err(io::Error::other("disk on fire"));
    let (script, asked) = Script::new(vec![data("half a file"), failure, data("never")]);
    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer(script);
    channel.push("; next");
    assert_eq!(
        read_to_end(&mut reactor, &mut theirs),
        b"half a file; next sorry"
    );
    assert_eq!(trace.count("error:disk on fire"), 1);
    assert_eq!(asked.get(), 2, "not asked again after its error");
}

/// Also kinds that would mean a reset, or nothing, if they came from the socket.
#[test]
fn every_error_from_a_producer_is_a_failure_whatever_its_kind() {
    for kind in [
        ErrorKind::BrokenPipe,
        ErrorKind::WouldBlock,
        ErrorKind::ConnectionReset,
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (id, mut theirs) = talker(&mut reactor, &trace);
        let (script, _) = Script::new(vec![Err(io::Error::new(kind, "upstream"))]);
        reactor.channel(id).unwrap().push_with_producer(script);
        assert_eq!(read_to_end(&mut reactor, &mut theirs), b"");
        assert_eq!(trace.joined(), "error:upstream", "{kind:?}");
    }
}

#[test]
fn a_panic_in_a_producer_stays_with_its_channel() {
    struct Panics;
    impl Producer for Panics {
        fn more(&mut self) -> io::Result<Produced> {
            panic!("out of ideas")
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let (other, mut rest) = talker(&mut reactor, &trace);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("before ");
    channel.push_with_producer(Panics);
    reactor.channel(other).unwrap().push("unharmed");
    assert_eq!(
        read_while(&mut reactor, &mut rest, |got| got.len() == 8),
        b"unharmed"
    );
    read_to_end(&mut reactor, &mut theirs);
    assert_eq!(trace.joined(), "error:panicked: out of ideas");
    assert!(reactor.channel(id).is_none() && reactor.channel(other).is_some());
}

#[test]
fn above_the_high_mark_a_channel_is_congested_and_drains_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_pair();
    let mut recorder = Recorder::new(&trace);
    let seen = trace.clone();
    recorder.on_drain = Some(Box::new(move |channel| {
        assert!(!channel.is_congested());
        seen.add(format!("at most low: {}", channel.outgoing_len() <= 10_000));
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(10_000, 50_000);
    channel.push(vec![0; 50_000]);
    assert!(!channel.is_congested(), "at the mark is not above it");
    channel.push("x");
    assert!(channel.is_congested());
    channel.push(vec![0; 400_000]);
    settle(&mut reactor);
    assert!(reactor.channel(id).unwrap().is_congested());
    assert!(!trace.has("drain"));

    theirs.set_nonblocking(true).unwrap();
    let mut buf = [0; 4096];
    let mut received = 0;
    turn_until(&mut reactor, |_| {
        received += theirs.read(&mut buf).unwrap_or(0);
        received == 450_001
    });
    settle(&mut reactor);
    assert_eq!(trace.count("drain"), 1);
    assert!(trace.has("at most low: true"));

    // A second wave is a second drain.
    reactor.channel(id).unwrap().push(vec![0; 60_000]);
    read_while(&mut reactor, &mut theirs, |got| got.len() == 60_000);
    settle(&mut reactor);
    assert_eq!(trace.count("drain"), 2);
}

#[test]
fn watermarks_set_from_outside_hold_for_what_is_queued_already() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = narrow_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(0, 10);
    channel.push(vec![0; 1 << 20]);
    settle(&mut reactor);
    assert!(reactor.channel(id).unwrap().is_congested());
    reactor
        .channel(id)
        .unwrap()
        .set_watermarks(1 << 20, 2 << 20);
    settle(&mut reactor);
    assert_eq!(trace.count("drain"), 1);
    let mut channel = reactor.channel(id).unwrap();
    assert!(!channel.is_congested());
    channel.set_watermarks(0, 10);
    assert!(channel.is_congested());
}

/// What was to drain is gone, and nothing can take its place.
#[test]
fn a_queue_dropped_by_a_reset_does_not_drain() {
    /// Reads so little at a time that input is left when a write finds the connection broken.
    struct Sipping(Trace);
    impl Dispatcher for Sipping {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv(&mut [0; 1])? > 0 {
                self.0.add("read");
            }
            Ok(())
        }
        fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
            self.0.add("drain");
            Ok(())
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            assert!(channel.is_reset() && !channel.is_congested());
            self.0.add("close");
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Sipping(trace.clone())).unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(100, 1000);
    channel.push(vec![0; 1 << 20]);
    settle(&mut reactor);
    assert!(reactor.channel(id).unwrap().is_congested());
    theirs.write_all(&[b'x'; 100]).unwrap();
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.count("drain"), 0, "{}", trace.joined());
    assert_eq!(trace.count("read"), 100);
    assert_eq!(trace.count("close"), 1);
}

#[test]
fn below_the_high_mark_nothing_drains() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    reactor.channel(id).unwrap().push(vec![0; 200_000]);
    read_while(&mut reactor, &mut theirs, |got| got.len() == 200_000);
    settle(&mut reactor);
    assert_eq!(trace.lines(), [""; 0], "the default high mark is 256 KiB");
    reactor.channel(id).unwrap().push(vec![0; 300_000]);
    read_while(&mut reactor, &mut theirs, |got| got.len() == 300_000);
    settle(&mut reactor);
    assert_eq!(trace.joined(), "drain");
}

#[test]
fn what_handle_drain_pushes_is_sent() {
    let mut reactor = Reactor::builder()
        .watermarks(0, 1000)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_pair();
    let mut recorder = Recorder::new(&trace);
    let mut rounds = 0;
    recorder.on_drain = Some(Box::new(move |channel| {
        rounds += 1;
        channel.push(vec![rounds; 30_000]);
        if rounds == 10 {
            channel.close_when_done();
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    reactor.channel(id).unwrap().push(vec![0; 30_000]);
    let received = read_to_end(&mut reactor, &mut theirs);
    assert_eq!(received.len(), 11 * 30_000);
    assert_eq!(received.last(), Some(&10));
    assert_eq!(trace.count("drain"), 10, "none after close_when_done");
}

#[test]
fn past_max_outgoing_the_push_is_refused_and_the_handler_told_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_error = Some(Box::new(|_| Ok(())));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_max_outgoing(1000);
    channel.push(vec![1; 1000]);
    channel.push("y");
    // Once past the limit all is refused until the handler knows: a smaller push must not fill the hole.
    channel.push("z");
    write!(channel, "z").unwrap();
    assert_eq!(channel.outgoing_len(), 1000);
    settle(&mut reactor);
    assert_eq!(trace.lines().len(), 1, "{:?}", trace.lines());
    let message = &trace.lines()[0];
    assert!(
        message.starts_with(&format!("error:channel {id}: 1000 bytes")),
        "{message}"
    );
    assert!(message.contains("max_outgoing is 1000"), "{message}");

    // The handler let it live: the stream goes on.
    reactor.channel(id).unwrap().push("w");
    reactor.channel(id).unwrap().close_when_done();
    let received = read_to_end(&mut reactor, &mut theirs);
    assert_eq!(received.len(), 1001);
    assert!(received.ends_with(b"w"));
}

#[test]
fn by_default_a_full_queue_closes_the_channel() {
    struct Talks;
    impl Dispatcher for Talks {}
    let mut reactor = Reactor::builder()
        .max_outgoing(100_000)
        .propagate_panics(true)
        .build()
        .unwrap();
    let (ours, _theirs) = narrow_pair();
    let id = reactor.register(ours, Talks).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().push(vec![0; 100_001]);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(reactor.stats().errors, 1);
}

#[test]
fn waiting_producers_count_for_the_watermarks_and_for_max_outgoing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = talker(&mut reactor, &trace);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(512, 2 * 512);
    channel.set_max_outgoing(3 * 512);
    let answers = || vec![Ok(Produced::Pending), data("x")];
    channel.push_with_producer(Script::new(answers()).0);
    channel.push_with_producer(Script::new(answers()).0);
    assert!(!channel.is_congested(), "up to the high mark");
    channel.push_with_producer(Script::new(answers()).0);
    assert!(channel.is_congested());
    assert_eq!(channel.outgoing_len(), 0);
    for _ in 0..3 {
        assert_eq!(trace.count("drain"), 0);
        reactor.channel(id).unwrap().touch();
        settle(&mut reactor);
    }
    assert_eq!(trace.joined(), "drain");
    let mut received = [0; 10];
    assert_eq!(theirs.read(&mut received).unwrap(), 2);

    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer(Script::new(answers()).0);
    channel.push_with_producer(Script::new(answers()).0);
    channel.push_with_producer(Script::new(answers()).0);
    channel.push("x");
    settle(&mut reactor);
    assert_eq!(refusals(&trace), 1);
}

/// A producer cannot be throttled by `max_outgoing`, and need not be: it is asked as the peer reads.
#[test]
fn a_producers_bytes_do_not_run_into_max_outgoing() {
    let mut reactor = Reactor::builder()
        .max_outgoing(1000)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let (script, _) = Script::new(
        (0..20)
            .map(|_| Ok(Produced::Data(vec![0; 9000].into())))
            .collect(),
    );
    reactor.channel(id).unwrap().push_with_producer(script);
    reactor.channel(id).unwrap().close_when_done();
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 180_000);
    assert_eq!(trace.joined(), "connect");
}

#[test]
fn a_reset_drops_the_queue_and_its_producer() {
    if !tells_resets() {
        return;
    }
    struct Counted(#[allow(dead_code, reason = "counts its owners")] Rc<()>);
    impl Producer for Counted {
        fn more(&mut self) -> io::Result<Produced> {
            Ok(Produced::Data(vec![0; 4096].into()))
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = narrow_tcp_pair();
    let mut recorder = Recorder::new(&trace);
    let seen = trace.clone();
    recorder.on_close = Some(Box::new(move |channel| {
        seen.add(format!("queued:{}", channel.outgoing_len()));
        channel.push("to nobody");
        seen.add(format!("queued:{}", channel.outgoing_len()));
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    let alive = Rc::new(());
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![0; 1 << 20]);
    channel.push_with_producer(Counted(alive.clone()));
    settle(&mut reactor);
    assert_eq!(Rc::strong_count(&alive), 2);
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(Rc::strong_count(&alive), 1);
    assert_eq!(trace.count("close"), 1);
    assert_eq!(trace.count("queued:0"), 2);
}

#[test]
fn what_is_written_from_within_handle_write_and_producers_keeps_order() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    let mut round = 0;
    recorder.on_write = Some(Box::new(move |channel: &mut Channel<'_>| {
        round += 1;
        let (script, _) = Script::new(vec![data("p"), data("q")]);
        write!(channel, "{round}")?;
        channel.push_with_producer(script);
        channel.push("; ");
        if round == 3 {
            channel.close_when_done();
        }
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"1pq; 2pq; 3pq; ");
}

/// How many errors about a full queue `handle_error` was given.
fn refusals(trace: &Trace) -> usize {
    let lines = trace.lines();
    lines
        .iter()
        .filter(|line| line.starts_with("error:") && line.contains("max_outgoing"))
        .count()
}

/// Otherwise the stream stalls until something else happens.
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

/// Nothing else tells of the bytes that are lost.
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

/// Each refusal is a report of its own, and the channel takes pushes again after it.
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

/// The producer is not asked before the bytes ahead of it are written: its error cannot take them along.
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

#[test]
fn bytes_ahead_of_a_pending_producer_are_sent_while_it_is_pending() {
    const SIZE: usize = 60_000;
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; SIZE]);
    channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
    read_while(&mut reactor, &mut theirs, |got| got.len() == SIZE);
}

/// What is gathered from a producer ahead of its turn must not keep a queue above its low mark for ever.
#[test]
fn handle_drain_comes_while_a_producer_of_small_pieces_waits_behind_a_slow_peer() {
    struct Drained(Rc<Cell<u32>>);
    impl Dispatcher for Drained {
        fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
            self.0.set(self.0.get() + 1);
            Ok(())
        }
    }
    let drains = Rc::new(Cell::new(0));
    let mut peer = asynchat::testing::Harness::new(Drained(drains.clone()));
    peer.set_window(5000);
    let id = peer.id();
    {
        let mut registry = peer.registry();
        let mut channel = registry.channel(id).unwrap();
        channel.push(vec![b'x'; 300_000]);
        let piece = Bytes::from_static(b"a line of some bytes");
        channel.push_with_producer(from_fn(move || Ok(Produced::Data(piece.clone()))));
        assert!(channel.is_congested());
    }
    let mut taken = 0;
    while drains.get() == 0 {
        assert!(taken < 400_000, "no drain after {taken} bytes");
        taken += peer.output().len();
    }
    assert!(taken > 200_000, "{taken}");
}
