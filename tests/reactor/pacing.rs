//! Pauses of reading (R3): input waits, resets do not, and a pause costs no turn. What a peer's end is to an object that does
//! not read.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{Channel, ChannelId, Dispatcher, Exceptional, Reactor, Result};
use util::{
    Log, Recorder, Trace, address_of,
    peer::{announces_ends_behind_data, reset, settled, tcp_pair, turns},
    reactor, run, serve, settle, turn_until,
};

const FOREVER: Duration = Duration::MAX;

fn paused(reactor: &mut Reactor, recorder: Recorder, time: Duration) -> (ChannelId, TcpStream) {
    let trace = recorder.trace.clone();
    let (id, theirs) = settled(reactor, recorder);
    trace.clear();
    reactor.channel(id).unwrap().pause_reading(time);
    (id, theirs)
}

#[test]
fn a_pause_holds_input_back_until_its_time_is_over_and_wakes_nobody() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
    assert!(reactor.channel(id).unwrap().is_reading_paused());
    let begun = Instant::now();
    let turn = reactor.turn(Some(Duration::from_millis(40))).unwrap();
    assert_eq!((turn.events, turn.callbacks), (0, 0));
    assert!(begun.elapsed() >= Duration::from_millis(40), "it waits");

    // Another time in the place of the first.
    let begun = Instant::now();
    reactor
        .channel(id)
        .unwrap()
        .pause_reading(Duration::from_millis(30));
    turn_until(&mut reactor, |_| trace.has("read:5"));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert!(!reactor.channel(id).unwrap().is_reading_paused());
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn resuming_ends_a_pause_at_once_and_is_harmless_without_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    assert_eq!(reactor.stats().timers, 0);
    reactor.channel(id).unwrap().resume_reading();
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 5), 0);
}

#[test]
fn a_pause_and_the_objects_own_wish_both_have_to_allow_a_read() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, mut theirs) = paused(&mut reactor, recorder, FOREVER);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().resume_reading();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
    let wish = |recorder: &mut Recorder, channel: &mut Channel<'_>| {
        recorder.readable = true;
        channel.pause_reading(FOREVER);
    };
    reactor.with(id, wish).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().touch();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |_| trace.has("read:5"));
}

/// A pause of no time in each read: one byte a turn, and no turn waits.
#[test]
fn a_pause_of_no_time_ends_with_the_next_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    recorder.on_read = Some(Box::new(|channel| {
        for _ in 0..1000 {
            channel.pause_reading(Duration::ZERO);
        }
        Ok(())
    }));
    let (_, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(&[0; 10]).unwrap();
    turn_until(&mut reactor, |_| trace.has("read:1"));
    let begun = Instant::now();
    for reads in 2..=10 {
        reactor.turn(Some(Duration::from_secs(2))).unwrap();
        assert_eq!(trace.count("read:1"), reads);
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 5), 0);
}

/// Another channel paused this one before its visit: it lasts for all of the turn.
#[test]
fn a_pause_of_no_time_from_another_callback_lasts_for_the_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (a, mut peer_of_a) = settled(&mut reactor, Recorder::named(&trace, "a"));
    let (b, mut peer_of_b) = settled(&mut reactor, Recorder::named(&trace, "b"));
    for (id, other) in [(a, b), (b, a)] {
        let pause = move |recorder: &mut Recorder, _: &mut Channel<'_>| {
            recorder.on_read = Some(Box::new(move |channel| {
                let mut other = channel.registry().channel(other).ok_or("closed")?;
                other.pause_reading(Duration::ZERO);
                Ok(())
            }));
        };
        reactor.with(id, pause).unwrap();
    }
    trace.clear();
    peer_of_a.write_all(b"x").unwrap();
    peer_of_b.write_all(b"x").unwrap();
    // Loopback delivers at once, so both are events of one turn.
    reactor.turn(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(trace.lines().len(), 1, "{}", trace.joined());
    reactor.turn(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(trace.lines().len(), 2, "{}", trace.joined());
}

#[test]
fn a_pause_with_time_is_no_spin_and_one_without_is() {
    for (time, warnings) in [(Duration::ZERO, 1), (Duration::from_nanos(1), 0)] {
        let log = Log::start();
        let mut reactor = reactor();
        struct Waits(Duration, Rc<RefCell<usize>>);
        impl Dispatcher for Waits {
            fn writable(&self) -> bool {
                false
            }
            fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
                *self.1.borrow_mut() += 1;
                channel.pause_reading(self.0);
                Ok(())
            }
        }
        let calls = Rc::new(RefCell::new(0));
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        reactor.register(ours, Waits(time, calls.clone())).unwrap();
        turn_until(&mut reactor, |_| *calls.borrow() > 1100);
        assert_eq!(log.lines("spins").len(), warnings);
    }
}

