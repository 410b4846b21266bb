//! CPython 3.11's `test_asyncore.py`, test by test, where possible over IPv4, IPv6 and Unix sockets.
//!
//! Left out: `compact_traceback` and `strerror` (std has both), `closeall_default` (there is no global map),
//! `resource_warning` (`Drop` closes), and the repetition over `select` and `poll` (one poller).

#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Dispatcher, ListenOptions, Reactor, Result, Socket,
    State, Stream,
};
use socket2::{Domain, SockRef, Type};
use util::{DEADLINE, Log, Recorder, Trace, peer::pair, reactor, run, settle, turn_until};

type Hook = Box<dyn FnMut(&mut Channel<'_>) -> Result>;

// ---- one test, three families

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    #[cfg(unix)]
    Unix,
}

impl Family {
    const ALL: &[Self] = &[
        Self::V4,
        Self::V6,
        #[cfg(unix)]
        Self::Unix,
    ];

    fn is_unix(self) -> bool {
        !matches!(self, Self::V4 | Self::V6)
    }
}

/// One family, with what the sockets of one test need.
struct Net {
    family: Family,
    dir: tempfile::TempDir,
    paths: Cell<usize>,
}

/// Either kind of blocking stream, as the other side.
trait Peer: Read + Write {
    fn stream(&self) -> SockRef<'_>;
}

impl Peer for TcpStream {
    fn stream(&self) -> SockRef<'_> {
        self.into()
    }
}

#[cfg(unix)]
impl Peer for UnixStream {
    fn stream(&self) -> SockRef<'_> {
        self.into()
    }
}

/// Fails instead of waiting for ever.
fn patient(peer: impl Peer + 'static) -> Box<dyn Peer> {
    peer.stream().set_read_timeout(Some(DEADLINE)).unwrap();
    peer.stream().set_write_timeout(Some(DEADLINE)).unwrap();
    Box::new(peer)
}

/// A blocking listener, as the other side.
enum Server {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Net {
    /// A path nobody has used.
    fn path(&self) -> PathBuf {
        self.paths.set(self.paths.get() + 1);
        self.dir.path().join(self.paths.get().to_string())
    }

    /// An address to listen on: a free port, or a path nobody uses.
    fn any(&self) -> Address {
        match self.family {
            Family::V4 => "127.0.0.1:0".parse().unwrap(),
            Family::V6 => "[::1]:0".parse().unwrap(),
            #[cfg(unix)]
            Family::Unix => self.path().into(),
        }
    }

    fn listen(&self, reactor: &mut Reactor, d: impl Dispatcher) -> (ChannelId, Address) {
        let id = reactor.listen(self.any(), d).unwrap();
        let address = reactor.channel(id).unwrap().local_addr().unwrap();
        (id, address)
    }

    fn server(&self) -> (Server, Address) {
        match self.any().inet() {
            Some(any) => {
                let listener = TcpListener::bind(any).unwrap();
                let address = listener.local_addr().unwrap().into();
                (Server::Tcp(listener), address)
            }
            #[cfg(not(unix))]
            None => unreachable!("all families are of the internet"),
            #[cfg(unix)]
            None => {
                let path = self.path();
                (
                    Server::Unix(UnixListener::bind(&path).unwrap()),
                    path.into(),
                )
            }
        }
    }

    fn connect(&self, address: &Address) -> Box<dyn Peer> {
        match address.inet() {
            Some(address) => patient(TcpStream::connect(address).unwrap()),
            #[cfg(not(unix))]
            None => unreachable!("all families are of the internet"),
            #[cfg(unix)]
            None => patient(UnixStream::connect(address.path().unwrap()).unwrap()),
        }
    }

