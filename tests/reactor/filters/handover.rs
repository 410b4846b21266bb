//! Handing over a channel with a filter: the filter goes along, and nobody gets the bare socket.

use std::{
    cell::RefCell,
    io::{Read, Write},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use asynchat::{Cause, Detached, Dispatcher, Reactor, Socket, Unsent, testing::Harness};
use util::{
    DEADLINE, Recorder, Trace,
    peer::{pair, tcp_pair},
    reactor, settle,
    toy::{Call, Far, Toy},
    turn_until,
};

use super::{Line, builder, recorder, words};

/// Detaches the channel of a line.
fn detach(line: &mut Line) -> Detached {
    line.on(|channel| channel.detach()).expect("no socket")
}

/// Registers a socket in the line's reactor again, with a recorder of its own.
fn again(line: &mut Line, socket: Socket) -> (asynchat::ChannelId, Trace, Rc<RefCell<Vec<u8>>>) {
    let trace = Trace::new();
    let object = Recorder::new(&trace);
    let received = object.received.clone();
    let id = line.peer.registry().register(socket, object).unwrap();
    (id, trace, received)
}

#[test]
fn a_detached_channel_takes_its_filter_along_and_shakes_no_hands_again() {
    for window in [usize::MAX, 10] {
        let mut line = Line::open(|_| ());
        line.peer.set_window(window);
        line.on(|channel| channel.push(vec![b'x'; 1000]));
        line.say("seen");
        line.on(|channel| channel.unread("given back "));
        line.on(|channel| channel.pause_reading(super::SECOND));
        // Half a record is in the filter.
        line.far.say("and new");
        let wire = line.far.wire();
        line.peer.feed(&wire[..5]);
        let Detached {
            socket,
            unsent,
            unread,
            ..
        } = detach(&mut line);
        assert!(!line.peer.is_closed());
        assert_eq!(line.watch.calls(Call::Drop), 0);
        let (id, trace, received) = again(&mut line, socket);
        {
            let mut registry = line.peer.registry();
            let mut channel = registry.channel(id).unwrap();
            channel.unread(unread);
            for part in unsent {
                let Unsent::Bytes(bytes) = part else {
                    panic!("{part:?}")
                };
                channel.push(bytes);
            }
            channel.push(" end");
        }
        line.peer.feed(&wire[5..]);
        line.exchange();
        assert_eq!(line.far.failed(), None, "window {window}");
        let heard = line.far.plain();
        assert_eq!(
            heard,
            [&[b'x'; 1000][..], b" end"].concat(),
            "window {window}"
        );
        assert!(received.borrow().ends_with(b"and new"), "window {window}");
        assert!(!trace.has("secured"));
        assert_eq!(trace.lines()[0], "connect");
        line.far.end();
        line.feed();
        assert!(words(&trace).contains("eof close"));
        line.take();
        assert!(line.far.has_end());
        line.peer.eof();
        assert!(line.peer.is_closed());
        line.watch.check_gone();
    }
}

#[test]
fn a_socket_with_a_filter_is_no_bare_socket() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let toys = [Toy::server().round_trips(0), Toy::server().round_trips(0)];
    let watches = toys.each_ref().map(Toy::watch);
    for (n, toy) in toys.into_iter().enumerate() {
        let (ours, mut theirs) = tcp_pair();
        let id = reactor.register(ours, recorder(&trace)).unwrap();
        reactor.channel(id).unwrap().upgrade(toy).unwrap();
        settle(&mut reactor);
        let socket = reactor.channel(id).unwrap().detach().unwrap().socket;
        if n == 0 {
            let socket = socket.into_tcp_stream().expect_err("the keys are lost");
            // It comes back whole.
            trace.clear();
            let id = reactor.register(socket, recorder(&trace)).unwrap();
            let mut far = Far::new(Toy::client().round_trips(0));
            far.say("hello");
            theirs.write_all(&far.wire()).unwrap();
            turn_until(&mut reactor, |_| trace.has("read:5"));
            reactor.channel(id).unwrap().close();
        } else {
            #[cfg(unix)]
            {
                let error = socket.into_fd().expect_err("the keys are lost");
                assert!(!error.to_string().is_empty());
            }
        }
    }
    settle(&mut reactor);
    watches.iter().for_each(util::toy::Watch::check_gone);
}

#[test]
fn a_handshake_cannot_be_detached_and_goes_on() {
    for kind in super::Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        assert!(line.on(|channel| channel.detach()).is_none(), "{kind:?}");
        line.exchange();
        assert_eq!(line.news(), kind.done());
        line.say("hello");
        assert_eq!(line.received(), b"hello");
    }
}

