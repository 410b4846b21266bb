//! The end of a channel: `close`, `close_when_done` and its linger, half-close (R10), when objects are dropped, and
//! handing sockets and objects on: `detach`, `replace`, `unread`, `with` (R11).

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    thread,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Detached, Dispatcher, Produced, Reactor, Result, State,
    Stream, Unsent, VisitError, from_fn,
};
use util::{
    DEADLINE, Log, Recorder, Trace,
    peer::{narrow_tcp_pair, narrow_unix_pair, read_to_end, read_while, refusing, reset, tcp_pair},
    reactor, run, serve, settle, turn_until,
};

/// Counts how often one of its kind was dropped, and panics in doing so if told to.
struct Dropped {
    count: Rc<Cell<usize>>,
    panics: bool,
}

impl Dropped {
    fn new() -> (Self, Rc<Cell<usize>>) {
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
struct Owner(Dropped);

impl Dispatcher for Owner {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let _ = &self.0;
        channel.recv_with(|_, _| ())?;
        Ok(())
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// A settled channel and its peer.
fn settled(reactor: &mut Reactor, d: impl Dispatcher) -> (ChannelId, TcpStream) {
    let (ours, theirs) = tcp_pair();
    let id = reactor.register(ours, d).unwrap();
    settle(reactor);
    (id, theirs)
}

/// Runs `f` once with the channel, from inside a callback of it.
fn from_inside(
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

#[test]
fn close_is_immediate_and_idempotent() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let trace = Trace::new();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("never sent: close does not wait");
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
        channel.as_fd().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotConnected; 7]);
    channel.push("dropped");
    channel.push_with_producer(from_fn(|| panic!("asked after close")));
    channel.write_all(b"dropped").unwrap();
    channel.set_idle_timeout(Some(Duration::from_secs(1)));
    channel.shutdown_write();
    channel.touch();
    channel.unread("dropped");
    assert!(channel.detach().is_none());
    assert!(channel.describe().contains("closed"));

    assert!(reactor.channel(id).is_none());
    assert_eq!(reactor.channels().count(), 0);
    assert_eq!(reactor.stats().timers, 0);
    run(&mut reactor);
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"");
    assert!(trace.lines().is_empty(), "{:?}", trace.lines());
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
                    let (ours, theirs) = UnixStream::pair()?;
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
        let closed = [0, 2, 5].contains(&n);
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
fn an_object_is_dropped_as_soon_as_no_callback_can_follow() {
    type End = fn(&mut Reactor, ChannelId, TcpStream) -> Option<TcpStream>;
    let ends: [(&str, End); 8] = [
        ("close", |reactor, id, peer| {
            reactor.channel(id).unwrap().close();
            Some(peer)
        }),
        ("close_all", |reactor, _, peer| {
            reactor.close_all();
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
            Some(peer)
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
    assert_eq!(of_listener.get(), 1);

    let (object, of_connect) = Dropped::new();
    let (_refusing, address) = refusing();
    reactor.connect(address, Owner(object)).unwrap();
    run(&mut reactor);
    assert_eq!(of_connect.get(), 1);

    let (object, of_refused) = Dropped::new();
    let file = tempfile::tempfile().unwrap();
    let error = reactor.register(file, Owner(object)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(of_refused.get(), 1);

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
        let (id, _peer) = settled(&mut reactor, Owner(object));
        let before = log.lines("dropped in anger").len();
        end(&mut reactor, id);
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
            let (ours, mut theirs) = narrow_unix_pair();
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
        Err(VisitError::Closed)
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
fn close_when_done_before_the_connection_is_made_sends_first() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("fire and forget");
    channel.close_when_done();
    let mut theirs = listener.accept().unwrap().0;
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"fire and forget");
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
}

#[test]
fn close_when_done_of_a_connect_that_fails_still_reports_it() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_refusing, address) = refusing();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().push("lost");
    reactor.channel(id).unwrap().close_when_done();
    run(&mut reactor);
    assert_eq!(trace.lines(), ["failed:ConnectionRefused"]);
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

#[test]
fn shutdown_write_half_closes_after_the_queue_and_reading_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let request = pattern(200_000);
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push(request.clone());
    channel.shutdown_write();
    channel.push("dropped");
    assert_eq!(channel.state(), State::Open);
    assert!(read_to_end(&mut reactor, &mut theirs) == request);
    theirs.set_nonblocking(false).unwrap();
    theirs.write_all(b"the reply").unwrap();
    turn_until(&mut reactor, |_| received.borrow().len() == 9);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Open);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(*received.borrow(), b"the reply");
    assert_eq!(trace.count("close"), 1);
}

// ---- detach

#[test]
fn detach_gives_back_what_was_not_sent_and_what_was_not_used() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::named(&trace, "old"))
        .unwrap();
    settle(&mut reactor);
    trace.clear();
    let big = pattern(1 << 20);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("small ");
    channel.push(big.clone());
    channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
    channel.push(" last");
    settle_once(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.unread("seen");
    theirs.write_all(b" and new").unwrap();
    let Detached {
        socket,
        unsent,
        unread,
        ..
    } = channel.detach().unwrap();
    assert!(reactor.channel(id).is_none() && reactor.is_idle());
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap().callbacks, 0);
    assert_eq!(unread, "seen");

    // What went out and what came back make up the whole, in order.
    let mut bytes = Vec::new();
    let mut producers = Vec::new();
    for part in unsent {
        match part {
            Unsent::Bytes(part) => bytes.extend_from_slice(&part),
            Unsent::Producer(producer) => producers.push((bytes.len(), producer)),
            other => panic!("not pushed: {other:?}"),
        }
    }
    assert_eq!(producers.len(), 1);
    assert_eq!(bytes.len() - producers[0].0, " last".len());
    let mut elsewhere = util::reactor();
    let recorder = Recorder::named(&trace, "new");
    let received = recorder.received.clone();
    let id = elsewhere.register(socket, recorder).unwrap();
    let rest = bytes.len();
    let mut channel = elsewhere.channel(id).unwrap();
    channel.push(bytes);
    channel.unread(unread);
    let whole = [b"small ", &*big, b" last"].concat();
    assert!(rest < whole.len() && rest > 0, "{rest} left");
    let got = read_while(&mut elsewhere, &mut theirs, |got| got.len() >= whole.len());
    assert!(got == whole, "{} bytes", got.len());
    turn_until(&mut elsewhere, |_| received.borrow().len() == 12);
    assert_eq!(*received.borrow(), b"seen and new");
    assert!(
        !trace.lines().iter().any(|line| line.starts_with("old.")),
        "{:?}",
        trace.lines()
    );
}

