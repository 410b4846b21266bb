//! A reactor inside another loop: its descriptor in a poller that tells what is so (poll(2)), and in one that tells what
//! is new (mio's).

use std::{
    io::Write,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use asynchat::{Channel, Dispatcher, Reactor, Result};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use rustix::event::{PollFd, PollFlags, poll};
use util::{
    DEADLINE, Recorder, SCRIPTED, Trace,
    peer::{pair, settled},
    reactor, settle, silence_scripted_panics,
    toy::{Far, Toy},
};

/// Writes down what comes, and reads until nothing is left, so that no turn is due without an event.
struct Reads(Trace);

impl Dispatcher for Reads {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        while channel.recv_with(|_, data| {
            self.0.add(String::from_utf8_lossy(data));
            !data.is_empty()
        })? {}
        Ok(())
    }
}

/// Waits as an outer loop does, and then turns. False if it waited for the deadline.
fn outer_turn(reactor: &mut Reactor) -> bool {
    let wait = reactor.next_wait().unwrap_or(DEADLINE);
    let wait = wait.try_into().unwrap();
    let mut waiting = [PollFd::new(reactor, PollFlags::IN)];
    let ready = poll(&mut waiting, Some(&wait)).unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    ready > 0
}

fn is_readable(reactor: &Reactor) -> bool {
    let mut waiting = [PollFd::new(reactor, PollFlags::IN)];
    poll(&mut waiting, Some(&Duration::ZERO.try_into().unwrap())).unwrap() > 0
}

#[test]
fn events_posts_and_timers_reach_it_through_an_outer_poll() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    reactor.register(ours, Reads(trace.clone())).unwrap();
    settle(&mut reactor);
    assert_eq!(reactor.next_wait(), None);
    assert!(!is_readable(&reactor));

    theirs.write_all(b"data").unwrap();
    assert!(is_readable(&reactor));
    assert!(outer_turn(&mut reactor));
    assert_eq!(trace.joined(), "data");
    settle(&mut reactor);
    assert!(!is_readable(&reactor), "the turn took the event");

    let handle = reactor.handle();
    let poster = thread::spawn(move || {
        handle.call_soon(|registry| {
            registry.call_later(Duration::from_millis(5), |registry| {
                registry.close_all();
                Ok(())
            });
            Ok(())
        })
    });
    let end = Instant::now() + DEADLINE;
    while !reactor.is_idle() {
        assert!(Instant::now() < end, "it was not woken");
        outer_turn(&mut reactor);
    }
    poster.join().unwrap().unwrap();
}

#[test]
fn an_outer_poller_that_tells_news_only_misses_nothing_of_a_poll_that_was_full() {
    const PEERS: usize = 64;
    let mut reactor = Reactor::builder().events(1).build().unwrap();
    let mut outer = Poll::new().unwrap();
    let watched = reactor.as_fd().try_clone_to_owned().unwrap();
    let fd = watched.as_raw_fd();
    let mut source = SourceFd(&fd);
    outer
        .registry()
        .register(&mut source, Token(0), Interest::READABLE)
        .unwrap();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        // Pipes, because a stream is served once without an event.
        let (ours, mut theirs) = std::io::pipe().unwrap();
        reactor
            .register(OwnedFd::from(ours), Reads(trace.clone()))
            .unwrap();
        theirs.write_all(b"x").unwrap();
        peers.push(theirs);
    }
    let mut events = Events::with_capacity(8);
    let end = Instant::now() + DEADLINE;
    while trace.count("x") < PEERS {
        assert!(Instant::now() < end, "{} came", trace.count("x"));
        let wait = reactor.next_wait().unwrap_or(DEADLINE);
        outer.poll(&mut events, Some(wait)).unwrap();
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn next_wait_is_zero_while_there_is_work() {
    let mut reactor = reactor();
    assert_eq!(reactor.next_wait(), None);
    let timer = reactor.call_later(Duration::from_secs(60), |_| Ok(()));
    let wait = reactor.next_wait().unwrap();
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
    reactor.cancel(timer);
    let zero = Some(Duration::ZERO);
    reactor.call_soon(|_| Ok(()));
    assert_eq!(reactor.next_wait(), zero);
    reactor.turn(zero).unwrap();
    reactor.handle().call_soon(|_| Ok(())).unwrap();
    assert_eq!(reactor.next_wait(), zero);
    reactor.turn(zero).unwrap();
    let (ours, _theirs) = pair();
    reactor.register(ours, Reads(Trace::new())).unwrap();
    assert_eq!(reactor.next_wait(), zero, "its first callback is due");
    settle(&mut reactor);
    assert_eq!(reactor.next_wait(), None);
    reactor.stop();
    assert_eq!(reactor.next_wait(), zero);
}

#[test]
fn next_wait_is_zero_while_handshakes_wait_for_the_budget_of_a_turn() {
    const PEERS: usize = 5;
    let mut reactor = Reactor::builder().handshake_budget(1).build().unwrap();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let (ours, mut theirs) = pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        reactor.channel(id).unwrap().upgrade(Toy::server()).unwrap();
        theirs.write_all(&Far::client().wire()).unwrap();
        peers.push(theirs);
    }
    while trace.count("connect") < PEERS {
        let done = trace.count("connect");
        assert_eq!(reactor.next_wait(), Some(Duration::ZERO), "{done} are done");
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn next_wait_is_zero_behind_a_turn_that_a_panic_has_left() {
    silence_scripted_panics();
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut object = Recorder::new(&trace);
        let received = object.received.clone();
        object.on_read = Some(Box::new(move |_| {
            assert!(received.borrow().is_empty(), "{SCRIPTED}");
            Ok(())
        }));
        peers.push(settled(&mut reactor, object));
    }
    for (_, theirs) in &mut peers {
        theirs.write_all(b"x").unwrap();
    }
    for left in [2, 1, 0] {
        let turn = catch_unwind(AssertUnwindSafe(|| reactor.turn(None)));
        assert!(turn.is_err(), "{left} are left");
        assert_eq!(reactor.next_wait(), Some(Duration::ZERO), "{left} are left");
    }
}
