//! Peers on Unix sockets that vanish in every state, streams and datagrams (R4, R6, R7, R8): closed with and without
//! unread data, killed, their socket files gone, their queues full, descriptors passed along. Each gives the callbacks it
//! should, once; nothing spins and no descriptor leaks.

use std::{
    fs::File,
    io::{Read, Write},
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    time::Duration,
};

use asynchat::{Address, Channel, Reactor, Result};
use socket2::SockRef;
use util::{
    Recorder, Trace,
    peer::{narrow_pair, pair, turns},
    process::open_descriptors,
    reactor, settle, turn_until,
};

use crate::alone;

/// How the other end of a stream goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Close,
    ShutdownBoth,
    ShutdownWrite,
    /// The process that holds it is killed.
    Kill,
}

const WAYS: [Way; 4] = [Way::Close, Way::ShutdownBoth, Way::ShutdownWrite, Way::Kill];

impl Way {
    fn go(self, theirs: UnixStream) -> Option<UnixStream> {
        match self {
            Self::Close => drop(theirs),
            Self::ShutdownBoth => theirs.shutdown(Shutdown::Both).unwrap(),
            Self::ShutdownWrite => {
                theirs.shutdown(Shutdown::Write).unwrap();
                return Some(theirs);
            }
            Self::Kill => {
                let mut holder = Command::new("sleep")
                    .arg("1000")
                    .stdin(OwnedFd::from(theirs))
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                holder.kill().unwrap();
                holder.wait().unwrap();
            }
        }
        None
    }
}

/// Nothing happens any more, however often the reactor turns.
#[track_caller]
pub(crate) fn rests(reactor: &mut Reactor) {
    settle(reactor);
    assert_eq!(turns(reactor, 100), 0, "spins");
}

/// What happened, without reads that found nothing: a socket is tried before its first event.
pub(crate) fn told(trace: &Trace) -> String {
    let mut lines = trace.lines();
    lines.retain(|line| line != "read!WouldBlock");
    lines.join(" ")
}

/// The same with runs of one callback as one, and without the numbers of bytes.
fn outline(trace: &Trace) -> String {
    let told = told(trace);
    let words = told.split(' ').map(|word| word.split(':').next());
    let mut words: Vec<_> = words.flatten().collect();
    words.dedup();
    words.join(" ")
}

#[test]
fn a_peer_that_goes_before_it_has_said_a_word_is_an_end_of_file() {
    let _alone = alone();
    for way in WAYS {
        let before = open_descriptors();
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        let kept = way.go(theirs);
        turn_until(&mut reactor, |_| trace.has("close"));
        drop(kept);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        rests(&mut reactor);
        assert_eq!(told(&trace), "connect eof close", "{way:?}");
        drop(reactor);
        assert_eq!(open_descriptors(), before, "{way:?}");
    }
}

#[test]
fn what_a_peer_said_before_it_went_is_read_first() {
    let _alone = alone();
    for way in WAYS {
        for first_turn in [true, false] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (ours, mut theirs) = pair();
            let recorder = Recorder::new(&trace);
            let received = recorder.received.clone();
            reactor.register(ours, recorder).unwrap();
            if !first_turn {
                settle(&mut reactor);
            }
            let said = vec![b'x'; 150_000];
            theirs.write_all(&said).unwrap();
            let _kept = way.go(theirs);
            turn_until(&mut reactor, |_| trace.has("close"));
            settle(&mut reactor);
            assert_eq!(outline(&trace), "connect read eof close", "{way:?}");
            assert!(*received.borrow() == said, "{way:?}");
        }
    }
}

