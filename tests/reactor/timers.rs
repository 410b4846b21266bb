//! Timers (R20): `call_later`, `call_every`, `cancel`, idle timeouts, and what happens to their errors (R9).
//!
//! Nothing here asserts that something happens soon: only order, and that nothing happens too early.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    BoxError, Channel, Dispatcher, ErrorSource, Produced, Reactor, Registry, Result, State,
    TimerId, from_fn, testing::Harness,
};
use util::{
    Log, Recorder, Trace,
    peer::{narrow_tcp_pair, settled, tcp_pair, unanswering},
    reactor, run, settle, turn_until,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A timer that writes down `word`.
fn note(trace: &Trace, word: &str) -> impl FnOnce(&mut Registry) -> Result + 'static {
    let (trace, word) = (trace.clone(), word.to_string());
    move |_| {
        trace.add(word);
        Ok(())
    }
}

/// Keeps the thread busy until `now` is `after` later; stands for callbacks that take long.
fn be_busy(after: Duration) {
    let start = Instant::now();
    while start.elapsed() < after {
        std::thread::yield_now();
    }
}

// ---- order

#[test]
fn timers_run_in_the_order_of_their_deadlines_and_ties_in_the_order_of_the_calls() {
    let mut reactor = reactor();
    let trace = Trace::new();
    reactor.call_later(5 * MS, note(&trace, "5"));
    reactor.call_later(MS, note(&trace, "1a"));
    reactor.call_later(3 * MS, note(&trace, "3"));
    reactor.call_later(MS, note(&trace, "1b"));
    reactor.call_later(Duration::ZERO, note(&trace, "0"));
    reactor.call_later(MS, note(&trace, "1c"));
    run(&mut reactor);
    assert_eq!(trace.joined(), "0 1a 1b 1c 3 5");
}

#[test]
fn a_timer_never_runs_early_and_run_waits_for_it() {
    let mut reactor = reactor();
    let armed = reactor.now();
    let ran = Rc::new(Cell::new(None));
    let when = ran.clone();
    reactor.call_later(30 * MS, move |registry| {
        when.set(Some(registry.now()));
        Ok(())
    });
    run(&mut reactor);
    assert!(ran.get().unwrap() >= armed + 30 * MS);
    assert!(Instant::now() >= armed + 30 * MS);
}

#[test]
fn the_delay_counts_from_the_turns_own_time() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let first = trace.clone();
    reactor.call_later(Duration::ZERO, move |registry| {
        let (second, third) = (note(&first, "second"), note(&first, "first"));
        let now = registry.now();
        registry.call_later(5 * MS, second);
        be_busy(10 * MS);
        assert_eq!(registry.now(), now, "one clock reading a turn");
        // Armed later for an earlier time: the time spent in between does not count.
        registry.call_later(4 * MS, third);
        Ok(())
    });
    run(&mut reactor);
    assert_eq!(trace.joined(), "first second");
}

#[test]
fn a_zero_delay_armed_in_a_timer_means_the_next_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let outer = trace.clone();
    reactor.call_later(Duration::ZERO, move |registry| {
        outer.add("outer");
        registry.call_later(Duration::ZERO, note(&outer, "inner"));
        Ok(())
    });
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!((trace.joined().as_str(), turn.timers), ("outer", 1));
    let turn = reactor.turn(None).unwrap();
    assert_eq!((trace.joined().as_str(), turn.timers), ("outer inner", 1));
}

#[test]
fn a_zero_delay_armed_in_a_channels_callback_means_the_next_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    let inner = trace.clone();
    recorder.on_connect = Some(Box::new(move |channel| {
        channel
            .registry()
            .call_later(Duration::ZERO, note(&inner, "timer"));
        Ok(())
    }));
    let (ours, _theirs) = tcp_pair();
    reactor.register(ours, recorder).unwrap();
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("connect"));
    assert_eq!(
        turn.timers, 0,
        "what is added during a turn waits for the next"
    );
    let turn = reactor.turn(None).unwrap();
    assert_eq!(turn.timers, 1);
}

