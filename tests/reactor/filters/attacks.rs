//! A hostile peer, and filters that break their promises: no plaintext from before the handshake, no loop that spins, no
//! panic of the reactor's own.

use std::{
    cell::RefCell,
    io::{ErrorKind, IoSlice, Write},
    net::Shutdown,
    rc::Rc,
    time::Duration,
};

use asynchat::{Cause, Channel, Dispatcher, Filter, FilterPhase, Result, testing::Harness};
use util::{
    Recorder, Trace, peer,
    peer::pair,
    settle,
    toy::{Far, Toy},
    turn_until,
};

use super::{Kind, Line, builder, recorder, words};

#[track_caller]
fn assert_nothing_to_read(channel: &mut Channel<'_>) {
    let with = channel.recv_with(|_, data| data.to_vec());
    assert_eq!(with.unwrap_err().kind(), ErrorKind::WouldBlock);
    let read = channel.recv(&mut [0; 100]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn bytes_in_clear_that_were_given_back_cannot_be_read_after_the_upgrade() {
    // With a window of 0 the clear part waits, and the filter is not fed yet.
    for window in [usize::MAX, 0] {
        let trace = Trace::new();
        let mut object = recorder(&trace);
        let received = object.received.clone();
        let word = received.clone();
        object.on_read = Some(Box::new(move |channel| {
            if word.borrow().is_empty() {
                return Ok(());
            }
            channel.unread("INJECTED\r\n");
            channel.push("220 ready\r\n");
            channel.upgrade(Toy::server())?;
            assert_nothing_to_read(channel);
            Ok(())
        }));
        let mut peer = Harness::with_builder(builder(), object);
        peer.set_window(window);
        peer.feed("STARTTLS\r\n");
        Line::channel(&mut peer, assert_nothing_to_read);
        peer.set_window(usize::MAX);
        peer.eof();
        assert_eq!(*received.borrow(), b"STARTTLS\r\n", "window {window}");
        assert_eq!(peer.closed(), Some(Cause::HandshakeFailed));
    }
}

/// Opens plaintext in its handshake, which is done at the byte `.`.
struct Early(FilterPhase);

impl Filter for Early {
    fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
        plain.extend(input);
        if input.contains(&b'.') {
            self.0 = FilterPhase::Open;
        }
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        wire.extend_from_slice(&plain[0]);
        Ok(plain[0].len())
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> FilterPhase {
        self.0
    }
}

#[test]
fn plaintext_that_is_opened_in_the_handshake_cannot_be_read_before_its_end() {
    for kind in Kind::BOTH {
        let trace = Trace::new();
        let mut peer = Harness::with_builder(builder(), Recorder::new(&trace));
        if kind == Kind::Implicit {
            peer = Harness::connecting(Recorder::new(&trace));
        }
        trace.clear();
        Line::channel(&mut peer, |channel| {
            channel.upgrade(Early(FilterPhase::Handshaking)).unwrap();
        });
        if kind == Kind::Implicit {
            peer.connected();
        }
        for piece in ["ear", "ly"] {
            peer.feed(piece);
            Line::channel(&mut peer, assert_nothing_to_read);
            assert_eq!(words(&trace), "", "{kind:?}");
        }
        peer.feed(".");
        assert_eq!(words(&trace), format!("{} read:6", kind.done()));
    }
}

/// `R` begins a handshake, `O` ends it.
struct Renegotiating(FilterPhase);

impl Filter for Renegotiating {
    fn feed(&mut self, input: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result {
        match input {
            b"R" => self.0 = FilterPhase::Handshaking,
            b"O" => self.0 = FilterPhase::Open,
            _ => {}
        }
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        assert_ne!(self.0, FilterPhase::Handshaking);
        wire.extend_from_slice(&plain[0]);
        Ok(plain[0].len())
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> FilterPhase {
        self.0
    }
}

#[test]
fn a_filter_that_shakes_hands_again_seals_nothing_meanwhile() {
    let trace = Trace::new();
    let mut peer = Harness::with_builder(builder(), recorder(&trace));
    Line::channel(&mut peer, |channel| {
        channel.upgrade(Renegotiating(FilterPhase::Open)).unwrap();
    });
    peer.feed("R");
    Line::channel(&mut peer, |channel| {
        channel.push("hello");
        let sent = channel.send(b"at once");
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::WouldBlock);
    });
    assert_eq!(peer.output(), b"");
    peer.feed("O");
    assert_eq!(peer.output(), b"hello");
    assert_eq!(words(&trace), "connect secured");
}

#[test]
fn an_object_that_writes_by_itself_waits_while_its_filter_shakes_hands_again() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let mut object = recorder(&trace);
    object.writable = true;
    object.on_write = Some(Box::new(|channel| {
        channel.send(b"hello")?;
        channel.close_when_done();
        Ok(())
    }));
    let (ours, mut theirs) = pair();
    let id = reactor.register(ours, object).unwrap();
    let filter = Renegotiating(FilterPhase::Open);
    reactor.channel(id).unwrap().upgrade(filter).unwrap();
    // It is read before the first write.
    theirs.write_all(b"R").unwrap();
    settle(&mut reactor);
    assert!(!trace.has("write"));
    theirs.write_all(b"O").unwrap();
    assert_eq!(peer::read_to_end(&mut reactor, &mut theirs), b"hello");
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
fn a_peer_that_asks_and_does_not_read_costs_no_turns_and_gets_every_answer() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().upgrade(Answers(100)).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut asked = 0;
    for _ in 0..100 {
        asked += theirs.write(&[b'?'; 1000]).unwrap_or(0);
        peer::turns(&mut reactor, 1);
    }
    settle(&mut reactor);
    assert_eq!(peer::turns(&mut reactor, 50), 0, "callbacks");
    let answers = peer::read_while(&mut reactor, &mut theirs, |got| got.len() == 100 * asked);
    assert_eq!(answers.len(), 100 * asked);
    reactor.channel(id).unwrap().close();
}

/// The input of a peer that has ended is thrown away, as far as the answers to it find room.
#[test]
fn a_peer_that_asks_and_ends_costs_no_turns_although_nobody_reads() {
    struct Unread;
    impl Dispatcher for Unread {}

    if !peer::announces_ends_behind_data() {
        return;
    }
    let mut reactor = builder().build().unwrap();
    let (ours, mut theirs) = pair();
    let id = reactor.register(ours, Unread).unwrap();
    reactor.channel(id).unwrap().upgrade(Answers(100)).unwrap();
    settle(&mut reactor);
    theirs.set_nonblocking(true).unwrap();
    let asked = theirs.write(&[b'?'; 100_000]).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    settle(&mut reactor);
    assert_ne!(reactor.next_wait(), Some(Duration::ZERO));
    peer::read_while(&mut reactor, &mut theirs, |got| got.len() == 100 * asked);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
}

/// Takes back what it appended to `wire` before, after `kept` calls that append.
struct TakesBack {
    phase: FilterPhase,
    kept: usize,
}

impl TakesBack {
    fn append(&mut self, wire: &mut Vec<u8>) {
        if self.kept > 0 {
            self.kept -= 1;
            wire.extend([b'w'; 1000]);
        } else {
            *wire = vec![b'w'];
        }
    }
}

impl Filter for TakesBack {
    fn feed(&mut self, _: &[u8], _: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        self.append(wire);
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        self.append(wire);
        Ok(plain[0].len().min(10))
    }
    fn end(&mut self, wire: &mut Vec<u8>) {
        self.append(wire);
    }
    fn phase(&self) -> FilterPhase {
        self.phase
    }
}

#[test]
fn a_filter_that_takes_back_what_it_has_appended_fails() {
    type Act = fn(&mut Harness);
    let acts: [(&str, FilterPhase, usize, Act); 4] = [
        (
            "feed in the handshake",
            FilterPhase::Handshaking,
            1,
            |peer| {
                peer.feed("x");
            },
        ),
        ("feed", FilterPhase::Open, 1, |peer| peer.feed("x")),
        // Two calls for what leaves in one write.
        ("seal", FilterPhase::Open, 2, |peer| {
            Line::channel(peer, |channel| channel.push(vec![b'x'; 100]));
            peer.set_window(usize::MAX);
        }),
        ("end", FilterPhase::Open, 2, |peer| {
            Line::channel(peer, |channel| {
                channel.push("x");
                channel.close_when_done();
            });
            peer.set_window(usize::MAX);
        }),
    ];
    for (name, phase, kept, act) in acts {
        for window in [0, 10] {
            let trace = Trace::new();
            let mut peer = Harness::with_builder(builder(), recorder(&trace));
            peer.set_window(window);
            let filter = TakesBack { phase, kept };
            Line::channel(&mut peer, |channel| channel.upgrade(filter).unwrap());
            peer.advance(Duration::ZERO);
            act(&mut peer);
            peer.advance(Duration::ZERO);
            peer.eof();
            assert!(peer.is_closed(), "{name}, window {window}");
            let news = words(&trace);
            let times = news.matches("took back").count();
            assert_eq!(times, 1, "{name}, window {window}: {news}");
        }
    }
}

#[test]
fn a_reset_that_a_write_finds_in_an_implicit_handshake_is_its_failure() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let (ours, theirs) = peer::narrow_tcp_pair();
    let id = reactor.register(ours, recorder(&trace)).unwrap();
    let toy = Toy::client().flight(5_000_000);
    let watch = toy.watch();
    reactor.channel(id).unwrap().upgrade(toy).unwrap();
    // The flight waits for room.
    settle(&mut reactor);
    peer::reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    let news = words(&trace);
    assert!(news.starts_with("handshake:"), "{news}");
    assert!(news.ends_with("closed:HandshakeFailed"), "{news}");
    assert_eq!(news.split(' ').filter(|word| *word == "close").count(), 0);
    watch.check_gone();
}

#[test]
fn an_answer_of_the_filter_behind_its_own_end_breaks_no_connection() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let object = recorder(&trace);
    let received: Rc<RefCell<Vec<u8>>> = object.received.clone();
    let (ours, mut theirs) = peer::tcp_pair();
    let id = reactor.register(ours, object).unwrap();
    let toy = Toy::server().round_trips(0);
    reactor.channel(id).unwrap().upgrade(toy).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().shutdown_write();
    settle(&mut reactor);
    let mut far = Far::new(Toy::client().round_trips(0));
    for text in ["more", " and more"] {
        far.ping();
        theirs.write_all(&far.wire()).unwrap();
        settle(&mut reactor);
        far.say(text);
        theirs.write_all(&far.wire()).unwrap();
        settle(&mut reactor);
    }
    assert_eq!(*received.borrow(), b"more and more");
    far.take(&peer::read_to_end(&mut reactor, &mut theirs));
    assert!(far.has_end());
    assert_eq!(far.failed(), None);
    assert!(!words(&trace).contains("close"), "{}", words(&trace));
}
