//! Traps of others: what mio, epoll, the kernel or CPython's asyncore do that a reactor must not pass on. Above each
//! test stands the trap. Those of `EMFILE` are in `descriptors/shortage.rs`, those of connecting in `connect.rs`.

#[cfg(unix)]
use std::os::{
    fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    unix::net::UnixStream,
};
use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    rc::Rc,
    time::Duration,
};

use asynchat::{Address, Channel, ChannelId, Dispatcher, Reactor, Result, Socket, State, Stream};
use socket2::SockRef;
use util::{
    Recorder, Trace, address_of,
    peer::{pair, read_to_end, refusing, reset, tcp_pair, turns},
    reactor, settle, turn_until,
};

#[cfg(target_os = "linux")]
use socket2::{Domain, Type};
#[cfg(target_os = "linux")]
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// A recorder that reads `size` bytes at a time (0: the reactor's buffer), and what it has received.
fn reader(trace: &Trace, size: usize) -> (Recorder, Rc<RefCell<Vec<u8>>>) {
    let mut recorder = Recorder::new(trace);
    recorder.read_size = size;
    let received = recorder.received.clone();
    (recorder, received)
}

/// Checks that `trace` ends in exactly one `handle_close`.
#[track_caller]
pub(super) fn closed_once(trace: &Trace) {
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
    assert_eq!(trace.lines().last().unwrap(), "close");
}

/// epoll reports a writable socket again whenever it is registered again.
#[test]
fn idle_and_writable_channels_bring_no_events() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let kept: Vec<_> = (0..20)
        .map(|_| {
            let (ours, mut theirs) = tcp_pair();
            reactor.register(ours, Recorder::new(&trace)).unwrap();
            theirs.write_all(b"x").unwrap();
            theirs
        })
        .collect();
    turn_until(&mut reactor, |_| trace.count("read:1") == 20);
    settle(&mut reactor);
    let before = reactor.stats().events;
    assert_eq!(turns(&mut reactor, 50), 0);
    assert_eq!(reactor.stats().events, before);
    drop(kept);
}

/// epoll reports data and the end of file as one event: a short read must not hide the end.
#[test]
fn data_and_end_of_file_in_one_event_are_both_delivered() {
    for size in [0, 1, 4, 5, 6] {
        for first in [true, false] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (ours, mut theirs) = tcp_pair();
            let (recorder, received) = reader(&trace, size);
            reactor.register(ours, recorder).unwrap();
            if first {
                // Otherwise the very first visit finds both.
                settle(&mut reactor);
            }
            theirs.write_all(b"hello").unwrap();
            drop(theirs);
            turn_until(&mut reactor, |reactor| reactor.is_idle());
            assert_eq!(*received.borrow(), b"hello", "read size {size}");
            closed_once(&trace);
        }
    }
}

/// epoll reports an end of file that follows a short read as a new event.
#[test]
fn an_end_of_file_after_a_short_read_is_a_new_event() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let (recorder, _) = reader(&trace, 0);
    reactor.register(ours, recorder).unwrap();
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    settle(&mut reactor);
    drop(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    closed_once(&trace);
}

/// asyncore under `poll` lost 15,904 of these 20,000 bytes on a Unix socket and on a pipe.
#[cfg(unix)]
#[test]
fn a_hang_up_with_unread_data_loses_nothing() {
    let sent: Vec<u8> = (0..20_000_u32).map(|n| (n / 3) as u8).collect();
    let check = |socket: Socket, write: &mut dyn FnMut(&[u8]), settled: bool| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (recorder, received) = reader(&trace, 4096);
        reactor.register(socket, recorder).unwrap();
        if settled {
            settle(&mut reactor);
        }
        write(&sent);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert!(
            *received.borrow() == sent,
            "{} bytes",
            received.borrow().len()
        );
        assert_eq!(trace.count("read:4096"), 4);
        assert_eq!(trace.count("read:3616"), 1);
        closed_once(&trace);
    };
    for settled in [true, false] {
        let (ours, theirs) = pair();
        let mut theirs = Some(theirs);
        check(
            ours.into(),
            &mut |data| theirs.take().unwrap().write_all(data).unwrap(),
            settled,
        );
        let (ours, theirs) = std::io::pipe().unwrap();
        let mut theirs = Some(theirs);
        check(
            ours.into(),
            &mut |data| theirs.take().unwrap().write_all(data).unwrap(),
            settled,
        );
        let (ours, theirs) = tcp_pair();
        let mut theirs = Some(theirs);
        check(
            ours.into(),
            &mut |data| theirs.take().unwrap().write_all(data).unwrap(),
            settled,
        );
    }
}

