//! The kit in `asynchat::testing`: what a handler sees of it is what the rules say of a socket (R1, R4, R7 to R10, R14,
//! R20), and its dialogues say where they went another way.
#![cfg(feature = "testing")]

use std::{cell::RefCell, io, io::Write, net::SocketAddr, rc::Rc, time::Duration};

use asynchat::{
    Address, Answer, AsyncChat, BoxError, Cause, Channel, ChannelId, ChatChannel, ChatDispatcher,
    ConnectOptions, Dispatcher, Exceptional, Frame, Question, Reactor, Registry, Resolver, Result,
    SimpleProducer, State, Stream, accept_fn,
    testing::{Harness, Listener, Names},
};
use util::toy::{Call, Far, Toy, Watch};

/// Writes down its callbacks.
#[derive(Clone, Default)]
struct Diary {
    lines: Rc<RefCell<Vec<String>>>,
    idle: Option<Duration>,
}

impl Diary {
    fn note(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        self.lines.take()
    }
}

impl Dispatcher for Diary {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.set_idle_timeout(self.idle);
        self.note("connect");
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; 4];
        let n = channel.recv(&mut buf)?;
        self.note(format!("read {:?}", String::from_utf8_lossy(&buf[..n])));
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
        self.note("drain");
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
        self.note(format!("{what:?}"));
        Ok(())
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("timeout");
        channel.close();
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note(if channel.is_reset() { "reset" } else { "close" });
        channel.close_when_done();
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        self.note(format!("error {error}"));
        channel.close();
    }
}

/// Answers each line.
#[derive(Default)]
struct Polite(Vec<u8>);

impl AsyncChat for Polite {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push("220 ready\r\n");
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = String::from_utf8(std::mem::take(&mut self.0))?;
        match &*line {
            "QUIT" => {
                chat.push("221 bye\r\n");
                chat.close_when_done();
            }
            "LIST" => chat.push("250-one\r\n250-two\r\n250 three\r\n"),
            "ASK" => chat.push("Password: "),
            line => write!(chat, "250 {line} to you, too\r\n")?,
        }
        Ok(())
    }
}

fn polite() -> Harness {
    Harness::chat(Polite::default(), "\r\n")
}

