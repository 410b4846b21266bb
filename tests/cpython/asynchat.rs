//! CPython's `test_asynchat.py`, test by test (R12, R16, R17). The poll variants are the suite on mio's poll(2) backend;
//! what the types rule out (a negative terminator, pushing an integer or text that is not encoded) has no test here.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use asynchat::{
    AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Reactor,
    Registry, Result, SimpleProducer, Terminator,
};
use bytes::{Bytes, BytesMut};
use util::{peer::pair, reactor, serve, settle, turn_until};

const SERVER_QUIT: &str = "QUIT\n";

/// Collects until the client says QUIT, then sends everything back in pieces, a millisecond apart, and closes.
struct EchoServer {
    buffer: Rc<RefCell<Vec<u8>>>,
    chunk_size: usize,
    quit: bool,
}

impl Dispatcher for EchoServer {
    fn readable(&self) -> bool {
        !self.quit
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buffer = self.buffer.borrow_mut();
        channel.recv_with(|_, data| buffer.extend_from_slice(data))?;
        if !buffer.ends_with(SERVER_QUIT.as_bytes()) {
            return Ok(());
        }
        self.quit = true;
        let len = buffer.len() - SERVER_QUIT.len();
        buffer.truncate(len);
        let pieces = buffer.chunks(self.chunk_size).map(Bytes::copy_from_slice);
        let id = channel.id();
        send_next(channel.registry(), id, pieces.collect());
        Ok(())
    }
}

fn send_next(registry: &mut Registry, id: ChannelId, mut pieces: Vec<Bytes>) {
    registry.call_later(Duration::from_millis(1), move |registry| {
        let Some(mut channel) = registry.channel(id) else {
            return Ok(());
        };
        if pieces.is_empty() {
            channel.close_when_done();
            return Ok(());
        }
        channel.push(pieces.remove(0));
        send_next(registry, id, pieces);
        Ok(())
    });
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    contents: Vec<String>,
    buffer: String,
    errors: Vec<String>,
}

struct EchoClient(Rc<RefCell<Seen>>);

impl AsyncChat for EchoClient {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0
            .borrow_mut()
            .buffer
            .push_str(std::str::from_utf8(data)?);
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        let seen = &mut *self.0.borrow_mut();
        seen.contents.push(std::mem::take(&mut seen.buffer));
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.0.borrow_mut().errors.push(error.to_string());
        chat.close();
    }
}

struct Run {
    reactor: Reactor,
    client: ChannelId,
    seen: Rc<RefCell<Seen>>,
    /// What the server has received.
    buffer: Rc<RefCell<Vec<u8>>>,
}

impl Run {
    fn new(terminator: impl Into<Terminator>, chunk_size: usize) -> Self {
        let mut reactor = reactor();
        let buffer = Rc::new(RefCell::new(Vec::new()));
        let address = start_server(&mut reactor, chunk_size, &buffer);
        let seen = Rc::new(RefCell::new(Seen::default()));
        let client = ChatDispatcher::new(EchoClient(Rc::clone(&seen)), terminator);
        let client = reactor.connect(address, client).unwrap();
        Self {
            reactor,
            client,
            seen,
            buffer,
        }
    }

    fn channel(&mut self) -> Channel<'_> {
        self.reactor.channel(self.client).unwrap()
    }

    fn push(&mut self, data: impl Into<Bytes>) {
        self.channel().push(data);
    }

    /// Turns until the client's channel is closed.
    #[track_caller]
    fn finish(mut self) -> Seen {
        let client = self.client;
        turn_until(&mut self.reactor, |reactor| {
            reactor.channel(client).is_none()
        });
        self.seen.take()
    }
}

fn start_server(
    reactor: &mut Reactor,
    chunk_size: usize,
    buffer: &Rc<RefCell<Vec<u8>>>,
) -> SocketAddr {
    let buffer = Rc::clone(buffer);
    let (_, address) = serve(reactor, move |_| EchoServer {
        buffer: Rc::clone(&buffer),
        chunk_size,
        quit: false,
    });
    address
}

fn contents(frames: &[&str]) -> Seen {
    Seen {
        contents: frames.iter().map(ToString::to_string).collect(),
        ..Seen::default()
    }
}

fn check_line_terminator(terminator: &'static str, chunk_size: usize) {
    let mut run = Run::new(terminator, chunk_size);
    run.push("hello ");
    run.push(format!("world{terminator}"));
    run.push(format!("I'm not dead yet!{terminator}"));
    run.push(SERVER_QUIT);
    assert_eq!(
        run.finish(),
        contents(&["hello world", "I'm not dead yet!"])
    );
}

// The server returns data in pieces that cut the terminator in every way.

/// line_terminator1
#[test]
fn a_line_ends_with_one_byte() {
    for chunk_size in 1..=3 {
        check_line_terminator("\n", chunk_size);
    }
}

/// line_terminator2
#[test]
fn a_line_ends_with_two_bytes() {
    for chunk_size in 1..=3 {
        check_line_terminator("\r\n", chunk_size);
    }
}

/// line_terminator3
#[test]
fn a_line_ends_with_three_bytes() {
    for chunk_size in 1..=3 {
        check_line_terminator("qqq", chunk_size);
    }
}

