//! The end of a channel from this side: `close`, `close_when_done` and its linger, half-close (R10), and when objects
//! are dropped.

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    rc::Rc,
    thread,
    time::Duration,
};

use asynchat::{
    BoxError, Bytes, Channel, ChannelId, Dispatcher, Produced, Producer, Reactor, Result, State,
    VisitError, from_fn,
};
use util::{
    DEADLINE, Log, Recorder, SCRIPTED, Trace,
    files::{file, whole},
    peer::{
        borrowed, narrow_pair, narrow_tcp_pair, pair, read_to_end, read_while, refusing, reset,
        settled, tcp_pair,
    },
    reactor, run, serve, settle, silence_scripted_panics, turn_until,
};

/// Counts how often one of its kind was dropped, and panics in doing so if told to.
pub(super) struct Dropped {
    count: Rc<Cell<usize>>,
    pub(super) panics: bool,
}

impl Dropped {
    pub(super) fn new() -> (Self, Rc<Cell<usize>>) {
        let count = Rc::new(Cell::new(0));
        let object = Self {
            count: count.clone(),
            panics: false,
        };
        (object, count)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.count.set(self.count.get() + 1);
        assert!(!self.panics, "dropped in anger");
    }
}

/// Owns a `Dropped` and reads what comes.
pub(super) struct Owner(pub(super) Dropped);

impl Dispatcher for Owner {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let _ = &self.0;
        channel.recv_with(|_, _| ())?;
        Ok(())
    }
}

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// Runs `f` once with the channel, from inside a callback of it.
pub(super) fn from_inside(
    reactor: &mut Reactor,
    trace: &Trace,
    f: impl FnOnce(&mut Channel<'_>) + 'static,
) -> (ChannelId, TcpStream) {
    let mut recorder = Recorder::named(trace, "old");
    let mut f = Some(f);
    recorder.on_read = Some(Box::new(move |channel| {
        if let Some(f) = f.take_if(|_| channel.state() == State::Open) {
            f(channel);
        }
        Ok(())
    }));
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"hello").unwrap();
    (reactor.register(ours, recorder).unwrap(), theirs)
}

// ---- close

/// Closes, and then tries everything else: all of it is harmless.
fn close_and_go_on(channel: &mut Channel<'_>) {
    channel.push("tried once");
    channel.push_with_producer(from_fn(|| panic!("asked by close")));
    channel.close();
    channel.close();
    channel.close_when_done();
    assert_eq!(channel.state(), State::Closed);
    assert_eq!(channel.outgoing_len(), 0);
    let kinds = [
        channel.recv(&mut [0; 10]).unwrap_err().kind(),
        channel.send(b"x").unwrap_err().kind(),
        channel.accept().unwrap_err().kind(),
        channel.recv_with(|_, _| ()).unwrap_err().kind(),
        channel.local_addr().unwrap_err().kind(),
        channel.peer_addr().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotConnected; 6]);
    assert_eq!(
        borrowed(channel).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    channel.push("dropped");
    channel.push_with_producer(from_fn(|| panic!("asked after close")));
    channel.write_all(b"dropped").unwrap();
    channel.set_idle_timeout(Some(Duration::from_secs(1)));
    channel.shutdown_write();
    channel.touch();
    channel.unread("dropped");
    channel.replace(Recorder::new(&Trace::new()));
    assert!(channel.detach().is_none());
    assert!(channel.describe().contains("closed"));
}

#[test]
fn close_is_immediate_and_idempotent() {
    for inside in [false, true] {
        let mut reactor = reactor();
        let (ours, mut theirs) = tcp_pair();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        if inside {
            recorder.on_connect = Some(Box::new(|channel| {
                close_and_go_on(channel);
                Ok(())
            }));
        }
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        if !inside {
            close_and_go_on(&mut reactor.channel(id).unwrap());
        }
        let before = trace.lines();
        assert!(reactor.channel(id).is_none());
        assert_eq!(reactor.channels().count(), 0);
        assert_eq!(reactor.stats().timers, 0);
        run(&mut reactor);
        assert_eq!(read_to_end(&mut reactor, &mut theirs), b"tried once");
        assert_eq!(trace.lines(), before);
        assert!(!inside || before == ["connect"], "{before:?}");
    }
}