#[test]
fn callbacks_come_in_the_order_of_the_rules() {
    let diary = Diary::default();
    let mut peer = Harness::new(diary.clone());
    // A new stream is worth a try, as ever.
    assert_eq!(diary.take(), ["connect"]);
    peer.feed("sixbye");
    assert_eq!(diary.take(), [r#"read "sixb""#, r#"read "ye""#]);
    peer.eof();
    assert_eq!(diary.take(), [r#"read """#, "close"]);
    assert!(peer.is_closed() && !peer.was_aborted());
}

#[test]
fn bytewise_and_in_one_piece_give_the_same_answers() {
    let script = "S: 220 ready\nC: HELO\nC: LIST\nS: 250 HELO to you, too\nS: 250-one\nS: 250-…\nS: 250 three\n\
                  C: QUIT\nS: 221 bye\nS ends\nC ends\nS closes";
    polite().play(script);
    polite().play_bytewise(script);
    let hasty = "S: 220 ready\nC: one\nC: QUIT\nC ends\nS: 250 one …\nS: 221 bye\nS closes";
    polite().play(hasty);
    polite().play_bytewise(hasty);
}

#[test]
fn what_came_before_a_reset_is_read_first() {
    /// Does not read before it is told to.
    struct Sleeper(Diary, bool);
    impl Dispatcher for Sleeper {
        fn readable(&self) -> bool {
            self.1
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.handle_read(channel)
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.handle_close(channel)
        }
    }
    for reads in [true, false] {
        let diary = Diary::default();
        let mut server = Harness::connecting(Sleeper(diary.clone(), reads));
        // All of it is there when the connection is.
        server.feed("data");
        server.connected();
        server.reset();
        let expected: &[&str] = if reads {
            &[r#"read "data""#, "reset"]
        } else {
            &["reset"]
        };
        assert_eq!(diary.take(), expected);
        assert!(server.is_closed());
    }
}

#[test]
fn a_reset_while_sending_drops_the_queue_and_is_told_once() {
    let diary = Diary::default();
    let mut peer = Harness::new(diary.clone());
    peer.set_window(0);
    let id = peer.id();
    peer.registry().channel(id).unwrap().push("never sent");
    peer.reset();
    let told = diary.take();
    assert_eq!(told.iter().filter(|line| *line == "reset").count(), 1);
    assert!(peer.is_closed());
    assert_eq!(peer.output(), b"");
}

#[test]
fn an_end_of_file_does_not_stop_the_answer() {
    let mut peer = polite();
    peer.feed("one\r\n");
    peer.eof();
    assert_eq!(peer.output(), b"220 ready\r\n250 one to you, too\r\n");
    assert!(peer.is_closed());
}

#[test]
fn lingering_ends_by_itself_when_its_time_has_passed() {
    let mut peer = polite();
    peer.feed("QUIT\r\n");
    assert!(peer.has_ended() && !peer.is_closed());
    peer.advance(Duration::from_millis(4_999));
    assert!(!peer.is_closed());
    peer.advance(Duration::from_millis(1));
    assert!(peer.is_closed());
}

#[test]
fn an_idle_timeout_runs_out_without_waiting() {
    let diary = Diary {
        idle: Some(Duration::from_secs(3600)),
        ..Diary::default()
    };
    let mut peer = Harness::new(diary.clone());
    peer.advance(Duration::from_secs(3000));
    peer.feed("x");
    diary.take();
    peer.advance(Duration::from_secs(3599));
    assert!(!peer.is_closed());
    peer.advance(Duration::from_secs(1));
    assert_eq!(diary.take(), ["timeout"]);
    assert!(peer.is_closed() && peer.has_ended());
}

#[test]
fn the_cause_of_an_end_is_known_once_it_was_told() {
    let mut peer = Harness::new(Diary::default());
    assert_eq!(peer.closed(), None);
    peer.reset();
    assert_eq!(peer.closed(), Some(Cause::Reset));

    let mut peer = Harness::new(Diary::default());
    let id = peer.id();
    peer.registry().channel(id).unwrap().close_when_done();
    assert!(peer.has_ended());
    assert_eq!(peer.closed(), None, "it lingers");
    peer.advance(Duration::from_secs(5));
    assert_eq!(peer.closed(), Some(Cause::LingerLimit));

    let mut peer = Harness::connecting(Diary::default());
    peer.connect_failed(io::ErrorKind::ConnectionRefused);
    assert_eq!(peer.closed(), Some(Cause::ConnectFailed));

    let mut peer = Harness::new(Diary::default());
    let id = peer.id();
    drop(peer.registry().channel(id).unwrap().detach());
    assert_eq!(peer.closed(), None);

    // Each connection has its own.
    let mut listener = Listener::new(Counter(Vec::new()));
    let (mut first, mut second) = (listener.connect(), listener.connect());
    first.reset();
    listener.registry().close_all();
    assert_eq!(first.closed(), Some(Cause::Reset));
    assert_eq!(second.closed(), Some(Cause::CloseAll));
}

#[test]
fn each_timer_runs_at_its_own_time() {
    let mut peer = Harness::new(Diary::default());
    let start = peer.registry().now();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let times = Rc::clone(&seen);
    peer.registry()
        .call_every(Duration::from_secs(7), move |registry| {
            times.borrow_mut().push((registry.now() - start).as_secs());
            Ok(())
        });
    peer.advance(Duration::from_secs(30));
    assert_eq!(*seen.borrow(), [7, 14, 21, 28]);
    assert_eq!(peer.registry().now() - start, Duration::from_secs(30));
}

#[test]
fn a_channels_own_timers_run_at_their_own_time_and_end_with_it() {
    let diary = Diary::default();
    let mut peer = Harness::new(diary.clone());
    let id = peer.id();
    let mut registry = peer.registry();
    let start = registry.now();
    let mut channel = registry.channel(id).expect("open");
    let words = diary.clone();
    channel.call_every(Duration::from_secs(7), move |_: &mut Diary, channel| {
        words.note(format!("{:?}", channel.registry().now() - start));
        Ok(())
    });
    channel.call_later(Duration::from_secs(20), |own: &mut Diary, channel| {
        own.note("close");
        channel.push("bye");
        channel.close();
        Ok(())
    });
    drop(registry);
    peer.advance(Duration::from_secs(3600));
    assert_eq!(diary.take()[1..], ["7s", "14s", "close"]);
    assert_eq!(peer.output(), b"bye");
    assert!(peer.is_closed());
    assert_eq!(peer.registry().stats().timers, 0);
}

#[test]
fn a_peer_that_does_not_read_is_waited_for() {
    let diary = Diary::default();
    let builder = Reactor::builder().watermarks(4, 8);
    let mut peer = Harness::with_builder(builder, diary.clone());
    peer.set_window(10);
    let id = peer.id();
    peer.registry()
        .channel(id)
        .unwrap()
        .push_with_producer(SimpleProducer::new(vec![b'x'; 25]));
    let mut sizes = Vec::new();
    while let n @ 1.. = peer.output().len() {
        sizes.push(n);
    }
    assert_eq!(sizes, [10, 10, 5]);
    peer.registry().channel(id).unwrap().push(vec![b'y'; 30]);
    assert_eq!(peer.output().len(), 10);
    diary.take();
    assert_eq!(peer.output().len(), 10);
    assert_eq!(peer.output().len(), 10);
    assert_eq!(diary.take(), ["drain"]);
}

#[test]
fn whoever_looks_at_the_output_calls_nobody_back() {
    let mut peer = polite();
    let before = peer.registry().stats();
    for _ in 0..3 {
        peer.output();
    }
    let after = peer.registry().stats();
    assert_eq!(after.callbacks, before.callbacks);
    assert_eq!(after.turns, before.turns);
}

#[test]
fn a_failed_connect_is_told_once_with_its_error() {
    let diary = Diary::default();
    let mut server = Harness::connecting(diary.clone());
    assert_eq!(diary.take(), [""; 0]);
    server.connect_failed(io::ErrorKind::ConnectionRefused);
    assert_eq!(diary.take(), ["ConnectFailed(Kind(ConnectionRefused))"]);
    assert!(server.is_closed());
}

#[test]
fn a_connect_without_an_answer_times_out() {
    let diary = Diary::default();
    let mut server = Harness::connecting(diary.clone());
    server.advance(Duration::from_secs(29));
    assert_eq!(diary.take(), [""; 0]);
    server.advance(Duration::from_secs(1));
    let told = diary.take();
    assert!(told.len() == 1 && told[0].contains("TimedOut"), "{told:?}");
}

#[test]
fn the_next_address_is_tried_under_the_same_id() {
    let diary = Diary::default();
    let mut any = Harness::new(Diary::default());
    let addresses = [([192, 0, 2, 3], 1).into(), ([192, 0, 2, 4], 2).into()];
    let id = any
        .registry()
        .connect_with(&addresses, &ConnectOptions::new(), diary.clone())
        .unwrap();
    let mut first = any.dialled().unwrap();
    assert_eq!(first.address(), addresses[0].into());
    first.connect_failed(io::ErrorKind::HostUnreachable);
    let mut second = any.dialled().unwrap();
    assert_eq!(second.address(), addresses[1].into());
    second.connected();
    assert_eq!(second.id(), id);
    assert!(first.is_closed() && any.dialled().is_none());
    assert_eq!(diary.take(), ["connect"]);
}

/// The peers of the attempts that have begun since the last look.
fn all_dialled(any: &mut Harness) -> Vec<Harness> {
    std::iter::from_fn(|| any.dialled()).collect()
}

fn racing(addresses: &[SocketAddr], options: &ConnectOptions) -> (Diary, Harness, ChannelId) {
    let diary = Diary::default();
    let mut any = Harness::new(Diary::default());
    let started = any
        .registry()
        .connect_with(addresses, options, diary.clone());
    (diary, any, started.unwrap())
}

fn hosts(count: u16) -> Vec<SocketAddr> {
    (1..=count)
        .map(|port| ([192, 0, 2, 3], port).into())
        .collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_next_address_begins_when_the_stagger_is_over_or_the_last_attempt_failed() {
    for (asked, stagger) in [
        (None, 250),
        (Some(0), 100),
        (Some(700), 700),
        (Some(9000), 2000),
    ] {
        let options = asked.map_or(ConnectOptions::new(), |asked| {
            ConnectOptions::new().stagger(asked * MS)
        });
        let (diary, mut any, id) = racing(&hosts(4), &options);
        let mut first = any.dialled().unwrap();
        any.advance((stagger - 1) * MS);
        assert!(any.dialled().is_none(), "{asked:?}");
        any.advance(MS);
        let mut second = any.dialled().unwrap();
        // The stagger of the second is on; the first has had its own.
        any.advance((stagger - 1) * MS);
        first.connect_failed(io::ErrorKind::HostUnreachable);
        assert!(any.dialled().is_none(), "{asked:?}");
        second.connect_failed(io::ErrorKind::HostUnreachable);
        let mut third = any.dialled().unwrap();
        any.advance((stagger - 1) * MS);
        assert!(any.dialled().is_none(), "{asked:?}");
        any.advance(MS);
        let mut fourth = any.dialled().unwrap();
        assert_eq!(diary.take(), [""; 0]);
        third.connected();
        assert_eq!(third.id(), id);
        assert!(fourth.is_closed() && !third.is_closed());
        third.feed("hi");
        assert_eq!(diary.take(), ["connect", "read \"hi\""]);
        third.eof();
        assert_eq!(diary.take(), ["read \"\"", "close"]);
    }
}

#[test]
fn families_take_turns() {
    let mut addresses = hosts(2);
    let six = |port| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port));
    addresses.extend([six(1), six(2), six(3)]);
    let (_, mut any, _) = racing(&addresses, &ConnectOptions::new());
    any.advance(1000 * MS);
    let tried: Vec<_> = all_dialled(&mut any).iter().map(Harness::address).collect();
    let wanted = [0, 2, 1, 3, 4].map(|index: usize| addresses[index].into());
    assert_eq!(tried, wanted);
}

#[test]
fn each_attempt_has_its_own_time_limit_and_all_have_a_deadline() {
    let options = ConnectOptions::new().timeout(1000 * MS);
    let (diary, mut any, _) = racing(&hosts(2), &options);
    any.advance(1249 * MS);
    let mut tried = all_dialled(&mut any);
    assert!(tried[0].is_closed() && !tried[1].is_closed());
    assert_eq!(diary.take(), [""; 0]);
    any.advance(MS);
    let told = diary.take();
    assert!(told.len() == 1 && told[0].contains("TimedOut"), "{told:?}");
    assert!(tried[1].is_closed());

    let options = ConnectOptions::new().deadline(300 * MS);
    for count in [1, 3] {
        let (diary, mut any, _) = racing(&hosts(count), &options);
        any.advance(100 * MS);
        if count > 1 {
            let mut first = any.dialled().unwrap();
            first.connect_failed(io::ErrorKind::ConnectionRefused);
        }
        any.advance(199 * MS);
        assert_eq!(diary.take(), [""; 0]);
        any.advance(MS);
        let told = diary.take();
        assert!(told.len() == 1 && told[0].contains("TimedOut"), "{told:?}");
        assert!(all_dialled(&mut any).iter_mut().all(Harness::is_closed));
        assert_eq!(any.registry().stats().timers, 0);
    }
}

#[test]
fn no_more_than_sixteen_addresses_are_tried_at_a_time() {
    let (diary, mut any, _) = racing(&hosts(1000), &ConnectOptions::new());
    any.advance(20_000 * MS);
    let mut tried = all_dialled(&mut any);
    assert_eq!(tried.len(), 16);
    tried[3].connect_failed(io::ErrorKind::ConnectionRefused);
    let next = all_dialled(&mut any);
    assert_eq!(next.len(), 1, "the place is free");
    assert_eq!(next[0].address(), hosts(17)[16].into());
    // The first has its 30 s.
    any.advance(10_000 * MS);
    assert_eq!(all_dialled(&mut any).len(), 1);
    assert!(tried[0].is_closed());
    tried[7].connected();
    assert_eq!(diary.take(), ["connect"]);
    assert!(
        tried
            .iter_mut()
            .enumerate()
            .all(|(n, it)| it.is_closed() == (n != 7))
    );
}

#[test]
fn what_ends_a_channel_ends_all_its_attempts() {
    let ends: [fn(&mut Registry, ChannelId); 3] = [
        |registry, id| registry.channel(id).unwrap().close(),
        |registry, _| registry.shutdown(Duration::from_secs(9)),
        |registry, _| registry.close_all(),
    ];
    for end in ends {
        let (diary, mut any, id) = racing(&hosts(3), &ConnectOptions::new());
        any.advance(300 * MS);
        let mut tried = all_dialled(&mut any);
        assert_eq!(tried.len(), 2);
        end(&mut any.registry(), id);
        assert!(tried.iter_mut().all(Harness::is_closed));
        any.advance(60_000 * MS);
        assert!(any.dialled().is_none());
        assert_eq!(diary.take(), [""; 0]);
    }
}

/// Greets everybody with how many came before.
struct Counter(Vec<ChannelId>);

impl Dispatcher for Counter {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        if self.0.len() == 2 {
            return Err("full".into());
        }
        let registry = channel.registry();
        let id = registry.register(stream, Diary::default())?;
        let mut guest = registry.channel(id).ok_or("closed")?;
        guest.push(format!("{} before {peer}\n", self.0.len()));
        self.0.push(id);
        Ok(())
    }

    fn handle_error(&mut self, _: &mut Channel<'_>, _: BoxError) {}
}

#[test]
fn a_listener_and_its_connections_share_a_reactor() {
    let mut server = Listener::new(Counter(Vec::new()));
    let mut ann = server.connect();
    let mut bob = server.connect();
    let mut eve = server.connect();
    assert_eq!(
        bob.output(),
        format!("1 before {}\n", bob.address()).as_bytes()
    );
    assert_eq!(
        ann.output(),
        format!("0 before {}\n", ann.address()).as_bytes()
    );
    assert!(eve.is_closed() && !bob.is_closed());
    let id = server.id();
    let ids = server
        .registry()
        .with(id, |counter: &mut Counter, _| counter.0.clone());
    assert_eq!(ids, Ok(vec![ann.id(), bob.id()]));
    ann.registry().close_all();
    assert!(bob.is_closed());
    assert!(bob.connect_to(([192, 0, 2, 1], 7)).is_none());
}

#[test]
fn an_object_that_listens_itself_is_found_at_its_address() {
    let mut any = Harness::new(Diary::default());
    let id = any
        .registry()
        .listen(([127, 0, 0, 1], 0), Counter(Vec::new()))
        .unwrap();
    let address = any.registry().channel(id).unwrap().local_addr().unwrap();
    assert_ne!(address.inet().unwrap().port(), 0);
    let mut guest = any.connect_to(address).unwrap();
    assert!(guest.output().starts_with(b"0 before "));
}

#[test]
fn closing_over_unread_input_is_an_abort() {
    struct Rude;
    impl Dispatcher for Rude {
        fn readable(&self) -> bool {
            false
        }
    }
    let mut peer = Harness::new(Rude);
    peer.feed("hello?");
    let id = peer.id();
    peer.registry().channel(id).unwrap().close();
    assert!(peer.is_closed() && peer.was_aborted());
}

#[test]
#[should_panic(expected = "assertion inside")]
fn a_panic_in_a_callback_leaves_the_kit() {
    struct Fussy;
    impl Dispatcher for Fussy {
        fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("assertion inside");
        }
    }
    Harness::new(Fussy).feed("x");
}

#[test]
fn with_a_builder_a_panic_goes_to_handle_error() {
    struct Fussy(Diary);
    impl Dispatcher for Fussy {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("oh");
        }
        fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
            self.0.handle_error(channel, error);
        }
    }
    let diary = Diary::default();
    let mut peer = Harness::with_builder(Reactor::builder(), Fussy(diary.clone()));
    assert_eq!(diary.take(), ["error panicked: oh"]);
    assert!(peer.is_closed());
}

#[test]
#[cfg_attr(miri, ignore = "counts to a bound on calls")]
#[should_panic(expected = "does not come to rest")]
fn a_handler_that_never_rests_is_told_so() {
    let mut peer = Harness::new(Diary::default());
    fn again(registry: &mut asynchat::Registry) -> Result {
        registry.call_later(Duration::ZERO, again);
        Ok(())
    }
    peer.registry().call_later(Duration::ZERO, again);
    peer.output();
}

#[test]
fn a_prompt_and_a_pause_stand_in_a_script() {
    let mut peer = Harness::new(ChatDispatcher::new(Polite::default(), "\n"));
    peer.play("S: 220 …\n\n# a comment\nC: QUIT\\");
    peer.set_line_end("\n");
    let id = peer.id();
    peer.registry()
        .channel(id)
        .unwrap()
        .set_idle_timeout(Some(Duration::from_secs(9)));
    peer.play("wait 8s\nwait 1000ms\nS closes");
    let mut peer = polite();
    peer.play("S: 220 ready\nC: ASK\nS: Password: \\\nC: x\nS: …x…\nC resets\nS closes");
}

#[test]
fn a_dialogue_that_goes_wrong_tells_what_handle_error_was_given() {
    struct Failing;
    impl Dispatcher for Failing {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|_, _| Err("no such command".into()))?
        }
    }
    let told = Harness::new(Failing).try_play("C: LIST\nS: 250 ok");
    assert!(
        told.unwrap_err()
            .to_string()
            .ends_with("- S: 250 ok\nhandle_error was given: no such command")
    );
}

