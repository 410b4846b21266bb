//! An upgrade in the middle of a conversation: what was said before stays in clear and what comes after is sealed; input
//! that waits goes to the filter and never to the object.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use asynchat::{Channel, Dispatcher, HandshakeFailed, Produced, Result, from_fn, testing::Harness};
use util::{
    Recorder, Trace,
    files::{content, file, whole},
    toy::{Call, Far, Toy},
};

use super::{Line, SECOND, recorder, words};

/// What leaves in clear and what comes after it, from all that the channel has sent.
fn split(peer: &mut Harness, clear: usize) -> (Vec<u8>, Vec<u8>) {
    let mut sent = Vec::new();
    loop {
        let output = peer.output();
        if output.is_empty() {
            break;
        }
        sent.extend(output);
    }
    let sealed = sent.split_off(clear.min(sent.len()));
    (sent, sealed)
}

#[test]
fn what_was_pushed_before_leaves_in_clear_and_what_comes_after_is_sealed() {
    for window in [usize::MAX, 100_000, 1000] {
        for speaks_first in [false, true] {
            let before = content(1, 50_000);
            let after = content(2, 50_000);
            let told: Rc<RefCell<Vec<&str>>> = Rc::default();
            let (near, far) = if speaks_first {
                (Toy::client(), Toy::server())
            } else {
                (Toy::server(), Toy::client())
            };
            let watch = near.watch();
            let trace = Trace::new();
            let mut peer = Harness::new(recorder(&trace));
            peer.set_window(window);
            let push = |channel: &mut Channel<'_>, bytes: &[u8], name: &'static str| {
                let told = told.clone();
                channel.push("small ");
                channel.push(bytes.to_vec());
                let mut pieces = vec!["b", "a"];
                channel.push_with_producer(from_fn(move || {
                    Ok(pieces
                        .pop()
                        .map_or(Produced::Done, |piece| Produced::Data(piece.into())))
                }));
                channel.push_file(whole(file(bytes)));
                channel.push_then(" told", move |_, _| {
                    told.borrow_mut().push(name);
                    Ok(())
                });
            };
            Line::channel(&mut peer, |channel| {
                push(channel, &before, "before");
                channel.upgrade(near).unwrap();
                push(channel, &after, "after");
            });
            let all = |bytes: &[u8]| [b"small ", bytes, b"ab", bytes, b" told"].concat();
            let (clear, mut wire) = split(&mut peer, all(&before).len());
            assert!(clear == all(&before), "window {window}");
            assert_eq!(*told.borrow(), ["before"]);
            assert_eq!(watch.sealed(), 0, "sealed in the handshake");
            let mut far = Far::new(far);
            // Through the handshake, and to the end of what is sealed.
            while !wire.is_empty() || far.has_wire() {
                far.take(&wire);
                peer.feed(far.wire());
                wire = peer.output();
            }
            assert_eq!(far.failed(), None, "window {window}");
            assert!(far.plain() == all(&after), "window {window}");
            assert_eq!(*told.borrow(), ["before", "after"]);
            assert!(words(&trace).contains("secured"));
            watch.check();
        }
    }
}

#[test]
fn the_filter_says_nothing_before_the_clear_part_has_left() {
    let go = Rc::new(Cell::new(false));
    let gives = go.clone();
    let trace = Trace::new();
    let mut peer = Harness::new(recorder(&trace));
    let id = peer.id();
    let toy = Toy::client();
    let watch = toy.watch();
    Line::channel(&mut peer, |channel| {
        channel.push_with_producer(from_fn(move || {
            Ok(if gives.get() {
                Produced::Done
            } else {
                Produced::Pending
            })
        }));
        channel.push("220 ready\r\n");
        channel.upgrade(toy).unwrap();
        channel.push("secret");
    });
    assert!(peer.output().is_empty());
    go.set(true);
    peer.registry().channel(id).unwrap().touch();
    let (clear, hello) = split(&mut peer, 11);
    assert_eq!(clear, b"220 ready\r\n");
    let mut far = Far::server();
    far.take(&hello);
    assert!(far.is_open());
    peer.feed(far.wire());
    far.take(&peer.output());
    assert_eq!(far.plain(), b"secret");
    watch.check();
}

#[test]
fn a_clear_part_that_the_peer_does_not_take_has_the_deadline_of_the_handshake() {
    let trace = Trace::new();
    let mut peer = Harness::new(recorder(&trace));
    peer.set_window(0);
    Line::channel(&mut peer, |channel| {
        channel.push("220 ready\r\n");
        channel.upgrade(Toy::server()).unwrap();
    });
    peer.advance(10 * SECOND);
    assert!(
        words(&trace).contains("handshake failed"),
        "{}",
        words(&trace)
    );
    // Not even the alert can leave; the linger time bounds that.
    peer.advance(60 * SECOND);
    assert!(peer.is_closed());
}