#[test]
fn a_detached_channel_works_in_another_thread() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let toy = Toy::server();
    let watch = toy.watch();
    let id = reactor.register(ours, recorder(&trace)).unwrap();
    reactor.channel(id).unwrap().upgrade(toy).unwrap();
    let mut far = Far::client();
    theirs.write_all(&far.wire()).unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    let socket = reactor.channel(id).unwrap().detach().unwrap().socket;
    let (told, tell) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut elsewhere = util::reactor();
        let trace = Trace::new();
        let object = recorder(&trace);
        let received = object.received.clone();
        let id = elsewhere.register(socket, object).unwrap();
        elsewhere.channel(id).unwrap().push("from elsewhere");
        turn_until(&mut elsewhere, |_| *received.borrow() == b"hello");
        elsewhere.channel(id).unwrap().close_when_done();
        turn_until(&mut elsewhere, |reactor| reactor.channel(id).is_none());
        told.send(words(&trace)).unwrap();
    });
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut wire = [0; 1000];
    let mut heard = Vec::new();
    while heard.len() < 14 {
        let n = theirs.read(&mut wire).unwrap();
        assert_ne!(n, 0, "{heard:?}");
        far.take(&wire[..n]);
        heard.extend(far.plain());
    }
    assert_eq!(heard, b"from elsewhere");
    far.say("hello");
    theirs.write_all(&far.wire()).unwrap();
    let mut last = Vec::new();
    theirs.read_to_end(&mut last).unwrap();
    far.take(&last);
    assert!(far.has_end());
    drop(theirs);
    worker.join().unwrap();
    assert_eq!(tell.recv().unwrap(), "connect read:5 closed:Done");
    watch.check_gone();
}

#[test]
fn the_clear_part_of_an_upgrade_that_is_detached_is_not_sealed() {
    // In its handshake there is no detaching, so what is in clear has left before.
    let trace = Trace::new();
    let mut peer = Harness::with_builder(builder(), recorder(&trace));
    peer.set_window(0);
    Line::channel(&mut peer, |channel| {
        channel.push("clear");
        channel.upgrade(Toy::server().round_trips(0)).unwrap();
        channel.push("sealed");
    });
    assert!(Line::channel(&mut peer, |channel| channel.detach()).is_none());
    peer.set_window(usize::MAX);
    let sent = peer.output();
    let mut far = Far::new(Toy::client().round_trips(0));
    far.take(sent.strip_prefix(b"clear").expect("in clear"));
    assert_eq!(far.plain(), b"sealed");
}

#[test]
fn a_detached_end_of_file_comes_again_and_a_cut_stays_one() {
    for cut in [false, true] {
        let mut line = Line::open(|it| it.on_close = Some(Box::new(|_| Ok(()))));
        if !cut {
            line.far.end();
        }
        line.feed();
        line.peer.eof();
        let socket = detach(&mut line).socket;
        let (_, trace, _) = again(&mut line, socket);
        line.exchange();
        let word = if cut { "truncated" } else { "close" };
        assert_eq!(words(&trace), format!("connect eof {word}"), "cut {cut}");
    }
}

#[test]
fn a_channel_that_lingers_behind_its_filter_gives_no_bare_socket() {
    for fails in [false, true] {
        let mut line = Line::open(|_| ());
        if fails {
            line.peer.feed("no record");
        } else {
            line.on(|channel| channel.close_when_done());
        }
        assert!(line.peer.has_ended() && !line.peer.is_closed());
        let Some(detached) = line.on(|channel| channel.detach()) else {
            continue;
        };
        let (_, _, received) = again(&mut line, detached.socket);
        line.far.say("late");
        line.feed();
        let received = received.borrow();
        let clear = received.is_empty() || *received == b"late";
        assert!(clear, "fails {fails}: ciphertext as plaintext");
    }
}

#[test]
fn a_socket_that_is_dropped_frees_its_filter() {
    let mut line = Line::open(|_| ());
    drop(detach(&mut line));
    assert!(line.peer.is_closed());
    line.watch.check_gone();
}

#[test]
fn sockets_and_filters_can_be_sent_to_other_threads() {
    fn both<T: Send + Sync>() {}
    both::<Socket>();
    both::<Toy>();
}

#[test]
fn replace_keeps_the_filter() {
    let mut line = Line::open(|_| ());
    let trace = Trace::new();
    let object = Recorder::new(&trace);
    let received = object.received.clone();
    line.on(|channel| channel.replace(object));
    line.say("hello");
    assert_eq!(*received.borrow(), b"hello");
    line.on(|channel| channel.push("and you"));
    assert_eq!(line.hear(), b"and you");
    assert_eq!(words(&trace), "read:5");
    line.watch.check();
}

/// The defaults of all callbacks.
struct Plain;
impl Dispatcher for Plain {}

#[test]
fn a_reactor_that_is_dropped_frees_its_filters() {
    let mut watches = Vec::new();
    let mut peers = Vec::new();
    let mut reactor = Reactor::new().unwrap();
    for n in 0..4 {
        let (ours, theirs) = pair();
        let toy = Toy::server().round_trips(n % 2);
        watches.push(toy.watch());
        let id = reactor.register(ours, Plain).unwrap();
        reactor.channel(id).unwrap().upgrade(toy).unwrap();
        peers.push(theirs);
    }
    reactor.turn(Some(Duration::ZERO)).unwrap();
    drop(reactor);
    watches.iter().for_each(util::toy::Watch::check_gone);
}

#[test]
fn the_cause_of_a_cut_that_the_object_closes_over_is_truncated() {
    for way in 0..3 {
        let mut line = Line::open(|it| {
            it.on_close = Some(Box::new(move |channel| {
                match way {
                    0 => channel.close(),
                    1 => channel.close_when_done(),
                    _ => channel.push("and then"),
                }
                Ok(())
            }));
        });
        line.peer.eof();
        if way == 2 {
            line.on(|channel| channel.close());
        }
        line.peer.eof();
        assert_eq!(line.peer.closed(), Some(Cause::Truncated), "{way}");
    }
}
