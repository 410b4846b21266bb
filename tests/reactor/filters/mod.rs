//! Filters between socket and channel: the handshake, sealing, ends, upgrades, hand-overs and panics.
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of one `Channel<'_>` is none of all"
)]

mod attacks;
mod chats;
mod closing;
mod company;
mod endings;
mod failures;
mod handover;
mod handshake;
mod panics;
mod sealing;
mod sending;
mod starttls;
mod upgrading;

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{
    Address, BoxError, Builder, Channel, Dispatcher, Filter, Reactor, Result, Stream,
    testing::{Harness, Listener},
};
use util::{
    Recorder, Trace,
    toy::{Far, Toy, Watch},
};

const SECOND: Duration = Duration::from_secs(1);

/// Puts what it accepts behind an object and a filter, and writes down its own errors.
struct Gate<F> {
    trace: Trace,
    make: F,
}

impl<D: Dispatcher, T: Filter, F: FnMut() -> (D, T) + 'static> Dispatcher for Gate<F> {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let (object, filter) = (self.make)();
        let id = channel.registry().register(stream, object)?;
        let mut accepted = channel.registry().channel(id).ok_or("closed")?;
        Ok(accepted.upgrade(filter)?)
    }

    fn handle_error(&mut self, _: &mut Channel<'_>, error: BoxError) {
        self.trace.add(format!("listener.error:{error}"));
    }
}

/// One connection in the kit: a recorder behind a filter, and a peer behind the other side of it.
struct Line {
    peer: Harness,
    far: Far,
    trace: Trace,
    received: Rc<RefCell<Vec<u8>>>,
    watch: Watch,
}

/// Panics leave the call, so that a failed assertion fails the test.
fn builder() -> Builder {
    Reactor::builder().propagate_panics(true)
}

/// The callbacks in a row, without reads that found nothing: they are no promise.
fn words(trace: &Trace) -> String {
    let mut lines = trace.lines();
    lines.retain(|line| !line.contains("read!"));
    lines.join(" ")
}

/// Writes down the cause of its end too.
fn recorder(trace: &Trace) -> Recorder {
    let mut recorder = Recorder::new(trace);
    let trace = trace.clone();
    recorder.on_closed = Some(Box::new(move |_, why| {
        trace.add(format!("closed:{:?}", why.cause));
    }));
    recorder
}

impl Line {
    /// A filter from the first byte on; the channel is the side that answers.
    fn implicit(change: impl FnOnce(&mut Recorder)) -> Self {
        Self::with(builder(), Toy::server(), Toy::client(), change)
    }

    /// The same, and the handshake is done.
    fn open(change: impl FnOnce(&mut Recorder)) -> Self {
        let mut line = Self::implicit(change);
        line.exchange();
        assert!(line.far.is_open());
        line.trace.clear();
        line
    }

    /// Any builder and filters.
    fn with(builder: Builder, near: Toy, far: Toy, change: impl FnOnce(&mut Recorder)) -> Self {
        let trace = Trace::new();
        let mut object = recorder(&trace);
        change(&mut object);
        let received = object.received.clone();
        let watch = near.watch();
        let mut once = Some((object, near));
        let gate = Gate {
            trace: trace.clone(),
            make: move || once.take().unwrap(),
        };
        Self {
            peer: Listener::with_builder(builder, gate).connect(),
            far: Far::new(far),
            trace,
            received,
            watch,
        }
    }

    /// A channel that was open before its filter came.
    fn upgraded(near: Toy, far: Toy, change: impl FnOnce(&mut Recorder)) -> Self {
        let trace = Trace::new();
        let mut object = recorder(&trace);
        change(&mut object);
        let received = object.received.clone();
        let watch = near.watch();
        let mut peer = Harness::with_builder(builder(), object);
        assert_eq!(words(&trace), "connect");
        trace.clear();
        Self::channel(&mut peer, |channel| channel.upgrade(near).unwrap());
        peer.advance(Duration::ZERO);
        Self {
            peer,
            far: Far::new(far),
            trace,
            received,
            watch,
        }
    }

    /// Either kind, by name, for tables.
    fn of(kind: Kind, near: Toy, far: Toy, change: impl FnOnce(&mut Recorder)) -> Self {
        match kind {
            Kind::Implicit => Self::with(builder(), near, far, change),
            Kind::Upgraded => Self::upgraded(near, far, change),
        }
    }

    #[track_caller]
    fn channel<R>(peer: &mut Harness, f: impl FnOnce(&mut Channel<'_>) -> R) -> R {
        let id = peer.id();
        f(&mut peer.registry().channel(id).expect("closed"))
    }

    /// The channel, from outside.
    #[track_caller]
    fn on<R>(&mut self, f: impl FnOnce(&mut Channel<'_>) -> R) -> R {
        let result = Self::channel(&mut self.peer, f);
        // What follows from it.
        self.peer.advance(Duration::ZERO);
        result
    }

    /// Passes on what the far side has to send.
    fn feed(&mut self) {
        let wire = self.far.wire();
        self.peer.feed(wire);
    }

    /// The far side takes what the channel has sent. False if that is nothing.
    fn take(&mut self) -> bool {
        let wire = self.peer.output();
        if !wire.is_empty() {
            self.far.take(&wire);
        }
        !wire.is_empty()
    }

    /// Passes on in both directions until nothing is left.
    fn exchange(&mut self) {
        loop {
            let talks = self.far.has_wire();
            self.feed();
            if !self.take() && !talks {
                return;
            }
        }
    }

    fn say(&mut self, plain: impl AsRef<[u8]>) {
        self.far.say(plain);
        self.feed();
    }

    /// What the channel has sent, opened.
    fn hear(&mut self) -> Vec<u8> {
        self.exchange();
        self.far.plain()
    }

    fn received(&self) -> Vec<u8> {
        self.received.borrow().clone()
    }

    /// The callbacks since the last look.
    fn news(&self) -> String {
        let news = words(&self.trace);
        self.trace.clear();
        news
    }
}

/// How a channel comes to its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Before `handle_connect`.
    Implicit,
    /// On an open channel.
    Upgraded,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Implicit, Self::Upgraded];

    /// The word of the callback after the handshake.
    fn done(self) -> &'static str {
        match self {
            Self::Implicit => "connect",
            Self::Upgraded => "secured",
        }
    }
}
