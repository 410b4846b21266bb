//! `Registry::call_soon`: the order of a turn (R5), what `run` waits for (R22), and whose its errors are (R9).

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, Dispatcher, ErrorSource, Reactor, Registry, Result, VisitError};
use util::{Trace, reactor, run, silence_scripted_panics};

/// A call that writes down `word`, and is not `Send`.
fn note(trace: &Trace, word: &'static str) -> impl FnOnce(&mut Registry) -> Result + 'static {
    let trace = trace.clone();
    move |_| {
        trace.add(word);
        Ok(())
    }
}

#[test]
fn calls_run_in_their_order_behind_timers_and_before_posts_and_what_a_call_adds_waits_a_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    reactor
        .handle()
        .call_soon(|_| Err("posted".into()))
        .unwrap();
    let outer = trace.clone();
    reactor.call_soon(move |registry| {
        outer.add("call");
        registry.call_soon(note(&outer, "added by a call"));
        Ok(())
    });
    reactor.call_soon(note(&trace, "second"));
    let inner = trace.clone();
    reactor.call_later(Duration::ZERO, move |registry| {
        inner.add("timer");
        registry.call_soon(note(&inner, "added by a timer"));
        Ok(())
    });
    let turn = reactor.turn(None).unwrap();
    assert_eq!(trace.joined(), "timer call second added by a timer");
    assert_eq!(turn.callbacks, 5, "with the posted one");
    assert!(!reactor.is_idle());
    // Without an event: no wait.
    reactor.turn(None).unwrap();
    assert_eq!(trace.lines().last().unwrap(), "added by a call");
    assert!(reactor.is_idle());
}

#[test]
fn a_flood_is_rationed_and_all_of_it_runs() {
    let mut reactor = reactor();
    let ran = Rc::new(Cell::new(0));
    for n in 0..3000 {
        let ran = ran.clone();
        reactor.call_soon(move |_| {
            assert_eq!(ran.replace(n + 1), n, "in order");
            Ok(())
        });
    }
    reactor.turn(None).unwrap();
    assert_eq!(ran.get(), 1024);
    run(&mut reactor);
    assert_eq!(ran.get(), 3000);
}

/// Puts itself off for ever.
fn again(turns: Rc<Cell<u32>>) -> impl FnOnce(&mut Registry) -> Result + 'static {
    move |registry| {
        turns.set(turns.get() + 1);
        registry.call_soon(again(turns));
        Ok(())
    }
}

#[test]
fn a_call_that_puts_itself_off_runs_once_a_turn_and_does_not_keep_a_shutdown_from_ending() {
    let mut reactor = reactor();
    let turns = Rc::new(Cell::new(0));
    reactor.call_soon(again(turns.clone()));
    for n in 1..=3 {
        reactor.turn(None).unwrap();
        assert_eq!(turns.get(), n);
    }
    reactor.shutdown(Duration::from_secs(1));
    run(&mut reactor);
    assert!(turns.get() < 10, "{} turns", turns.get());
}

#[test]
fn a_call_reaches_the_object_whose_callback_added_it() {
    struct Job(Rc<Cell<bool>>);
    impl Dispatcher for Job {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            let id = channel.id();
            let registry = channel.registry();
            let busy = registry.with(id, |_: &mut Self, _| ());
            assert_eq!(busy, Err(VisitError::Busy(id)));
            registry.call_soon(move |registry| {
                registry.with(id, |job: &mut Self, channel| {
                    job.0.set(true);
                    channel.close();
                })?;
                Ok(())
            });
            Ok(())
        }
    }
    let mut reactor = reactor();
    let done = Rc::new(Cell::new(false));
    let (ours, _theirs) = util::peer::tcp_pair();
    reactor.register(ours, Job(done.clone())).unwrap();
    reactor.turn(None).unwrap();
    assert!(done.get() && reactor.is_idle(), "in the same turn");
}

#[test]
fn errors_and_panics_go_to_the_hook_and_the_other_calls_run() {
    silence_scripted_panics();
    let told = Rc::new(RefCell::new(Vec::new()));
    let hook = told.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_, source, error| hook.borrow_mut().push((source, error.to_string())))
        .build()
        .unwrap();
    let trace = Trace::new();
    reactor.call_soon(|_| Err("failed".into()));
    reactor.call_soon(|_| panic!("scripted"));
    reactor.call_soon(note(&trace, "ran"));
    run(&mut reactor);
    assert_eq!(trace.joined(), "ran");
    assert_eq!(
        *told.borrow(),
        [
            (ErrorSource::CallSoon, "failed".to_owned()),
            (ErrorSource::CallSoon, "panicked: scripted".to_owned())
        ]
    );
}

#[test]
fn with_propagate_panics_the_call_is_lost_and_the_others_run_in_the_next_turn() {
    silence_scripted_panics();
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let trace = Trace::new();
    reactor.call_soon(|_| panic!("scripted"));
    reactor.call_soon(note(&trace, "ran"));
    assert!(catch_unwind(AssertUnwindSafe(|| reactor.turn(None))).is_err());
    assert_eq!(trace.joined(), "");
    reactor.turn(None).unwrap();
    assert_eq!(trace.joined(), "ran");
}

#[test]
fn calls_that_wait_are_dropped_with_the_reactor() {
    let value = Rc::new(());
    let mut reactor = reactor();
    let held = value.clone();
    reactor.call_soon(move |_| {
        drop(held);
        Ok(())
    });
    drop(reactor);
    assert_eq!(Rc::strong_count(&value), 1);
}