/// A push that is tried at once would have sent it: that pushes are collected must not show.
#[test]
fn what_was_pushed_before_a_close_is_tried_once_whoever_closes() {
    type Hook = fn(&mut Channel<'_>) -> Result;
    type End = fn(&mut Reactor, ChannelId);
    let calm: Hook = |_| Ok(());
    let nothing: End = |_, _| {};
    let ends: [(&str, Hook, End, &str); 9] = [
        (
            "itself",
            |channel| {
                channel.close();
                Ok(())
            },
            nothing,
            "",
        ),
        ("handle_error", |_| Err("scripted".into()), nothing, ""),
        (
            "handle_error after a panic",
            |_| panic!("{SCRIPTED} panic"),
            nothing,
            "",
        ),
        (
            "the reactor after a panic in handle_error",
            |_| Err(SCRIPTED.into()),
            nothing,
            "",
        ),
        (
            "handle_timeout",
            |channel| {
                channel.set_idle_timeout(Some(Duration::from_millis(1)));
                Ok(())
            },
            nothing,
            " late",
        ),
        (
            "itself, impatient",
            |channel| {
                channel.close_when_done();
                channel.close();
                Ok(())
            },
            nothing,
            "",
        ),
        (
            "a stranger",
            calm,
            |reactor, id| {
                let mut channel = reactor.channel(id).unwrap();
                channel.push(" late");
                channel.close();
            },
            " late",
        ),
        (
            "close_all",
            calm,
            |reactor, id| {
                reactor.channel(id).unwrap().push(" late");
                reactor.close_all();
            },
            " late",
        ),
        (
            "the drop of the reactor",
            calm,
            |reactor, id| {
                reactor.channel(id).unwrap().push(" late");
                *reactor = Reactor::new().unwrap();
            },
            " late",
        ),
    ];
    silence_scripted_panics();
    for ((who, hook, end, late), reads) in
        ends.into_iter().flat_map(|end| [(end, false), (end, true)])
    {
        let mut reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = tcp_pair();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        let callback = if reads {
            &mut recorder.on_read
        } else {
            &mut recorder.on_connect
        };
        let mut done = false;
        *callback = Some(Box::new(move |channel: &mut Channel<'_>| {
            if done || reads && trace.count("read:1") == 0 {
                return Ok(());
            }
            done = true;
            channel.push("421 ");
            channel.push(vec![b'x'; 3000]);
            channel.push_file(whole(file(b" file")));
            hook(channel)
        }));
        recorder.on_error = Some(Box::new(move |channel: &mut Channel<'_>| {
            assert!(!who.contains("in handle_error"), "{SCRIPTED} panic");
            channel.close();
            Ok(())
        }));
        recorder.on_timeout = Some(Box::new(|channel: &mut Channel<'_>| {
            channel.push(" late");
            channel.close();
            Ok(())
        }));
        let id = reactor.register(ours, recorder).unwrap();
        if reads {
            settle(&mut reactor);
            theirs.write_all(b"x").unwrap();
        }
        reactor.turn(Some(Duration::ZERO)).unwrap();
        end(&mut reactor, id);
        let received = read_to_end(&mut reactor, &mut theirs);
        let expected = [b"421 ", &[b'x'; 3000][..], b" file", late.as_bytes()].concat();
        assert!(
            received == expected,
            "{who}: {:?}",
            String::from_utf8_lossy(&received)
        );
    }
}

#[test]
fn a_close_asks_no_producer_and_sends_nothing_past_one() {
    let mut reactor = reactor();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut channel = reactor.channel(id).unwrap();
    channel.push("head");
    channel.push_with_producer(from_fn(|| panic!("asked by close")));
    channel.push("tail");
    channel.close();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"head");
}

/// The peer would take what stands behind for what is missing.
#[test]
fn a_close_sends_nothing_behind_a_producer_that_failed() {
    for goes_on in [false, true] {
        let mut reactor = reactor();
        let (ours, mut theirs) = tcp_pair();
        let mut recorder = Recorder::new(&Trace::new());
        recorder.on_error = Some(Box::new(move |channel: &mut Channel<'_>| {
            if goes_on {
                channel.push(", told");
            } else {
                channel.close();
            }
            Ok(())
        }));
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        let mut channel = reactor.channel(id).unwrap();
        channel.push("head");
        channel.push_with_producer(from_fn(|| Err(io::Error::other("scripted"))));
        channel.push(", tail");
        turn_until(&mut reactor, |reactor| reactor.stats().errors == 1);
        if goes_on {
            settle(&mut reactor);
            reactor.channel(id).unwrap().push(", more");
            reactor.channel(id).unwrap().close();
        }
        let expected: &[u8] = if goes_on {
            b"head, tail, told, more"
        } else {
            b"head"
        };
        assert_eq!(read_to_end(&mut reactor, &mut theirs), expected);
    }
}

