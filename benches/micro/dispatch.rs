//! Turns of a reactor (R2, R5): callbacks, and the system calls that nobody can do without.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Reactor, Result,
};
use divan::{Bencher, black_box, counter::ItemsCount};
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::random::Random;

const BUSY: usize = 64;

fn tcp_pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().expect("an address");
    let here = TcpStream::connect(address).expect("connected");
    let (there, _) = listener.accept().expect("accepted");
    for stream in [&here, &there] {
        stream.set_nodelay(true).expect("an option");
    }
    (here, there)
}

fn tcp_pairs(count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    (0..count).map(|_| tcp_pair(&listener)).collect()
}

/// Quicker to make and to write to; but a short read of one proves nothing, so there is one read more.
fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

/// Turns until nothing happens any more, so that every channel is known to the poller.
fn settle(reactor: &mut Reactor) {
    loop {
        let turn = reactor.turn(Some(Duration::ZERO)).expect("a turn");
        if turn.events == 0 && turn.callbacks == 0 {
            return;
        }
    }
}

/// Reads a byte and hands it on.
struct Passer {
    next: TcpStream,
}

impl Dispatcher for Passer {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let read = channel.recv_with(|_, data| data.len())?;
        self.next.write_all(&b"x"[..read])?;
        Ok(())
    }
}

/// One byte goes round through so many channels: the time of a turn with one event, one read and one write.
#[divan::bench(args = [1, 64, 1024])]
fn byte_round_a_ring(bencher: Bencher<'_, '_>, size: usize) {
    let Some(mut reactor) = reactor_with_idle(2 * size, 0) else {
        return;
    };
    let (mut writers, readers): (Vec<_>, Vec<_>) = tcp_pairs(size).into_iter().unzip();
    let mut first = writers[0].try_clone().expect("a descriptor");
    writers.rotate_left(1);
    for (reader, next) in readers.into_iter().zip(writers) {
        reactor
            .register(reader, Passer { next })
            .expect("registered");
    }
    settle(&mut reactor);
    first.write_all(b"x").expect("room for a byte");
    bencher.bench_local(|| reactor.turn(None).expect("a turn"));
}

/// The same without the library: what is left of a turn when everything else is taken away.
#[divan::bench(args = [1, 64])]
fn byte_round_a_ring_on_bare_mio(bencher: Bencher<'_, '_>, size: usize) {
    let mut poll = Poll::new().expect("a poller");
    let mut events = Events::with_capacity(1024);
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for (index, (writer, reader)) in tcp_pairs(size).into_iter().enumerate() {
        reader.set_nonblocking(true).expect("non-blocking");
        let mut reader = mio::net::TcpStream::from_std(reader);
        let (token, both) = (Token(index), Interest::READABLE | Interest::WRITABLE);
        let registered = poll.registry().register(&mut reader, token, both);
        registered.expect("registered");
        writers.push(writer);
        readers.push(reader);
    }
    writers[0].write_all(b"x").expect("room for a byte");
    let mut buffer = vec![0; 64 * 1024];
    bencher.bench_local(|| {
        poll.poll(&mut events, None).expect("a poll");
        for event in &events {
            let Token(index) = event.token();
            if !event.is_readable() {
                continue;
            }
            let read = readers[index].read(&mut buffer).expect("a byte");
            writers[(index + 1) % size]
                .write_all(&buffer[..read])
                .expect("room for a byte");
        }
    });
}

struct Idle;
impl Dispatcher for Idle {}

/// A reactor with so many channels on which nothing happens; `None`, with a line that says so, if there may not be
/// so many descriptors.
fn reactor_with_idle(others: usize, idle: usize) -> Option<Reactor> {
    let needed = (others + idle + 100) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |most| needed.min(most)));
        if limit.current < Some(needed) || setrlimit(Resource::Nofile, limit).is_err() {
            eprintln!("skipped: {needed} descriptors are more than the limit");
            return None;
        }
    }
    let mut reactor = Reactor::new().expect("a poller");
    for _ in 0..idle / 2 {
        let (here, there) = unix_pair();
        reactor.register(here, Idle).expect("registered");
        reactor.register(there, Idle).expect("registered");
    }
    settle(&mut reactor);
    Some(reactor)
}

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }
}

/// Turns in which 64 channels echo a byte each, among so many idle ones. Time per channel: see the items.
#[divan::bench(args = [100, 10_000])]
fn ready_64_among_idle(bencher: Bencher<'_, '_>, idle: usize) {
    let Some(mut reactor) = reactor_with_idle(2 * BUSY, idle) else {
        return;
    };
    let busy: Vec<ChannelId> = tcp_pairs(BUSY)
        .into_iter()
        .map(|(here, there)| {
            reactor.register(there, Echo).expect("registered");
            reactor.register(here, Echo).expect("registered")
        })
        .collect();
    settle(&mut reactor);
    for id in busy {
        let mut channel = reactor.channel(id).expect("it is open");
        channel.send(b"x").expect("room for a byte");
    }
    let mut ahead = 0;
    bencher.counter(ItemsCount::new(BUSY)).bench_local(|| {
        // One turn, unless the system is slow to deliver.
        while ahead < BUSY {
            ahead += reactor.turn(None).expect("a turn").events;
        }
        ahead -= BUSY;
    });
}

