//! The random operations: what a program consists of, how one is made, and how it prints, one operation a line.

use std::fmt;

use proptest::{collection::vec, prelude::*};

/// One case: sockets to begin with, what callbacks do, and what is done from outside.
#[derive(Clone)]
pub struct Program {
    pub setup: Setup,
    pub links: Vec<Spec>,
    pub rules: Vec<Rule>,
    pub steps: Vec<Step>,
    pub ending: Ending,
}

/// Sizes of the reactor, small enough to be met.
#[derive(Clone, Debug)]
pub struct Setup {
    pub read_buffer: usize,
    pub write_budget: usize,
    pub low: usize,
    pub high: usize,
    pub max_outgoing: usize,
    pub max_channels: usize,
}

/// A channel, its object and its peer.
#[derive(Clone, Debug)]
pub struct Spec {
    pub kind: Kind,
    /// A filter from the first byte on, with so many round trips of its handshake.
    pub filter: Option<usize>,
    pub reads: Reads,
    pub readable: bool,
    pub writable: bool,
    pub at_close: AtEnd,
    pub at_error: AtEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One end of a pair with a small send buffer: a Unix one where there are any.
    Narrow,
    /// One end of an adopted TCP connection.
    Tcp,
    /// `connect` to somebody who accepts.
    Connecting,
    /// `connect_any`, and only the second address answers.
    SecondTry,
    /// `connect` to somebody who does not.
    Refused,
    /// A Unix pair's end as a bare descriptor: no greeting, no half-close.
    Fd,
    /// A listener; peers come with `Dial`.
    Listener,
    /// What a listener accepted.
    Accepted,
}

/// How `handle_read` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// One `recv_with`.
    Lent,
    /// One `recv` of so many bytes.
    Once(usize),
    /// `recv` until nothing is left.
    ToTheEnd,
    /// The object has neither `handle_read` nor `handle_write`.
    Deaf,
}

/// What `handle_close` and `handle_error` do after the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    Default,
    Keep,
    Close,
}

/// The callbacks a rule can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum On {
    Connect,
    Read,
    Close,
    Drain,
    Write,
    Error,
    Timeout,
    Failed,
    Reset,
    Ended,
    Accepted,
    Secured,
    /// A timer of the channel. No callback, but served as one.
    Timer,
    /// `handle_closed`, with no channel of its own.
    Closed,
}

/// "On the nth callback of this kind, do that, and return so."
#[derive(Clone, Debug)]
pub struct Rule {
    pub link: usize,
    pub on: On,
    pub nth: usize,
    /// While `recv_with` lends the bytes.
    pub inside: bool,
    pub acts: Vec<Act>,
    pub outcome: Outcome,
}

/// What a callback returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    Err,
    Panic,
    /// An `Err` that means that the connection broke.
    Broken,
    WouldBlock,
}

/// What is done from outside, between turns.
#[derive(Clone, Debug)]
pub enum Step {
    Turn,
    Do(Act),
    /// Peers read, the reactor turns, until all that can come has come.
    Settle,
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every channel is closed gracefully, every peer shuts down.
    Graceful,
    /// The reactor is dropped as it is.
    Drop,
}

/// One operation on one channel or its peer.
#[derive(Clone, Debug)]
pub struct Act {
    pub link: usize,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    PeerSends(usize),
    PeerReads(usize),
    PeerShuts,
    /// Sends so much and shuts down its sending.
    PeerSendsLast(usize),
    PeerCloses,
    PeerResets,
    Push(usize),
    Write(usize),
    /// `push_then`; the closure does this.
    PushThen(usize, Box<Act>),
    Send(usize),
    Recv(usize),
    Touch,
    Pause(Delay),
    Resume,
    Close,
    CloseWhenDone,
    ShutdownWrite,
    /// A filter with so many round trips, if nothing that was sent in clear is unread.
    Upgrade(usize),
    Producer(Plan),
    Wish(bool, bool),
    Unread(usize),
    Replace,
    /// `with`, and that on the channel it lends.
    With(Box<What>),
    /// The same, and a panic.
    WithPanic(Box<What>),
    /// `detach`, and `register` again if true.
    Detach(bool),
    /// `handle_timeout` after a millisecond without traffic, or never.
    Idle(bool),
    Later(Delay, Box<Act>, Outcome),
    Every(Box<Act>),
    /// A timer of the channel: the rules say what it does.
    OwnLater(Delay),
    OwnEvery,
    /// Cancels the nth timer, whoever's.
    Cancel(usize),
    /// Through a `Handle`.
    Post(Box<Act>, Outcome),
    Open(Box<Spec>),
    /// A peer connects to this listener.
    Dial,
    CloseAll,
    Shutdown(Delay),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Zero,
    Soon,
    Far,
}

