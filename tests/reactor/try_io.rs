//! Calls that others make on a channel's descriptor (R1, R3b): made only when the socket is ready, and not again until it
//! is ready again.

#[cfg(windows)]
use std::os::windows::io::BorrowedSocket as Borrowed;
#[cfg(unix)]
use std::os::{fd::BorrowedFd as Borrowed, unix::net::UnixDatagram};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    net::UdpSocket,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Channel, ChannelId, Direction, Dispatcher, Reactor, Result, Socket, testing::Harness,
};
use util::{
    Recorder, Trace,
    peer::{
        narrow_pair, narrow_tcp_pair, pair, reset, settled, tcp_pair, tells_resets, turns,
        unanswering,
    },
    reactor, run, settle, turn_until,
};

// Pipes too, on Unix.
#[cfg(unix)]
fn read(fd: Borrowed<'_>) -> io::Result<usize> {
    Ok(rustix::io::read(fd, &mut [0_u8; 8])?)
}

#[cfg(unix)]
fn write(fd: Borrowed<'_>, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, data)?)
}

#[cfg(windows)]
fn read(socket: Borrowed<'_>) -> io::Result<usize> {
    socket2::SockRef::from(&socket).recv(&mut [std::mem::MaybeUninit::uninit(); 8])
}

#[cfg(windows)]
fn write(socket: Borrowed<'_>, data: &[u8]) -> io::Result<usize> {
    socket2::SockRef::from(&socket).send(data)
}

/// Reads with a call of its own, once a callback.
#[derive(Clone, Default)]
struct Reader {
    callbacks: Rc<Cell<usize>>,
    answers: Rc<RefCell<Vec<usize>>>,
}

impl Dispatcher for Reader {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callbacks.set(self.callbacks.get() + 1);
        let n = channel.try_io(Direction::Read, read)?;
        self.answers.borrow_mut().push(n);
        Ok(())
    }
}

