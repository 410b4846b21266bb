//! Connecting (R4): one outcome, never from inside the call, with a timeout and the next address on failure.

#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};

use asynchat::{Channel, Dispatcher, Exceptional, Result, State, VisitError};
use util::{
    Log, Recorder, Trace,
    peer::{keeps_input_before_resets, read_while, refusing, reset},
    reactor, settle, turn_until,
};

#[cfg(any(target_os = "linux", windows))]
use asynchat::ConnectOptions;
#[cfg(any(target_os = "linux", windows))]
use std::time::Duration;
#[cfg(any(target_os = "linux", windows))]
use util::peer::{turns, unanswering};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_connection_is_one_handle_connect_and_comes_in_a_later_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = listener();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.state(), State::Connecting);
    assert_eq!(channel.peer_addr().unwrap(), address.into());
    assert_eq!(
        channel.recv(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(
        channel.send(b"x").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let (accepted, from) = listener.accept().unwrap();
    assert_eq!(trace.lines(), [""; 0], "nothing from inside connect()");
    turn_until(&mut reactor, |_| trace.has("connect"));
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.state(), State::Open);
    assert_eq!(channel.local_addr().unwrap(), from.into());
    settle(&mut reactor);
    assert_eq!(reactor.stats().timers, 0, "the timeout is gone");
    drop(accepted);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.count("connect"), 1);
    assert_eq!(trace.lines().first().unwrap(), "connect");
    assert_eq!(trace.lines().last().unwrap(), "close");
}

#[cfg(unix)]
#[test]
fn a_unix_connection_which_succeeds_at_once_still_reports_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect(path.as_path(), Recorder::new(&trace))
        .unwrap();
    assert_eq!(trace.lines(), [""; 0]);
    reactor.channel(id).unwrap().push("early");
    turn_until(&mut reactor, |_| trace.has("connect"));
    let (mut accepted, _) = listener.accept().unwrap();
    let mut buf = [0; 5];
    accepted.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"early");
}

#[test]
fn a_refused_connection_is_one_failure_and_never_a_fake_end_of_file() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, address) = refusing();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    recorder.on_expt = Some(Box::new(|channel| {
        assert_eq!(channel.state(), State::Connecting);
        Ok(())
    }));
    let id = reactor.connect(address, recorder).unwrap();
    assert_eq!(trace.lines(), [""; 0]);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    settle(&mut reactor);
    assert_eq!(trace.joined(), "failed:ConnectionRefused");
    assert!(reactor.is_idle(), "no timer is left");
}

#[cfg(unix)]
#[test]
fn a_unix_path_that_nobody_listens_on_fails_in_a_later_turn_too() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let stale = folder.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    for (path, outcome) in [
        (missing, "failed:NotFound"),
        (stale, "failed:ConnectionRefused"),
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let id = reactor.connect(path, Recorder::new(&trace)).unwrap();
        assert_eq!(trace.lines(), [""; 0]);
        assert!(reactor.channel(id).is_some());
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(trace.joined(), outcome);
    }
}

/// A broadcast address has no TCP: the system refuses without sending anything.
#[cfg(target_os = "linux")]
#[test]
fn an_address_that_cannot_be_reached_fails_in_a_later_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    reactor
        .connect(([255, 255, 255, 255], 9), Recorder::new(&trace))
        .unwrap();
    assert_eq!(trace.lines(), [""; 0]);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:NetworkUnreachable");
}

