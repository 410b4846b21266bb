//! Callbacks: their order (R4), nothing after close (R6), one `handle_close` (R7), an end of file that is not a reset
//! (R8), and errors and panics that stay with their channel (R9).

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Dispatcher, Panicked, Produced, Reactor, Result, State,
    Stream, from_fn,
};
use socket2::SockRef;
use util::{
    Log, Recorder, Trace,
    peer::{narrow_tcp_pair, read_to_end, read_while, refusing, reset, tcp_pair},
    reactor, run, serve, settle, turn_until,
};

/// The callbacks of a stream, as a `Recorder` named `a` writes them down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callback {
    Connect,
    Read,
    Write,
    Drain,
    Priority,
    Timeout,
    Close,
    ConnectFailed,
    Error,
}

impl Callback {
    const ALL: &[Self] = &[
        Self::Connect,
        Self::Read,
        Self::Write,
        Self::Drain,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Self::Priority,
        Self::Timeout,
        Self::Close,
        Self::ConnectFailed,
        Self::Error,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "a.connect",
            Self::Read => "a.read:5",
            Self::Write => "a.write",
            Self::Drain => "a.drain",
            Self::Priority => "a.priority",
            Self::Timeout => "a.timeout",
            Self::Close => "a.close",
            Self::ConnectFailed => "a.failed:ConnectionRefused",
            Self::Error => "a.error:first",
        }
    }

    /// A recorder whose callback of this kind goes on with `hook`.
    fn recorder(
        self,
        trace: &Trace,
        hook: impl FnMut(&mut Channel<'_>) -> Result + 'static,
    ) -> Recorder {
        let mut recorder = Recorder::named(trace, "a");
        recorder.writable = self == Self::Write;
        // A read would step over the out-of-band byte and take its notice away.
        recorder.readable = self != Self::Priority;
        if self == Self::Error {
            recorder.on_read = Some(Box::new(|channel| match channel.state() {
                State::Open => Err("first".into()),
                _ => Ok(()),
            }));
        }
        let place = match self {
            Self::Connect => &mut recorder.on_connect,
            Self::Read => &mut recorder.on_read,
            Self::Write => &mut recorder.on_write,
            Self::Drain => &mut recorder.on_drain,
            Self::Priority | Self::ConnectFailed => &mut recorder.on_expt,
            Self::Timeout => &mut recorder.on_timeout,
            Self::Close => &mut recorder.on_close,
            Self::Error => &mut recorder.on_error,
        };
        *place = Some(Box::new(hook));
        recorder
    }
}

/// A channel to which the callback in question is about to happen.
struct Staged {
    id: ChannelId,
    peer: Option<TcpStream>,
    _refusing: Option<socket2::Socket>,
}

fn stage(
    reactor: &mut Reactor,
    trace: &Trace,
    callback: Callback,
    hook: impl FnMut(&mut Channel<'_>) -> Result + 'static,
) -> Staged {
    let recorder = callback.recorder(trace, hook);
    if callback == Callback::ConnectFailed {
        let (refusing, address) = refusing();
        return Staged {
            id: reactor.connect(address, recorder).unwrap(),
            peer: None,
            _refusing: Some(refusing),
        };
    }
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    match callback {
        Callback::Read | Callback::Error => theirs.write_all(b"hello").unwrap(),
        Callback::Drain => {
            channel.set_watermarks(0, 10);
            channel.push(vec![0; 100]);
        }
        Callback::Priority => {
            SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        }
        Callback::Timeout => channel.set_idle_timeout(Some(Duration::from_millis(1))),
        Callback::Close => theirs.shutdown(Shutdown::Write).unwrap(),
        Callback::Connect | Callback::Write | Callback::ConnectFailed => {}
    }
    Staged {
        id,
        peer: Some(theirs),
        _refusing: None,
    }
}

/// A channel named `other`, settled, with bytes that the next turn would deliver.
fn with_input(reactor: &mut Reactor, trace: &Trace, name: &'static str) -> (ChannelId, TcpStream) {
    let (ours, mut theirs) = tcp_pair();
    let id = reactor
        .register(ours, Recorder::named(trace, name))
        .unwrap();
    settle(reactor);
    trace.clear();
    theirs.write_all(b"input").unwrap();
    (id, theirs)
}

/// The trace without reads that found nothing: those come where the poller's system wants them.
fn words(trace: &Trace) -> Vec<String> {
    let mut lines = trace.lines();
    lines.retain(|line| !line.ends_with("read!WouldBlock"));
    lines
}

// ---- R4: order

#[test]
fn handle_connect_is_the_first_callback_of_accepted_adopted_and_connecting_streams() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "accepted");
        recorder.on_connect = Some(Box::new(|channel| {
            channel.push("220 ready\r\n");
            Ok(())
        }));
        recorder
    });
    let mut connecting = Recorder::named(&trace, "connecting");
    connecting.writable = true;
    let id = reactor.connect(address, connecting).unwrap();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"early").unwrap();
    let mut adopted = Recorder::named(&trace, "adopted");
    adopted.writable = true;
    reactor.register(ours, adopted).unwrap();
    assert!(
        trace.lines().is_empty(),
        "no callback from inside connect and register"
    );
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);

    turn_until(&mut reactor, |_| {
        trace.has("connecting.read:11") && trace.has("adopted.read:5")
    });
    for name in ["accepted.", "adopted.", "connecting."] {
        let lines = trace.lines();
        let first = lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(*first, format!("{name}connect"));
        assert_eq!(trace.count(first), 1, "{lines:?}");
    }
}