/// On Linux a Unix stream knows resets too: the peer closed and had not read everything.
#[test]
fn a_peer_that_goes_with_something_unread_is_a_reset() {
    let _alone = alone();
    for way in [Way::Close, Way::Kill] {
        for says in [false, true] {
            let before = open_descriptors();
            let mut reactor = reactor();
            let trace = Trace::new();
            let (ours, mut theirs) = pair();
            let mut recorder = Recorder::new(&trace);
            let received = recorder.received.clone();
            let seen = trace.clone();
            recorder.on_close = Some(Box::new(move |channel: &mut Channel<'_>| -> Result {
                assert!(channel.is_reset());
                seen.add("reset");
                Ok(())
            }));
            let id = reactor.register(ours, recorder).unwrap();
            reactor.channel(id).unwrap().push("never read");
            settle(&mut reactor);
            if says {
                theirs.write_all(b"last words").unwrap();
            }
            assert!(way.go(theirs).is_none());
            turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
            rests(&mut reactor);
            let what = format!("{way:?}, says {says}: {}", told(&trace));
            assert_eq!(trace.count("close"), 1, "{what}");
            assert!(told(&trace).ends_with("close reset"), "{what}");
            // The kernel tells of the reset first and once; what was said stands behind it.
            if says {
                assert_eq!(*received.borrow(), b"last words", "{what}");
            }
            drop(reactor);
            assert_eq!(open_descriptors(), before, "{what}");
        }
    }
}

#[test]
fn a_peer_that_goes_while_a_queue_waits_for_it_drops_the_queue() {
    let _alone = alone();
    for way in [Way::Close, Way::Kill, Way::ShutdownBoth] {
        let before = open_descriptors();
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = narrow_pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        reactor.channel(id).unwrap().push(vec![b'x'; 1 << 20]);
        settle(&mut reactor);
        assert!(reactor.channel(id).unwrap().outgoing_len() > 0);
        assert!(way.go(theirs).is_none());
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        rests(&mut reactor);
        let what = format!("{way:?}: {}", told(&trace));
        assert_eq!(trace.count("close"), 1, "{what}");
        assert!(told(&trace).ends_with("close"), "{what}");
        assert!(!told(&trace).contains("drain"), "{what}");
        drop(reactor);
        assert_eq!(open_descriptors(), before, "{what}");
    }
}

/// It ends only its reading: that shows when something is sent.
#[test]
fn a_peer_that_shuts_down_its_reading_is_noticed_by_sending() {
    let _alone = alone();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    theirs.shutdown(Shutdown::Read).unwrap();
    rests(&mut reactor);
    assert_eq!(told(&trace), "connect");
    reactor.channel(id).unwrap().push("anybody?");
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    rests(&mut reactor);
    assert_eq!(trace.count("close"), 1, "{}", told(&trace));
    assert!(told(&trace).ends_with("close"), "{}", told(&trace));
}

#[test]
fn a_client_that_goes_while_it_waits_to_be_accepted_is_a_short_connection() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for way in WAYS {
        let before = open_descriptors();
        let mut reactor = reactor();
        let trace = Trace::new();
        let own = trace.clone();
        let acceptor = util::Acceptor(move |_: &Address| Recorder::new(&own));
        let id = reactor.listen(path.as_path(), acceptor).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"early").unwrap();
        let kept = way.go(client);
        turn_until(&mut reactor, |_| trace.has("close"));
        drop(kept);
        settle(&mut reactor);
        assert_eq!(told(&trace), "connect read:5 eof close", "{way:?}");
        assert!(reactor.channel(id).is_some());
        rests(&mut reactor);
        drop(reactor);
        assert_eq!(open_descriptors(), before, "{way:?}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_listener_whose_file_is_gone_serves_who_is_there_and_nobody_else_comes() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let before = open_descriptors();
    let mut reactor = reactor();
    let trace = Trace::new();
    let own = trace.clone();
    let acceptor = util::Acceptor(move |_: &Address| Recorder::new(&own));
    let id = reactor.listen(path.as_path(), acceptor).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    settle(&mut reactor);
    std::fs::remove_file(&path).unwrap();
    rests(&mut reactor);
    client.write_all(b"still here").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:10"));
    // For those who come now there is no such place, and they learn it once.
    let late = Trace::new();
    let attempt = reactor
        .connect(path.as_path(), Recorder::new(&late))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(attempt).is_none());
    assert_eq!(told(&late), "failed:NotFound");
    // Another one may take the place while the first still listens.
    let second = Trace::new();
    let own = second.clone();
    let acceptor = util::Acceptor(move |_: &Address| Recorder::new(&own));
    reactor.listen(path.as_path(), acceptor).unwrap();
    drop(UnixStream::connect(&path).unwrap());
    turn_until(&mut reactor, |_| second.has("close"));
    assert_eq!(told(&second), "connect eof close");
    drop(client);
    turn_until(&mut reactor, |_| trace.has("close"));
    assert!(reactor.channel(id).is_some());
    rests(&mut reactor);
    drop(reactor);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_connection_that_cannot_be_made_fails_once_whatever_the_reason() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    drop(UnixListener::bind(name("dead")).unwrap());
    let full = UnixListener::bind(name("full")).unwrap();
    SockRef::from(&full).listen(0).unwrap();
    let _waiting = UnixStream::connect(name("full")).unwrap();
    let _datagrams = UnixDatagram::bind(name("datagrams")).unwrap();
    File::create(name("file")).unwrap();
    for (place, outcome) in [
        ("missing", "failed:NotFound"),
        ("dead", "failed:ConnectionRefused"),
        ("file", "failed:ConnectionRefused"),
        // Tried again until the time is up.
        ("full", "failed:TimedOut"),
        // EPROTOTYPE has no name in std.
        ("datagrams", "failed:Uncategorized"),
        ("file/below", "failed:NotADirectory"),
    ] {
        let before = open_descriptors();
        let mut reactor = Reactor::builder()
            .propagate_panics(true)
            .connect_timeout(Duration::from_millis(50))
            .build()
            .unwrap();
        let trace = Trace::new();
        let path = name(place);
        let id = reactor
            .connect(path.as_path(), Recorder::new(&trace))
            .unwrap();
        reactor.channel(id).unwrap().push("dropped with it");
        assert_eq!(told(&trace), "", "{place}");
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        rests(&mut reactor);
        assert_eq!(told(&trace), outcome, "{place}");
        assert!(reactor.is_idle(), "{place}");
        drop(reactor);
        assert_eq!(open_descriptors(), before, "{place}");
    }
}