/// mio's readiness may be spurious; asyncore's `recv` raised then, or answered `b''` as at the end of file.
#[test]
fn a_read_that_would_block_is_neither_an_end_of_file_nor_an_error() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    let seen = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        let again = channel.recv(&mut [0; 16]);
        if let Err(error) = &again {
            seen.add(format!("again!{:?}", error.kind()));
        }
        again?;
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    trace.clear();
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    settle(&mut reactor);
    assert!(trace.has("again!WouldBlock"));
    assert!(
        !trace.has("close") && !trace.joined().contains("error"),
        "{:?}",
        trace.lines()
    );
    let outside = reactor.channel(id).unwrap().recv(&mut [0; 16]).unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::WouldBlock);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Open);
}

/// epoll reports a refused datagram as an error without readiness; `recv` has the error, which is that datagram's only.
// mio's poll(2) backend forgets a descriptor after an error event.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn a_refused_datagram_is_an_error_of_recv_and_the_socket_lives_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (recorder, received) = reader(&trace, 0);
    let id = reactor
        .register(Socket::connected_udp(address).unwrap(), recorder)
        .unwrap();
    settle(&mut reactor);
    reactor
        .channel(id)
        .unwrap()
        .send(b"anybody there?")
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("read!ConnectionRefused"));
    settle(&mut reactor);
    assert_eq!(trace.count("read!ConnectionRefused"), 1);
    assert_eq!(turns(&mut reactor, 20), 0);

    let Ok(open) = UdpSocket::bind(address) else {
        eprintln!("not checked to the end: somebody took the port");
        return;
    };
    let from = address_of(&mut reactor, id);
    open.send_to(
        b"now there is",
        (std::net::Ipv4Addr::LOCALHOST, from.port()),
    )
    .unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"now there is");
    assert!(
        !trace.has("close") && !trace.joined().contains("error"),
        "{:?}",
        trace.lines()
    );
}

/// The kernel tells of a failed connect once; `read` then gives `Ok(0)`.
#[test]
fn a_refused_connection_cannot_be_read_as_an_end_of_file() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, address) = refusing();
    let mut recorder = Recorder::new(&trace);
    let seen = trace.clone();
    recorder.on_expt = Some(Box::new(move |channel| {
        let read = channel.recv(&mut [0]);
        seen.add(format!("read:{:?}", read.map_err(|error| error.kind())));
        Ok(())
    }));
    reactor.connect(address, recorder).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(
        trace.joined(),
        "failed:ConnectionRefused read:Err(WouldBlock)"
    );
}

/// Shared by two ready channels: who is served first closes the other and puts something new in its place.
#[cfg(unix)]
#[derive(Default)]
struct Swap {
    ids: Vec<ChannelId>,
    fds: Vec<RawFd>,
    fresh: Option<(ChannelId, RawFd)>,
    victim: Option<usize>,
    writer: Option<Box<dyn Write>>,
}

#[cfg(unix)]
struct Swaps {
    me: usize,
    stream: bool,
    swap: Rc<RefCell<Swap>>,
    trace: Trace,
}

#[cfg(unix)]
impl Dispatcher for Swaps {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.trace.add(format!("{}.read", self.me));
        channel.recv(&mut [0; 16])?;
        let mut swap = self.swap.borrow_mut();
        if swap.ids.len() < 2 || swap.fresh.is_some() {
            return Ok(());
        }
        let victim = 1 - self.me;
        let registry = channel.registry();
        registry
            .channel(swap.ids[victim])
            .expect("still open")
            .close();
        let fresh = Recorder::named(&self.trace, "fresh");
        swap.victim = Some(victim);
        // A stream is due for its handle_connect, a pipe for nothing: neither in this turn.
        if self.stream {
            let (ours, theirs) = pair();
            let fd = ours.as_raw_fd();
            swap.fresh = Some((registry.register(ours, fresh)?, fd));
            swap.writer = Some(Box::new(theirs));
        } else {
            let (reader, writer) = std::io::pipe()?;
            let fd = reader.as_raw_fd();
            swap.fresh = Some((registry.register(reader, fresh)?, fd));
            swap.writer = Some(Box::new(writer));
        }
        Ok(())
    }

    fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
        self.trace.add(format!("{}.close", self.me));
        Ok(())
    }
}

