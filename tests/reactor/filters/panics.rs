//! A filter that panics, in each of its calls: that ends its channel and nothing else.

use std::{
    cell::Cell,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use asynchat::{Cause, Channel, Reactor};
use util::{
    Recorder, Trace,
    peer::pair,
    run, settle,
    toy::{Call, Far, Toy},
    turn_until,
};

use super::{Kind, SECOND, builder, recorder};

/// One channel whose filter panics at that call, one that is served beside it, and the whole conversation of the first.
/// Turns as long as `turn` says.
fn converse(kind: Kind, call: Call, nth: usize, propagate: bool) -> (String, usize) {
    let case = format!("{kind:?}, {call:?} {nth}, propagated {propagate}");
    let mut reactor = Reactor::builder()
        .propagate_panics(propagate)
        .build()
        .unwrap();
    let escaped = Cell::new(0);
    let rest = |reactor: &mut Reactor| {
        for _ in 0..20 {
            let turned = catch_unwind(AssertUnwindSafe(|| {
                reactor.turn(Some(Duration::ZERO)).unwrap()
            }));
            escaped.set(escaped.get() + usize::from(turned.is_err()));
        }
    };
    let trace = Trace::new();
    let (ours, mut other) = pair();
    reactor
        .register(ours, Recorder::named(&trace, "other"))
        .unwrap();
    let (ours, mut theirs) = pair();
    theirs.set_nonblocking(true).unwrap();
    let toy = Toy::server().panics(call, nth);
    let watch = toy.watch();
    let id = reactor.register(ours, recorder(&trace)).unwrap();
    if kind == Kind::Upgraded {
        rest(&mut reactor);
    }
    let upgraded = catch_unwind(AssertUnwindSafe(|| {
        reactor.channel(id).unwrap().upgrade(toy)
    }));
    // Only what the filter is asked at once can panic here.
    assert!(
        upgraded.is_ok() || propagate && call == Call::Phase,
        "{case}"
    );
    let mut far = Far::client();
    let mut speak = |reactor: &mut Reactor, far: &mut Far| {
        let _ = theirs.write_all(&far.wire());
        rest(reactor);
        let mut wire = vec![0; 100_000];
        if let Ok(n) = theirs.read(&mut wire) {
            far.take(&wire[..n]);
        }
    };
    speak(&mut reactor, &mut far);
    if far.is_open() {
        far.say("hello");
        speak(&mut reactor, &mut far);
        if let Some(mut channel) = reactor.channel(id) {
            channel.push("and you");
        }
        speak(&mut reactor, &mut far);
        if let Some(mut channel) = reactor.channel(id) {
            channel.push("and you");
            channel.close_when_done();
        }
        speak(&mut reactor, &mut far);
    }
    drop(theirs);
    other.write_all(b"still").unwrap();
    rest(&mut reactor);
    assert_eq!(
        trace.count("other.read:5"),
        1,
        "{case}: {:?}",
        trace.lines()
    );
    assert!(reactor.channel(id).is_none(), "{case}: {:?}", trace.lines());
    watch.check_gone();
    let own: Vec<_> = trace
        .lines()
        .into_iter()
        .filter(|line| !line.starts_with("other."))
        .collect();
    let ends = own
        .iter()
        .filter(|line| line.starts_with("closed:"))
        .count();
    // A panic that leaves a callback takes the object with it.
    assert!(ends == 1 || propagate && ends == 0, "{case}: {own:?}");
    (own.join(" "), escaped.get())
}

#[test]
fn a_panic_in_a_call_of_a_filter_ends_its_channel_and_nothing_else() {
    for kind in Kind::BOTH {
        for call in Call::ALL {
            for nth in 1..8 {
                if nth > 1 && matches!(call, Call::End | Call::Drop) {
                    continue;
                }
                let (told, escaped) = converse(kind, call, nth, false);
                assert_eq!(escaped, 0, "{kind:?}, {call:?} {nth}");
                let times = told.matches("panicked").count();
                assert!(times <= 1, "{kind:?}, {call:?} {nth}: {told}");
            }
        }
    }
}

#[test]
fn a_panic_of_a_filter_that_is_propagated_leaves_the_reactor_whole() {
    for kind in Kind::BOTH {
        for call in Call::ALL {
            for nth in 1..5 {
                if nth > 1 && matches!(call, Call::End | Call::Drop) {
                    continue;
                }
                let (told, escaped) = converse(kind, call, nth, true);
                assert!(
                    escaped <= 1,
                    "{kind:?}, {call:?} {nth}: {escaped} times, {told}"
                );
            }
        }
    }
}

#[test]
fn a_panic_that_leaves_the_end_of_a_channel_ends_it_nevertheless() {
    type Ends = fn(&mut Channel<'_>);
    // `close` sends what it can, and no end.
    let ends: [(&str, &[Call], Ends); 3] = [
        ("close", &[Call::Seal], |channel| channel.close()),
        ("close_when_done", &[Call::Seal, Call::End], |channel| {
            channel.close_when_done();
        }),
        ("shutdown_write", &[Call::Seal, Call::End], |channel| {
            channel.shutdown_write();
        }),
    ];
    for (name, calls, end) in ends {
        for &call in calls {
            let mut reactor = builder().build().unwrap();
            let (ours, theirs) = pair();
            let id = reactor.register(ours, recorder(&Trace::new())).unwrap();
            let toy = Toy::server().round_trips(0).panics(call, 1);
            let watch = toy.watch();
            reactor.channel(id).unwrap().upgrade(toy).unwrap();
            settle(&mut reactor);
            reactor.channel(id).unwrap().push("hello");
            // It leaves the call or the turn behind it.
            let escaped = catch_unwind(AssertUnwindSafe(|| {
                end(&mut reactor.channel(id).unwrap());
                settle(&mut reactor);
            }));
            assert!(escaped.is_err(), "{name}, {call:?}");
            settle(&mut reactor);
            drop(theirs);
            turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
            watch.check_gone();
        }
    }
}

#[test]
fn a_panic_in_the_handshake_is_its_failure_and_later_one_is_an_error() {
    for (kind, nth, expected) in [
        (Kind::Implicit, 2, "handshake:panicked"),
        (Kind::Upgraded, 2, "handshake failed: panicked"),
        (Kind::Implicit, 3, "error:panicked"),
        (Kind::Upgraded, 3, "error:panicked"),
    ] {
        let (told, _) = converse(kind, Call::Feed, nth, false);
        assert!(told.contains(expected), "{kind:?}, {nth}: {told}");
        let cause = if nth == 2 {
            Cause::HandshakeFailed
        } else {
            Cause::Panic
        };
        assert!(
            told.ends_with(&format!("closed:{cause:?}")),
            "{kind:?}, {nth}: {told}"
        );
    }
}

#[test]
fn filters_that_panic_when_dropped_go_with_their_reactor_and_their_socket() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let mut peers = Vec::new();
    let mut watches = Vec::new();
    for n in 0..4 {
        let (ours, theirs) = pair();
        let toy = Toy::server().round_trips(n % 2).panics(Call::Drop, 1);
        watches.push(toy.watch());
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        reactor.channel(id).unwrap().upgrade(toy).unwrap();
        peers.push((id, theirs));
    }
    settle(&mut reactor);
    reactor.shutdown(SECOND);
    drop(peers);
    run(&mut reactor);
    for watch in watches {
        watch.check_gone();
    }
    drop(reactor);
}
