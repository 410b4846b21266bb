//! Two channels that pass on to each other: bytes, ends of file, resets and every other end, back-pressure, and what comes
//! before and after.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, IoSlice, Read, Write},
    net::{TcpStream, UdpSocket},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, AsyncChat, Channel, ChannelId, ChatChannel, CoupleOptions, Coupled, Dispatcher,
    Filter, FilterPhase, Reactor, Registry, Result, State, Stream,
    testing::{Harness, Listener},
};
use util::{
    Recorder, Trace,
    peer::{read_to_end, reset, tcp_pair, tells_resets, turns},
    reactor, settle, turn_until,
};

const HIGH: usize = 64 * 1024;
/// The reactor's read buffer.
const ONE_READ: usize = 64 * 1024;

struct Unserved;
impl Dispatcher for Unserved {}

/// Ends as text: `near EndOfFile, far Done, 8 up, 6 down`.
#[derive(Clone, Default)]
struct Ends(Rc<RefCell<Vec<String>>>);

impl Ends {
    fn options(&self) -> CoupleOptions {
        let ends = self.clone();
        CoupleOptions::new().on_end(move |_, coupled| ends.note(&coupled))
    }

    fn note(&self, coupled: &Coupled) {
        let cause = |closed: &Option<asynchat::Closed>| {
            let cause = closed.as_ref().map(|closed| closed.cause);
            cause.map_or_else(|| "away".into(), |cause| format!("{cause:?}"))
        };
        let (near, far) = (cause(&coupled.near), cause(&coupled.far));
        let (up, down) = (coupled.from_near, coupled.from_far);
        self.0
            .borrow_mut()
            .push(format!("near {near}, far {far}, {up} up, {down} down"));
    }

    /// The only one, once.
    #[track_caller]
    fn only(&self) -> String {
        let ends = self.0.borrow();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends[0].clone()
    }

    fn none(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// Couples each client with a server.
struct Proxy {
    idle_timeout: Option<Duration>,
    ends: Ends,
}

impl Dispatcher for Proxy {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let registry = channel.registry();
        let near = registry.register(stream, Unserved)?;
        let far = registry.connect(([192, 0, 2, 7], 80), Unserved)?;
        let mut options = self.ends.options();
        if let Some(after) = self.idle_timeout {
            options = options.idle_timeout(after);
        }
        registry.couple(near, far, options)?;
        Ok(())
    }
}

/// In memory: the proxy, and the peers of a pair.
struct Line {
    proxy: Listener,
    near: Harness,
    far: Harness,
    ends: Ends,
}

impl Line {
    fn dialling(idle_timeout: Option<Duration>) -> Self {
        let ends = Ends::default();
        let mut proxy = Listener::new(Proxy {
            idle_timeout,
            ends: ends.clone(),
        });
        let near = proxy.connect();
        let far = proxy.dialled().expect("the proxy connects");
        Self {
            proxy,
            near,
            far,
            ends,
        }
    }

    fn open() -> Self {
        let mut line = Self::dialling(None);
        line.far.connected();
        line
    }

    /// The one named, and the other.
    fn from(&mut self, near: bool) -> (&mut Harness, &mut Harness) {
        if near {
            (&mut self.near, &mut self.far)
        } else {
            (&mut self.far, &mut self.near)
        }
    }

