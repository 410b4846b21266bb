//! What a channel with a filter costs in memory: no allocation of the reactor's per message, and no buffer behind one that
//! says nothing.

use std::{
    io::{ErrorKind, IoSlice, Read, Write},
    time::Duration,
};

use asynchat::{
    Channel, ChannelId, Dispatcher, Filter, FilterPhase, Reactor, Result, testing::Harness,
};
use util::peer::{LocalStream, pair};
use util::toy::{Far, Toy};

/// Turns all bits, and keeps nothing.
struct Turned;

impl Filter for Turned {
    fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
        plain.extend(input.iter().map(|byte| !byte));
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        for part in plain {
            wire.extend(part.iter().map(|byte| !byte));
        }
        Ok(plain.iter().map(|part| part.len()).sum())
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> FilterPhase {
        FilterPhase::Open
    }
}

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }
}

fn open(reactor: &mut Reactor, filter: impl Filter) -> (ChannelId, LocalStream) {
    let (here, there) = pair();
    there.set_nonblocking(true).unwrap();
    let id = reactor.register(here, Echo).unwrap();
    reactor.channel(id).unwrap().upgrade(filter).unwrap();
    (id, there)
}

/// Sends `message` and turns until as many bytes are back.
fn exchange(reactor: &mut Reactor, there: &mut LocalStream, message: &[u8], reply: &mut [u8]) {
    let mut sent = 0;
    let mut received = 0;
    let mut turns = 0;
    while received < message.len() {
        if sent < message.len() {
            match there.write(&message[sent..]) {
                Ok(n) => sent += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        reactor.turn(Some(Duration::from_millis(20))).unwrap();
        match there.read(&mut reply[received..]) {
            Ok(n) => received += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        turns += 1;
        assert!(turns < 10_000, "{received} bytes came back");
    }
}

#[test]
fn an_echo_through_a_filter_allocates_nothing_per_message() {
    for size in [1, 100, 10_000, 60_000] {
        let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
        let (_, mut there) = open(&mut reactor, Turned);
        let message = vec![b'x'; size];
        let mut reply = vec![0; size];
        for _ in 0..10 {
            exchange(&mut reactor, &mut there, &message, &mut reply);
        }
        let before = util::heap::allocations();
        for _ in 0..500 {
            exchange(&mut reactor, &mut there, &message, &mut reply);
        }
        let made = util::heap::allocations() - before;
        assert!(reply == message, "the answer is another");
        assert_eq!(made, 0, "{size} bytes");
    }
}

#[test]
fn an_idle_channel_with_a_filter_holds_no_buffer() {
    const CHANNELS: isize = 100;
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let message = vec![b'x'; 60_000];
    let mut reply = vec![0; 60_000];
    let mut all = Vec::with_capacity(200);
    // The first ones fill the pools.
    for _ in 0..10 {
        let (id, mut there) = open(&mut reactor, Turned);
        exchange(&mut reactor, &mut there, &message, &mut reply);
        all.push((id, there));
    }
    let before = util::heap::live();
    for _ in 0..CHANNELS {
        let (id, mut there) = open(&mut reactor, Turned);
        exchange(&mut reactor, &mut there, &message, &mut reply);
        all.push((id, there));
    }
    let each = (util::heap::live() - before) / CHANNELS;
    // The slot, the object, and what is known of the filter.
    assert!(each <= 1024, "{each} bytes for a channel that says nothing");
    for (id, _) in &all {
        reactor.channel(*id).unwrap().close();
    }
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(reactor.is_idle());
}

#[test]
fn a_handshake_that_waits_holds_no_buffer() {
    const CHANNELS: isize = 100;
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let mut all = Vec::with_capacity(200);
    let mut before = 0;
    for n in 0..CHANNELS + 10 {
        if n == 10 {
            before = util::heap::live();
        }
        let (_, mut there) = open(&mut reactor, Toy::server().round_trips(2));
        there
            .write_all(&Far::new(Toy::client().round_trips(2)).wire())
            .unwrap();
        for _ in 0..3 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        let mut answer = [0; 100];
        assert!(there.read(&mut answer).unwrap() > 0);
        all.push(there);
    }
    let each = (util::heap::live() - before) / CHANNELS;
    assert!(each <= 2048, "{each} bytes for a handshake that waits");
}

#[test]
fn what_is_sealed_and_unsent_is_bounded_for_a_peer_that_only_asks() {
    // Each ping has an answer that nobody takes.
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let (id, mut there) = open(&mut reactor, Toy::server().round_trips(0));
    let mut far = Far::new(Toy::client().round_trips(0));
    let before = util::heap::live();
    let mut most = 0;
    let mut wire = Vec::new();
    for _ in 0..400 {
        if wire.is_empty() {
            for _ in 0..5_000 {
                far.ping();
            }
            wire = far.wire();
        }
        if let Ok(n) = there.write(&wire) {
            wire.drain(..n);
        }
        reactor.turn(Some(Duration::ZERO)).unwrap();
        most = most.max(util::heap::live() - before);
    }
    assert!(reactor.channel(id).is_some());
    assert!(most <= 8 << 20, "{most} bytes for one peer");
}

/// Answers each byte with that many of its own.
struct Answers(usize);

impl Filter for Answers {
    fn feed(&mut self, input: &[u8], _: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        wire.resize(wire.len() + input.len() * self.0, b'a');
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], _: &mut Vec<u8>) -> Result<usize> {
        Ok(plain[0].len())
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> FilterPhase {
        FilterPhase::Open
    }
}

#[test]
fn what_a_peer_has_taken_is_not_kept_although_it_always_leaves_something() {
    let mut peer = Harness::new(Echo);
    let id = peer.id();
    peer.registry()
        .channel(id)
        .unwrap()
        .upgrade(Answers(100))
        .unwrap();
    peer.set_window(50_000);
    // 50,000 bytes in the socket, and as many behind them.
    peer.feed([b'?'; 1000]);
    let before = util::heap::live();
    let mut most = 0;
    for _ in 0..400 {
        peer.feed([b'?'; 500]);
        assert_eq!(peer.output().len(), 50_000);
        most = most.max(util::heap::live() - before);
    }
    assert!(most <= 1 << 20, "{most} bytes for 20,000,000 answered");
}

/// Opens plaintext in a handshake without an end.
struct Early;

impl Filter for Early {
    fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
        plain.extend(input);
        Ok(())
    }
    fn seal(&mut self, _: &[IoSlice<'_>], _: &mut Vec<u8>) -> Result<usize> {
        Err("in the handshake".into())
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> FilterPhase {
        FilterPhase::Handshaking
    }
}

#[test]
fn plaintext_that_is_opened_in_the_handshake_costs_in_proportion_to_its_length() {
    let cost = |pieces: usize| {
        let builder = Reactor::builder().propagate_panics(true);
        // The handshake has no end, and 1,600 turns take Wine longer than the usual 10 s.
        let builder = builder.handshake_timeout(Duration::MAX);
        let mut reactor = builder.build().unwrap();
        let (_, mut there) = open(&mut reactor, Early);
        reactor.turn(Some(Duration::ZERO)).unwrap();
        let before = util::heap::total();
        for _ in 0..pieces {
            there.write_all(&[b'e'; 100]).unwrap();
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        util::heap::total() - before
    };
    let (some, more) = (cost(200), cost(1600));
    assert!(
        more <= 16 * some,
        "{some} bytes, and {more} for 8 times as many"
    );
}
