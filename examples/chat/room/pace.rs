//! How much a member may say. Pure: the time is an argument.
//!
//! A line in a turn of the loop, so that the others have theirs, and a fixed number a second, saved up for one second at most.
//! What goes beyond waits in the sender's own socket, and who never lets up has to go.

use std::time::{Duration, Instant};

/// How much is saved up.
const SAVED: Duration = Duration::from_secs(1);
/// How long a member may say all that it is given.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Pace {
    /// What a line costs.
    interval: Duration,
    /// When all that was said is paid for.
    paid: Instant,
    /// When it first had used up what was saved, since it last was quiet.
    flooding: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(lines_a_second: u32, now: Instant) -> Self {
        Self {
            interval: SAVED / lines_a_second.max(1),
            paid: now,
            flooding: None,
        }
    }

    /// Takes note of a line. Nothing more is to be read for the time it gives, zero meaning until the next turn;
    /// `None`: never again.
    pub(crate) fn note(&mut self, now: Instant) -> Option<Duration> {
        if self.paid <= now {
            self.paid = now;
            self.flooding = None;
        }
        self.paid += self.interval;
        let owed = self.paid.duration_since(now);
        if owed < SAVED {
            return Some(Duration::ZERO);
        }
        let since = *self.flooding.get_or_insert(now);
        (now.duration_since(since) <= PATIENCE).then(|| (owed - SAVED).max(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn a_line_now_and_then_is_never_held_back() {
        let mut now = Instant::now();
        let mut pace = Pace::new(10, now);
        for _ in 0..1000 {
            assert_eq!(pace.note(now), Some(Duration::ZERO));
            now += TENTH;
        }
    }

    #[test]
    fn a_burst_costs_waiting() {
        let now = Instant::now();
        let mut pace = Pace::new(10, now);
        for _ in 0..9 {
            assert_eq!(pace.note(now), Some(Duration::ZERO));
        }
        assert_eq!(pace.note(now), Some(TENTH));
    }

    #[test]
    fn who_never_lets_up_floods_and_who_pauses_does_not() {
        let begun = Instant::now();
        let (mut now, mut said) = (begun, 0);
        let mut pace = Pace::new(10, now);
        while let Some(time) = pace.note(now) {
            now += time;
            said += 1;
        }
        assert!((PATIENCE..PATIENCE * 2).contains(&(now - begun)));
        assert!((300..330).contains(&said), "{said} lines");

        let mut pace = Pace::new(10, now);
        for line in 1..600 {
            now += pace.note(now).expect("it pauses");
            if line % 30 == 0 {
                now += SAVED * 2;
            }
        }
    }
}