#[test]
fn register_in_a_callback_calls_the_new_object_in_a_later_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::named(&trace, "first");
    let (second, _other) = tcp_pair();
    let mut second = Some((second, Recorder::named(&trace, "second")));
    recorder.on_connect = Some(Box::new(move |channel| {
        if let Some((socket, object)) = second.take() {
            channel.registry().register(socket, object)?;
        }
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("first.connect"));
    assert!(
        !trace.has("second.connect"),
        "what is added during a turn waits"
    );
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("second.connect"));
}

#[test]
fn one_visit_reads_reports_the_close_flushes_and_then_writes() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let peer = Rc::new(RefCell::new(theirs.try_clone().unwrap()));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 5;
    recorder.writable = true;
    recorder.on_close = Some(Box::new(|channel| {
        channel.push("last words");
        Ok(())
    }));
    let (from, into) = (peer.clone(), seen.clone());
    recorder.on_write = Some(Box::new(move |channel| {
        let _ = from.borrow_mut().read_to_end(&mut into.borrow_mut());
        assert_eq!(channel.outgoing_len(), 0);
        if !into.borrow().is_empty() {
            channel.close();
        }
        Ok(())
    }));
    theirs.write_all(b"hello").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    reactor.register(ours, recorder).unwrap();

    turn_until(&mut reactor, |reactor| reactor.stats().channels == 0);
    assert_eq!(
        *seen.borrow(),
        b"last words",
        "flushed before handle_write, in the same visit"
    );
    let lines = trace.lines();
    assert_eq!(lines[..2], ["connect", "read:5"]);
    assert_eq!(
        lines[lines.len() - 3..],
        ["eof", "close", "write"],
        "{lines:?}"
    );
}

