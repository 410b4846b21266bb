//! Level-triggered readiness (R1), cost that follows activity (R2), predicates that are asked and not polled (R3),
//! and no silent spin (R3b).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io::{self, Write},
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, Dispatcher, Produced, Reactor, Result, from_fn};
use bytes::Bytes;
use util::{
    Log, Recorder, Trace,
    peer::{announces_ends_behind_data, pair, read_to_end, reset, settled, tcp_pair, turns},
    reactor, serve, settle, turn_until,
};

/// Reads nothing and counts how often it is asked and called.
#[derive(Clone, Default)]
struct Asked {
    readable: Rc<Cell<usize>>,
    writable: Rc<Cell<usize>>,
    wants_read: Rc<Cell<bool>>,
    reads: Rc<Cell<usize>>,
}

fn bump(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}

impl Dispatcher for Asked {
    fn readable(&self) -> bool {
        bump(&self.readable);
        self.wants_read.get()
    }

    fn writable(&self) -> bool {
        bump(&self.writable);
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        bump(&self.reads);
        channel.recv(&mut [0])?;
        Ok(())
    }
}

#[test]
fn a_handler_that_reads_one_byte_per_call_gets_all() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    let received = recorder.received.clone();
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);

    let sent: Vec<u8> = (0..200).collect();
    theirs.write_all(&sent).unwrap();
    turn_until(&mut reactor, |_| received.borrow().len() == sent.len());
    assert_eq!(*received.borrow(), sent);
    assert_eq!(trace.count("read:1"), sent.len());

    theirs.write_all(b"more").unwrap();
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert!(received.borrow().ends_with(b"more"));
    assert_eq!(trace.count("close"), 1);
    assert_eq!(trace.lines().last().unwrap(), "close");
}

#[test]
fn a_turn_does_not_wait_while_bytes_are_left_unread() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 10;
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    theirs.write_all(&[7; 100]).unwrap();
    turn_until(&mut reactor, |_| trace.count("read:10") == 1);
    // epoll brings no second event: each of these has to go on by itself, and at once.
    let start = std::time::Instant::now();
    for reads in 2..=10 {
        reactor.turn(Some(Duration::from_secs(2))).unwrap();
        assert_eq!(trace.count("read:10"), reads);
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_channel_that_always_has_input_does_not_starve_another() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut flood) = tcp_pair();
    let mut busy = Recorder::named(&trace, "busy");
    busy.read_size = 1;
    reactor.register(ours, busy).unwrap();
    let (ours, mut quiet) = tcp_pair();
    reactor
        .register(ours, Recorder::named(&trace, "quiet"))
        .unwrap();
    settle(&mut reactor);
    flood.write_all(&[0; 10_000]).unwrap();
    quiet.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("quiet.read:5"));
    assert!(trace.count("busy.read:1") < 1000);
}

#[test]
fn the_predicates_of_an_idle_channel_are_not_polled() {
    let mut reactor = reactor();
    let asked = Asked::default();
    asked.wants_read.set(true);
    let (ours, _theirs) = tcp_pair();
    reactor.register(ours, asked.clone()).unwrap();
    let trace = Trace::new();
    let (ours, mut other) = tcp_pair();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);

    let before = (asked.readable.get(), asked.writable.get());
    assert!(
        before.0 > 0 && before.1 > 0,
        "asked at least once: {before:?}"
    );
    for n in 1..=50 {
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.count("read:1") == n);
    }
    turns(&mut reactor, 50);
    assert_eq!((asked.readable.get(), asked.writable.get()), before);
}

#[test]
fn a_predicate_is_asked_again_after_every_callback_of_its_channel() {
    /// Wants three reads, then no more.
    struct Three(Rc<Cell<usize>>);
    impl Dispatcher for Three {
        fn readable(&self) -> bool {
            self.0.get() < 3
        }
        fn writable(&self) -> bool {
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            bump(&self.0);
            channel.recv(&mut [0])?;
            Ok(())
        }
    }
    let mut reactor = reactor();
    let reads = Rc::new(Cell::new(0));
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"abcdefgh").unwrap();
    reactor.register(ours, Three(reads.clone())).unwrap();
    turn_until(&mut reactor, |_| reads.get() == 3);
    assert_eq!(turns(&mut reactor, 20), 0);
    assert_eq!(reads.get(), 3);
}