/// Neither keeps the loop going, nor outlives its channel.
#[test]
fn a_pause_ends_with_its_channel() {
    let ends: [fn(&mut Channel<'_>); 4] = [
        |channel| channel.close(),
        |channel| channel.close_when_done(),
        |channel| drop(channel.detach()),
        |channel| channel.registry().shutdown(Duration::from_secs(5)),
    ];
    for end in ends {
        for time in [Duration::from_secs(3600), FOREVER] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (id, theirs) = paused(&mut reactor, Recorder::new(&trace), time);
            let mut channel = reactor.channel(id).unwrap();
            end(&mut channel);
            assert!(!channel.is_reading_paused());
            channel.pause_reading(time);
            channel.resume_reading();
            theirs.shutdown(Shutdown::Write).unwrap();
            run(&mut reactor);
            assert_eq!(trace.joined(), "");
        }
    }
}

#[test]
fn the_reactor_goes_on_for_a_paused_channel_and_ends_with_it() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_, theirs) = paused(
        &mut reactor,
        Recorder::new(&trace),
        Duration::from_millis(20),
    );
    drop(theirs);
    run(&mut reactor);
    assert!(trace.joined().ends_with("eof close"), "{}", trace.joined());
}

#[test]
fn another_object_begins_without_the_pause_of_the_last() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    let heir = Recorder::named(&trace, "heir");
    reactor.channel(id).unwrap().replace(heir);
    turn_until(&mut reactor, |_| trace.has("heir.read:5"));
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn a_read_by_hand_reads_in_a_pause() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    let mut buf = [0; 8];
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.recv(&mut buf).unwrap(), 5);
    channel.unread(b"hello".to_vec());
    drop(theirs);
    settle(&mut reactor);
    assert_eq!(reactor.channel(id).unwrap().recv(&mut buf).unwrap(), 5);
    assert_eq!(reactor.channel(id).unwrap().recv(&mut buf).unwrap(), 0);
    settle(&mut reactor);
    assert!(!trace.has("close"), "the end waits");
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |_| trace.has("close"));
    assert_eq!(trace.count("eof"), 0);
}

#[test]
fn a_reset_does_not_wait_for_the_end_of_a_pause() {
    for unread in [0, 5] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (id, mut theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
        theirs.write_all(&vec![0; unread]).unwrap();
        settle(&mut reactor);
        reset(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.joined(), "close", "{unread} bytes unread");
        assert_eq!(reactor.stats().timers, 0);
    }
}

#[test]
fn a_listener_accepts_nothing_in_a_pause() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let (id, address) = serve(&mut reactor, move |_| Recorder::new(&server));
    reactor.channel(id).unwrap().pause_reading(FOREVER);
    let _waits = TcpStream::connect(address).unwrap();
    settle(&mut reactor);
    let error = reactor.channel(id).unwrap().accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(reactor.stats().accepted, 0);
    assert_eq!(turns(&mut reactor, 5), 0);
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |_| trace.has("connect"));
}

/// Both in a loop of its own in `handle_accept`, and with one call after the other.
#[test]
fn a_listener_that_pauses_while_it_accepts_stops_there() {
    struct Door {
        loops: bool,
        accepted: Trace,
    }
    impl Dispatcher for Door {
        fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
            loop {
                let (_stream, _) = channel.accept()?;
                self.accepted.add("accepted");
                channel.pause_reading(FOREVER);
                if !self.loops {
                    return Ok(());
                }
            }
        }
    }
    for loops in [false, true] {
        let mut reactor = reactor();
        let accepted = Trace::new();
        let door = Door {
            loops,
            accepted: accepted.clone(),
        };
        let id = reactor.listen(([127, 0, 0, 1], 0), door).unwrap();
        let address = address_of(&mut reactor, id);
        let _waiting = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        for n in 1..=3 {
            turn_until(&mut reactor, |_| accepted.count("accepted") == n);
            settle(&mut reactor);
            assert_eq!(accepted.count("accepted"), n);
            reactor.channel(id).unwrap().resume_reading();
        }
    }
}

#[test]
fn datagrams_wait_in_a_pause() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let id = reactor.register(socket, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().pause_reading(FOREVER);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"hello", address).unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |_| trace.has("read:5"));
}

// ---- the peer's end