    #[track_caller]
    fn assert_over(&mut self) {
        assert!(self.near.is_closed() && self.far.is_closed());
        assert_eq!(self.proxy.registry().stats().channels, 1, "the listener");
        self.ends.only();
    }
}

#[test]
fn bytes_pass_both_ways_and_the_ends_of_file_one_after_the_other() {
    for near_first in [true, false] {
        let mut line = Line::open();
        let (first, second) = line.from(near_first);
        first.feed("question");
        assert_eq!(second.output(), b"question");
        first.eof();
        assert!(second.has_ended() && !first.has_ended());
        second.feed("answer");
        assert_eq!(first.output(), b"answer");
        assert!(line.ends.none());
        let (first, second) = line.from(near_first);
        second.eof();
        assert!(first.has_ended() && !first.was_aborted() && !second.was_aborted());
        line.assert_over();
        let (up, down) = if near_first { (8, 6) } else { (6, 8) };
        assert_eq!(
            line.ends.only(),
            format!("near EndOfFile, far EndOfFile, {up} up, {down} down")
        );
    }
}

#[test]
fn what_comes_before_the_connection_waits_for_it() {
    let mut line = Line::dialling(None);
    line.near.feed("early");
    line.near.eof();
    line.far.connected();
    assert_eq!(line.far.output(), b"early");
    assert!(line.far.has_ended() && !line.near.has_ended());
    line.far.feed("late");
    assert_eq!(line.near.output(), b"late");
}

#[test]
fn a_stalled_reader_holds_the_other_up_at_the_high_watermark_and_loses_nothing() {
    for near in [true, false] {
        let mut line = Line::open();
        let (writer, reader) = line.from(near);
        reader.set_window(0);
        let block: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for _ in 0..40 {
            writer.feed(&block);
        }
        let id = reader.id();
        let queued = reader.registry().channel(id).unwrap().outgoing_len();
        assert!(
            queued > HIGH && queued <= HIGH + ONE_READ,
            "{queued} bytes queued"
        );
        writer.eof();
        // As a slow reader: what is held is let go in pieces.
        let mut received = Vec::new();
        while received.len() < 40 * block.len() {
            reader.set_window(30_000);
            let piece = reader.output();
            assert!(!piece.is_empty(), "it stands still");
            received.extend(piece);
        }
        assert!(received == block.repeat(40));
        assert!(reader.has_ended());
    }
}

#[test]
fn what_is_queued_from_before_holds_the_other_up_too() {
    let queued = vec![b'q'; 2 * HIGH];
    let mut near = Harness::new(Unserved);
    near.set_window(0);
    let id = near.id();
    let mut registry = near.registry();
    registry.channel(id).unwrap().push(queued.clone());
    let far = registry.connect(([192, 0, 2, 7], 80), Unserved).unwrap();
    registry.couple(id, far, CoupleOptions::new()).unwrap();
    drop(registry);
    let mut far = near.dialled().expect("it connects");
    far.connected();
    far.feed("behind it");
    let length = near.registry().channel(id).unwrap().outgoing_len();
    assert_eq!(length, queued.len());
    near.set_window(usize::MAX);
    let expected = [&queued[..], b"behind it"].concat();
    assert!(near.output() == expected);
}

/// In every state of the pair: the one that is not broken learns of it at once, and not as an end of file.
#[test]
fn a_reset_of_one_is_a_reset_of_the_other_at_once() {
    #[derive(Clone, Copy, Debug)]
    enum Stage {
        Fresh,
        /// What was sent to the other waits in its queue, and what the other sends is not read.
        Stalled,
        AfterItsEnd,
        StalledAfterItsEnd,
        AfterTheOthersEnd,
    }
    for near in [true, false] {
        for stage in [
            Stage::Fresh,
            Stage::Stalled,
            Stage::AfterItsEnd,
            Stage::StalledAfterItsEnd,
            Stage::AfterTheOthersEnd,
        ] {
            let mut line = Line::open();
            let (broken, other) = line.from(near);
            if matches!(stage, Stage::Stalled | Stage::StalledAfterItsEnd) {
                other.set_window(0);
                broken.set_window(0);
                for _ in 0..3 {
                    broken.feed(vec![b'x'; HIGH]);
                    other.feed(vec![b'x'; HIGH]);
                }
            }
            match stage {
                Stage::AfterItsEnd => broken.eof(),
                Stage::AfterTheOthersEnd => other.eof(),
                // Its end is noticed only when its input is read.
                Stage::StalledAfterItsEnd => {
                    other.set_window(usize::MAX);
                    broken.eof();
                    other.set_window(0);
                }
                Stage::Fresh | Stage::Stalled => {}
            }
            broken.reset();
            assert!(other.is_closed(), "{near} {stage:?}");
            assert!(other.was_aborted(), "{near} {stage:?}");
            line.assert_over();
            let end = line.ends.only();
            let other = match stage {
                Stage::AfterTheOthersEnd => "EndOfFile",
                _ => "Close",
            };
            let expected = if near {
                format!("near Reset, far {other}")
            } else {
                format!("near {other}, far Reset")
            };
            assert!(end.starts_with(&expected), "{stage:?}: {end}");
        }
    }
}

/// Both have said all they had to say: what one of them still has to get is complete.
#[test]
fn a_reset_after_both_ends_of_file_takes_nothing_from_the_other() {
    let mut line = Line::open();
    line.far.set_window(0);
    line.near.feed("the whole");
    line.near.eof();
    line.near.set_window(0);
    line.far.feed("lost");
    line.far.eof();
    line.near.reset();
    assert!(line.near.is_closed() && !line.far.is_closed());
    line.far.set_window(usize::MAX);
    assert_eq!(line.far.output(), b"the whole");
    assert!(!line.far.was_aborted());
    line.assert_over();
    assert_eq!(line.ends.only(), "near Reset, far EndOfFile, 9 up, 4 down");
}

/// Bytes as they are, and one behind them that ends the stream.
#[derive(Default)]
struct Marked {
    /// A byte of the peer's, answered with one, is still to come.
    is_shaking: bool,
    ended: bool,
}

const END: u8 = 4;
const SHAKE: u8 = 5;

impl Filter for Marked {
    fn feed(&mut self, mut input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        if self.is_shaking
            && let Some((&SHAKE, rest)) = input.split_first()
        {
            self.is_shaking = false;
            wire.push(SHAKE);
            input = rest;
        }
        let end = input.iter().position(|&byte| byte == END);
        plain.extend_from_slice(&input[..end.unwrap_or(input.len())]);
        self.ended |= end.is_some();
        Ok(())
    }
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        let before = wire.len();
        plain.iter().for_each(|part| wire.extend_from_slice(part));
        Ok(wire.len() - before)
    }
    fn end(&mut self, wire: &mut Vec<u8>) {
        wire.push(END);
    }
    fn phase(&self) -> FilterPhase {
        match (self.is_shaking, self.ended) {
            (true, _) => FilterPhase::Handshaking,
            (_, true) => FilterPhase::PeerEnded,
            _ => FilterPhase::Open,
        }
    }
}