#[test]
fn a_close_sends_no_more_than_the_write_budget_and_does_not_wait() {
    let mut reactor = Reactor::builder().write_budget(64 * 1024).build().unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; 40_000]);
    for _ in 0..10 {
        channel.push(vec![b'x'; 40_000]);
    }
    channel.close();
    let received = read_to_end(&mut reactor, &mut theirs).len();
    assert!((1..=11 * 40_000).contains(&received), "{received}");

    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; 8 << 20]);
    channel.close();
    assert!(reactor.channel(id).is_none());
    let received = read_to_end(&mut reactor, &mut theirs).len();
    assert!((1..8 << 20).contains(&received), "{received}");
}

/// One by one from the front: to look for each from the start, and to shift what is behind it, took minutes.
#[test]
fn a_queue_of_many_small_parts_is_dropped_in_one_pass() {
    let mut reactor = reactor();
    let (ours, _theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    let alive = Rc::new(());
    let mut channel = reactor.channel(id).unwrap();
    channel.set_max_outgoing(usize::MAX);
    for _ in 0..200_000 {
        let owned = alive.clone();
        channel.push("ok");
        channel.push_with_producer(from_fn(move || {
            let _ = &owned;
            Ok(Produced::Pending)
        }));
    }
    assert_eq!(Rc::strong_count(&alive), 200_001);
    channel.close();
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn channels_may_be_closed_and_opened_while_one_broadcasts() {
    type Members = Rc<RefCell<Vec<ChannelId>>>;
    /// On `kick`, closes the first, the last and itself, and greets all in the list it started with.
    struct Member {
        members: Members,
    }
    impl Dispatcher for Member {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            self.members.borrow_mut().push(channel.id());
            Ok(())
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv_with(|_, data| data.len())? == 0 {
                return Ok(());
            }
            let me = channel.id();
            let everyone = self.members.borrow().clone();
            let registry = channel.registry();
            for (n, &id) in everyone.iter().enumerate() {
                if n == 1 {
                    for victim in [everyone[0], me, *everyone.last().unwrap()] {
                        registry.channel(victim).unwrap().close();
                    }
                    let (ours, theirs) = pair();
                    let members = self.members.clone();
                    registry.register(ours, Member { members })?;
                    drop(theirs);
                }
                if let Some(mut member) = registry.channel(id) {
                    member.push("news");
                }
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let members = Members::default();
    let mut peers: Vec<_> = (0..6)
        .map(|_| {
            let members = members.clone();
            settled(&mut reactor, Member { members }).1
        })
        .collect();
    assert_eq!(members.borrow().len(), 6);
    peers[2].write_all(b"kick").unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        let got = read_while(&mut reactor, peer, |got| got.len() == 4);
        // The first got it before it was closed.
        let closed = [2, 5].contains(&n);
        assert_eq!(
            got,
            if closed { "" } else { "news" }.as_bytes(),
            "member {n}"
        );
    }
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 3);
}

// ---- when objects are dropped

#[test]
fn an_object_is_dropped_as_soon_as_its_last_callback_has_returned() {
    type End = fn(&mut Reactor, ChannelId, TcpStream) -> Option<TcpStream>;
    let ends: [(&str, End); 8] = [
        ("close", |reactor, id, peer| {
            reactor.channel(id).unwrap().close();
            settle(reactor);
            Some(peer)
        }),
        ("close_all", |reactor, _, peer| {
            reactor.close_all();
            settle(reactor);
            Some(peer)
        }),
        ("detach", |reactor, id, peer| {
            assert!(reactor.channel(id).unwrap().detach().is_some());
            Some(peer)
        }),
        ("replace", |reactor, id, peer| {
            reactor
                .channel(id)
                .unwrap()
                .replace(Recorder::new(&Trace::new()));
            Some(peer)
        }),
        ("linger", |reactor, id, peer| {
            reactor.channel(id).unwrap().close_when_done();
            settle(reactor);
            let state = reactor.channel(id).unwrap().state();
            assert_eq!(state, State::Closing, "the peer has not finished");
            drop(peer);
            settle(reactor);
            None
        }),
        ("end of file", |reactor, _, peer| {
            drop(peer);
            settle(reactor);
            None
        }),
        ("reset", |reactor, _, peer| {
            reset(peer);
            settle(reactor);
            None
        }),
        ("an error", |reactor, id, peer| {
            let with = reactor.with(id, |_: &mut Owner, channel| {
                channel.set_max_outgoing(1);
                channel.push("two");
            });
            assert_eq!(with, Ok(()));
            settle(reactor);
            Some(peer)
        }),
    ];
    for (how, end) in ends {
        let mut reactor = reactor();
        let (object, dropped) = Dropped::new();
        let (id, peer) = settled(&mut reactor, Owner(object));
        assert_eq!(dropped.get(), 0, "{how}");
        let peer = end(&mut reactor, id, peer);
        assert_eq!(dropped.get(), 1, "{how}");
        drop((peer, reactor));
        assert_eq!(dropped.get(), 1, "{how}");
    }
}

#[test]
fn objects_of_listeners_failed_connects_and_of_a_dropped_reactor_are_dropped() {
    let mut reactor = reactor();
    let (object, of_listener) = Dropped::new();
    let listener = reactor.listen(([127, 0, 0, 1], 0), Owner(object)).unwrap();
    reactor.channel(listener).unwrap().close_when_done();
    assert!(
        reactor.channel(listener).is_none(),
        "a listener has nothing to wait for"
    );
    settle(&mut reactor);
    assert_eq!(of_listener.get(), 1);

    let (object, of_connect) = Dropped::new();
    let (_refusing, address) = refusing();
    reactor.connect(address, Owner(object)).unwrap();
    run(&mut reactor);
    assert_eq!(of_connect.get(), 1);

    #[cfg(unix)]
    {
        let (object, of_refused) = Dropped::new();
        let file = tempfile::tempfile().unwrap();
        let error = reactor.register(file, Owner(object)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(of_refused.get(), 1);
    }

    let (object, of_reactor) = Dropped::new();
    let (_, _peer) = settled(&mut reactor, Owner(object));
    drop(reactor);
    assert_eq!(of_reactor.get(), 1);
}

#[test]
fn an_object_that_panics_when_dropped_harms_nobody_else() {
    type End = fn(&mut Reactor, ChannelId);
    let ends: [(&str, End); 5] = [
        ("close", |reactor, id| reactor.channel(id).unwrap().close()),
        ("linger", |reactor, id| {
            reactor.channel(id).unwrap().close_when_done();
        }),
        ("detach", |reactor, id| {
            drop(reactor.channel(id).unwrap().detach());
        }),
        ("replace", |reactor, id| {
            reactor
                .channel(id)
                .unwrap()
                .replace(Recorder::new(&Trace::new()));
        }),
        ("close_all from a timer", |reactor, _| {
            reactor.call_later(Duration::ZERO, |registry| {
                registry.close_all();
                Ok(())
            });
        }),
    ];
    for (how, end) in ends {
        let log = Log::start();
        let mut reactor = Reactor::new().unwrap();
        let (mut object, dropped) = Dropped::new();
        object.panics = true;
        let (id, peer) = settled(&mut reactor, Owner(object));
        let before = log.lines("dropped in anger").len();
        end(&mut reactor, id);
        settle(&mut reactor);
        drop(peer);
        settle(&mut reactor);
        assert_eq!(dropped.get(), 1, "{how}");
        assert_eq!(log.lines("dropped in anger").len(), before + 1, "{how}");
        let trace = Trace::new();
        let (_, mut peer) = settled(&mut reactor, Recorder::new(&trace));
        peer.write_all(b"still there").unwrap();
        turn_until(&mut reactor, |_| trace.has("read:11"));
    }
}

#[test]
fn a_callback_that_closes_its_channel_still_owns_its_object_until_it_returns() {
    struct Closes {
        text: String,
        _dropped: Dropped,
        seen: Rc<RefCell<String>>,
        count: Rc<Cell<usize>>,
    }
    impl Dispatcher for Closes {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.close();
            assert_eq!(self.count.get(), 0);
            *self.seen.borrow_mut() = self.text.clone();
            Err("an error after close is nobody's business".into())
        }
        fn handle_error(&mut self, _: &mut Channel<'_>, error: BoxError) {
            panic!("{error}");
        }
    }
    let mut reactor = reactor();
    let (dropped, count) = Dropped::new();
    let seen = Rc::new(RefCell::new(String::new()));
    let object = Closes {
        text: "still mine".into(),
        _dropped: dropped,
        seen: seen.clone(),
        count: count.clone(),
    };
    reactor.register(tcp_pair().0, object).unwrap();
    run(&mut reactor);
    assert_eq!(*seen.borrow(), "still mine");
    assert_eq!(count.get(), 1);
}

// ---- close_when_done and linger

#[test]
fn close_when_done_sends_everything_and_then_the_end_of_file() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let reply = pattern(3_000_000);
    for pair in 0..2 {
        let mut recorder = Recorder::new(&trace);
        recorder.writable = true;
        let to_send = reply.clone();
        recorder.on_connect = Some(Box::new(move |channel| {
            channel.push("head ");
            channel.push(to_send.clone());
            let mut chunks = vec![Produced::Done, Produced::Data(" tail".into())];
            channel.push_with_producer(from_fn(move || Ok(chunks.pop().unwrap())));
            channel.close_when_done();
            channel.close_when_done();
            assert_eq!(channel.state(), State::Closing);
            channel.push("too late");
            write!(channel, "too late")?;
            Ok(())
        }));
        let got = if pair == 0 {
            let (ours, mut theirs) = narrow_tcp_pair();
            reactor.register(ours, recorder).unwrap();
            read_to_end(&mut reactor, &mut theirs)
        } else {
            let (ours, mut theirs) = narrow_pair();
            reactor.register(ours, recorder).unwrap();
            read_to_end(&mut reactor, &mut theirs)
        };
        assert!(
            got == [b"head ", &*reply, b" tail"].concat(),
            "{} bytes",
            got.len()
        );
    }
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["connect", "connect"],
        "no callback after close_when_done"
    );
}

