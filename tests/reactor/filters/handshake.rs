//! The handshake: what comes before and after it, its deadline, and how many steps of it a turn takes.

use std::{io::Write, time::Duration};

use asynchat::{Cause, Reactor, testing::Harness};
use util::{
    Recorder, Trace,
    peer::{LocalStream, pair},
    settle,
    toy::{Call, Far, Toy, Watch},
    turn_until,
};

use super::{Kind, Line, SECOND, builder, recorder, words};

#[test]
fn the_first_callback_comes_after_the_handshake_whoever_speaks_first() {
    for kind in Kind::BOTH {
        for trips in 0..4 {
            for flight in [0, 3, 40_000] {
                for near_speaks in [false, true] {
                    for bytewise in [false, true] {
                        let case = format!(
                            "{kind:?}, {trips} trips of {flight}, near {near_speaks}, bytewise {bytewise}"
                        );
                        let toys = [Toy::server(), Toy::client()];
                        let [server, client] =
                            toys.map(|toy| toy.round_trips(trips).flight(flight));
                        let (near, far) = if near_speaks {
                            (client, server)
                        } else {
                            (server, client)
                        };
                        let mut line = Line::of(kind, near, far, |_| ());
                        while !line.far.is_open() || line.far.has_wire() {
                            let wire = line.far.wire();
                            let open = line.far.is_open();
                            if !open && trips > 0 {
                                assert_eq!(words(&line.trace), "", "{case}");
                            }
                            if bytewise && flight < 1000 {
                                line.peer.feed_bytewise(wire);
                            } else {
                                line.peer.feed(wire);
                            }
                            assert!(line.take() || line.far.is_open(), "{case}: stuck");
                        }
                        assert_eq!(line.news(), kind.done(), "{case}");
                        line.say("hello");
                        assert_eq!(line.received(), b"hello", "{case}");
                        line.on(|channel| channel.push("and you"));
                        assert_eq!(line.hear(), b"and you", "{case}");
                        assert_eq!(line.news(), "read:5", "{case}");
                        line.watch.check();
                    }
                }
            }
        }
    }
}

#[test]
fn plaintext_behind_the_last_flight_comes_after_the_first_callback() {
    for kind in Kind::BOTH {
        // The side that answers is open first, so the one that speaks first sees it.
        let mut line = Line::of(kind, Toy::client(), Toy::server(), |_| ());
        line.take();
        line.far.say("hello");
        line.far.say(" there");
        line.far.end();
        line.feed();
        let news = line.news();
        let expected = format!("{} read:11 eof close", kind.done());
        assert!(news.starts_with(&expected), "{news}");
        assert_eq!(line.received(), b"hello there", "{kind:?}");
    }
}

#[test]
fn what_is_pushed_before_the_end_of_the_handshake_waits_for_it_and_for_the_first_callback() {
    for kind in Kind::BOTH {
        let mut line = Line::of(
            kind,
            Toy::server().round_trips(2),
            Toy::client().round_trips(2),
            |it| {
                it.on_connect = Some(Box::new(|channel| {
                    // Of the implicit one; the other has nothing to send before it is upgraded.
                    if channel.outgoing_len() > 0 {
                        channel.push(" first callback");
                    }
                    Ok(())
                }));
                it.on_secured = Some(Box::new(|channel| {
                    channel.push(" first callback");
                    Ok(())
                }));
            },
        );
        line.on(|channel| {
            channel.push("before");
            assert_eq!(channel.outgoing_len(), 6, "{kind:?}");
            assert_eq!(
                channel.send(b"x").unwrap_err().kind(),
                std::io::ErrorKind::WouldBlock
            );
        });
        line.feed();
        line.on(|channel| channel.push(" between"));
        assert_eq!(line.watch.calls(Call::Seal), 0, "{kind:?}");
        assert_eq!(line.hear(), b"before between first callback", "{kind:?}");
        assert_eq!(line.news(), kind.done());
        line.watch.check();
    }
}

