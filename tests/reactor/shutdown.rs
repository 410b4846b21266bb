//! The loop itself (R5, R22): `turn`, `run` and when it returns, `stop`, `shutdown` with its grace, `close_all`.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{TcpStream, UdpSocket},
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, Dispatcher, Handle, Reactor, Result, State, Turn, testing::Harness};
use util::{
    DEADLINE, Recorder, Trace,
    peer::{narrow_tcp_pair, read_to_end, settled, tcp_pair, turns, unanswering},
    reactor, run, serve, settle,
};

const MS: Duration = Duration::from_millis(1);

// ---- turn

#[test]
fn a_turn_without_anything_to_do_reports_nothing() {
    let mut reactor = reactor();
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap(), Turn::default());
    assert_eq!(reactor.turn(Some(MS)).unwrap(), Turn::default());
    let (_, _peer) = settled(&mut reactor, Recorder::new(&Trace::new()));
    assert_eq!(reactor.turn(Some(MS)).unwrap(), Turn::default());
    assert!(reactor.stats().turns >= 3);
}

#[test]
fn one_turn_visits_channels_then_runs_timers_then_posted_calls_and_then_flushes() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let note = |word: &'static str, trace: &Trace| {
        let trace = trace.clone();
        move |registry: &mut asynchat::Registry| -> Result {
            registry.channel(id).unwrap().push(format!("{word} "));
            trace.add(word);
            Ok(())
        }
    };
    // Handle's calls must be Send: they look the word up in the object.
    reactor
        .handle()
        .call_soon(move |registry| {
            registry.with(id, |recorder: &mut Recorder, channel| {
                recorder.trace.add("posted");
                channel.push("posted");
            })?;
            Ok(())
        })
        .unwrap();
    reactor.call_later(Duration::ZERO, note("timer", &trace));
    theirs.write_all(b"hello").unwrap();
    let turn = reactor.turn(None).unwrap();
    assert_eq!(trace.lines(), ["read:5", "timer", "posted"]);
    assert_eq!((turn.callbacks, turn.timers), (3, 1));
    theirs.set_nonblocking(true).unwrap();
    let mut got = [0; 100];
    let n = theirs
        .read(&mut got)
        .expect("it was flushed in the same turn");
    assert_eq!(&got[..n], b"timer posted");
}

#[test]
fn each_channel_is_visited_once_a_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["a", "b", "c"] {
        let mut recorder = Recorder::named(&trace, name);
        recorder.read_size = 1;
        // There is more to read, and somebody asks: neither makes a second visit of it.
        recorder.on_read = Some(Box::new(|channel| {
            channel.touch();
            Ok(())
        }));
        peers.push(settled(&mut reactor, recorder).1);
    }
    for peer in &mut peers {
        peer.write_all(b"xyz").unwrap();
    }
    for _ in 0..3 {
        trace.clear();
        reactor.turn(None).unwrap();
        let mut lines = trace.lines();
        lines.sort();
        assert_eq!(lines, ["a.read:1", "b.read:1", "c.read:1"]);
    }
}

#[test]
fn a_channel_added_in_a_turn_is_not_visited_in_it() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let added = Rc::new(RefCell::new(Vec::new()));
    for how in ["timer", "posted"] {
        let (ours, theirs) = tcp_pair();
        added.borrow_mut().push(theirs);
        if how == "timer" {
            let recorder = Recorder::new(&trace);
            reactor.call_later(Duration::ZERO, move |registry| {
                registry.register(ours, recorder)?;
                Ok(())
            });
        } else {
            reactor
                .handle()
                .call_soon(move |registry| {
                    registry.register(ours, Silent)?;
                    Ok(())
                })
                .unwrap();
        }
    }
    let turn = reactor.turn(None).unwrap();
    assert_eq!(turn.callbacks, 2);
    assert!(trace.lines().is_empty());
    assert_eq!(reactor.stats().channels, 2);
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("connect"));
}

struct Silent;
impl Dispatcher for Silent {}

// ---- run

