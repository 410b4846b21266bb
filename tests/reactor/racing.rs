//! Several addresses for one connection (R4): the first that answers is the connection, and no other leaves a trace on it.
// Elsewhere a listener may refuse at once if its queue is full.
#![cfg(any(target_os = "linux", windows))]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use asynchat::{ConnectOptions, Dispatcher, Reactor, State};
use util::{
    DEADLINE, Recorder, Trace,
    peer::{borrowed, read_while, refusing, reset, tells_resets, turns, unanswering},
    reactor, settle, turn_until,
};

const STAGGER: Duration = Duration::from_millis(100);

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn hasty() -> ConnectOptions {
    ConnectOptions::new().stagger(STAGGER)
}

/// Without the reads that found nothing: only some pollers save them.
fn told(trace: &Trace) -> String {
    trace.joined().replace(" read!WouldBlock", "")
}

/// Turns until the attempts that are due have begun: the last is the one to `address`.
fn until_tried(reactor: &mut Reactor, id: asynchat::ChannelId, address: SocketAddr) {
    turn_until(reactor, |reactor| {
        reactor.channel(id).unwrap().peer_addr().unwrap() == address.into()
    });
}

/// What connects to a listener whose backlog was full, behind those who have filled it. The kernel asks again after 1 s.
fn arrives(listener: &TcpListener, waiting: &[TcpStream]) -> TcpStream {
    let earlier: Vec<_> = waiting.iter().map(|it| it.local_addr().unwrap()).collect();
    listener.set_nonblocking(true).unwrap();
    let end = Instant::now() + DEADLINE;
    loop {
        match listener.accept() {
            Ok((stream, from)) if !earlier.contains(&from) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < end, "nobody arrives");
    }
}

#[test]
fn an_address_that_does_not_answer_costs_the_stagger() {
    let (_full, silent, _waiting) = unanswering();
    let (_listener, good) = listener();
    let mut reactor = reactor();
    let trace = Trace::new();
    let begun = Instant::now();
    let id = reactor
        .connect_any(&[silent, good], Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    let took = begun.elapsed();
    println!("connected after {took:?}");
    assert!(took >= Duration::from_millis(250), "{took:?}");
    // The target is 50 ms more; a busy machine may take longer. Without the race it is the 30 s of the first address.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.peer_addr().unwrap(), good.into());
    assert_eq!(trace.joined(), "connect");
    settle(&mut reactor);
    assert_eq!(
        reactor.stats().timers,
        0,
        "the stagger and the limits are gone"
    );
}

#[test]
fn an_address_that_answers_late_is_not_given_up_for_a_later_one() {
    let (full, late, waiting) = unanswering();
    let (_full, silent, _waiting) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect_with(&[late, silent], &hasty(), Recorder::new(&trace))
        .unwrap();
    reactor.channel(id).unwrap().push("early words");
    until_tried(&mut reactor, id, silent);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);
    let mut accepted = arrives(&full, &waiting);
    let got = read_while(&mut reactor, &mut accepted, |got| got.len() >= 11);
    assert_eq!(got, b"early words");
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.peer_addr().unwrap(), late.into());
    accepted.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    assert_eq!(told(&trace), "connect read:5");
}

#[test]
fn of_two_that_answer_in_the_same_turn_the_first_is_taken() {
    let (one, first, waiting_one) = unanswering();
    let (two, second, waiting_two) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect_with(&[first, second], &hasty(), Recorder::new(&trace))
        .unwrap();
    until_tried(&mut reactor, id, second);
    // In the other order, and both before the reactor looks.
    let mut loser = arrives(&two, &waiting_two);
    let mut winner = arrives(&one, &waiting_one);
    winner.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.peer_addr().unwrap(), first.into());
    assert_eq!(
        channel.local_addr().unwrap(),
        winner.peer_addr().unwrap().into()
    );
    assert_eq!(loser.read(&mut [0]).unwrap(), 0, "closed");
    settle(&mut reactor);
    assert_eq!(told(&trace), "connect read:5");
}