#[test]
fn a_timer_that_arms_itself_without_delay_starves_nobody() {
    fn again(registry: &mut Registry, left: u32) -> Result {
        if left > 0 {
            registry.call_later(Duration::ZERO, move |registry| again(registry, left - 1));
        }
        Ok(())
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.call_later(Duration::ZERO, |registry| again(registry, 1_000_000));
    reactor.call_later(5 * MS, note(&trace, "later"));
    reactor.handle().call_soon(|_| Ok(())).unwrap();
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("later") && trace.has("read:5"));
}

#[test]
fn a_delay_past_the_end_of_time_is_no_error() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let timer = reactor.call_later(Duration::MAX, note(&trace, "never"));
    let every = reactor.call_every(Duration::MAX, |_| Ok(()));
    let turn = reactor.turn(Some(MS)).unwrap();
    assert_eq!(turn.timers, 0);
    assert!(reactor.cancel(timer) && reactor.cancel(every));
}

/// Its next run is as far away as the first was.
#[test]
fn a_period_past_the_end_of_time_goes_on_after_its_timer_was_moved() {
    for period in [
        Duration::MAX,
        Duration::MAX / 2,
        Duration::from_secs(1 << 62),
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let ticks = trace.clone();
        let every = reactor.call_every(period, move |_| {
            ticks.add("tick");
            Ok(())
        });
        for runs in 1..=2 {
            assert!(reactor.reschedule(every, Duration::ZERO));
            turn_until(&mut reactor, |_| trace.count("tick") == runs);
        }
        assert!(reactor.cancel(every), "it goes on: {period:?}");
    }
}

#[test]
fn an_idle_timeout_past_the_end_of_time_is_no_error() {
    for after in [Duration::MAX, Duration::from_secs(1 << 62)] {
        let trace = Trace::new();
        let mut peer = Harness::new(Recorder::new(&trace));
        let id = peer.id();
        let mut registry = peer.registry();
        registry.channel(id).unwrap().set_idle_timeout(Some(after));
        drop(registry);
        peer.advance(HOUR);
        peer.feed("x");
        // The timer is due after 30 years, and armed anew for the hour that the peer was heard of later.
        peer.advance(Duration::MAX);
        assert_eq!(trace.count("read:1"), 1);
        assert_eq!(trace.count("timeout"), 1);
    }
}

#[test]
fn turn_waits_no_longer_than_asked_and_wakes_for_a_timer() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let far = reactor.call_later(HOUR, note(&trace, "far"));
    assert_eq!(reactor.turn(Some(MS)).unwrap().timers, 0);
    reactor.call_later(MS, note(&trace, "near"));
    let turn = reactor.turn(None).unwrap();
    // The poller may come back a little early: the timer then runs in the turn after.
    if turn.timers == 0 {
        reactor.turn(None).unwrap();
    }
    assert_eq!(trace.joined(), "near");
    assert_eq!(reactor.stats().timers, 1);
    assert!(reactor.cancel(far));
}

// ---- call_every