// Here and below: elsewhere a listener may refuse at once if its queue is full.
#[cfg(any(target_os = "linux", windows))]
#[test]
fn no_answer_is_a_timeout() {
    let (_listener, address, _waiting) = unanswering();
    let mut reactor = reactor();
    let trace = Trace::new();
    let options = ConnectOptions::new().timeout(Duration::from_millis(50));
    let id = reactor
        .connect_with(&[address], &options, Recorder::new(&trace))
        .unwrap();
    turns(&mut reactor, 3);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:TimedOut");
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn the_default_timeout_is_the_builders() {
    let (_listener, address, _waiting) = unanswering();
    let mut reactor = asynchat::Reactor::builder()
        .connect_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let trace = Trace::new();
    reactor.connect(address, Recorder::new(&trace)).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:TimedOut");
}

#[test]
fn connect_any_goes_on_to_the_next_address_without_a_word() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, bad) = refusing();
    let (listener, good) = listener();
    let mut addresses = vec![bad];
    if cfg!(target_os = "linux") {
        addresses.push("255.255.255.255:9".parse().unwrap());
    }
    addresses.push(good);
    let id = reactor
        .connect_any(&addresses, Recorder::new(&trace))
        .unwrap();
    reactor.channel(id).unwrap().push("early words");
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(trace.joined(), "connect");
    assert_eq!(
        reactor.channel(id).unwrap().peer_addr().unwrap(),
        good.into()
    );
    let (mut accepted, _) = listener.accept().unwrap();
    let mut buf = [0; 11];
    accepted.read_exact(&mut buf).unwrap();
    assert_eq!(
        &buf, b"early words",
        "what was pushed waits for the address that works"
    );
    settle(&mut reactor);
    assert_eq!(reactor.stats().timers, 0);
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn connect_any_goes_on_when_an_address_does_not_answer() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_full, silent, _waiting) = unanswering();
    let (_listener, good) = listener();
    let options = ConnectOptions::new().timeout(Duration::from_millis(50));
    let id = reactor
        .connect_with(&[silent, good], &options, Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(trace.joined(), "connect");
    assert_eq!(
        reactor.channel(id).unwrap().peer_addr().unwrap(),
        good.into()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn when_all_addresses_fail_there_is_one_failure_the_last() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_one, first) = refusing();
    let (_two, second) = refusing();
    let unreachable: SocketAddr = "255.255.255.255:9".parse().unwrap();
    reactor
        .connect_any(&[first, second, unreachable], Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:NetworkUnreachable");

    trace.clear();
    reactor
        .connect_any(&[unreachable, second], Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:ConnectionRefused");
}

#[test]
fn connecting_to_no_address_is_an_error_of_the_call() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let error = reactor.connect_any(&[], Recorder::new(&trace)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(reactor.is_idle());
}

#[test]
fn what_is_pushed_before_the_connection_stands_is_sent_in_order() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = listener();
    let mut recorder = Recorder::new(&trace);
    recorder.on_connect = Some(Box::new(|channel| {
        channel.push("third");
        Ok(())
    }));
    let id = reactor.connect(address, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("first ");
    write!(channel, "second ").unwrap();
    assert_eq!(channel.outgoing_len(), 13);
    turn_until(&mut reactor, |_| trace.has("connect"));
    settle(&mut reactor);
    let (mut accepted, _) = listener.accept().unwrap();
    let mut buf = [0; 18];
    accepted.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"first second third");
}

#[test]
fn the_servers_greeting_comes_after_handle_connect() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = listener();
    reactor.connect(address, Recorder::new(&trace)).unwrap();
    // Both are in before the reactor looks for the first time.
    listener
        .accept()
        .unwrap()
        .0
        .write_all(b"220 hello")
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.lines()[..2], ["connect", "read:9"]);
    assert_eq!(trace.lines().last().unwrap(), "close");
}

#[test]
fn a_connection_reset_before_the_first_look_is_connected_or_failed_but_never_both() {
    for _ in 0..20 {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (listener, address) = listener();
        reactor.connect(address, Recorder::new(&trace)).unwrap();
        reset(listener.accept().unwrap().0);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        let (connected, failed) = (trace.has("connect"), trace.joined().contains("failed"));
        assert!(connected != failed, "{:?}", trace.lines());
        assert!(connected == trace.has("close"), "{:?}", trace.lines());
    }
}

/// Tells when it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

struct Holds(
    Recorder,
    #[allow(dead_code, reason = "dropped with it")] Dropped,
);

impl Dispatcher for Holds {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_connect(channel)
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        self.0.handle_expt(channel, what)
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_close(channel)
    }
}

#[test]
fn after_close_while_connecting_nothing_comes() {
    let (_socket, refused) = refusing();
    let (_listener, accepted) = listener();
    for address in [refused, accepted] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let dropped = Rc::new(Cell::new(false));
        let object = Holds(Recorder::new(&trace), Dropped(dropped.clone()));
        let id = reactor.connect(address, object).unwrap();
        reactor.channel(id).unwrap().close();
        assert!(!dropped.get(), "its last callback is to come");
        util::run(&mut reactor);
        assert!(dropped.get());
        assert_eq!(reactor.stats().timers, 0, "the timeout goes too");
        assert_eq!(trace.lines(), [""; 0]);
    }
}