/// What a producer answers, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    pub pieces: Vec<Piece>,
    pub end: PlanEnd,
}

#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Data(usize),
    Empty,
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanEnd {
    Done,
    Err,
    Panic,
}

impl Plan {
    /// The bytes it will have given at its end.
    pub fn total(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Data(n) => *n,
                Piece::Empty | Piece::Pending => 0,
            })
            .sum()
    }
}

// ---- making

/// A channel a rule or step names: mostly one of the first, which exist; others are passed over.
fn name() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => Just(0_usize),
        4 => Just(1_usize),
        2 => Just(2_usize),
        1 => Just(3_usize),
        1 => Just(4_usize),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1..20_usize,
        3 => 20..3_000_usize,
        1 => 3_000..9_000_usize,
    ]
}

fn big_size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => size(), 1 => 20_000..60_000_usize]
}

fn spec(listeners: bool) -> BoxedStrategy<Spec> {
    let kind = prop_oneof![
        6 => Just(Kind::Narrow),
        4 => Just(Kind::Tcp),
        2 => Just(Kind::Connecting),
        1 => Just(Kind::SecondTry),
        1 => Just(Kind::Refused),
        2 => Just(if cfg!(unix) { Kind::Fd } else { Kind::Narrow }),
        2 => Just(if listeners { Kind::Listener } else { Kind::Tcp }),
    ];
    let reads = prop_oneof![
        4 => Just(Reads::Lent),
        2 => Just(Reads::Once(37)),
        2 => Just(Reads::Once(1000)),
        2 => Just(Reads::ToTheEnd),
        1 => Just(Reads::Deaf),
    ];
    let filter = prop_oneof![
        4 => Just(None),
        1 => Just(Some(0)),
        1 => Just(Some(1)),
    ];
    let at_end = || {
        prop_oneof![
            2 => Just(AtEnd::Default),
            3 => Just(AtEnd::Keep),
            1 => Just(AtEnd::Close),
        ]
    };
    (
        kind,
        filter,
        reads,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.15),
        at_end(),
        at_end(),
    )
        .prop_map(
            |(kind, filter, reads, readable, writable, at_close, at_error)| Spec {
                kind,
                // A bare descriptor is no stream.
                filter: filter.filter(|_| kind != Kind::Fd),
                reads,
                readable,
                writable,
                at_close,
                at_error,
            },
        )
        .boxed()
}

fn plan() -> BoxedStrategy<Plan> {
    let piece = prop_oneof![
        5 => size().prop_map(Piece::Data),
        1 => Just(Piece::Empty),
        2 => Just(Piece::Pending),
    ];
    let end = prop_oneof![
        4 => Just(PlanEnd::Done),
        1 => Just(PlanEnd::Err),
        1 => Just(PlanEnd::Panic),
    ];
    (vec(piece, 0..5), end)
        .prop_map(|(pieces, end)| Plan { pieces, end })
        .boxed()
}

fn delay() -> BoxedStrategy<Delay> {
    prop_oneof![
        3 => Just(Delay::Zero),
        1 => Just(Delay::Soon),
        1 => Just(Delay::Far)
    ]
    .boxed()
}

