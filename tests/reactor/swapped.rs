//! `&mut Registry` is what callbacks get, and safe code may exchange two of them: nothing but the channel whose callback
//! does so is lost.

use std::{
    cell::RefCell,
    io::{self, Write},
    mem,
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Dispatcher, Reactor, Registry, Result};
use util::{
    Recorder, SCRIPTED, Trace,
    peer::{settled, turns},
    run, silence_scripted_panics, turn_until,
};

/// A channel that writes down its reads under a name.
fn channel(reactor: &mut Reactor, trace: &Trace, name: &'static str) -> (ChannelId, TcpStream) {
    settled(reactor, Recorder::named(trace, name))
}

#[test]
fn registries_exchanged_between_turns_are_reactors_exchanged() {
    let (mut a, mut b) = (Reactor::new().unwrap(), Reactor::new().unwrap());
    let trace = Trace::new();
    let (id, mut of_a) = channel(&mut a, &trace, "a");
    let (_, mut of_b) = channel(&mut b, &trace, "b");
    let timer = trace.clone();
    a.call_later(Duration::from_millis(1), move |_| {
        timer.add("timer");
        Ok(())
    });
    let handle = a.handle();
    trace.clear();
    mem::swap(&mut *a, &mut *b);

    of_a.write_all(b"1").unwrap();
    turn_until(&mut b, |_| trace.has("a.read:1") && trace.has("timer"));
    of_b.write_all(b"22").unwrap();
    turn_until(&mut a, |_| trace.has("b.read:2"));
    handle
        .call_soon(move |registry| {
            registry.channel(id).unwrap().close();
            registry.stop();
            Ok(())
        })
        .unwrap();
    run(&mut b);
    assert_eq!(b.stats().channels, 0);
    drop(of_b);
    run(&mut a);
}

/// Exchanges its registry for another reactor's in its first `handle_read`.
struct Swapper(Rc<RefCell<Reactor>>, bool);

impl Dispatcher for Swapper {
    fn handle_read(&mut self, channel: &mut asynchat::Channel<'_>) -> asynchat::Result {
        if channel.recv(&mut [0; 16])? > 0 && !mem::replace(&mut self.1, true) {
            mem::swap(channel.registry(), &mut **self.0.borrow_mut());
        }
        Ok(())
    }
}

#[test]
fn registries_exchanged_in_a_callback_cost_no_more_than_its_channel() {
    let mut a = Reactor::new().unwrap();
    let b = Rc::new(RefCell::new(Reactor::new().unwrap()));
    let trace = Trace::new();
    let mut peers = Vec::new();
    // In front of the swapper, and behind it in the same turn.
    peers.push(channel(&mut a, &trace, "first").1);
    let swapper = Swapper(b.clone(), false);
    let (_, mut swaps) = settled(&mut a, swapper);
    for name in ["second", "third"] {
        peers.push(channel(&mut a, &trace, name).1);
    }
    for name in ["fourth", "fifth", "sixth", "seventh", "eighth"] {
        peers.push(channel(&mut b.borrow_mut(), &trace, name).1);
    }
    trace.clear();
    peers[0].write_all(b"x").unwrap();
    swaps.write_all(b"x").unwrap();
    for peer in &mut peers[1..] {
        peer.write_all(b"x").unwrap();
    }
    turns(&mut a, 3);
    turn_until(&mut b.borrow_mut(), |_| {
        ["first", "second", "third"]
            .iter()
            .all(|name| trace.has(&format!("{name}.read:1")))
    });
    for peer in &mut peers {
        peer.write_all(b"22").unwrap();
    }
    turn_until(&mut b.borrow_mut(), |_| trace.has("third.read:2"));
    turn_until(&mut a, |_| trace.has("eighth.read:2"));
    for reactor in [&mut a, &mut *b.borrow_mut()] {
        assert!(reactor.now() <= std::time::Instant::now());
    }
    drop(peers);
    run(&mut b.borrow_mut());
    run(&mut a);
    let lines = trace.lines();
    let closed = lines.iter().filter(|line| line.ends_with(".close"));
    assert_eq!(closed.count(), 8, "{lines:?}");
}

/// Exchanges its registry in one of several ways and fails.
struct Fails(Rc<RefCell<Reactor>>, Way);

type Way = fn(&mut Channel<'_>, Rc<RefCell<Reactor>>) -> Result;

impl Dispatcher for Fails {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        (self.1)(channel, self.0.clone())
    }
}

#[test]
fn a_failure_behind_the_exchange_is_no_other_channels() {
    fn swap(registry: &mut Registry, b: &RefCell<Reactor>) {
        mem::swap(registry, &mut **b.borrow_mut());
    }
    silence_scripted_panics();
    let ways: [Way; 5] = [
        |channel, b| {
            swap(channel.registry(), &b);
            Err("no".into())
        },
        |channel, b| {
            swap(channel.registry(), &b);
            panic!("{SCRIPTED}")
        },
        |channel, b| {
            swap(channel.registry(), &b);
            Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
        },
        |channel, b| {
            channel.push_then("x", move |registry, _| {
                swap(registry, &b);
                Err("no".into())
            });
            Ok(())
        },
        |channel, b| {
            channel.call_later(Duration::ZERO, move |_: &mut Fails, channel| {
                swap(channel.registry(), &b);
                channel.close();
                Ok(())
            });
            Ok(())
        },
    ];
    for (way, fails) in ways.into_iter().enumerate() {
        let mut a = Reactor::new().unwrap();
        let b = Rc::new(RefCell::new(Reactor::new().unwrap()));
        let trace = Trace::new();
        let (_, mut there) = settled(&mut a, Fails(b.clone(), fails));
        // At the same place in its table.
        let (id, _peer) = channel(&mut b.borrow_mut(), &trace, "other");
        trace.clear();
        there.write_all(b"x").unwrap();
        turn_until(&mut a, |a| a.channel(id).is_some());
        turns(&mut a, 3);
        assert!(a.channel(id).is_some(), "way {way}");
        assert_eq!(trace.joined(), "", "way {way}");
    }
}