    fn pair(&self) -> (Socket, Box<dyn Peer>) {
        if self.family.is_unix() {
            let (ours, theirs) = pair();
            return (ours.into(), patient(theirs));
        }
        let (server, address) = self.server();
        let ours = TcpStream::connect(address.inet().unwrap()).unwrap();
        (ours.into(), server.accept())
    }
}

impl Server {
    fn accept(&self) -> Box<dyn Peer> {
        match self {
            Self::Tcp(listener) => patient(listener.accept().unwrap().0),
            #[cfg(unix)]
            Self::Unix(listener) => patient(listener.accept().unwrap().0),
        }
    }
}

/// Runs a test for each family and names the one it fails for.
fn for_each_family(test: impl Fn(&Net)) {
    /// Says which family was on while unwinding.
    struct Naming(Family);
    impl Drop for Naming {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the family was {:?}", self.0);
            }
        }
    }
    for &family in Family::ALL {
        let _naming = Naming(family);
        let dir = tempfile::tempdir().unwrap();
        let paths = Cell::new(0);
        test(&Net { family, dir, paths });
    }
}

// ---- HelperFunctionTests

/// readwriteexc: `ExitNow` becomes `stop`; any other error goes to `handle_error` and stays there.
#[test]
fn stop_leaves_the_loop_and_an_error_does_not() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = net.pair();
        let mut recorder = Recorder::new(&trace);
        recorder.on_read = Some(Box::new(|channel| {
            if channel.registry().stats().bytes_in > 0 {
                channel.registry().stop();
            }
            Ok(())
        }));
        let id = reactor.register(ours, recorder).unwrap();
        theirs.write_all(b"exit").unwrap();
        run(&mut reactor);
        assert!(reactor.channel(id).is_some());

        let (ours, mut theirs) = net.pair();
        let mut recorder = Recorder::new(&trace);
        recorder.on_read = Some(Box::new(|_| Err("not an exit".into())));
        let id = reactor.register(ours, recorder).unwrap();
        theirs.write_all(b"fail").unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.count("error:not an exit"), 1);
    });
}

/// readwrite: each kind of readiness reaches exactly one callback. A hang-up is reported by reading.
#[test]
fn each_kind_of_readiness_reaches_one_callback() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = net.pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        settle(&mut reactor);
        let expect = |reactor: &mut Reactor, words: &[&str]| {
            turn_until(reactor, |_| trace.has(words[words.len() - 1]));
            settle(reactor);
            let lines: Vec<_> = trace
                .lines()
                .into_iter()
                .filter(|line| line != "read!WouldBlock")
                .collect();
            assert_eq!(lines, words);
            trace.clear();
        };
        expect(&mut reactor, &["connect"]);
        theirs.write_all(b"in").unwrap();
        expect(&mut reactor, &["read:2"]);
        let on_write: Option<Hook> = Some(Box::new(|channel| {
            let id = channel.id();
            channel
                .registry()
                .call_later(Duration::ZERO, move |registry| {
                    registry.with(id, |recorder: &mut Recorder, _| recorder.writable = false)?;
                    Ok(())
                });
            Ok(())
        }));
        reactor
            .with(id, |recorder: &mut Recorder, _| {
                recorder.writable = true;
                recorder.on_write = on_write;
            })
            .unwrap();
        turn_until(&mut reactor, |_| trace.has("write"));
        settle(&mut reactor);
        assert!(
            trace.lines().iter().all(|line| line == "write"),
            "{:?}",
            trace.lines()
        );
        trace.clear();
        drop(theirs);
        expect(&mut reactor, &["eof", "close"]);
    });
}

/// closeall
#[test]
fn close_all_closes_every_channel() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut peers: Vec<_> = (0..10)
            .map(|_| {
                let (ours, theirs) = net.pair();
                reactor.register(ours, Recorder::new(&trace)).unwrap();
                theirs
            })
            .collect();
        settle(&mut reactor);
        assert_eq!(reactor.channels().count(), 10);
        trace.clear();
        reactor.close_all();
        assert_eq!(reactor.channels().count(), 0);
        for peer in &mut peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
        run(&mut reactor);
        assert!(trace.lines().is_empty());
    });
}

// ---- DispatcherTests

struct Plain;
impl Dispatcher for Plain {}

