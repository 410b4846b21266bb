//! What a program hands over may panic when it is shown or dropped: payloads of panics, errors, objects, closures, bytes.
//! That too stays with its channel (R9), and a panic that leaves `turn` because it shall takes nothing else with it.

use std::{
    cell::Cell,
    error::Error,
    fmt,
    io::{self, ErrorKind, Write},
    net::{TcpStream, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use asynchat::{
    Address, Answer, BoxError, Channel, ChannelId, Closed, Dispatcher, Question, Reactor, Registry,
    Resolver, Result, State, Stream,
};
use bytes::Bytes;
use util::{
    DEADLINE, Log, Recorder, SCRIPTED, Trace, address_of,
    peer::{read_to_end, settled},
    run, settle, silence_scripted_panics, turn_until,
};

use super::stage::{Callback, stage, with_input};

/// Panics when it is dropped, with another of its kind, but not for ever: a test has to end.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 && !std::thread::panicking() {
            panic_any(Self(self.0 - 1));
        }
    }
}

fn bomb() -> Bomb {
    silence_scripted_panics();
    Bomb(3)
}

/// An error that panics when it is shown, and when it is dropped.
struct Impolite(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl fmt::Debug for Impolite {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("{SCRIPTED}: not to be shown");
    }
}

impl fmt::Display for Impolite {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("{SCRIPTED}: not to be shown");
    }
}

impl Error for Impolite {}

fn impolite() -> BoxError {
    Impolite(bomb()).into()
}

fn impolite_io(kind: ErrorKind) -> BoxError {
    io::Error::new(kind, Impolite(bomb())).into()
}

/// Every turn comes back, and the other channel is served.
fn expect_contained(reactor: &mut Reactor, trace: &Trace, case: &str) {
    turn_until(reactor, |_| trace.has("other.read:5"));
    settle(reactor);
    assert_eq!(trace.count("other.read:5"), 1, "{case}");
}

#[test]
fn a_payload_that_panics_when_dropped_stays_with_its_channel() {
    for &callback in Callback::ALL {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let staged = stage(&mut reactor, &trace, callback, |_| panic_any(bomb()));
        turn_until(&mut reactor, |_| trace.has(callback.word()));
        expect_contained(&mut reactor, &trace, callback.word());
        assert!(reactor.channel(staged.id).is_none(), "{callback:?}");
        if callback != Callback::Error {
            let told = trace.count("a.error:panicked: a panic without a message");
            assert_eq!(told, 1, "{callback:?}: {:?}", trace.lines());
        }
    }
}

/// Panics in one of its predicates when that is due.
struct Moody {
    readable: bool,
    due: Rc<Cell<bool>>,
}

impl Moody {
    fn asked(&self, readable: bool) {
        if self.readable == readable && self.due.replace(false) {
            panic_any(bomb());
        }
    }
}

impl Dispatcher for Moody {
    fn readable(&self) -> bool {
        self.asked(true);
        true
    }

    fn writable(&self) -> bool {
        self.asked(false);
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        Ok(())
    }
}

#[test]
fn a_predicates_payload_that_panics_when_dropped_stays_with_its_channel() {
    for readable in [true, false] {
        let mut reactor = Reactor::new().unwrap();
        let due = Rc::new(Cell::new(false));
        let moody = Moody {
            readable,
            due: due.clone(),
        };
        let (id, mut theirs) = settled(&mut reactor, moody);
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        due.set(true);
        theirs.write_all(b"x").unwrap();
        expect_contained(&mut reactor, &trace, "predicate");
        assert!(!due.get() && reactor.channel(id).is_none());
    }
}

type MakeError = fn() -> BoxError;

/// Fails with an error of its own making when it is called, and leaves the rest to the defaults.
struct Failing {
    error: MakeError,
    trace: Trace,
}

impl Dispatcher for Failing {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if channel.recv(&mut [0; 16])? > 0 {
            return Err((self.error)());
        }
        Ok(())
    }

    fn handle_accepted(&mut self, channel: &mut Channel<'_>, _: Stream, _: Address) -> Result {
        assert_eq!(channel.state(), State::Listening);
        Err((self.error)())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.trace
            .add(format!("close, reset {}", channel.is_reset()));
        channel.close();
        Ok(())
    }
}

