//! `handshake`: one connection after the other in each slot: a full handshake, close_notify, the end of the stream both ways.

use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::{
    args::Options,
    failure::Failure,
    gate,
    latency::Latencies,
    net,
    report::{Report, own_cpu},
    tls,
};

struct Slot {
    socket: TcpStream,
    tls: ClientConnection,
    started: Instant,
    ending: bool,
}

struct Hands<'a> {
    options: &'a Options,
    config: &'a Arc<ClientConfig>,
    poll: Poll,
    events: Events,
    slots: Vec<Option<Slot>>,
    busy: usize,
    left: u64,
    done: u64,
    deadline: Option<Instant>,
    latencies: Latencies,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Some(config) = &options.tls else {
        return Err(Failure::Tls("handshake needs --tls".into()));
    };
    let mut hands = Hands {
        options,
        config,
        poll: Poll::new().map_err(Failure::io("making a poll"))?,
        events: Events::with_capacity(1024),
        slots: (0..options.conns).map(|_| None).collect(),
        busy: 0,
        left: options.conns as u64,
        done: 0,
        deadline: None,
        latencies: Latencies::new(),
    };
    hands.work()?;
    gate::warm(options)?;

    hands.latencies = Latencies::new();
    (hands.left, hands.done) = (options.ops, 0);
    let cpu = own_cpu();
    let start = Instant::now();
    hands.deadline = options.seconds.map(|seconds| start + seconds);
    hands.work()?;
    let report = Report {
        scenario: options.scenario,
        ops: hands.done,
        elapsed: start.elapsed(),
        bytes: 0,
        latencies: &hands.latencies,
        own_cpu: own_cpu().saturating_sub(cpu),
    };
    gate::report(options, &report.json())
}

impl Hands<'_> {
    fn work(&mut self) -> Result<(), Failure> {
        let mut now = Instant::now();
        for index in 0..self.slots.len() {
            self.open(index, now)?;
        }
        let mut moved = now;
        while self.busy > 0 {
            let done = self.done;
            self.turn()?;
            now = Instant::now();
            if self.done != done {
                moved = now;
            } else if now - moved >= self.options.stall {
                return Err(Failure::Stalled {
                    after: self.options.stall,
                    ops: self.done,
                    waiting: self.busy,
                });
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let timeout = self.options.stall.min(Duration::from_secs(1));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(Failure::io("polling"))?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            self.visit(index).map_err(|failure| failure.on(index))?;
        }
        self.events = events;
        Ok(())
    }

    /// Makes the next connection in a slot, if there is one to make.
    fn open(&mut self, index: usize, now: Instant) -> Result<(), Failure> {
        if self.left == 0 || self.deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(());
        }
        self.left -= 1;
        let mut socket = TcpStream::connect(net::server(self.options.port))
            .map_err(Failure::io("making a connection"))?;
        self.poll
            .registry()
            .register(
                &mut socket,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(Failure::io("registering"))?;
        self.slots[index] = Some(Slot {
            socket,
            tls: tls::start(self.config)?,
            started: now,
            ending: false,
        });
        self.busy += 1;
        Ok(())
    }

    fn visit(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(());
        };
        let ended = match slot.advance() {
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::NotConnected => false,
                _ => return Err(Failure::io("a handshake")(error)),
            },
            Ok(()) => true,
        };
        if ended { self.finish(index) } else { Ok(()) }
    }

    fn finish(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = self.slots[index].take() else {
            return Ok(());
        };
        match slot.tls.handshake_kind() {
            Some(HandshakeKind::Full) => {}
            other => return Err(Failure::Tls(format!("not a full handshake but {other:?}"))),
        }
        let now = Instant::now();
        self.latencies.record(now - slot.started);
        self.done += 1;
        self.busy -= 1;
        // Before the next one is made, so that a slot needs one descriptor.
        drop(slot);
        self.open(index, now)
    }
}

impl Slot {
    /// As far as it goes: `Ok` at the end of the stream.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            tls::send(&mut self.tls, &mut self.socket)?;
            if !self.tls.is_handshaking() && !self.ending {
                self.ending = true;
                self.tls.send_close_notify();
                tls::send(&mut self.tls, &mut self.socket)?;
                self.socket.shutdown(Shutdown::Write)?;
            }
            let read = self.tls.read_tls(&mut self.socket)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            if read == 0 {
                // nginx answers a close_notify with the end of the stream alone.
                return match self.ending {
                    true => Ok(()),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}