/// basic: both predicates are true by default, and the default handlers switch themselves off.
#[test]
fn both_predicates_are_true_by_default_and_switch_themselves_off() {
    assert!(Plain.readable() && Plain.writable());
    for_each_family(|net| {
        let mut reactor = reactor();
        let (ours, mut theirs) = net.pair();
        let id = reactor.register(ours, Plain).unwrap();
        theirs.write_all(b"nobody reads this").unwrap();
        settle(&mut reactor);
        let called = reactor.stats().callbacks;
        theirs.write_all(b", nor this").unwrap();
        for _ in 0..10 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(reactor.stats().callbacks, called, "no spin");
        // Until somebody asks for it.
        reactor.channel(id).unwrap().touch();
        turn_until(&mut reactor, |reactor| reactor.stats().callbacks > called);
    });
}

/// repr
#[test]
fn a_channel_shows_its_state_its_type_and_its_address() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let (id, address) = net.listen(&mut reactor, Plain);
        let mut channel = reactor.channel(id).unwrap();
        let (debug, text) = (format!("{channel:?}"), channel.describe());
        assert!(
            debug.contains("Listening") && debug.contains(&id.to_string()),
            "{debug}"
        );
        for part in ["Plain".into(), id.to_string(), address.to_string()] {
            assert!(text.contains(&part), "{text} without {part}");
        }
        channel.close();
        assert!(format!("{channel:?}").contains("Closed"));
    });
}

/// log, log_info: lines go to the `log` crate, with a target, a level and the channel's name.
#[test]
fn log_lines_have_a_target_a_level_and_the_name_of_the_channel() {
    let log = Log::start();
    for_each_family(|net| {
        let mut reactor = reactor();
        let (ours, _theirs) = net.pair();
        let id = reactor.register(ours, Fails(net.family)).unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        let lines = log.lines(&format!("logged for {:?}", net.family));
        // The error, and the reason of the closing line.
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("ERROR asynchat::channel: <Fails"),
            "{lines:?}"
        );
    });

    struct Fails(Family);
    impl Dispatcher for Fails {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            Err(format!("logged for {:?}", self.0).into())
        }
    }
}

/// unhandled: each default that leaves something undone says so once.
#[test]
fn each_default_that_leaves_something_undone_says_so_once() {
    struct UnhandledRead;
    impl Dispatcher for UnhandledRead {
        fn writable(&self) -> bool {
            false
        }
    }
    struct UnhandledWrite;
    impl Dispatcher for UnhandledWrite {
        fn readable(&self) -> bool {
            false
        }
    }
    struct UnhandledAccept;
    impl Dispatcher for UnhandledAccept {}
    struct UnhandledExpt;
    impl Dispatcher for UnhandledExpt {}

    let log = Log::start();
    let mut reactor = reactor();
    let net = Net {
        family: Family::V4,
        dir: tempfile::tempdir().unwrap(),
        paths: Cell::new(0),
    };
    let (ours, mut theirs) = net.pair();
    theirs.write_all(b"hello").unwrap();
    reactor.register(ours, UnhandledRead).unwrap();
    let (ours, _other) = net.pair();
    reactor.register(ours, UnhandledWrite).unwrap();
    let (listener, address) = net.listen(&mut reactor, UnhandledAccept);
    let mut client = net.connect(&address);
    reactor.connect(net.path(), UnhandledExpt).unwrap();
    settle(&mut reactor);
    assert_eq!(
        client.read(&mut [0]).unwrap(),
        0,
        "the stream nobody wanted is closed"
    );
    let count = |needle: &str| log.lines(needle).len();
    assert_eq!(
        log.lines("<UnhandledRead")
            .iter()
            .filter(|l| l.contains("handle_read is not"))
            .count(),
        1
    );
    assert_eq!(
        log.lines("<UnhandledWrite")
            .iter()
            .filter(|l| l.contains("handle_write is not"))
            .count(),
        1
    );
    let accepted = format!("channel {listener}: handle_accepted is not implemented");
    assert!(count(&accepted) >= 1, "{:?}", log.lines("handle_accepted"));
    assert_eq!(
        log.lines("<UnhandledExpt")
            .iter()
            .filter(|l| l.starts_with("WARN"))
            .count(),
        1
    );
}

// ---- dispatcherwithsend_noread

