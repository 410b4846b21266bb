//! A program that ends a channel whose handshake is to come, whose filter has failed, or that was detached before.

use std::{
    cell::RefCell,
    io::{ErrorKind, Write},
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Socket, State, testing::Harness};
use util::{
    Trace,
    peer::{pair, turns},
    settle,
    toy::{Call, Far, Toy},
    turn_until,
};

use super::{Kind, Line, SECOND, builder, recorder, words};

#[test]
fn an_upgrade_behind_the_end_of_file_is_refused() {
    for from_outside in [false, true] {
        let trace = Trace::new();
        let mut object = recorder(&trace);
        object.on_close = Some(Box::new(move |channel| {
            if !from_outside {
                channel.push("220 ready\r\n");
                channel.upgrade(Toy::server())?;
            }
            Ok(())
        }));
        let mut peer = Harness::with_builder(builder(), object);
        peer.feed("STARTTLS\r\n");
        peer.eof();
        if from_outside {
            Line::channel(&mut peer, |channel| {
                let refused = channel.upgrade(Toy::server()).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidInput);
                channel.push("still");
                channel.close_when_done();
            });
            assert_eq!(peer.output(), b"still");
        }
        assert!(peer.is_closed(), "no time has passed: {}", words(&trace));
    }
}

type Ends = fn(&mut Channel<'_>);

const LAST_FLUSHES: [(&str, Ends); 2] = [
    ("close_when_done", |channel| channel.close_when_done()),
    ("shutdown", |channel| {
        channel.registry().shutdown(5 * SECOND);
    }),
];

#[test]
fn the_last_flush_behind_an_upgrade_keeps_the_first_flight_that_has_arrived() {
    for (name, end) in LAST_FLUSHES {
        let trace = Trace::new();
        let mut object = recorder(&trace);
        let received = object.received.clone();
        object.on_read = Some(Box::new(move |channel| {
            if received.borrow().is_empty() {
                return Ok(());
            }
            let flight = received.borrow_mut().split_off(4);
            channel.unread(flight);
            channel.push("go\n");
            channel.upgrade(Toy::server())?;
            channel.push("sealed");
            end(channel);
            Ok(())
        }));
        let mut peer = Harness::with_builder(builder(), object);
        let mut far = Far::client();
        peer.feed([b"word", &*far.wire()].concat());
        let sent = peer.output();
        far.take(sent.strip_prefix(b"go\n").expect("in clear"));
        far.take(&peer.output());
        assert_eq!(far.plain(), b"sealed", "{name}: {}", words(&trace));
        assert!(far.has_end() && peer.has_ended(), "{name}");
    }
}

#[test]
fn what_a_filter_could_not_seal_is_no_clean_end() {
    for closes in [true, false] {
        let near = Toy::server().fails(Call::Seal, 1);
        let mut line = Line::with(builder(), near, Toy::client(), |it| {
            if !closes {
                it.on_error = Some(Box::new(|_| Ok(())));
            }
        });
        line.exchange();
        line.trace.clear();
        line.on(|channel| {
            channel.push(vec![b'x'; 5000]);
            channel.close_when_done();
        });
        line.peer.eof();
        assert!(line.peer.is_closed(), "closes {closes}");
        assert_eq!(line.news(), "error:seal fails closed:Error");
        line.watch.check_gone();
    }
}

#[test]
fn close_all_closes_a_channel_in_the_failure_of_its_filter() {
    for kind in Kind::BOTH {
        for in_handshake in [true, false] {
            let mut line = Line::of(kind, Toy::server(), Toy::client(), |it| {
                it.on_error = Some(Box::new(|channel| {
                    channel.registry().close_all();
                    Ok(())
                }));
                it.on_expt = Some(Box::new(|channel| {
                    channel.registry().close_all();
                    Ok(())
                }));
            });
            if !in_handshake {
                line.exchange();
            }
            line.peer.feed("no record");
            let case = format!("{kind:?}, in the handshake {in_handshake}: {}", line.news());
            assert!(line.peer.is_closed(), "{case}");
            line.watch.check_gone();
        }
    }
}

#[test]
fn the_end_of_a_shutdown_closes_a_channel_of_which_the_filter_has_failed() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.set_linger(60 * SECOND, 1000));
    line.peer.feed("no record");
    assert!(!line.peer.is_closed(), "it lingers");
    line.peer.registry().shutdown(SECOND);
    line.peer.advance(SECOND);
    assert!(line.peer.is_closed());
    line.watch.check_gone();
}

#[test]
fn what_is_behind_the_last_flush_is_never_read_as_it_is() {
    let mut reactor = builder().read_buffer(4096).build().unwrap();
    let mut object = recorder(&Trace::new());
    object.readable = false;
    let (ours, mut theirs) = pair();
    let id = reactor.register(ours, object).unwrap();
    let toy = Toy::server().round_trips(0);
    reactor.channel(id).unwrap().upgrade(toy).unwrap();
    settle(&mut reactor);
    let mut far = Far::new(Toy::client().round_trips(0));
    far.say([b's'; 50_000]);
    theirs.write_all(&far.wire()).unwrap();
    turns(&mut reactor, 1);
    reactor.channel(id).unwrap().close_when_done();
    for turn in 0..5 {
        turns(&mut reactor, 1);
        let mut channel = reactor.channel(id).unwrap();
        let read = channel.recv(&mut [0; 100]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock, "{turn}");
        let with = channel.recv_with(|_, data| data.len());
        assert_eq!(with.unwrap_err().kind(), ErrorKind::WouldBlock, "{turn}");
    }
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
}