/// Operations on a channel.
fn on_channel() -> BoxedStrategy<What> {
    prop_oneof![
        3 => delay().prop_map(What::OwnLater),
        1 => Just(What::OwnEvery),
        6 => big_size().prop_map(What::Push),
        2 => size().prop_map(What::Write),
        3 => size().prop_map(What::Send),
        2 => size().prop_map(What::Recv),
        3 => Just(What::Touch),
        2 => delay().prop_map(What::Pause),
        1 => Just(What::Resume),
        2 => Just(What::Close),
        3 => Just(What::CloseWhenDone),
        2 => Just(What::ShutdownWrite),
        3 => (0..2_usize).prop_map(What::Upgrade),
        5 => plan().prop_map(What::Producer),
        3 => any::<(bool, bool)>().prop_map(|(r, w)| What::Wish(r, w)),
        3 => (1..50_usize).prop_map(What::Unread),
        2 => Just(What::Replace),
        2 => prop::bool::weighted(0.7).prop_map(What::Detach),
        1 => any::<bool>().prop_map(What::Idle),
    ]
    .boxed()
}

/// What changes how the running callback's channel is served.
fn on_itself() -> BoxedStrategy<What> {
    prop_oneof![
        4 => (1..50_usize).prop_map(What::Unread),
        2 => Just(What::ShutdownWrite),
        2 => Just(What::CloseWhenDone),
        1 => Just(What::Close),
        2 => Just(What::Replace),
        1 => Just(What::Detach(true)),
        2 => delay().prop_map(What::Pause),
        2 => any::<(bool, bool)>().prop_map(|(r, w)| What::Wish(r, w)),
    ]
    .boxed()
}

fn on_peer() -> BoxedStrategy<What> {
    prop_oneof![
        12 => size().prop_map(What::PeerSends),
        5 => size().prop_map(What::PeerReads),
        3 => Just(What::PeerShuts),
        3 => size().prop_map(What::PeerSendsLast),
        1 => Just(What::PeerCloses),
        1 => Just(What::PeerResets),
    ]
    .boxed()
}

fn simple_act() -> BoxedStrategy<Act> {
    (name(), prop_oneof![2 => on_peer(), 3 => on_channel()])
        .prop_map(|(link, what)| Act { link, what })
        .boxed()
}

fn act() -> BoxedStrategy<Act> {
    let outcome = || {
        prop_oneof![
            4 => Just(Outcome::Fine),
            1 => Just(Outcome::Err),
            1 => Just(Outcome::Panic)
        ]
    };
    let other = prop_oneof![
        6 => (1..5_000_usize, simple_act()).prop_map(|(n, act)| What::PushThen(n, Box::new(act))),
        4 => on_channel().prop_map(|what| What::With(Box::new(what))),
        1 => on_channel().prop_map(|what| What::WithPanic(Box::new(what))),
        4 => (delay(), simple_act(), outcome())
            .prop_map(|(delay, act, outcome)| What::Later(delay, Box::new(act), outcome)),
        1 => simple_act().prop_map(|act| What::Every(Box::new(act))),
        2 => (0..4_usize).prop_map(What::Cancel),
        3 => (simple_act(), outcome())
            .prop_map(|(act, outcome)| What::Post(Box::new(act), outcome)),
        4 => spec(true).prop_map(|spec| What::Open(Box::new(spec))),
        4 => Just(What::Dial),
        1 => Just(What::CloseAll),
        1 => delay().prop_map(What::Shutdown),
    ];
    prop_oneof![
        4 => simple_act(),
        1 => (name(), other).prop_map(|(link, what)| Act { link, what }),
    ]
    .boxed()
}