#[test]
fn run_returns_when_neither_channel_nor_timer_is_left() {
    let mut reactor = reactor();
    assert!(reactor.is_idle());
    run(&mut reactor);
    let trace = Trace::new();
    let (_, theirs) = settled(&mut reactor, Recorder::new(&trace));
    let after = trace.clone();
    // The channel goes first, the timer keeps it running.
    reactor.call_later(20 * MS, move |_| {
        after.add("timer");
        Ok(())
    });
    assert!(!reactor.is_idle());
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines().last().unwrap(), "timer");
    assert!(trace.has("close"));
    assert!(reactor.is_idle());
    run(&mut reactor);
}

#[test]
fn a_cancelled_timer_does_not_keep_run_going() {
    let mut reactor = reactor();
    let timer = reactor.call_later(DEADLINE * 100, |_| Ok(()));
    reactor.call_later(MS, move |registry| {
        assert!(registry.cancel(timer));
        Ok(())
    });
    run(&mut reactor);
}

// ---- stop

#[test]
fn stop_asked_before_run_makes_it_return_at_once_and_only_once() {
    let mut reactor = reactor();
    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    reactor.call_later(Duration::ZERO, move |_| {
        flag.set(true);
        Ok(())
    });
    reactor.stop();
    run(&mut reactor);
    assert!(!ran.get());
    run(&mut reactor);
    assert!(ran.get());
}

/// The turn that a `stop` from outside falls into, or that comes next, does not wait and says so; the one after it waits
/// again.
#[test]
fn a_turn_reports_a_stop_once() {
    let stops: [fn(&mut Reactor); 3] = [
        |reactor| reactor.stop(),
        |reactor| reactor.handle().stop(),
        |reactor| {
            reactor.call_later(Duration::ZERO, |registry| {
                registry.stop();
                Ok(())
            });
        },
    ];
    for stop in stops {
        let mut reactor = reactor();
        serve(&mut reactor, |_| Recorder::new(&Trace::new()));
        assert!(!reactor.turn(Some(Duration::ZERO)).unwrap().stopped);
        stop(&mut reactor);
        // It would wait for ever.
        assert!(reactor.turn(None).unwrap().stopped);
        // It waits for the timer.
        reactor.call_later(MS, |_| Ok(()));
        let mut turns = 0;
        while reactor.stats().timers > 0 {
            assert!(!reactor.turn(None).unwrap().stopped);
            turns += 1;
        }
        assert!(turns <= 3, "{turns} turns within a millisecond");
    }
}

#[test]
fn stop_in_a_callback_lets_the_turn_finish_and_closes_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["a", "b"] {
        let mut recorder = Recorder::named(&trace, name);
        let stops = trace.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            if stops.has(&format!("{name}.read:5")) {
                channel.registry().stop();
            }
            Ok(())
        }));
        peers.push(settled(&mut reactor, recorder).1);
    }
    trace.clear();
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    run(&mut reactor);
    let mut lines = trace.lines();
    lines.sort();
    assert_eq!(lines, ["a.read:5", "b.read:5"], "the whole batch is served");
    assert_eq!(reactor.stats().channels, 2);
    // It goes on where it was, and no callback stops it again.
    trace.clear();
    drop(peers);
    run(&mut reactor);
    assert_eq!(reactor.stats().channels, 0);
}

// ---- shutdown

#[test]
fn shutdown_stops_accepting_flushes_and_ends_run() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (listener, address) = serve(&mut reactor, move |_| Recorder::named(&of_server, "late"));
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();
    reactor.channel(id).unwrap().push(vec![b'x'; 2_000_000]);
    reactor.shutdown(DEADLINE);
    assert!(
        reactor.channel(listener).is_none(),
        "listeners close at once"
    );
    assert_eq!(reactor.channel(id).unwrap().state(), State::Closing);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 2_000_000);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(reactor.stats().channels, 0);
    assert_eq!(
        reactor.stats().timers,
        0,
        "the grace is not waited for, and gone"
    );
    assert!(trace.lines().is_empty(), "{:?}", trace.lines());
}

