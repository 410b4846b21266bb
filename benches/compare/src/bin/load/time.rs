//! `time`: one connection after the other in each slot: four bytes with the time, then the end of the stream.
//!
//! The server closes first, so the ports of this side are free again at once.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    args::Options,
    date::unix_now,
    failure::Failure,
    gate,
    latency::Latencies,
    net,
    report::{Report, own_cpu},
};

/// Seconds from 1900, where the protocol begins, to 1970.
const EPOCH: i64 = 2_208_988_800;

struct Slot {
    stream: TcpStream,
    got: [u8; 4],
    filled: usize,
    started: Instant,
}

struct Clock<'a> {
    options: &'a Options,
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
    let crowd = net::Crowd::gather(options, options.idle)?;
    let mut clock = Clock {
        options,
        poll: Poll::new().map_err(Failure::io("making a poll"))?,
        events: Events::with_capacity(1024),
        slots: (0..options.conns).map(|_| None).collect(),
        busy: 0,
        left: options.conns as u64,
        done: 0,
        deadline: None,
        latencies: Latencies::new(),
    };
    clock.work()?;
    gate::warm(options)?;

    clock.latencies = Latencies::new();
    (clock.left, clock.done) = (options.ops, 0);
    let cpu = own_cpu();
    let start = Instant::now();
    clock.deadline = options.seconds.map(|seconds| start + seconds);
    clock.work()?;
    let report = Report {
        scenario: options.scenario,
        ops: clock.done,
        elapsed: start.elapsed(),
        bytes: clock.done * 4,
        latencies: &clock.latencies,
        own_cpu: own_cpu().saturating_sub(cpu),
    };
    crowd.check()?;
    gate::report(options, &report.json())?;
    crowd.check()
}

impl Clock<'_> {
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
            self.read(index).map_err(|failure| failure.on(index))?;
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
        let mut stream = TcpStream::connect(net::server(self.options.port))
            .map_err(Failure::io("making a connection"))?;
        self.poll
            .registry()
            .register(&mut stream, Token(index), Interest::READABLE)
            .map_err(Failure::io("registering"))?;
        self.slots[index] = Some(Slot {
            stream,
            got: [0; 4],
            filled: 0,
            started: now,
        });
        self.busy += 1;
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(());
        };
        loop {
            // One byte more than may come.
            let mut bytes = [0; 5];
            match slot.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(n) if slot.filled + n <= slot.got.len() => {
                    slot.got[slot.filled..slot.filled + n].copy_from_slice(&bytes[..n]);
                    slot.filled += n;
                }
                Ok(n) => {
                    let bytes = slot.filled + n - slot.got.len();
                    return Err(Failure::Surplus { bytes });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(Failure::io("receiving")(error)),
            }
        }
        self.finish(index)
    }

    fn finish(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = self.slots[index].take() else {
            return Ok(());
        };
        if slot.filled < slot.got.len() {
            return Err(Failure::Ended);
        }
        let time = u32::from_be_bytes(slot.got);
        let expected = (unix_now() + EPOCH) as u32;
        if !(-2..=2).contains(&(time.wrapping_sub(expected) as i32)) {
            let text = format!("the time {time} is not now, {expected}");
            return Err(Failure::Answer(text));
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