/// What `script` says of a polite server.
fn mismatch(script: &str) -> String {
    polite().try_play(script).unwrap_err().to_string()
}

#[test]
fn a_wrong_line_stands_beside_the_right_one() {
    assert_eq!(
        mismatch("S: 220 …\nC: LIST\nS: 250-one\nS: 251-…\nS: 250 three\nC: QUIT"),
        "the dialogue went another way at line 4 of the script (- expected, + got):\n  S: 220 …\n  C: LIST\n  \
         S: 250-one\n- S: 251-…\n+ S: 250-two"
    );
}

#[test]
fn missing_and_superfluous_lines_are_shown() {
    assert_eq!(
        mismatch("S: 220 ready\nS: 221 more"),
        "the dialogue went another way at line 2 of the script (- expected, + got):\n  S: 220 ready\n- S: 221 more"
    );
    assert_eq!(
        mismatch("C: hi"),
        "the dialogue went another way where nothing was to be said (- expected, + got):\n+ S: 220 ready"
    );
    assert_eq!(
        mismatch("S: 220 ready\nC: hi\nwait 1s"),
        "the dialogue went another way where nothing was to be said (- expected, + got):\n  S: 220 ready\n  C: hi\n\
         + S: 250 hi to you, too"
    );
}

#[test]
fn a_missing_line_end_and_control_characters_are_shown() {
    assert_eq!(
        mismatch("S: 220 ready\nC: ASK\nS: Password: "),
        "the dialogue went another way at line 3 of the script (- expected, + got):\n  S: 220 ready\n  C: ASK\n\
         - S: Password: \n+ S: Password: \\"
    );
    assert!(
        mismatch("S: 220 ready\nC: \t\u{1b}'\nS: nothing")
            .ends_with("\n+ S: 250 \\t\\u{1b}' to you, too")
    );
}

