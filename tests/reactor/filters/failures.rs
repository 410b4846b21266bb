//! Handshakes that fail, and streams that break later: who is told, once, and the alert arrives.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, Write},
    net::Shutdown,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    BoxError, Cause, Channel, Dispatcher, Exceptional, FilePart, HandshakeFailed, Reactor, Result,
    testing::Harness,
};
use util::{
    Log, Recorder, Trace,
    peer::{read_to_end, tcp_pair},
    settle,
    toy::{Call, DATA, Failed, Far, Toy},
    turn_until,
};

use super::{Kind, Line, SECOND, builder, words};

/// A request and a broken record in one read. Nothing behind it holds up what is pushed, so that it may be any number of bytes.
#[test]
fn a_file_past_the_high_mark_may_be_pushed_behind_a_broken_record() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 300_000]).unwrap();
    let mut file = Some(file);
    let mut line = Line::open(|recorder| {
        let received = recorder.received.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            if !received.borrow().is_empty()
                && let Some(file) = file.take()
            {
                channel.push_file(FilePart::new(file, ..)?);
            }
            Ok(())
        }));
    });
    line.far.say("get file");
    let mut wire = line.far.wire();
    wire.extend([DATA, 99, 0, 0]);
    line.peer.feed(wire);
    let news = line.news();
    assert!(news.starts_with("read:8 error:record 99"), "{news}");
}

/// What makes a handshake fail.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The filter's own error, at its start.
    Start,
    /// The filter's own error, later.
    Step,
    /// The peer speaks another protocol.
    Garbage,
    /// The peer gives up.
    Alert,
    EndOfFile,
    Deadline,
}

impl Failure {
    const ALL: [Self; 6] = [
        Self::Start,
        Self::Step,
        Self::Garbage,
        Self::Alert,
        Self::EndOfFile,
        Self::Deadline,
    ];

    fn near(self) -> Toy {
        let toy = Toy::server().round_trips(2);
        match self {
            Self::Start => toy.fails(Call::Feed, 1),
            Self::Step => toy.fails(Call::Feed, 2),
            _ => toy,
        }
    }

    fn happens(self, line: &mut Line) {
        match self {
            Self::Start => {}
            Self::Step => line.feed(),
            Self::Garbage => line
                .peer
                .feed("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
            Self::Alert => line.peer.feed([b'A', 0, 0, 2, b'n' ^ 0x5a, b'o' ^ 0x5a]),
            Self::EndOfFile => line.peer.eof(),
            Self::Deadline => line.peer.advance(10 * SECOND),
        }
    }

    fn error(self) -> &'static str {
        match self {
            Self::Start | Self::Step => "feed fails",
            Self::Garbage => "no record",
            Self::Alert => "alert: no",
            Self::EndOfFile => "UnexpectedEof",
            Self::Deadline => "TimedOut",
        }
    }

    /// What the other side learns.
    fn alert(self) -> Option<&'static str> {
        match self {
            Self::Start | Self::Step => Some("alert: feed fails"),
            Self::Garbage => Some("alert: no record"),
            Self::Alert | Self::EndOfFile | Self::Deadline => None,
        }
    }
}

/// An error by its kind, if it is one of the system's, else by its text.
fn shown(error: &BoxError) -> String {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => format!("{:?}", error.kind()),
        None => {
            assert!(error.is::<Failed>(), "not the filter's own: {error}");
            error.to_string()
        }
    }
}

/// Writes down its failed handshake, and what else it is told.
struct Told {
    heard: Rc<RefCell<Vec<String>>>,
    /// Closes when it is told.
    closes: bool,
}

impl Told {
    fn note(&self, line: impl Into<String>) {
        self.heard.borrow_mut().push(line.into());
    }
}