#[test]
fn a_reply_is_not_destroyed_by_unread_input() {
    let mut reactor = reactor();
    let reply = pattern(300_000);
    let to_send = reply.clone();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::new(&of_server);
        recorder.read_size = 100;
        let (to_send, received) = (to_send.clone(), recorder.received.clone());
        recorder.on_read = Some(Box::new(move |channel| {
            if !received.borrow().is_empty() {
                channel.push("413 too large\r\n");
                channel.push(to_send.clone());
                channel.close_when_done();
            }
            Ok(())
        }));
        recorder
    });
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(&vec![b'u'; 1_000_000]).unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).map(|_| got)
    });
    turn_until(&mut reactor, |_| client.is_finished());
    let got = client.join().unwrap().expect("a clean end of file");
    assert!(
        got == [b"413 too large\r\n", &*reply].concat(),
        "{} bytes",
        got.len()
    );
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    let reads = trace
        .lines()
        .iter()
        .filter(|line| line.starts_with("read:"))
        .count();
    assert_eq!(reads, 1, "nothing is read after close_when_done");
}

#[test]
fn a_lingering_channel_ends_with_the_peers_end_of_file() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Closing);
    assert_eq!(reactor.stats().timers, 1, "the limit");
    (&theirs).write_all(b"nobody listens").unwrap();
    settle(&mut reactor);
    assert!(reactor.channel(id).is_some());
    drop(theirs);
    run(&mut reactor);
    assert!(trace.lines().is_empty(), "{:?}", trace.lines());
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn a_lingering_channel_ends_when_its_time_is_up() {
    let mut reactor = Reactor::builder()
        .linger(Duration::from_millis(50), usize::MAX)
        .build()
        .unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut channel = reactor.channel(id).unwrap();
    channel.push("bye");
    channel.close_when_done();
    // The peer neither closes nor sends.
    run(&mut reactor);
    assert!(reactor.channel(id).is_none());
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"bye");
}

