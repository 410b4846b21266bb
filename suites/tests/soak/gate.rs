//! Where all traffic can be stopped: an actor passes it between two rounds, with no connection open.

use std::{
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    Open,
    #[default]
    Closed,
    Over,
}

#[derive(Default)]
struct State {
    mode: Mode,
    actors: usize,
    waiting: usize,
    /// When it will be closed next.
    closes: Option<Instant>,
}

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// One more that passes; called before its thread starts.
    pub fn enrol(&self) {
        self.lock().actors += 1;
    }

    /// Waits while the gate is closed. `false`: it is over.
    pub fn pass(&self) -> bool {
        self.pass_without(|| ())
    }

    /// The same for an actor that has something to put down first, if it has to wait.
    pub fn pass_without(&self, put_down: impl FnOnce()) -> bool {
        let mut state = self.lock();
        if state.mode == Mode::Closed {
            put_down();
            state.waiting += 1;
            self.changed.notify_all();
            state = (self.changed)
                .wait_while(state, |state| state.mode == Mode::Closed)
                .unwrap();
            state.waiting -= 1;
        }
        state.mode == Mode::Open
    }

    /// Waits until then, or until the gate is closed.
    pub fn wait_until(&self, due: Instant) {
        let state = self.lock();
        let left = due.saturating_duration_since(Instant::now());
        let waited = (self.changed)
            .wait_timeout_while(state, left, |state| state.mode == Mode::Open)
            .unwrap();
        drop(waited);
    }

    /// Whether it stays open for so long.
    pub fn stays_open(&self, time: Duration) -> bool {
        let closes = self.lock().closes;
        closes.is_some_and(|closes| closes > Instant::now() + time)
    }

    pub fn open(&self, for_so_long: Duration) {
        let mut state = self.lock();
        state.mode = Mode::Open;
        state.closes = Some(Instant::now() + for_so_long);
        self.changed.notify_all();
    }

    /// Closes the gate and waits until every actor stands before it; gives how many do not, in the end.
    pub fn close(&self, patience: Duration) -> usize {
        let mut state = self.lock();
        state.mode = Mode::Closed;
        self.changed.notify_all();
        let (state, _) = (self.changed)
            .wait_timeout_while(state, patience, |state| state.waiting < state.actors)
            .unwrap();
        state.actors - state.waiting
    }

    pub fn end(&self) {
        self.lock().mode = Mode::Over;
        self.changed.notify_all();
    }
}