/// send: two sends before the connection is made, and a line end after it, arrive in order.
#[test]
fn what_is_sent_before_the_connection_is_made_arrives_in_order() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let (server, address) = net.server();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.on_connect = Some(Box::new(|channel| {
            channel.push("\n");
            Ok(())
        }));
        let id = reactor.connect(&address, recorder).unwrap();
        let data = "Suppose there isn't a 16-ton weight?";
        reactor.channel(id).unwrap().push(data);
        reactor.channel(id).unwrap().push(data);
        let mut theirs = server.accept();
        turn_until(&mut reactor, |reactor| {
            trace.has("connect") && reactor.channel(id).unwrap().outgoing_len() == 0
        });
        let mut got = vec![0; 2 * data.len() + 1];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), format!("{data}{data}\n"));
    });
}

// ---- FileWrapperTest

/// recv, send, dispatcher: descriptors that are no sockets, here the two ends of a pipe.
#[cfg(unix)]
#[test]
fn the_two_ends_of_a_pipe_are_read_and_written() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (from, into) = io::pipe().unwrap();
    let original = into.try_clone().unwrap();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let reader = reactor.register(from, recorder).unwrap();
    let writer = reactor.register(into, Plain).unwrap();
    reactor.channel(writer).unwrap().push("It's not dead, ");
    assert_eq!(
        reactor
            .channel(writer)
            .unwrap()
            .send(b"x")
            .unwrap_err()
            .kind(),
        ErrorKind::WouldBlock
    );
    turn_until(&mut reactor, |_| received.borrow().len() == 15);
    let mut duplicate = original;
    duplicate.write_all(b"it's sleeping").unwrap();
    turn_until(&mut reactor, |_| received.borrow().len() == 28);
    assert_eq!(*received.borrow(), b"It's not dead, it's sleeping");

    // Closing one descriptor leaves its duplicate alone; the end of file comes with the last of them.
    reactor.channel(writer).unwrap().close();
    settle(&mut reactor);
    assert!(!trace.has("eof"));
    drop(duplicate);
    turn_until(&mut reactor, |reactor| reactor.channel(reader).is_none());
    assert_eq!(trace.count("close"), 1);
}

/// dispatcher on a regular file: no poller can watch one.
#[cfg(unix)]
#[test]
fn a_regular_file_is_invalid_input() {
    let mut reactor = reactor();
    let file = tempfile::tempfile().unwrap();
    let error = reactor.register(file, Plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(reactor.stats().channels, 0);
}

/// close_twice
#[test]
fn closing_twice_closes_nothing_else() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let (ours, _theirs) = net.pair();
        let id = reactor.register(ours, Plain).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.close();
        let (again, _peer) = net.pair();
        channel.close();
        // A second close must not hit whoever has got the descriptor or the slot meanwhile.
        let other = reactor.register(again, Plain).unwrap();
        assert!(reactor.channel(id).is_none());
        assert_eq!(reactor.channel(other).unwrap().state(), State::Open);
    });
}

// ---- BaseTestAPI

/// handle_connect
#[test]
fn handle_connect_comes_once() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (server, address) = net.server();
        let id = reactor.connect(&address, Recorder::new(&trace)).unwrap();
        assert!(trace.lines().is_empty());
        let mut theirs = server.accept();
        turn_until(&mut reactor, |_| trace.has("connect"));
        theirs.write_all(b"hello").unwrap();
        turn_until(&mut reactor, |_| trace.has("read:5"));
        assert_eq!(trace.lines()[0], "connect");
        assert_eq!(trace.count("connect"), 1);
        assert_eq!(reactor.channel(id).unwrap().peer_addr().unwrap(), address);
    });
}

/// handle_accept: the low-level event, with `accept` in the handler's hands.
#[test]
fn handle_accept_may_accept_by_itself() {
    struct Accepts(Trace);
    impl Dispatcher for Accepts {
        fn handle_accept(&mut self, channel: &mut Channel<'_>) -> Result {
            match channel.accept() {
                Ok(_) => self.0.add("accepted"),
                Err(error) => self.0.add(format!("{:?}", error.kind())),
            }
            Ok(())
        }
        fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
            unreachable!("handle_accept is overridden")
        }
    }
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_, address) = net.listen(&mut reactor, Accepts(trace.clone()));
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(trace.lines().is_empty());
        let _client = net.connect(&address);
        turn_until(&mut reactor, |_| trace.has("accepted"));
        settle(&mut reactor);
        assert_eq!(trace.count("accepted"), 1);
        assert!(
            trace
                .lines()
                .iter()
                .all(|line| line == "accepted" || line == "WouldBlock")
        );
    });
}

