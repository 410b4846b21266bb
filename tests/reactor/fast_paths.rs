//! The short ways (calm visit, cork, whole frames) do what the long ways do (R3b, R8-R10, R12-R18).

#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixStream};
use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Exceptional,
    Reactor, Result, Socket, State, Terminator,
};
use socket2::{Domain, SockRef, Socket as RawSocket, Type};
use util::{
    DEADLINE, Recorder, SCRIPTED, Trace,
    peer::{narrow_pair, narrow_tcp_pair, read_while, reset, settled, tcp_pair, tells_resets},
    reactor, settle, silence_scripted_panics, turn_until,
};

/// A connection whose `write` refuses more than it can ever take with an error that is no reset.
#[cfg(unix)]
fn refusing_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = RawSocket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    ours.set_send_buffer_size(4608).unwrap();
    (
        UnixStream::from(OwnedFd::from(ours)),
        UnixStream::from(OwnedFd::from(theirs)),
    )
}

#[cfg(unix)]
fn failing_send(pad_with_large: bool) -> Vec<String> {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = refusing_pair();
    let mut recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if received.borrow().is_empty() {
            // The visit of the greeting is not calm.
        } else if pad_with_large {
            channel.push(vec![1; 30_000]);
        } else {
            channel.write_all(&[1; 30_000])?;
        }
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    theirs.write_all(b"x").unwrap();
    settle(&mut reactor);
    let mut lines = trace.lines();
    lines.push(format!("{:?}", reactor.channel(id).map(|c| c.state())));
    lines.push(format!("errors={}", reactor.stats().errors));
    lines
}

/// Sent while the object is not in its place: the error has to find it all the same, or the stream goes on with a hole.
#[cfg(unix)]
#[test]
fn a_send_that_fails_in_a_calm_visit_is_told() {
    let long_way = failing_send(true);
    let calm = failing_send(false);
    assert!(
        long_way.iter().any(|l| l.starts_with("error:")),
        "{long_way:?}"
    );
    assert_eq!(calm, long_way);
}

struct Paused {
    wants: Rc<Cell<bool>>,
}

impl AsyncChat for Paused {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
    fn readable(&self) -> bool {
        self.wants.get()
    }
}

/// A call that was asked for before `close_when_done` is not owed any more.
#[test]
fn a_lingering_chat_that_asked_for_a_call_does_not_spin() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let wants = Rc::new(Cell::new(true));
    let chat = Paused { wants };
    let id = reactor
        .register(ours, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    settle(&mut reactor);
    reactor
        .with_chat(id, |_: &mut Paused, view| {
            view.set_terminator(Terminator::Count(0));
        })
        .unwrap();
    reactor.channel(id).unwrap().close_when_done();
    let mut buf = [0; 1];
    turn_until(&mut reactor, |_| {
        theirs.set_nonblocking(true).unwrap();
        matches!(theirs.read(&mut buf), Ok(0))
    });
    assert_eq!(reactor.channel(id).unwrap().state(), State::Closing);
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < Duration::from_millis(300) {
        reactor.turn(Some(Duration::from_millis(100))).unwrap();
        turns += 1;
    }
    assert!(turns < 50, "{turns} turns in 300 ms of lingering");
}

fn reads_of_a_handler_that_fails(before_greeting: bool) -> usize {
    let mut reactor = reactor();
    struct Fails(Trace, Rc<Cell<bool>>);
    impl Dispatcher for Fails {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            if !self.1.get() {
                channel.recv(&mut [0])?;
            }
            self.0.add("read");
            Err(io::Error::from(ErrorKind::ConnectionReset).into())
        }
        fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
            self.0.add("close");
            Ok(())
        }
    }
    let trace = Trace::new();
    let fails = Rc::new(Cell::new(before_greeting));
    let (ours, mut theirs) = tcp_pair();
    if before_greeting {
        theirs.write_all(b"x").unwrap();
    }
    reactor
        .register(ours, Fails(trace.clone(), fails.clone()))
        .unwrap();
    if !before_greeting {
        settle(&mut reactor);
        fails.set(true);
        theirs.write_all(b"x").unwrap();
    }
    turn_until(&mut reactor, |r| r.stats().channels == 0);
    assert_eq!(trace.count("close"), 1);
    trace.count("read")
}