#[test]
fn close_when_done_while_connecting_sends_what_is_queued_first() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = listener();
    let dropped = Rc::new(Cell::new(false));
    let object = Holds(Recorder::new(&trace), Dropped(dropped.clone()));
    let id = reactor.connect(address, object).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("last words");
    channel.close_when_done();
    channel.push("too late");
    assert_eq!(reactor.channel(id).unwrap().outgoing_len(), 10);
    let (mut accepted, _) = listener.accept().unwrap();
    turn_until(&mut reactor, |_| dropped.get());
    let mut received = String::new();
    accepted.read_to_string(&mut received).unwrap();
    assert_eq!(received, "last words");
    drop(accepted);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "connect");
}

#[test]
fn a_failure_after_close_when_done_is_still_told_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, address) = refusing();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().push("never sent");
    reactor.channel(id).unwrap().close_when_done();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:ConnectionRefused");
}

#[test]
fn a_failed_client_can_connect_again_from_its_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, bad) = refusing();
    let (_listener, good) = listener();
    let mut recorder = Recorder::named(&trace, "first");
    let again = trace.clone();
    recorder.on_expt = Some(Box::new(move |channel| {
        let second = Recorder::named(&again, "second");
        channel.registry().connect(good, second)?;
        assert!(!again.has("second.connect"));
        Ok(())
    }));
    reactor.connect(bad, recorder).unwrap();
    turn_until(&mut reactor, |_| trace.has("second.connect"));
    assert_eq!(
        trace.joined(),
        "first.failed:ConnectionRefused second.connect"
    );
}

#[test]
fn an_error_out_of_the_failure_callback_goes_to_handle_error_and_the_channel_closes() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, address) = refusing();
    let mut recorder = Recorder::new(&trace);
    recorder.on_expt = Some(Box::new(|_| Err("gave up".into())));
    recorder.on_error = Some(Box::new(|_| Ok(())));
    reactor.connect(address, recorder).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:ConnectionRefused error:gave up");
}

#[test]
fn by_default_a_failed_connection_is_a_warning_that_names_the_address() {
    struct Client;
    impl Dispatcher for Client {}
    let mut reactor = reactor();
    let (_socket, address) = refusing();
    let log = Log::start();
    reactor.connect(address, Client).unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    let lines = log.lines(&format!("peer {address}>: connection failed: "));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("WARN asynchat::channel: <Client "),
        "{lines:?}"
    );
}

#[test]
fn the_object_can_be_visited_while_connecting() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_listener, address) = listener();
    let id = reactor.connect(address, Recorder::new(&trace)).unwrap();
    let name = reactor.with(id, |recorder: &mut Recorder, _| {
        recorder.name = "renamed";
        recorder.name
    });
    assert_eq!(name, Ok("renamed"));
    turn_until(&mut reactor, |_| trace.has("renamed.connect"));
    reactor.channel(id).unwrap().close();
    let gone = reactor.with(id, |_: &mut Recorder, _| ());
    assert_eq!(gone, Err(VisitError::Closed(id)));
}

#[test]
fn a_hundred_connections_at_once_each_have_their_own_outcome() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, bad) = refusing();
    let (listener, good) = listener();
    socket2::SockRef::from(&listener).listen(1024).unwrap();
    for n in 0..100 {
        let address = if n % 2 == 0 { good } else { bad };
        reactor.connect(address, Recorder::new(&trace)).unwrap();
    }
    turn_until(&mut reactor, |_| trace.lines().len() >= 100);
    settle(&mut reactor);
    assert_eq!(trace.count("connect"), 50);
    assert_eq!(trace.count("failed:ConnectionRefused"), 50);
    let clients: Vec<TcpStream> = (0..50).map(|_| listener.accept().unwrap().0).collect();
    drop(clients);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.count("close"), 50);
}