#[test]
fn call_every_keeps_its_grid_and_skips_what_it_missed() {
    const PERIOD: Duration = Duration::from_millis(100);
    let mut reactor = reactor();
    let start = reactor.now();
    let runs = Rc::new(RefCell::new(Vec::<Duration>::new()));
    let times = runs.clone();
    let timer = reactor.call_every(PERIOD, move |registry| {
        times.borrow_mut().push(registry.now() - start);
        Ok(())
    });
    let next_run = |reactor: &mut Reactor| {
        let seen = runs.borrow().len();
        turn_until(reactor, |_| runs.borrow().len() > seen);
        *runs.borrow().last().unwrap()
    };
    let period = |time: Duration| time.as_nanos() / PERIOD.as_nanos();
    let lateness = |time: Duration| time.as_nanos() % PERIOD.as_nanos();
    // Two runs are missed and the third is late by about half a period. The one after it is on time again; a timer
    // that counted from its last run would stay as late. A loaded machine may spoil an attempt, not all of them.
    let back_on_the_grid = (0..5).any(|_| {
        next_run(&mut reactor);
        be_busy(5 * PERIOD / 2);
        let late = next_run(&mut reactor);
        let next = next_run(&mut reactor);
        (PERIOD.as_nanos() / 4..PERIOD.as_nanos() * 3 / 4).contains(&lateness(late))
            && lateness(next) < lateness(late)
    });
    let runs = runs.borrow();
    assert!(back_on_the_grid, "{runs:?}");
    assert!(runs[0] >= PERIOD);
    assert!(
        runs.windows(2)
            .all(|pair| period(pair[0]) < period(pair[1])),
        "no two runs in one period: {runs:?}"
    );
    assert!(reactor.cancel(timer));
}

#[test]
fn call_every_with_a_period_of_zero_does_not_spin() {
    let mut reactor = reactor();
    let runs = Rc::new(Cell::new(0_u32));
    let count = runs.clone();
    let start = reactor.now();
    reactor.call_every(Duration::ZERO, move |registry| {
        count.set(count.get() + 1);
        if registry.now() - start > 20 * MS {
            registry.stop();
        }
        Ok(())
    });
    run(&mut reactor);
    let elapsed = start.elapsed().as_millis();
    assert!(
        u128::from(runs.get()) <= elapsed + 1,
        "{} runs in {elapsed} ms",
        runs.get()
    );
    assert!(runs.get() > 0);
}

// ---- cancel

#[test]
fn a_cancelled_timer_does_not_run_and_gives_back_what_it_owned() {
    let mut reactor = reactor();
    let owned = Rc::new(());
    let (one, two) = (owned.clone(), owned.clone());
    let once = reactor.call_later(Duration::ZERO, move |_| {
        drop(one);
        panic!("cancelled");
    });
    let every = reactor.call_every(MS, move |_| {
        let _ = &two;
        panic!("cancelled");
    });
    assert_eq!(reactor.stats().timers, 2);
    assert!(reactor.cancel(once) && reactor.cancel(every));
    assert_eq!(Rc::strong_count(&owned), 1);
    assert!(!reactor.cancel(once) && !reactor.cancel(every), "twice");
    assert_eq!(reactor.stats().timers, 0);
    run(&mut reactor);
}

#[test]
fn a_timer_may_cancel_another_that_is_due_in_the_same_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let victim = Rc::new(Cell::new(None));
    let (of_first, words) = (victim.clone(), trace.clone());
    reactor.call_later(Duration::ZERO, move |registry| {
        words.add("first");
        assert!(registry.cancel(of_first.get().unwrap()));
        Ok(())
    });
    victim.set(Some(
        reactor.call_later(Duration::ZERO, note(&trace, "second")),
    ));
    reactor.call_later(Duration::ZERO, note(&trace, "third"));
    let turn = reactor.turn(None).unwrap();
    assert_eq!(trace.joined(), "first third");
    assert_eq!(turn.timers, 2);
}

#[test]
fn a_periodic_timer_may_cancel_itself_and_a_single_one_is_gone_while_it_runs() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let own = Rc::new(Cell::new(None::<TimerId>));
    let owned = Rc::new(());
    let (me, words, held) = (own.clone(), trace.clone(), owned.clone());
    own.set(Some(reactor.call_every(MS, move |registry| {
        words.add("tick");
        assert_eq!(Rc::strong_count(&held), 2);
        if words.count("tick") == 3 {
            assert!(registry.cancel(me.get().unwrap()));
            assert!(!registry.cancel(me.get().unwrap()), "it is over already");
        }
        Ok(())
    })));
    run(&mut reactor);
    assert_eq!(trace.joined(), "tick tick tick");
    assert_eq!(Rc::strong_count(&owned), 1);

    let me = own.clone();
    own.set(Some(reactor.call_later(MS, move |registry| {
        assert!(!registry.cancel(me.get().unwrap()));
        Ok(())
    })));
    run(&mut reactor);
}