fn index(id: ChannelId) -> String {
    id.to_string().split('.').next().unwrap().to_string()
}

/// epoll's batch may hold events of a channel whose slot and descriptor already belong to another one. Windows does not
/// promise both events in one batch.
#[cfg(unix)]
#[test]
fn a_stale_event_never_reaches_what_reuses_slot_and_descriptor() {
    let mut reused = 0;
    for round in 0..20 {
        let stream = round % 2 == 0;
        let mut reactor = reactor();
        let trace = Trace::new();
        let swap = Rc::new(RefCell::new(Swap::default()));
        let mut peers = Vec::new();
        for me in 0..2 {
            let (ours, theirs) = pair();
            let fd = ours.as_raw_fd();
            let object = Swaps {
                me,
                stream,
                swap: swap.clone(),
                trace: trace.clone(),
            };
            let id = reactor.register(ours, object).unwrap();
            peers.push(theirs);
            swap.borrow_mut().fds.push(fd);
            swap.borrow_mut().ids.push(id);
        }
        let ids = std::mem::take(&mut swap.borrow_mut().ids);
        settle(&mut reactor);
        trace.clear();
        swap.borrow_mut().ids = ids;
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(turn.events, 2, "both events come in one batch");
        assert_eq!(trace.lines().len(), 1, "{:?}", trace.lines());
        assert!(!trace.joined().contains("fresh"), "{:?}", trace.lines());
        settle(&mut reactor);

        let (victim, (fresh, fd)) = {
            let swap = swap.borrow();
            (swap.victim.unwrap(), swap.fresh.unwrap())
        };
        assert_eq!(
            index(fresh),
            index(swap.borrow().ids[victim]),
            "the slot is reused"
        );
        reused += usize::from(fd == swap.borrow().fds[victim]);
        // One read finds the byte, another may find nothing; the victim has none, and the new one only its own.
        let survivor = format!("{}.read", 1 - victim);
        let mut lines = trace.lines();
        lines.retain(|line| *line != survivor && *line != "fresh.read!WouldBlock");
        let expected: &[&str] = if stream { &["fresh.connect"] } else { &[] };
        assert_eq!(lines, expected);

        // The new channel is a working one.
        swap.borrow_mut()
            .writer
            .take()
            .unwrap()
            .write_all(b"fresh")
            .unwrap();
        turn_until(&mut reactor, |_| trace.has("fresh.close"));
        assert_eq!(trace.count("fresh.read:5"), 1);
    }
    assert!(
        reused > 0,
        "the descriptor was never reused: nothing was tested"
    );
}

/// asyncore's map is by descriptor, so that a late close hit whatever had got the number.
#[test]
fn an_old_id_does_not_close_what_took_its_place() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let old = reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.channel(old).unwrap().close();
    let (ours, _theirs) = tcp_pair();
    let new = reactor.register(ours, Recorder::new(&trace)).unwrap();
    assert_eq!(index(old), index(new));
    assert!(reactor.channel(old).is_none());
    assert!(reactor.with(old, |_: &mut Recorder, _| ()).is_err());
    assert_eq!(reactor.channel(new).unwrap().state(), State::Open);
}