#[test]
fn handle_write_waits_until_the_outgoing_queue_is_empty() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    recorder.on_connect = Some(Box::new(|channel| {
        channel.push(vec![b'x'; 1 << 20]);
        Ok(())
    }));
    recorder.on_write = Some(Box::new(|channel| {
        assert_eq!(channel.outgoing_len(), 0);
        channel.close();
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    assert!(!trace.has("write"), "the peer has not read yet");
    assert_eq!(read_to_end(&mut reactor, &mut theirs).len(), 1 << 20);
    assert_eq!(trace.count("write"), 1);
}

#[test]
fn handle_write_waits_for_a_producer_too() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    let ready = Rc::new(Cell::new(false));
    let done = ready.clone();
    recorder.on_connect = Some(Box::new(move |channel| {
        let done = done.clone();
        channel.push_with_producer(from_fn(move || {
            Ok(match done.get() {
                true => Produced::Done,
                false => Produced::Pending,
            })
        }));
        Ok(())
    }));
    recorder.on_write = Some(Box::new(|channel| {
        channel.close();
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    assert!(
        !trace.has("write"),
        "the socket has room, but the queue is not empty"
    );
    ready.set(true);
    reactor.channel(id).unwrap().touch();
    turn_until(&mut reactor, |_| trace.has("write"));
}

#[test]
fn a_failed_connect_is_one_handle_expt_and_nothing_else() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_refusing, address) = refusing();
    let mut recorder = Recorder::named(&trace, "tcp");
    recorder.writable = true;
    let tcp = reactor.connect(address, recorder).unwrap();
    let nowhere = tempfile::tempdir().unwrap().path().join("nobody.sock");
    let mut recorder = Recorder::named(&trace, "unix");
    recorder.writable = true;
    recorder.on_expt = Some(Box::new(|channel| {
        assert_eq!(channel.state(), State::Connecting);
        Ok(())
    }));
    let unix = reactor.connect(nowhere, recorder).unwrap();
    assert!(trace.lines().is_empty());
    run(&mut reactor);
    let mut lines = trace.lines();
    lines.sort();
    assert_eq!(
        lines,
        ["tcp.failed:ConnectionRefused", "unix.failed:NotFound"]
    );
    assert!(reactor.channel(tcp).is_none() && reactor.channel(unix).is_none());
}

// ---- R6: nothing after close

#[test]
fn nothing_follows_a_close_of_self_in_any_callback() {
    for &callback in Callback::ALL {
        let mut reactor = reactor();
        let trace = Trace::new();
        let object = Rc::new(());
        let held = object.clone();
        let mut staged = stage(&mut reactor, &trace, callback, move |channel| {
            assert_eq!(Rc::strong_count(&held), 2);
            channel.close();
            assert_eq!(channel.state(), State::Closed);
            channel.push("dropped");
            channel.close();
            Ok(())
        });
        turn_until(&mut reactor, |_| trace.has(callback.word()));
        assert_eq!(
            Rc::strong_count(&object),
            1,
            "{callback:?}: the object lives on"
        );
        assert!(reactor.channel(staged.id).is_none(), "{callback:?}");
        if let Some(peer) = &mut staged.peer {
            // The peer may have noticed and refuse.
            let _ = peer
                .write_all(b"too late")
                .and_then(|()| peer.shutdown(Shutdown::Both));
        }
        settle(&mut reactor);
        let lines = trace.lines();
        assert_eq!(
            lines.last().unwrap(),
            callback.word(),
            "{callback:?}: {lines:?}"
        );
        assert_eq!(trace.count(callback.word()), 1, "{callback:?}: {lines:?}");
        assert_eq!(reactor.stats().timers, 0, "{callback:?}");
    }
}

#[test]
fn another_channel_is_silent_once_any_callback_has_closed_it() {
    for &callback in Callback::ALL {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (other, _peer) = with_input(&mut reactor, &trace, "other");
        let note = trace.clone();
        let mut staged = stage(&mut reactor, &trace, callback, move |channel| {
            if let Some(mut other) = channel.registry().channel(other) {
                other.close();
                note.add("closed other");
            }
            channel.close();
            Ok(())
        });
        turn_until(&mut reactor, |_| trace.has("closed other"));
        drop(staged.peer.take());
        settle(&mut reactor);
        let lines = trace.lines();
        let at = lines
            .iter()
            .position(|line| line == "closed other")
            .unwrap();
        assert!(
            lines[at..].iter().all(|line| !line.starts_with("other.")),
            "{callback:?}: {lines:?}"
        );
        assert!(reactor.channel(other).is_none(), "{callback:?}");
    }
}

/// Two channels with input in one batch, each of which does `act` to the other when it reads.
fn duel(
    reactor: &mut Reactor,
    trace: &Trace,
    act: impl Fn(&mut Channel<'_>, ChannelId) + 'static,
) -> [TcpStream; 2] {
    let act = Rc::new(act);
    let ids = Rc::new(RefCell::new(Vec::new()));
    let mut peers = ["one", "two"].map(|name| {
        let (ours, theirs) = tcp_pair();
        let mut recorder = Recorder::named(trace, name);
        let (ids, act) = (ids.clone(), act.clone());
        let of_object = ids.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            let other = of_object
                .borrow()
                .iter()
                .copied()
                .find(|&id| id != channel.id());
            act(channel, other.unwrap());
            Ok(())
        }));
        ids.borrow_mut()
            .push((reactor.register(ours, recorder).unwrap(), ()).0);
        theirs
    });
    // The first visit tries a read that finds nothing; let it pass without a duel.
    let both = std::mem::take(&mut *ids.borrow_mut());
    ids.borrow_mut().extend([both[0], both[1]]);
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    peers
}