/// Counts lines, which is next to nothing.
struct Lines(Rc<Cell<usize>>);

impl AsyncChat for Lines {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        black_box(data);
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// The turn in which a chat reads 64 KiB of lines. Time per line: see the items.
fn chat(bencher: Bencher<'_, '_>, input: &[u8], lines: usize) {
    let mut reactor = Reactor::new().expect("a poller");
    let (mut here, there) = unix_pair();
    let found = Rc::new(Cell::new(0));
    let chat = ChatDispatcher::new(Lines(found.clone()), "\r\n");
    reactor.register(there, chat).expect("registered");
    settle(&mut reactor);
    bencher
        .counter(ItemsCount::new(lines))
        .with_inputs(|| {
            found.set(0);
            here.write_all(input).expect("room for a read");
        })
        .bench_local_values(|()| {
            while found.get() < lines {
                reactor.turn(None).expect("a turn");
            }
        });
}

const LINE_LENGTHS: [usize; 3] = [20, 80, 1000];

fn lines_of(length: usize) -> (Vec<u8>, usize) {
    let mut line = vec![b'x'; length];
    line[length - 2..].copy_from_slice(b"\r\n");
    let count = 64 * 1024 / length;
    (line.repeat(count), count)
}

#[divan::bench(args = LINE_LENGTHS, sample_size = 1)]
fn chat_of_whole_lines(bencher: Bencher<'_, '_>, length: usize) {
    let (input, lines) = lines_of(length);
    chat(bencher, &input, lines);
}

/// Each read begins and ends within a line.
#[divan::bench(args = LINE_LENGTHS, sample_size = 1)]
fn chat_of_cut_lines(bencher: Bencher<'_, '_>, length: usize) {
    let (mut input, lines) = lines_of(length);
    input.rotate_left(length / 2);
    chat(bencher, &input, lines);
}

/// A turn in which nothing happens, among so many idle channels.
#[divan::bench(args = [0, 10_000])]
fn empty_turn(bencher: Bencher<'_, '_>, idle: usize) {
    let Some(mut reactor) = reactor_with_idle(0, idle) else {
        return;
    };
    bencher.bench_local(|| reactor.turn(Some(Duration::ZERO)).expect("a turn"));
}

/// Sets the idle timeout of one of 10,000 channels that have one.
#[divan::bench]
fn set_idle_timeout(bencher: Bencher<'_, '_>) {
    let Some(mut reactor) = reactor_with_idle(0, 10_000) else {
        return;
    };
    let ids: Vec<ChannelId> = reactor.channels().map(|info| info.id).collect();
    let timeout = Some(Duration::from_secs(30));
    for &id in &ids {
        let mut channel = reactor.channel(id).expect("it is open");
        channel.set_idle_timeout(timeout);
    }
    let mut random = Random::new();
    bencher.bench_local(|| {
        let id = ids[random.below(ids.len())];
        let mut channel = reactor.channel(id).expect("it is open");
        channel.set_idle_timeout(timeout);
    });
}

#[divan::bench]
fn call_later_and_turn(bencher: Bencher<'_, '_>) {
    let mut reactor = Reactor::new().expect("a poller");
    bencher.bench_local(|| {
        reactor.call_later(Duration::ZERO, |_| Ok(()));
        let turn = reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(turn.timers, 1);
    });
}

/// So many calls posted by the reactor's own thread, and the turn that runs them.
#[divan::bench(args = [1, 100])]
fn call_soon_and_turn(bencher: Bencher<'_, '_>, calls: usize) {
    let mut reactor = Reactor::new().expect("a poller");
    let handle = reactor.handle();
    bencher.counter(ItemsCount::new(calls)).bench_local(|| {
        for _ in 0..calls {
            handle.call_soon(|_| Ok(())).expect("it is there");
        }
        let turn = reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(turn.callbacks, calls);
    });
}

/// A call posted to a reactor that sleeps in another thread, until its answer is here.
#[divan::bench]
fn call_soon_across_threads(bencher: Bencher<'_, '_>) {
    let (ready, started) = mpsc::channel();
    let there = thread::spawn(move || {
        let mut reactor = Reactor::new().expect("a poller");
        reactor.call_later(Duration::from_secs(3600), |_| Ok(()));
        ready.send(reactor.handle()).expect("it is awaited");
        reactor.run().expect("turns");
    });
    let handle = started.recv().expect("a reactor");
    let (answer, answers) = mpsc::channel();
    bencher.bench_local(|| {
        let answer = answer.clone();
        let posted = handle.call_soon(move |_| Ok(answer.send(())?));
        posted.expect("it is there");
        answers.recv().expect("an answer");
    });
    handle.stop();
    there.join().expect("no panic");
}