/// A filter on either side or on both.
const FILTERED: [[bool; 2]; 3] = [[true, false], [false, true], [true, true]];

fn filtered(on: [bool; 2]) -> Line {
    let mut line = Line::dialling(None);
    for (id, on) in [line.near.id(), line.far.id()].into_iter().zip(on) {
        if on {
            let mut registry = line.proxy.registry();
            let mut channel = registry.channel(id).unwrap();
            channel.upgrade(Marked::default()).unwrap();
        }
    }
    line.far.connected();
    line
}

fn said(text: &str, marked: bool) -> Vec<u8> {
    let mark: &[u8] = if marked { &[END] } else { b"" };
    [text.as_bytes(), mark].concat()
}

#[test]
fn the_end_of_a_filter_is_passed_on_as_an_end() {
    for on in FILTERED {
        let mut line = filtered(on);
        line.near.feed(said("question", on[0]));
        if !on[0] {
            line.near.eof();
        }
        assert_eq!(line.far.output(), said("question", on[1]));
        assert!(line.far.has_ended() && !line.near.has_ended(), "{on:?}");
        line.far.feed(said("answer", on[1]));
        line.far.eof();
        assert_eq!(line.near.output(), said("answer", on[0]));
        assert!(line.near.has_ended() && !line.near.was_aborted());
        line.near.eof();
        line.assert_over();
        let ended = "near EndOfFile, far EndOfFile, 8 up, 6 down";
        assert_eq!(line.ends.only(), ended, "{on:?}");
    }
}

/// The socket has room all the time, so no further event says so.
#[test]
fn what_comes_in_the_handshake_of_the_other_leaves_behind_it() {
    let mut reactor = reactor();
    let (a, mut client) = tcp_pair();
    let (b, mut server) = tcp_pair();
    let a = reactor.register(a, Unserved).unwrap();
    let b = reactor.register(b, Unserved).unwrap();
    let filter = Marked {
        is_shaking: true,
        ..Marked::default()
    };
    reactor.channel(b).unwrap().upgrade(filter).unwrap();
    reactor.couple(a, b, CoupleOptions::new()).unwrap();
    settle(&mut reactor);
    // One turn finds both, in this order.
    client.write_all(b"early").unwrap();
    server.write_all(&[SHAKE]).unwrap();
    server.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    turn_until(&mut reactor, |_| {
        // `WouldBlock` keeps what was read before.
        let _ = server.read_to_end(&mut received);
        received.len() == 6
    });
    assert_eq!(received, [&[SHAKE][..], b"early"].concat());
}