/// The name of a kind, a socket of it, and what sends eight bytes to that.
type Kind = (&'static str, Socket, Box<dyn FnMut()>);

fn readable_kinds() -> Vec<Kind> {
    let (tcp, mut tcp_peer) = tcp_pair();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp_peer.connect(udp.local_addr().unwrap()).unwrap();
    let kinds: Vec<Kind> = vec![
        (
            "tcp stream",
            tcp.into(),
            Box::new(move || tcp_peer.write_all(&[1; 8]).unwrap()),
        ),
        (
            "udp",
            udp.into(),
            Box::new(move || assert_eq!(udp_peer.send(&[1; 8]).unwrap(), 8)),
        ),
    ];
    #[cfg(unix)]
    let kinds: Vec<Kind> = kinds.into_iter().chain(kinds_of_unix()).collect();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let kinds = kinds.into_iter().chain([eventfd()]).collect();
    kinds
}

#[cfg(unix)]
fn kinds_of_unix() -> [Kind; 3] {
    let (unix, mut unix_peer) = pair();
    let (datagram, datagram_peer) = UnixDatagram::pair().unwrap();
    let (pipe, mut pipe_peer) = io::pipe().unwrap();
    [
        (
            "unix stream",
            unix.into(),
            Box::new(move || unix_peer.write_all(&[1; 8]).unwrap()),
        ),
        (
            "unix datagram",
            datagram.into(),
            Box::new(move || assert_eq!(datagram_peer.send(&[1; 8]).unwrap(), 8)),
        ),
        (
            "pipe",
            pipe.into(),
            Box::new(move || pipe_peer.write_all(&[1; 8]).unwrap()),
        ),
    ]
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn eventfd() -> Kind {
    let flags = rustix::event::EventfdFlags::NONBLOCK;
    let fd = rustix::event::eventfd(0, flags).unwrap();
    let mut peer = std::fs::File::from(fd.try_clone().unwrap());
    let send = move || peer.write_all(&1_u64.to_ne_bytes()).unwrap();
    ("eventfd", fd.into(), Box::new(send))
}

#[test]
fn a_call_that_would_block_is_not_asked_for_again_until_the_next_event() {
    for (kind, socket, mut send) in readable_kinds() {
        let mut reactor = reactor();
        let reader = Reader::default();
        reactor.register(socket, reader.clone()).unwrap();
        settle(&mut reactor);
        for round in 1..=3 {
            let before = reader.callbacks.get();
            send();
            turn_until(&mut reactor, |_| reader.answers.borrow().len() == round);
            turns(&mut reactor, 100);
            // The one that read, and the one that found nothing.
            let calls = reader.callbacks.get() - before;
            assert!(calls <= 2, "{kind}: {calls} callbacks for one event");
            // Nothing is due: the turn waits.
            let waited = Instant::now();
            reactor.turn(Some(Duration::from_millis(20))).unwrap();
            assert!(waited.elapsed() >= Duration::from_millis(15), "{kind}");
        }
        assert_eq!(*reader.answers.borrow(), [8; 3], "{kind}");
    }
}

/// It leaves input behind, and no event has to come for it.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn a_look_ahead_that_answers_would_block_is_called_again_when_there_is_more() {
    struct Peek;
    impl Dispatcher for Peek {
        fn writable(&self) -> bool {
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut start = [std::mem::MaybeUninit::uninit(); 4];
            channel.try_io(Direction::Read, |fd| {
                match socket2::SockRef::from(&fd).peek(&mut start)? {
                    4 => Ok(()),
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                }
            })?;
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (id, mut theirs) = settled(&mut reactor, Peek);
    for byte in b"star" {
        assert_eq!(turns(&mut reactor, 20), 0);
        assert!(reactor.channel(id).is_some());
        theirs.write_all(&[*byte]).unwrap();
        settle(&mut reactor);
    }
    assert!(reactor.channel(id).is_none());
}

#[test]
fn what_a_call_leaves_behind_is_read_without_another_event() {
    let mut reactor = reactor();
    let reader = Reader::default();
    let (_, mut peer) = settled(&mut reactor, reader.clone());
    peer.write_all(&[1; 80]).unwrap();
    turn_until(&mut reactor, |_| reader.answers.borrow().len() == 10);
    assert_eq!(*reader.answers.borrow(), [8; 10]);
}

/// Sends blocks with a call of its own while it may.
struct Writer {
    calls: Rc<Cell<usize>>,
    sent: Rc<Cell<usize>>,
}

impl Dispatcher for Writer {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 64])?;
        Ok(())
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        self.calls.set(self.calls.get() + 1);
        let n = channel.try_io(Direction::Write, |fd| write(fd, &[7; 65536]))?;
        self.sent.set(self.sent.get() + n);
        Ok(())
    }
}