/// One event brings the words and the end of file: if the end got lost among the events of the others, nothing would tell
/// of it any more.
#[test]
fn words_and_an_end_of_file_before_the_first_look_are_both_told() {
    for resets in [false, true] {
        let (_full, silent, _waiting) = unanswering();
        let (full, late, waiting) = unanswering();
        let mut reactor = reactor();
        let trace = Trace::new();
        let recorder = Recorder::new(&trace);
        let received = recorder.received.clone();
        let id = reactor
            .connect_with(&[silent, late], &hasty(), recorder)
            .unwrap();
        reactor.channel(id).unwrap().push("early");
        until_tried(&mut reactor, id, late);
        let mut accepted = arrives(&full, &waiting);
        accepted.write_all(b"421 full").unwrap();
        if resets {
            reset(accepted);
        } else {
            drop(accepted);
        }
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(*received.borrow(), b"421 full", "{:?}", trace.lines());
        assert_eq!(trace.lines().first().unwrap(), "connect");
        assert_eq!(trace.lines().last().unwrap(), "close");
        assert_eq!((trace.count("connect"), trace.count("close")), (1, 1));
        // On poll(2) this reset may read as an end of file.
        if !resets || (!cfg!(mio_unsupported_force_poll_poll) && tells_resets()) {
            assert_eq!(trace.has("eof"), !resets, "{:?}", trace.lines());
        }
    }
}

/// An end of file or an error that another socket had would have the input thrown away.
#[test]
fn the_events_of_those_that_failed_say_nothing_of_the_connection() {
    struct ReadsNothing(Trace);
    impl Dispatcher for ReadsNothing {
        fn handle_connect(&mut self, _: &mut asynchat::Channel<'_>) -> asynchat::Result {
            self.0.add("connect");
            Ok(())
        }
        fn handle_close(&mut self, _: &mut asynchat::Channel<'_>) -> asynchat::Result {
            self.0.add("close");
            Ok(())
        }
    }
    let (_full, silent, _waiting) = unanswering();
    let (_socket, bad) = refusing();
    let (listener, good) = listener();
    for addresses in [vec![silent, bad, good], vec![bad, good]] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let id = reactor
            .connect_with(&addresses, &hasty(), ReadsNothing(trace.clone()))
            .unwrap();
        turn_until(&mut reactor, |_| trace.has("connect"));
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"hello").unwrap();
        turns(&mut reactor, 20);
        let mut channel = reactor.channel(id).unwrap();
        channel.replace(Recorder::new(&trace));
        turn_until(&mut reactor, |_| trace.has("read:5"));
        assert_eq!(told(&trace), "connect read:5");
    }
}

#[test]
fn when_all_fail_the_error_lists_every_address() {
    let (_one, first) = refusing();
    let (_full, silent, _waiting) = unanswering();
    let unreachable: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let [refused, nowhere] = if cfg!(windows) {
        [10061, 10051]
    } else {
        [111, 101]
    }
    .map(std::io::Error::from_raw_os_error);
    let options = hasty().timeout(Duration::from_millis(50));
    for (addresses, outcome) in [
        (
            vec![unreachable, first],
            format!("ConnectionRefused {unreachable}: {nowhere}; {first}: {refused}"),
        ),
        (
            vec![first, first],
            format!("ConnectionRefused {first}: {refused}; {first}: {refused}"),
        ),
        (
            vec![silent, unreachable],
            format!("NetworkUnreachable {silent}: no answer within 50ms; {unreachable}: {nowhere}"),
        ),
    ] {
        struct Tells(Trace);
        impl Dispatcher for Tells {
            fn handle_expt(
                &mut self,
                _: &mut asynchat::Channel<'_>,
                what: asynchat::Exceptional,
            ) -> asynchat::Result {
                if let asynchat::Exceptional::ConnectFailed(error) = what {
                    self.0.add(format!("{:?} {error}", error.kind()));
                }
                Ok(())
            }
        }
        let mut reactor = reactor();
        let trace = Trace::new();
        reactor
            .connect_with(&addresses, &options, Tells(trace.clone()))
            .unwrap();
        assert_eq!(trace.lines(), [""; 0], "from inside the call");
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(trace.joined(), outcome);
    }
}

