//! The loop: keeps a window of messages outstanding on each connection until all operations are done.
//!
//! It is edge-triggered: a connection is read until a short read, written until the kernel takes no more. Nothing is
//! allocated and the clock is read once per window.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};

use crate::{
    args::Options,
    failure::Failure,
    gate,
    latency::Latencies,
    net::{self, Crowd},
    report::{Report, own_cpu},
    stream::{Got, Stream},
};

/// Reads at once. Stays in the second-level cache while it is compared.
const SCRATCH: usize = 256 * 1024;

/// Windows, or full reads, that one connection may have before the others get their turn.
const TURNS: usize = 32;

/// Time for bytes too many to arrive, and for the server to fall asleep before its clock is read.
const GRACE: Duration = Duration::from_millis(5);

/// What is said on a connection: requests known in advance, and answers checked as they come.
pub(crate) trait Exchange {
    /// Where one connection stands.
    type Cursor;

    /// The state of the `index`th connection.
    fn cursor(&self, index: usize) -> Self::Cursor;
    /// Starts a window of `count` messages, at most [`Options::window`].
    fn begin(&self, cursor: &mut Self::Cursor, count: usize);
    /// All bytes to send in this window.
    fn request<'a>(&'a self, cursor: &Self::Cursor) -> &'a [u8];
    /// Takes what came.
    fn answer(&mut self, cursor: &mut Self::Cursor, got: &[u8]) -> Result<(), Failure>;
    /// Whether all answers of this window have come.
    fn answered(&self, cursor: &Self::Cursor) -> bool;
    /// Called about once per second.
    fn tick(&mut self) {}
    /// Whether the stream is half-closed after the last operation and its end is part of what is measured.
    fn half_closes(&self) -> bool {
        false
    }
}

struct Connection<C> {
    stream: Stream,
    cursor: C,
    /// Messages outstanding; 0 when there is nothing left to ask.
    window: usize,
    sent: usize,
    started: Instant,
    readable: bool,
    writable: bool,
    /// A short read does not tell that there is nothing more to come, if that is the end.
    ending: bool,
    half_closed: bool,
    ended: bool,
    queued: bool,
}

struct Engine<E: Exchange> {
    exchange: E,
    poll: Poll,
    events: Events,
    connections: Vec<Connection<E::Cursor>>,
    /// Connections whose turn ended before they were drained.
    again: VecDeque<usize>,
    scratch: Vec<u8>,
    /// What arrives through TLS, before it is opened.
    sealed: Vec<u8>,
    stall: Duration,
    largest: usize,
    /// Operations not yet started.
    left: u64,
    deadline: Option<Instant>,
    done: u64,
    received: u64,
    sent: u64,
    /// Connections with a window outstanding, or an end of stream.
    waiting: usize,
    latencies: Latencies,
    now: Instant,
}

/// Runs a whole scenario.
pub(crate) fn run<E: Exchange>(options: &Options, exchange: E) -> Result<(), Failure> {
    let crowd = Crowd::gather(options, options.idle)?;
    let mut engine = Engine::new(options, exchange)?;
    engine.warm_up()?;
    gate::warm(options)?;

    let cpu = own_cpu();
    let start = engine.measure(options)?;
    let elapsed = start.elapsed();
    let own_cpu = own_cpu().saturating_sub(cpu);

    engine.watch_quiet()?;
    crowd.check()?;
    let bytes = match engine.exchange.half_closes() {
        true => engine.sent,
        false => engine.received,
    };
    let report = Report {
        scenario: options.scenario,
        ops: engine.done,
        elapsed,
        bytes,
        latencies: &engine.latencies,
        own_cpu,
    };
    gate::report(options, &report.json())?;
    engine.watch_quiet()?;
    crowd.check()
}