#[test]
fn a_handler_that_returns_a_reset_is_called_as_often_in_a_calm_visit() {
    assert_eq!(
        reads_of_a_handler_that_fails(false),
        reads_of_a_handler_that_fails(true)
    );
}

// ---- random operations on a corked queue

struct Random(u64);
impl Random {
    fn next(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Default)]
struct Model {
    expected: Vec<u8>,
    queued: usize,
    refused: bool,
    congested: bool,
    low: usize,
    high: usize,
    max: usize,
    counter: u8,
}

struct Chaos {
    model: Rc<RefCell<Model>>,
    random: Random,
    other: Rc<Cell<Option<ChannelId>>>,
    log: Rc<RefCell<Vec<String>>>,
}

struct Other;
impl Dispatcher for Other {}

impl Chaos {
    fn chaos(&mut self, channel: &mut Channel<'_>, ops: u64) {
        let id = channel.id();
        let model = self.model.clone();
        let mut model = model.borrow_mut();
        // Nothing is sent while a callback runs, so the queue only grows in it.
        model.queued = channel.outgoing_len();
        model.congested = channel.is_congested();
        for _ in 0..self.random.next(ops) {
            let len = match self.random.next(8) {
                0 => 0,
                1 => 2048,
                2 => 2049,
                3 => 1024,
                4 => self.random.next(9000) as usize,
                _ => self.random.next(60) as usize,
            };
            model.counter = model.counter.wrapping_add(1);
            let data = vec![model.counter; len];
            let op = self.random.next(14);
            self.log.borrow_mut().push(format!("{op}:{len}"));
            let mut adds = 0;
            match op {
                0..=3 => {
                    channel.write_all(&data).unwrap();
                    adds = len;
                }
                4 => {
                    channel.push(data.clone());
                    adds = len;
                }
                5 => {
                    let mut own = channel.registry().channel(id).unwrap();
                    own.write_all(&data).unwrap();
                    adds = len;
                }
                6 if model.queued > 0 => {
                    assert_eq!(
                        channel.send(b"no").unwrap_err().kind(),
                        ErrorKind::WouldBlock
                    );
                }
                7 => {
                    model.high = self.random.next(20_000) as usize;
                    model.low = model.high / 2;
                    channel.set_watermarks(model.low, model.high);
                    model.congested |= model.queued > model.high;
                }
                8 => {
                    model.max = 3000 + self.random.next(60_000) as usize;
                    channel.set_max_outgoing(model.max);
                }
                9 => {
                    let seen = channel.registry().channels().find(|c| c.id == id).unwrap();
                    assert_eq!(seen.outgoing_len, model.queued);
                }
                10 => {
                    let other = self.other.get().unwrap();
                    let piece = data.clone();
                    channel
                        .registry()
                        .with(other, move |_: &mut Other, c| {
                            c.registry().channel(id).unwrap().write_all(&piece).unwrap();
                            assert_eq!(
                                c.registry().with(id, |_: &mut Chaos, _| ()).unwrap_err(),
                                asynchat::VisitError::Busy(id)
                            );
                        })
                        .unwrap();
                    adds = len;
                }
                11 => {
                    let other = self.other.get().unwrap();
                    channel.registry().channel(other).unwrap().push("x");
                }
                12 => channel.touch(),
                _ => {
                    let timeout = Some(Duration::from_secs(3600)).filter(|_| len % 2 == 0);
                    channel.set_idle_timeout(timeout);
                }
            }
            if adds > 0 {
                if model.refused || model.queued + adds > model.max {
                    model.refused = true;
                } else {
                    model.queued += adds;
                    model.congested |= model.queued > model.high;
                    model.expected.extend_from_slice(&data);
                }
            }
            assert_eq!(
                channel.outgoing_len(),
                model.queued,
                "{:?}",
                self.log.borrow()
            );
            assert_eq!(
                channel.is_congested(),
                model.congested,
                "{:?}",
                self.log.borrow()
            );
        }
    }
}