#[test]
fn the_clear_part_counts_in_outgoing_len_and_for_the_watermarks() {
    let trace = Trace::new();
    let mut peer = Harness::new(recorder(&trace));
    peer.set_window(0);
    Line::channel(&mut peer, |channel| {
        channel.set_watermarks(0, 1000);
        channel.push(vec![b'x'; 2000]);
        channel.upgrade(Toy::server()).unwrap();
        channel.push(vec![b'y'; 2000]);
        assert_eq!(channel.outgoing_len(), 4000);
        assert!(channel.is_congested());
    });
    peer.set_window(usize::MAX);
    assert_eq!(peer.output().len(), 2000);
    Line::channel(&mut peer, |channel| {
        assert_eq!(channel.outgoing_len(), 2000);
        assert!(channel.is_congested());
    });
    peer.upgrade(Toy::client());
    assert_eq!(peer.output().len(), 2000);
    Line::channel(&mut peer, |channel| assert!(!channel.is_congested()));
    assert_eq!(words(&trace), "connect secured drain");
}

#[test]
fn a_closure_of_a_part_that_upgrades_has_handle_drain_wait_for_the_handshake() {
    let trace = Trace::new();
    let mut peer = Harness::new(recorder(&trace));
    let id = peer.id();
    Line::channel(&mut peer, |channel| {
        channel.set_watermarks(0, 1);
        channel.push_then("clear", move |registry, _| {
            let mut channel = registry.channel(id).ok_or("closed")?;
            Ok(channel.upgrade(Toy::server())?)
        });
    });
    assert_eq!(peer.output(), b"clear");
    assert_eq!(words(&trace), "connect");
    peer.upgrade(Toy::client());
    assert_eq!(words(&trace), "connect secured drain");
}

#[test]
fn a_producer_in_the_clear_part_counts_no_bytes() {
    let trace = Trace::new();
    let mut peer = Harness::new(recorder(&trace));
    Line::channel(&mut peer, |channel| {
        channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
        channel.push_then("12345", |_, _| Ok(()));
        let before = channel.outgoing_len();
        channel.upgrade(Toy::server()).unwrap();
        assert_eq!((before, channel.outgoing_len()), (5, 5));
    });
}

/// How an object came to have read past the word that upgrades it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// `recv`, of the word alone.
    Recv,
    /// `recv_with`, and what is behind the word given back.
    Unread,
    /// The same, and then something of that read again.
    UnreadTwice,
}

impl Reads {
    const ALL: [Self; 3] = [Self::Recv, Self::Unread, Self::UnreadTwice];
}

const WORD: &[u8] = b"STARTTLS\r\n";

/// Upgrades at the word, answers everything else.
struct Server {
    reads: Reads,
    toy: Option<Toy>,
    trace: Trace,
}

impl Dispatcher for Server {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.toy.is_none() {
            let text = channel.recv_with(|_, data| data.to_vec())?;
            if text.is_empty() {
                return Ok(());
            }
            self.trace.add(format!("plain {}", text.escape_ascii()));
            channel.push([b"answer to ", &*text].concat());
            return Ok(());
        }
        let mut word = vec![0; WORD.len()];
        if self.reads == Reads::Recv {
            let n = channel.recv(&mut word)?;
            word.truncate(n);
        } else {
            let all = channel.recv_with(|_, data| data.to_vec())?;
            let (start, rest) = all.split_at(WORD.len());
            word = start.to_vec();
            channel.unread(rest.to_vec());
            if self.reads == Reads::UnreadTwice && !rest.is_empty() {
                let mut one = [0];
                assert_eq!(channel.recv(&mut one)?, 1);
                channel.unread(one.to_vec());
            }
        }
        assert_eq!(word, WORD);
        channel.push("220 ready\r\n");
        channel.upgrade(self.toy.take().unwrap())?;
        Ok(())
    }
    fn handle_secured(&mut self, _: &mut Channel<'_>) -> Result {
        self.trace.add("secured");
        Ok(())
    }
    fn handle_error(&mut self, _: &mut Channel<'_>, error: asynchat::BoxError) {
        assert!(error.is::<HandshakeFailed>(), "{error}");
        self.trace.add("failed");
    }
}

fn server(reads: Reads, toy: Toy) -> (Harness, Trace) {
    let trace = Trace::new();
    let server = Server {
        reads,
        toy: Some(toy),
        trace: trace.clone(),
    };
    (Harness::new(server), trace)
}