#[test]
fn a_full_socket_is_written_again_once_the_peer_has_read() {
    fn check(kind: &str, ours: impl Into<Socket>, theirs: &mut impl io::Read) {
        let mut reactor = reactor();
        let (calls, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let writer = Writer {
            calls: calls.clone(),
            sent: sent.clone(),
        };
        reactor.register(ours, writer).unwrap();
        settle(&mut reactor);
        let (full, asked) = (sent.get(), calls.get());
        assert!(full > 0, "{kind}");
        turns(&mut reactor, 100);
        assert_eq!((sent.get(), calls.get()), (full, asked), "{kind}");
        theirs.read_exact(&mut vec![0; full]).unwrap();
        turn_until(&mut reactor, |_| sent.get() > full);
    }
    let (ours, mut theirs) = narrow_tcp_pair();
    check("tcp", ours, &mut theirs);
    let (ours, mut theirs) = narrow_pair();
    check("local", ours, &mut theirs);
    #[cfg(unix)]
    {
        let (mut theirs, ours) = io::pipe().unwrap();
        check("pipe", ours, &mut theirs);
    }
}

/// Has a call made that succeeds; gives the answer, and whether the call was made.
fn tried(
    reactor: &mut Reactor,
    id: ChannelId,
    direction: Direction,
) -> (Result<(), io::ErrorKind>, bool) {
    let mut called = false;
    let mut channel = reactor.channel(id).unwrap();
    let answer = channel.try_io(direction, |_| {
        called = true;
        Ok(())
    });
    (answer.map_err(|error| error.kind()), called)
}

#[test]
fn no_call_is_made_where_the_channels_own_would_not_be() {
    const BLOCKED: (Result<(), io::ErrorKind>, bool) = (Err(io::ErrorKind::WouldBlock), false);
    let mut reactor = reactor();
    let trace = Trace::new();

    // Nothing has arrived; the socket takes bytes.
    let (id, mut peer) = settled(&mut reactor, Recorder::new(&trace));
    assert_eq!(tried(&mut reactor, id, Direction::Read), BLOCKED);
    assert_eq!(tried(&mut reactor, id, Direction::Write), (Ok(()), true));

    // Bytes that are queued go first.
    reactor.channel(id).unwrap().push("first");
    assert_eq!(tried(&mut reactor, id, Direction::Write), BLOCKED);
    settle(&mut reactor);
    assert_eq!(tried(&mut reactor, id, Direction::Write), (Ok(()), true));

    reactor.channel(id).unwrap().shutdown_write();
    settle(&mut reactor);
    assert_eq!(
        tried(&mut reactor, id, Direction::Write),
        (Err(io::ErrorKind::InvalidInput), false)
    );
    assert_eq!(util::peer::read_to_end(&mut reactor, &mut peer), b"first");

    // Not connected yet.
    let (_listener, address, _waiting) = unanswering();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    assert_eq!(tried(&mut reactor, id, Direction::Read), BLOCKED);
    assert_eq!(tried(&mut reactor, id, Direction::Write), BLOCKED);

    let (id, _) = util::serve(&mut reactor, |_| Reader::default());
    assert_eq!(
        tried(&mut reactor, id, Direction::Read),
        (Err(io::ErrorKind::InvalidInput), false)
    );

    let mut channel = reactor.channel(id).unwrap();
    channel.close();
    let closed = channel.try_io(Direction::Read, |_| Ok(())).unwrap_err();
    assert_eq!(closed.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn what_the_running_callback_has_pushed_goes_first_too() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    let answer = Rc::new(Cell::new(None));
    let seen = answer.clone();
    recorder.on_connect = Some(Box::new(move |channel| {
        channel.push("first");
        let tried = channel.try_io(Direction::Write, |_| Ok(()));
        seen.set(Some(tried.map_err(|error| error.kind())));
        Ok(())
    }));
    let _peer = settled(&mut reactor, recorder);
    assert_eq!(answer.get(), Some(Err(io::ErrorKind::WouldBlock)));
}

#[test]
fn a_reset_that_a_call_meets_is_the_channels_own() {
    for direction in [Direction::Read, Direction::Write] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.readable = false;
        let was_reset = Rc::new(Cell::new(false));
        let seen = was_reset.clone();
        recorder.on_close = Some(Box::new(move |channel| {
            seen.set(channel.is_reset());
            Ok(())
        }));
        let (id, mut peer) = settled(&mut reactor, recorder);
        // For the readiness; the reset itself is made up.
        peer.write_all(b"x").unwrap();
        reactor.turn(Some(Duration::from_secs(1))).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        let broken = channel.try_io(direction, |_| -> io::Result<()> {
            Err(io::ErrorKind::ConnectionReset.into())
        });
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.joined(), "connect close", "{direction:?}");
        assert!(was_reset.get(), "{direction:?}");
    }
}

