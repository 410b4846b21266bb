//! A channel with a filter in the testing kit, driven by any calls in any order, with the wire cut anywhere: what arrives
//! is what was sent, in order and once; callbacks come as the rules say; the filter is asked only what it promises to
//! answer; and at the end nothing is left.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    BoxError, Builder, Channel, ChannelId, Closed, Dispatcher, Exceptional, Produced, Reactor,
    Registry, Result, Unsent, from_fn, testing::Harness,
};
use util::toy::{Call, Far, Toy, Watch};

/// The first four decisions choose the filters, the reactor and the object; each further one is a step, some with a size
/// behind it.
pub fn fuzz(data: &[u8]) {
    let mut decisions: VecDeque<u8> = data.iter().copied().collect();
    let mut line = Line::new(&mut decisions);
    while let Some(step) = decisions.pop_front() {
        let size = usize::from(decisions.pop_front().unwrap_or(0));
        line.step(step, size);
        line.check();
    }
    line.finish();
}

/// The nth byte of what one side says.
fn byte(n: usize) -> u8 {
    (n % 251) as u8
}

fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

/// What the object has been told, and what it may be told.
#[derive(Default)]
struct Told {
    wrong: Option<String>,
    /// Calls of `handle_connect` that are due.
    owed_connects: usize,
    owes_secured: bool,
    /// Whether plaintext may come in clear, and through the filter.
    clear: bool,
    open: bool,
    /// Bytes in clear, and those through the filter.
    received: [usize; 2],
    closes: usize,
    failures: usize,
    ended: usize,
    /// 0: as much as there is.
    read_size: usize,
    keeps: bool,
    /// The object has ended its output or closed.
    closing: bool,
}

impl Told {
    fn expect(&mut self, holds: bool, what: &str) {
        if !holds && self.wrong.is_none() {
            self.wrong = Some(what.into());
        }
    }
}

#[derive(Clone)]
struct Object(Rc<RefCell<Told>>);

impl Object {
    fn told(&self, what: &str) -> std::cell::RefMut<'_, Told> {
        let mut told = self.0.borrow_mut();
        let (ended, clear, open) = (told.ended, told.clear, told.open);
        told.expect(ended == 0, &format!("{what} after handle_closed"));
        told.expect(clear || open, &format!("{what} in the handshake"));
        told
    }
}

impl Dispatcher for Object {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut told = self.0.borrow_mut();
        let due = told.owed_connects == 1;
        told.expect(due, "handle_connect");
        told.owed_connects = 0;
        if let Some(toy) = channel.filter::<Toy>() {
            told.expect(toy.is_open(), "handle_connect before its time");
            told.open = true;
        }
        Ok(())
    }

    fn handle_secured(&mut self, _: &mut Channel<'_>) -> Result {
        let mut told = self.0.borrow_mut();
        let due = std::mem::take(&mut told.owes_secured);
        told.expect(due, "handle_secured");
        told.open = true;
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let size = self.told("handle_read").read_size;
        let data = if size == 0 {
            channel.recv_with(|_, data| data.to_vec())?
        } else {
            let mut data = vec![0; size];
            let n = channel.recv(&mut data)?;
            data.truncate(n);
            data
        };
        let mut told = self.told("data");
        let way = usize::from(told.open);
        let at = told.received[way];
        told.expect(
            data == bytes(at, data.len()),
            &format!("other bytes at {at}"),
        );
        told.received[way] += data.len();
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
        self.told("handle_drain");
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut told = self.0.borrow_mut();
        told.closes += 1;
        let once = told.closes == 1 && told.ended == 0;
        told.expect(once, "handle_close twice");
        if !told.keeps {
            told.closing = true;
            drop(told);
            channel.close_when_done();
        }
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
        let mut told = self.0.borrow_mut();
        match what {
            Exceptional::HandshakeFailed(_) => {
                told.failures += 1;
                told.closing = true;
                let fits = !told.open && !told.clear;
                told.expect(fits, "a failed handshake of an open channel in handle_expt");
            }
            Exceptional::Reset | Exceptional::ReadClosed => {}
            _ => told.expect(false, "another handle_expt"),
        }
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, _: BoxError) {
        let mut told = self.0.borrow_mut();
        told.failures += 1;
        told.closing = true;
        drop(told);
        channel.close();
    }

    fn handle_closed(&mut self, _: &mut Registry, _: Closed) {
        self.0.borrow_mut().ended += 1;
    }
}