/// A socket that is not connected would pass for a stream that is.
#[test]
fn detach_while_connecting_gives_nothing_and_the_channel_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor.connect(address, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("queued before");
    assert_eq!(channel.state(), State::Connecting);
    assert!(channel.detach().is_none());
    assert_eq!(channel.state(), State::Connecting);
    let mut theirs = listener.accept().unwrap().0;
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() >= 13);
    assert_eq!(got, b"queued before");
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"hello");
    assert_eq!(trace.lines(), ["connect", "read:5"]);
    assert!(reactor.channel(id).unwrap().detach().is_some());
}

/// What was readable stays readable (R8): the banner says why the server hangs up.
#[test]
fn the_banner_of_a_connection_reset_before_the_first_look_is_delivered() {
    if !keeps_input_before_resets() {
        return;
    }
    for half_closes in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (listener, address) = listener();
        let recorder = Recorder::new(&trace);
        let received = recorder.received.clone();
        let id = reactor.connect(address, recorder).unwrap();
        reactor.channel(id).unwrap().push("early");
        let mut accepted = listener.accept().unwrap().0;
        accepted.write_all(b"421 full").unwrap();
        if half_closes {
            accepted.shutdown(std::net::Shutdown::Write).unwrap();
        }
        reset(accepted);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(*received.borrow(), b"421 full", "{:?}", trace.lines());
        assert_eq!(trace.lines().first().unwrap(), "connect");
        assert_eq!(trace.lines().last().unwrap(), "close");
        assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
    }
}

/// A stream whose connection somebody else has begun.
fn dialled(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    // `EINPROGRESS`, or done at once.
    let _ = socket.connect(&address.into());
    socket.into()
}

#[test]
fn a_stream_that_is_handed_in_while_it_connects_is_an_attempt_like_any_other() {
    let (listener, good) = listener();
    let (_socket, bad) = refusing();
    for (address, outcome) in [(good, "connect"), (bad, "failed:ConnectionRefused")] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let id = reactor
            .register(dialled(address), Recorder::new(&trace))
            .unwrap();
        reactor.channel(id).unwrap().push("early");
        turn_until(&mut reactor, |_| !trace.lines().is_empty());
        settle(&mut reactor);
        assert_eq!(trace.joined().replace(" read!WouldBlock", ""), outcome);
        assert_eq!(reactor.stats().timers, 0, "the timeout is gone");
    }
    let mut early = [0; 5];
    listener.accept().unwrap().0.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn a_stream_that_is_handed_in_while_it_connects_has_the_time_limit_of_an_attempt() {
    let (_listener, address, _waiting) = unanswering();
    let mut reactor = asynchat::Reactor::builder()
        .connect_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let trace = Trace::new();
    let id = reactor
        .register(dialled(address), Recorder::new(&trace))
        .unwrap();
    turns(&mut reactor, 3);
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:TimedOut");
}

/// `WouldBlock` and a reset out of any other callback are no failure; here they are the outcome, passed on.
#[test]
fn the_outcome_that_the_failure_callback_passes_on_is_never_swallowed() {
    for kind in [
        ErrorKind::WouldBlock,
        ErrorKind::ConnectionReset,
        ErrorKind::TimedOut,
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_socket, address) = refusing();
        let mut recorder = Recorder::new(&trace);
        recorder.on_expt = Some(Box::new(move |_| Err(std::io::Error::from(kind).into())));
        reactor.connect(address, recorder).unwrap();
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        let text = std::io::Error::from(kind).to_string();
        assert_eq!(
            trace.joined(),
            format!("failed:ConnectionRefused error:{text}")
        );
    }
}

#[test]
fn a_stream_that_both_sides_ended_before_it_was_registered_gives_what_arrived() {
    let (ours, mut theirs) = util::peer::tcp_pair();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    theirs.read_to_end(&mut Vec::new()).unwrap();
    theirs.write_all(b"answer").unwrap();
    drop(theirs);
    // The system forgets the peer once both directions have ended.
    let end = std::time::Instant::now() + util::DEADLINE;
    while ours.peer_addr().is_ok() {
        assert!(std::time::Instant::now() < end, "the peer is remembered");
        std::thread::yield_now();
    }
    let trace = Trace::new();
    let mut reactor = reactor();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    util::run(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "read:6", "eof", "close"]);
}