impl Dispatcher for Chaos {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|_, _| ())?;
        self.log.borrow_mut().clear();
        self.chaos(channel, 20);
        match self.random.next(6) {
            0 => panic!("{SCRIPTED} panic after the pushes"),
            1 => Err("an error after the pushes".into()),
            2 => Err(io::Error::from(ErrorKind::WouldBlock).into()),
            _ => Ok(()),
        }
    }
    fn writable(&self) -> bool {
        false
    }
    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        assert!(!channel.is_congested());
        self.chaos(channel, 4);
        Ok(())
    }
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        let text = error.to_string();
        if error.is::<asynchat::OutgoingFull>() {
            assert!(self.model.borrow().refused);
            self.model.borrow_mut().refused = false;
        } else {
            assert!(text.contains("after the pushes"), "{text}");
        }
        self.chaos(channel, 4);
    }
}

#[test]
fn whatever_a_callback_does_to_its_queue_leaves_whole_and_in_order() {
    silence_scripted_panics();
    for seed in 1..5_u64 {
        let mut reactor = Reactor::builder().build().unwrap();
        let (ours, mut theirs) = tcp_pair();
        let (others, _keep) = tcp_pair();
        if seed % 3 == 0 {
            SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
            SockRef::from(&theirs).set_recv_buffer_size(4096).unwrap();
        }
        let model = Rc::new(RefCell::new(Model {
            high: 256 * 1024,
            low: 64 * 1024,
            max: 64 << 20,
            ..Model::default()
        }));
        let other = Rc::new(Cell::new(None));
        let chaos = Chaos {
            model: model.clone(),
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            other: other.clone(),
            log: Rc::default(),
        };
        let id = reactor.register(ours, chaos).unwrap();
        other.set(Some(reactor.register(others, Other).unwrap()));
        settle(&mut reactor);
        let mut got = Vec::new();
        for round in 0..60 {
            theirs.set_nonblocking(false).unwrap();
            theirs.write_all(b"x").unwrap();
            if round % 4 == 0 {
                let so_far = got.len();
                let more = read_while(&mut reactor, &mut theirs, |more| {
                    so_far + more.len() >= model.borrow().expected.len() || more.len() > 20_000
                });
                got.extend(more);
            } else {
                reactor.turn(Some(Duration::from_millis(20))).unwrap();
            }
        }
        // A drain may push more.
        for _ in 0..8 {
            let so_far = got.len();
            got.extend(read_while(&mut reactor, &mut theirs, |more| {
                so_far + more.len() >= model.borrow().expected.len()
            }));
            settle(&mut reactor);
        }
        {
            let m = model.borrow();
            let at = got.iter().zip(&m.expected).position(|(a, b)| a != b);
            assert!(
                got == m.expected,
                "seed {seed}: got {} of {}, differ at {at:?}",
                got.len(),
                m.expected.len()
            );
        }
        let channel = reactor.channel(id).expect("open");
        assert_eq!(channel.outgoing_len(), 0);
        assert!(!channel.is_congested(), "seed {seed} congested");
        assert!(
            !model.borrow().refused,
            "seed {seed}, {:?}",
            reactor.stats()
        );
        let info = reactor.channels().find(|c| c.id == id).unwrap();
        assert_eq!(info.bytes_out, got.len() as u64);
    }
}

// ---- whole frames against one byte at a time

#[derive(Clone, Copy, Debug)]
enum How {
    Whole,
    Bytes,
    Pieces(u64),
}

struct Framed {
    random: Random,
    frame: Vec<u8>,
    frames: Rc<RefCell<Vec<Vec<u8>>>>,
    whole: bool,
}

impl AsyncChat for Framed {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        assert!(!self.whole, "data after a whole frame");
        assert!(!data.is_empty());
        self.whole = chat.is_whole_frame(data);
        assert!(!self.whole || self.frame.is_empty());
        self.frame.extend_from_slice(data);
        Ok(())
    }
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.whole = false;
        self.frames
            .borrow_mut()
            .push(std::mem::take(&mut self.frame));
        match self.random.next(9) {
            0 => chat.set_terminator("\n"),
            1 => chat.set_terminator("\r\n"),
            2 => chat.set_terminator(self.random.next(4)),
            3 => chat.set_terminator("aa"),
            4 => chat.set_terminator("aba"),
            5 => chat.set_max_frame(Some(self.random.next(40) as usize)),
            6 => chat.set_max_frame(None),
            _ => {
                if matches!(chat.terminator(), Terminator::None) {
                    chat.set_terminator("\r\n");
                }
            }
        }
        if matches!(chat.terminator(), Terminator::None) {
            chat.set_terminator("\r");
        }
        Ok(())
    }
    fn handle_error(&mut self, _: &mut ChatChannel<'_>, error: BoxError) {
        assert!(error.is::<asynchat::FrameTooLong>(), "{error}");
        self.frames.borrow_mut().push(b"too long".to_vec());
        // What was collected depends on how the bytes came.
        self.frame.clear();
    }
}