struct Line {
    peer: Harness,
    told: Rc<RefCell<Told>>,
    near: Option<Toy>,
    watch: Watch,
    /// From the upgrade on.
    far: Option<Far>,
    far_toy: Option<Toy>,
    /// From the far side to the channel.
    wire: VecDeque<u8>,
    /// What the channel has pushed, and how much of that before the upgrade.
    pushed: usize,
    clear: Option<usize>,
    /// What the far side has of the clear part, and of the other.
    taken: [usize; 2],
    /// What the far side has said, in clear and sealed.
    said: [usize; 2],
    /// A failure, an end or a reset explains what does not come.
    explained: bool,
    reset: bool,
    /// Nothing is read any more, or closed with something unsent.
    cut: bool,
    detached: usize,
    time: Duration,
    far_ended: bool,
    ended: bool,
    implicit: bool,
}

impl Line {
    fn new(decisions: &mut VecDeque<u8>) -> Self {
        let mut next = || decisions.pop_front().unwrap_or(0);
        let [filters, fault, sizes, object] = [next(), next(), next(), next()];
        let trips = usize::from(filters & 3);
        let toys = [Toy::server(), Toy::client()].map(|toy| toy.round_trips(trips));
        let [mut near, mut far] = toys;
        if filters & 4 != 0 {
            std::mem::swap(&mut near, &mut far);
        }
        if filters & 8 != 0 {
            near = near.bite(3).flight(300);
        }
        if filters & 16 != 0 {
            far = far.flight(0);
        }
        // Some of them fail or panic in the middle.
        let nth = usize::from(fault >> 4) + 1;
        near = match fault & 15 {
            0 => near.fails(Call::Feed, nth),
            1 => near.fails(Call::Seal, nth),
            2 => near.panics(Call::Feed, nth),
            3 => near.panics(Call::Seal, nth),
            4 => near.panics(Call::Phase, nth),
            5 => near.panics(Call::End, 1),
            6 => near.panics(Call::Drop, 1),
            _ => near,
        };
        let told = Rc::new(RefCell::new(Told {
            owed_connects: 1,
            clear: true,
            // The smallest still ends within the turns that the kit allows.
            read_size: [0, 33, 100, 1000][usize::from(object & 3)],
            keeps: object & 4 != 0,
            ..Told::default()
        }));
        let mut line = Self {
            peer: Harness::with_builder(builder(sizes), Object(Rc::clone(&told))),
            told,
            watch: near.watch(),
            near: Some(near),
            far: None,
            far_toy: Some(far),
            wire: VecDeque::new(),
            pushed: 0,
            clear: None,
            taken: [0; 2],
            said: [0; 2],
            explained: fault & 15 < 7,
            reset: false,
            cut: false,
            detached: 0,
            time: Duration::ZERO,
            far_ended: false,
            ended: false,
            implicit: filters & 32 != 0,
        };
        if line.implicit {
            // In its own `handle_connect` a channel is open already: registered anew, it is not.
            line.again(true);
        }
        line
    }

    fn id(&self) -> ChannelId {
        self.peer.id()
    }

