//! The end that comes from the peer: one `handle_close`, never from inside `recv` or `send` (R7), after all that
//! arrived (R8), and an end of file that is not a reset.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
};

use asynchat::{BoxError, Channel, Dispatcher, Reactor, Result, State, testing::Harness};
use util::{
    Recorder, Trace,
    peer::{
        keeps_input_before_resets, narrow_tcp_pair, read_to_end, read_while, reset, settled,
        tcp_pair, tells_resets, turns,
    },
    reactor, run, serve, settle, turn_until,
};

use super::{callbacks::words, regressions::closed_once};

trait IntoBoxed {
    fn into_boxed(self) -> BoxError;
}

impl IntoBoxed for ErrorKind {
    fn into_boxed(self) -> BoxError {
        io::Error::from(self).into()
    }
}

// ---- one handle_close, never from inside recv or send

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
        assert!(channel.send(b"again").is_err());
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

/// A write to a peer that closed while it still had unread input: the reset comes as the answer to the write.
#[test]
fn a_write_after_the_peer_has_gone_ends_in_one_handle_close() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    drop(theirs);
    // Paused, so the end of file is not seen; the pushes find out.
    turn_until(&mut reactor, |reactor| {
        if let Some(mut channel) = reactor.channel(id) {
            channel.push("anybody there?");
        }
        reactor.is_idle()
    });
    closed_once(&trace);
    assert!(!trace.joined().contains("error"), "{:?}", trace.lines());
}

/// Reads and sends in each `handle_read`, with any answer.
struct Careless {
    trace: Trace,
}

impl Dispatcher for Careless {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        assert!(!self.trace.has("close"));
        let mut broken = None;
        let recv = channel.recv(&mut [0; 16]);
        broken = broken.or(recv
            .err()
            .filter(|error| error.kind() != ErrorKind::WouldBlock));
        let send = channel.send(b"x");
        broken = broken.or(send
            .err()
            .filter(|error| error.kind() != ErrorKind::WouldBlock));
        if broken.is_some() {
            assert!(!self.trace.has("close"), "from inside recv or send");
            assert_eq!(channel.state(), State::Open);
            self.trace.add("broken");
        }
        Ok(())
    }

    fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
        self.trace.add("close");
        Ok(())
    }
}

/// A handler that answers each failure with another try must not keep `handle_close` away for ever.
#[test]
fn a_handler_that_ignores_a_reset_is_closed_all_the_same() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    reactor
        .register(
            ours,
            Careless {
                trace: trace.clone(),
            },
        )
        .unwrap();
    settle(&mut reactor);
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    closed_once(&trace);
    assert!(trace.count("broken") <= 3, "{}", trace.count("broken"));
}

/// No event is left that would have the channel looked at.
#[test]
fn an_end_of_file_read_from_outside_leads_to_handle_close() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, theirs) = settled(&mut reactor, recorder);
    drop(theirs);
    // Past the event, which would have the channel looked at.
    settle(&mut reactor);
    assert_eq!(reactor.channel(id).unwrap().recv(&mut [0]).unwrap(), 0);
    assert!(!trace.has("close"), "not from inside recv");
    turn_until(&mut reactor, |_| trace.has("close"));
    assert_eq!(trace.lines(), ["connect", "ended", "close"]);
}

// ---- end of file and reset

/// Five megabytes that are wrong if a byte is missing, doubled or out of place.
fn reply() -> Vec<u8> {
    (0..5_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect()
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

/// What couples two channels has to learn that one of them is gone, and `handle_close` comes once.
#[test]
fn a_reset_after_an_end_of_file_is_handle_expt_and_closes() {
    for queued in [true, false] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.on_close = Some(Box::new(|_| Ok(())));
        recorder.on_expt = Some(Box::new(|channel| {
            assert!(channel.is_reset());
            assert_eq!(channel.outgoing_len(), 0, "the queue is gone");
            channel.push("nobody will get this");
            assert_eq!(channel.outgoing_len(), 0);
            assert_eq!(channel.state(), State::Open, "closed when this returns");
            // As if a coupled channel failed: no more than an error of this one.
            Err("cannot pass it on".into())
        }));
        let (ours, theirs) = narrow_tcp_pair();
        let id = reactor.register(ours, recorder).unwrap();
        settle(&mut reactor);
        theirs.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut reactor, |_| trace.has("close"));
        if queued {
            // It finds out by writing.
            reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
            turns(&mut reactor, 10);
            assert!(reactor.channel(id).unwrap().outgoing_len() > 0);
        }
        trace.clear();
        reset(theirs);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.lines(), ["reset", "error:cannot pass it on"]);
        run(&mut reactor);
    }
}