#[test]
fn a_channel_closed_by_another_is_not_called_later_in_the_same_batch() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let _peers = duel(&mut reactor, &trace, |channel, other| {
        if let Some(mut other) = channel.registry().channel(other) {
            other.close();
        }
    });
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.lines(), ["one.connect", "one.read:5"]);
    assert_eq!(turn.callbacks, 2);
    settle(&mut reactor);
    let of_loser = trace
        .lines()
        .iter()
        .filter(|l| l.starts_with("two."))
        .count();
    assert_eq!(of_loser, 0, "{:?}", trace.lines());
    assert_eq!(reactor.stats().channels, 1);
}

#[test]
fn a_stale_event_does_not_reach_a_channel_that_reuses_slot_and_descriptor() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut ids = Vec::new();
    let mut peers = Vec::new();
    let winner = Rc::new(Cell::new(false));
    let both = Rc::new(RefCell::new(Vec::<ChannelId>::new()));
    let newcomer = Rc::new(RefCell::new(None));
    for name in ["one", "two"] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut recorder = Recorder::named(&trace, name);
        let (winner, both, newcomer, of_new) = (
            winner.clone(),
            both.clone(),
            newcomer.clone(),
            trace.clone(),
        );
        recorder.on_read = Some(Box::new(move |channel| {
            let me = channel.id();
            let other = both.borrow().iter().copied().find(|&id| id != me);
            let Some(other) = other.filter(|_| !winner.replace(true)) else {
                return Ok(());
            };
            let registry = channel.registry();
            registry.channel(other).unwrap().close();
            let (ours, theirs) = UnixStream::pair()?;
            let mut silent = Recorder::named(&of_new, "new");
            silent.readable = false;
            let id = registry.register(ours, silent)?;
            *newcomer.borrow_mut() = Some((id, theirs));
            Ok(())
        }));
        ids.push(reactor.register(ours, recorder).unwrap());
        peers.push(theirs);
    }
    settle(&mut reactor);
    trace.clear();
    both.borrow_mut().extend(&ids);
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(turn.events, 2, "both events came in one batch");
    assert_eq!(trace.lines().len(), 1, "{:?}", trace.lines());
    let (new, _theirs) = newcomer.borrow_mut().take().unwrap();
    let index = |id: ChannelId| id.to_string().split('.').next().unwrap().to_string();
    assert!(
        ids.iter().any(|&id| index(id) == index(new)),
        "the slot is used again"
    );
    assert!(ids.iter().all(|&id| id != new));
    settle(&mut reactor);
    let of_new: Vec<_> = trace
        .lines()
        .into_iter()
        .filter(|l| l.starts_with("new."))
        .collect();
    assert_eq!(of_new, ["new.connect"]);
}

#[test]
fn closing_in_handle_connect_is_not_followed_by_handle_read() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (listener, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::new(&of_server);
        recorder.writable = true;
        recorder.on_connect = Some(Box::new(|channel| {
            channel.close();
            Ok(())
        }));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    settle(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
    assert!(reactor.channel(listener).is_some());
}

#[test]
fn input_that_arrived_before_close_is_dropped() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 2;
    recorder.on_read = Some(Box::new(|channel| {
        if let Err(error) = channel.recv(&mut [0]) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            return Ok(());
        }
        channel.unread("pushed back");
        channel.close();
        let error = channel.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        Ok(())
    }));
    theirs.write_all(b"plenty of bytes").unwrap();
    reactor.register(ours, recorder).unwrap();
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "read:2"]);
}

// ---- R7: one handle_close, never from inside recv or send

#[test]
fn handle_close_never_runs_from_inside_recv() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"bye").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = true;
    let note = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if !note.has("eof") {
            return Ok(());
        }
        note.add("[");
        // As often as one likes: the end of file stays the end of file.
        for _ in 0..3 {
            assert_eq!(channel.recv(&mut [0; 16])?, 0);
        }
        note.add("]");
        Ok(())
    }));
    recorder.on_close = Some(Box::new(|_| Ok(())));
    let id = reactor.register(ours, recorder).unwrap();
    turn_until(&mut reactor, |_| trace.has("close"));
    settle(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["connect", "read:3", "eof", "[", "]", "close"]
    );
    assert_eq!(
        reactor.channel(id).unwrap().state(),
        State::Open,
        "handle_close did not close it"
    );
}