/// A duplicate keeps epoll's registration alive: dropping the descriptor is not enough.
#[test]
fn a_duplicate_of_a_closed_channels_descriptor_brings_no_events() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut duplicate = ours.try_clone().unwrap();
    let (recorder, _) = reader(&trace, 0);
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().close();
    // Takes the slot; must hear nothing of the old descriptor.
    let (ours, _other) = tcp_pair();
    let new = reactor
        .register(ours, Recorder::named(&trace, "new"))
        .unwrap();
    assert_eq!(index(id), index(new));
    settle(&mut reactor);
    trace.clear();
    theirs.write_all(b"for the duplicate").unwrap();
    duplicate.set_nonblocking(false).unwrap();
    let mut buf = [0; 17];
    duplicate.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"for the duplicate");
    for _ in 0..5 {
        let turn = reactor.turn(Some(Duration::from_millis(5))).unwrap();
        assert_eq!((turn.events, turn.callbacks), (0, 0));
    }
    assert_eq!(trace.lines(), [""; 0]);
}

/// A duplicate made through a borrowed descriptor keeps the registration alive as well.
#[cfg(unix)]
#[test]
fn a_duplicate_of_a_lent_descriptor_brings_no_events_after_the_channel_is_closed() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let kept = Rc::new(RefCell::new(Vec::new()));
    let (name, duplicates) = (trace.clone(), kept.clone());
    struct Duplicates(Trace, Rc<RefCell<Vec<OwnedFd>>>, bool);
    impl Dispatcher for Duplicates {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: Stream,
            _: Address,
        ) -> Result {
            let before = self.2.then(|| stream.as_fd().try_clone_to_owned());
            let id = channel
                .registry()
                .register(stream, Recorder::new(&self.0))?;
            let after = channel.registry().channel(id).ok_or("closed")?;
            let duplicate = match before {
                Some(duplicate) => duplicate,
                None => after.as_fd()?.try_clone_to_owned(),
            };
            self.1.borrow_mut().push(duplicate?);
            Ok(())
        }
    }
    let mut theirs = Vec::new();
    for before in [true, false] {
        let object = Duplicates(name.clone(), duplicates.clone(), before);
        let listener = reactor.listen(([127, 0, 0, 1], 0), object).unwrap();
        let address = util::address_of(&mut reactor, listener);
        theirs.push(TcpStream::connect(address).unwrap());
        // Of the listener as well.
        let listener = reactor.channel(listener).unwrap();
        let duplicate = listener.as_fd().unwrap().try_clone_to_owned();
        kept.borrow_mut().push(duplicate.unwrap());
    }
    turn_until(&mut reactor, |_| trace.count("connect") == 2);
    settle(&mut reactor);
    reactor.close_all();
    settle(&mut reactor);
    for peer in &mut theirs {
        peer.write_all(b"for the duplicate").unwrap();
        drop(TcpStream::connect(peer.peer_addr().unwrap()));
    }
    for _ in 0..5 {
        let turn = reactor.turn(Some(Duration::from_millis(5))).unwrap();
        assert_eq!((turn.events, turn.callbacks), (0, 0));
    }
}

/// epoll watches a descriptor until it is told not to.
#[test]
fn a_detached_socket_brings_no_events() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    let detached = reactor.channel(id).unwrap().detach().unwrap();
    theirs.write_all(b"hello").unwrap();
    let turn = reactor.turn(Some(Duration::from_millis(30))).unwrap();
    assert_eq!((turn.events, turn.callbacks), (0, 0));
    // And it can be registered again with what it missed.
    let (recorder, received) = reader(&trace, 0);
    reactor.register(detached.socket, recorder).unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"hello");
}

/// After the end of file `read` gives 0 for ever and never blocks.
#[test]
fn an_end_of_file_is_told_once_and_does_not_spin() {
    for peer_gone in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = tcp_pair();
        let mut recorder = Recorder::new(&trace);
        recorder.on_close = Some(Box::new(|_| Ok(())));
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        let mut kept = None;
        if peer_gone {
            drop(theirs);
        } else {
            theirs.shutdown(Shutdown::Write).unwrap();
            kept = Some(theirs);
        }
        turn_until(&mut reactor, |_| trace.has("close"));
        settle(&mut reactor);
        assert_eq!(turns(&mut reactor, 50), 0);
        closed_once(&trace);
        assert!(trace.count("eof") <= 1, "{:?}", trace.lines());
        let mut channel = reactor
            .channel(id)
            .expect("half open until somebody closes it");
        assert_eq!(channel.recv(&mut [0]).unwrap(), 0);
        drop(kept);
        reactor.channel(id).unwrap().touch();
        assert!(turns(&mut reactor, 50) <= 1);
    }
}