#[test]
fn an_error_that_cannot_be_shown_or_dropped_stays_with_its_channel() {
    let _log = Log::start();
    let ways: [(MakeError, &str); 4] = [
        (impolite, ""),
        (|| impolite_io(ErrorKind::InvalidData), ""),
        (|| impolite_io(ErrorKind::WouldBlock), "close, reset false"),
        (|| impolite_io(ErrorKind::BrokenPipe), "close, reset true"),
    ];
    for (error, end) in ways {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let ends = Trace::new();
        let failing = Failing {
            error,
            trace: ends.clone(),
        };
        let (id, mut theirs) = settled(&mut reactor, failing);
        theirs.write_all(b"x").unwrap();
        expect_contained(&mut reactor, &trace, end);
        drop(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(ends.joined(), end);
    }
}

#[test]
fn a_listener_survives_an_error_that_cannot_be_shown_or_dropped() {
    let log = Log::start();
    for error in [impolite, || impolite_io(ErrorKind::ConnectionReset)] {
        let mut reactor = Reactor::new().unwrap();
        let failing = Failing {
            error,
            trace: Trace::new(),
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), failing).unwrap();
        let address = address_of(&mut reactor, id);
        for _ in 0..2 {
            let mut client = TcpStream::connect(address).unwrap();
            assert_eq!(read_to_end(&mut reactor, &mut client), b"");
        }
        assert_eq!(reactor.channel(id).unwrap().state(), State::Listening);
    }
    let lines = log.lines("an error whose Display panicked");
    assert!(
        lines.iter().any(|line| line.starts_with("ERROR")),
        "{lines:?}"
    );
}

/// What it returned is nobody's concern any more, but it is dropped.
#[test]
fn an_error_after_close_that_cannot_be_shown_or_dropped_is_contained() {
    let _log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    let staged = stage(&mut reactor, &trace, Callback::Read, |channel| {
        channel.close();
        Err(impolite())
    });
    expect_contained(&mut reactor, &trace, "after close");
    assert!(reactor.channel(staged.id).is_none());
}

type Job = fn(&mut Registry) -> Result;

#[test]
fn timers_and_posted_calls_with_such_payloads_and_errors_disturb_no_other() {
    let log = Log::start();
    let jobs: [Job; 3] = [
        |_| panic_any(bomb()),
        |_| Err(impolite()),
        |_| Err(impolite_io(ErrorKind::WouldBlock)),
    ];
    for hooked in [false, true] {
        let mut builder = Reactor::builder();
        if hooked {
            builder = builder.on_error(|_, _, error| {
                drop(error);
                panic_any(bomb());
            });
        }
        let mut reactor = builder.build().unwrap();
        let ran = Rc::new(Cell::new(0));
        for job in jobs {
            reactor.call_later(Duration::ZERO, job);
            reactor.handle().call_soon(job).unwrap();
            // One that would go on for ever.
            let (mut left, count) = (3, ran.clone());
            reactor.call_every(Duration::from_millis(1), move |registry| {
                left -= 1;
                count.set(count.get() + 1);
                if left == 0 {
                    registry.stop();
                }
                job(registry)
            });
        }
        turn_until(&mut reactor, |_| ran.get() >= 9);
        assert!(reactor.stats().errors >= 12);
        drop(reactor);
    }
    assert!(!log.lines("an error whose Display panicked").is_empty());
}

