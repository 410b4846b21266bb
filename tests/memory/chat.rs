//! What messages and idle connections cost in memory (R12, R15): no allocation per message in the steady state, and
//! no input buffer behind a connection that says nothing.

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Frame, Reactor, Result,
    Terminator,
};
use bytes::Bytes;
use util::{
    DEADLINE,
    peer::{LocalStream, pair},
    process::with_descriptors,
};

/// One connection to a reactor, and a buffer for the replies.
struct Peer {
    reactor: Reactor,
    there: LocalStream,
    reply: Vec<u8>,
}

impl Peer {
    fn new(dispatcher: impl Dispatcher) -> Self {
        let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
        let (here, there) = pair();
        there.set_nonblocking(true).unwrap();
        reactor.register(here, dispatcher).unwrap();
        Self {
            reactor,
            there,
            reply: vec![0; 256 * 1024],
        }
    }

    /// Sends a message and turns until a reply of `reply` bytes is there.
    fn exchange(&mut self, message: &[u8], reply: usize) -> &[u8] {
        self.there.write_all(message).unwrap();
        let end = Instant::now() + DEADLINE;
        let before = self.reactor.stats().bytes_in;
        let mut received = 0;
        while received < reply || self.reactor.stats().bytes_in < before + message.len() as u64 {
            self.reactor.turn(Some(Duration::from_millis(20))).unwrap();
            match self.there.read(&mut self.reply[received..]) {
                Ok(n) => received += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(Instant::now() < end, "{received} of {reply} bytes");
        }
        &self.reply[..received]
    }

    /// How often 1,000 exchanges allocate, after a warm-up of ten.
    fn allocations(&mut self, message: &[u8], reply: &[u8]) -> usize {
        let mut exchange = |times: usize| {
            for _ in 0..times {
                assert!(
                    self.exchange(message, reply.len()) == reply,
                    "another reply"
                );
            }
        };
        exchange(10);
        let before = util::heap::allocations();
        exchange(1_000);
        util::heap::allocations() - before
    }
}

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }
}

#[test]
fn an_echo_dispatcher_allocates_nothing_per_message() {
    for size in [1, 100, 10_000, 60_000] {
        let message = vec![b'x'; size];
        assert_eq!(
            Peer::new(Echo).allocations(&message, &message),
            0,
            "{size} bytes"
        );
    }
}

/// Reads frames, and gives a line back for each that asks for one.
struct GivesBack {
    frame: Vec<u8>,
    frames: Rc<Cell<usize>>,
    wants: Rc<Cell<bool>>,
}

impl AsyncChat for GivesBack {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.frame.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match &self.frame[..] {
            b"again" => chat.unread(&b"given back\n"[..]),
            b"stop" => self.wants.set(false),
            _ => {}
        }
        self.frame.clear();
        self.frames.set(self.frames.get() + 1);
        Ok(())
    }

    fn readable(&self) -> bool {
        self.wants.get()
    }
}

fn gives_back() -> (GivesBack, Rc<Cell<usize>>, Rc<Cell<bool>>) {
    let (frames, wants) = (Rc::default(), Rc::new(Cell::new(true)));
    let chat = GivesBack {
        frame: Vec::with_capacity(1024),
        frames: Rc::clone(&frames),
        wants: Rc::clone(&wants),
    };
    (chat, frames, wants)
}