#[test]
fn a_connection_that_stays_open_is_shown() {
    assert_eq!(
        mismatch("S: 220 ready\nS closes"),
        "the dialogue went another way at line 2 of the script (- expected, + got):\n  S: 220 ready\n- S closes\n\
         + (the connection is open)"
    );
    assert!(mismatch("S: 220 ready\nS ends").ends_with("+ (the output goes on)"));
}

#[test]
#[should_panic(expected = "line 2 of the script says \"D: what\"")]
fn a_script_that_cannot_be_read_is_refused() {
    polite().play("S: 220 ready\nD: what");
}

#[test]
fn wildcards_stand_for_any_text_or_none() {
    for line in [
        "…",
        "250 …",
        "… too",
        "250 … to …, too",
        "2…5…0…hi to you, too",
        "250 hi to you,… too",
    ] {
        polite().play(&format!("S: 220 ready\nC: hi\nS: {line}"));
    }
    for line in ["251…", "…two", "250 …x…", "250 hi", "250 hi to you, too…o"] {
        mismatch(&format!("S: 220 ready\nC: hi\nS: {line}"));
    }
}

#[test]
fn a_part_is_told_when_the_window_has_let_it_through_or_when_the_peer_is_gone() {
    for leaves in [false, true] {
        let diary = Diary::default();
        let mut peer = Harness::new(diary.clone());
        peer.set_window(10);
        let id = peer.id();
        let note = |name: &'static str| {
            let diary = diary.clone();
            move |_: &mut asynchat::Registry, sent: asynchat::Sent| {
                diary.note(format!("{name} {} {}", sent.bytes, sent.complete));
                Ok(())
            }
        };
        let mut registry = peer.registry();
        let mut channel = registry.channel(id).expect("open");
        channel.push_then("8 bytes!", note("first"));
        channel.push_then("some more", note("second"));
        drop(registry);
        assert!(!peer.is_closed());
        assert_eq!(diary.take(), ["connect", "first 8 true"]);
        if leaves {
            peer.reset();
            assert!(diary.take().contains(&"second 2 false".into()));
        } else {
            assert_eq!(peer.output(), b"8 bytes!so");
            assert_eq!(diary.take(), ["second 9 true"]);
        }
    }
}