#[test]
fn a_changed_mind_takes_effect_with_touch_and_not_before() {
    let mut reactor = reactor();
    let asked = Asked::default();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, asked.clone()).unwrap();
    theirs.write_all(b"abc").unwrap();
    settle(&mut reactor);
    assert_eq!(asked.reads.get(), 0, "paused from the start");

    asked.wants_read.set(true);
    assert_eq!(turns(&mut reactor, 20), 0, "predicates are not polled");
    reactor.channel(id).unwrap().touch();
    turn_until(&mut reactor, |_| asked.reads.get() >= 3);

    asked.wants_read.set(false);
    reactor.channel(id).unwrap().touch();
    settle(&mut reactor);
    let reads = asked.reads.get();
    theirs.write_all(b"def").unwrap();
    settle(&mut reactor);
    assert_eq!(asked.reads.get(), reads, "paused again");
}

#[test]
fn a_predicate_is_asked_again_after_with() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let id = reactor.register(ours, recorder).unwrap();
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "connect");
    reactor
        .with(id, |recorder: &mut Recorder, _| recorder.readable = true)
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    reactor
        .with(id, |recorder: &mut Recorder, _| {
            recorder.readable = false;
            recorder.writable = true;
        })
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("write"));
}

#[test]
fn an_end_of_file_waits_behind_a_pause_and_comes_after_all_data() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    recorder.read_size = 1000;
    let received = recorder.received.clone();
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    theirs.write_all(&[1; 20_000]).unwrap();
    drop(theirs);
    settle(&mut reactor);
    assert!(!trace.has("close") && received.borrow().is_empty());
    assert_eq!(
        turns(&mut reactor, 20),
        0,
        "a paused end of file does not spin"
    );

    reactor
        .with(id, |recorder: &mut Recorder, _| recorder.readable = true)
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("close"));
    assert_eq!(received.borrow().len(), 20_000);
}

#[test]
fn a_reset_is_noticed_while_reading_and_writing_are_paused() {
    for unread in [0, 5] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        let mut recorder = Recorder::new(&trace);
        recorder.readable = false;
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        theirs.write_all(&vec![0; unread]).unwrap();
        settle(&mut reactor);
        assert_eq!(trace.joined(), "connect");
        reset(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.joined(), "connect close", "{unread} bytes unread");
    }
}

#[test]
fn connecting_listening_and_flushing_do_not_depend_on_the_predicates() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&server, "server");
        recorder.writable = false;
        recorder
    });
    let mut client = Recorder::named(&trace, "client");
    client.readable = false;
    client.writable = false;
    client.on_connect = Some(Box::new(|channel| {
        channel.push("hello");
        Ok(())
    }));
    reactor.connect(address, client).unwrap();
    turn_until(&mut reactor, |_| trace.has("server.read:5"));
    assert!(trace.has("client.connect"));
    assert!(!trace.has("client.write"));
}

#[test]
fn handle_write_is_called_every_turn_while_wanted_and_the_queue_is_empty() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    let id = reactor.register(ours, recorder).unwrap();
    turns(&mut reactor, 10);
    assert_eq!(trace.count("write"), 10);
    reactor
        .with(id, |recorder: &mut Recorder, _| recorder.writable = false)
        .unwrap();
    turns(&mut reactor, 1);
    trace.clear();
    turns(&mut reactor, 10);
    assert_eq!(trace.count("write"), 0);
}

/// The soft limit of open descriptors.
fn descriptor_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .unwrap_or(256)
}