#[test]
fn a_timer_that_is_moved_runs_once_at_its_new_time() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let later = reactor.call_later(MS, note(&trace, "later"));
    let sooner = reactor.call_later(HOUR, note(&trace, "sooner"));
    reactor.call_later(2 * MS, note(&trace, "between"));
    assert!(reactor.reschedule(later, 4 * MS));
    assert!(reactor.reschedule(sooner, Duration::ZERO));
    assert_eq!(reactor.stats().timers, 3);
    run(&mut reactor);
    assert_eq!(trace.joined(), "sooner between later");
    assert!(!reactor.reschedule(later, MS), "it has run");
    assert!(reactor.is_idle());
}

#[test]
fn a_timer_moved_by_another_that_is_due_in_the_same_turn_waits_for_the_next_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let moved = Rc::new(Cell::new(None));
    let (id, seen) = (moved.clone(), trace.clone());
    reactor.call_later(Duration::ZERO, move |registry| {
        seen.add("mover");
        assert!(registry.reschedule(id.get().unwrap(), Duration::ZERO));
        Ok(())
    });
    moved.set(Some(
        reactor.call_later(Duration::ZERO, note(&trace, "moved")),
    ));
    reactor.turn(None).unwrap();
    assert_eq!(trace.joined(), "mover");
    reactor.turn(None).unwrap();
    assert_eq!(trace.joined(), "mover moved");
}

#[test]
fn a_periodic_timer_that_is_moved_goes_on_from_there() {
    let mut reactor = reactor();
    let runs = Rc::new(RefCell::new(Vec::new()));
    let seen = runs.clone();
    let start = reactor.now();
    let timer = reactor.call_every(HOUR, move |registry| {
        seen.borrow_mut().push(registry.now() - start);
        Ok(())
    });
    assert!(reactor.reschedule(timer, MS));
    turn_until(&mut reactor, |_| runs.borrow().len() == 1);
    assert!(runs.borrow()[0] < HOUR);
    assert_eq!(reactor.stats().timers, 1, "it stays");
    assert!(reactor.cancel(timer));
    assert!(!reactor.reschedule(timer, MS), "it is cancelled");
}

#[test]
fn a_timer_cannot_be_moved_while_it_runs() {
    let mut reactor = reactor();
    let own = Rc::new(Cell::new(None));
    let (id, answers) = (own.clone(), Rc::new(RefCell::new(Vec::new())));
    let seen = answers.clone();
    own.set(Some(reactor.call_every(MS, move |registry| {
        let timer = id.get().unwrap();
        seen.borrow_mut().push(registry.reschedule(timer, HOUR));
        registry.cancel(timer);
        Ok(())
    })));
    run(&mut reactor);
    assert_eq!(*answers.borrow(), [false]);
}

#[test]
fn a_stale_timer_id_never_reaches_a_later_timer() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let ran_out = reactor.call_later(Duration::ZERO, note(&trace, "first"));
    run(&mut reactor);
    let cancelled = reactor.call_later(HOUR, note(&trace, "never"));
    reactor.cancel(cancelled);
    reactor.call_later(MS, note(&trace, "second"));
    assert!(!reactor.cancel(ran_out));
    assert!(!reactor.cancel(cancelled));
    run(&mut reactor);
    assert_eq!(trace.joined(), "first second");
}

#[test]
fn the_id_of_a_timer_finds_nothing_in_another_reactor() {
    let (mut one, mut other) = (reactor(), reactor());
    let foreign = one.call_later(HOUR, |_| Ok(()));
    other.call_later(HOUR, |_| Ok(()));
    assert!(!other.reschedule(foreign, MS) && !other.cancel(foreign));
    assert!(one.reschedule(foreign, MS) && one.cancel(foreign));
}