#[test]
fn a_chat_whose_frames_are_collected_is_played_like_any_other() {
    struct Shout;
    impl AsyncChat for Shout {
        fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
            chat.push(line.with_terminator().to_ascii_uppercase());
            Ok(())
        }
    }
    let mut peer = Harness::new(ChatDispatcher::collecting(Shout, "\r\n", 10));
    peer.play("C: hello\nS: HELLO");
    peer.feed_bytewise("bytes\r\n");
    assert_eq!(peer.output(), b"BYTES\r\n");
    peer.feed("longer than the limit\r\n");
    assert!(peer.is_closed());
}

#[test]
fn a_pause_ends_by_the_clock_of_the_kit_and_the_peers_end_is_told_in_it() {
    struct Slow(Diary);
    impl Dispatcher for Slow {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.pause_reading(Duration::from_secs(60));
            self.0.handle_read(channel)
        }
        fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
            self.0.handle_expt(channel, what)
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            self.0.handle_close(channel)
        }
    }
    let diary = Diary::default();
    let mut peer = Harness::new(Slow(diary.clone()));
    peer.advance(Duration::from_secs(60));
    peer.feed("one two ");
    assert_eq!(diary.take(), ["read \"one \""]);
    peer.advance(Duration::from_secs(59));
    assert!(diary.take().is_empty());
    peer.advance(Duration::from_secs(1));
    assert_eq!(diary.take(), ["read \"two \""]);
    peer.eof();
    assert_eq!(diary.take(), ["ReadClosed"]);
    peer.advance(Duration::from_secs(120));
    assert_eq!(diary.take(), ["read \"\"", "close"]);
}

