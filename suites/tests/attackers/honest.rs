//! An honest client while others attack: its answers are right, and its round trips take about as long as without them.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// So many rounds at most; one that holds is enough. A machine that does something else now and then spoils some of
/// them; a server that keeps its clients waiting spoils all.
pub const ROUNDS: usize = 6;
/// Of one half of a round, so that the attack has its time to work.
const HALF: Duration = Duration::from_millis(250);
const LEAST: usize = 40;
const MOST: usize = 3000;
/// What a median may grow besides its factor: attacker, server and client share what processors there are, and on a
/// machine with two of them each has to wait for its turn. A round trip on loopback takes 50 to 100 µs.
pub const FLOOR: Duration = Duration::from_micros(300);
pub const FACTOR: u32 = 2;

/// Medians of the round trips.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub undisturbed: Duration,
    pub disturbed: Duration,
    /// Round trips in both halves of the round that held.
    pub count: usize,
    /// Which round it was, from 1.
    pub round: usize,
}

impl Figures {
    fn hold(&self) -> bool {
        self.disturbed <= FACTOR * self.undisturbed + FLOOR
    }
}

/// Asserts that an attack does not slow down an honest client.
///
/// `exchange` does one round trip and panics if the answer is wrong. `attack` begins the attack and gives what ends it
/// when dropped (sockets, [`Repeated`](suites::victim::Repeated), any tuple of such); it may be begun several times. Each
/// round measures first without and then with it.
///
/// ```ignore
/// let figures = serves_on("half-open", || ask(&mut honest), || open(300));
/// ```
#[track_caller]
pub fn serves_on<A>(
    what: &str,
    mut exchange: impl FnMut(),
    mut attack: impl FnMut() -> A,
) -> Figures {
    let mut seen = Vec::new();
    for round in 1..=ROUNDS {
        let (undisturbed, before) = median(&mut exchange);
        let attacked = attack();
        let (disturbed, during) = median(&mut exchange);
        drop(attacked);
        let figures = Figures {
            undisturbed,
            disturbed,
            count: before + during,
            round,
        };
        if figures.hold() {
            eprintln!("{what}: {undisturbed:?} without, {disturbed:?} with it, round {round}");
            return figures;
        }
        seen.push((undisturbed, disturbed));
    }
    panic!("{what}: an honest client waits too long in all rounds: {seen:?}");
}

/// The median of round trips made for some time, and how many they were.
pub fn median(exchange: &mut impl FnMut()) -> (Duration, usize) {
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < LEAST || (started.elapsed() < HALF && times.len() < MOST) {
        let began = Instant::now();
        exchange();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    (times[times.len() / 2], times.len())
}

/// Whoever measures does so alone: tests of one file run side by side.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
