//! Timers that belong to a channel (R20): what they are lent, where their errors go (R9), and that they end with the object.

use std::{
    cell::Cell,
    io::{self, ErrorKind, Write},
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Channel, ChannelId, Dispatcher, Reactor, Result, State, TimerId, VisitError, testing::Harness,
};
use util::{
    DEADLINE, Recorder, SCRIPTED, Trace,
    peer::{read_to_end, read_while, settled, tcp_pair, unanswering},
    reactor, run, settle, silence_scripted_panics, turn_until,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Arms a timer on a channel, with a token that shows whether its closure is still there.
fn arm(
    reactor: &mut Reactor,
    id: ChannelId,
    delay: Duration,
    token: &Rc<()>,
    mut f: impl FnMut(&mut Recorder, &mut Channel<'_>) -> Result + 'static,
) -> TimerId {
    let token = token.clone();
    let mut channel = reactor.channel(id).unwrap();
    channel.call_later(delay, move |recorder: &mut Recorder, channel| {
        let _token = token;
        recorder.trace.add("timer");
        f(recorder, channel)
    })
}

fn nothing(_: &mut Recorder, _: &mut Channel<'_>) -> Result {
    Ok(())
}

#[test]
fn a_timer_is_lent_the_object_and_its_channel_is_served_behind_it() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "connect");
    arm(
        &mut reactor,
        id,
        Duration::ZERO,
        &Rc::new(()),
        |r, channel| {
            let id = channel.id();
            let own = channel.registry().with(id, nothing).map(drop);
            assert_eq!(own, Err(VisitError::Busy(id)));
            r.readable = true;
            channel.push("pushed");
            channel.close_when_done();
            Ok(())
        },
    );
    let turn = reactor.turn(None).unwrap();
    assert_eq!((turn.timers, turn.callbacks), (1, 1));
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"pushed");
    drop(theirs);

    let (id, mut theirs) = settled(&mut reactor, {
        let mut recorder = Recorder::new(&trace);
        recorder.readable = false;
        recorder
    });
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    trace.clear();
    arm(
        &mut reactor,
        id,
        Duration::ZERO,
        &Rc::new(()),
        |recorder, _| {
            recorder.readable = true;
            Ok(())
        },
    );
    turn_until(&mut reactor, |_| trace.has("read:5"));
    assert_eq!(trace.joined(), "timer read:5");
}

type Outcome = fn() -> Result;

#[test]
fn the_outcome_of_a_timer_is_judged_as_that_of_a_callback() {
    silence_scripted_panics();
    let table: [(Outcome, &str); 6] = [
        (|| Ok(()), "timer"),
        (
            || Err(io::Error::from(ErrorKind::WouldBlock).into()),
            "timer",
        ),
        (
            || Err(io::Error::from(ErrorKind::Interrupted).into()),
            "timer",
        ),
        (
            || Err(io::Error::from(ErrorKind::BrokenPipe).into()),
            "timer close",
        ),
        (|| Err("wrong".into()), "timer error:wrong"),
        (|| panic!("{SCRIPTED}"), "timer error:panicked: scripted"),
    ];
    for every in [false, true] {
        for (outcome, expected) in table {
            let mut reactor = Reactor::new().unwrap();
            let trace = Trace::new();
            let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
            trace.clear();
            let mut channel = reactor.channel(id).unwrap();
            if every {
                channel.call_every(MS, move |recorder: &mut Recorder, _| {
                    recorder.trace.add("timer");
                    outcome()
                });
            } else {
                channel.call_later(MS, move |recorder: &mut Recorder, _| {
                    recorder.trace.add("timer");
                    outcome()
                });
            }
            let ends = expected != "timer";
            let runs = if every && !ends { 3 } else { 1 };
            turn_until(&mut reactor, |_| trace.count("timer") >= runs);
            settle_quickly(&mut reactor);
            if runs == 1 {
                assert_eq!(trace.joined(), expected, "every {every}");
            } else {
                assert!(trace.lines().iter().all(|line| line == "timer"));
            }
            assert_eq!(reactor.channel(id).is_none(), ends, "{expected}");
            let left = usize::from(every && !ends);
            assert_eq!(reactor.stats().timers, left, "{expected}");
        }
    }
}