#[test]
fn a_lingering_channel_ends_when_the_peer_sends_too_much() {
    let mut reactor = Reactor::builder()
        .linger(10 * DEADLINE, 64 * 1024)
        .build()
        .unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    theirs.write_all(&[0; 10_000]).unwrap();
    settle(&mut reactor);
    assert!(reactor.channel(id).is_some(), "within the limit");
    theirs.set_nonblocking(true).unwrap();
    turn_until(&mut reactor, |reactor| {
        let _ = theirs.write(&[0; 10_000]);
        reactor.channel(id).is_none()
    });
}

#[test]
fn the_linger_of_one_channel_can_be_set_apart_from_the_others() {
    let mut reactor = Reactor::builder()
        .linger(10 * DEADLINE, 64 * 1024)
        .build()
        .unwrap();
    let peers: Vec<_> = (0..3)
        .map(|_| settled(&mut reactor, Recorder::new(&Trace::new())))
        .collect();
    let [(own, _), (short, _), (strict, _)] = &peers[..] else {
        unreachable!("three channels");
    };
    let mut channel = reactor.channel(*short).unwrap();
    channel.set_linger(Duration::from_millis(50), usize::MAX);
    let mut channel = reactor.channel(*strict).unwrap();
    channel.set_linger(10 * DEADLINE, 100);
    for (id, _) in &peers {
        reactor.channel(*id).unwrap().close_when_done();
    }
    settle(&mut reactor);
    // Past the bytes of one, within those of the reactor and those of the other.
    for (_, theirs) in &peers {
        (&*theirs).write_all(&[0; 10_000]).unwrap();
    }
    turn_until(&mut reactor, |reactor| reactor.channel(*strict).is_none());
    turn_until(&mut reactor, |reactor| reactor.channel(*short).is_none());
    settle(&mut reactor);
    assert_eq!(reactor.channel(*own).unwrap().state(), State::Closing);
    // More than the reactor's bytes, which would have ended another.
    let (roomy, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut channel = reactor.channel(roomy).unwrap();
    channel.set_linger(10 * DEADLINE, usize::MAX);
    channel.close_when_done();
    for _ in 0..20 {
        theirs.write_all(&[0; 10_000]).unwrap();
        settle(&mut reactor);
    }
    assert_eq!(reactor.channel(roomy).unwrap().state(), State::Closing);
    reactor.close_all();
}

#[test]
fn a_lingering_channel_has_no_object() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _peer) = settled(&mut reactor, Recorder::new(&trace));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    assert_eq!(
        reactor.with(id, |_: &mut Recorder, _| ()),
        Err(VisitError::Closed(id))
    );
    let (object, dropped) = Dropped::new();
    reactor.channel(id).unwrap().replace(Owner(object));
    assert_eq!(dropped.get(), 1);
    reactor.channel(id).unwrap().close();
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn close_when_done_without_anything_queued_from_inside_a_callback_ends_the_stream() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = from_inside(&mut reactor, &trace, |channel| {
        channel.close_when_done();
    });
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"");
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.lines(), ["old.connect", "old.read:5"]);
}