#[test]
fn a_reset_while_sending_is_one_handle_close_after_the_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    recorder.writable = true;
    let note = trace.clone();
    let broken = Rc::new(RefCell::new(Some(theirs)));
    recorder.on_write = Some(Box::new(move |channel| {
        note.add("[");
        if let Some(theirs) = broken.borrow_mut().take() {
            reset(theirs);
        }
        let error = loop {
            match channel.send(&[0; 1024]) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        note.add("]");
        Err(error.into())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    settle(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "write", "[", "]", "close"]);
}

#[test]
fn handle_close_comes_once_when_reading_and_writing_both_notice_a_reset() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    recorder.on_close = Some(Box::new(|channel| {
        assert!(channel.send(b"x").is_err());
        assert!(!matches!(channel.recv(&mut [0; 16]), Ok(1..)));
        Err(ErrorKind::BrokenPipe.into_boxed())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle_writes(&mut reactor);
    reactor.channel(id).unwrap().push(vec![0; 1 << 20]);
    theirs.write_all(b"last").unwrap();
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    settle(&mut reactor);
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
    assert_eq!(trace.lines().last().unwrap(), "close");
    assert!(trace.lines().iter().all(|line| !line.starts_with("error")));
}

/// A channel that always wants to write never settles; a few turns are enough.
fn settle_writes(reactor: &mut Reactor) {
    util::peer::turns(reactor, 5);
}

trait IntoBoxed {
    fn into_boxed(self) -> BoxError;
}

impl IntoBoxed for ErrorKind {
    fn into_boxed(self) -> BoxError {
        io::Error::from(self).into()
    }
}

#[test]
fn handle_close_comes_once_even_if_it_fails_with_a_reset_itself() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_close = Some(Box::new(|_| Err(ErrorKind::ConnectionReset.into_boxed())));
    let id = reactor.register(ours, recorder).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
}

#[test]
fn closing_it_oneself_is_no_handle_close() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().close();
    settle(&mut reactor);
    assert!(!trace.has("close"));
}

// ---- R8: end of file and reset

/// Five megabytes that are wrong if a byte is missing, doubled or out of place.
fn reply() -> Vec<u8> {
    (0..5_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

#[test]
fn a_half_closing_client_gets_the_whole_reply() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::new(&of_server);
        recorder.on_close = Some(Box::new(|channel| {
            channel.push(reply());
            channel.close_when_done();
            Ok(())
        }));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET /\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let got = read_to_end(&mut reactor, &mut client);
    assert_eq!(got.len(), 5_000_000);
    assert!(got == reply());
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    assert_eq!(trace.count("close"), 1);
}

#[test]
fn the_default_handle_close_still_sends_what_is_queued() {
    struct Answers;
    impl Dispatcher for Answers {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if channel.recv_with(|_, data| data.len())? > 0 {
                channel.push(reply());
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (_, address) = serve(&mut reactor, |_| Answers);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET /\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut reactor, &mut client) == reply());
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
}

#[test]
fn all_that_arrived_is_delivered_before_handle_close() {
    let sent = &reply()[..20_000];
    let pipe = io::pipe().unwrap();
    let tcp = tcp_pair();
    let unix = UnixStream::pair().unwrap();
    let feeds: [(&str, asynchat::Socket, Box<dyn Write>); 3] = [
        ("tcp", tcp.0.into(), Box::new(tcp.1)),
        ("unix", unix.0.into(), Box::new(unix.1)),
        ("pipe", pipe.0.into(), Box::new(pipe.1)),
    ];
    for (kind, ours, mut theirs) in feeds {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.read_size = 4096;
        let received = recorder.received.clone();
        reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        theirs.write_all(sent).unwrap();
        drop(theirs);
        run(&mut reactor);
        assert!(
            *received.borrow() == sent,
            "{kind}: {} bytes",
            received.borrow().len()
        );
        let lines = trace.lines();
        assert_eq!(lines.last().unwrap(), "close", "{kind}: {lines:?}");
        assert_eq!(trace.count("close"), 1, "{kind}: {lines:?}");
    }
}

#[test]
fn after_a_reset_the_queue_is_gone_and_the_channel_closed() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = narrow_tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    recorder.on_close = Some(Box::new(|channel| {
        assert_eq!(channel.outgoing_len(), 0);
        channel.push("nobody will get this");
        assert_eq!(channel.outgoing_len(), 0);
        assert_ne!(channel.state(), State::Closed, "closed when this returns");
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
    settle(&mut reactor);
    assert!(reactor.channel(id).unwrap().outgoing_len() > 0);
    reset(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "close"]);
}

#[test]
fn errors_out_of_a_callback_are_a_reset_or_nothing_or_a_failure() {
    let os = io::Error::from_raw_os_error;
    let mut resets: Vec<io::Error> = [
        ErrorKind::ConnectionReset,
        ErrorKind::NotConnected,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
    ]
    .map(io::Error::from)
    .into();
    resets.push(io::Error::new(ErrorKind::BrokenPipe, "with a message"));
    if cfg!(target_os = "linux") {
        // ECONNRESET, ENOTCONN, ESHUTDOWN, ECONNABORTED, EPIPE
        resets.extend([104, 107, 108, 103, 32].map(os));
    }
    let nothing = [ErrorKind::WouldBlock, ErrorKind::Interrupted].map(io::Error::from);
    let failures = [
        ErrorKind::TimedOut,
        ErrorKind::InvalidData,
        ErrorKind::UnexpectedEof,
    ]
    .map(io::Error::from);

    let outcome = |error: io::Error| {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"hello").unwrap();
        let mut recorder = Recorder::new(&trace);
        let mut error = Some(error);
        recorder.on_read = Some(Box::new(move |_| match error.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }));
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        let open = reactor.channel(id).is_some();
        (words(&trace).join(" "), open)
    };
    for error in resets {
        let text = error.to_string();
        assert_eq!(
            outcome(error),
            ("connect read:5 close".into(), false),
            "{text}"
        );
    }
    for error in nothing {
        let text = error.to_string();
        assert_eq!(outcome(error), ("connect read:5".into(), true), "{text}");
    }
    for error in failures {
        let text = error.to_string();
        assert_eq!(
            outcome(error),
            (format!("connect read:5 error:{text}"), false)
        );
    }
}

#[test]
fn a_peer_that_resets_while_a_reply_is_written_ends_only_its_own_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (listener, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::new(&of_server);
        recorder.on_connect = Some(Box::new(|channel| {
            channel.push(reply());
            channel.close_when_done();
            Ok(())
        }));
        recorder
    });
    let mut impatient = TcpStream::connect(address).unwrap();
    let mut patient = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.count("connect") == 2);
    read_while(&mut reactor, &mut impatient, |got| got.len() >= 100);
    reset(impatient);
    assert!(read_to_end(&mut reactor, &mut patient) == reply());
    drop(patient);
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    assert!(reactor.channel(listener).is_some());
    assert_eq!(
        trace.count("close"),
        1,
        "the peer broke off before all was sent: {:?}",
        trace.lines()
    );
    assert_eq!(reactor.stats().errors, 0);
}