/// One turn without waiting.
fn settle_once(reactor: &mut Reactor) {
    reactor.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_detached_socket_works_in_another_reactor_with_what_had_already_arrived() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let taken = Rc::new(RefCell::new(None));
    let keep = taken.clone();
    let (id, mut theirs) = from_inside(&mut reactor, &trace, move |channel| {
        *keep.borrow_mut() = channel.detach();
        assert_eq!(channel.state(), State::Closed);
        assert!(channel.detach().is_none());
        channel.push("dropped");
    });
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    theirs.write_all(b"meanwhile").unwrap();
    run(&mut reactor);
    let detached = taken.borrow_mut().take().unwrap();
    assert!(detached.unsent.is_empty() && detached.unread.is_empty());
    assert_eq!(
        detached.socket.local_addr().unwrap(),
        Address::from(theirs.peer_addr().unwrap())
    );

    let mut elsewhere = util::reactor();
    let recorder = Recorder::named(&trace, "new");
    let received = recorder.received.clone();
    let id = elsewhere.register(detached.socket, recorder).unwrap();
    turn_until(&mut elsewhere, |_| *received.borrow() == b"meanwhile");
    // And it is watched: later bytes are noticed too, as is the end.
    settle(&mut elsewhere);
    theirs.write_all(b" and later").unwrap();
    turn_until(&mut elsewhere, |_| received.borrow().len() == 19);
    elsewhere.channel(id).unwrap().push("both ways");
    elsewhere.channel(id).unwrap().close_when_done();
    assert_eq!(read_to_end(&mut elsewhere, &mut theirs), b"both ways");
    assert_eq!(
        trace.lines()[..3],
        ["old.connect", "old.read:5", "new.connect"]
    );
}