#[test]
fn a_connecting_channel_shakes_hands_when_it_is_connected() {
    let trace = Trace::new();
    let mut peer = Harness::connecting(recorder(&trace));
    let toy = Toy::client();
    let watch = toy.watch();
    Line::channel(&mut peer, |channel| channel.upgrade(toy).unwrap());
    assert!(peer.output().is_empty());
    // The attempt has a time limit of its own, which is longer.
    peer.advance(20 * SECOND);
    peer.connected();
    peer.advance(9 * SECOND);
    assert_eq!(words(&trace), "");
    peer.upgrade(Toy::server());
    assert_eq!(words(&trace), "connect");
    peer.feed("hello");
    assert_eq!(words(&trace), "connect read:5");
    watch.check();
}

#[test]
fn a_failed_connection_never_comes_to_its_filter() {
    let trace = Trace::new();
    let mut peer = Harness::connecting(recorder(&trace));
    let toy = Toy::client();
    let watch = toy.watch();
    Line::channel(&mut peer, |channel| channel.upgrade(toy).unwrap());
    peer.connect_failed(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(
        words(&trace),
        "failed:ConnectionRefused closed:ConnectFailed"
    );
    assert_eq!(watch.calls(Call::Feed), 0);
    watch.check_gone();
}

#[test]
fn a_handshake_has_a_deadline_of_its_own_which_dripping_does_not_move() {
    let limits = [None, Some(2 * SECOND), Some(Duration::from_millis(1500))];
    for (kind, limit) in Kind::BOTH
        .into_iter()
        .flat_map(|kind| limits.map(|limit| (kind, limit)))
    {
        if kind == Kind::Upgraded && limit.is_some() {
            continue; // the same timer
        }
        let builder = limit.map_or_else(builder, |limit| builder().handshake_timeout(limit));
        let limit = limit.unwrap_or(10 * SECOND);
        let (near, far) = (Toy::server(), Toy::client().flight(100));
        let mut line = match kind {
            Kind::Implicit => Line::with(builder, near, far, |_| ()),
            Kind::Upgraded => Line::upgraded(near, far, |_| ()),
        };
        let wire = line.far.wire();
        let almost = limit - Duration::from_millis(1);
        line.peer.feed(&wire[..10]);
        line.peer.advance(almost / 2);
        line.peer.feed(&wire[10..20]);
        line.peer.advance(almost - almost / 2);
        assert_eq!(line.news(), "", "{kind:?}");
        line.peer.advance(Duration::from_millis(1));
        let news = line.news();
        match kind {
            Kind::Implicit => {
                assert!(news.starts_with("handshake:no handshake within "), "{news}");
            }
            Kind::Upgraded => {
                assert!(
                    news.starts_with("error:channel ") && news.contains(": handshake failed: "),
                    "{news}"
                );
            }
        }
        assert!(line.peer.has_ended());
        line.peer.eof();
        assert!(line.peer.is_closed());
        assert_eq!(line.peer.closed(), Some(Cause::HandshakeFailed), "{kind:?}");
        line.watch.check_gone();
    }
}

#[test]
fn the_deadline_ends_with_the_handshake() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        line.exchange();
        line.peer.advance(3600 * SECOND);
        assert_eq!(line.news(), kind.done());
        assert!(!line.peer.is_closed());
    }
}

#[test]
fn the_idle_timeout_begins_behind_the_handshake() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        line.on(|channel| channel.set_idle_timeout(Some(SECOND)));
        line.peer.advance(9 * SECOND);
        line.exchange();
        assert_eq!(line.news(), kind.done());
        line.peer.advance(SECOND - Duration::from_millis(1));
        assert_eq!(line.news(), "");
        line.peer.advance(Duration::from_millis(1));
        assert_eq!(line.news(), "timeout closed:IdleTimeout");
    }
}