/// epoll reports `RDHUP` for half a close, which asyncore under `poll` took for a whole one.
#[test]
fn a_request_that_ends_with_a_half_close_gets_its_response() {
    fn check(
        ours: impl Into<Socket>,
        mut theirs: impl Read + Write + util::peer::NonBlocking,
        half: impl FnOnce(),
    ) {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (mut recorder, received) = reader(&trace, 0);
        let request = received.clone();
        recorder.on_close = Some(Box::new(move |channel| {
            assert_eq!(*request.borrow(), b"request");
            channel.push(vec![b'r'; 300_000]);
            channel.close_when_done();
            Ok(())
        }));
        reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        theirs.write_all(b"request").unwrap();
        half();
        let response = read_to_end(&mut reactor, &mut theirs);
        assert_eq!(response.len(), 300_000);
        drop(theirs);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        closed_once(&trace);
    }
    let (ours, theirs) = tcp_pair();
    let half = theirs.try_clone().unwrap();
    check(ours, theirs, move || {
        half.shutdown(Shutdown::Write).unwrap();
    });
    let (ours, theirs) = pair();
    let half = theirs.try_clone().unwrap();
    check(ours, theirs, move || {
        half.shutdown(Shutdown::Write).unwrap();
    });
}

/// mio hands an interrupted wait on as an error.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_while_waiting_ends_the_turn_with_nothing_done() {
    let caught = Arc::new(AtomicBool::new(false));
    let signal = signal_hook::consts::SIGUSR2;
    let handler = signal_hook::flag::register(signal, caught.clone()).unwrap();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();

    // A signal sent to a thread's own number goes to that thread first.
    let this = std::fs::read_link("/proc/thread-self").unwrap();
    let this = this.file_name().unwrap().to_str().unwrap().to_string();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let sender = std::thread::spawn(move || {
        while !stop.load(Ordering::Acquire) {
            let sent = std::process::Command::new("kill")
                .args(["-USR2", &this])
                .status();
            assert!(sent.unwrap().success());
        }
    });
    let start = Instant::now();
    let turn = reactor.turn(Some(Duration::from_secs(60)));
    done.store(true, Ordering::Release);
    sender.join().unwrap();
    let turn = turn.unwrap();
    assert!(caught.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(60));
    assert_eq!((turn.events, turn.callbacks), (0, 0), "{:?}", trace.lines());
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
    signal_hook::low_level::unregister(handler);
}

/// mio rounds the time of a wait to milliseconds.
#[test]
fn a_timer_due_in_microseconds_costs_no_busy_turns() {
    let mut reactor = reactor();
    for _ in 0..5 {
        reactor.call_later(Duration::from_micros(10), |_| Ok(()));
        let before = reactor.stats().turns;
        reactor.run().unwrap();
        let turns = reactor.stats().turns - before;
        assert!(turns <= 2, "{turns} turns");
    }
}

/// An empty datagram is `Ok(0)` too.
#[test]
fn an_empty_datagram_is_no_end_of_file() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (recorder, received) = reader(&trace, 100);
    let id = reactor.register(socket, recorder).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in ["one", "", "", "two"] {
        sender.send_to(datagram.as_bytes(), address).unwrap();
    }
    turn_until(&mut reactor, |_| *received.borrow() == b"onetwo");
    // The recorder's word for a read of nothing.
    assert_eq!(trace.count("eof"), 2);
    settle(&mut reactor);
    assert!(!trace.has("close"), "{:?}", trace.lines());
    assert!(reactor.channel(id).is_some());
}

/// The kernel drops what does not fit of a datagram, and has one event for several of them.
#[test]
fn datagrams_are_cut_to_the_buffer_and_read_one_by_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (recorder, received) = reader(&trace, 4);
    reactor.register(socket, recorder).unwrap();
    settle(&mut reactor);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        sender.send_to(b"12345678", address).unwrap();
        sender.send_to(b"ab", address).unwrap();
    }
    turn_until(&mut reactor, |_| received.borrow().len() == 120);
    assert_eq!(*received.borrow(), b"1234ab".repeat(20));
    assert_eq!(trace.count("read:4"), 20);
}