#[test]
fn an_accepted_stream_can_be_detached_by_another_channels_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let last = Rc::new(Cell::new(None));
    let accepted = last.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "victim");
        let accepted = accepted.clone();
        recorder.on_connect = Some(Box::new(move |channel| {
            accepted.set(Some(channel.id()));
            Ok(())
        }));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| last.get().is_some());
    settle(&mut reactor);
    trace.clear();
    let (id, victim) = (Rc::new(RefCell::new(None)), last.get().unwrap());
    let keep = id.clone();
    let (_, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let registry = channel.registry();
        let detached = registry.channel(victim).unwrap().detach().unwrap();
        // Back in the same reactor, under a new id.
        let again = registry
            .register(detached.socket, Recorder::new(&Trace::new()))
            .unwrap();
        *keep.borrow_mut() = Some(again);
    });
    client.write_all(b"for whoever has it now").unwrap();
    turn_until(&mut reactor, |_| id.borrow().is_some());
    let again = id.borrow().unwrap();
    assert_ne!(again, victim);
    turn_until(&mut reactor, |reactor| {
        reactor
            .channels()
            .any(|info| info.id == again && info.bytes_in == 22)
    });
    assert!(reactor.channel(victim).is_none());
    assert!(
        !trace.lines().iter().any(|line| line.starts_with("victim.")),
        "{:?}",
        trace.lines()
    );
}

#[test]
fn a_detached_listener_keeps_its_backlog() {
    let mut reactor = reactor();
    let (listener, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let detached = reactor.channel(listener).unwrap().detach().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap().callbacks, 0);
    let trace = Trace::new();
    let of_server = trace.clone();
    struct Accepts(Trace);
    impl Dispatcher for Accepts {
        fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
            self.0.add("accepted");
            Ok(())
        }
    }
    reactor
        .register(detached.socket, Accepts(of_server))
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("accepted"));
}

// ---- replace

#[test]
fn replace_takes_effect_after_the_running_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (object, dropped) = Dropped::new();
    let of_new = trace.clone();
    let count = dropped.clone();
    let (_, mut theirs) = from_inside(&mut reactor, &trace, move |channel| {
        let _moved_in = &object;
        channel.replace(Recorder::named(&of_new, "new"));
        assert_eq!(count.get(), 0, "the running object is alive");
        of_new.add("replaced");
    });
    turn_until(&mut reactor, |_| trace.has("replaced"));
    settle(&mut reactor);
    assert_eq!(dropped.get(), 1);
    theirs.write_all(b"more").unwrap();
    drop(theirs);
    run(&mut reactor);
    let lines: Vec<_> = trace
        .lines()
        .into_iter()
        .filter(|line| line != "new.read!WouldBlock")
        .collect();
    assert_eq!(
        lines,
        [
            "old.connect",
            "old.read:5",
            "replaced",
            "new.read:4",
            "new.eof",
            "new.close"
        ]
    );
}

#[test]
fn what_is_left_of_the_visit_goes_to_the_new_object() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"hello").unwrap();
    let mut first = Recorder::named(&trace, "first");
    let of_new = trace.clone();
    first.on_connect = Some(Box::new(move |channel| {
        channel.replace(Recorder::named(&of_new, "overridden"));
        channel.replace(Recorder::named(&of_new, "second"));
        Ok(())
    }));
    reactor.register(ours, first).unwrap();
    settle_once(&mut reactor);
    assert_eq!(trace.lines(), ["first.connect", "second.read:5"]);
}