#[test]
fn a_reset_after_ones_own_close_when_done_is_not_told() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = narrow_tcp_pair();
    // The recorder's handle_close is close_when_done.
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
    settle(&mut reactor);
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut reactor, |_| trace.has("close"));
    trace.clear();
    reset(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), [""; 0]);
}

#[test]
fn handle_close_can_tell_a_reset_from_an_end_of_file() {
    if !tells_resets() {
        return;
    }
    for broken in [true, false] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, theirs) = tcp_pair();
        let mut recorder = Recorder::new(&trace);
        let seen = trace.clone();
        recorder.on_close = Some(Box::new(move |channel| {
            seen.add(format!("reset:{}", channel.is_reset()));
            channel.close();
            Ok(())
        }));
        reactor.register(ours, recorder).unwrap();
        turns(&mut reactor, 3);
        if broken {
            reset(theirs);
        } else {
            drop(theirs);
        }
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert!(trace.has(&format!("reset:{broken}")), "{:?}", trace.lines());
    }
}

/// Reads one byte, and then has enough.
struct Sipping {
    trace: Trace,
    enough: bool,
}

impl Dispatcher for Sipping {
    fn readable(&self) -> bool {
        !self.enough
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0])?;
        self.enough = true;
        self.trace.add("sip");
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.trace
            .add(format!("close, reset: {}", channel.is_reset()));
        Ok(())
    }
}

/// There is no next read that could find the reset.
#[test]
fn a_reset_is_noticed_though_its_reader_pauses_in_the_same_visit() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let sipping = Sipping {
        trace: trace.clone(),
        enough: false,
    };
    let (id, mut theirs) = settled(&mut reactor, sipping);
    theirs.write_all(b"abc").unwrap();
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.lines().last().unwrap(), "close, reset: true");
    assert_eq!(trace.count("close, reset: true"), 1);
}

/// Calls its connection broken without having read from it.
struct Despairing(Trace);

impl Dispatcher for Despairing {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
        self.0.add("read");
        Err(io::Error::from(ErrorKind::BrokenPipe).into())
    }

    fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
        self.0.add("close");
        Ok(())
    }
}

/// Input stands before the reset: it must not have `handle_read` called for ever.
#[test]
fn a_reset_out_of_a_callback_that_reads_nothing_ends_the_channel() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Despairing(trace.clone()));
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.has("read"));
    turns(&mut reactor, 10);
    assert_eq!(trace.lines().last().unwrap(), "close");
    assert_eq!(trace.count("close"), 1);
    assert!(reactor.channel(id).is_none());
}

/// What went wrong on this side does not count.
#[test]
fn is_reset_tells_what_the_peer_broke_and_nothing_else() {
    for (kind, last) in [
        (ErrorKind::BrokenPipe, "reset:true"),
        (ErrorKind::ConnectionReset, "reset:true"),
        (ErrorKind::InvalidData, "reset:false"),
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.on_read = Some(Box::new(move |channel| {
            assert!(!channel.is_reset(), "nothing is wrong yet");
            Err(io::Error::from(kind).into())
        }));
        for hook in [&mut recorder.on_close, &mut recorder.on_error] {
            let seen = trace.clone();
            *hook = Some(Box::new(move |channel| {
                seen.add(format!("reset:{}", channel.is_reset()));
                channel.close();
                assert!(!channel.is_reset(), "a closed channel has no peer");
                Ok(())
            }));
        }
        let (id, mut theirs) = settled(&mut reactor, recorder);
        theirs.write_all(b"x").unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.lines().last().unwrap(), last, "{kind:?}");
    }
}

/// The `NotConnected` of the closed channel is no reset of the one whose callback is running.
#[test]
fn recv_on_a_closed_sibling_is_an_error_of_the_caller_and_not_its_reset() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (sibling, _other) = settled(&mut reactor, Recorder::named(&trace, "sibling"));
    let mut recorder = Recorder::named(&trace, "caller");
    let seen = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if seen.lines().last().unwrap() == "caller.read:1" {
            let mut sibling = channel.registry().channel(sibling).unwrap();
            sibling.close();
            sibling.recv(&mut [0])?;
        }
        Ok(())
    }));
    let seen = trace.clone();
    recorder.on_error = Some(Box::new(move |channel| {
        seen.add(format!("reset:{}", channel.is_reset()));
        Ok(())
    }));
    let (_, mut theirs) = settled(&mut reactor, recorder);
    trace.clear();
    theirs.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| trace.has("reset:false"));
    theirs.write_all(b"yz").unwrap();
    turn_until(&mut reactor, |_| trace.has("caller.read:2"));
    assert_eq!(
        trace.lines(),
        [
            "caller.read:1",
            &format!("caller.error:channel {sibling} is closed"),
            "reset:false",
            "caller.read:2"
        ]
    );
}