/// Not `settle`: a periodic timer never rests.
fn settle_quickly(reactor: &mut Reactor) {
    for _ in 0..3 {
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn an_error_does_not_end_a_periodic_timer_whose_object_keeps_its_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.on_error = Some(Box::new(|_| Ok(())));
    let (id, _theirs) = settled(&mut reactor, recorder);
    let mut channel = reactor.channel(id).unwrap();
    let timer = channel.call_every(MS, |_: &mut Recorder, _| Err("again".into()));
    turn_until(&mut reactor, |_| trace.count("error:again") == 3);
    assert!(reactor.cancel(timer));
}

#[test]
fn an_object_of_another_type_is_told_so_when_the_timer_fires() {
    struct Other;
    impl Dispatcher for Other {}
    for every in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
        trace.clear();
        let owned = Rc::new(());
        let held = owned.clone();
        let mut channel = reactor.channel(id).unwrap();
        if every {
            channel.call_every(MS, move |_: &mut Other, _| panic!("{held:?}"));
        } else {
            channel.call_later(MS, move |_: &mut Other, _| panic!("{held:?}"));
        }
        run(&mut reactor);
        let error = format!("error:{}", VisitError::WrongType(id));
        assert_eq!(trace.lines(), [error]);
        assert_eq!(Rc::strong_count(&owned), 1);
    }
}

#[test]
fn the_id_of_a_channels_timer_is_that_of_any_timer() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let token = Rc::new(());
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let cancelled = arm(&mut reactor, id, MS, &token, nothing);
    assert!(reactor.cancel(cancelled) && !reactor.cancel(cancelled));
    assert_eq!(Rc::strong_count(&token), 1);
    let moved = arm(&mut reactor, id, HOUR, &token, nothing);
    assert!(reactor.reschedule(moved, Duration::ZERO));
    turn_until(&mut reactor, |_| trace.has("timer"));
    assert!(!reactor.cancel(moved) && !reactor.reschedule(moved, MS));

    let own = Rc::new(Cell::new(None::<TimerId>));
    let mine = own.clone();
    own.set(Some(arm(
        &mut reactor,
        id,
        MS,
        &token,
        move |_, channel| {
            assert!(!channel.registry().cancel(mine.get().unwrap()), "it runs");
            Ok(())
        },
    )));
    turn_until(&mut reactor, |_| trace.count("timer") == 2);

    let (mine, held) = (own.clone(), token.clone());
    let mut channel = reactor.channel(id).unwrap();
    own.set(Some(channel.call_every(
        MS,
        move |recorder: &mut Recorder, channel| {
            assert_eq!(Rc::strong_count(&held), 2);
            recorder.trace.add("tick");
            if recorder.trace.count("tick") == 3 {
                assert!(channel.registry().cancel(mine.get().unwrap()));
                assert!(!channel.registry().cancel(mine.get().unwrap()));
            }
            Ok(())
        },
    )));
    turn_until(&mut reactor, |reactor| reactor.stats().timers == 0);
    assert_eq!(trace.count("tick"), 3);
    assert_eq!(Rc::strong_count(&token), 1);
}

type End = fn(&mut Channel<'_>, &Trace);

/// What ends a channel's timers: the object goes.
const ENDS: [(&str, End); 7] = [
    ("close", |channel, _| channel.close()),
    ("lingers", |channel, _| channel.close_when_done()),
    ("detach", |channel, _| drop(channel.detach())),
    ("replace", |channel, trace| {
        channel.replace(Recorder::named(trace, "new"));
    }),
    ("close_all", |channel, _| channel.registry().close_all()),
    ("shutdown", |channel, _| channel.registry().shutdown(HOUR)),
    ("error", |channel, _| channel.push(vec![0; 1 << 20])),
];

fn with_a_small_bound(reactor: &mut Reactor, trace: &Trace) -> (ChannelId, TcpStream) {
    let (id, theirs) = settled(reactor, Recorder::new(trace));
    reactor.channel(id).unwrap().set_max_outgoing(1000);
    trace.clear();
    (id, theirs)
}

#[test]
fn a_channels_timers_end_with_its_object() {
    for (name, end) in ENDS {
        for from_a_timer in [false, true] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let token = Rc::new(());
            let (id, theirs) = with_a_small_bound(&mut reactor, &trace);
            for delay in [HOUR, HOUR, Duration::MAX] {
                arm(&mut reactor, id, delay, &token, nothing);
            }
            let held = token.clone();
            let mut channel = reactor.channel(id).unwrap();
            channel.call_every(HOUR, move |_: &mut Recorder, _| {
                panic!("{held:?}");
            });
            if from_a_timer {
                let words = trace.clone();
                // While it runs it is one of those that end.
                let mut channel = reactor.channel(id).unwrap();
                let held = token.clone();
                channel.call_every(MS, move |_: &mut Recorder, channel| {
                    let _held = &held;
                    end(channel, &words);
                    Ok(())
                });
                turn_until(&mut reactor, |_| Rc::strong_count(&token) == 1);
            } else {
                end(&mut reactor.channel(id).unwrap(), &trace);
                settle(&mut reactor);
            }
            assert_eq!(Rc::strong_count(&token), 1, "{name} {from_a_timer}");
            let own = match name {
                "lingers" => 1,
                // The grace as well.
                "shutdown" => 2,
                _ => 0,
            };
            assert_eq!(reactor.stats().timers, own, "{name} {from_a_timer}");
            assert!(!trace.has("timer"), "{name}: {}", trace.joined());
            // Neither the object nor its timers keep the loop.
            drop(theirs);
            run(&mut reactor);
        }
    }
}