// ---- errors

#[test]
fn errors_and_panics_of_timers_go_to_the_hook_and_the_others_run() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let reports = seen.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |registry: &mut Registry, source, error: BoxError| {
            assert_eq!(source, ErrorSource::Timer);
            reports.borrow_mut().push(error.to_string());
            // The hook may do whatever a callback may.
            registry.call_later(Duration::ZERO, |_| Ok(()));
        })
        .build()
        .unwrap();
    let trace = Trace::new();
    reactor.call_later(Duration::ZERO, |_| Err("failed".into()));
    reactor.call_later(Duration::ZERO, |_| panic!("fell over"));
    reactor.call_later(Duration::ZERO, note(&trace, "ran"));
    let turn = reactor.turn(None).unwrap();
    assert_eq!(turn.timers, 3);
    assert_eq!(trace.joined(), "ran");
    assert_eq!(*seen.borrow(), ["failed", "panicked: fell over"]);
    assert_eq!(reactor.stats().errors, 2);
    run(&mut reactor);
}

#[test]
fn a_periodic_timer_goes_on_after_an_error_and_after_a_panic() {
    let errors = Rc::new(Cell::new(0));
    let count = errors.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_, _, _| count.set(count.get() + 1))
        .build()
        .unwrap();
    let runs = Rc::new(Cell::new(0));
    let n = runs.clone();
    let timer = reactor.call_every(MS, move |_| {
        n.set(n.get() + 1);
        match n.get() {
            1 => Err("first".into()),
            2 => panic!("second"),
            _ => Ok(()),
        }
    });
    turn_until(&mut reactor, |_| runs.get() == 4);
    assert_eq!(errors.get(), 2);
    assert!(reactor.cancel(timer));
}

#[test]
fn a_hook_that_panics_is_logged_and_kept() {
    let log = Log::start();
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_, _, error| {
            count.set(count.get() + 1);
            panic!("hook choked on {error}");
        })
        .build()
        .unwrap();
    reactor.call_later(Duration::ZERO, |_| Err("one".into()));
    reactor.call_later(MS, |_| Err("two".into()));
    run(&mut reactor);
    assert_eq!(calls.get(), 2);
    assert_eq!(log.lines("hook choked on").len(), 2);
}

#[test]
fn with_propagate_panics_a_timers_panic_leaves_run() {
    let mut reactor = reactor();
    let trace = Trace::new();
    reactor.call_later(Duration::ZERO, |_| panic!("out of here"));
    reactor.call_later(Duration::ZERO, note(&trace, "after"));
    let caught = catch_unwind(AssertUnwindSafe(|| reactor.run()));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"out of here"));
    run(&mut reactor);
    assert_eq!(trace.joined(), "after");
}

#[test]
fn a_cancelled_closure_whose_drop_panics_harms_nobody() {
    struct Angry;
    impl Drop for Angry {
        fn drop(&mut self) {
            panic!("dropped with a timer");
        }
    }
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let angry = Angry;
    let timer = reactor.call_later(HOUR, move |_| {
        let _ = &angry;
        Ok(())
    });
    assert!(reactor.cancel(timer));
    assert_eq!(log.lines("dropped with a timer").len(), 1);
    run(&mut reactor);
}

// ---- idle timeouts

const IDLE: Duration = Duration::from_millis(50);