impl Dispatcher for Told {
    fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
        self.note("connect");
        Ok(())
    }
    fn handle_secured(&mut self, _: &mut Channel<'_>) -> Result {
        self.note("secured");
        Ok(())
    }
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("read");
        channel.recv_with(|_, _| ())?;
        Ok(())
    }
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note(format!("close, reset {}", channel.is_reset()));
        channel.close();
        Ok(())
    }
    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        let Exceptional::HandshakeFailed(error) = what else {
            panic!("{what:?}");
        };
        self.note(format!("expt {}", shown(&error)));
        if self.closes {
            channel.close();
        }
        Ok(())
    }
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        let failed = error
            .downcast_ref::<HandshakeFailed>()
            .expect("another error");
        assert_eq!(failed.channel, channel.id());
        self.note(format!("error {}", shown(&failed.error)));
        if self.closes {
            channel.close();
        }
    }
}

#[test]
fn a_failed_handshake_is_told_once_and_its_alert_arrives() {
    for (kind, failure) in Kind::BOTH
        .into_iter()
        .flat_map(|kind| Failure::ALL.map(|failure| (kind, failure)))
    {
        let case = format!("{kind:?}, {failure:?}");
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let mut line = Line::of(kind, failure.near(), Toy::client().round_trips(2), |_| ());
        if line.peer.is_closed() || line.peer.has_ended() {
            // The one that fails at its start has done so.
            assert!(matches!(failure, Failure::Start), "{case}");
        } else {
            let told = Told {
                heard: heard.clone(),
                closes: false,
            };
            line.on(|channel| channel.replace(told));
        }
        failure.happens(&mut line);
        line.take();
        assert_eq!(line.far.failed(), failure.alert(), "{case}");
        assert!(line.peer.has_ended(), "{case}: ends its output");
        // It lingers, so that what the peer still sends does not reset the connection.
        line.peer.feed("more and more");
        assert!(!line.peer.was_aborted(), "{case}");
        line.peer.eof();
        assert!(line.peer.is_closed() && !line.peer.was_aborted(), "{case}");
        assert_eq!(line.peer.closed(), Some(Cause::HandshakeFailed), "{case}");
        let error = failure.error();
        let expected = match kind {
            Kind::Implicit => format!("expt {error}"),
            Kind::Upgraded => format!("error {error}"),
        };
        if matches!(failure, Failure::Start) {
            let news = line.news();
            let word = if kind == Kind::Implicit {
                "handshake:feed fails"
            } else {
                "error:channel "
            };
            assert_eq!(news.matches(word).count(), 1, "{case}: {news}");
        } else {
            assert_eq!(*heard.borrow(), [expected], "{case}");
            assert_eq!(
                line.news(),
                "",
                "{case}: the listener or the former object hears of it"
            );
        }
        line.watch.check_gone();
    }
}

#[test]
fn whatever_the_object_does_with_a_failed_handshake_the_alert_leaves_and_the_channel_ends() {
    for (kind, closes) in [
        (Kind::Implicit, true),
        (Kind::Implicit, false),
        (Kind::Upgraded, true),
        (Kind::Upgraded, false),
    ] {
        let case = format!("{kind:?}, closes {closes}");
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        let told = Told {
            heard: heard.clone(),
            closes,
        };
        line.on(|channel| channel.replace(told));
        line.peer.feed("garbage");
        line.take();
        assert_eq!(line.far.failed(), Some("alert: no record"), "{case}");
        line.peer.eof();
        assert!(line.peer.is_closed(), "{case}");
        assert_eq!(heard.borrow().len(), 1, "{case}: {:?}", heard.borrow());
    }
}

#[test]
fn a_reset_in_a_handshake_is_its_failure_or_the_end_of_an_open_channel() {
    let resets: [fn(&mut Line); 2] = [
        |line| line.peer.reset(),
        // A callback says so.
        |line| {
            line.on(|channel| {
                channel.call_later(Duration::ZERO, |_: &mut Told, _| {
                    Err(io::Error::from(ErrorKind::ConnectionReset).into())
                });
            });
        },
    ];
    let kinds = [
        (Kind::Implicit, "expt ConnectionReset"),
        (Kind::Upgraded, "close, reset true"),
    ];
    for ((kind, expected), reset) in kinds
        .into_iter()
        .flat_map(|kind| resets.map(|it| (kind, it)))
    {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
        let told = Told {
            heard: heard.clone(),
            closes: false,
        };
        line.on(|channel| channel.replace(told));
        reset(&mut line);
        assert_eq!(*heard.borrow(), [expected]);
        assert!(line.peer.is_closed());
        let cause = match kind {
            Kind::Implicit => Cause::HandshakeFailed,
            Kind::Upgraded => Cause::Reset,
        };
        assert_eq!(line.peer.closed(), Some(cause));
        line.watch.check_gone();
    }
}

