//! Datagrams, whose socket outlives every peer, and descriptors that peers pass along.

use std::{
    io::{ErrorKind, IoSlice, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use asynchat::Reactor;
use socket2::{MsgHdr, SockRef};
use util::{Recorder, Trace, peer::pair, process::open_descriptors, reactor, settle, turn_until};

use crate::{
    alone,
    unix_peers::{rests, told},
};

/// Sends `text` with a descriptor alongside, as `SCM_RIGHTS`.
fn pass(socket: &SockRef<'_>, text: &[u8], passed: &OwnedFd) {
    // struct cmsghdr: length, level SOL_SOCKET, type SCM_RIGHTS; then the descriptor, padded to a word.
    let mut control = Vec::new();
    control.extend((size_of::<usize>() + 12).to_ne_bytes());
    control.extend(1_i32.to_ne_bytes());
    control.extend(1_i32.to_ne_bytes());
    control.extend(passed.as_raw_fd().to_ne_bytes());
    control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
    let text = [IoSlice::new(text)];
    let message = MsgHdr::new().with_buffers(&text).with_control(&control);
    assert_eq!(socket.sendmsg(&message, 0).unwrap(), text[0].len());
}

/// The read end of a pipe whose write end tells when it is closed everywhere.
fn canary() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

#[test]
fn descriptors_passed_along_are_closed_and_the_bytes_arrive() {
    let _alone = alone();
    // Read, closed unread, and still unread when the reactor goes.
    for reads in [true, false] {
        let before = open_descriptors();
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = pair();
        let mut recorder = Recorder::new(&trace);
        recorder.readable = reads;
        let received = recorder.received.clone();
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        let (mut tells, passed) = canary();
        let inside = open_descriptors();
        for _ in 0..100 {
            pass(&SockRef::from(&theirs), b"word ", &passed);
        }
        drop(passed);
        if reads {
            turn_until(&mut reactor, |_| received.borrow().len() == 500);
            assert_eq!(*received.borrow(), b"word ".repeat(100));
        }
        rests(&mut reactor);
        assert_eq!(open_descriptors(), inside - 1, "reads {reads}");
        reactor.channel(id).unwrap().close();
        settle(&mut reactor);
        // Nobody holds the pipe any more.
        let mut nothing = Vec::new();
        tells.read_to_end(&mut nothing).unwrap();
        drop((reactor, theirs, tells));
        assert_eq!(open_descriptors(), before, "reads {reads}");
    }
}

#[test]
fn descriptors_passed_with_datagrams_are_closed_too() {
    let _alone = alone();
    let before = open_descriptors();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    let (mut tells, passed) = canary();
    for _ in 0..5 {
        pass(&SockRef::from(&theirs), b"word", &passed);
    }
    drop(passed);
    turn_until(&mut reactor, |_| trace.count("read:4") == 5);
    let mut nothing = Vec::new();
    tells.read_to_end(&mut nothing).unwrap();
    rests(&mut reactor);
    drop((reactor, theirs, tells));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_datagram_socket_outlives_every_peer() {
    let _alone = alone();
    let before = open_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    let mut reactor = reactor();
    let trace = Trace::new();
    let ours = UnixDatagram::bind(name("ours")).unwrap();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let dead = UnixDatagram::bind(name("dead")).unwrap();
    dead.send_to(b"last words", name("ours")).unwrap();
    drop(dead);
    let unlinked = UnixDatagram::bind(name("unlinked")).unwrap();
    std::fs::remove_file(name("unlinked")).unwrap();
    unlinked.send_to(b"who am I", name("ours")).unwrap();
    // Without a name nobody can answer it.
    let nameless = UnixDatagram::unbound().unwrap();
    nameless.send_to(b"nobody", name("ours")).unwrap();
    nameless.send_to(b"", name("ours")).unwrap();
    turn_until(&mut reactor, |_| trace.has("eof"));
    let sent = |reactor: &mut Reactor, to: &str| {
        let mut channel = reactor.channel(id).unwrap();
        let sent = channel.send_to(b"answer", name(to).as_path());
        sent.map_err(|error| error.kind())
    };
    assert_eq!(
        sent(&mut reactor, "dead"),
        Err(ErrorKind::ConnectionRefused)
    );
    assert_eq!(sent(&mut reactor, "unlinked"), Err(ErrorKind::NotFound));
    let honest = UnixDatagram::bind(name("honest")).unwrap();
    assert_eq!(sent(&mut reactor, "honest"), Ok(6));
    let mut buffer = [0; 10];
    assert_eq!(honest.recv(&mut buffer).unwrap(), 6);
    rests(&mut reactor);
    assert_eq!(told(&trace), "read:10 read:8 read:6 eof");
    assert!(reactor.channel(id).is_some());
    drop((reactor, honest, unlinked, nameless));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_connected_datagram_socket_learns_of_its_peers_end_without_spinning() {
    let _alone = alone();
    for unread in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        settle(&mut reactor);
        if unread {
            reactor.channel(id).unwrap().send(b"never read").unwrap();
        }
        drop(theirs);
        rests(&mut reactor);
        assert!(reactor.channel(id).is_some(), "unread {unread}");
        assert_eq!(trace.count("close"), 0, "{}", told(&trace));
        let sent = reactor.channel(id).unwrap().send(b"anybody?");
        let error = sent.unwrap_err().kind();
        let gone = [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::NotConnected,
        ];
        assert!(gone.contains(&error), "unread {unread}: {error:?}");
        rests(&mut reactor);
        assert_eq!(trace.count("close"), 0, "{}", told(&trace));
    }
}

/// A full queue is the peer's, not this socket's: the others' answers go out.
#[test]
fn a_datagram_peer_that_never_reads_does_not_keep_the_others_from_their_answers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    let mut reactor = reactor();
    let trace = Trace::new();
    let ours = UnixDatagram::bind(name("ours")).unwrap();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    let _deaf = UnixDatagram::bind(name("deaf")).unwrap();
    let accomplice = UnixDatagram::unbound().unwrap();
    accomplice.set_nonblocking(true).unwrap();
    while accomplice.send_to(b"filling", name("deaf")).is_ok() {}
    let honest = UnixDatagram::bind(name("honest")).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    let full = channel.send_to(b"answer", name("deaf").as_path());
    assert_eq!(full.unwrap_err().kind(), ErrorKind::WouldBlock);
    let sent = channel.send_to(b"answer", name("honest").as_path());
    assert_eq!(sent.map_err(|error| error.kind()), Ok(6));
    let mut buffer = [0; 10];
    assert_eq!(honest.recv(&mut buffer).unwrap(), 6);
    rests(&mut reactor);
}

#[test]
fn a_datagram_peer_that_was_full_and_reads_gets_its_answer() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    let mut reactor = reactor();
    let ours = UnixDatagram::bind(name("ours")).unwrap();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let slow = UnixDatagram::bind(name("slow")).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"filling", name("slow")).is_ok() {}
    let answer = |reactor: &mut Reactor| {
        let mut channel = reactor.channel(id).unwrap();
        channel
            .send_to(b"answer", name("slow").as_path())
            .map_err(|error| error.kind())
    };
    assert_eq!(answer(&mut reactor), Err(ErrorKind::WouldBlock));
    slow.set_nonblocking(true).unwrap();
    while slow.recv(&mut [0; 10]).is_ok() {}
    settle(&mut reactor);
    assert_eq!(answer(&mut reactor), Ok(6));
}