#[test]
fn an_object_that_wants_nothing_still_shakes_hands() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |it| it.readable = false);
        line.exchange();
        assert_eq!(line.news(), kind.done());
        line.say("hello");
        assert_eq!(line.received(), b"");
    }
}

#[test]
fn a_pause_of_reading_holds_back_the_object_and_not_the_handshake() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::client(), Toy::server(), |_| ());
        line.take();
        line.on(|channel| channel.pause_reading(60 * SECOND));
        line.far.say("hello");
        line.feed();
        assert_eq!(line.news(), kind.done());
        line.say(" there");
        line.peer.advance(30 * SECOND);
        assert_eq!(line.news(), "");
        line.on(|channel| channel.resume_reading());
        line.exchange();
        assert_eq!(line.received(), b"hello there", "{kind:?}");
        // And behind the handshake.
        line.on(|channel| channel.pause_reading(SECOND));
        line.say(", again");
        assert_eq!(line.received(), b"hello there", "{kind:?}");
        line.peer.advance(SECOND);
        assert_eq!(line.received(), b"hello there, again", "{kind:?}");
    }
}

/// A reactor with handshakes that wait for their next step, and one channel that is open.
struct Crowd {
    reactor: Reactor,
    waiting: Vec<(LocalStream, Watch)>,
    /// Answers nobody has asked for yet.
    trace: Trace,
    open: LocalStream,
}

impl Crowd {
    fn new(budget: usize, size: usize, open_is_filtered: bool) -> Self {
        let mut reactor = builder().handshake_budget(budget).build().unwrap();
        let trace = Trace::new();
        let (ours, mut open) = pair();
        let id = reactor
            .register(ours, Recorder::named(&trace, "open"))
            .unwrap();
        if open_is_filtered {
            reactor
                .channel(id)
                .unwrap()
                .upgrade(Toy::server().round_trips(0))
                .unwrap();
        }
        settle(&mut reactor);
        let mut waiting = Vec::new();
        for _ in 0..size {
            let (ours, theirs) = pair();
            let toy = Toy::server();
            waiting.push((theirs, toy.watch()));
            let id = reactor
                .register(ours, Recorder::named(&trace, "crowd"))
                .unwrap();
            reactor.channel(id).unwrap().upgrade(toy).unwrap();
        }
        settle(&mut reactor);
        for (theirs, _) in &mut waiting {
            theirs.write_all(&Far::client().wire()).unwrap();
        }
        trace.clear();
        if open_is_filtered {
            // Its records go on below.
            open.write_all(&[]).unwrap();
        }
        Self {
            reactor,
            waiting,
            trace,
            open,
        }
    }
}

fn sum(waiting: &[(LocalStream, Watch)], of: impl Fn(&Watch) -> usize) -> usize {
    waiting.iter().map(|(_, watch)| of(watch)).sum()
}

#[test]
fn a_turn_takes_no_more_steps_than_its_budget_and_serves_open_channels_meanwhile() {
    for (budget, filtered) in [(1, false), (5, false), (5, true), (64, false)] {
        let mut crowd = Crowd::new(budget, 100, filtered);
        let mut far = Far::new(Toy::client().round_trips(0));
        let (mut steps, mut turns, mut said) = (0, 0, 0);
        while steps < 100 {
            if filtered {
                far.say("hello");
                crowd.open.write_all(&far.wire()).unwrap();
            } else {
                crowd.open.write_all(b"hello").unwrap();
            }
            said += 1;
            turn_until(&mut crowd.reactor, |_| {
                let now = sum(&crowd.waiting, |it| it.seen().steps);
                assert!(now - steps <= budget, "{} of {budget}", now - steps);
                steps = now;
                let is_heard = crowd.trace.count("open.read:5") == said;
                turns += usize::from(!is_heard);
                is_heard
            });
        }
        let expected = 100_usize.div_ceil(budget);
        assert!(turns >= expected, "{turns} turns with budget {budget}");
        // Windows may report bytes some turns after they were sent.
        if cfg!(not(windows)) {
            assert_eq!((turns, said), (expected, expected), "budget {budget}");
        }
        settle(&mut crowd.reactor);
        assert_eq!(crowd.trace.count("crowd.connect"), 100);
    }
}