/// Python's server sends a numeric reply in one piece; here in all the other ways too.
fn check_numeric_terminator(length: u64) {
    let data = "hello world, I'm not dead yet!\n";
    for chunk_size in [1, 2, 3, data.len()] {
        let mut run = Run::new(length, chunk_size);
        run.push(data);
        run.push(SERVER_QUIT);
        let (frame, rest) = data.split_at(usize::try_from(length).unwrap());
        assert_eq!(
            run.finish(),
            Seen {
                buffer: rest.into(),
                ..contents(&[frame])
            }
        );
    }
}

/// numeric_terminator1
#[test]
fn a_count_of_one_byte_is_a_frame() {
    check_numeric_terminator(1);
}

/// numeric_terminator2
#[test]
fn a_count_of_six_bytes_is_a_frame() {
    check_numeric_terminator(6);
}

/// none_terminator
#[test]
fn without_a_terminator_everything_is_collected_in_no_frame() {
    let data = "hello world, I'm not dead yet!\n";
    let mut run = Run::new(Terminator::None, data.len());
    run.push(data);
    run.push(SERVER_QUIT);
    assert_eq!(
        run.finish(),
        Seen {
            buffer: data.into(),
            ..Seen::default()
        }
    );
}

/// simple_producer
#[test]
fn a_simple_producer_gives_its_data_piece_by_piece() {
    let mut run = Run::new("\n", 1000);
    let data = format!("hello world\nI'm not dead yet!\n{SERVER_QUIT}");
    let producer = SimpleProducer::new(data).with_slice_size(8);
    run.channel().push_with_producer(producer);
    assert_eq!(
        run.finish(),
        contents(&["hello world", "I'm not dead yet!"])
    );
}

/// string_producer
#[test]
fn a_string_is_a_producer() {
    let mut run = Run::new("\n", 1000);
    let data = format!("hello world\nI'm not dead yet!\n{SERVER_QUIT}");
    run.channel().push_with_producer(data);
    assert_eq!(
        run.finish(),
        contents(&["hello world", "I'm not dead yet!"])
    );
}

/// empty_line
#[test]
fn an_empty_line_is_an_empty_frame() {
    let mut run = Run::new("\n", 1000);
    run.push("hello world\n\nI'm not dead yet!\n");
    run.push(SERVER_QUIT);
    assert_eq!(
        run.finish(),
        contents(&["hello world", "", "I'm not dead yet!"])
    );
}

/// close_when_done: Python checks that the server got anything at all; here it gets everything, and the client nothing.
#[test]
fn close_when_done_sends_everything_and_reads_nothing() {
    let mut run = Run::new("\n", 1);
    run.push("hello world\nI'm not dead yet!\n");
    run.push(SERVER_QUIT);
    run.channel().close_when_done();
    let buffer = Rc::clone(&run.buffer);
    turn_until(&mut run.reactor, |_| {
        *buffer.borrow() == b"hello world\nI'm not dead yet!\n"
    });
    assert_eq!(run.finish(), Seen::default());
}

/// push: Python's `bytes`, `bytearray` and `memoryview`: here anything that converts into `Bytes`.
#[test]
fn push_takes_every_kind_of_bytes() {
    let mut run = Run::new("\n", 1000);
    run.push("bytes\n");
    run.push(&b"bytes\n"[..]);
    run.push(b"bytes\n".to_vec());
    run.push(String::from("bytes\n"));
    run.push(Bytes::from_static(b"bytes\n"));
    run.push(BytesMut::from("bytes\n"));
    run.push(SERVER_QUIT);
    assert_eq!(run.finish(), contents(&["bytes"; 6]));
}

/// blockingioerror: Python mocks a `recv` that fails with `EAGAIN`; here the first read of a quiet connection finds
/// nothing.
#[test]
fn a_read_that_would_block_is_no_error() {
    let mut reactor = reactor();
    let (here, _there) = pair();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let client = ChatDispatcher::new(EchoClient(Rc::clone(&seen)), "\n");
    let id = reactor.register(here, client).unwrap();
    settle(&mut reactor);
    // handle_connect and a handle_read in vain.
    assert_eq!(reactor.stats().callbacks, 2);
    assert_eq!(reactor.stats().errors, 0);
    assert_eq!(*seen.borrow(), Seen::default());
    assert!(reactor.channel(id).is_some());
}

/// `find_prefix_at_end("qwerty\r", "\r\n") == 1` and `("qwertydkjf", "\r\n") == 0`: what is not collected yet.
#[test]
fn a_start_of_the_terminator_at_the_end_of_a_read_is_held() {
    for (data, collected) in [("qwerty\r", "qwerty"), ("qwertydkjf", "qwertydkjf")] {
        let mut reactor = reactor();
        let (here, there) = pair();
        let seen = Rc::new(RefCell::new(Seen::default()));
        let client = ChatDispatcher::new(EchoClient(Rc::clone(&seen)), "\r\n");
        reactor.register(here, client).unwrap();
        std::io::Write::write_all(&mut &there, data.as_bytes()).unwrap();
        settle(&mut reactor);
        assert_eq!(seen.borrow().buffer, collected);
        assert!(seen.borrow().contents.is_empty());
    }
}