/// Ways not to read.
const WAYS: [fn(&mut Recorder, &mut Channel<'_>); 2] = [
    |recorder, _| recorder.readable = false,
    |_, channel| channel.pause_reading(FOREVER),
];

fn read_again(recorder: &mut Recorder, channel: &mut Channel<'_>) {
    recorder.readable = true;
    channel.resume_reading();
}

#[test]
fn an_end_is_told_once_to_an_object_that_does_not_read_and_what_came_before_stays() {
    for way in WAYS {
        for unread in [0, 5, 20_000] {
            if unread > 0 && !announces_ends_behind_data() {
                continue;
            }
            let mut reactor = reactor();
            let trace = Trace::new();
            let recorder = Recorder::new(&trace);
            let received = recorder.received.clone();
            let (id, mut theirs) = settled(&mut reactor, recorder);
            reactor.with(id, way).unwrap();
            trace.clear();
            theirs.write_all(&vec![1; unread]).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            settle(&mut reactor);
            assert_eq!(trace.joined(), "ended");
            assert_eq!(turns(&mut reactor, 20), 0, "no spin");

            // It has only shut down its sending side.
            reactor.channel(id).unwrap().push("still here");
            turn_until(&mut reactor, |reactor| reactor.stats().bytes_out == 10);
            theirs.read_exact(&mut [0; 10]).unwrap();
            reactor.with(id, read_again).unwrap();
            turn_until(&mut reactor, |_| trace.has("close"));
            assert_eq!(received.borrow().len(), unread);
            assert!(trace.count("ended") == 1);
        }
    }
}

/// Bytes and end are known, and the handler stops reading before it has found the end.
#[test]
fn an_end_seen_while_reading_is_told_when_reading_stops_before_it() {
    if !announces_ends_behind_data() {
        return;
    }
    let stops: [fn(&mut Channel<'_>) -> Result; 2] =
        [
            |channel| {
                channel.pause_reading(FOREVER);
                Ok(())
            },
            |channel| {
                let id = channel.id();
                channel
                    .registry()
                    .call_later(Duration::ZERO, move |registry| {
                        Ok(registry
                            .with(id, |recorder: &mut Recorder, _| recorder.readable = false)?)
                    });
                Ok(())
            },
        ];
    for stop in stops {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.read_size = 10;
        let (id, mut theirs) = settled(&mut reactor, recorder);
        let stops = |recorder: &mut Recorder, _: &mut Channel<'_>| {
            recorder.on_read = Some(Box::new(stop));
        };
        reactor.with(id, stops).unwrap();
        // Both in one event.
        theirs.write_all(&[0; 100]).unwrap();
        drop(theirs);
        settle(&mut reactor);
        assert_eq!(trace.count("ended"), 1);
        assert!(!trace.has("close") && trace.has("read:10"));
        let again = |recorder: &mut Recorder, channel: &mut Channel<'_>| {
            recorder.on_read = None;
            read_again(recorder, channel);
        };
        reactor.with(id, again).unwrap();
        turn_until(&mut reactor, |_| trace.has("close"));
        assert_eq!(trace.count("read:10"), 10);
        assert!(trace.count("ended") == 1);
    }
}

/// Its input would be thrown away to find the end.
#[test]
fn an_object_without_handle_read_is_told_in_a_pause_and_closed_after_it() {
    if !announces_ends_behind_data() {
        return;
    }
    struct Silent(Trace);
    impl Dispatcher for Silent {
        fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
            self.0.add(format!("{what:?}"));
            Ok(())
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.add("close");
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Silent(trace.clone()));
    reactor.channel(id).unwrap().pause_reading(FOREVER);
    theirs.write_all(b"hello").unwrap();
    drop(theirs);
    settle(&mut reactor);
    assert_eq!(trace.joined(), "ReadClosed");
    assert_eq!(turns(&mut reactor, 5), 0);
    trace.clear();
    reactor.channel(id).unwrap().resume_reading();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.joined(), "close");
}

#[test]
fn an_object_that_reads_is_not_told_of_an_end_apart() {
    for bytes in [0, 5, 100_000] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.read_size = 1000;
        let (id, mut theirs) = settled(&mut reactor, recorder);
        theirs.write_all(&vec![0; bytes]).unwrap();
        drop(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert!(!trace.has("ended"));
    }
}

#[test]
fn after_a_replace_the_new_object_is_told_of_the_end_too() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    drop(theirs);
    settle(&mut reactor);
    let mut heir = Recorder::named(&trace, "heir");
    heir.readable = false;
    reactor.channel(id).unwrap().replace(heir);
    settle(&mut reactor);
    assert_eq!(trace.joined(), "ended heir.ended");
}

#[test]
fn an_object_that_goes_closing_is_not_told_of_an_end() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, theirs) = paused(&mut reactor, Recorder::new(&trace), FOREVER);
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![0; 32 * 1024 * 1024]);
    channel.close_when_done();
    theirs.shutdown(Shutdown::Write).unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
}

/// Two requests of a peer that has ended its output: it waits for the answer to each.
#[test]
fn the_end_is_told_again_when_reading_stops_again() {
    if !announces_ends_behind_data() {
        return;
    }
    struct OneAtATime(Trace);
    impl Dispatcher for OneAtATime {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut request = [0; 4];
            let n = channel.recv(&mut request)?;
            self.0.add(format!("read {n}"));
            channel.pause_reading(FOREVER);
            Ok(())
        }
        fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
            self.0.add(format!("{what:?}"));
            Ok(())
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.add("close");
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, OneAtATime(trace.clone()));
    reactor.channel(id).unwrap().pause_reading(FOREVER);
    theirs.write_all(b"one two ").unwrap();
    drop(theirs);
    settle(&mut reactor);
    let mut seen = vec![trace.joined()];
    while let Some(mut channel) = reactor.channel(id) {
        channel.resume_reading();
        trace.clear();
        settle(&mut reactor);
        seen.push(trace.joined());
        assert_eq!(turns(&mut reactor, 5), 0);
    }
    let expected = [
        "ReadClosed",
        "read 4 ReadClosed",
        "read 4 ReadClosed",
        "read 0",
        "close",
    ];
    assert_eq!(seen, expected);
}