// ---- R9: errors and panics

#[test]
fn an_error_in_any_callback_goes_to_handle_error_once_and_touches_no_other_channel() {
    for &callback in Callback::ALL {
        if callback == Callback::Error {
            continue;
        }
        let mut reactor = reactor();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let staged = stage(&mut reactor, &trace, callback, |_| Err("boom".into()));
        expect_failure(&mut reactor, &trace, callback, staged.id, "a.error:boom");
    }
}

#[test]
fn a_panic_in_any_callback_goes_to_handle_error_once_and_touches_no_other_channel() {
    for &callback in Callback::ALL {
        if callback == Callback::Error {
            continue;
        }
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        let staged = stage(&mut reactor, &trace, callback, |_| panic!("boom"));
        expect_failure(
            &mut reactor,
            &trace,
            callback,
            staged.id,
            "a.error:panicked: boom",
        );
    }
}

fn expect_failure(
    reactor: &mut Reactor,
    trace: &Trace,
    callback: Callback,
    id: ChannelId,
    report: &str,
) {
    turn_until(reactor, |_| {
        trace.has(callback.word()) && trace.has("other.read:5")
    });
    settle(reactor);
    let lines = trace.lines();
    let at = lines
        .iter()
        .position(|line| line == callback.word())
        .unwrap();
    assert_eq!(lines[at + 1], report, "{callback:?}: {lines:?}");
    assert_eq!(trace.count(report), 1, "{callback:?}: {lines:?}");
    assert!(
        reactor.channel(id).is_none(),
        "{callback:?}: handle_error closed it"
    );
    let last = lines.iter().rfind(|line| line.starts_with("a.")).unwrap();
    assert_eq!(last, report, "{callback:?}: {lines:?}");
    assert_eq!(reactor.stats().errors, 1, "{callback:?}");
}