/// `BrokenPipe` would pass for the peer's doing, and half a conversation would be thrown away.
#[test]
fn a_send_after_ones_own_shutdown_write_is_no_reset() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 1;
    recorder.on_connect = Some(Box::new(|channel| {
        channel.shutdown_write();
        Ok(())
    }));
    recorder.on_read = Some(Box::new(|channel| {
        channel.send(b"x")?;
        Ok(())
    }));
    let seen = trace.clone();
    recorder.on_error = Some(Box::new(move |channel| {
        seen.add(format!("reset:{}", channel.is_reset()));
        Ok(())
    }));
    let (id, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.count("read:1") == 3);
    settle(&mut reactor);
    assert!(trace.count("reset:false") >= 3, "{:?}", trace.lines());
    assert!(!trace.has("reset:true"), "{:?}", trace.lines());
    assert!(!trace.has("close"), "{:?}", trace.lines());
    assert!(reactor.channel(id).is_some());
}

// ---- what is still read and sent around a reset

type Act = fn(&mut Channel<'_>, usize, &Trace) -> Result;

/// Calls `act` in each `handle_read` once there is something to read, with the number of the call.
struct Acts {
    trace: Trace,
    reads: Rc<RefCell<Option<usize>>>,
    act: Act,
}

impl Dispatcher for Acts {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let nth = match &mut *self.reads.borrow_mut() {
            Some(reads) => {
                *reads += 1;
                *reads
            }
            None => return Ok(channel.recv(&mut [0; 8]).map(drop)?),
        };
        (self.act)(channel, nth, &self.trace)
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.trace.add("close");
        channel.close();
        Ok(())
    }
}

fn broken() -> Result {
    Err(ErrorKind::BrokenPipe.into_boxed())
}

#[test]
fn a_callback_that_declares_the_connection_broken_is_asked_for_what_is_left_and_what_it_pushed_is_tried()
 {
    fn read(channel: &mut Channel<'_>, trace: &Trace) -> Result {
        let text = channel.recv_with(|_, data| String::from_utf8_lossy(data).into_owned())?;
        trace.add(text);
        Ok(())
    }
    let cases: [(&str, Act, &[&str]); 3] = [
        (
            "takes nothing, though it does something else",
            |channel, nth, trace| {
                trace.add("read");
                channel.touch();
                if nth == 1 { broken() } else { Ok(()) }
            },
            &["read", "close"],
        ),
        (
            "gives bytes back first",
            |channel, nth, trace| {
                if nth > 1 {
                    return read(channel, trace);
                }
                channel.unread("held back");
                broken()
            },
            &["held back", "rest", "close"],
        ),
        (
            "pushes first",
            |channel, nth, trace| {
                if nth > 1 {
                    return read(channel, trace);
                }
                channel.push("last words");
                broken()
            },
            &["close"],
        ),
    ];
    // Bytes given back from outside make a full visit of a fast one.
    for ((what, act, expected), full) in cases
        .into_iter()
        .flat_map(|case| [(case, false), (case, true)])
    {
        let trace = Trace::new();
        let reads = Rc::new(RefCell::new(None));
        let mut peer = Harness::new(Acts {
            trace: trace.clone(),
            reads: Rc::clone(&reads),
            act,
        });
        *reads.borrow_mut() = Some(0);
        if full {
            let id = peer.id();
            let mut registry = peer.registry();
            registry.channel(id).unwrap().unread("rest");
            drop(registry);
            peer.advance(std::time::Duration::ZERO);
        } else {
            peer.feed("rest");
        }
        // Bytes given back twice are read in one piece.
        let lines = trace.joined().replace("backrest", "back rest");
        assert_eq!(lines, expected.join(" "), "{what}, full visit {full}");
        let sent: &[u8] = if what == "pushes first" {
            b"last words"
        } else {
            b""
        };
        assert_eq!(peer.output(), sent, "{what}, full visit {full}");
        assert!(peer.is_closed(), "{what}, full visit {full}");
    }
}