#[test]
fn giving_bytes_back_costs_in_proportion_to_their_number_and_not_to_what_is_behind_them() {
    const FRAMES: usize = 10_000;
    let input = "again\n".repeat(FRAMES).into_bytes();
    let len = input.len();
    let (chat, frames, _) = gives_back();
    let mut peer = Peer::new(ChatDispatcher::new(chat, "\n"));
    let id = peer.reactor.ids()[0];
    peer.reactor.turn(Some(Duration::ZERO)).unwrap();
    let before = util::heap::total();
    peer.reactor.channel(id).unwrap().unread(input);
    while frames.get() < 2 * FRAMES {
        peer.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    let allocated = util::heap::total() - before;
    assert!(allocated < 20 * len, "{allocated} bytes for {len}");

    // One by one in front of many, from outside.
    let before = util::heap::total();
    let mut channel = peer.reactor.channel(id).unwrap();
    for _ in 0..FRAMES {
        channel.unread(&b"x\n"[..]);
    }
    let allocated = util::heap::total() - before;
    assert!(allocated < 16 * FRAMES, "{allocated} bytes for {FRAMES}");
}

#[test]
fn a_paused_chat_keeps_no_more_than_what_it_has_not_read() {
    let (chat, frames, wants) = gives_back();
    let mut peer = Peer::new(ChatDispatcher::new(chat, "\n"));
    let id = peer.reactor.ids()[0];
    peer.reactor.turn(Some(Duration::ZERO)).unwrap();
    let before = util::heap::live();
    let mut input = "fine\n".repeat(12_000).into_bytes();
    input.extend_from_slice(b"stop\nleft\n");
    peer.reactor.channel(id).unwrap().unread(input);
    while wants.get() {
        peer.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    let kept = util::heap::live() - before;
    assert_eq!(frames.get(), 12_001);
    assert!(kept < 256, "{kept} bytes for five");
    wants.set(true);
    peer.reactor.channel(id).unwrap().touch();
    while frames.get() < 12_002 {
        peer.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// Answers each line with its length.
#[derive(Default)]
struct Lengths(usize);

impl AsyncChat for Lengths {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0 += data.len();
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        write!(chat, "{}\r\n", self.0)?;
        self.0 = 0;
        Ok(())
    }
}

#[test]
fn a_line_chat_allocates_nothing_per_message() {
    let mut peer = Peer::new(ChatDispatcher::new(Lengths::default(), "\r\n"));
    assert_eq!(peer.allocations(b"hello\r\n", b"5\r\n"), 0);
    let mut peer = Peer::new(ChatDispatcher::new(Lengths::default(), "\r\n").max_frame(100));
    assert_eq!(peer.allocations(b"a\r\nbc\r\n\r\n", b"1\r\n2\r\n0\r\n"), 0);
}

/// Answers each frame with its length.
struct FrameLengths;

impl AsyncChat for FrameLengths {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        Ok(write!(chat, "{}\r\n", frame.len())?)
    }
}

#[test]
fn frames_that_are_collected_allocate_nothing_and_an_idle_session_holds_no_buffer() {
    const BIG: usize = 1 << 20;
    let mut peer = Peer::new(ChatDispatcher::collecting(FrameLengths, "\r\n", BIG));
    assert_eq!(peer.allocations(b"hello\r\n\r\n", b"5\r\n0\r\n"), 0);
    let part = [b'x'; 30_000];
    let mut exchange = |times: usize| {
        for _ in 0..times {
            peer.exchange(&part, 0);
            peer.exchange(&part, 0);
            assert_eq!(peer.exchange(b"\r\n", 7), b"60000\r\n");
        }
    };
    exchange(10);
    let before = util::heap::allocations();
    exchange(1_000);
    assert_eq!(util::heap::allocations() - before, 0);

    // Long ones leave nothing behind, for any number of sessions.
    let before = util::heap::live();
    let part = [b'x'; 1 << 16];
    for _ in 0..BIG / part.len() {
        peer.exchange(&part, 0);
    }
    assert!(util::heap::live() - before >= BIG as isize - (256 << 10));
    assert_eq!(peer.exchange(b"\r\n", 9), b"1048576\r\n");
    let kept = util::heap::live() - before;
    assert!(kept <= 0, "{kept} bytes are kept");
}

/// Answers each line with 200,000 bytes in small pieces.
struct Talks;

impl AsyncChat for Talks {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, _: Frame<'_>) -> Result {
        for _ in 0..2_000 {
            chat.write_all(&[b'x'; 100])?;
        }
        Ok(())
    }
}

#[test]
fn a_frame_begun_holds_no_buffer_of_a_long_answer() {
    const SESSIONS: usize = 100;
    const MAX: usize = 100;
    let mut peer = Peer::new(ChatDispatcher::collecting(Talks, "\n", MAX));
    let mut waiting = Vec::new();
    let mut before = 0;
    for session in 0..=SESSIONS {
        // The first one fills the pool.
        if session == 1 {
            before = util::heap::live();
        }
        assert_eq!(peer.exchange(b"list\n", 200_000).len(), 200_000);
        peer.exchange(b"l", 0);
        let (here, there) = pair();
        there.set_nonblocking(true).unwrap();
        let next = ChatDispatcher::collecting(Talks, "\n", MAX);
        peer.reactor.register(here, next).unwrap();
        waiting.push(std::mem::replace(&mut peer.there, there));
    }
    let each = (util::heap::live() - before) / SESSIONS.cast_signed();
    // On Windows with mio's own record of a socket.
    let bound = if cfg!(windows) { 2560 } else { 2048 };
    assert!(each <= bound, "{each} bytes for one byte of a line");
}

#[test]
fn a_part_that_is_told_allocates_nothing_but_its_closure() {
    /// Counts the answers that have left; `Some` needs an allocation for what the closure holds.
    struct Counts(Option<Rc<Cell<u64>>>);
    impl AsyncChat for Counts {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            match self.0.clone() {
                None => chat.push_then("ok\r\n", |_, _| Ok(())),
                Some(count) => chat.push_then("ok\r\n", move |_, sent| {
                    count.set(count.get() + sent.bytes);
                    Ok(())
                }),
            }
            Ok(())
        }
    }
    let mut peer = Peer::new(ChatDispatcher::new(Counts(None), "\r\n"));
    assert_eq!(peer.allocations(b"hello\r\n", b"ok\r\n"), 0);
    let count = Rc::new(Cell::new(0));
    let mut peer = Peer::new(ChatDispatcher::new(Counts(Some(count.clone())), "\r\n"));
    assert_eq!(peer.allocations(b"hello\r\n", b"ok\r\n"), 1_000);
    assert_eq!(count.get(), 1_010 * 4);
}