/// handle_accepted: the stream and who it is from.
#[test]
fn handle_accepted_gets_the_stream_and_who_it_is_from() {
    struct Keeps(Rc<RefCell<Vec<(Stream, Address)>>>);
    impl Dispatcher for Keeps {
        fn handle_accepted(
            &mut self,
            _: &mut Channel<'_>,
            stream: Stream,
            peer: Address,
        ) -> Result {
            self.0.borrow_mut().push((stream, peer));
            Ok(())
        }
    }
    for_each_family(|net| {
        let mut reactor = reactor();
        let kept = Rc::default();
        let (_, address) = net.listen(&mut reactor, Keeps(Rc::clone(&kept)));
        let client = net.connect(&address);
        turn_until(&mut reactor, |_| kept.borrow().len() == 1);
        let (stream, peer) = kept.borrow_mut().pop().unwrap();
        let local = client.stream().local_addr().unwrap();
        let expected = local.as_socket().map_or(Address::Unnamed, Address::from);
        assert_eq!(peer, expected);
        assert_eq!(stream.local_addr().unwrap(), address);
    });
}

/// A listener whose streams do `f` first.
fn greeter(
    net: &Net,
    reactor: &mut Reactor,
    trace: &Trace,
    f: impl FnMut(&mut Channel<'_>) -> Result + Clone + 'static,
) -> (ChannelId, Address) {
    let trace = trace.clone();
    let acceptor = util::Acceptor(move |_: &Address| {
        let mut recorder = Recorder::named(&trace, "server");
        recorder.on_connect = Some(Box::new(f.clone()));
        recorder
    });
    net.listen(reactor, acceptor)
}

/// handle_read
#[test]
fn what_an_accepted_channel_pushes_is_read() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_, address) = greeter(net, &mut reactor, &trace, |channel| {
            channel.push(vec![b'x'; 1024]);
            Ok(())
        });
        reactor
            .connect(&address, Recorder::named(&trace, "client"))
            .unwrap();
        turn_until(&mut reactor, |_| trace.has("client.read:1024"));
        let lines = trace.lines();
        let of_client: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("client."))
            .collect();
        assert_eq!(of_client[0], "client.connect");
    });
}

/// handle_write: comes to who wants it, and only to them.
#[test]
fn handle_write_comes_only_to_who_wants_it() {
    for_each_family(|net| {
        for wanted in [true, false] {
            let mut reactor = reactor();
            let trace = Trace::new();
            let (_server, address) = net.server();
            let mut recorder = Recorder::new(&trace);
            recorder.writable = wanted;
            recorder.on_write = Some(Box::new(|channel| {
                channel.close();
                Ok(())
            }));
            reactor.connect(&address, recorder).unwrap();
            turn_until(&mut reactor, |_| trace.has("connect"));
            settle(&mut reactor);
            assert_eq!(trace.count("write"), usize::from(wanted));
        }
    });
}

/// handle_close
#[test]
fn an_end_of_file_is_one_handle_close() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_, address) = greeter(net, &mut reactor, &trace, |channel| {
            channel.close();
            Ok(())
        });
        let id = reactor
            .connect(&address, Recorder::named(&trace, "client"))
            .unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        let lines: Vec<_> = trace
            .lines()
            .into_iter()
            .filter(|line| line.starts_with("client.") && line != "client.read!WouldBlock")
            .collect();
        assert_eq!(lines, ["client.connect", "client.eof", "client.close"]);
    });
}