#[test]
fn a_timer_that_is_due_in_the_turn_in_which_its_channel_closes_does_not_run() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let token = Rc::new(());
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    let (other, _others) = settled(&mut reactor, Recorder::named(&trace, "other"));
    trace.clear();
    for ended in [id, other] {
        arm(
            &mut reactor,
            id,
            Duration::ZERO,
            &token,
            move |_, channel| {
                if let Some(mut channel) = channel.registry().channel(ended) {
                    channel.close();
                }
                Ok(())
            },
        );
        arm(&mut reactor, other, Duration::ZERO, &token, nothing);
    }
    let turn = reactor.turn(None).unwrap();
    assert_eq!(
        (turn.timers, trace.joined().as_str()),
        (3, "timer timer timer")
    );
    assert_eq!(Rc::strong_count(&token), 1);
    assert!(reactor.channel(id).is_none() && reactor.channel(other).is_some());
}

#[test]
fn after_replace_a_timer_is_the_new_objects() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let words = trace.clone();
    let token = Rc::new(());
    arm(
        &mut reactor,
        id,
        Duration::ZERO,
        &token,
        move |_, channel| {
            channel.call_later(Duration::ZERO, |_: &mut Recorder, _| {
                panic!("the old one's")
            });
            channel.replace(Recorder::named(&words, "new"));
            channel.call_later(Duration::ZERO, |recorder: &mut Recorder, _| {
                recorder.trace.add(format!("{}.timer", recorder.name));
                Ok(())
            });
            Ok(())
        },
    );
    turn_until(&mut reactor, |_| trace.has("new.timer"));
    assert_eq!(trace.joined(), "timer new.timer");
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn armed_on_a_channel_without_an_object_it_is_dropped_at_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let token = Rc::new(());
    let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    let before = reactor.stats().timers;
    let timer = arm(&mut reactor, id, MS, &token, nothing);
    assert_eq!(Rc::strong_count(&token), 1, "it lingers");
    assert!(!reactor.cancel(timer));
    assert_eq!(reactor.stats().timers, before);
    drop(theirs);

    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    let held = token.clone();
    let mut channel = reactor.channel(id).unwrap();
    channel.close();
    let timer = channel.call_every(MS, move |_: &mut Recorder, _| panic!("{held:?}"));
    assert_eq!(Rc::strong_count(&token), 1, "it is closed");
    assert!(!channel.registry().cancel(timer));
    run(&mut reactor);
}

#[test]
fn a_timer_runs_while_its_channel_is_connecting() {
    let outcomes: [(Outcome, bool); 3] = [
        (|| Ok(()), false),
        (|| Err("given up".into()), true),
        // There is no connection yet that could break: it may be another one's.
        (
            || Err(io::Error::from(ErrorKind::ConnectionReset).into()),
            false,
        ),
    ];
    for (outcome, ends) in outcomes {
        let (listener, address, waiting) = unanswering();
        let mut reactor = reactor();
        let trace = Trace::new();
        let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
        arm(&mut reactor, id, MS, &Rc::new(()), move |_, channel| {
            assert_eq!(channel.state(), State::Connecting);
            channel.push("early");
            outcome()
        });
        turn_until(&mut reactor, |_| trace.has("timer"));
        settle(&mut reactor);
        if ends {
            assert_eq!(trace.joined(), "timer error:given up");
            assert!(reactor.channel(id).is_none());
            continue;
        }
        assert_eq!(trace.joined(), "timer");
        reactor.channel(id).unwrap().push(" and late");
        let _kept: Vec<_> = waiting.iter().map(|_| listener.accept().unwrap()).collect();
        turn_until(&mut reactor, |_| trace.has("connect"));
        let (mut theirs, _) = listener.accept().unwrap();
        read_while(&mut reactor, &mut theirs, |got| got == b"early and late");
        assert!(!trace.has("close") && reactor.channel(id).is_some());
    }
}