/// The defaults of all callbacks.
struct Plain;
impl Dispatcher for Plain {}

#[test]
fn a_failed_handshake_is_debug_in_the_log_and_nothing_above() {
    for (kind, failure) in Kind::BOTH
        .into_iter()
        .flat_map(|kind| Failure::ALL.map(|failure| (kind, failure)))
    {
        let mut line = Line::of(kind, Toy::server().round_trips(2), Toy::client(), |_| ());
        line.on(|channel| channel.replace(Plain));
        let log = Log::start();
        if !matches!(failure, Failure::Start | Failure::Step) {
            failure.happens(&mut line);
            line.peer.eof();
            assert!(
                !log.lines("handshake failed").is_empty(),
                "{kind:?}, {failure:?}: {:?}",
                log.lines("")
            );
            let above = |line: &String| !line.starts_with("DEBUG") && !line.starts_with("TRACE");
            let loud: Vec<_> = log.lines("").into_iter().filter(above).collect();
            assert!(loud.is_empty(), "{kind:?}, {failure:?}: {loud:?}");
        }
    }
}

#[test]
fn an_alert_survives_what_the_peer_has_sent_behind_its_garbage() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    reactor.channel(id).unwrap().upgrade(Toy::server()).unwrap();
    // More than one read: the rest is unread when the filter fails.
    theirs.write_all(&vec![b'x'; 300_000]).unwrap();
    let mut far = Far::client();
    let answer = {
        let theirs = &mut theirs;
        read_to_end(&mut reactor, theirs)
    };
    far.take(&answer);
    assert_eq!(far.failed(), Some("alert: no record"));
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert!(
        words(&trace).starts_with("handshake:no record"),
        "{}",
        words(&trace)
    );
}

#[test]
fn a_broken_record_is_an_error_behind_what_came_before_it() {
    for closes in [true, false] {
        let mut line = Line::open(|it| {
            it.read_size = 3;
            if !closes {
                it.on_error = Some(Box::new(|_| Ok(())));
            }
        });
        line.far.say("hello");
        let mut wire = line.far.wire();
        wire.extend([DATA, 99, 0, 0]);
        wire.extend([0; 100]);
        line.peer.feed(wire);
        line.peer.feed("and more");
        assert_eq!(line.received(), b"hello");
        let news = line.news();
        assert!(news.starts_with("read:3 read:2 error:record 99"), "{news}");
        assert_eq!(news.matches("error:").count(), 1, "{news}");
        line.take();
        assert_eq!(
            line.far.failed(),
            Some("alert: record 99 of 0 bytes"),
            "closes {closes}"
        );
        line.peer.eof();
        assert!(line.peer.is_closed(), "closes {closes}");
        assert_eq!(line.peer.closed(), Some(Cause::Error), "closes {closes}");
        line.watch.check_gone();
    }
}

#[test]
fn a_broken_record_waits_for_an_object_that_does_not_read() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.pause_reading(60 * SECOND));
    line.far.say("hello");
    let mut wire = line.far.wire();
    wire.extend([DATA, 99, 0, 0]);
    line.peer.feed(wire);
    line.on(|channel| channel.resume_reading());
    line.take();
    let news = line.news();
    assert!(news.starts_with("read:5 error:record 99"), "{news}");
    assert_eq!(line.far.failed(), Some("alert: record 99 of 0 bytes"));
}

/// Reads when all of the last read is written, as programs of asyncore do.
struct Relay {
    trace: Trace,
    left: Vec<u8>,
    pushes: bool,
}

impl Dispatcher for Relay {
    fn readable(&self) -> bool {
        self.left.is_empty()
    }
    fn writable(&self) -> bool {
        !self.left.is_empty()
    }
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; 4];
        let n = channel.recv(&mut buf)?;
        self.left.extend_from_slice(&buf[..n]);
        self.trace.add(String::from_utf8_lossy(&buf[..n]));
        if self.pushes {
            channel.push("head");
        }
        Ok(())
    }
    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        while !self.left.is_empty() {
            let taken = channel.send(&self.left)?;
            self.left.drain(..taken);
        }
        Ok(())
    }
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        self.trace.add(error.to_string());
        channel.close();
    }
}