#[test]
fn a_stream_that_is_cut_is_a_reset_of_the_other_and_never_an_end() {
    for on in FILTERED {
        for after_the_others_end in [false, true] {
            for near in [true, false] {
                let [cut, whole] = if near { on } else { [on[1], on[0]] };
                if !cut {
                    continue;
                }
                let mut line = filtered(on);
                let (broken, other) = line.from(near);
                if after_the_others_end {
                    other.feed(said("all", whole));
                    other.eof();
                    assert_eq!(broken.output(), said("all", cut));
                }
                broken.feed("a part");
                assert_eq!(other.output(), b"a part");
                broken.eof();
                assert!(other.is_closed() && other.was_aborted(), "{on:?} {near}");
                assert_eq!(other.output(), b"");
                line.assert_over();
                let [its, others] = match after_the_others_end {
                    true => ["Truncated", "EndOfFile"],
                    false => ["Truncated", "Close"],
                };
                let expected = match near {
                    true => format!("near {its}, far {others}"),
                    false => format!("near {others}, far {its}"),
                };
                let end = line.ends.only();
                assert!(end.starts_with(&expected), "{on:?}: {end}");
            }
        }
    }
}

/// The program knows better: lengths of the protocol's own say where it ends.
#[test]
fn a_cut_that_is_tolerated_is_an_end() {
    let mut line = filtered([true, false]);
    let id = line.near.id();
    let mut registry = line.proxy.registry();
    registry.channel(id).unwrap().tolerate_truncation();
    drop(registry);
    line.near.feed("question");
    line.near.eof();
    assert_eq!(line.far.output(), b"question");
    assert!(line.far.has_ended() && !line.far.was_aborted());
    line.far.feed("answer");
    line.far.eof();
    assert_eq!(line.near.output(), said("answer", true));
}

#[test]
fn a_server_that_cannot_be_reached_is_a_graceful_end_for_the_client() {
    let mut line = Line::dialling(None);
    line.near.feed("early");
    line.far.connect_failed(ErrorKind::ConnectionRefused);
    assert!(line.near.has_ended() && !line.near.was_aborted());
    line.near.eof();
    line.assert_over();
    assert_eq!(
        line.ends.only(),
        "near Done, far ConnectFailed, 5 up, 0 down"
    );
}

#[test]
fn a_client_that_goes_ends_the_attempt_to_connect() {
    let mut line = Line::dialling(None);
    line.near.reset();
    line.assert_over();
    let ended = line.ends.only();
    assert_eq!(ended, "near Reset, far Close, 0 up, 0 down");
}

#[test]
fn nothing_moving_for_the_idle_timeout_ends_both() {
    const IDLE: Duration = Duration::from_secs(60);
    let mut line = Line::dialling(Some(IDLE));
    line.proxy.advance(IDLE / 6);
    line.far.connected();
    for _ in 0..5 {
        line.proxy.advance(IDLE * 2 / 3);
        line.far.feed("x");
        assert_eq!(line.near.output(), b"x");
    }
    assert!(line.ends.none());
    line.proxy.advance(IDLE);
    assert!(line.near.has_ended() && line.far.has_ended());
    line.near.eof();
    line.far.eof();
    line.assert_over();
    let ended = line.ends.only();
    assert!(ended.contains("IdleTimeout"), "{ended}");

    // Without one, and with the clients' own put aside.
    let mut line = Line::open();
    line.proxy.advance(Duration::from_secs(1_000_000));
    assert!(line.ends.none());
}