#[test]
fn a_terminator_that_reads_cut_in_two_costs_no_allocation() {
    let mut peer = Peer::new(ChatDispatcher::new(Lengths::default(), "\r\n.\r\n"));
    let mut exchange = |times: usize| {
        for _ in 0..times {
            peer.exchange(b"hello\r\n", 0);
            peer.exchange(b"world\r\n.", 0);
            assert_eq!(peer.exchange(b"\r\n", 4), b"12\r\n");
        }
    };
    exchange(10);
    let before = util::heap::allocations();
    exchange(1_000);
    assert_eq!(util::heap::allocations() - before, 0);
}

#[test]
fn headers_and_bodies_in_turn_allocate_nothing_per_message() {
    /// A header block, then three bytes of body.
    #[derive(Default)]
    struct Requests(bool);
    impl AsyncChat for Requests {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            self.0 = !self.0;
            if self.0 {
                chat.set_terminator(3);
            } else {
                chat.set_terminator("\r\n\r\n");
                chat.push("ok");
            }
            Ok(())
        }
    }
    let mut peer = Peer::new(ChatDispatcher::new(Requests::default(), "\r\n\r\n"));
    assert_eq!(
        peer.allocations(b"POST /\r\n\r\nabcGET\r\n\r\ndef", b"okok"),
        0
    );
}

#[test]
fn a_sink_allocates_nothing_per_message() {
    struct Sink(Rc<Cell<u64>>);
    impl AsyncChat for Sink {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            self.0.set(self.0.get() + data.len() as u64);
            Ok(())
        }
        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            unreachable!()
        }
    }
    for (size, collects) in [
        (1, false),
        (100, false),
        (60_000, false),
        (1, true),
        (60_000, true),
    ] {
        let sunk = Rc::new(Cell::new(0));
        let sink = Sink(Rc::clone(&sunk));
        let mut peer = Peer::new(if collects {
            ChatDispatcher::collecting(sink, Terminator::None, 100)
        } else {
            ChatDispatcher::new(sink, Terminator::None)
        });
        let message = vec![b'x'; size];
        assert_eq!(peer.allocations(&message, b""), 0, "{size} bytes");
        assert_eq!(sunk.get(), 1_010 * size as u64);
    }
}