fn framed(seed: u64, input: &[u8], how: How) -> Vec<Vec<u8>> {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nodelay(true).unwrap();
    let frames = Rc::new(RefCell::new(Vec::new()));
    let chat = Framed {
        random: Random(seed),
        frame: Vec::new(),
        frames: frames.clone(),
        whole: false,
    };
    reactor
        .register(ours, ChatDispatcher::new(chat, "\r\n"))
        .unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    let mut random = Random(seed ^ 0xabcdef);
    let mut rest = input;
    while !rest.is_empty() {
        let len = match how {
            How::Whole => rest.len(),
            How::Bytes => 1,
            How::Pieces(n) => 1 + random.next(n) as usize,
        };
        let (piece, left) = rest.split_at(len.min(rest.len()));
        theirs.write_all(piece).unwrap();
        rest = left;
        reactor.turn(Some(Duration::from_millis(100))).unwrap();
    }
    settle(&mut reactor);
    frames.take()
}

#[test]
fn frames_do_not_depend_on_how_the_bytes_come() {
    for seed in 1..5_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let input: Vec<u8> = (0..400)
            .map(|_| b"\r\n\r\nab a\rxyaab"[random.next(14) as usize])
            .collect();
        let all = framed(seed, &input, How::Whole);
        for how in [How::Bytes, How::Pieces(7), How::Pieces(60)] {
            assert_eq!(framed(seed, &input, how), all, "seed {seed} {how:?}");
        }
    }
}

struct Asked {
    closed: bool,
    asked_after: Rc<Cell<usize>>,
}

impl AsyncChat for Asked {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.close();
        self.closed = true;
        Ok(())
    }
    fn readable(&self) -> bool {
        let more = usize::from(self.closed);
        self.asked_after.set(self.asked_after.get() + more);
        true
    }
}

#[test]
fn a_chat_that_closed_is_asked_no_predicate() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let asked_after = Rc::new(Cell::new(0));
    let chat = Asked {
        closed: false,
        asked_after: asked_after.clone(),
    };
    reactor
        .register(ours, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    settle(&mut reactor);
    theirs.write_all(b"a\nb\n").unwrap();
    turn_until(&mut reactor, |r| r.stats().channels == 0);
    assert_eq!(asked_after.get(), 0);
}

#[derive(Default)]
struct Alternating {
    found: Rc<Cell<usize>>,
    none: bool,
}

impl AsyncChat for Alternating {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.found.set(self.found.get() + 1);
        self.none = !self.none;
        if self.none {
            chat.set_terminator(0);
        } else {
            chat.set_terminator("\n");
        }
        Ok(())
    }
}

/// A frame taken whole is input as well.
#[test]
fn frames_without_input_count_only_in_a_row() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let found = Rc::new(Cell::new(0));
    let chat = Alternating {
        found: found.clone(),
        none: false,
    };
    reactor
        .register(ours, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    settle(&mut reactor);
    theirs.write_all("a\n".repeat(3000).as_bytes()).unwrap();
    let mut turns = 0;
    while found.get() < 6000 {
        let turn = reactor.turn(Some(Duration::from_millis(20))).unwrap();
        turns += usize::from(turn.callbacks > 0);
        assert!(turns < 100);
    }
    assert_eq!(turns, 1, "one read");
}

/// The same spin as a peer could cause it: a request without a body, answered with `close_when_done` while the chat does
/// not want the next one.
struct Server {
    head: bool,
    wants: bool,
}

impl AsyncChat for Server {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if std::mem::replace(&mut self.head, false) {
            let id = chat.id();
            chat.set_terminator(0);
            self.wants = false;
            chat.registry()
                .call_later(Duration::from_millis(1), move |registry| {
                    if let Some(mut channel) = registry.channel(id) {
                        channel.push("HTTP/1.1 503 Busy\r\n\r\n");
                        channel.close_when_done();
                    }
                    Ok(())
                });
        }
        Ok(())
    }
    fn readable(&self) -> bool {
        self.wants
    }
}