/// It could write only what the filter cannot seal, and reads no more before that.
#[test]
fn a_failure_does_not_wait_for_an_object_that_writes_before_it_reads_on() {
    for pushes in [false, true] {
        let mut reactor = builder().build().unwrap();
        let trace = Trace::new();
        let object = Relay {
            trace: trace.clone(),
            left: Vec::new(),
            pushes,
        };
        let (ours, mut theirs) = tcp_pair();
        let id = reactor.register(ours, object).unwrap();
        let toys = [Toy::server(), Toy::client()];
        let [near, far] = toys.map(|toy| toy.round_trips(0));
        reactor.channel(id).unwrap().upgrade(near).unwrap();
        settle(&mut reactor);
        let mut far = Far::new(far);
        far.say("one two three");
        let mut wire = far.wire();
        wire.extend([DATA, 99, 0, 0]);
        theirs.write_all(&wire).unwrap();
        turn_until(&mut reactor, |_| trace.has("record 99 of 0 bytes"));
        settle(&mut reactor);
        assert_eq!(trace.lines(), ["one ", "record 99 of 0 bytes"]);
    }
}

#[test]
fn a_filter_that_cannot_seal_ends_its_channel() {
    for nth in 1..4 {
        let near = Toy::server().fails(Call::Seal, nth).bite(10);
        let mut line = Line::with(builder(), near, Toy::client(), |_| ());
        line.exchange();
        line.trace.clear();
        line.on(|channel| channel.push(vec![b'x'; 100]));
        line.take();
        let news = line.news();
        assert!(news.starts_with("error:seal fails"), "{nth}: {news}");
        assert_eq!(news.matches("error:").count(), 1, "{nth}: {news}");
        // What was sealed before may have left.
        assert!(line.far.plain().len() <= 10 * (nth - 1));
        line.peer.eof();
        assert!(line.peer.is_closed(), "{nth}");
        line.watch.check_gone();
    }
}

#[test]
fn the_failure_of_one_handshake_disturbs_nobody_else() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (ours, mut good) = tcp_pair();
    reactor
        .register(ours, Recorder::named(&trace, "good"))
        .unwrap();
    let mut bad = Vec::new();
    for n in 0..20 {
        let (ours, mut theirs) = tcp_pair();
        let id = reactor
            .register(ours, Recorder::named(&trace, "bad"))
            .unwrap();
        reactor.channel(id).unwrap().upgrade(Toy::server()).unwrap();
        theirs
            .write_all(if n % 2 == 0 { b"garbage" } else { b"H" })
            .unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        bad.push(theirs);
    }
    settle(&mut reactor);
    good.write_all(b"hello").unwrap();
    reactor.turn(Some(Duration::from_millis(100))).unwrap();
    settle(&mut reactor);
    assert_eq!(trace.count("good.read:5"), 1);
    assert_eq!(reactor.stats().channels, 1);
    let failed = trace
        .lines()
        .iter()
        .filter(|line| line.starts_with("bad.handshake:"))
        .count();
    assert_eq!(failed, 20);
    for mut theirs in bad {
        let end = read_to_end(&mut reactor, &mut theirs);
        assert!(end.is_empty() || end[0] == b'A');
    }
}

#[test]
fn a_connect_of_which_the_handshake_fails_is_told_once() {
    let heard: Rc<RefCell<Vec<String>>> = Rc::default();
    let mut peer = Harness::connecting(Told {
        heard: heard.clone(),
        closes: false,
    });
    Line::channel(&mut peer, |channel| channel.upgrade(Toy::client()).unwrap());
    peer.connected();
    peer.eof();
    assert_eq!(
        *heard.borrow(),
        [format!("expt {:?}", ErrorKind::UnexpectedEof)]
    );
    assert!(peer.is_closed());
    assert!(peer.dialled().is_none(), "no other attempt");
}