#[test]
fn objects_and_closures_that_panic_when_dropped_are_contained() {
    struct Owner(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);
    impl Dispatcher for Owner {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv(&mut [0])?;
            channel.close();
            Ok(())
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    let (in_callback, mut theirs) = settled(&mut reactor, Owner(bomb()));
    theirs.write_all(b"x").unwrap();
    let (from_outside, _theirs) = settled(&mut reactor, Owner(bomb()));
    reactor.channel(from_outside).unwrap().close();
    let held = bomb();
    let timer = reactor.call_later(Duration::ZERO, move |_| {
        let _held = &held;
        Ok(())
    });
    assert!(reactor.cancel(timer));
    let held = bomb();
    reactor.call_later(Duration::ZERO, move |_| {
        let _held = &held;
        Ok(())
    });
    expect_contained(&mut reactor, &trace, "objects");
    assert!(reactor.channel(in_callback).is_none());
    assert_eq!(reactor.stats().timers, 0);
}

/// In the last callback, and in all that is dropped with it.
#[test]
fn a_last_callback_that_panics_with_all_it_holds_disturbs_no_other() {
    struct Last {
        _bomb: Bomb,
        panics: bool,
        /// How many more its end is to begin.
        left: u32,
    }
    fn last(panics: bool, left: u32) -> Last {
        Last {
            _bomb: bomb(),
            panics,
            left,
        }
    }
    impl Dispatcher for Last {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv(&mut [0; 16])? > 0 {
                return Err(impolite());
            }
            Ok(())
        }
        fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
            let _held = bomb();
            if self.left > 0 {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let next = last(self.panics, self.left - 1);
                let next = registry.register(socket, next).unwrap();
                registry.channel(next).unwrap().close();
            }
            assert!(!self.panics, "{SCRIPTED}: {}", why.cause);
        }
    }
    let _log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    let mut peers = Vec::new();
    for panics in [false, true] {
        let (id, mut theirs) = settled(&mut reactor, last(panics, 2));
        theirs.write_all(b"x").unwrap();
        let (from_outside, others) = settled(&mut reactor, last(panics, 2));
        reactor.channel(from_outside).unwrap().close();
        peers.push((theirs, others));
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    }
    expect_contained(&mut reactor, &trace, "the last callback");
    assert_eq!(reactor.stats().channels, 1);
    // Closed, and not told yet.
    reactor
        .register(UdpSocket::bind("127.0.0.1:0").unwrap(), last(true, 0))
        .unwrap();
    reactor.close_all();
    drop(reactor);
}

