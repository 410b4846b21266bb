//! `Registry::on_signal` (feature `signals`): a burst is one call, every closure of every reactor runs, errors stay with
//! their closure (R9), and nothing is left behind.
//!
//! A binary of its own, because signals and descriptors belong to the process. `raise` returns when the handler has run.
#![cfg(unix)]

use std::{
    cell::{Cell, RefCell},
    io::ErrorKind,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use asynchat::{
    Channel, Dispatcher, ErrorSource, Reactor, Registry, Result, SignalId,
    signal::{SIGHUP, SIGKILL, SIGSEGV, SIGSTOP, SIGUSR1, SIGUSR2},
};
use signal_hook::low_level::raise;
use util::{DEADLINE, Trace, reactor, run, silence_scripted_panics, turn_until};

/// Each test has the process for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down `word` at each signal.
fn note(registry: &mut Registry, signal: i32, trace: &Trace, word: &'static str) -> SignalId {
    let trace = trace.clone();
    let told = move |_: &mut Registry| {
        trace.add(word);
        Ok(())
    };
    registry.on_signal(signal, told).unwrap()
}

fn turn(reactor: &mut Reactor) -> asynchat::Turn {
    reactor.turn(Some(Duration::ZERO)).unwrap()
}

#[test]
fn a_signal_wakes_a_loop_that_waits_and_the_closure_runs_on_its_thread() {
    let _alone = alone();
    let mut reactor = reactor();
    let _hold = reactor.handle().hold();
    let (here, ran) = (thread::current().id(), Rc::new(Cell::new(false)));
    let done = ran.clone();
    reactor
        .on_signal(SIGUSR1, move |registry| {
            assert_eq!(thread::current().id(), here);
            done.set(true);
            registry.stop();
            Ok(())
        })
        .unwrap();
    reactor.call_later(DEADLINE, |_| panic!("it was not woken"));
    let raiser = thread::spawn(|| raise(SIGUSR1).unwrap());
    reactor.run().unwrap();
    raiser.join().unwrap();
    assert!(ran.get());
}

#[test]
fn a_burst_is_one_call_and_the_loop_sleeps_afterwards() {
    let _alone = alone();
    let mut reactor = reactor();
    let trace = Trace::new();
    note(&mut reactor, SIGUSR1, &trace, "1");
    // More than a socket pair takes.
    for _ in 0..5000 {
        raise(SIGUSR1).unwrap();
    }
    let told = turn(&mut reactor);
    assert_eq!((trace.joined().as_str(), told.callbacks), ("1", 1));
    let told = turn(&mut reactor);
    assert_eq!((told.events, told.callbacks), (0, 0));
    assert_eq!(reactor.next_wait(), None);
    raise(SIGUSR1).unwrap();
    turn(&mut reactor);
    assert_eq!(trace.joined(), "1 1");
}

#[test]
fn it_does_not_keep_run_waiting() {
    let _alone = alone();
    let mut reactor = reactor();
    note(&mut reactor, SIGUSR1, &Trace::new(), "1");
    assert!(reactor.is_idle());
    run(&mut reactor);
}

#[test]
fn all_closures_of_all_reactors_run_behind_timers_and_before_calls() {
    let _alone = alone();
    let (mut first, mut second) = (reactor(), reactor());
    let trace = Trace::new();
    note(&mut first, SIGUSR1, &trace, "a");
    note(&mut first, SIGUSR2, &trace, "other");
    note(&mut first, SIGUSR1, &trace, "b");
    note(&mut second, SIGUSR1, &trace, "second");
    let called = trace.clone();
    first.call_soon(move |_| {
        called.add("call");
        Ok(())
    });
    let timed = trace.clone();
    first.call_later(Duration::ZERO, move |_| {
        timed.add("timer");
        Ok(())
    });
    raise(SIGUSR1).unwrap();
    turn(&mut first);
    assert_eq!(trace.joined(), "timer a b call");
    turn(&mut second);
    assert_eq!(trace.joined(), "timer a b call second");
    // What one reactor has learnt is not forgotten by the other.
    drop(first);
    raise(SIGUSR1).unwrap();
    turn(&mut second);
    assert_eq!(trace.count("second"), 2);
}

#[test]
fn a_closure_that_raises_its_own_signal_runs_once_a_turn() {
    let _alone = alone();
    let mut reactor = reactor();
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    reactor
        .on_signal(SIGUSR1, move |_| {
            count.set(count.get() + 1);
            Ok(raise(SIGUSR1)?)
        })
        .unwrap();
    raise(SIGUSR1).unwrap();
    for n in 1..=3 {
        turn(&mut reactor);
        assert_eq!(runs.get(), n);
    }
}

#[test]
fn off_ends_one_closure_and_only_once_also_from_inside() {
    let _alone = alone();
    let mut reactor = reactor();
    let trace = Trace::new();
    let ended = note(&mut reactor, SIGUSR1, &trace, "ended");
    note(&mut reactor, SIGUSR1, &trace, "stays");
    assert!(reactor.off_signal(ended));
    assert!(!reactor.off_signal(ended));
    let (own, value) = (Rc::new(Cell::new(None)), Rc::new(()));
    let (id, held) = (own.clone(), value.clone());
    let one_shot = reactor.on_signal(SIGUSR1, move |registry| {
        let _held = &held;
        assert!(registry.off_signal(id.take().unwrap()));
        Ok(())
    });
    own.set(Some(one_shot.unwrap()));
    // One that ends a later one of the same turn.
    let victim = Rc::new(Cell::new(None));
    let later = victim.clone();
    reactor
        .on_signal(SIGUSR1, move |registry| {
            later.take().map(|id| registry.off_signal(id));
            Ok(())
        })
        .unwrap();
    victim.set(Some(note(&mut reactor, SIGUSR1, &trace, "victim")));
    for _ in 0..2 {
        raise(SIGUSR1).unwrap();
        turn(&mut reactor);
    }
    assert_eq!(trace.joined(), "stays stays");
    assert_eq!(Rc::strong_count(&value), 1, "dropped when it had returned");
    // An id of another reactor names nothing here.
    let mut other = util::reactor();
    let foreign = note(&mut other, SIGUSR1, &trace, "other");
    assert!(!reactor.off_signal(foreign));
}

#[test]
fn errors_and_panics_go_to_the_hook_and_the_closure_stays() {
    let _alone = alone();
    silence_scripted_panics();
    let told = Rc::new(RefCell::new(Vec::new()));
    let hook = told.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_, source, error| {
            assert_eq!(source, ErrorSource::Signal);
            hook.borrow_mut().push(error.to_string());
        })
        .build()
        .unwrap();
    reactor
        .on_signal(SIGUSR1, |_| Err("failed".into()))
        .unwrap();
    reactor.on_signal(SIGUSR1, |_| panic!("scripted")).unwrap();
    for _ in 0..2 {
        raise(SIGUSR1).unwrap();
        turn(&mut reactor);
    }
    let once = ["failed", "panicked: scripted"];
    assert_eq!(*told.borrow(), [once, once].concat());
}