#[test]
fn handshakes_that_wait_are_not_looked_at_in_each_turn() {
    let calls = |size| {
        let mut crowd = Crowd::new(1, size, false);
        let heard = crowd.reactor.stats().events + size as u64;
        turn_until(&mut crowd.reactor, |reactor| {
            reactor.stats().events >= heard
        });
        let count = |crowd: &Crowd| {
            let count = |it: &Watch| it.calls(Call::Phase) + it.calls(Call::Feed);
            sum(&crowd.waiting, count)
        };
        let before = count(&crowd);
        for _ in 0..5 {
            crowd.reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        let steps = sum(&crowd.waiting, |it| it.seen().steps);
        assert!(steps < size, "none waits any more");
        count(&crowd) - before
    };
    let (few, many) = (calls(40), calls(400));
    assert!(many <= few, "{many} calls with 400, {few} with 40");
}

#[test]
fn an_answer_of_the_handshake_waits_for_room_in_the_socket() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server().flight(100_000), Toy::client(), |_| ());
        line.peer.set_window(1000);
        line.exchange();
        assert_eq!(line.news(), kind.done());
        assert!(line.far.is_open());
        line.watch.check();
    }
}

#[test]
fn shutdown_and_close_when_done_end_a_handshake_at_once() {
    for kind in Kind::BOTH {
        for way in ["shutdown", "close_when_done", "close"] {
            let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
            match way {
                "shutdown" => line.peer.registry().shutdown(60 * SECOND),
                "close" => line.on(|channel| channel.close()),
                _ => line.on(|channel| channel.close_when_done()),
            }
            assert!(line.peer.has_ended(), "{kind:?}, {way}");
            line.peer.eof();
            assert!(line.peer.is_closed(), "{kind:?}, {way}");
            let news = line.news();
            assert!(news.starts_with("closed:"), "{kind:?}, {way}: {news}");
            line.watch.check_gone();
        }
    }
}

#[test]
fn close_when_done_in_a_handshake_sends_what_was_pushed_within_the_deadline() {
    for kind in Kind::BOTH {
        for comes in [true, false] {
            let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
            line.on(|channel| {
                channel.push("farewell");
                channel.close_when_done();
            });
            assert!(!line.peer.has_ended(), "{kind:?}");
            if comes {
                assert_eq!(line.hear(), b"farewell", "{kind:?}");
                assert!(line.far.has_end() && line.peer.has_ended());
            } else {
                line.peer.advance(10 * SECOND);
                assert!(line.peer.has_ended(), "{kind:?}");
            }
            line.peer.eof();
            assert!(line.peer.is_closed(), "{kind:?}");
            line.watch.check_gone();
        }
    }
}

#[test]
fn an_object_that_wants_nothing_shakes_hands_over_a_real_socket_whenever_the_peer_speaks() {
    for early in [true, false] {
        for kind in Kind::BOTH {
            let mut reactor = builder().build().unwrap();
            let trace = Trace::new();
            let mut object = Recorder::new(&trace);
            object.readable = false;
            let (ours, mut theirs) = pair();
            let id = reactor.register(ours, object).unwrap();
            if kind == Kind::Upgraded {
                settle(&mut reactor);
            }
            reactor.channel(id).unwrap().upgrade(Toy::server()).unwrap();
            if !early {
                settle(&mut reactor);
            }
            theirs.write_all(&Far::client().wire()).unwrap();
            turn_until(&mut reactor, |_| trace.has(kind.done()));
            assert!(!words(&trace).contains("read"), "{}", words(&trace));
        }
    }
}