#[test]
fn the_program_ends_a_pair_by_either_channel() {
    for near in [true, false] {
        for gracefully in [true, false] {
            let mut line = Line::open();
            line.near.feed("up");
            line.far.feed("down");
            let (closed, other) = line.from(near);
            let id = closed.id();
            let mut registry = closed.registry();
            let mut channel = registry.channel(id).unwrap();
            if gracefully {
                channel.close_when_done();
            } else {
                channel.close();
            }
            drop(registry);
            closed.eof();
            assert!(other.has_ended() && !other.was_aborted());
            other.eof();
            line.assert_over();
            assert!(line.ends.only().ends_with("2 up, 4 down"));
        }
    }
}

#[test]
fn closing_everything_ends_pairs_in_every_phase() {
    for connected in [true, false] {
        let mut line = Line::dialling(None);
        if connected {
            line.far.connected();
        }
        line.proxy.registry().close_all();
        assert!(line.near.is_closed() && line.far.is_closed());
        let ended = line.ends.only();
        assert_eq!(ended, "near CloseAll, far CloseAll, 0 up, 0 down");

        let mut line = Line::dialling(None);
        if connected {
            line.far.connected();
        }
        line.proxy.registry().shutdown(Duration::from_secs(1));
        line.proxy.advance(Duration::from_secs(1));
        assert!(line.near.is_closed() && line.far.is_closed());
        assert_eq!(line.ends.0.borrow().len(), 1, "{connected}");
    }
}

/// The other has nobody left to pass on to.
#[test]
fn one_that_is_detached_or_gets_another_object_leaves_the_pair() {
    for detached in [true, false] {
        let mut line = Line::open();
        let id = line.far.id();
        let mut registry = line.proxy.registry();
        let mut channel = registry.channel(id).unwrap();
        let kept = if detached {
            channel.detach()
        } else {
            channel.replace(Unserved);
            None
        };
        drop(registry);
        assert!(line.near.has_ended() && !line.near.was_aborted());
        line.near.eof();
        assert!(line.near.is_closed() && !line.far.is_closed());
        assert_eq!(line.ends.only(), "near Done, far away, 0 up, 0 down");
        drop(kept);
    }
    // Both: nobody is left who could tell.
    let mut line = Line::open();
    for id in [line.near.id(), line.far.id()] {
        let mut registry = line.proxy.registry();
        registry.channel(id).unwrap().replace(Unserved);
    }
    assert!(line.ends.none() && !line.near.is_closed() && !line.far.is_closed());
}

/// Serves `CONNECT` and couples when the server answers.
struct Tunnel {
    head: Vec<u8>,
    waiting: bool,
    ends: Ends,
}

impl AsyncChat for Tunnel {
    fn readable(&self) -> bool {
        !self.waiting
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.head.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.waiting = true;
        let dialling = Dialling {
            near: chat.id(),
            ends: self.ends.clone(),
        };
        chat.registry().connect(([192, 0, 2, 7], 80), dialling)?;
        Ok(())
    }

    /// The client has sent all it will; its answer is still to come.
    fn handle_close(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}

struct Dialling {
    near: ChannelId,
    ends: Ends,
}

impl Dispatcher for Dialling {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let far = channel.id();
        let registry = channel.registry();
        if let Some(mut near) = registry.channel(self.near) {
            near.push("200 connected\r\n\r\n");
        }
        registry.couple(self.near, far, self.ends.options())?;
        Ok(())
    }
}

#[test]
fn a_handshake_comes_first_and_what_came_with_it_is_passed_on() {
    for end in [false, true] {
        let ends = Ends::default();
        let tunnel = Tunnel {
            head: Vec::new(),
            waiting: false,
            ends: ends.clone(),
        };
        let mut near = Harness::chat(tunnel, "\r\n\r\n");
        near.feed("CONNECT host:443 HTTP/1.1\r\n\r\nhello");
        if end {
            near.eof();
        }
        let mut far = near.dialled().expect("it connects");
        far.connected();
        assert_eq!(near.output(), b"200 connected\r\n\r\n");
        assert_eq!(far.output(), b"hello");
        assert_eq!(far.has_ended(), end);
        far.feed("world");
        far.eof();
        assert_eq!(near.output(), b"world");
        near.eof();
        assert!(near.is_closed() && far.is_closed());
        assert!(ends.only().ends_with("5 up, 5 down"));
    }
}