#[test]
fn ten_thousand_idle_channels_add_nothing_to_a_turn() {
    type Seen = Rc<RefCell<BTreeSet<usize>>>;
    struct Watched(usize, Seen);
    impl Watched {
        fn see(&self) {
            self.1.borrow_mut().insert(self.0);
        }
    }
    impl Dispatcher for Watched {
        fn readable(&self) -> bool {
            self.see();
            true
        }
        fn writable(&self) -> bool {
            self.see();
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            self.see();
            channel.recv_with(|_, _| ())?;
            Ok(())
        }
        fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
            self.see();
            Ok(())
        }
    }

    let count = if descriptor_limit() >= 12_000 {
        10_000
    } else {
        200
    };
    let mut reactor = reactor();
    let seen = Seen::default();
    let mut ids = Vec::new();
    for n in 0..count / 2 {
        let (left, right) = pair();
        ids.push(
            reactor
                .register(left, Watched(2 * n, seen.clone()))
                .unwrap(),
        );
        ids.push(
            reactor
                .register(right, Watched(2 * n + 1, seen.clone()))
                .unwrap(),
        );
    }
    settle(&mut reactor);
    assert_eq!(seen.borrow().len(), count, "each was served once");
    seen.borrow_mut().clear();

    // 7 is the other end of 6.
    reactor.channel(ids[6]).unwrap().push("ping");
    let before = reactor.stats().bytes_in;
    turn_until(&mut reactor, |reactor| {
        reactor.stats().bytes_in == before + 4
    });
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 10), 0);
    let seen = seen.borrow();
    assert!(
        seen.contains(&7) && seen.iter().all(|n| [6, 7].contains(n)),
        "{seen:?}"
    );
}

/// Sees input, or room to write, and does nothing about it.
struct Spinner {
    calls: Rc<Cell<usize>>,
    reads: bool,
}

impl Dispatcher for Spinner {
    fn readable(&self) -> bool {
        self.reads
    }

    fn writable(&self) -> bool {
        !self.reads
    }

    fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
        bump(&self.calls);
        Ok(())
    }

    fn handle_write(&mut self, _: &mut Channel<'_>) -> Result {
        bump(&self.calls);
        Ok(())
    }
}

#[test]
fn a_handler_that_spins_gets_one_warning_after_a_thousand_calls() {
    for reads in [true, false] {
        let log = Log::start();
        let mut reactor = reactor();
        let calls = Rc::new(Cell::new(0));
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        let spinner = Spinner {
            calls: calls.clone(),
            reads,
        };
        let id = reactor.register(ours, spinner).unwrap();
        let needle = format!("channel {id} ");
        let warnings = || {
            let mut lines = log.lines(&needle);
            lines.retain(|line| line.contains("spins"));
            lines
        };
        assert!(warnings().is_empty());
        turn_until(&mut reactor, |_| calls.get() == 999);
        assert!(warnings().is_empty());
        turns(&mut reactor, 2500);
        assert!(calls.get() > 3000, "level-triggered: still called");
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("WARN asynchat::reactor: "),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains("Spinner"), "{}", lines[0]);
    }
}

/// A thousand turns without a byte, of a channel whose callbacks are not at fault.
#[test]
fn a_producer_that_gives_no_bytes_and_a_handler_that_pushes_into_a_full_queue_get_the_warning_too()
{
    type Start = fn(&mut Channel<'_>, &Rc<Cell<usize>>);
    let ways: [(Start, &str); 2] = [
        (
            |channel, asked| {
                let asked = asked.clone();
                channel.push_with_producer(from_fn(move || {
                    // The reactor asks it up to 16 times in a turn.
                    bump(&asked);
                    Ok(Produced::Data(Bytes::new()))
                }));
            },
            "Pending",
        ),
        (
            |channel, _| {
                channel.set_max_outgoing(10);
                channel.push("longer than that");
            },
            "OutgoingFull",
        ),
    ];
    for (start, advice) in ways {
        let log = Log::start();
        let mut reactor = reactor();
        let calls = Rc::new(Cell::new(0));
        let mut recorder = Recorder::new(&Trace::new());
        let told = calls.clone();
        recorder.on_error = Some(Box::new(move |channel| {
            bump(&told);
            channel.push("421 you are too slow");
            Ok(())
        }));
        let (id, _theirs) = settled(&mut reactor, recorder);
        start(&mut reactor.channel(id).unwrap(), &calls);
        let warnings = || log.lines(&format!("channel {id} (util::Recorder) spins: "));
        for _ in 0..990 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(calls.get() >= 990, "{} calls", calls.get());
        assert_eq!(warnings(), [""; 0]);
        for _ in 0..2000 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN "), "{lines:?}");
        assert!(lines[0].contains(advice), "says what to do: {lines:?}");
    }
}

/// Each timer of a channel looks at its queue again.
#[test]
fn a_queue_that_waits_for_the_next_turn_is_no_spinner() {
    let log = Log::start();
    let mut reactor = Reactor::builder()
        .write_budget(16 * 1024)
        .propagate_panics(true)
        .build()
        .unwrap();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let fired = Rc::new(Cell::new(0));
    let mut channel = reactor.channel(id).unwrap();
    for _ in 0..1100 {
        let fired = fired.clone();
        channel.call_later(
            Duration::ZERO,
            move |_: &mut Recorder, _: &mut Channel<'_>| {
                bump(&fired);
                Ok(())
            },
        );
    }
    // A single write may exceed the budget, and would meet the socket's end.
    for _ in 0..200 {
        channel.push(vec![b'x'; 8 * 1024]);
    }
    turn_until(&mut reactor, |_| fired.get() == 1100);
    assert_eq!(log.lines("spins"), [""; 0]);
}