/// epoll fills a batch with the same busy sockets again while others wait.
#[test]
fn a_full_batch_of_events_starves_nobody() {
    let mut reactor = Reactor::builder()
        .events(1)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let mut peers: Vec<_> = (0..100)
        .map(|_| {
            let (ours, theirs) = pair();
            reactor.register(ours, Recorder::new(&trace)).unwrap();
            theirs
        })
        .collect();
    settle(&mut reactor);
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    let before = reactor.stats().turns;
    turn_until(&mut reactor, |_| trace.count("read:5") == 100);
    let turns = reactor.stats().turns - before;
    assert!(turns <= 20, "{turns} turns for 100 channels");
}

/// asyncore called `handle_close` two or three times, and `handle_write` in between.
#[test]
fn a_reset_is_one_handle_close_and_nothing_after_it() {
    for readable in [true, false] {
        for writable in [true, false] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (ours, theirs) = tcp_pair();
            let mut recorder = Recorder::new(&trace);
            recorder.readable = readable;
            recorder.writable = writable;
            reactor.register(ours, recorder).unwrap();
            turns(&mut reactor, 3);
            reset(theirs);
            turn_until(&mut reactor, |reactor| reactor.is_idle());
            closed_once(&trace);
            let told = trace.joined();
            for what in ["error", "priority", "expt", "failed"] {
                assert!(!told.contains(what), "{told}");
            }
        }
    }
}

/// Linux keeps what had arrived before a reset, other systems drop it.
#[test]
fn a_reset_behind_unread_data_closes_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let (recorder, received) = reader(&trace, 100);
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    theirs.write_all(&[1; 1000]).unwrap();
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    closed_once(&trace);
    assert!(received.borrow().len() <= 1000);
}