/// handle_close_after_conn_broken: after a ping-pong the server goes; the client's next write finds out.
#[test]
fn a_write_to_a_peer_that_has_gone_is_one_handle_close() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (server, address) = net.server();
        let mut client = Recorder::new(&trace);
        client.writable = true;
        // It only ever writes, so it learns by writing.
        client.on_write = Some(Box::new(|channel| {
            channel.send(&[0; 128])?;
            Ok(())
        }));
        let id = reactor.connect(&address, client).unwrap();
        let mut theirs = server.accept();
        turn_until(&mut reactor, |_| trace.has("write"));
        theirs.read_exact(&mut [0; 128]).unwrap();
        theirs.write_all(&[0; 128]).unwrap();
        turn_until(&mut reactor, |_| trace.has("read:128"));
        reactor
            .with(id, |recorder: &mut Recorder, _| recorder.readable = false)
            .unwrap();
        drop(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        settle(&mut reactor);
        assert_eq!(trace.count("close"), 1);
        assert!(
            trace.lines().iter().all(|line| !line.starts_with("error")),
            "{:?}",
            trace.lines()
        );
        assert_eq!(trace.lines().last().unwrap(), "close");
    });
}

/// handle_expt: out-of-band data. Unix sockets have none worth the name, other systems do not report it.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn out_of_band_data_is_one_handle_expt() {
    for_each_family(|net| {
        if net.family.is_unix() {
            return;
        }
        let mut reactor = reactor();
        let trace = Trace::new();
        let (server, address) = net.server();
        reactor.connect(&address, Recorder::new(&trace)).unwrap();
        let mut theirs = server.accept();
        turn_until(&mut reactor, |_| trace.has("connect"));
        settle(&mut reactor);
        let sent = theirs.stream().send_out_of_band(&[0xF4]).unwrap();
        assert_eq!(sent, 1);
        turn_until(&mut reactor, |_| trace.has("priority"));
        settle(&mut reactor);
        assert_eq!(
            trace.count("priority"),
            1,
            "an urgent byte left unread is not reported again"
        );
        theirs.write_all(b"in band").unwrap();
        turn_until(&mut reactor, |_| trace.has("read:7"));
    });
}

/// handle_error: gets the very error, type and all.
#[test]
fn handle_error_gets_the_very_error() {
    #[derive(Debug, PartialEq)]
    struct DivisionByZero(u32);
    impl std::fmt::Display for DivisionByZero {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("division by zero")
        }
    }
    impl std::error::Error for DivisionByZero {}
    struct Divides(Rc<Cell<Option<u32>>>);
    impl Dispatcher for Divides {
        fn handle_write(&mut self, _: &mut Channel<'_>) -> Result {
            Err(DivisionByZero(7).into())
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
            let DivisionByZero(number) = error.downcast_ref().expect("its own type");
            self.0.set(Some(*number));
            channel.close();
        }
    }
    for_each_family(|net| {
        let mut reactor = reactor();
        let (ours, _theirs) = net.pair();
        let number = Rc::default();
        reactor.register(ours, Divides(Rc::clone(&number))).unwrap();
        run(&mut reactor);
        assert_eq!(number.get(), Some(7));
    });
}

/// connection_attributes: where Python has `accepting`, `connected` and `connecting`, there is one `State`.
#[test]
fn one_state_stands_for_accepting_connected_and_connecting() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (listener, address) = greeter(net, &mut reactor, &trace, |channel| {
            assert_eq!(channel.state(), State::Open);
            Ok(())
        });
        assert_eq!(reactor.channel(listener).unwrap().state(), State::Listening);
        let mut client = Recorder::named(&trace, "client");
        client.on_connect = Some(Box::new(|channel| {
            assert_eq!(
                channel.state(),
                State::Open,
                "already inside handle_connect"
            );
            Ok(())
        }));
        let id = reactor.connect(&address, client).unwrap();
        assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);
        turn_until(&mut reactor, |_| {
            trace.has("client.connect") && trace.has("server.connect")
        });
        assert_eq!(reactor.channel(id).unwrap().state(), State::Open);
        assert_eq!(reactor.channel(listener).unwrap().state(), State::Listening);
        reactor.channel(id).unwrap().close_when_done();
        assert_eq!(reactor.channel(id).unwrap().state(), State::Closing);
        let mut channel = reactor.channel(id).unwrap();
        channel.close();
        assert_eq!(channel.state(), State::Closed);
        let mut channel = reactor.channel(listener).unwrap();
        channel.close();
        assert_eq!(channel.state(), State::Closed);
    });
}

