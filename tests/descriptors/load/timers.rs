//! Timers by the hundred thousand (R20): what is cancelled is gone, what is armed again runs once.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use asynchat::{Reactor, Registry, TimerId};

use crate::alone;
use util::peer::pair;

const TIMERS: usize = 100_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// The same numbers in another order: the factor has no divisor in common with [`TIMERS`].
fn shuffled() -> impl Iterator<Item = usize> {
    (0..TIMERS).map(|n| n * 7_919 % TIMERS)
}

/// Arms all of them, not in the order of their times.
fn arm(registry: &mut Registry, ran: &Rc<Cell<usize>>) -> Vec<TimerId> {
    shuffled()
        .map(|n| {
            let ran = Rc::clone(ran);
            registry.call_later(HOUR + Duration::from_millis(n as u64), move |_| {
                ran.set(ran.get() + 1);
                Ok(())
            })
        })
        .collect()
}

#[test]
fn a_hundred_thousand_timers_cost_a_turn_nothing_and_leave_nothing_when_they_are_cancelled() {
    let _alone = alone();
    let empty = util::heap::live();
    let ran = Rc::new(Cell::new(0));
    let mut reactor = util::reactor();
    let timers = arm(&mut reactor, &ran);
    assert_eq!(reactor.stats().timers, TIMERS);
    for _ in 0..100 {
        let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!((turn.events, turn.callbacks, turn.timers), (0, 0, 0));
    }
    for n in shuffled() {
        assert!(reactor.cancel(timers[n]), "timer {n}");
    }
    assert_eq!(reactor.stats().timers, 0);
    assert_eq!(Rc::strong_count(&ran), 1, "closures are left");
    // The places are used again; the old ids do not reach what is in them now.
    let again = arm(&mut reactor, &ran);
    assert!(timers.iter().all(|&timer| !reactor.cancel(timer)));
    assert_eq!(reactor.stats().timers, TIMERS);
    assert!(again.iter().all(|&timer| reactor.cancel(timer)));
    assert!(reactor.is_idle());
    assert_eq!(ran.get(), 0);
    drop((reactor, ran, timers, again));
    assert_eq!(util::heap::live(), empty, "bytes are left");
}

#[test]
fn of_a_hundred_thousand_timers_armed_again_each_runs_once_and_in_the_order_of_their_times() {
    let _alone = alone();
    let mut reactor = util::reactor();
    let runs = Rc::new(RefCell::new(Vec::with_capacity(TIMERS)));
    let never = Rc::new(Cell::new(0));
    let mut far: Vec<_> = arm(&mut reactor, &never).into_iter().map(Some).collect();
    // Every other one is armed again for soon, out of a callback, so that all of them have the same time to count from.
    let runs_of_them = Rc::clone(&runs);
    reactor.call_later(Duration::ZERO, move |registry| {
        for n in shuffled().filter(|n| n % 2 == 0) {
            assert!(registry.cancel(far[n].take().unwrap()));
            let runs = Rc::clone(&runs_of_them);
            let delay = Duration::from_micros(n as u64);
            registry.call_later(delay, move |_| {
                runs.borrow_mut().push(n);
                Ok(())
            });
        }
        assert_eq!(registry.stats().timers, TIMERS);
        // The rest goes when those are done.
        let last = Duration::from_micros(TIMERS as u64 + 1);
        registry.call_later(last, move |registry| {
            assert!(
                far.into_iter()
                    .flatten()
                    .all(|timer| registry.cancel(timer))
            );
            Ok(())
        });
        Ok(())
    });
    let before = reactor.stats().callbacks;
    util::turn_until(&mut reactor, |reactor| reactor.is_idle());
    let runs = runs.take();
    assert_eq!(runs.len(), TIMERS / 2);
    assert!(
        runs.iter().eq((0..TIMERS)
            .filter(|n| n % 2 == 0)
            .collect::<Vec<_>>()
            .iter())
    );
    assert_eq!(reactor.stats().callbacks - before, TIMERS as u64 / 2 + 2);
    assert_eq!(never.get(), 0);
    assert_eq!(Rc::strong_count(&never), 1);
}

#[test]
fn an_idle_timeout_set_a_hundred_thousand_times_is_one_timer() {
    struct Quiet;
    impl asynchat::Dispatcher for Quiet {}
    let _alone = alone();
    let mut reactor: Reactor = util::reactor();
    let (here, _there) = pair();
    let id = reactor.register(here, Quiet).unwrap();
    util::settle(&mut reactor);
    for n in 0..TIMERS {
        let mut channel = reactor.channel(id).unwrap();
        channel.set_idle_timeout(Some(HOUR + Duration::from_millis(n as u64 % 1_000)));
        if n % 10 == 0 {
            assert_eq!(reactor.stats().timers, 1);
        }
        if n % 1_000 == 999 {
            reactor.channel(id).unwrap().set_idle_timeout(None);
            assert_eq!(reactor.stats().timers, 0);
        }
    }
    reactor.channel(id).unwrap().set_idle_timeout(Some(HOUR));
    reactor.channel(id).unwrap().close();
    assert_eq!(reactor.stats().timers, 0);
}