type End = fn(&mut Channel<'_>);

/// Two timers of its own on a channel, which are not to run, and a token of each.
fn arm_bombs(reactor: &mut Reactor, trace: &Trace) -> (ChannelId, TcpStream, Rc<()>) {
    let token = Rc::new(());
    let (id, theirs) = settled(reactor, Recorder::named(trace, "bombs"));
    let mut channel = reactor.channel(id).unwrap();
    let held = (bomb(), token.clone());
    channel.call_later(Duration::from_secs(60), move |_: &mut Recorder, _| {
        let _held = held;
        Ok(())
    });
    let held = (bomb(), token.clone());
    channel.call_every(Duration::from_secs(60), move |_: &mut Recorder, _| {
        let _held = &held;
        Ok(())
    });
    (id, theirs, token)
}

const ENDS: [End; 4] = [
    |channel| channel.close(),
    |channel| channel.close_when_done(),
    |channel| drop(channel.detach()),
    |channel| channel.replace(Recorder::named(&Trace::new(), "new")),
];

#[test]
fn a_channels_timers_that_panic_when_dropped_are_contained() {
    for end in ENDS {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (id, _theirs, token) = arm_bombs(&mut reactor, &trace);
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        end(&mut reactor.channel(id).unwrap());
        expect_contained(&mut reactor, &trace, "timers");
        assert_eq!(Rc::strong_count(&token), 1);
    }
    // While they run.
    let jobs: [fn() -> Result; 3] = [
        || panic_any(bomb()),
        || Err(impolite()),
        || Err(impolite_io(ErrorKind::WouldBlock)),
    ];
    for job in jobs {
        for end in ENDS {
            let mut reactor = Reactor::new().unwrap();
            let trace = Trace::new();
            let (id, _theirs, token) = arm_bombs(&mut reactor, &trace);
            let (_, _peer) = with_input(&mut reactor, &trace, "other");
            let held = (bomb(), token.clone());
            let mut channel = reactor.channel(id).unwrap();
            channel.call_every(
                Duration::from_millis(1),
                move |_: &mut Recorder, channel| {
                    let _held = &held;
                    end(channel);
                    job()
                },
            );
            turn_until(&mut reactor, |_| Rc::strong_count(&token) == 1);
            expect_contained(&mut reactor, &trace, "timers");
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let (_, _theirs, token) = arm_bombs(&mut reactor, &Trace::new());
    drop(reactor);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn what_a_reactor_still_has_may_panic_when_it_is_dropped() {
    struct Owner(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);
    impl Dispatcher for Owner {}
    let token = Rc::new(());
    let shared = Arc::new(());
    let held = (bomb(), token.clone());
    let mut reactor = Reactor::builder()
        .on_error(move |_, _, _| {
            let _held = &held;
        })
        .build()
        .unwrap();
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(settled(&mut reactor, Owner(bomb())));
        let held = (bomb(), token.clone());
        reactor.call_later(Duration::from_secs(60), move |_| {
            let _held = &held;
            Ok(())
        });
        let held = (bomb(), shared.clone());
        let posted = reactor.handle().call_soon(move |_| {
            let _held = &held;
            Ok(())
        });
        posted.unwrap();
    }
    drop(reactor);
    assert_eq!(
        (Rc::strong_count(&token), Arc::strong_count(&shared)),
        (1, 1)
    );
}

/// All else of a program's that is dropped in the course of a visit.
#[test]
fn bytes_whose_owner_panics_when_dropped_end_their_own_channel_at_most() {
    struct Owner {
        data: Vec<u8>,
        _bomb: Bomb,
    }
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.data
        }
    }
    for (len, close) in [(1_000_000, false), (10_000, false), (10_000, true)] {
        for outside in [true, false] {
            let mut reactor = Reactor::new().unwrap();
            let trace = Trace::new();
            let (id, mut theirs) = settled(&mut reactor, Recorder::named(&trace, "first"));
            let (_, _peer) = with_input(&mut reactor, &trace, "other");
            let act = move |channel: &mut Channel<'_>| {
                channel.push(Bytes::from_owner(Owner {
                    data: vec![0; len],
                    _bomb: bomb(),
                }));
                if close {
                    channel.close();
                }
            };
            if outside {
                reactor.call_later(Duration::ZERO, move |registry| {
                    act(&mut registry.channel(id).unwrap());
                    Ok(())
                });
            } else {
                theirs.write_all(b"x").unwrap();
                let act: Act = Rc::new(act);
                let pushing = Pushing(Some(act));
                reactor.channel(id).unwrap().replace(pushing);
            }
            expect_contained(&mut reactor, &trace, "bytes");
        }
    }
}

type Act = Rc<dyn Fn(&mut Channel<'_>)>;

struct Pushing(Option<Act>);

impl Dispatcher for Pushing {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        if let Some(act) = self.0.take() {
            act(channel);
        }
        Ok(())
    }
}

// ---- panics that leave `turn` because they shall

#[test]
fn after_a_panic_left_turn_the_rest_of_the_batch_is_served() {
    silence_scripted_panics();
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["first", "second", "third"] {
        let mut recorder = Recorder::named(&trace, name);
        let read = trace.clone();
        recorder.on_read = Some(Box::new(move |_| {
            assert!(!read.has(&format!("{name}.read:1")), "{SCRIPTED}");
            Ok(())
        }));
        peers.push(settled(&mut reactor, recorder));
    }
    // Forgets what has been written down.
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    for (_, theirs) in &mut peers {
        theirs.write_all(b"x").unwrap();
    }
    for left in (0..3).rev() {
        let turn = || turn_until(&mut reactor, |_| false);
        assert!(catch_unwind(AssertUnwindSafe(turn)).is_err());
        let open = peers
            .iter()
            .filter(|(id, _)| reactor.channel(*id).is_some());
        assert_eq!(
            open.count(),
            left,
            "one channel has ended, the one that panicked"
        );
    }
    turn_until(&mut reactor, |_| trace.has("other.read:5"));
    assert_eq!(trace.lines().len(), 4, "each once: {:?}", trace.lines());
}