#[test]
fn with_propagate_panics_the_closure_stays_and_those_behind_it_run_in_the_next_turn() {
    let _alone = alone();
    silence_scripted_panics();
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let trace = Trace::new();
    reactor.on_signal(SIGUSR1, |_| panic!("scripted")).unwrap();
    note(&mut reactor, SIGUSR1, &trace, "behind");
    for n in 1..=2 {
        raise(SIGUSR1).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| reactor.turn(None))).is_err());
        reactor.turn(None).unwrap();
        assert_eq!(trace.count("behind"), n);
    }
}

#[test]
fn what_cannot_be_handled_is_invalid_input() {
    let _alone = alone();
    let mut reactor = reactor();
    note(&mut reactor, SIGHUP, &Trace::new(), "makes the socket pair");
    #[cfg(target_os = "linux")]
    let before = util::process::open_descriptors();
    for signal in [SIGKILL, SIGSTOP, SIGSEGV, 0, -1, 4000] {
        let error = reactor.on_signal(signal, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}");
    }
    #[cfg(target_os = "linux")]
    assert_eq!(util::process::open_descriptors(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn no_descriptor_is_left() {
    let _alone = alone();
    let open = util::process::open_descriptors;
    let before = open();
    let mut reactor = reactor();
    let bare = open();
    let signals = [SIGUSR1, SIGUSR2, SIGHUP];
    let ids = signals.map(|signal| note(&mut reactor, signal, &Trace::new(), "x"));
    assert_eq!(open(), bare + 2 + signals.len());
    for id in ids {
        assert!(reactor.off_signal(id));
    }
    assert_eq!(open(), bare + 2);
    note(&mut reactor, SIGUSR1, &Trace::new(), "x");
    drop(reactor);
    assert_eq!(open(), before);
    // Nobody listens: it does nothing, not what it did before.
    raise(SIGUSR1).unwrap();
}

#[test]
fn closures_are_dropped_with_the_reactor_although_one_panics_when_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("scripted");
        }
    }
    let _alone = alone();
    silence_scripted_panics();
    let value = Rc::new(());
    let mut reactor = Reactor::new().unwrap();
    let (bomb, held) = (Bomb, value.clone());
    reactor
        .on_signal(SIGUSR1, move |_| {
            let _bomb = &bomb;
            Ok(())
        })
        .unwrap();
    reactor
        .on_signal(SIGUSR1, move |_| {
            let _held = &held;
            Ok(())
        })
        .unwrap();
    drop(reactor);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn registries_that_are_exchanged_take_their_signals_along() {
    let _alone = alone();
    let (mut first, mut second) = (reactor(), reactor());
    let trace = Trace::new();
    note(&mut first, SIGUSR1, &trace, "first");
    note(&mut second, SIGUSR2, &trace, "second");
    mem::swap(&mut *first, &mut *second);
    raise(SIGUSR1).unwrap();
    assert_eq!(turn(&mut first).callbacks, 0);
    assert_eq!(turn(&mut second).callbacks, 1);
    assert_eq!(trace.joined(), "first");
}

#[test]
fn channels_are_served_in_a_turn_with_signals() {
    struct Reads(Trace);
    impl Dispatcher for Reads {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|_, data| self.0.add(String::from_utf8_lossy(data)))?;
            Ok(())
        }
    }
    let _alone = alone();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = util::peer::tcp_pair();
    reactor.register(ours, Reads(trace.clone())).unwrap();
    util::settle(&mut reactor);
    note(&mut reactor, SIGUSR1, &trace, "signal");
    raise(SIGUSR1).unwrap();
    std::io::Write::write_all(&mut theirs, b"data").unwrap();
    turn_until(&mut reactor, |_| trace.has("signal") && trace.has("data"));
}