#[test]
fn a_peer_cannot_make_a_lingering_channel_spin() {
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let server = Server {
        head: true,
        wants: true,
    };
    let id = reactor
        .register(ours, ChatDispatcher::new(server, "\r\n\r\n"))
        .unwrap();
    settle(&mut reactor);
    theirs
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut buf = [0; 100];
    theirs.set_nonblocking(true).unwrap();
    turn_until(&mut reactor, |_| matches!(theirs.read(&mut buf), Ok(0)));
    assert_eq!(reactor.channel(id).unwrap().state(), State::Closing);
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < Duration::from_millis(300) {
        reactor.turn(Some(Duration::from_millis(100))).unwrap();
        turns += 1;
    }
    assert!(turns < 50, "{turns} turns in 300 ms of lingering");
}

// ---- one script over a TCP and over a Unix stream: the short ways of `recv` and `send`, and each way out of them

/// Leaves all calls to the test, and the channel open.
struct Passive;

impl Dispatcher for Passive {
    fn readable(&self) -> bool {
        false
    }
    fn writable(&self) -> bool {
        false
    }
    fn handle_expt(&mut self, _: &mut Channel<'_>, _: Exceptional) -> Result {
        Ok(())
    }
    fn handle_close(&mut self, _: &mut Channel<'_>) -> Result {
        Ok(())
    }
}

/// The answer of `call` once the socket is ready for it.
fn when_ready<R>(
    reactor: &mut Reactor,
    id: ChannelId,
    mut call: impl FnMut(&mut Channel<'_>) -> io::Result<R>,
) -> io::Result<R> {
    let mut answer = None;
    turn_until(reactor, |reactor| {
        let got = call(&mut reactor.channel(id).unwrap());
        let ready = !matches!(&got, Err(e) if e.kind() == ErrorKind::WouldBlock);
        answer = Some(got);
        ready
    });
    answer.unwrap()
}

/// With small buffers: the reactor's ends, the peers' ends.
fn both_kinds() -> [(&'static str, Socket, RawSocket); 2] {
    let (tcp, tcp_peer) = narrow_tcp_pair();
    let (local, local_peer) = narrow_pair();
    let kinds = [
        ("TCP", Socket::from(tcp), RawSocket::from(tcp_peer)),
        ("Unix", Socket::from(local), RawSocket::from(local_peer)),
    ];
    for (_, _, peer) in &kinds {
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    kinds
}

type ReadCall = fn(&mut Channel<'_>) -> io::Result<Vec<u8>>;

/// Each reads 4 bytes at most.
const READ_CALLS: [(&str, ReadCall); 2] = [
    ("recv", |channel| {
        let mut buf = [0; 4];
        channel.recv(&mut buf).map(|n| buf[..n].to_vec())
    }),
    ("recv_with", |channel| {
        channel.recv_with(|_, data| data.to_vec())
    }),
];

#[test]
fn a_read_answers_alike_on_every_stream() {
    for (call, read) in READ_CALLS {
        for (kind, ours, mut theirs) in both_kinds() {
            let mut reactor = Reactor::builder().read_buffer(4).build().unwrap();
            let id = reactor.register(ours, Passive).unwrap();
            let case = format!("{call}, {kind}");
            let now = |reactor: &mut Reactor| {
                read(&mut reactor.channel(id).unwrap()).map_err(|error| error.kind())
            };
            let nothing = Err(ErrorKind::WouldBlock);

            // A short read, and nothing behind it. An empty buffer reads nothing and is no end of file.
            assert_eq!(now(&mut reactor), nothing, "{case}");
            theirs.write_all(b"abc").unwrap();
            let empty = when_ready(&mut reactor, id, |channel| channel.recv(&mut []));
            assert_eq!(empty.unwrap(), 0, "{case}");
            assert_eq!(now(&mut reactor).unwrap(), b"abc", "{case}");
            assert_eq!(now(&mut reactor), nothing, "{case}");

            // A read that fills the buffer leaves the rest, behind what is given back.
            theirs.write_all(b"abcdefgh").unwrap();
            let first = when_ready(&mut reactor, id, read);
            assert_eq!(first.unwrap(), b"abcd", "{case}");
            reactor.channel(id).unwrap().unread("12");
            assert_eq!(now(&mut reactor).unwrap(), b"12", "{case}");
            assert_eq!(now(&mut reactor).unwrap(), b"efgh", "{case}");
            assert_eq!(now(&mut reactor), nothing, "{case}");

            // Given back while the socket has nothing, and after the end of file.
            reactor.channel(id).unwrap().unread("3");
            assert_eq!(now(&mut reactor).unwrap(), b"3", "{case}");
            assert_eq!(now(&mut reactor), nothing, "{case}");
            theirs.shutdown(Shutdown::Write).unwrap();
            let end = when_ready(&mut reactor, id, read);
            assert_eq!(end.unwrap(), b"", "{case}");
            reactor.channel(id).unwrap().unread("4");
            assert_eq!(now(&mut reactor).unwrap(), b"4", "{case}");
            assert_eq!(now(&mut reactor).unwrap(), b"", "{case}");
            let info = reactor.channels().find(|c| c.id == id).unwrap();
            assert_eq!(info.bytes_in, 11, "{case}");
            assert_eq!(reactor.stats().bytes_in, 11, "{case}");
        }
    }
}

#[test]
fn a_reset_answers_a_read_and_then_a_send() {
    if !tells_resets() {
        return;
    }
    for read_size in [0, 4] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.read_size = read_size;
        let note = trace.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            // Not yet at the first read, which comes before any event.
            if channel.is_reset() {
                let error = channel.send(b"x").unwrap_err();
                note.add(format!("send!{:?}", error.kind()));
            }
            Ok(())
        }));
        let (_, theirs) = settled(&mut reactor, recorder);
        trace.clear();
        reset(theirs);
        turn_until(&mut reactor, |reactor| reactor.is_idle());
        assert_eq!(
            trace.lines(),
            ["read!ConnectionReset", "send!BrokenPipe", "close"],
            "{read_size}"
        );
    }
}