/// No event says that there is room again, so the reactor asks.
#[test]
fn a_connection_to_a_full_backlog_is_made_once_there_is_room() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    SockRef::from(&listener).listen(0).unwrap();
    let before = open_descriptors();
    let _waiting = UnixStream::connect(&path).unwrap();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect(path.as_path(), Recorder::new(&trace))
        .unwrap();
    reactor.channel(id).unwrap().push("early");
    settle(&mut reactor);
    assert_eq!(trace.joined(), "");
    assert_eq!(
        reactor.channel(id).unwrap().state(),
        asynchat::State::Connecting
    );
    drop(listener.accept().unwrap());
    turn_until(&mut reactor, |_| trace.has("connect"));
    rests(&mut reactor);
    assert_eq!(reactor.stats().timers, 0, "the timeout is gone");
    let mut early = [0; 5];
    let mut accepted = listener.accept().unwrap().0;
    accepted.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
    drop((accepted, reactor, _waiting));
    assert_eq!(open_descriptors(), before);
}

/// What a server shows of its clients' comings and goings is the same for a hundred of them.
#[test]
fn a_hundred_clients_that_vanish_leave_nothing_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let before = open_descriptors();
    let mut reactor = reactor();
    let trace = Trace::new();
    let own = trace.clone();
    let acceptor = util::Acceptor(move |_: &Address| {
        let mut recorder = Recorder::new(&own);
        recorder.on_connect = Some(Box::new(|channel: &mut Channel<'_>| {
            channel.push("hello");
            Ok(())
        }));
        recorder
    });
    reactor.listen(path.as_path(), acceptor).unwrap();
    let mut kept = Vec::new();
    for n in 0..100 {
        let mut client = UnixStream::connect(&path).unwrap();
        if n % 2 == 0 {
            client.write_all(b"half a li").unwrap();
        }
        if n % 3 == 0 {
            settle(&mut reactor);
        }
        kept.extend([Way::Close, Way::ShutdownBoth, Way::ShutdownWrite][n % 3].go(client));
    }
    turn_until(&mut reactor, |_| trace.count("close") == 100);
    drop(kept);
    turn_until(&mut reactor, |reactor| reactor.channels().count() == 1);
    rests(&mut reactor);
    assert_eq!((trace.count("connect"), trace.count("close")), (100, 100));
    drop(reactor);
    assert_eq!(open_descriptors(), before);
}