#[test]
fn after_a_panic_left_turn_the_channels_touched_by_others_are_looked_at() {
    silence_scripted_panics();
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["first", "second"] {
        let mut recorder = Recorder::named(&trace, name);
        recorder.on_drain = Some(Box::new(|_| panic!("{SCRIPTED}")));
        peers.push(settled(&mut reactor, recorder));
    }
    for (id, _) in &peers {
        let mut channel = reactor.channel(*id).unwrap();
        channel.set_watermarks(0, 1);
        channel.push("more than one byte");
    }
    for left in [1, 0] {
        let turn = || reactor.turn(Some(Duration::ZERO));
        assert!(catch_unwind(AssertUnwindSafe(turn)).is_err());
        let open = peers
            .iter()
            .filter(|(id, _)| reactor.channel(*id).is_some());
        assert_eq!(open.count(), left);
    }
    run(&mut reactor);
}

/// The first of two is the one that leaves; the other is dropped all the same.
#[test]
fn after_a_panic_of_a_channels_timer_that_is_dropped_none_is_left() {
    for end in ENDS {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let (id, theirs, token) = arm_bombs(&mut reactor, &trace);
        let ending = catch_unwind(AssertUnwindSafe(|| {
            end(&mut reactor.channel(id).unwrap());
            settle(&mut reactor);
        }));
        if let Err(panic) = ending {
            std::mem::forget(panic);
        } else {
            panic!("it was kept in the loop");
        }
        assert_eq!(Rc::strong_count(&token), 1);
        settle(&mut reactor);
        drop(theirs);
        run(&mut reactor);
        assert_eq!(reactor.stats().timers, 0);
    }
}

#[test]
fn after_a_panic_left_turn_neither_timer_nor_posted_call_is_lost_or_left() {
    silence_scripted_panics();
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let note = |word: &'static str| {
        let trace = trace.clone();
        move |_: &mut Registry| -> Result {
            trace.add(word);
            panic!("{SCRIPTED}: {word}");
        }
    };
    reactor.call_every(Duration::from_millis(1), note("every"));
    reactor.call_later(Duration::from_millis(1), note("once"));
    for word in ["a", "b"] {
        let handle = reactor.handle();
        handle
            .call_soon(move |_| panic!("{SCRIPTED}: {word}"))
            .unwrap();
    }
    for _ in 0..4 {
        assert!(catch_unwind(AssertUnwindSafe(|| reactor.run())).is_err());
        let (time, start) = (reactor.now(), Instant::now());
        while reactor.now() == time {
            assert!(start.elapsed() < DEADLINE, "the clock stands still");
        }
    }
    assert_eq!(reactor.stats().timers, 0, "not even the periodic one");
    run(&mut reactor);
    let mut lines = trace.lines();
    lines.sort();
    assert_eq!(lines, ["every", "once"]);
}

/// Answers every question with an error that panics when it is dropped.
struct Refuses;

impl Resolver for Refuses {
    fn resolve(&mut self, _: Question, answer: Answer) {
        answer.give(Err(io::Error::other(Impolite(bomb()))));
    }
}

#[test]
fn a_close_before_the_report_of_a_failed_attempt_drops_its_error_and_returns() {
    let errors = Trace::new();
    let heard = errors.clone();
    let mut reactor = Reactor::builder()
        .resolver(Refuses)
        .on_error(move |_, _, _| heard.add("an error"))
        .build()
        .unwrap();
    let client = Recorder::new(&Trace::new());
    let id = reactor.connect_host("www.example", 1, client).unwrap();
    // Behind the answer, in front of the visit that would report it.
    let returned = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&returned);
    let close = move |registry: &mut Registry| {
        registry.channel(id).ok_or("closed")?.close();
        done.store(true, Ordering::Relaxed);
        Ok(())
    };
    reactor.handle().call_soon(close).unwrap();
    run(&mut reactor);
    assert!(returned.load(Ordering::Relaxed) && errors.lines().is_empty());
}