#[test]
fn a_reset_before_everything_is_sent_is_still_reported_after_close_when_done() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(pattern(4 << 20));
    channel.close_when_done();
    settle(&mut reactor);
    assert!(reactor.channel(id).unwrap().outgoing_len() > 0);
    reset(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["close"]);
}

#[test]
fn close_when_done_after_the_peers_end_of_file_needs_no_linger() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_close = Some(Box::new(|_| Ok(())));
    let id = reactor.register(ours, recorder).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut reactor, |_| trace.has("close"));
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("after your end of file");
    channel.close_when_done();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(reactor.channel(id).is_none());
    assert_eq!(
        read_to_end(&mut reactor, &mut theirs),
        b"after your end of file"
    );
}

// ---- what panics when it is dropped

/// Owns nothing and objects loudly to being dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

impl Producer for Bomb {
    fn more(&mut self) -> io::Result<Produced> {
        Ok(Produced::Pending)
    }
}

/// A second panic while the first unwinds would abort the process.
#[test]
fn two_producers_that_panic_when_dropped_harm_nobody() {
    type End = fn(&mut Reactor, ChannelId, TcpStream);
    let ends: [(&str, End); 3] = [
        ("bomb under close", |reactor, id, _| {
            reactor.channel(id).unwrap().close();
        }),
        ("bomb under reset", |reactor, id, theirs| {
            reset(theirs);
            turn_until(reactor, |reactor| reactor.channel(id).is_none());
        }),
        ("bomb under close_all", |reactor, _, _| reactor.close_all()),
    ];
    for (message, end) in ends {
        let log = Log::start();
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, mut other) = settled(&mut reactor, Recorder::named(&trace, "before"));
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.has("before.read:1"));
        let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
        let mut channel = reactor.channel(id).unwrap();
        channel.push_with_producer(Bomb(message));
        channel.push_with_producer(Bomb(message));
        end(&mut reactor, id, theirs);
        let lines = log.lines(message);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (_, mut other) = settled(&mut reactor, Recorder::named(&trace, "after"));
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.has("after.read:1"));
    }
}

/// Owns bytes as a mapped file does, and objects when it is dropped.
struct BombOf(&'static [u8], &'static str);

