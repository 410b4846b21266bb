//! What the status page shows, of all reactors: each writes down once a second how it is doing, and whichever is asked
//! for the page reads what all have written.

use std::sync::{Mutex, MutexGuard, PoisonError};

use asynchat::{ChannelInfo, Registry, Stats};

use super::history::History;
use crate::{limits, tls::Handshakes};

/// A place for each reactor, and what they did together.
#[derive(Debug)]
pub(crate) struct Board {
    places: Vec<Mutex<Snapshot>>,
    history: Mutex<History>,
}

/// What a reactor has served so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Accepted by this thread or another.
    pub(crate) connections: u64,
    pub(crate) handshakes: Handshakes,
}

/// How one reactor is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) counts: Counts,
    pub(crate) stats: Stats,
    /// Its channels, or the first of them where there are many.
    pub(crate) channels: Vec<ChannelInfo>,
}

impl Board {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: (0..places).map(|_| Mutex::default()).collect(),
            history: Mutex::default(),
        }
    }

    pub(crate) fn publish(&self, place: usize, registry: &Registry, counts: Counts) {
        let rows = limits::STATUS_ROWS.div_ceil(self.places.len());
        *lock(&self.places[place]) = Snapshot {
            counts,
            stats: registry.stats(),
            channels: registry.channels().take(rows).collect(),
        };
    }

    /// Adds what has happened since the last call to the history; called once a second.
    pub(crate) fn sample(&self) {
        let total = Snapshot::total(&self.snapshots());
        lock(&self.history).sample(total.counts.requests, &total.stats);
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        self.places
            .iter()
            .map(|place| lock(place).clone())
            .collect()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

impl Snapshot {
    /// The sum, without the channels.
    pub(crate) fn total(of: &[Self]) -> Self {
        let mut total = Self::default();
        for one in of {
            total.counts.requests += one.counts.requests;
            total.counts.connections += one.counts.connections;
            total.counts.handshakes.add(&one.counts.handshakes);
            let (sum, stats) = (&mut total.stats, &one.stats);
            sum.turns += stats.turns;
            sum.events += stats.events;
            sum.callbacks += stats.callbacks;
            sum.channels += stats.channels;
            sum.timers += stats.timers;
            sum.accepted += stats.accepted;
            sum.accept_pauses += stats.accept_pauses;
            sum.errors += stats.errors;
            sum.bytes_in += stats.bytes_in;
            sum.bytes_out += stats.bytes_out;
        }
        total
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_adds_up_what_its_reactors_write_down() -> asynchat::Result {
        let board = Board::new(3);
        let mut reactor = asynchat::Reactor::new()?;
        reactor.call_later(std::time::Duration::ZERO, |_| Ok(()));
        for (place, requests) in [(0, 1), (2, 40), (0, 2)] {
            let counts = Counts {
                requests,
                connections: 10 * requests,
                handshakes: Handshakes {
                    failed: requests,
                    ..Handshakes::default()
                },
            };
            board.publish(place, &reactor, counts);
        }
        let total = Snapshot::total(&board.snapshots());
        let Counts {
            requests,
            connections,
            handshakes,
        } = total.counts;
        assert_eq!((requests, connections, handshakes.failed), (42, 420, 42));
        assert_eq!(total.stats.timers, 2);
        board.sample();
        assert_eq!(board.history().last(), (42, 0));
        Ok(())
    }
}