/// The session couples itself, from its own callback, in the middle of what was read.
#[test]
fn a_chat_that_couples_itself_passes_on_the_rest_of_what_it_read() {
    struct Router;
    impl AsyncChat for Router {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            chat.push("going\r\n");
            let near = chat.id();
            let registry = chat.registry();
            let far = registry.connect(([192, 0, 2, 7], 80), Unserved)?;
            registry.couple(near, far, CoupleOptions::new())?;
            Ok(())
        }
    }
    for bytewise in [false, true] {
        let mut near = Harness::chat(Router, "\r\n");
        let said = "to the server\r\nhello\r\nworld\r";
        if bytewise {
            near.feed_bytewise(said);
        } else {
            near.feed(said);
        }
        assert_eq!(near.output(), b"going\r\n");
        let mut far = near.dialled().expect("it connects");
        far.connected();
        assert_eq!(far.output(), b"hello\r\nworld\r");
    }
}

/// An end of file whose `handle_close` the earlier object has had.
#[test]
fn an_end_of_file_from_before_is_passed_on_behind_what_was_given_back() {
    #[derive(Default)]
    struct Holder;
    impl Dispatcher for Holder {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv(&mut [0; 64])?;
            Ok(())
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.unread("held back");
            let far = channel.registry().connect(([192, 0, 2, 7], 80), Unserved)?;
            let near = channel.id();
            channel.registry().couple(near, far, CoupleOptions::new())?;
            Ok(())
        }
    }
    let mut near = Harness::new(Holder);
    near.feed("something");
    near.eof();
    let mut far = near.dialled().expect("it connects");
    far.connected();
    assert_eq!(far.output(), b"held back");
    assert!(far.has_ended() && !near.has_ended());
    far.feed("answer");
    far.eof();
    assert_eq!(near.output(), b"answer");
    assert!(near.is_closed() && far.is_closed());
}

/// The same of a stream that was cut: there is no end to pass on.
#[test]
fn a_stream_that_was_cut_before_resets_the_other() {
    struct Late(Ends);
    impl Dispatcher for Late {
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.unread("a part");
            let far = channel.registry().connect(([192, 0, 2, 7], 80), Unserved)?;
            let near = channel.id();
            channel.registry().couple(near, far, self.0.options())?;
            Ok(())
        }
    }
    let ends = Ends::default();
    let mut near = Harness::new(Late(ends.clone()));
    let id = near.id();
    let mut registry = near.registry();
    let mut channel = registry.channel(id).unwrap();
    channel.upgrade(Marked::default()).unwrap();
    drop(registry);
    near.eof();
    let mut far = near.dialled().expect("it connects");
    assert!(near.is_closed() && far.is_closed());
    assert_eq!(far.output(), b"");
    assert!(ends.only().starts_with("near Truncated, far Close"));
}

#[test]
fn what_cannot_be_coupled_is_refused_and_stays_as_it_was() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let register = |reactor: &mut Reactor| {
        let (ours, theirs) = tcp_pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        (id, theirs)
    };
    let (stream, _theirs) = register(&mut reactor);
    let (listener, _) = util::serve(&mut reactor, |_| Unserved);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = reactor.register(udp, Unserved).unwrap();
    #[cfg(unix)]
    let (_reader, pipe) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, reactor.register(writer, Unserved).unwrap())
    };
    let (ending, _peer) = register(&mut reactor);
    reactor.channel(ending).unwrap().shutdown_write();
    let (closing, _peer) = register(&mut reactor);
    reactor.channel(closing).unwrap().close_when_done();
    let (taken, _peer) = register(&mut reactor);
    let (with, _peer) = register(&mut reactor);
    reactor.couple(taken, with, CoupleOptions::new()).unwrap();
    let (closed, _peer) = register(&mut reactor);
    reactor.channel(closed).unwrap().close();

    let mut refused = |near, far| {
        let error = reactor.couple(near, far, CoupleOptions::new()).unwrap_err();
        (error.kind(), error.to_string())
    };
    for (other, text) in [
        (stream, "cannot be coupled with itself"),
        (listener, "is no stream"),
        (udp, "is no stream"),
        #[cfg(unix)]
        (pipe, "is no stream"),
        (ending, "has ended its output"),
        (closing, "has ended its output"),
        (taken, "is coupled already"),
    ] {
        for (near, far) in [(stream, other), (other, stream)] {
            let (kind, error) = refused(near, far);
            assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
            assert!(error.contains(text), "{error}");
            assert!(error.contains(&other.to_string()), "{error}");
        }
    }
    assert_eq!(refused(stream, closed).0, ErrorKind::NotConnected);
    let kept = reactor.with(stream, |_: &mut Recorder, channel| channel.state());
    assert_eq!(kept, Ok(State::Open));
}