    /// The channel, if it is there.
    fn on<R>(&mut self, f: impl FnOnce(&mut Channel<'_>) -> R) -> Option<R> {
        let id = self.id();
        let result = self
            .peer
            .registry()
            .channel(id)
            .map(|mut channel| f(&mut channel));
        // What follows from it.
        self.peer.advance(Duration::ZERO);
        result
    }

    fn sends(&mut self) -> bool {
        let closing = self.told.borrow().closing;
        !closing && self.on(|_| ()).is_some()
    }

    /// Detaches and registers again; with an upgrade before `handle_connect` if that is asked for.
    fn again(&mut self, upgrades: bool) {
        if !self.sends() {
            return;
        }
        let Some(detached) = self.on(|channel| channel.detach()).flatten() else {
            return;
        };
        self.detached += 1;
        let object = Object(Rc::clone(&self.told));
        let mut told = self.told.borrow_mut();
        let closing = told.closing;
        told.owed_connects = 1;
        told.closes = 0;
        drop(told);
        let toy = if upgrades { self.near.take() } else { None };
        if toy.is_some() {
            let mut told = self.told.borrow_mut();
            told.clear = false;
            self.clear = Some(self.pushed);
            self.far = self.far_toy.take().map(Far::new);
        }
        let id;
        {
            let mut registry = self.peer.registry();
            id = registry
                .register(detached.socket, object)
                .expect("registered");
            let mut channel = registry.channel(id).expect("it is there");
            if let Some(toy) = toy {
                channel.upgrade(toy).expect("before its handle_connect");
            }
            channel.unread(detached.unread);
            for part in detached.unsent {
                match part {
                    Unsent::Bytes(bytes) => channel.push(bytes),
                    Unsent::Producer(producer) => channel.push_with_producer(producer),
                    _ => {}
                }
            }
            if closing {
                channel.shutdown_write();
            }
        }
        self.peer.advance(Duration::ZERO);
        self.collect();
    }

    fn collect(&mut self) {
        if let Some(far) = &mut self.far {
            self.wire.extend(far.wire());
        }
    }

    fn is_open(&self) -> bool {
        self.far.as_ref().is_some_and(Far::is_open)
    }

    fn step(&mut self, step: u8, size: usize) {
        let long = size * 20;
        match step % 24 {
            0 | 1 => {
                if self.sends() {
                    let data = bytes(self.pushed, long);
                    self.pushed += long;
                    self.on(|channel| channel.push(data));
                }
            }
            2 => {
                if self.sends() {
                    let mut pieces: Vec<_> = (0..size % 5).collect();
                    let from = self.pushed;
                    self.pushed += pieces.len() * size;
                    pieces.reverse();
                    let mut at = from;
                    self.on(|channel| {
                        channel.push_with_producer(from_fn(move || {
                            Ok(match pieces.pop() {
                                None => Produced::Done,
                                Some(_) => {
                                    at += size;
                                    Produced::Data(bytes(at - size, size).into())
                                }
                            })
                        }));
                    });
                }
            }
            3 => {
                if self.sends() {
                    let data = bytes(self.pushed, size);
                    let sent = self.on(|channel| channel.send(&data));
                    self.pushed += sent.and_then(|sent| sent.ok()).unwrap_or(0);
                }
            }
            4 | 5 => self.say(long),
            6 | 7 => {
                self.feed(size);
            }
            8 => {
                self.feed(usize::MAX);
            }
            9 | 10 => {
                self.take();
            }
            11 => self.peer.set_window(size),
            12 => {
                self.on(|channel| channel.pause_reading(Duration::from_secs(5)));
            }
            13 => {
                self.on(|channel| channel.resume_reading());
            }
            14 => {
                let time = Duration::from_millis(size as u64 * 50);
                self.time += time;
                self.peer.advance(time);
            }
            15 if size < 64 => self.upgrade(),
            15 if size < 128 => self.again(false),
            16 if size < 100 => {
                let object = Object(Rc::clone(&self.told));
                self.on(|channel| channel.replace(object));
            }
            17 if size < 60 => {
                if !std::mem::replace(&mut self.told.borrow_mut().closing, true) {
                    self.cut = true;
                    self.on(|channel| channel.close_when_done());
                }
            }
            18 if size < 60 => {
                if !std::mem::replace(&mut self.told.borrow_mut().closing, true) {
                    self.on(|channel| channel.shutdown_write());
                }
            }
            19 if size < 60 => self.far_ends(),
            20 if size < 30 => {
                self.feed(usize::MAX);
                self.ended = true;
                self.explained |= self.clear.is_some() && !self.far_ended;
                self.peer.eof();
            }
            21 if size < 10 => {
                self.reset = true;
                self.explained = true;
                self.peer.reset();
            }
            21 if size < 20 && self.clear.is_some() => {
                self.explained = true;
                // Behind whole records: nothing vouches for their content.
                self.feed(usize::MAX);
                self.peer.feed("no record");
            }
            21 if (20..30).contains(&size) => {
                self.explained = true;
                self.cut = true;
                self.told.borrow_mut().closing = true;
                self.on(|channel| channel.close());
            }
            22 => {
                if self.is_open() && !self.far_ended {
                    self.far.as_mut().expect("open").ping();
                    self.collect();
                }
            }
            23 => {
                self.on(|channel| channel.tolerate_truncation());
            }
            _ => {}
        }
    }

    fn say(&mut self, len: usize) {
        if self.ended || self.far_ended {
            return;
        }
        if self.clear.is_none() {
            self.peer.feed(bytes(self.said[0], len));
            self.said[0] += len;
        } else if self.is_open() {
            let far = self.far.as_mut().expect("open");
            if far.failed().is_none() {
                far.say(bytes(self.said[1], len));
                self.said[1] += len;
                self.collect();
            }
        }
    }

    fn far_ends(&mut self) {
        if self.is_open() && !self.far_ended {
            self.far_ended = true;
            self.far.as_mut().expect("open").end();
            self.collect();
        }
    }

    fn feed(&mut self, most: usize) -> bool {
        self.collect();
        let n = most.min(self.wire.len());
        let wire: Vec<u8> = self.wire.drain(..n).collect();
        self.peer.feed(&wire);
        n > 0
    }

    fn take(&mut self) -> bool {
        let output = self.peer.output();
        let clear = self.clear.unwrap_or(usize::MAX) - self.taken[0];
        let (clear, sealed) = output.split_at(clear.min(output.len()));
        assert!(
            clear == bytes(self.taken[0], clear.len()),
            "other bytes in clear"
        );
        self.taken[0] += clear.len();
        if !sealed.is_empty() {
            let far = self.far.as_mut().expect("sealed before the upgrade");
            far.take(sealed);
            let plain = far.plain();
            let at = self.taken[0] + self.taken[1];
            assert!(
                plain == bytes(at, plain.len()),
                "other bytes sealed at {at}"
            );
            self.taken[1] += plain.len();
        }
        self.collect();
        !output.is_empty()
    }

    fn upgrade(&mut self) {
        // Behind the end of the stream an upgrade is refused once that is read.
        if self.near.is_none() || self.ended || !self.sends() {
            return;
        }
        let waits = self.told.borrow().received[0] < self.said[0];
        let Some(toy) = self.near.take() else { return };
        let mut told = self.told.borrow_mut();
        told.owes_secured = true;
        told.clear = false;
        drop(told);
        // Input in clear that waits is no handshake.
        self.explained |= waits;
        self.clear = Some(self.pushed);
        self.far = self.far_toy.take().map(Far::new);
        self.collect();
        let refused = self.on(|channel| channel.upgrade(toy).is_err());
        let gone = self.reset || self.told.borrow().closes > 0;
        assert!(refused == Some(false) || gone, "the upgrade is refused");
        if refused != Some(false) {
            self.explained = true;
        }
    }

    fn check(&mut self) {
        self.peer.advance(Duration::ZERO);
        let told = self.told.borrow();
        if let Some(wrong) = &told.wrong {
            panic!("{wrong}");
        }
        assert!(told.received[0] <= self.said[0] && told.received[1] <= self.said[1]);
        assert!(told.ended <= 1, "handle_closed twice");
        let late = self.time >= Duration::from_secs(10) && !told.open;
        assert!(told.failures <= 1, "{} failures", told.failures);
        assert!(
            told.failures == 0 || self.explained || late,
            "a failure without a reason"
        );
        drop(told);
        self.watch.check();
        // Its records are whole and in order, whatever happens.
        let failed = self.far.as_ref().and_then(Far::failed);
        assert!(
            failed.is_none_or(|why| why.starts_with("alert: ")),
            "{failed:?}"
        );
    }

    fn exchange(&mut self) {
        for _ in 0..10_000 {
            let fed = self.feed(usize::MAX);
            if !self.take() && !fed {
                return;
            }
        }
        panic!("the two sides never come to rest");
    }

    fn finish(&mut self) {
        self.peer.set_window(usize::MAX);
        self.on(|channel| channel.resume_reading());
        self.exchange();
        self.check();
        let whole = {
            let told = self.told.borrow();
            !self.explained && told.failures == 0
        };
        if whole {
            if !self.cut && !(self.told.borrow().closing && self.told.borrow().closes > 0) {
                assert_eq!(
                    self.told.borrow().received,
                    self.said,
                    "not all was received"
                );
            }
            assert_eq!(
                self.taken[0] + self.taken[1],
                self.pushed,
                "not all was sent"
            );
            if let Some(left) = self.on(|channel| channel.outgoing_len()) {
                assert_eq!(left, 0, "outgoing_len with nothing left");
            }
        }
        self.far_ends();
        self.exchange();
        self.peer.eof();
        if !self.told.borrow().closing {
            self.told.borrow_mut().closing = true;
        }
        self.on(|channel| channel.close_when_done());
        self.exchange();
        self.peer.advance(Duration::from_secs(60));
        self.check();
        assert!(self.peer.is_closed(), "the channel is left");
        assert_eq!(self.told.borrow().ended, 1, "handle_closed");
        assert!(self.peer.registry().is_idle(), "the reactor is not idle");
        assert_eq!(self.peer.registry().stats().timers, 0, "timers are left");
        match self.near.take() {
            None => self.watch.check_gone(),
            // It may be one that panics when it is dropped.
            Some(unused) => drop(catch_unwind(AssertUnwindSafe(|| drop(unused)))),
        }
        if whole && self.told.borrow().open {
            assert!(
                self.far.as_ref().is_some_and(Far::has_end),
                "no end of the filter"
            );
        }
    }
}

/// Small sizes, so that they are met.
fn builder(sizes: u8) -> Builder {
    let mut builder = Reactor::builder().linger(Duration::from_secs(5), 1 << 20);
    if sizes & 1 != 0 {
        builder = builder.read_buffer(100);
    }
    if sizes & 2 != 0 {
        builder = builder.write_budget(1);
    }
    if sizes & 4 != 0 {
        builder = builder.watermarks(10, 100);
    }
    builder
}