#[test]
fn an_idle_timeout_comes_after_silence_and_traffic_puts_it_off() {
    for direction in ["in", "out"] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        let fired = Rc::new(Cell::new(None));
        let last = Rc::new(Cell::new(Instant::now()));
        let (when, read_at) = (fired.clone(), last.clone());
        let mut recorder = Recorder::new(&trace);
        let (received, mut seen) = (recorder.received.clone(), 0);
        recorder.on_read = Some(Box::new(move |channel| {
            // A read that found nothing is no traffic.
            if received.borrow().len() > seen {
                seen = received.borrow().len();
                read_at.set(channel.registry().now());
            }
            Ok(())
        }));
        recorder.on_timeout = Some(Box::new(move |channel| {
            when.set(Some(channel.registry().now()));
            channel.close();
            Ok(())
        }));
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        let start = Instant::now();
        reactor.channel(id).unwrap().set_idle_timeout(Some(IDLE));
        turn_until(&mut reactor, |reactor| {
            if start.elapsed() > 5 * IDLE {
                return true;
            }
            let Some(mut channel) = reactor.channel(id) else {
                return true;
            };
            if direction == "in" {
                theirs.write_all(b"x").unwrap();
            } else {
                last.set(Instant::now());
                channel.push("x");
            }
            reactor.turn(Some(Duration::ZERO)).unwrap();
            false
        });
        run(&mut reactor);
        let (fired, last) = (fired.get().unwrap(), last.get());
        assert!(
            fired >= last + IDLE,
            "{direction}: {:?} after traffic",
            fired - last
        );
        assert!(last > start, "{direction}");
        assert!(trace.has("timeout"), "{direction}");
        assert_eq!(reactor.stats().timers, 0, "{direction}");
    }
}

#[test]
fn the_default_handle_timeout_closes() {
    struct Quiet;
    impl Dispatcher for Quiet {}
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Quiet).unwrap();
    reactor.channel(id).unwrap().set_idle_timeout(Some(MS));
    run(&mut reactor);
    assert!(reactor.channel(id).is_none());
    assert_eq!(util::peer::read_to_end(&mut reactor, &mut theirs), b"");
}

#[test]
fn an_idle_timeout_that_does_not_close_comes_again_until_it_is_ended() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    let times = Rc::new(RefCell::new(Vec::new()));
    let (when, words) = (times.clone(), trace.clone());
    recorder.on_timeout = Some(Box::new(move |channel| {
        when.borrow_mut().push(channel.registry().now());
        if words.count("timeout") == 3 {
            channel.set_idle_timeout(None);
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    reactor.channel(id).unwrap().set_idle_timeout(Some(5 * MS));
    turn_until(&mut reactor, |reactor| reactor.stats().timers == 0);
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    reactor.call_later(30 * MS, move |_| {
        flag.set(true);
        Ok(())
    });
    turn_until(&mut reactor, |_| done.get());
    assert_eq!(trace.count("timeout"), 3);
    let times = times.borrow();
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] >= 5 * MS),
        "{times:?}"
    );
    assert!(reactor.channel(id).is_some());
}

#[test]
fn a_timeout_that_ends_gracefully_ends_a_peer_that_takes_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = narrow_tcp_pair();
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let mut recorder = Recorder::new(&trace);
    recorder.on_timeout = Some(Box::new(move |channel| {
        count.set(count.get() + 1);
        channel.push("421 timeout\r\n");
        channel.close_when_done();
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; 8 << 20]);
    channel.set_idle_timeout(Some(IDLE));
    run(&mut reactor);
    assert_eq!(
        asked.get(),
        1,
        "silence while closing is no question any more"
    );
    assert!(reactor.is_idle() && reactor.channel(id).is_none());
    assert!(!trace.joined().contains("close"), "{}", trace.joined());
    drop(theirs);
}

