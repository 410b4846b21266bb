//! One module for each target: `fuzz` takes any bytes and panics where a promise is broken.

pub mod filter;
// This one and the heads of requests go through a pair of Unix sockets.
#[cfg(unix)]
pub mod framer;
pub mod paths;
#[cfg(unix)]
pub mod request_head;
pub mod response;
pub mod tls;

use std::{collections::VecDeque, time::Duration};

use asynchat::Reactor;

/// Decisions, then the bytes under test. The first byte says how many decisions there are; when they are used up,
/// every further one is 0.
struct Input<'a> {
    decisions: VecDeque<u8>,
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(data: &'a [u8]) -> Self {
        let (&count, rest) = data.split_first().unwrap_or((&0, &[]));
        let (decisions, bytes) = rest.split_at(usize::from(count).min(rest.len()));
        Self {
            decisions: decisions.iter().copied().collect(),
            bytes,
        }
    }

    /// The bytes in pieces as long as the decisions say; 0 is all the rest.
    fn pieces(&mut self) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        let mut rest = self.bytes;
        while !rest.is_empty() {
            let len = match self.decisions.pop_front() {
                None | Some(0) => rest.len(),
                Some(len) => usize::from(len).min(rest.len()),
            };
            let piece;
            (piece, rest) = rest.split_at(len);
            pieces.push(piece);
        }
        pieces
    }
}

/// Turns until two turns in a row do nothing. For sockets that hand over at once what was written.
fn settle(reactor: &mut Reactor) {
    let mut idle = 0;
    for _ in 0..100_000 {
        let turn = reactor.turn(Some(Duration::ZERO)).expect("a turn");
        if turn.events == 0 && turn.callbacks == 0 {
            idle += 1;
            if idle == 2 {
                return;
            }
        } else {
            idle = 0;
        }
    }
    panic!("the reactor never comes to rest");
}

/// Turns until `done` answers true.
fn turn_until(reactor: &mut Reactor, what: &str, mut done: impl FnMut(&mut Reactor) -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !done(reactor) {
        assert!(std::time::Instant::now() < end, "waited in vain: {what}");
        reactor
            .turn(Some(Duration::from_millis(20)))
            .expect("a turn");
    }
}
