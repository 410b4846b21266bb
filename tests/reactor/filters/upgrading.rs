//! From where a channel can be upgraded, and when that is an error.

use std::{cell::RefCell, io::Write, net::UdpSocket, rc::Rc};

use asynchat::{Channel, ChannelId, Reactor, Result, State, testing::Harness};
use util::{
    Recorder, Trace,
    peer::pair,
    reactor, settle,
    toy::{Call, Far, Toy},
};

use super::{Kind, Line, SECOND, recorder, words};

/// Upgrades with a filter that must be dropped unused, and gives the error's text.
#[track_caller]
fn refused(channel: &mut Channel<'_>) -> String {
    let toy = Toy::server();
    let watch = toy.watch();
    let error = channel.upgrade(toy).expect_err("upgraded");
    assert_eq!(
        watch.calls(Call::Feed) + watch.calls(Call::Phase),
        0,
        "{error}"
    );
    watch.check_gone();
    error.to_string()
}

#[test]
fn what_is_no_open_stream_cannot_be_upgraded() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = reactor
        .listen("127.0.0.1:0", Recorder::new(&trace))
        .unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = reactor.register(udp, Recorder::new(&trace)).unwrap();
    #[cfg(unix)]
    let (pipe, _theirs) = {
        let (ours, theirs) = pair();
        let pipe = std::os::fd::OwnedFd::from(ours);
        let pipe = reactor.register(pipe, Recorder::new(&trace)).unwrap();
        (pipe, theirs)
    };
    for (name, id) in [
        ("listener", listener),
        ("datagram", datagram),
        #[cfg(unix)]
        ("pipe", pipe),
    ] {
        for _ in 0..2 {
            let error = refused(&mut reactor.channel(id).unwrap());
            assert!(!error.is_empty(), "{name}");
            settle(&mut reactor);
        }
        assert!(reactor.channel(id).is_some(), "{name} is gone");
    }
}

#[test]
fn a_filter_does_not_go_on_a_filter() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        line.on(refused);
        line.exchange();
        line.on(refused);
        line.say("hello");
        assert_eq!(line.received(), b"hello");
        assert_eq!(line.news(), format!("{} read:5", kind.done()));
        line.watch.check();
    }
    let trace = Trace::new();
    let mut peer = Harness::connecting(recorder(&trace));
    Line::channel(&mut peer, |channel| {
        channel.upgrade(Toy::client()).unwrap();
        refused(channel);
    });
    peer.connected();
    peer.upgrade(Toy::server());
    assert_eq!(words(&trace), "connect");
}

#[test]
fn a_channel_that_is_ending_cannot_be_upgraded_and_ends_as_it_would_have() {
    type Stage = fn(&mut Channel<'_>);
    let stages: [(&str, Stage); 3] = [
        ("shutdown_write", |channel| channel.shutdown_write()),
        ("close_when_done", |channel| channel.close_when_done()),
        ("close", |channel| channel.close()),
    ];
    for (name, stage) in stages {
        for later in [false, true] {
            let trace = Trace::new();
            let mut peer = Harness::new(recorder(&trace));
            Line::channel(&mut peer, |channel| {
                channel.push("farewell");
                stage(channel);
                if !later {
                    refused(channel);
                }
            });
            if later && !peer.is_closed() {
                // It has ended its output, or lingers.
                Line::channel(&mut peer, |channel| {
                    refused(channel);
                });
            }
            assert_eq!(peer.output(), b"farewell", "{name}");
            assert!(peer.has_ended(), "{name}");
            peer.eof();
            assert!(peer.is_closed(), "{name}");
        }
    }
}

#[test]
fn a_reset_channel_cannot_be_upgraded() {
    let trace = Trace::new();
    let mut object = recorder(&trace);
    object.on_close = Some(Box::new(|channel| {
        assert!(channel.is_reset());
        refused(channel);
        Ok(())
    }));
    let mut peer = Harness::new(object);
    peer.reset();
    assert_eq!(words(&trace), "connect close closed:Reset");
}

type Slot = Rc<RefCell<Option<Toy>>>;

/// Upgrades with the filter in `slot`, once.
fn upgrades(slot: &Slot) -> impl FnMut(&mut Channel<'_>) -> Result + use<> {
    let slot = slot.clone();
    move |channel| {
        if let Some(toy) = slot.borrow_mut().take() {
            channel.push("clear ");
            channel.upgrade(toy)?;
            channel.push("sealed");
        }
        Ok(())
    }
}

#[test]
fn a_channel_can_be_upgraded_from_everywhere() {
    const PLACES: [&str; 9] = [
        "connect",
        "read",
        "drain",
        "timeout",
        "timer",
        "own timer",
        "call",
        "with",
        "another channel",
    ];
    for place in PLACES {
        let trace = Trace::new();
        let slot: Slot = Rc::new(RefCell::new(Some(Toy::server())));
        let mut object = Recorder::new(&trace);
        let mut upgrade = upgrades(&slot);
        let received = object.received.clone();
        let hook = Box::new(move |channel: &mut Channel<'_>| {
            // The first read finds nothing.
            if place == "read" && received.borrow().is_empty() {
                return Ok(());
            }
            upgrade(channel)
        });
        match place {
            "connect" => object.on_connect = Some(hook),
            "read" => object.on_read = Some(hook),
            "drain" => object.on_drain = Some(hook),
            "timeout" => object.on_timeout = Some(hook),
            _ => {}
        }
        let received = object.received.clone();
        let mut peer = Harness::new(object);
        let id = peer.id();
        let mut upgrade = upgrades(&slot);
        match place {
            "read" => peer.feed("x"),
            "drain" => Line::channel(&mut peer, |channel| {
                channel.set_watermarks(0, 1);
                channel.push("xx");
            }),
            "timeout" => Line::channel(&mut peer, |channel| channel.set_idle_timeout(Some(SECOND))),
            "timer" => {
                peer.registry().call_later(SECOND, move |registry| {
                    upgrade(&mut registry.channel(id).unwrap())
                });
            }
            "own timer" => Line::channel(&mut peer, |channel| {
                channel.call_later(SECOND, move |_: &mut Recorder, channel| upgrade(channel));
            }),
            "call" => peer
                .registry()
                .call_soon(move |registry| upgrade(&mut registry.channel(id).unwrap())),
            "with" => {
                let mut registry = peer.registry();
                let done = registry.with(id, |_: &mut Recorder, channel| upgrade(channel));
                done.unwrap().unwrap();
            }
            "another channel" => {
                let mut other = Recorder::new(&Trace::new());
                other.on_connect = Some(Box::new(move |channel| {
                    upgrade(&mut channel.registry().channel(id).unwrap())
                }));
                peer.registry()
                    .listen(
                        "127.0.0.1:8007",
                        util::Acceptor({
                            let mut other = Some(other);
                            move |_: &asynchat::Address| other.take().unwrap()
                        }),
                    )
                    .unwrap();
                peer.connect_to("127.0.0.1:8007").unwrap();
            }
            _ => {}
        }
        peer.advance(SECOND);
        assert!(slot.borrow().is_none(), "{place}: not upgraded");
        let mut clear = peer.output();
        if place == "drain" {
            assert_eq!(clear.drain(..2).as_slice(), b"xx");
        }
        assert_eq!(clear, b"clear ", "{place}");
        trace.clear();
        peer.upgrade(Toy::client());
        assert_eq!(peer.output(), b"sealed", "{place}");
        received.borrow_mut().clear();
        peer.feed("hello");
        let mut news = trace.lines();
        news.retain(|word| word != "drain" && !word.starts_with("read!"));
        // `handle_connect` has come already, and so has what led to the upgrade.
        assert_eq!(news.join(" "), "secured read:5", "{place}");
        assert_eq!(*received.borrow(), b"hello", "{place}");
    }
}