#[test]
fn a_closing_channel_that_waits_for_its_own_producer_is_asked() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let mut recorder = Recorder::new(&trace);
    // The producer has something at last when it has been asked twice.
    recorder.on_timeout = Some(Box::new(move |channel| {
        count.set(count.get() + 1);
        if count.get() == 2 {
            channel.touch();
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(IDLE));
    let (ready, mut given) = (asked.clone(), false);
    channel.push_with_producer(from_fn(move || {
        Ok(match (ready.get(), given) {
            (0 | 1, _) => Produced::Pending,
            (_, true) => Produced::Done,
            (_, false) => {
                given = true;
                Produced::Data("late".into())
            }
        })
    }));
    channel.close_when_done();
    turn_until(&mut reactor, |_| asked.get() >= 2);
    assert_eq!(util::peer::read_to_end(&mut reactor, &mut theirs), b"late");
}

#[test]
fn a_peer_has_the_whole_idle_timeout_for_what_is_left_at_a_graceful_close() {
    let mut reactor = reactor();
    let (ours, _theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; 8 << 20]);
    channel.set_idle_timeout(Some(4 * IDLE));
    let closed = Rc::new(Cell::new(None));
    let when = closed.clone();
    reactor.call_later(3 * IDLE, move |registry| {
        when.set(Some(registry.now()));
        registry.channel(id).unwrap().close_when_done();
        Ok(())
    });
    run(&mut reactor);
    assert!(Instant::now() >= closed.get().unwrap() + 4 * IDLE);
}

#[test]
fn an_idle_timeout_can_be_changed_and_goes_with_its_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(HOUR));
    channel.set_idle_timeout(Some(2 * HOUR));
    assert_eq!(reactor.stats().timers, 1);
    reactor.channel(id).unwrap().set_idle_timeout(None);
    assert_eq!(reactor.stats().timers, 0);
    reactor.channel(id).unwrap().set_idle_timeout(Some(HOUR));
    reactor.channel(id).unwrap().close();
    assert_eq!(reactor.stats().timers, 0);
    // An hour and an hour too long: only the shorter one, set last, may end this.
    let (ours, _theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().set_idle_timeout(Some(HOUR));
    reactor.channel(id).unwrap().set_idle_timeout(Some(MS));
    run(&mut reactor);
    assert_eq!(trace.count("timeout"), 1);
}

#[test]
fn what_handle_timeout_pushes_is_sent() {
    struct Nags;
    impl Dispatcher for Nags {
        fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.push("still there?");
            channel.close_when_done();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Nags).unwrap();
    reactor.channel(id).unwrap().set_idle_timeout(Some(MS));
    assert_eq!(
        util::peer::read_to_end(&mut reactor, &mut theirs),
        b"still there?"
    );
}

#[test]
fn an_idle_timeout_does_not_come_before_handle_connect() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_listener, address, _waiting) = unanswering();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().set_idle_timeout(Some(MS));
    reactor.call_later(100 * MS, note(&trace, "later"));
    turn_until(&mut reactor, |_| trace.has("later"));
    assert_eq!(trace.joined(), "later");
    assert!(reactor.channel(id).is_some());
}

// ---- the loop

#[test]
fn run_ends_when_the_last_timer_is_gone() {
    let mut reactor = reactor();
    run(&mut reactor);
    let trace = Trace::new();
    let inner = trace.clone();
    reactor.call_later(MS, move |registry| {
        inner.add("one");
        registry.call_later(MS, note(&inner, "two"));
        Ok(())
    });
    assert!(!reactor.is_idle());
    run(&mut reactor);
    assert!(reactor.is_idle());
    assert_eq!(trace.joined(), "one two");
}

#[test]
fn a_timer_reaches_channels_by_id() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let gone = trace.clone();
    reactor.call_later(MS, move |registry| {
        registry.channel(id).unwrap().push("time is up");
        registry.channel(id).unwrap().close_when_done();
        registry.with(id, |recorder: &mut Recorder, _| recorder.trace.add("told"))?;
        Ok(())
    });
    assert_eq!(
        util::peer::read_to_end(&mut reactor, &mut theirs),
        b"time is up"
    );
    assert!(trace.has("told"));
    drop(theirs);
    run(&mut reactor);
    reactor.call_later(MS, move |registry| {
        assert!(registry.channel(id).is_none());
        gone.add("gone");
        Ok(())
    });
    run(&mut reactor);
    assert!(trace.has("gone"));
}

/// With the last turn's time, a timer armed between turns would come too early.
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

/// Counted from the attempt, it would time a connection out at once that took long to make.
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
