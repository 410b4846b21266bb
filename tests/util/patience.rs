//! `Reactor::run` for tests: it must return by itself, and a test in which it does not fails instead of hanging.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
};

use asynchat::Reactor;

use crate::util::DEADLINE;

/// Runs until nothing is left or somebody stops it.
#[track_caller]
pub fn run(reactor: &mut Reactor) {
    let (returned, waiting) = mpsc::channel::<()>();
    let handle = reactor.handle();
    let watchdog = thread::spawn(move || {
        let late = waiting.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
        if late {
            handle.stop();
        }
        late
    });
    let result = reactor.run();
    drop(returned);
    assert!(!watchdog.join().unwrap(), "run goes on after {DEADLINE:?}");
    result.unwrap();
}