#[test]
fn an_error_of_the_old_object_goes_to_the_new_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut first = Recorder::named(&trace, "first");
    let of_new = trace.clone();
    first.on_connect = Some(Box::new(move |channel| {
        channel.replace(Recorder::named(&of_new, "second"));
        Err("after replace".into())
    }));
    reactor.register(ours, first).unwrap();
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["first.connect", "second.error:after replace"]
    );
}

#[test]
fn replace_from_outside_and_from_another_channel_takes_effect_at_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (object, first) = Dropped::new();
    let (id, mut theirs) = settled(&mut reactor, Owner(object));
    let (object, second) = Dropped::new();
    reactor.channel(id).unwrap().replace(Owner(object));
    assert_eq!((first.get(), second.get()), (1, 0));
    let of_new = trace.clone();
    let (_, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let mut other = channel.registry().channel(id).unwrap();
        other.replace(Recorder::named(&of_new, "third"));
        assert_eq!(second.get(), 1);
    });
    turn_until(&mut reactor, |_| trace.has("old.read:5"));
    assert_eq!(
        reactor.with(id, |_: &mut Owner, _| ()),
        Err(VisitError::WrongType)
    );
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("third.read:5"));
    let info = reactor.channels().find(|info| info.id == id).unwrap();
    assert!(info.type_name.ends_with("Recorder"), "{info:?}");
}

#[test]
fn replace_gives_a_new_object_its_own_wishes() {
    struct Deaf;
    impl Dispatcher for Deaf {}
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Deaf);
    theirs.write_all(b"unread by default").unwrap();
    settle(&mut reactor);
    // No event is to come: the new object must be asked.
    reactor.channel(id).unwrap().replace(Recorder::new(&trace));
    turn_until(&mut reactor, |_| trace.has("read:17"));
}

#[test]
fn a_protocol_switch_mid_stream_loses_no_bytes() {
    /// Reads a line and hands over to the `Recorder` with whatever came behind it.
    struct Line(Option<Recorder>, Vec<u8>);
    impl Dispatcher for Line {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let line = &mut self.1;
            channel.recv_with(|_, data| line.extend_from_slice(data))?;
            if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                channel.unread(line.split_off(end + 1));
                channel.push("220 go ahead\n");
                channel.replace(self.0.take().ok_or("switched already")?);
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let (_, mut theirs) = settled(&mut reactor, Line(Some(recorder), Vec::new()));
    theirs.write_all(b"STARTTLS\nhello").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"220 go ahead\n");
    assert_eq!(*received.borrow(), b"hello");
    assert_eq!(trace.lines()[0], "read:5");
    assert_eq!(trace.lines().last().unwrap(), "close");
}

#[test]
fn a_listener_can_be_given_another_object() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let of_new = trace.clone();
    let acceptor = util::Acceptor(move |_: &Address| Recorder::named(&of_new, "new"));
    reactor.channel(listener).unwrap().replace(acceptor);
    let _client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.has("new.connect"));
}

// ---- unread

#[test]
fn what_was_unread_is_read_again_first_and_in_order() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let (id, mut theirs) = settled(&mut reactor, recorder);
    trace.clear();
    theirs.write_all(b"!").unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.unread("world");
    channel.unread("");
    channel.unread("hello ");
    turn_until(&mut reactor, |_| received.borrow().len() == 12);
    assert_eq!(*received.borrow(), b"hello world!");
    assert_eq!(trace.lines()[0], "read:11");

    // Without any event from the socket, and in pieces as small as the reader asks for.
    let (mut reactor, trace) = (util::reactor(), Trace::new());
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 2;
    let received = recorder.received.clone();
    let (id, theirs) = settled(&mut reactor, recorder);
    reactor.channel(id).unwrap().unread("again");
    turn_until(&mut reactor, |_| received.borrow().len() == 5);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(*received.borrow(), b"again");
}