#[test]
fn a_producer_that_gives_a_byte_now_and_then_is_no_spinner() {
    let log = Log::start();
    let mut reactor = reactor();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut asked = 0_u32;
    let producer = from_fn(move || {
        asked += 1;
        Ok(match asked {
            n if n % 8000 == 0 => Produced::Data(Bytes::from_static(b"x")),
            40_001.. => Produced::Done,
            _ => Produced::Data(Bytes::new()),
        })
    });
    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer(producer);
    channel.close_when_done();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"xxxxx");
    assert!(log.lines("spins").is_empty(), "{:?}", log.lines("spins"));
}

#[test]
fn a_handler_that_makes_a_little_progress_each_time_is_no_spinner() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    let id = reactor.register(ours, recorder).unwrap();
    let needle = format!("channel {id} ");
    let log = Log::start();
    theirs.write_all(&[0; 3000]).unwrap();
    turn_until(&mut reactor, |_| trace.count("read:1") == 3000);
    assert!(!log.lines(&needle).iter().any(|line| line.contains("spins")));
}

/// Implements nothing at all.
struct DoesNothing;
impl Dispatcher for DoesNothing {}

/// One connection with the defaults for everything, and a needle for its log lines.
fn defaults(reactor: &mut Reactor) -> (asynchat::ChannelId, TcpStream, String) {
    let (ours, theirs) = tcp_pair();
    let id = reactor.register(ours, DoesNothing).unwrap();
    let needle = format!("DoesNothing {id} ");
    (id, theirs, needle)
}

fn ignored(log: &Log, needle: &str, what: &str) -> usize {
    let what = format!("{what} is not implemented");
    let lines = log.lines(needle);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&what)).collect();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("DEBUG asynchat::channel: ")),
        "{lines:?}"
    );
    lines.len()
}

#[test]
fn the_default_handlers_switch_their_direction_off_with_one_debug_line() {
    let log = Log::start();
    let mut reactor = reactor();
    let (id, mut theirs, needle) = defaults(&mut reactor);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    for _ in 0..5 {
        theirs.write_all(b"hello").unwrap();
        settle(&mut reactor);
    }
    assert_eq!(turns(&mut reactor, 20), 0, "no spin");
    assert_eq!(ignored(&log, &needle, "handle_read"), 1);
    assert_eq!(ignored(&log, &needle, "handle_write"), 1);

    reactor.channel(id).unwrap().touch();
    turns(&mut reactor, 20);
    assert_eq!(ignored(&log, &needle, "handle_read"), 2, "touch asks again");
    assert_eq!(ignored(&log, &needle, "handle_write"), 2);
}

#[test]
fn a_peer_that_closes_is_noticed_although_nobody_reads() {
    // Only what fits in the receive buffer: behind a closed window even the kernel does not see the end.
    for unread in [0, 5, 40_000] {
        if unread > 0 && !announces_ends_behind_data() {
            continue;
        }
        let mut reactor = reactor();
        let (id, mut theirs, _) = defaults(&mut reactor);
        settle(&mut reactor);
        theirs.write_all(&vec![0; unread]).unwrap();
        settle(&mut reactor);
        drop(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
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

/// Input that nobody reads is thrown away to find the end of file, that of a pipe too.
#[cfg(unix)]
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