#[test]
fn shared_bytes_and_a_foreign_channel_cost_no_allocation_either() {
    /// Passes each line to another channel, by id.
    struct Passes(ChannelId, Bytes);
    impl AsyncChat for Passes {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let (to, shared) = (self.0, self.1.clone());
            chat.push("heard");
            if let Some(mut other) = chat.registry().channel(to) {
                other.push(shared);
            }
            Ok(())
        }
    }
    const SIZE: usize = 10_000;
    let mut peer = Peer::new(ChatDispatcher::new(Lengths::default(), "\n"));
    let to = peer.reactor.channels().next().unwrap().id;
    let (here, mut from) = pair();
    from.set_nonblocking(true).unwrap();
    let passes = Passes(to, vec![b'x'; SIZE].into());
    peer.reactor
        .register(here, ChatDispatcher::new(passes, "\n"))
        .unwrap();
    let mut heard = [0; 16];
    let mut exchange = |times: usize| {
        for _ in 0..times {
            from.write_all(b"pass it on\n").unwrap();
            assert!(peer.exchange(b"", SIZE).iter().all(|&byte| byte == b'x'));
            assert_eq!(from.read(&mut heard).unwrap(), 5);
        }
    };
    exchange(10);
    let before = util::heap::allocations();
    exchange(1_000);
    assert_eq!(util::heap::allocations() - before, 0);
}

#[test]
fn an_idle_connection_costs_less_than_330_bytes_of_heap_and_keeps_no_input_buffer() {
    const CONNECTIONS: usize = 2_000;
    // mio's poll(2) backend and the one of Windows keep records of their own for each socket.
    const BOUND: isize = if cfg!(any(mio_unsupported_force_poll_poll, windows)) {
        600
    } else {
        330
    };
    /// What is kept for whoever answers next, shared by all.
    const SPARE: isize = 30;
    with_descriptors(4096, || {
        let mut peers = Vec::with_capacity(CONNECTIONS);
        println!("{CONNECTIONS} connections");
        let empty = util::heap::live();
        let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
        let turn_until = |reactor: &mut Reactor, bytes: u64| {
            let end = Instant::now() + DEADLINE;
            while reactor.stats().bytes_in < bytes {
                reactor.turn(Some(Duration::from_millis(20))).unwrap();
                assert!(Instant::now() < end);
            }
            for _ in 0..3 {
                reactor.turn(Some(Duration::ZERO)).unwrap();
            }
        };
        let before = util::heap::live();
        for _ in 0..CONNECTIONS {
            let (here, there) = pair();
            let chat = ChatDispatcher::new(Lengths::default(), "\r\n").max_frame(8 * 1024);
            reactor.register(here, chat).unwrap();
            peers.push(there);
        }
        turn_until(&mut reactor, 0);
        // The reactor's own share, its one read buffer (64 KiB) included, is in here too.
        let idle = (util::heap::live() - before) / CONNECTIONS.cast_signed();
        println!("{idle} bytes of heap per idle connection");
        assert!(idle <= BOUND, "{idle} bytes per idle connection");

        // All speak at once, each of them as much as the read buffer holds, and stop in the middle of a terminator.
        let mut said = vec![b'x'; 8_000];
        said.extend_from_slice(b"\r\nand half a\r");
        for there in &mut peers {
            there.write_all(&said).unwrap();
        }
        turn_until(&mut reactor, (CONNECTIONS * said.len()) as u64);
        let mut reply = [0; 16];
        for there in &mut peers {
            assert_eq!(there.read(&mut reply).unwrap(), 6);
            assert_eq!(&reply[..6], b"8000\r\n");
        }
        let after = (util::heap::live() - before) / CONNECTIONS.cast_signed();
        println!("{after} bytes of heap per connection after each has spoken");
        assert!(
            after <= BOUND + SPARE,
            "{after} bytes per connection that has spoken"
        );

        drop((reactor, said));
        // On Windows mio keeps what it has for all pollers of the process.
        assert!(
            util::heap::live() == empty || cfg!(windows),
            "the reactor left something behind"
        );
    });
}