/// create_socket: type and family as asked for, non-blocking, not inherited by children. Windows does not say whether a
/// socket is non-blocking.
#[cfg(unix)]
#[test]
fn sockets_are_non_blocking_and_not_inherited() {
    use std::os::fd::BorrowedFd;

    fn check(net: &Net, what: &str, fd: BorrowedFd<'_>) {
        let socket = SockRef::from(&fd);
        let domain = match net.family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
            Family::Unix => Domain::UNIX,
        };
        assert_eq!(socket.r#type().unwrap(), Type::STREAM, "{what}");
        assert_eq!(socket.local_addr().unwrap().domain(), domain, "{what}");
        assert!(socket.nonblocking().unwrap(), "{what}");
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
            let info = info.unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & 0o2_000_000, 0, "{what}: O_CLOEXEC in {flags:o}");
        }
    }
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (listener, address) = greeter(net, &mut reactor, &trace, |_| Ok(()));
        let client = reactor
            .connect(&address, Recorder::named(&trace, "client"))
            .unwrap();
        turn_until(&mut reactor, |_| {
            trace.has("client.connect") && trace.has("server.connect")
        });
        let ids: Vec<_> = reactor.channels().map(|info| info.id).collect();
        let accepted = ids
            .into_iter()
            .find(|id| ![listener, client].contains(id))
            .unwrap();
        let (ours, _theirs) = net.pair();
        let adopted = reactor.register(ours, Plain).unwrap();
        for (what, id) in [
            ("listener", listener),
            ("client", client),
            ("accepted", accepted),
            ("adopted", adopted),
        ] {
            check(net, what, reactor.channel(id).unwrap().as_fd().unwrap());
        }
    });
}

/// bind: an address in use is an error, and leaves nothing behind.
#[test]
fn an_address_in_use_is_an_error_and_leaves_nothing_behind() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let (_, address) = net.listen(&mut reactor, Plain);
        let error = reactor.listen(&address, Plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(reactor.stats().channels, 1);
    });
}

/// set_reuse_addr: here it is on by default, and can be switched off. On Windows it is never set.
#[cfg(unix)]
#[test]
fn an_address_can_be_used_again_unless_that_is_switched_off() {
    for_each_family(|net| {
        if net.family.is_unix() {
            return;
        }
        for on in [true, false] {
            let mut reactor = reactor();
            let options = ListenOptions::new().reuse_addr(on);
            let id = reactor.listen_with(net.any(), &options, Plain).unwrap();
            let mut channel = reactor.channel(id).unwrap();
            let socket = channel.as_fd().unwrap();
            assert_eq!(SockRef::from(&socket).reuse_address().unwrap(), on);
            channel.close();
        }
        let mut reactor = reactor();
        let (id, _) = net.listen(&mut reactor, Plain);
        let channel = reactor.channel(id).unwrap();
        assert!(
            SockRef::from(&channel.as_fd().unwrap())
                .reuse_address()
                .unwrap()
        );
    });
}

/// quick_connect (bpo-10340): a client that resets at once harms neither the loop nor the listener.
#[test]
fn a_client_that_resets_at_once_harms_nobody() {
    for_each_family(|net| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (listener, address) = greeter(net, &mut reactor, &trace, |channel| {
            channel.push("welcome");
            Ok(())
        });
        for _ in 0..20 {
            let client = net.connect(&address);
            if !net.family.is_unix() {
                client.stream().set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        let mut client = net.connect(&address);
        client.stream().set_nonblocking(true).unwrap();
        let mut got = [0; 7];
        turn_until(&mut reactor, |_| matches!(client.read(&mut got), Ok(7)));
        assert_eq!(&got, b"welcome");
        assert_eq!(reactor.channel(listener).unwrap().state(), State::Listening);
        turn_until(&mut reactor, |reactor| reactor.stats().channels == 2);
        assert_eq!(reactor.stats().errors, 0, "{:?}", trace.lines());
    });
}