#[test]
fn shutdown_closes_after_its_grace_whoever_does_not_finish() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut stuck) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();
    reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
    let started = reactor.now();
    reactor.shutdown(50 * MS);
    // The peer never reads.
    run(&mut reactor);
    assert!(started.elapsed() >= 50 * MS);
    assert!(reactor.channel(id).is_none());
    assert!(
        trace.lines().is_empty(),
        "no callback for what the reactor did itself"
    );
    let mut got = Vec::new();
    stuck.set_read_timeout(Some(DEADLINE)).unwrap();
    let _ = stuck.read_to_end(&mut got);
    assert!(got.len() < 4 << 20);
}

#[test]
fn shutdown_does_not_wait_for_timers() {
    let mut reactor = reactor();
    let (_, theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let timer = reactor.call_every(DEADLINE * 100, |_| Ok(()));
    reactor.call_later(MS, |registry| {
        registry.shutdown(DEADLINE);
        Ok(())
    });
    drop(theirs);
    run(&mut reactor);
    assert_eq!(reactor.stats().channels, 0);
    // They are not lost either: the next run has them again.
    assert_eq!(reactor.stats().timers, 1);
    assert!(!reactor.is_idle());
    assert!(reactor.cancel(timer));
}

#[test]
fn a_second_shutdown_changes_the_grace() {
    let mut reactor = reactor();
    let (ours, _never_reads) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
    reactor.shutdown(DEADLINE * 100);
    reactor.shutdown(MS);
    assert_eq!(reactor.stats().timers, 1);
    run(&mut reactor);
    assert_eq!((reactor.stats().channels, reactor.stats().timers), (0, 0));
}

#[test]
fn shutdown_ends_connecting_fresh_and_datagram_channels_too() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_listener, address, _waiting) = unanswering();
    let connecting = reactor
        .connect(address, Recorder::named(&trace, "connecting"))
        .unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = reactor
        .register(udp, Recorder::named(&trace, "udp"))
        .unwrap();
    settle(&mut reactor);
    let (ours, mut theirs) = tcp_pair();
    let fresh = reactor
        .register(ours, Recorder::named(&trace, "fresh"))
        .unwrap();
    trace.clear();
    reactor.channel(fresh).unwrap().push("parting gift");
    reactor.shutdown(DEADLINE);
    assert!(reactor.channel(connecting).is_none());
    assert!(reactor.channel(udp).is_none());
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"parting gift");
    drop(theirs);
    run(&mut reactor);
    assert!(
        trace.lines().iter().all(|line| line == "fresh.connect"),
        "{:?}",
        trace.lines()
    );
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn a_channel_opened_during_the_grace_is_closed_at_its_end() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_, silent) = settled(&mut reactor, Recorder::new(&trace));
    reactor.shutdown(50 * MS);
    let (ours, _theirs) = tcp_pair();
    let late = reactor
        .register(ours, Recorder::named(&trace, "late"))
        .unwrap();
    drop(silent);
    run(&mut reactor);
    assert!(reactor.channel(late).is_none());
    assert!(trace.has("late.connect"));
}

#[test]
fn shutdown_of_an_empty_reactor_leaves_nothing_behind() {
    type End = fn(&mut Reactor);
    let ends: [End; 2] = [run, |reactor| {
        turns(reactor, 3);
    }];
    for end in ends {
        let mut reactor = reactor();
        reactor.shutdown(DEADLINE);
        end(&mut reactor);
        assert_eq!(reactor.stats().timers, 0);
        // And the reactor can be used again.
        let ran = Rc::new(Cell::new(false));
        let flag = ran.clone();
        reactor.call_later(20 * MS, move |_| {
            flag.set(true);
            Ok(())
        });
        run(&mut reactor);
        assert!(ran.get());
    }
}

#[test]
fn shutdown_in_a_callback_sends_that_channels_answer() {
    struct Quits;
    impl Dispatcher for Quits {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv_with(|_, data| data.starts_with(b"quit"))? {
                channel.push("bye");
                channel.registry().shutdown(DEADLINE);
                channel.push("dropped");
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (_, address) = serve(&mut reactor, |_| Quits);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"quit").unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut client), b"bye");
    drop(client);
    run(&mut reactor);
    assert_eq!(reactor.stats().channels, 0);
}