#[test]
fn a_panic_is_handed_over_as_panicked_with_its_message() {
    #[derive(Default)]
    struct Panics(Rc<RefCell<Option<Panicked>>>);
    impl Dispatcher for Panics {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("at {}", 7);
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
            *self.0.borrow_mut() = error.downcast_ref::<Panicked>().cloned();
            channel.close();
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let object = Panics::default();
    let panicked = object.0.clone();
    reactor.register(tcp_pair().0, object).unwrap();
    run(&mut reactor);
    assert_eq!(panicked.borrow().as_ref().unwrap().message, "at 7");
}

#[test]
fn a_panic_in_a_predicate_goes_to_handle_error() {
    struct Unsure {
        trace: Trace,
        read: bool,
        write: bool,
    }
    impl Dispatcher for Unsure {
        fn readable(&self) -> bool {
            assert!(!self.read, "readable?");
            false
        }
        fn writable(&self) -> bool {
            assert!(!self.write, "writable?");
            false
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
            self.trace.add(error.to_string());
            channel.close();
        }
    }
    for (read, write, message) in [(true, false, "readable?"), (false, true, "writable?")] {
        let mut reactor = Reactor::new().unwrap();
        let trace = Trace::new();
        let object = Unsure {
            trace: trace.clone(),
            read,
            write,
        };
        let (ours, _theirs) = tcp_pair();
        reactor.register(ours, object).unwrap();
        let (_, _peer) = with_input(&mut reactor, &trace, "other");
        turn_until(&mut reactor, |_| trace.has("other.read:5"));
        assert_eq!(reactor.stats().channels, 1);
        assert_eq!(reactor.stats().errors, 1, "{message}");
    }
}

#[test]
fn a_channel_whose_handle_error_does_not_close_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    recorder.on_read = Some(Box::new(|_| Err("bad byte".into())));
    recorder.on_error = Some(Box::new(|_| Ok(())));
    theirs.write_all(b"123").unwrap();
    reactor.register(ours, recorder).unwrap();
    turn_until(&mut reactor, |_| trace.count("error:bad byte") == 3);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.count("read:1"), 3);
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
}

#[test]
fn the_default_handle_error_logs_and_closes_the_channel() {
    struct Fails;
    impl Dispatcher for Fails {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            Err("no such frobnicator".into())
        }
    }
    let log = Log::start();
    let mut reactor = reactor();
    reactor.register(tcp_pair().0, Fails).unwrap();
    run(&mut reactor);
    let lines = log.lines("no such frobnicator");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("ERROR") && lines[0].contains("Fails"),
        "{lines:?}"
    );
}

#[test]
fn a_panic_inside_handle_error_closes_and_logs() {
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (_, _peer) = with_input(&mut reactor, &trace, "other");
    let staged = stage(&mut reactor, &trace, Callback::Error, |_| {
        panic!("handling gone wrong")
    });
    turn_until(&mut reactor, |_| {
        trace.has("other.read:5") && trace.has("a.error:first")
    });
    settle(&mut reactor);
    assert!(reactor.channel(staged.id).is_none());
    assert_eq!(
        trace
            .lines()
            .iter()
            .filter(|line| line.starts_with("a.error"))
            .count(),
        1
    );
    let lines = log.lines("handling gone wrong");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR"), "{lines:?}");
}

#[test]
fn with_propagate_panics_a_panic_leaves_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let staged = stage(&mut reactor, &trace, Callback::Connect, |_| {
        panic!("as it should")
    });
    let caught = catch_unwind(AssertUnwindSafe(|| reactor.turn(Some(Duration::ZERO))));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"as it should"));
    assert!(!trace.lines().iter().any(|line| line.starts_with("a.error")));
    drop(staged);
}

// ---- R9: what concerns one accepted stream never concerns the listener

type Accepted = Box<dyn FnMut(&mut Channel<'_>, Stream) -> Result>;

struct Door {
    trace: Trace,
    accepted: Accepted,
}

impl Dispatcher for Door {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        (self.accepted)(channel, stream)
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        assert_eq!(channel.state(), State::Listening);
        self.trace.add(format!("door:{error}"));
    }
}

/// Reads until the other side has ended the connection, one way or the other; gives what came.
fn until_gone(reactor: &mut Reactor, client: &mut TcpStream) -> Vec<u8> {
    client.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    turn_until(reactor, |_| match client.read_to_end(&mut got) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    });
    got
}