#[test]
fn a_thousand_addresses_are_tried_until_one_answers() {
    let (_socket, bad) = refusing();
    let unreachable: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let (_listener, good) = listener();
    for dead in [bad, unreachable] {
        let mut addresses = vec![dead; 999];
        addresses.push(good);
        let mut reactor = reactor();
        let trace = Trace::new();
        let id = reactor
            .connect_any(&addresses, Recorder::new(&trace))
            .unwrap();
        turn_until(&mut reactor, |_| trace.has("connect"));
        let channel = reactor.channel(id).unwrap();
        assert_eq!(channel.peer_addr().unwrap(), good.into());
        trace.clear();
        reactor
            .connect_any(&addresses[..999], Recorder::new(&trace))
            .unwrap();
        let before = reactor.stats().turns;
        turn_until(&mut reactor, |_| !trace.lines().is_empty());
        let took = reactor.stats().turns - before;
        assert!(took > 10, "{took} turns: others have to wait");
        let kind = if dead == bad {
            "ConnectionRefused"
        } else {
            "NetworkUnreachable"
        };
        assert_eq!(trace.joined(), format!("failed:{kind}"));
    }
}

#[test]
fn a_channel_has_no_socket_of_its_own_while_several_are_tried() {
    let (_full, silent, _waiting) = unanswering();
    let (_other, late, _waiting_too) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect_with(&[silent, late], &hasty(), Recorder::new(&trace))
        .unwrap();
    for tried in [silent, late] {
        until_tried(&mut reactor, id, tried);
        let mut channel = reactor.channel(id).unwrap();
        assert_eq!(channel.state(), State::Connecting);
        assert!(channel.detach().is_none());
        for refused in [channel.local_addr().map(drop), borrowed(&channel).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotConnected);
        }
        assert_eq!(
            channel.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            channel.send(b"x").unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }
    reactor.channel(id).unwrap().close();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(reactor.stats().timers, 0);
    assert_eq!(trace.lines(), [""; 0]);
}

/// Two sockets cannot have it at a time, so the second would fail instead of being late.
#[test]
fn addresses_wait_for_a_source_port_that_one_socket_may_have() {
    let (_full, silent, _waiting) = unanswering();
    let (listener, good) = listener();
    for shared in [false, true] {
        let source = TcpListener::bind("127.0.0.6:0").unwrap().local_addr();
        let options = hasty()
            .source(source.unwrap())
            .reuse_addr(shared)
            .timeout(Duration::from_millis(300));
        let mut reactor = reactor();
        let trace = Trace::new();
        let begun = Instant::now();
        reactor
            .connect_with(&[silent, good], &options, Recorder::new(&trace))
            .unwrap();
        turn_until(&mut reactor, |_| !trace.lines().is_empty());
        assert_eq!(trace.joined(), "connect");
        assert!(shared || begun.elapsed() >= Duration::from_millis(300));
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.6");
    }
}

/// The event of one that failed is no reason to ask the others again and again.
#[test]
fn the_loop_sleeps_while_nobody_answers() {
    let (_full, silent, _waiting) = unanswering();
    let (_socket, bad) = refusing();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect_with(&[silent, bad], &hasty(), Recorder::new(&trace))
        .unwrap();
    until_tried(&mut reactor, id, bad);
    turns(&mut reactor, 5);
    let wait = reactor.next_wait().unwrap();
    assert!(wait > Duration::from_secs(10), "{wait:?}");
    reactor.close_all();
    assert_eq!(trace.lines(), [""; 0]);
}

#[test]
fn every_socket_gets_the_options() {
    let (full, late, waiting) = unanswering();
    let (other, second, waiting_too) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let options = hasty().source("127.0.0.5:0".parse().unwrap()).nodelay(true);
    let id = reactor
        .connect_with(&[late, second], &options, Recorder::new(&trace))
        .unwrap();
    until_tried(&mut reactor, id, second);
    let from = |stream: TcpStream| stream.peer_addr().unwrap().ip().to_string();
    assert_eq!(from(arrives(&other, &waiting_too)), "127.0.0.5");
    assert_eq!(from(arrives(&full, &waiting)), "127.0.0.5");
    turn_until(&mut reactor, |_| trace.has("connect"));
    let channel = reactor.channel(id).unwrap();
    let fd = borrowed(&channel).unwrap();
    assert!(socket2::SockRef::from(&fd).tcp_nodelay().unwrap());
}