// ---- close_all

#[test]
fn close_all_closes_every_channel_without_callbacks_and_leaves_timers() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    serve(&mut reactor, |_| Silent);
    reactor
        .register(UdpSocket::bind("127.0.0.1:0").unwrap(), Silent)
        .unwrap();
    let (ours, _peer) = tcp_pair();
    reactor
        .register(ours, Recorder::named(&trace, "fresh"))
        .unwrap();
    trace.clear();
    theirs.write_all(b"unread").unwrap();
    let ticked = trace.clone();
    reactor.call_later(MS, move |_| {
        ticked.add("timer");
        Ok(())
    });
    assert_eq!(reactor.channels().count(), 4);
    let listed: Vec<_> = reactor.channels().map(|info| info.id).collect();
    assert_eq!(reactor.ids(), listed);
    reactor.close_all();
    assert!(reactor.ids().is_empty());
    assert_eq!(reactor.channels().count(), 0);
    assert_eq!(reactor.stats().channels, 0);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["timer"]);
}

#[test]
fn a_post_behind_a_shutdown_does_not_begin_a_new_life() {
    for held in [false, true] {
        let mut reactor = reactor();
        let handle = reactor.handle();
        let _hold = held.then(|| handle.hold());
        reactor.call_every(DEADLINE, |_| Ok(()));
        let behind = handle.clone();
        handle
            .call_soon(move |registry| {
                registry.shutdown(MS);
                behind.call_soon(|_| Ok(()))?;
                Ok(())
            })
            .unwrap();
        run(&mut reactor);
    }
}

#[test]
fn a_listener_that_posts_as_it_is_dropped_does_not_undo_the_shutdown() {
    struct Posts(Handle);
    impl Dispatcher for Posts {}
    impl Drop for Posts {
        fn drop(&mut self) {
            self.0.call_soon(|_| Ok(())).unwrap();
        }
    }
    let mut reactor = reactor();
    reactor.call_every(DEADLINE, |_| Ok(()));
    let handle = reactor.handle();
    reactor
        .listen(([127, 0, 0, 1], 0), Posts(handle.clone()))
        .unwrap();
    handle.shutdown(MS);
    run(&mut reactor);
}

#[test]
fn close_all_in_a_callback_ends_the_batch() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["a", "b", "c"] {
        let mut recorder = Recorder::named(&trace, name);
        recorder.writable = false;
        recorder.on_read = Some(Box::new(|channel| {
            if channel.local_addr().is_ok() && channel.registry().stats().bytes_in > 0 {
                channel.registry().close_all();
                assert_eq!(channel.state(), State::Closed);
            }
            Ok(())
        }));
        peers.push(settled(&mut reactor, recorder).1);
    }
    trace.clear();
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    run(&mut reactor);
    assert_eq!(trace.lines().len(), 1, "{:?}", trace.lines());
}

#[test]
fn a_dropped_reactor_closes_its_sockets() {
    let mut reactor = reactor();
    let (listener, address) = serve(&mut reactor, |_| Silent);
    let (_, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    assert!(reactor.channel(listener).is_some());
    drop(reactor);
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_second_shutdown_behind_the_grace_of_the_first_spares_what_comes_after_it() {
    let trace = Trace::new();
    let mut peer = Harness::new(Recorder::new(&trace));
    peer.set_window(0);
    let id = peer.id();
    peer.registry().channel(id).unwrap().push("never taken");
    peer.registry().shutdown(MS);
    peer.advance(MS);
    assert!(peer.is_closed());
    peer.registry().shutdown(MS);
    let listener = peer
        .registry()
        .listen(([127, 0, 0, 1], 0), Recorder::new(&trace))
        .unwrap();
    peer.advance(10 * MS);
    assert!(peer.registry().channel(listener).is_some());
}