fn rule() -> BoxedStrategy<Rule> {
    let on = prop_oneof![
        3 => Just(On::Connect),
        14 => Just(On::Read),
        4 => Just(On::Close),
        3 => Just(On::Drain),
        3 => Just(On::Write),
        3 => Just(On::Error),
        1 => Just(On::Timeout),
        2 => Just(On::Timer),
        2 => Just(On::Secured),
        1 => Just(On::Failed),
        1 => Just(On::Reset),
        2 => Just(On::Ended),
        3 => Just(On::Accepted),
        3 => Just(On::Closed),
    ];
    let nth = prop_oneof![2 => Just(1_usize), 1 => 2..4_usize];
    let outcome = prop_oneof![
        6 => Just(Outcome::Fine),
        2 => Just(Outcome::Err),
        2 => Just(Outcome::Panic),
        1 => Just(Outcome::Broken),
        1 => Just(Outcome::WouldBlock),
    ];
    // What an object does to its own channel is where most can go wrong.
    let own = prop_oneof![1 => on_channel(), 1 => on_itself()];
    (
        name(),
        on,
        nth,
        prop::bool::weighted(0.3),
        vec(
            prop_oneof![1 => own.prop_map(Err), 1 => act().prop_map(Ok)],
            0..4,
        ),
        outcome,
    )
        .prop_map(|(link, on, nth, inside, acts, outcome)| Rule {
            link,
            on,
            nth,
            inside: inside && on == On::Read,
            acts: acts
                .into_iter()
                .map(|act| act.unwrap_or_else(|what| Act { link, what }))
                .collect(),
            outcome,
        })
        .boxed()
}

fn setup() -> BoxedStrategy<Setup> {
    let read_buffer = prop_oneof![
        2 => Just(65_536_usize),
        1 => Just(1_000_usize),
        1 => Just(100_usize)
    ];
    let write_budget = prop_oneof![2 => Just(524_288_usize), 1 => Just(2_000_usize)];
    let marks = prop_oneof![
        2 => Just((65_536_usize, 262_144_usize)),
        3 => Just((500_usize, 2_000_usize)),
        1 => Just((0_usize, 0_usize)),
    ];
    let max_outgoing = prop_oneof![2 => Just(64_usize << 20), 1 => Just(10_000_usize)];
    let max_channels = prop_oneof![4 => Just(usize::MAX), 1 => 1..4_usize];
    (read_buffer, write_budget, marks, max_outgoing, max_channels)
        .prop_map(
            |(read_buffer, write_budget, (low, high), max_outgoing, max_channels)| Setup {
                read_buffer,
                write_budget,
                low,
                high,
                max_outgoing,
                max_channels,
            },
        )
        .boxed()
}

/// Programs of up to 40 steps over up to 3 sockets at the start.
pub fn program() -> impl Strategy<Value = Program> {
    let step = prop_oneof![
        5 => Just(Step::Turn),
        9 => act().prop_map(Step::Do),
        1 => Just(Step::Settle),
    ];
    let ending = prop_oneof![5 => Just(Ending::Graceful), 1 => Just(Ending::Drop)];
    (
        setup(),
        vec(spec(true), 1..4),
        vec(rule(), 0..12),
        vec(step, 0..40),
        ending,
    )
        .prop_map(|(setup, links, rules, steps, ending)| Program {
            setup,
            links,
            rules,
            steps,
            ending,
        })
}