#[test]
fn timers_do_not_keep_the_loop_longer_than_their_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
    let mut channel = reactor.channel(id).unwrap();
    channel.call_every(HOUR, |_: &mut Recorder, _| Ok(()));
    channel.call_later(HOUR, |_: &mut Recorder, _| Ok(()));
    drop(theirs);
    run(&mut reactor);
    assert!(trace.has("close"));
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn a_listener_survives_the_error_of_its_timer() {
    struct Server(Trace);
    impl Dispatcher for Server {}
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Server(trace.clone()))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.call_every(MS, |server: &mut Server, _| {
        server.0.add("tick");
        Err(io::Error::from(ErrorKind::ConnectionReset).into())
    });
    turn_until(&mut reactor, |_| trace.count("tick") >= 3);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Listening);
    reactor.channel(id).unwrap().close();
    run(&mut reactor);
}

#[test]
fn a_timer_is_no_traffic() {
    let trace = Trace::new();
    let mut peer = Harness::new(Recorder::new(&trace));
    let id = peer.id();
    let mut registry = peer.registry();
    let mut channel = registry.channel(id).unwrap();
    channel.set_idle_timeout(Some(10 * MS));
    channel.call_every(4 * MS, |recorder: &mut Recorder, _| {
        recorder.trace.add("tick");
        Ok(())
    });
    drop(registry);
    peer.advance(HOUR);
    let words = trace.lines().split_off(trace.lines().len() - 3);
    assert_eq!(words, ["tick", "tick", "timeout"]);
    assert!(peer.is_closed());
}

/// None of it may cost the square of their number.
#[test]
fn many_timers_on_one_channel_are_armed_fired_and_cancelled_in_time() {
    const MANY: usize = if cfg!(miri) { 200 } else { 100_000 };
    let start = Instant::now();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    let runs = Rc::new(Cell::new(0));
    let mut channel = reactor.channel(id).unwrap();
    let mut arm = |delay| {
        let runs = runs.clone();
        channel.call_later(delay, move |_: &mut Recorder, _| {
            runs.set(runs.get() + 1);
            Ok(())
        })
    };
    let far: Vec<_> = (0..MANY).map(|_| arm(HOUR)).collect();
    for _ in 0..MANY {
        arm(Duration::ZERO);
    }
    for timer in far.iter().step_by(2) {
        assert!(reactor.cancel(*timer));
    }
    turn_until(&mut reactor, |_| runs.get() == MANY);
    reactor.channel(id).unwrap().close();
    assert_eq!((reactor.stats().timers, runs.get()), (0, MANY));
    assert_eq!(Rc::strong_count(&runs), 1);
    assert!(start.elapsed() < DEADLINE);
}

/// The object is lost with the panic, and its timers with the object.
#[test]
fn after_a_panic_left_turn_no_timer_of_the_channel_is_left() {
    silence_scripted_panics();
    for every in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let token = Rc::new(());
        let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
        arm(&mut reactor, id, HOUR, &token, nothing);
        let mut channel = reactor.channel(id).unwrap();
        if every {
            channel.call_every(MS, |_: &mut Recorder, _| panic!("{SCRIPTED}"));
        } else {
            channel.call_later(MS, |_: &mut Recorder, _| panic!("{SCRIPTED}"));
        }
        let until = || turn_until(&mut reactor, |_| false);
        assert!(catch_unwind(AssertUnwindSafe(until)).is_err());
        assert!(reactor.channel(id).is_none());
        assert_eq!((reactor.stats().timers, Rc::strong_count(&token)), (0, 1));
        run(&mut reactor);
    }
}

#[test]
fn a_stream_handed_over_leaves_its_timers_behind() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let token = Rc::new(());
    let (ours, _theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    arm(&mut reactor, id, Duration::ZERO, &token, nothing);
    let detached = reactor.channel(id).unwrap().detach().unwrap();
    let again = reactor
        .register(detached.socket, Recorder::named(&trace, "again"))
        .unwrap();
    settle(&mut reactor);
    assert!(trace.has("again.connect") && !trace.has("timer"));
    assert!(reactor.channel(again).is_some());
    assert_eq!(Rc::strong_count(&token), 1);
}