/// asyncore called `handle_write`, `handle_close` and more after `close()` in `handle_read`.
#[test]
fn a_channel_closed_in_a_callback_hears_nothing_more() {
    let hooks: [fn(&mut Recorder, Hook); 3] = [
        |recorder, hook| recorder.on_connect = Some(hook),
        |recorder, hook| recorder.on_read = Some(hook),
        |recorder, hook| recorder.on_write = Some(hook),
    ];
    type Hook = Box<dyn FnMut(&mut Channel<'_>) -> Result>;
    for (install, last) in hooks.into_iter().zip(["connect", "read:5", "write"]) {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        // Readable, writable, out-of-band and closed, all at once.
        theirs.write_all(b"hello").unwrap();
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        drop(theirs);
        let mut recorder = Recorder::new(&trace);
        recorder.writable = true;
        recorder.readable = last != "write";
        install(
            &mut recorder,
            Box::new(|channel| {
                channel.push("never sent");
                channel.close();
                Ok(())
            }),
        );
        let id = reactor.register(ours, recorder).unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        let lines = trace.lines();
        settle(&mut reactor);
        assert_eq!(trace.lines(), lines);
        assert_eq!(lines.last().unwrap(), last);
        assert_eq!(
            lines.len(),
            lines.iter().filter(|line| *line != "close").count()
        );
    }
}

/// asyncore called `handle_expt` in every pass while an urgent byte was left unread.
#[cfg(target_os = "linux")]
#[test]
fn out_of_band_data_is_reported_once_each_time_and_does_not_spin() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    let seen = trace.clone();
    recorder.on_expt = Some(Box::new(move |channel| {
        if seen.count("priority") == 2 {
            // The second byte is fetched, the first is left.
            let mut byte = [std::mem::MaybeUninit::new(0); 1];
            let n = SockRef::from(&channel.as_fd()?).recv_out_of_band(&mut byte)?;
            seen.add(format!("fetched:{n}"));
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    trace.clear();
    for urgent in 1..=3 {
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        turn_until(&mut reactor, |_| trace.has("priority"));
        settle(&mut reactor);
        assert_eq!(trace.count("priority"), urgent);
        assert_eq!(turns(&mut reactor, 20), 0);
    }
    assert!(trace.has("fetched:1"), "{:?}", trace.lines());
    assert!(!trace.has("close"));
    assert!(reactor.channel(id).is_some());
}

/// A read stops at the urgent mark with more bytes behind it, and epoll has no new event for those.
#[cfg(target_os = "linux")]
#[test]
fn urgent_data_in_the_middle_does_not_stall_the_rest() {
    for size in [0, 2] {
        for settled in [true, false] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (ours, mut theirs) = tcp_pair();
            let (recorder, received) = reader(&trace, size);
            reactor.register(ours, recorder).unwrap();
            if settled {
                settle(&mut reactor);
            }
            for round in 0..10 {
                theirs.write_all(b"before").unwrap();
                SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
                theirs.write_all(b"after").unwrap();
                if round % 3 == 0 {
                    turns(&mut reactor, 1);
                }
            }
            let complete = |received: &[u8]| {
                // An urgent byte that a later one replaced stays in the stream.
                let text: Vec<u8> = received.iter().copied().filter(|&b| b != b'!').collect();
                text == b"beforeafter".repeat(10)
            };
            turn_until(&mut reactor, |_| complete(&received.borrow()));
            assert!(trace.has("priority"), "{:?}", trace.lines());
        }
    }
}

/// epoll reports `OUT HUP` for a stream that was never connected, again and again. Like one that is still connecting it
/// has no peer.
#[cfg(target_os = "linux")]
#[test]
fn a_stream_that_was_never_connected_is_a_failed_attempt_at_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    reactor
        .register(TcpStream::from(socket), Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:NotConnected");
}

/// epoll reports `OUT ERR` for a pipe without a reader.
#[cfg(unix)]
#[test]
fn a_pipe_whose_reader_has_gone_closes_its_writer() {
    for queued in [0, 1 << 20] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut recorder = Recorder::new(&trace);
        recorder.readable = false;
        let id = reactor.register(writer, recorder).unwrap();
        settle(&mut reactor);
        reactor.channel(id).unwrap().push(vec![0; queued]);
        settle(&mut reactor);
        drop(reader);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        closed_once(&trace);
        assert!(!trace.joined().contains("error"), "{:?}", trace.lines());
    }
}

/// `OUT ERR` again, for an object that leaves `readable` at its default.
#[cfg(unix)]
#[test]
fn a_pipe_whose_reader_has_gone_closes_a_writer_that_implements_nothing_else() {
    struct Writes(Trace);
    impl Dispatcher for Writes {
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.add("close");
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let (reader, writer) = std::io::pipe().unwrap();
    reactor.register(writer, Writes(trace.clone())).unwrap();
    settle(&mut reactor);
    drop(reader);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    closed_once(&trace);
}

/// `OUT ERR` again, for an object that tries to read: that is `EBADF`, and neither a failure nor a reason to spin.
#[cfg(unix)]
#[test]
fn a_pipe_whose_reader_has_gone_closes_a_writer_that_tries_to_read() {
    for queued in [0, 1 << 20] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (reader, writer) = std::io::pipe().unwrap();
        let id = reactor.register(writer, Recorder::new(&trace)).unwrap();
        reactor.channel(id).unwrap().push(vec![0; queued]);
        settle(&mut reactor);
        drop(reader);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(trace.joined(), "read!WouldBlock close");
    }
}

/// asyncore spun with a listener whose `writable` says yes.
#[test]
fn a_listener_is_never_asked_to_write() {
    struct Listens(Rc<Cell<usize>>);
    impl Dispatcher for Listens {
        fn writable(&self) -> bool {
            self.0.set(self.0.get() + 1);
            true
        }
        fn handle_write(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("a listener cannot write")
        }
        fn handle_accepted(
            &mut self,
            _: &mut Channel<'_>,
            _: asynchat::Stream,
            _: Address,
        ) -> Result {
            Ok(())
        }
    }
    let mut reactor = reactor();
    let asked = Rc::new(Cell::new(0));
    let tcp = reactor
        .listen(([127, 0, 0, 1], 0), Listens(asked.clone()))
        .unwrap();
    let address = address_of(&mut reactor, tcp);
    let _client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 1);
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listens = Listens(asked.clone());
        reactor.listen(path.as_path(), listens).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        turn_until(&mut reactor, |reactor| reactor.stats().accepted == 2);
    }
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 20), 0);
    assert_eq!(asked.get(), 0);
}
