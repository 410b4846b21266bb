//! How long to wait before something is tried again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::time::{LONGEST, SHORTEST};

/// The waits between attempts that fail: random ones, up to a ceiling that doubles with each ("full jitter").
///
/// They are random so that the clients of a server that fails do not all come back at the same moment.
///
/// ```
/// use asynchat::Backoff;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let mut backoff = Backoff::new(second, 60 * second);
/// assert!(backoff.next_delay() <= second);
/// assert!(backoff.next_delay() <= 2 * second);
/// backoff.reset(); // the server has answered
/// assert!(backoff.next_delay() <= second);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Waits of at most `first` at the beginning, and of at most `longest` after many failures.
    ///
    /// A ceiling below 1 ms counts as 1 ms, one of more than 30 years as 30 years.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.clamp(SHORTEST, LONGEST);
        let first = first.clamp(SHORTEST, longest);
        Self {
            first,
            longest,
            ceiling: first,
        }
    }

    /// How long to wait before the next attempt. The wait after it may be twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.longest);
        up_to(ceiling)
    }

    /// An attempt has succeeded: the next wait is one of the first again.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

/// A random time, at most this one.
fn up_to(ceiling: Duration) -> Duration {
    // The standard library's keys for hash maps, which differ with each call.
    let random = RandomState::new().hash_one(());
    let nanos = (ceiling.as_nanos() * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_ceiling_doubles_up_to_the_longest_until_it_is_reset() {
        let mut backoff = Backoff::new(SECOND, 5 * SECOND);
        let ceilings: Vec<_> = (0..5)
            .map(|_| {
                let ceiling = backoff.ceiling;
                assert!(backoff.next_delay() <= ceiling);
                ceiling.as_secs()
            })
            .collect();
        assert_eq!(ceilings, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.ceiling, SECOND);
    }

    #[test]
    fn the_delays_are_spread_over_all_of_the_time() {
        let delays: Vec<_> = (0..1000).map(|_| up_to(SECOND)).collect();
        for quarter in 0..4 {
            let range = SECOND * quarter / 4..SECOND * (quarter + 1) / 4;
            let count = delays.iter().filter(|delay| range.contains(*delay)).count();
            assert!((100..400).contains(&count), "{count} in {range:?}");
        }
    }

    #[test]
    fn extreme_times_neither_overflow_nor_spin() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            assert!(backoff.next_delay() <= LONGEST);
        }
        let backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(backoff.ceiling, SHORTEST);
        let backoff = Backoff::new(SECOND, SHORTEST);
        assert_eq!(
            backoff.ceiling, SHORTEST,
            "the first is no longer than the longest"
        );
    }
}