#[test]
fn replace_beside_upgrade_gives_a_fresh_object_in_either_order() {
    for first in ["replace", "upgrade"] {
        let (old, new) = (Trace::new(), Trace::new());
        let mut fresh = Some(Recorder::new(&new));
        let mut object = Recorder::new(&old);
        let received = object.received.clone();
        object.on_read = Some(Box::new(move |channel| {
            if received.borrow().is_empty() {
                return Ok(());
            }
            let fresh = fresh.take().expect("another read");
            if first == "replace" {
                channel.replace(fresh);
                channel.upgrade(Toy::server())?;
            } else {
                channel.upgrade(Toy::server())?;
                channel.replace(fresh);
            }
            Ok(())
        }));
        let mut peer = Harness::new(object);
        peer.feed("STARTTLS");
        peer.upgrade(Toy::client());
        peer.feed("hello");
        assert_eq!(words(&old), "connect read:8", "{first} first");
        assert_eq!(words(&new), "secured read:5", "{first} first");
    }
}

#[test]
fn replacing_in_the_handshake_gives_the_later_object_its_end() {
    let mut line = Line::upgraded(Toy::server(), Toy::client(), |_| ());
    let later = Trace::new();
    let object = Recorder::new(&later);
    line.on(|channel| channel.replace(object));
    line.exchange();
    assert_eq!(words(&later), "secured");
    assert_eq!(line.news(), "");
}

#[test]
fn a_channel_in_its_handshake_is_there() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        let id = line.peer.id();
        line.on(|channel| {
            assert_ne!(channel.state(), State::Closed);
            assert!(channel.filter::<Toy>().is_some());
            assert!(channel.peer_addr().is_ok());
            assert_eq!(
                channel.recv(&mut [0; 9]).unwrap_err().kind(),
                std::io::ErrorKind::WouldBlock
            );
            let lent = channel.recv_with(|_, _| ());
            assert_eq!(lent.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        });
        assert!(line.peer.registry().ids().contains(&id));
        line.exchange();
        line.on(|channel| assert_eq!(channel.state(), State::Open));
    }
}

/// Many channels, all ended at once in their handshake: nothing stays.
#[test]
fn filters_and_descriptors_are_freed_with_their_channels() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    settle(&mut reactor);
    let mut watches = Vec::new();
    let mut ids: Vec<ChannelId> = Vec::new();
    let mut peers = Vec::new();
    for n in 0..60 {
        let (ours, mut theirs) = pair();
        let toy = Toy::server().round_trips(n % 3);
        watches.push(toy.watch());
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        reactor.channel(id).unwrap().upgrade(toy).unwrap();
        if n % 2 == 0 {
            theirs
                .write_all(&Far::new(Toy::client().round_trips(n % 3)).wire())
                .unwrap();
        }
        ids.push(id);
        peers.push(theirs);
    }
    settle(&mut reactor);
    for id in ids {
        if let Some(mut channel) = reactor.channel(id) {
            channel.close();
        }
    }
    settle(&mut reactor);
    assert!(reactor.is_idle());
    assert_eq!(reactor.stats().timers, 0, "deadlines are left");
    watches.iter().for_each(util::toy::Watch::check_gone);
    for mut theirs in peers {
        theirs.set_nonblocking(true).unwrap();
        let end = std::io::copy(&mut theirs, &mut std::io::sink());
        assert!(end.is_ok(), "the socket is open: {end:?}");
    }
}