impl AsRef<[u8]> for BombOf {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Drop for BombOf {
    fn drop(&mut self) {
        panic!("{}", self.1);
    }
}

#[test]
fn bytes_whose_owner_panics_when_dropped_harm_nobody() {
    static LONG: [u8; 5000] = [b'x'; 5000];
    type End = fn(&mut Reactor, ChannelId, TcpStream);
    /// Keeps the second byte string, so that it is not shared with a buffer.
    fn bomb(message: &'static str) -> Bytes {
        Bytes::from_owner(BombOf(&LONG, message))
    }
    let ends: [(&str, usize, End); 7] = [
        ("owner under a flush", 2, |reactor, id, mut theirs| {
            let mut channel = reactor.channel(id).unwrap();
            channel.push(bomb("owner under a flush"));
            channel.push("between");
            channel.push(bomb("owner under a flush"));
            channel.push("behind");
            settle(reactor);
            let mut received = [0; 10_013];
            theirs.read_exact(&mut received).unwrap();
            assert!(received.ends_with(b"behind"));
            assert!(reactor.channel(id).is_some(), "the channel goes on");
        }),
        ("owner of a piece", 2, |reactor, id, mut theirs| {
            let mut left = 2;
            let mut channel = reactor.channel(id).unwrap();
            channel.push_with_producer(from_fn(move || {
                if left == 0 {
                    return Ok(Produced::Done);
                }
                left -= 1;
                Ok(Produced::Data(bomb("owner of a piece")))
            }));
            channel.push("behind");
            settle(reactor);
            let mut received = [0; 10_006];
            theirs.read_exact(&mut received).unwrap();
            assert!(received.ends_with(b"behind"));
            assert!(reactor.channel(id).is_some(), "the channel goes on");
        }),
        ("owner under close", 2, |reactor, id, _| {
            let mut channel = reactor.channel(id).unwrap();
            channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
            channel.push(bomb("owner under close"));
            channel.push(bomb("owner under close"));
            channel.close();
        }),
        ("owner under reset", 1, |reactor, id, theirs| {
            let mut channel = reactor.channel(id).unwrap();
            channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
            channel.push(bomb("owner under reset"));
            reset(theirs);
            turn_until(reactor, |reactor| reactor.channel(id).is_none());
        }),
        ("owner of unread under close", 1, |reactor, id, _| {
            let mut channel = reactor.channel(id).unwrap();
            channel.unread(bomb("owner of unread under close"));
            channel.close();
        }),
        (
            "owner of unread under close_when_done",
            1,
            |reactor, id, _| {
                let mut channel = reactor.channel(id).unwrap();
                channel.unread(bomb("owner of unread under close_when_done"));
                channel.close_when_done();
            },
        ),
        ("owner of unread under recv", 1, |reactor, id, _| {
            let mut channel = reactor.channel(id).unwrap();
            channel.unread(bomb("owner of unread under recv"));
            assert_eq!(channel.recv(&mut [0; 5000]).unwrap(), 5000);
        }),
    ];
    for (message, panics, end) in ends {
        let log = Log::start();
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
        end(&mut reactor, id, theirs);
        let lines = log.lines(message);
        assert_eq!(lines.len(), panics, "{message}: {lines:?}");
        let (_, mut other) = settled(&mut reactor, Recorder::named(&trace, "after"));
        other.write_all(b"x").unwrap();
        turn_until(&mut reactor, |_| trace.has("after.read:1"));
    }
}

/// At its end, unlike one that is thrown away.
#[test]
fn a_producer_that_panics_when_dropped_at_its_end_leaves_the_next_one_alone() {
    struct Ending(Bomb, bool);
    impl Producer for Ending {
        fn more(&mut self) -> io::Result<Produced> {
            let _ = &self.0;
            if std::mem::replace(&mut self.1, true) {
                return Ok(Produced::Done);
            }
            Ok(Produced::Data("a".into()))
        }
    }
    for (message, followed) in [("bomb at its end", true), ("last bomb at its end", false)] {
        let log = Log::start();
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
        let mut channel = reactor.channel(id).unwrap();
        channel.push_with_producer(Ending(Bomb(message), false));
        if followed {
            channel.push_with_producer("b");
            channel.push("c");
        }
        channel.close_when_done();
        let expected: &[u8] = if followed { b"abc" } else { b"a" };
        assert_eq!(read_to_end(&mut reactor, &mut theirs), expected);
        assert_eq!(log.lines(message).len(), 1);
        assert!(!trace.has("error"), "{}", trace.joined());
    }
}

/// The same, for what a reactor still holds when it is dropped itself: producers, timers and posted calls.
#[test]
fn what_panics_when_dropped_with_the_reactor_harms_nobody() {
    const MESSAGE: &str = "bomb under the reactor";
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    for _ in 0..2 {
        let mut channel = reactor.channel(id).unwrap();
        channel.push_with_producer(Bomb(MESSAGE));
        let timer = Bomb(MESSAGE);
        reactor.call_later(HOUR, move |_| {
            let _ = &timer;
            Ok(())
        });
        let handle = reactor.handle();
        let posted = Bomb(MESSAGE);
        handle
            .call_soon(move |_| {
                let _ = &posted;
                Ok(())
            })
            .unwrap();
    }
    drop(reactor);
    assert_eq!(log.lines(MESSAGE).len(), 6);
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

// ---- half-closing and lingering

/// Otherwise the loop turns without pause until the linger time is up.
#[test]
fn a_lingering_channel_whose_end_of_file_another_callback_reads_is_closed() {
    let mut reactor = Reactor::builder()
        .propagate_panics(true)
        .linger(HOUR, 1 << 20)
        .build()
        .unwrap();
    let trace = Trace::new();
    let target = Rc::new(Cell::new(None));
    let lingering = target.clone();
    let mut recorder = Recorder::named(&trace, "thief");
    let seen = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if let Some(id) = lingering.take()
            && let Some(mut victim) = channel.registry().channel(id)
        {
            seen.add(format!("{:?} {:?}", victim.state(), victim.recv(&mut [0])));
            victim.touch();
        }
        Ok(())
    }));
    // First in the table and first to have news, so that its callback runs before the other channel is visited.
    let (_, mut thiefs) = settled(&mut reactor, recorder);
    let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
    target.set(Some(id));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    thiefs.write_all(b"x").unwrap();
    drop(theirs);
    turn_until(&mut reactor, |_| trace.has("thief.read:1"));
    // poll(2) and Windows give their events in any order: there the other channel may be visited, and closed, first.
    assert!(
        trace.has("Closing Ok(0)") || cfg!(any(mio_unsupported_force_poll_poll, windows)),
        "{:?}",
        trace.lines()
    );
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
}