#[test]
fn a_command_behind_the_word_is_never_answered() {
    for reads in Reads::ALL {
        for client in [false, true] {
            for injected in [
                "NOOP\r\n",
                "\r\n",
                "N",
                "DATA, which begins like a record\r\n",
            ] {
                let toy = if client { Toy::client() } else { Toy::server() };
                let watch = toy.watch();
                let (mut peer, trace) = server(reads, toy);
                peer.feed([WORD, injected.as_bytes()].concat());
                let mut far = Far::new(if client { Toy::server() } else { Toy::client() });
                // The attacker's bytes come before the client's own handshake.
                peer.feed(far.wire());
                let (clear, sealed) = split(&mut peer, 11);
                assert_eq!(clear, b"220 ready\r\n", "{reads:?}, {injected:?}");
                far.take(&sealed);
                peer.eof();
                assert!(peer.is_closed());
                assert_eq!(words(&trace), "failed", "{reads:?}, {injected:?}");
                watch.check_gone();
            }
        }
    }
}

#[test]
fn the_first_flight_behind_the_word_in_one_segment_works() {
    for reads in Reads::ALL {
        for cut in 0..=7 {
            for early in [false, true] {
                let toy = Toy::server();
                let watch = toy.watch();
                let (mut peer, trace) = server(reads, toy);
                let mut far = Far::client();
                let hello = far.wire();
                // The flight has seven bytes: some of them come with the word.
                peer.feed([WORD, &hello[..cut]].concat());
                if early {
                    peer.feed(&hello[cut..]);
                } else {
                    peer.feed_bytewise(&hello[cut..]);
                }
                let (clear, sealed) = split(&mut peer, 11);
                assert_eq!(clear, b"220 ready\r\n");
                far.take(&sealed);
                assert!(far.is_open(), "{reads:?}, cut at {cut}");
                far.say("NOOP\r\n");
                peer.feed(far.wire());
                far.take(&peer.output());
                assert_eq!(
                    far.plain(),
                    b"answer to NOOP\r\n",
                    "{reads:?}, cut at {cut}"
                );
                assert_eq!(words(&trace), r"secured plain NOOP\r\n");
                watch.check();
            }
        }
    }
}

#[test]
fn a_whole_conversation_behind_the_word_in_one_segment_works() {
    // Whoever knows the other side's flights need not wait for them.
    for reads in Reads::ALL {
        let (mut peer, trace) = server(reads, Toy::server().round_trips(1));
        let mut far = Far::client();
        let hello = far.wire();
        let mut expected = Far::server();
        expected.take(&hello);
        far.take(&expected.wire());
        far.say("NOOP\r\n");
        far.end();
        peer.feed([WORD, &hello, &far.wire()].concat());
        let (clear, _) = split(&mut peer, 11);
        assert_eq!(clear, b"220 ready\r\n");
        assert_eq!(words(&trace), r"secured plain NOOP\r\n");
    }
}

#[test]
fn what_another_channel_reads_away_before_the_upgrade_is_not_fed() {
    let trace = Trace::new();
    let mut object = Recorder::new(&trace);
    object.readable = false;
    let mut peer = Harness::new(object);
    peer.feed("first second");
    let toy = Toy::server();
    let watch = toy.watch();
    Line::channel(&mut peer, |channel| {
        let mut first = [0; 12];
        assert_eq!(channel.recv(&mut first).unwrap(), 12);
        channel.upgrade(toy).unwrap();
    });
    peer.upgrade(Toy::client());
    assert_eq!(words(&trace), "connect secured");
    watch.check();
}

#[test]
fn unread_after_the_upgrade_is_plaintext() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.unread("given back "));
    line.exchange();
    assert_eq!(line.received(), b"given back ");
    line.say("hello");
    assert_eq!(line.received(), b"given back hello");
}

#[test]
fn an_upgrade_from_outside_takes_what_a_pause_has_held_back() {
    let trace = Trace::new();
    let mut object = Recorder::new(&trace);
    let received = object.received.clone();
    object.on_read = Some(Box::new(move |channel| {
        if received.borrow().is_empty() {
            return Ok(());
        }
        channel.unread("STARTTLS\r\n");
        channel.pause_reading(60 * SECOND);
        Ok(())
    }));
    let mut peer = Harness::new(object);
    peer.feed(WORD);
    let toy = Toy::server();
    let watch = toy.watch();
    Line::channel(&mut peer, |channel| {
        channel.upgrade(toy).unwrap();
        channel.resume_reading();
    });
    let mut far = Far::client();
    let (_, alert) = split(&mut peer, 0);
    far.take(&alert);
    assert_eq!(far.failed(), Some("alert: no record"));
    assert!(watch.calls(Call::Feed) > 0);
    assert!(!words(&trace).contains("secured"));
}