#[test]
fn a_failure_while_handling_one_accepted_stream_closes_only_that_stream() {
    type Spoil = fn() -> Result;
    let spoils: [(&str, Spoil, Option<&str>); 3] = [
        ("error", || Err("unwelcome".into()), Some("door:unwelcome")),
        (
            "panic",
            || panic!("unwelcome"),
            Some("door:panicked: unwelcome"),
        ),
        (
            "reset",
            || Err(ErrorKind::ConnectionReset.into_boxed()),
            None,
        ),
    ];
    for (what, spoil, report) in spoils {
        for registered in [false, true] {
            let case = format!("{what}, registered: {registered}");
            let mut reactor = Reactor::new().unwrap();
            let trace = Trace::new();
            let note = trace.clone();
            let mut calls = 0;
            let accepted = move |channel: &mut Channel<'_>, stream: Stream| {
                calls += 1;
                let mut recorder = Recorder::named(&note, if calls == 2 { "bad" } else { "good" });
                recorder.on_connect = Some(Box::new(|channel| {
                    channel.push("welcome");
                    Ok(())
                }));
                if calls != 2 {
                    channel.registry().register(stream, recorder)?;
                    return Ok(());
                }
                if registered {
                    channel.registry().register(stream, recorder)?;
                }
                spoil()
            };
            let door = Door {
                trace: trace.clone(),
                accepted: Box::new(accepted),
            };
            let listener = reactor.listen(([127, 0, 0, 1], 0), door).unwrap();
            let address = reactor
                .channel(listener)
                .unwrap()
                .local_addr()
                .unwrap()
                .inet()
                .unwrap();
            // All three wait in one batch, the bad one in the middle.
            let mut clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
            assert_eq!(until_gone(&mut reactor, &mut clients[1]), b"", "{case}");
            turn_until(&mut reactor, |_| trace.count("good.connect") == 2);
            settle(&mut reactor);
            assert_eq!(trace.count("bad.connect"), 0, "{case}: {:?}", trace.lines());
            for index in [0, 2] {
                let got = read_while(&mut reactor, &mut clients[index], |got| got.len() >= 7);
                assert_eq!(got, b"welcome", "{case}");
            }
            match report {
                Some(report) => assert_eq!(trace.count(report), 1, "{case}: {:?}", trace.lines()),
                None => assert_eq!(trace.lines().len(), 2 + 2, "{case}: {:?}", trace.lines()),
            }
            assert_eq!(
                reactor.channel(listener).unwrap().state(),
                State::Listening,
                "{case}"
            );
            assert_eq!(
                reactor.stats().channels,
                3,
                "{case}: the listener and two clients"
            );
            let mut late = TcpStream::connect(address).unwrap();
            turn_until(&mut reactor, |_| trace.count("good.connect") == 3);
            settle(&mut reactor);
            let got = read_while(&mut reactor, &mut late, |got| got.len() >= 7);
            assert_eq!(got, b"welcome", "{case}");
        }
    }
}

#[test]
fn a_listener_without_handlers_survives_errors_and_drops_each_stream() {
    struct Failing(Rc<Cell<usize>>);
    impl Dispatcher for Failing {
        fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
            self.0.set(self.0.get() + 1);
            Err("always".into())
        }
    }
    struct Nothing;
    impl Dispatcher for Nothing {}
    let mut reactor = reactor();
    let calls = Rc::new(Cell::new(0));
    let failing = reactor
        .listen(([127, 0, 0, 1], 0), Failing(calls.clone()))
        .unwrap();
    let nothing = reactor.listen(([127, 0, 0, 1], 0), Nothing).unwrap();
    for id in [failing, nothing, failing, nothing] {
        let address = reactor
            .channel(id)
            .unwrap()
            .local_addr()
            .unwrap()
            .inet()
            .unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        assert_eq!(until_gone(&mut reactor, &mut client), b"");
        assert_eq!(reactor.channel(id).unwrap().state(), State::Listening);
    }
    assert_eq!(calls.get(), 2);
    assert_eq!(reactor.stats().accepted, 4);
}

#[test]
fn an_error_in_the_first_callback_of_an_accepted_stream_is_its_own() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (listener, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "stream");
        recorder.on_connect = Some(Box::new(|_| Err("cannot greet".into())));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    assert_eq!(until_gone(&mut reactor, &mut client), b"");
    assert_eq!(
        trace.lines(),
        ["stream.connect", "stream.error:cannot greet"]
    );
    assert!(reactor.channel(listener).is_some());
}