#[test]
fn a_send_answers_alike_on_every_stream() {
    for (kind, ours, mut theirs) in both_kinds() {
        let mut reactor = reactor();
        let id = reactor.register(ours, Passive).unwrap();
        settle(&mut reactor);
        let now = |reactor: &mut Reactor, data: &[u8]| {
            let sent = reactor.channel(id).unwrap().send(data);
            sent.map_err(|error| error.kind())
        };
        let refused = Err(ErrorKind::WouldBlock);
        assert_eq!(now(&mut reactor, b""), Ok(0), "{kind}");
        assert_eq!(now(&mut reactor, b"one "), Ok(4), "{kind}");

        // Nothing overtakes the queue.
        reactor.channel(id).unwrap().push("two ");
        assert_eq!(now(&mut reactor, b"x"), refused, "{kind}");
        assert_eq!(now(&mut reactor, b""), refused, "{kind}");
        settle(&mut reactor);

        // A short write, a full socket, and room again.
        let large = vec![3; 4 << 20];
        let mut sent = now(&mut reactor, &large).unwrap();
        assert!(sent < large.len(), "{kind}");
        while let Ok(n) = now(&mut reactor, &large) {
            sent += n;
        }
        assert_eq!(now(&mut reactor, &large), refused, "{kind}");
        assert_eq!(now(&mut reactor, b""), Ok(0), "{kind}");
        let mut received = vec![0; 8 + sent];
        theirs.read_exact(&mut received).unwrap();
        assert!(received.starts_with(b"one two \x03"), "{kind}");
        let room = when_ready(&mut reactor, id, |channel| channel.send(b"end"));
        assert_eq!(room.unwrap(), 3, "{kind}");

        reactor.channel(id).unwrap().shutdown_write();
        settle(&mut reactor);
        for data in [&b"x"[..], b""] {
            let answer = now(&mut reactor, data);
            assert_eq!(answer, Err(ErrorKind::InvalidInput), "{kind}");
        }
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"end", "{kind}");
        let info = reactor.channels().find(|c| c.id == id).unwrap();
        assert_eq!(info.bytes_out, (received.len() + 3) as u64, "{kind}");
    }
}