#[test]
fn the_end_may_open_and_couple_again_and_may_panic() {
    fn again(registry: &mut Registry, rounds: Rc<Cell<u32>>) -> std::io::Result<()> {
        let near = registry.connect(([192, 0, 2, 1], 80), Unserved)?;
        let far = registry.connect(([192, 0, 2, 2], 80), Unserved)?;
        let options = CoupleOptions::new().on_end(move |registry, _| {
            rounds.set(rounds.get() + 1);
            if rounds.get() < 3 {
                again(registry, rounds).expect("a socket");
            } else {
                panic!("scripted");
            }
        });
        registry.couple(near, far, options)
    }
    util::silence_scripted_panics();
    let rounds = Rc::new(Cell::new(0));
    let mut world = Listener::with_builder(Reactor::builder(), Unserved);
    again(&mut world.registry(), rounds.clone()).unwrap();
    while let Some(mut near) = world.dialled() {
        let mut far = world.dialled().expect("two at a time");
        near.connected();
        far.connected();
        near.feed("x");
        assert_eq!(far.output(), b"x");
        far.reset();
    }
    assert_eq!(rounds.get(), 3);
    assert_eq!(world.registry().stats().channels, 1);
}

/// The kernel's word for it.
#[test]
fn a_reset_arrives_as_one_and_an_end_of_file_as_one() {
    if !tells_resets() {
        return;
    }
    for near in [true, false] {
        for broken in [true, false] {
            let mut reactor = reactor();
            let (a, client) = tcp_pair();
            let (b, server) = tcp_pair();
            let a = reactor.register(a, Unserved).unwrap();
            let b = reactor.register(b, Unserved).unwrap();
            let ends = Ends::default();
            reactor.couple(a, b, ends.options()).unwrap();
            let (mut first, mut second) = if near {
                (client, server)
            } else {
                (server, client)
            };
            first.write_all(b"last words").unwrap();
            settle(&mut reactor);
            second.read_exact(&mut [0; 10]).unwrap();
            if broken {
                reset(first);
                turn_until(&mut reactor, |_| !ends.none());
                let error = second.read(&mut [0; 1]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            } else {
                drop(first);
                assert_eq!(read_to_end(&mut reactor, &mut second), b"");
                drop(second);
                turn_until(&mut reactor, |_| !ends.none());
            }
            assert_eq!(reactor.stats().channels, 0);
        }
    }
}

/// Each way once: with a writer that is held up, the loop rests.
#[test]
fn a_pair_that_stands_still_costs_no_turns() {
    let mut reactor = reactor();
    let (a, client) = tcp_pair();
    let (b, server) = tcp_pair();
    let a = reactor.register(a, Unserved).unwrap();
    let b = reactor.register(b, Unserved).unwrap();
    reactor.couple(a, b, CoupleOptions::new()).unwrap();
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 50), 0);
    fn fill(reactor: &mut Reactor, mut peer: &TcpStream) {
        peer.set_nonblocking(true).unwrap();
        let (mut blocked, mut written) = (0, 0);
        while blocked < 5 {
            match peer.write(&[0; 65536]) {
                Ok(n) => {
                    (blocked, written) = (0, written + n);
                    assert!(written < 100_000_000, "nothing holds it up");
                }
                Err(_) => blocked += 1,
            }
            reactor.turn(Some(Duration::from_millis(5))).unwrap();
        }
    }
    fill(&mut reactor, &client);
    fill(&mut reactor, &server);
    settle(&mut reactor);
    assert_eq!(turns(&mut reactor, 50), 0);
    for id in [a, b] {
        let queued = reactor.channel(id).unwrap().outgoing_len();
        assert!(queued <= HIGH + ONE_READ, "{queued} bytes");
    }
}