impl<E: Exchange> Engine<E> {
    fn new(options: &Options, exchange: E) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::io("making a poll"))?;
        let now = Instant::now();
        let mut connections = Vec::with_capacity(options.conns);
        for index in 0..options.conns {
            let (socket, tls) = net::connect(options, options.idle + index)?;
            let mut stream = Stream::new(socket, tls);
            stream
                .register(poll.registry(), Token(index))
                .map_err(Failure::io("registering"))?;
            connections.push(Connection {
                stream,
                cursor: exchange.cursor(index),
                window: 0,
                sent: 0,
                started: now,
                readable: false,
                writable: true,
                ending: false,
                half_closed: false,
                ended: false,
                queued: false,
            });
        }
        Ok(Self {
            exchange,
            poll,
            events: Events::with_capacity(1024),
            again: VecDeque::with_capacity(connections.len()),
            connections,
            scratch: vec![0; SCRATCH],
            sealed: vec![0; if options.tls.is_some() { SCRATCH } else { 0 }],
            stall: options.stall,
            largest: options.window,
            left: 0,
            deadline: None,
            done: 0,
            received: 0,
            sent: 0,
            waiting: 0,
            latencies: Latencies::new(),
            now,
        })
    }

    /// One message each; the first alone, as an exchange may learn from it.
    fn warm_up(&mut self) -> Result<(), Failure> {
        let largest = std::mem::replace(&mut self.largest, 1);
        self.left = 1;
        self.enqueue(0..1);
        self.work()?;
        for index in 1..self.connections.len() {
            self.left += 1;
            self.begin(index, self.now);
            self.enqueue(index..index + 1);
        }
        self.work()?;
        self.largest = largest;
        if self.exchange.half_closes() {
            // No answer tells that the server has taken it.
            std::thread::sleep(10 * GRACE);
        }
        Ok(())
    }

    /// The measured part: returns when it began.
    fn measure(&mut self, options: &Options) -> Result<Instant, Failure> {
        let start = Instant::now();
        self.now = start;
        self.latencies = Latencies::new();
        (self.done, self.received, self.sent) = (0, 0, 0);
        self.left = options.ops;
        self.deadline = options.seconds.map(|seconds| start + seconds);
        self.enqueue(0..self.connections.len());
        self.work()?;
        if self.exchange.half_closes() {
            self.half_close()?;
        }
        Ok(start)
    }

    fn half_close(&mut self) -> Result<(), Failure> {
        for (index, connection) in self.connections.iter_mut().enumerate() {
            connection.half_closed = true;
            connection
                .stream
                .half_close()
                .map_err(|error| Failure::io("half-closing")(error).on(index))?;
        }
        self.waiting = self.connections.len();
        self.work()
    }

    fn enqueue(&mut self, connections: std::ops::Range<usize>) {
        for index in connections {
            if !std::mem::replace(&mut self.connections[index].queued, true) {
                self.again.push_back(index);
            }
        }
    }

    /// Turns until nothing is queued or outstanding.
    fn work(&mut self) -> Result<(), Failure> {
        let mut stuck_since = None;
        let mut ticked = self.now;
        loop {
            let before = self.received + self.sent;
            let waiting = self.waiting;
            self.visit_queued()?;
            if self.waiting == 0 && self.again.is_empty() {
                return Ok(());
            }
            let timeout = match self.again.is_empty() {
                true => self.stall.min(Duration::from_secs(1)),
                false => Duration::ZERO,
            };
            self.turn(timeout)?;
            if self.received + self.sent != before || self.waiting != waiting {
                stuck_since = None;
            } else {
                self.now = Instant::now();
                let since = *stuck_since.get_or_insert(self.now);
                if self.now - since >= self.stall {
                    return Err(Failure::Stalled {
                        after: self.stall,
                        ops: self.done,
                        waiting: self.waiting,
                    });
                }
            }
            if self.now.saturating_duration_since(ticked) >= Duration::from_secs(1) {
                ticked = self.now;
                self.exchange.tick();
            }
        }
    }

    fn visit_queued(&mut self) -> Result<(), Failure> {
        for _ in 0..self.again.len() {
            let Some(index) = self.again.pop_front() else {
                break;
            };
            self.connections[index].queued = false;
            self.visit(index).map_err(|failure| failure.on(index))?;
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(Failure::io("polling"))?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut outcome = Ok(());
        for event in &events {
            let index = event.token().0;
            let connection = &mut self.connections[index];
            let broken = event.is_error();
            connection.ending |= event.is_read_closed() || broken;
            connection.readable |= event.is_readable() || connection.ending;
            connection.writable |= event.is_writable() || broken;
            outcome = self.visit(index).map_err(|failure| failure.on(index));
            if outcome.is_err() {
                break;
            }
        }
        self.events = events;
        outcome
    }

    /// Moves one connection on as far as it goes.
    fn visit(&mut self, index: usize) -> Result<(), Failure> {
        if self.connections[index].window == 0 && self.left > 0 {
            self.begin(index, Instant::now());
        }
        for _ in 0..TURNS {
            self.write(index)?;
            let drained = !self.read(index)?;
            let finished = self.finish(index);
            if drained && !finished {
                return Ok(());
            }
        }
        self.enqueue(index..index + 1);
        Ok(())
    }

    /// Starts the next window, if there is anything left to ask for.
    fn begin(&mut self, index: usize, now: Instant) {
        if self.left == 0 || self.deadline.is_some_and(|deadline| now >= deadline) {
            return;
        }
        let connection = &mut self.connections[index];
        let count = self.left.min(self.largest as u64) as usize;
        self.left -= count as u64;
        self.waiting += 1;
        connection.window = count;
        connection.sent = 0;
        connection.started = now;
        self.exchange.begin(&mut connection.cursor, count);
    }

    fn write(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        if connection.window == 0 || !connection.writable {
            return Ok(());
        }
        let request = self.exchange.request(&connection.cursor);
        loop {
            let rest = &request[connection.sent..];
            let outcome = match rest.is_empty() {
                true => connection.stream.flush().map(|()| 0),
                false => connection.stream.write(rest),
            };
            match outcome {
                Ok(_) if rest.is_empty() => break,
                Ok(n) => {
                    connection.sent += n;
                    self.sent += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.writable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io("sending")(error)),
            }
        }
        Ok(())
    }

    /// Returns whether there may be more.
    fn read(&mut self, index: usize) -> Result<bool, Failure> {
        let connection = &mut self.connections[index];
        if !connection.readable || connection.ended {
            return Ok(false);
        }
        match connection.stream.read(&mut self.scratch, &mut self.sealed) {
            Ok(Got::End) if connection.half_closed => {
                connection.ended = true;
                self.waiting -= 1;
                Ok(false)
            }
            Ok(Got::End) => Err(Failure::Ended),
            Ok(Got::Bytes(n, more)) => {
                self.received += n as u64;
                connection.readable = more || connection.ending;
                self.exchange
                    .answer(&mut connection.cursor, &self.scratch[..n])?;
                Ok(connection.readable)
            }
            Err(error) if is_nothing(&error) => {
                connection.readable = false;
                Ok(false)
            }
            Err(error) => Err(Failure::io("receiving")(error)),
        }
    }

    /// Ends a window that is sent and answered, and starts the next; returns whether it did so.
    fn finish(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        if connection.window == 0
            || !self.exchange.answered(&connection.cursor)
            || connection.sent < self.exchange.request(&connection.cursor).len()
        {
            return false;
        }
        let now = Instant::now();
        self.now = now;
        self.latencies.record(now - connection.started);
        self.done += connection.window as u64;
        self.waiting -= 1;
        connection.window = 0;
        self.begin(index, now);
        self.connections[index].window > 0
    }

    /// Fails if anything comes although nothing is outstanding.
    fn watch_quiet(&mut self) -> Result<(), Failure> {
        self.left = 0;
        loop {
            self.turn(GRACE)?;
            self.visit_queued()?;
            if self.events.is_empty() && self.again.is_empty() {
                return Ok(());
            }
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