#[test]
fn what_a_paused_reader_left_is_not_read_in_handle_close_after_a_reset() {
    struct Paused(Trace);
    impl Dispatcher for Paused {
        fn readable(&self) -> bool {
            false
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            let left = channel.recv(&mut [0; 8]).map_err(|error| error.kind());
            self.0.add(format!("{left:?}"));
            Ok(())
        }
    }
    let trace = Trace::new();
    let mut peer = Harness::new(Paused(trace.clone()));
    peer.feed("left");
    let id = peer.id();
    peer.registry().channel(id).unwrap().push("x");
    peer.reset();
    assert_eq!(trace.lines(), ["Err(WouldBlock)"]);
}

#[test]
fn a_callback_counts_itself_in_the_statistics() {
    struct Counts(Trace);
    impl Dispatcher for Counts {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            let callbacks = channel.registry().stats().callbacks;
            self.0.add(callbacks.to_string());
            Ok(())
        }
    }
    let trace = Trace::new();
    drop(Harness::new(Counts(trace.clone())));
    assert_eq!(trace.lines(), ["1"]);
}

/// `ETIMEDOUT`: a peer that has vanished is gone, and no failure of a callback.
#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_answers_no_more_is_a_reset() {
    for reads in [true, false] {
        let mut reactor = reactor();
        let trace = Trace::new();
        // A peer whose window stays shut is given up like one that has vanished.
        let (ours, _theirs) = narrow_tcp_pair();
        socket2::SockRef::from(&ours)
            .set_tcp_user_timeout(Some(std::time::Duration::from_millis(1)))
            .unwrap();
        let mut recorder = Recorder::new(&trace);
        recorder.readable = reads;
        recorder.on_close = Some(Box::new(|channel| {
            assert!(channel.is_reset());
            Ok(())
        }));
        let id = reactor.register(ours, recorder).unwrap();
        reactor.channel(id).unwrap().push(vec![0; 4 << 20]);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
        assert!(!trace.joined().contains("error"), "{:?}", trace.lines());
    }
}

/// The same kind of error from anywhere else is the callback's own.
#[test]
fn a_timeout_of_something_else_is_a_failure_of_the_callback() {
    for error in [
        io::Error::from(ErrorKind::TimedOut),
        io::Error::from_raw_os_error(if cfg!(target_os = "linux") { 110 } else { 60 }),
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, _theirs) = tcp_pair();
        let text = error.to_string();
        let mut recorder = Recorder::new(&trace);
        let mut error = Some(error);
        recorder.on_connect = Some(Box::new(move |_| Err(error.take().unwrap().into())));
        reactor.register(ours, recorder).unwrap();
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(trace.lines(), ["connect", &format!("error:{text}")]);
    }
}

#[cfg(unix)]
#[test]
fn a_touch_before_handle_close_does_not_hide_the_end_of_a_pipe() {
    struct Reader(Rc<std::cell::Cell<u32>>);
    impl Dispatcher for Reader {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv(&mut [0; 100])?;
            channel.touch();
            Ok(())
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.set(self.0.get() + 1);
            channel.close();
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (ours, mut theirs) = io::pipe().unwrap();
    let closes = Rc::new(std::cell::Cell::new(0));
    reactor.register(ours, Reader(closes.clone())).unwrap();
    theirs.write_all(b"all").unwrap();
    drop(theirs);
    turn_until(&mut reactor, |_| closes.get() > 0);
    assert_eq!(closes.get(), 1);
}

/// The half-close is the first call that meets the reset: nothing is known of input yet.
#[test]
fn what_arrived_before_a_reset_that_a_half_close_meets_is_delivered() {
    if !tells_resets() || !keeps_input_before_resets() {
        return;
    }
    struct Client(Trace, Option<TcpStream>);
    impl Dispatcher for Client {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            if let Some(mut peer) = self.1.take() {
                peer.write_all(b"last words")?;
                reset(peer);
            }
            channel.shutdown_write();
            Ok(())
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut buf = [0; 100];
            let n = channel.recv(&mut buf)?;
            self.0.add(format!("read {n}"));
            Ok(())
        }
        fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
            self.0.add("close");
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let id = reactor
        .connect(address, Client(trace.clone(), None))
        .unwrap();
    let (peer, _) = listener.accept().unwrap();
    reactor
        .with(id, |client: &mut Client, _| client.1 = Some(peer))
        .unwrap();
    run(&mut reactor);
    assert_eq!(trace.joined(), "read 10 close");
}