/// A real one, which the kernel reports once.
#[test]
fn a_reset_is_not_lost_to_the_call_that_was_told_of_it() {
    if !tells_resets() {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    struct Session(Reader, Trace);
    impl Dispatcher for Session {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.handle_read(channel)
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.1.add(format!("reset: {}", channel.is_reset()));
            Ok(())
        }
    }
    reactor
        .register(ours, Session(Reader::default(), trace.clone()))
        .unwrap();
    settle(&mut reactor);
    reset(theirs);
    run(&mut reactor);
    assert_eq!(trace.joined(), "reset: true");
}

#[test]
fn another_error_is_returned_and_says_nothing_about_the_socket() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, mut peer) = settled(&mut reactor, recorder);
    peer.write_all(b"x").unwrap();
    reactor.turn(Some(Duration::from_secs(1))).unwrap();
    for kind in [io::ErrorKind::InvalidData, io::ErrorKind::Interrupted] {
        let mut channel = reactor.channel(id).unwrap();
        let failed = channel.try_io(Direction::Read, |_| -> io::Result<()> { Err(kind.into()) });
        assert_eq!(failed.unwrap_err().kind(), kind);
        assert_eq!(tried(&mut reactor, id, Direction::Read), (Ok(()), true));
    }
    settle(&mut reactor);
    assert_eq!(trace.joined(), "connect");
}

/// As with `recv`, after which `handle_close` comes.
#[test]
fn an_end_of_file_that_a_call_met_is_found_again_by_recv() {
    struct Session;
    impl Dispatcher for Session {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.try_io(Direction::Read, read)? == 0 {
                assert_eq!(channel.recv(&mut [0])?, 0);
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (_, mut peer) = settled(&mut reactor, Session);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    run(&mut reactor);
}

#[test]
fn success_puts_the_idle_timeout_off() {
    const IDLE: Duration = Duration::from_millis(50);
    struct Session(Reader, Rc<Cell<Option<Instant>>>, Rc<Cell<Instant>>);
    impl Dispatcher for Session {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let before = self.0.answers.borrow().len();
            let outcome = self.0.handle_read(channel);
            if self.0.answers.borrow().len() > before {
                self.2.set(channel.registry().now());
            }
            outcome
        }
        fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
            self.1.set(Some(channel.registry().now()));
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let start = Instant::now();
    let (fired, last) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(start)));
    let session = Session(Reader::default(), fired.clone(), last.clone());
    let (id, mut peer) = settled(&mut reactor, session);
    let start = Instant::now();
    reactor.channel(id).unwrap().set_idle_timeout(Some(IDLE));
    while start.elapsed() < 4 * IDLE && reactor.channel(id).is_some() {
        peer.write_all(&[0; 8]).unwrap();
        reactor.turn(Some(Duration::from_millis(5))).unwrap();
    }
    run(&mut reactor);
    assert!(fired.get().unwrap() >= last.get() + IDLE);
    assert!(last.get() > start);
}

#[test]
fn a_panic_of_the_call_is_the_channels_error() {
    struct Session(Trace);
    impl Dispatcher for Session {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.try_io(Direction::Read, |_| panic!("scripted"))?;
            Ok(())
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: asynchat::BoxError) {
            self.0.add(error.to_string());
            channel.close();
        }
    }
    util::silence_scripted_panics();
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, mut peer) = settled(&mut reactor, Session(trace.clone()));
    peer.write_all(b"x").unwrap();
    run(&mut reactor);
    assert_eq!(trace.joined(), "panicked: scripted");
}

#[test]
fn a_connection_in_memory_has_no_descriptor() {
    struct Session(Trace);
    impl Dispatcher for Session {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if let Err(error) = channel.try_io(Direction::Read, read) {
                self.0.add(format!("{:?}", error.kind()));
            }
            channel.recv(&mut [0; 16])?;
            Ok(())
        }
    }
    let trace = Trace::new();
    let mut peer = Harness::new(Session(trace.clone()));
    trace.clear();
    peer.feed("hello");
    assert_eq!(trace.lines()[0], "Unsupported");
}