/// The system call fails, which is no reset.
#[cfg(unix)]
#[test]
fn shutdown_write_of_what_is_no_stream_changes_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = reactor
        .register(socket, Recorder::named(&trace, "datagrams"))
        .unwrap();
    let (reader, mut into_reader) = io::pipe().unwrap();
    let reader = reactor
        .register(reader, Recorder::named(&trace, "reader"))
        .unwrap();
    let (mut from_writer, writer) = io::pipe().unwrap();
    let writer = reactor
        .register(writer, Recorder::named(&trace, "writer"))
        .unwrap();
    settle(&mut reactor);
    let ids = [datagrams, reader, writer];
    for id in ids {
        reactor.channel(id).unwrap().shutdown_write();
    }
    settle(&mut reactor);

    for id in ids {
        assert_eq!(reactor.channel(id).map(|c| c.state()), Some(State::Open));
    }
    client.send_to(b"x", address).unwrap();
    into_reader.write_all(b"xy").unwrap();
    turn_until(&mut reactor, |_| {
        trace.has("datagrams.read:1") && trace.has("reader.read:2")
    });
    let mut channel = reactor.channel(writer).unwrap();
    channel.push("still writing");
    channel.close_when_done();
    turn_until(&mut reactor, |reactor| reactor.channel(writer).is_none());
    let mut got = String::new();
    from_writer.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still writing");
    for name in ["datagrams", "reader", "writer"] {
        assert!(!trace.has(&format!("{name}.close")), "{:?}", trace.lines());
    }
}

#[cfg(unix)]
#[test]
fn a_close_sends_what_was_pushed_to_a_pipe_before_its_first_event() {
    struct Idle;
    impl Dispatcher for Idle {}

    let (mut theirs, ours) = io::pipe().unwrap();
    let mut reactor = reactor();
    let id = reactor.register(ours, Idle).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("farewell");
    channel.close();
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, "farewell");
}

/// The second would meet the first while that unwinds, and abort the process.
#[test]
fn two_owners_of_queued_bytes_that_panic_when_dropped_are_one_panic_where_panics_propagate() {
    struct Idle;
    impl Dispatcher for Idle {}

    struct Bad;
    impl AsRef<[u8]> for Bad {
        fn as_ref(&self) -> &[u8] {
            &[b'x'; 5000]
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("{}", util::SCRIPTED);
        }
    }
    silence_scripted_panics();
    let (ours, _theirs) = tcp_pair();
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    let id = reactor.register(ours, Idle).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(vec![b'x'; 32 << 20]);
    channel.push(Bytes::from_owner(Bad));
    channel.push(Bytes::from_owner(Bad));
    let close = std::panic::AssertUnwindSafe(|| channel.close());
    std::panic::catch_unwind(close).unwrap_err();
    assert!(reactor.channel(id).is_none());
    reactor.turn(Some(Duration::ZERO)).unwrap();
}

/// A reset of another connection, passed on, ends this one too, but after what was pushed.
#[test]
fn what_was_pushed_before_a_callback_returned_a_reset_is_sent() {
    struct Gateway;
    impl Dispatcher for Gateway {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|_, _| ())?;
            channel.push("502 the backend is gone\r\n");
            Err(io::Error::from(ErrorKind::BrokenPipe).into())
        }
    }
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"GET").unwrap();
    reactor.register(ours, Gateway).unwrap();
    run(&mut reactor);
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, "502 the backend is gone\r\n");
}
