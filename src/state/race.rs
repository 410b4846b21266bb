//! Several addresses of one connection attempt, tried side by side (RFC 8305).

use std::{
    collections::VecDeque,
    io, mem,
    time::{Duration, Instant},
};

use crate::{
    address::Address,
    id::ChannelId,
    net::{connect::ConnectOptions, errno::out_of_resources, failures::Failures, io::Io},
    time::later,
};

/// Past it the next address waits until one has failed. A bound on the descriptors of one channel.
const MOST_IN_FLIGHT: usize = 16;

#[derive(Debug)]
pub(crate) struct Race {
    /// The addresses that are still to be tried.
    waiting: VecDeque<Address>,
    /// In the order in which they began.
    pub(crate) flying: Vec<Try>,
    pub(crate) failures: Failures,
    /// How many attempts there may be at a time.
    places: usize,
    stagger: Duration,
    /// When the next address may begin.
    next_at: Instant,
    /// When all of it ends, and the option that says so.
    end: Option<(Instant, Duration)>,
    /// Events of more than one socket have set the channel's readiness.
    pub(crate) mixed: bool,
}

/// A connection that is being made.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) io: Io,
    pub(crate) address: Address,
    deadline: Instant,
}

impl Race {
    pub(crate) fn new(addresses: Vec<Address>, options: &ConnectOptions, now: Instant) -> Self {
        Self {
            waiting: interleaved(addresses),
            flying: Vec::new(),
            failures: Failures::default(),
            places: if options.has_one_source() {
                1
            } else {
                MOST_IN_FLIGHT
            },
            stagger: options.stagger_or_default(),
            next_at: now,
            end: options.deadline.map(|limit| (later(now, limit), limit)),
            mixed: false,
        }
    }

    /// The address to try now, if one is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Address> {
        let due = self.next_at <= now && self.flying.len() < self.places;
        if due { self.waiting.pop_front() } else { None }
    }

    /// An attempt that may take until `deadline` has begun.
    pub(crate) fn began(&mut self, io: Io, address: Address, now: Instant, deadline: Instant) {
        self.mixed = !self.flying.is_empty();
        self.flying.push(Try {
            io,
            address,
            deadline,
        });
        self.next_at = later(now, self.stagger);
    }

    /// An attempt failed before there was a socket to wait for. The next address follows at once, but after a lack of
    /// descriptors or memory only when some may be free again.
    pub(crate) fn not_begun(
        &mut self,
        id: ChannelId,
        address: Address,
        error: io::Error,
        now: Instant,
    ) {
        if out_of_resources(&error) {
            self.next_at = later(now, self.stagger);
        }
        log_failure(id, &address, &error);
        self.failures.add(address, error);
    }

    /// Takes out the socket of an attempt that failed. If it was the last to begin, the next address need not wait.
    pub(crate) fn failed(
        &mut self,
        id: ChannelId,
        index: usize,
        error: io::Error,
        now: Instant,
    ) -> Io {
        let Try { io, address, .. } = self.flying.remove(index);
        if index == self.flying.len() {
            self.next_at = self.next_at.min(now);
        }
        log_failure(id, &address, &error);
        self.failures.add(address, error);
        io
    }

    /// Takes out the socket of an attempt whose time is over, or that of all attempts.
    pub(crate) fn take_expired(
        &mut self,
        id: ChannelId,
        now: Instant,
        timeout: Duration,
    ) -> Option<Io> {
        let ended = self.end.filter(|(end, _)| *end <= now);
        let text = match (self.flying.first(), ended) {
            (Some(first), _) if first.deadline <= now => format!("no answer within {timeout:?}"),
            (Some(_), Some((_, limit))) => format!("no answer by the deadline of {limit:?}"),
            (None, Some((_, limit))) => {
                for address in mem::take(&mut self.waiting) {
                    let text = format!("not tried by the deadline of {limit:?}");
                    self.failures.add(address, timed_out(text));
                }
                return None;
            }
            (_, None) => return None,
        };
        Some(self.failed(id, 0, timed_out(text), now))
    }

    /// When to look again if no event comes.
    pub(crate) fn due(&self) -> Instant {
        let room = !self.waiting.is_empty() && self.flying.len() < self.places;
        // The first to begin is the first whose time is over.
        let first = self.flying.first().map(|first| first.deadline);
        let due = [
            room.then_some(self.next_at),
            first,
            self.end.map(|(end, _)| end),
        ];
        due.into_iter().flatten().min().unwrap_or(self.next_at)
    }

    /// Whether every address has failed.
    pub(crate) fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty()
    }
}

pub(crate) fn timed_out(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

pub(crate) fn log_failure(id: ChannelId, address: &Address, error: &io::Error) {
    log::debug!(target: "asynchat::channel", "channel {id}: connecting to {address}: {error}");
}

/// The families by turns, that of the first address first: if a whole family is unreachable, it holds the other up once.
/// Within a family the order stays.
fn interleaved(addresses: Vec<Address>) -> VecDeque<Address> {
    let family = |address: &Address| address.inet().map(|inet| inet.is_ipv4());
    let Some(first) = addresses.first().map(family) else {
        return VecDeque::new();
    };
    let count = addresses.len();
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|it| family(it) == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut order = VecDeque::with_capacity(count);
    while order.len() < count {
        order.extend(ours.next());
        order.extend(others.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_the_order_given() {
        for (given, tried) in [
            ("", ""),
            ("a", "a"),
            ("abc", "abc"),
            ("abc12", "a1b2c"),
            ("1a2b", "1a2b"),
            ("12ab3", "1a2b3"),
            ("a123", "a123"),
            ("1abc2", "1a2bc"),
        ] {
            let address = |name: char| match name.to_digit(10) {
                Some(port) => Address::from(([127, 0, 0, 1], u16::try_from(port).unwrap())),
                None => Address::from(([0, 0, 0, 0, 0, 0, 0, 1], name as u16)),
            };
            let order = interleaved(given.chars().map(address).collect());
            let wanted: Vec<_> = tried.chars().map(address).collect();
            assert_eq!(order, wanted, "{given}");
        }
    }
}