// ---- printing

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup {
            read_buffer,
            write_budget,
            low,
            high,
            max_outgoing,
            max_channels,
        } = self.setup;
        writeln!(
            f,
            "reactor: read_buffer {read_buffer}, write_budget {write_budget}, watermarks {low} and {high}, \
             max_outgoing {max_outgoing}{}",
            if max_channels == usize::MAX {
                String::new()
            } else {
                format!(", max_channels {max_channels}")
            }
        )?;
        for (number, spec) in self.links.iter().enumerate() {
            writeln!(f, "#{number} = {spec}")?;
        }
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Turn => writeln!(f, "{number:3}: turn")?,
                Step::Settle => writeln!(f, "{number:3}: settle")?,
                Step::Do(act) => writeln!(f, "{number:3}: {act}")?,
            }
        }
        match self.ending {
            Ending::Graceful => write!(f, "end: close all gracefully"),
            Ending::Drop => write!(f, "end: drop the reactor"),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{:?}", self.kind).to_lowercase())?;
        if let Some(trips) = self.filter {
            write!(f, ", filter of {trips} round trips")?;
        }
        match self.reads {
            Reads::Lent => write!(f, ", recv_with")?,
            Reads::Once(n) => write!(f, ", recv of {n}")?,
            Reads::ToTheEnd => write!(f, ", recv until WouldBlock")?,
            Reads::Deaf => write!(f, ", no handle_read")?,
        }
        if !self.readable {
            write!(f, ", not readable")?;
        }
        if self.writable {
            write!(f, ", writable")?;
        }
        for (what, does) in [
            ("handle_close", self.at_close),
            ("handle_error", self.at_error),
        ] {
            match does {
                AtEnd::Default => {}
                AtEnd::Keep => write!(f, ", {what} keeps open")?,
                AtEnd::Close => write!(f, ", {what} closes")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            link,
            on,
            nth,
            inside,
            acts,
            outcome,
        } = self;
        let on = format!("{on:?}").to_lowercase();
        let inside = if *inside { " inside recv_with" } else { "" };
        write!(f, "on handle_{on} {nth} of #{link}{inside}:")?;
        for act in acts {
            write!(f, " {act};")?;
        }
        write!(f, " return {outcome:?}")
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.link, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerSends(n) => write!(f, "peer sends {n}"),
            Self::PeerReads(n) => write!(f, "peer reads {n}"),
            Self::PeerSendsLast(n) => write!(f, "peer sends {n} and shuts down its sending"),
            Self::PeerShuts => write!(f, "peer shuts down its sending"),
            Self::PeerCloses => write!(f, "peer closes"),
            Self::PeerResets => write!(f, "peer resets"),
            Self::Push(n) => write!(f, "push {n}"),
            Self::Write(n) => write!(f, "io::Write {n}"),
            Self::PushThen(n, act) => write!(f, "push {n} then {{ {act} }}"),
            Self::Send(n) => write!(f, "send {n}"),
            Self::Recv(n) => write!(f, "recv {n}"),
            Self::Touch => write!(f, "touch"),
            Self::Pause(time) => write!(f, "pause_reading({time:?})"),
            Self::Resume => write!(f, "resume_reading"),
            Self::Close => write!(f, "close"),
            Self::CloseWhenDone => write!(f, "close_when_done"),
            Self::ShutdownWrite => write!(f, "shutdown_write"),
            Self::Upgrade(trips) => write!(f, "upgrade with {trips} round trips"),
            Self::Producer(plan) => {
                write!(
                    f,
                    "push_with_producer {:?} then {:?}",
                    plan.pieces, plan.end
                )
            }
            Self::Wish(r, w) => write!(f, "readable {r}, writable {w}"),
            Self::Unread(n) => write!(f, "unread {n}"),
            Self::Replace => write!(f, "replace"),
            Self::With(what) => write!(f, "with {{ {what} }}"),
            Self::WithPanic(what) => write!(f, "with {{ {what}; panic }}"),
            Self::Detach(false) => write!(f, "detach"),
            Self::Detach(true) => write!(f, "detach and register again"),
            Self::Idle(true) => write!(f, "set_idle_timeout 1 ms"),
            Self::Idle(false) => write!(f, "set_idle_timeout none"),
            Self::Later(delay, act, outcome) => {
                write!(f, "call_later({delay:?}) {{ {act}; return {outcome:?} }}")
            }
            Self::Every(act) => write!(f, "call_every {{ {act} }}"),
            Self::OwnLater(delay) => write!(f, "channel.call_later({delay:?})"),
            Self::OwnEvery => write!(f, "channel.call_every"),
            Self::Cancel(n) => write!(f, "cancel timer {n}"),
            Self::Post(act, outcome) => write!(f, "call_soon {{ {act}; return {outcome:?} }}"),
            Self::Open(spec) => write!(f, "open [{spec}]"),
            Self::Dial => write!(f, "is dialled"),
            Self::CloseAll => write!(f, "close_all"),
            Self::Shutdown(grace) => write!(f, "shutdown({grace:?})"),
        }
    }
}