#[test]
fn handle_close_waits_for_what_was_unread() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 4;
    let note = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if note.lines().last().unwrap() == "eof" && note.count("eof") == 1 {
            channel.unread("left over");
        }
        Ok(())
    }));
    drop(theirs);
    reactor.register(ours, recorder).unwrap();
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["connect", "eof", "read:4", "read:4", "read:1", "close"]
    );
}

// ---- with

#[test]
fn with_lends_the_object_and_what_it_does_takes_effect() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
    let answer = reactor.with(id, |recorder: &mut Recorder, channel| {
        recorder.readable = true;
        (recorder.name, channel.id())
    });
    assert_eq!(answer, Ok(("", id)));
    // It is asked again although no event comes.
    turn_until(&mut reactor, |_| trace.has("read:5"));
    let pushed = reactor.with(id, |_: &mut Recorder, channel| channel.push("pushed"));
    assert_eq!(pushed, Ok(()));
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() == 6);
    assert_eq!(got, b"pushed");
}

#[test]
fn with_names_what_is_in_the_way() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (owner, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    assert_eq!(
        reactor.with(owner, |_: &mut Recorder, _| ()),
        Err(VisitError::WrongType)
    );
    let (dead, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    reactor.channel(dead).unwrap().close();
    assert_eq!(
        reactor.with(dead, |_: &mut Owner, _| ()),
        Err(VisitError::Closed)
    );
    // The slot is used again, the id is not.
    let (_, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    assert_eq!(
        reactor.with(dead, |_: &mut Owner, _| ()),
        Err(VisitError::Closed)
    );

    let note = trace.clone();
    let (id, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let me = channel.id();
        let registry = channel.registry();
        let busy = registry.with(me, |_: &mut Recorder, _| ());
        assert_eq!(busy, Err(VisitError::Busy));
        assert_eq!(
            registry.with(me, |_: &mut Owner, _| ()),
            Err(VisitError::Busy)
        );
        // Another's object may be borrowed, and from there neither of the two.
        let nested = registry.with(owner, |_: &mut Owner, other| {
            let registry = other.registry();
            let self_again = registry.with(owner, |_: &mut Owner, _| ());
            (self_again, registry.with(me, |_: &mut Recorder, _| ()))
        });
        assert_eq!(nested, Ok((Err(VisitError::Busy), Err(VisitError::Busy))));
        note.add("asked");
    });
    turn_until(&mut reactor, |_| trace.has("asked"));
    assert_eq!(reactor.with(id, |_: &mut Recorder, _| ()), Ok(()));
    assert_eq!(reactor.with(owner, |_: &mut Owner, _| ()), Ok(()));
}

#[test]
fn with_may_close_detach_or_replace_what_it_was_lent() {
    let mut reactor = reactor();
    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    let count = dropped.clone();
    let closed = reactor.with(id, |owner: &mut Owner, channel| {
        channel.close();
        assert_eq!(count.get(), 0, "{}", owner.0.panics);
        channel.registry().with(id, |_: &mut Owner, _| ())
    });
    assert_eq!(closed, Ok(Err(VisitError::Closed)));
    assert_eq!(dropped.get(), 1);

    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    let detached = reactor.with(id, |_: &mut Owner, channel| channel.detach());
    assert!(detached.unwrap().is_some());
    assert_eq!(dropped.get(), 1);

    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    reactor
        .with(id, |_: &mut Owner, channel| {
            channel.replace(Recorder::new(&Trace::new()));
        })
        .unwrap();
    assert_eq!(dropped.get(), 1);
    assert_eq!(reactor.with(id, |_: &mut Recorder, _| ()), Ok(()));
}

#[test]
fn a_panic_inside_with_is_the_callers_and_the_object_stays() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        reactor.with(id, |_: &mut Recorder, _| panic!("mine"))
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"mine"));
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
}