#[test]
fn bytes_that_were_given_back_do_not_keep_a_lingering_channel_busy() {
    let ways: [(&str, usize, Ends); 2] = [
        ("behind the end", 0, |channel| channel.close_when_done()),
        ("with a handshake that is given up", 1, |channel| {
            channel.unread("rest");
            channel.close_when_done();
        }),
    ];
    for (name, trips, ends) in ways {
        let mut reactor = builder().linger(60 * SECOND, 1 << 20).build().unwrap();
        let (ours, _theirs) = pair();
        let id = reactor.register(ours, recorder(&Trace::new())).unwrap();
        settle(&mut reactor);
        let toy = Toy::server().round_trips(trips);
        reactor.channel(id).unwrap().upgrade(toy).unwrap();
        settle(&mut reactor);
        ends(&mut reactor.channel(id).unwrap());
        settle(&mut reactor);
        for _ in 0..2 {
            let mut channel = reactor.channel(id).unwrap();
            assert_eq!(channel.state(), State::Closing);
            channel.unread("more");
            settle(&mut reactor);
            assert!(reactor.next_wait() > Some(SECOND), "{name}");
        }
    }
}

/// The socket of a channel that is open, with its filter, in the reactor again; `turns` have passed since.
fn resume(line: &mut Line, turns: usize) -> ChannelId {
    let socket = line.on(|channel| channel.detach()).expect("open").socket;
    let object = recorder(&line.trace);
    let id = line.peer.registry().register(socket, object).unwrap();
    for _ in 0..turns {
        line.peer.advance(Duration::ZERO);
    }
    id
}

#[test]
fn a_resumed_channel_says_its_end_however_soon_it_ends() {
    for (name, end) in LAST_FLUSHES {
        for turns in 0..3 {
            for text in ["", "farewell"] {
                let case = format!("{name} after {turns} turns, {text:?}");
                let mut line = Line::open(|_| ());
                let id = resume(&mut line, turns);
                {
                    let mut registry = line.peer.registry();
                    let mut channel = registry.channel(id).unwrap();
                    channel.push(text);
                    end(&mut channel);
                }
                line.peer.advance(Duration::ZERO);
                assert_eq!(line.hear(), text.as_bytes(), "{case}");
                assert!(line.far.has_end() && line.peer.has_ended(), "{case}");
                line.peer.eof();
                line.watch.check_gone();
            }
        }
    }
}

#[test]
fn a_resumed_channel_sends_what_was_sealed_before_its_end() {
    for (name, end) in LAST_FLUSHES {
        let mut line = Line::open(|_| ());
        line.peer.set_window(10);
        line.on(|channel| channel.push(vec![b'x'; 1000]));
        let id = resume(&mut line, 0);
        end(&mut line.peer.registry().channel(id).unwrap());
        line.peer.advance(Duration::ZERO);
        assert!(!line.peer.is_closed(), "{name}");
        line.peer.set_window(usize::MAX);
        assert_eq!(line.hear().len(), 1000, "{name}: {}", line.news());
        assert!(line.far.has_end() && line.peer.has_ended(), "{name}");
        line.peer.eof();
        line.watch.check_gone();
    }
}

#[test]
fn a_resumed_channel_of_a_peer_that_has_gone_ends() {
    type Act = fn(&mut Channel<'_>);
    let acts: [(&str, Act); 4] = [
        ("nothing", |_| ()),
        ("unread", |channel| channel.unread("given back")),
        ("push", |channel| channel.push("hello")),
        ("touch", |channel| channel.touch()),
    ];
    for (name, act) in acts {
        for in_handle_close in [false, true] {
            let case = format!("{name}, in handle_close {in_handle_close}");
            let mut reactor = builder().build().unwrap();
            let trace = Trace::new();
            let detached: Rc<RefCell<Option<Socket>>> = Rc::default();
            let kept = detached.clone();
            let mut object = recorder(&Trace::new());
            object.on_close = Some(Box::new(move |channel| {
                *kept.borrow_mut() = channel.detach().map(|it| it.socket);
                Ok(())
            }));
            let (ours, theirs) = pair();
            let id = reactor.register(ours, object).unwrap();
            let toy = Toy::server().round_trips(0);
            let watch = toy.watch();
            reactor.channel(id).unwrap().upgrade(toy).unwrap();
            settle(&mut reactor);
            if in_handle_close {
                drop(theirs);
                turn_until(&mut reactor, |_| detached.borrow().is_some());
            } else {
                let socket = reactor.channel(id).unwrap().detach().unwrap().socket;
                *detached.borrow_mut() = Some(socket);
                drop(theirs);
            }
            let socket = detached.take().unwrap();
            let id = reactor.register(socket, recorder(&trace)).unwrap();
            act(&mut reactor.channel(id).unwrap());
            turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
            let news = words(&trace);
            assert!(news.starts_with("connect"), "{case}: {news}");
            assert_eq!(news.matches("closed:").count(), 1, "{case}: {news}");
            watch.check_gone();
        }
    }
}

#[test]
fn a_refused_push_is_told_although_nobody_waits_for_the_handshake_any_more() {
    let trace = Trace::new();
    let bounded = builder().watermarks(0, 10).max_outgoing(100);
    let mut peer = Harness::with_builder(bounded, recorder(&trace));
    Line::channel(&mut peer, |channel| {
        channel.upgrade(Toy::server()).unwrap();
        channel.push(vec![0; 200]);
        channel.close_when_done();
    });
    peer.advance(Duration::ZERO);
    let told = words(&trace);
    assert_eq!(told.matches("error:").count(), 1, "{told}");
    assert!(peer.has_ended(), "{told}");
}