#[test]
fn a_pause_of_no_time_needs_no_clock() {
    struct OneATurn(Diary);
    impl Dispatcher for OneATurn {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.pause_reading(Duration::ZERO);
            self.0.handle_read(channel)
        }
    }
    let diary = Diary::default();
    let mut peer = Harness::new(OneATurn(diary.clone()));
    peer.feed("one two three ");
    assert_eq!(diary.take().len(), 4);
}

#[test]
fn a_listener_in_memory_pauses() {
    struct Door;
    impl Dispatcher for Door {}
    let mut listener = Listener::new(Door);
    let id = listener.id();
    listener
        .registry()
        .channel(id)
        .expect("open")
        .pause_reading(Duration::from_secs(1));
    let _peer = listener.connect();
    assert_eq!(listener.registry().stats().accepted, 0);
    listener.advance(Duration::from_secs(1));
    assert_eq!(listener.registry().stats().accepted, 1);
}

/// Keeps its answers for the test, and has put them off.
#[derive(Clone, Default)]
struct Slow(Rc<RefCell<Vec<Answer>>>);

impl Resolver for Slow {
    fn resolve(&mut self, _: Question, answer: Answer) {
        answer.defer();
        self.0.borrow_mut().push(answer);
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_name_of_the_table_is_dialled_and_any_other_fails_with_its_reason() {
    let names = Names::new()
        .found("two.example", [[192, 0, 2, 1], [192, 0, 2, 2]])
        .fails("busy.example", io::ErrorKind::ResourceBusy)
        .silent("silent.example");
    let reactor = Reactor::builder().propagate_panics(true).resolver(names);
    let mut peer = Harness::with_builder(reactor, Diary::default());
    let connect = |peer: &mut Harness, host: &str| {
        let diary = Diary::default();
        let id = peer.registry().connect_host(host, 80, diary.clone());
        (id.expect("a channel"), diary)
    };

    let (id, diary) = connect(&mut peer, "two.example");
    let state = peer.registry().channel(id).map(|channel| channel.state());
    assert_eq!(state, Some(State::Resolving));
    let mut first = peer.dialled().expect("the first address");
    assert_eq!(first.address(), ([192, 0, 2, 1], 80).into());
    first.connect_failed(io::ErrorKind::ConnectionRefused);
    let mut second = peer.dialled().expect("the second address");
    assert_eq!(second.address(), ([192, 0, 2, 2], 80).into());
    second.connected();
    assert_eq!(diary.take(), ["connect"]);

    for (host, kind) in [
        ("busy.example", "ResourceBusy"),
        ("nobody.example", "NotFound"),
    ] {
        let (_, diary) = connect(&mut peer, host);
        assert!(peer.dialled().is_none());
        let told = diary.take().join(" ");
        assert!(told.contains(host) && told.contains(kind), "{told}");
    }

    let (_, diary) = connect(&mut peer, "silent.example");
    peer.advance(10 * SECOND - Duration::from_nanos(1));
    assert_eq!(diary.take(), [""; 0]);
    peer.advance(Duration::from_nanos(1));
    assert!(diary.take().join(" ").contains("TimedOut"));
}

/// As for threads that are busy: what a question waited before does not count.
#[test]
fn the_deadline_of_a_look_up_counts_from_its_start() {
    let slow = Slow::default();
    let reactor = Reactor::builder()
        .propagate_panics(true)
        .resolver(slow.clone());
    let mut peer = Harness::with_builder(reactor, Diary::default());
    let diaries: [Diary; 3] = std::array::from_fn(|_| Diary::default());
    let failed = |diary: &Diary, why: &str| {
        let told = diary.take().join(" ");
        assert!(told.contains("TimedOut") && told.contains(why), "{told}");
    };
    for (diary, seconds) in diaries.iter().zip([10, 20]) {
        let options = ConnectOptions::new().resolve_timeout(seconds * SECOND);
        let mut registry = peer.registry();
        let connected = registry.connect_host_with("a.example", 80, &options, diary.clone());
        connected.expect("a channel");
    }
    assert_eq!(slow.0.borrow().len(), 1);
    peer.advance(59 * SECOND);
    slow.0.borrow()[0].begin();
    // One that joins has all of its time.
    peer.advance(5 * SECOND);
    let third = peer
        .registry()
        .connect_host("a.example", 80, diaries[2].clone());
    third.expect("a channel");
    peer.advance(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(diaries[0].take(), [""; 0]);
    peer.advance(Duration::from_nanos(1));
    failed(&diaries[0], "resolve_timeout of 10s");
    peer.advance(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(diaries[2].take(), [""; 0]);
    peer.advance(Duration::from_nanos(1));
    failed(&diaries[2], "resolve_timeout of 10s");
    let answer = slow.0.borrow_mut().remove(0);
    answer.give(Ok(vec![([192, 0, 2, 1], 80).into()]));
    peer.dialled().expect("in time for the second").connected();
    assert_eq!(diaries[1].take(), ["connect"]);

    // One that never begins.
    let stuck = Diary::default();
    let id = peer.registry().connect_host("b.example", 80, stuck.clone());
    id.expect("a channel");
    peer.advance(60 * SECOND - Duration::from_nanos(1));
    assert_eq!(stuck.take(), [""; 0]);
    peer.advance(Duration::from_nanos(1));
    failed(&stuck, "has not begun within 60s");
}

/// A polite chat behind a filter from the first byte on, its peer without one, and the filter's watch.
fn filtered() -> (Harness, Watch) {
    let toy = Toy::server();
    let watch = toy.watch();
    let mut once = Some(toy);
    let mut server = Listener::new(accept_fn(move |registry, stream, _| {
        let chat = ChatDispatcher::new(Polite::default(), "\r\n");
        let id = registry.register(stream, chat)?;
        let mut channel = registry.channel(id).ok_or("closed")?;
        Ok(channel.upgrade(once.take().ok_or("another stream")?)?)
    }));
    (server.connect(), watch)
}

#[test]
fn a_peer_with_a_filter_plays_a_dialogue_as_one_without() {
    let script = "S: 220 ready\nC: HELO\nC: LIST\nS: 250 HELO to you, too\nS: 250-one\nS: 250-…\nS: 250 three\n\
                  C: QUIT\nS: 221 bye\nS ends\nC ends\nS closes";
    for bytewise in [false, true] {
        let (mut peer, watch) = filtered();
        peer.upgrade(Toy::client());
        if bytewise {
            peer.play_bytewise(script);
        } else {
            peer.play(script);
        }
        watch.check_gone();
    }
}

#[test]
fn without_a_filter_of_its_own_a_peer_sees_what_is_on_the_wire() {
    let (mut peer, _) = filtered();
    let mut far = Far::client();
    peer.feed(far.wire());
    far.take(&peer.output());
    assert_eq!(far.plain(), b"220 ready\r\n");
}

#[test]
fn what_is_fed_before_the_channel_has_its_filter_waits_for_the_handshake() {
    let mut peer = polite();
    assert_eq!(peer.output(), b"220 ready\r\n");
    peer.upgrade(Toy::server());
    peer.feed("HELO\r\n");
    assert_eq!(peer.output(), b"");
    let id = peer.id();
    let upgraded = peer.registry().channel(id).unwrap().upgrade(Toy::client());
    upgraded.unwrap();
    assert_eq!(peer.output(), b"250 HELO to you, too\r\n");
    peer.eof();
    assert!(peer.is_closed());
    assert_eq!(peer.closed(), Some(Cause::EndOfFile));
}

#[test]
fn a_peer_can_cut_its_stream_and_fail_its_handshake() {
    let (mut peer, _) = filtered();
    peer.upgrade(Toy::client());
    peer.truncate();
    assert_eq!(peer.closed(), Some(Cause::Truncated));

    let (mut peer, _) = filtered();
    peer.upgrade(Toy::client().fails(Call::Feed, 2));
    // Its alert has ended the channel, which was open before.
    peer.feed("HELO\r\n");
    assert_eq!(peer.output(), b"220 ready\r\n");
    peer.eof();
    assert!(peer.is_closed());
}

#[test]
fn writes_are_counted_by_the_piece_that_the_socket_takes() {
    let mut peer = polite();
    assert_eq!(peer.writes(), 1);
    peer.feed("LIST\r\nLIST\r\n");
    assert_eq!(peer.writes(), 2);
    let _ = peer.output();
    peer.set_window(3);
    peer.feed("x\r\n");
    assert_eq!(peer.output(), b"250");
    assert_eq!(peer.writes(), 4, "the next three bytes have left, too");
}

/// Counts bytes, and reads while it is let.
struct Turnstile {
    read: usize,
    is_open: Rc<RefCell<bool>>,
}

impl Dispatcher for Turnstile {
    fn readable(&self) -> bool {
        *self.is_open.borrow()
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.read += channel.recv_with(|_, data| data.len())?;
        self.is_open.replace(false);
        Ok(())
    }
}

#[test]
fn what_is_fed_while_nobody_reads_is_not_forgotten() {
    let is_open = Rc::new(RefCell::new(false));
    let turnstile = Turnstile {
        read: 0,
        is_open: Rc::clone(&is_open),
    };
    let builder = Reactor::builder().read_buffer(700);
    let mut peer = Harness::with_builder(builder, turnstile);
    let id = peer.id();
    let mut fed = 0;
    let let_read = |peer: &mut Harness| {
        is_open.replace(true);
        peer.registry().channel(id).unwrap().touch();
        peer.advance(Duration::ZERO);
    };
    // The queue never runs empty, and goes round in its memory.
    for len in [900, 1000, 600, 600, 600, 600, 600, 600] {
        peer.feed(vec![b'x'; len]);
        fed += len;
        let_read(&mut peer);
    }
    for _ in 0..3 {
        let_read(&mut peer);
    }
    let read = peer
        .registry()
        .with(id, |counter: &mut Turnstile, _| counter.read);
    assert_eq!(read, Ok(fed));
}
