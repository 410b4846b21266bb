//! The last minutes in numbers, a sample a second, and their picture.

use std::{
    collections::VecDeque,
    fmt::{self, Display},
};

use asynchat::Stats;

/// So many samples are kept.
const SAMPLES: usize = 120;
const WIDTH: usize = 600;
const HEIGHT: u64 = 140;
/// Between these a curve runs.
const TOP: u64 = 5;
const BOTTOM: u64 = HEIGHT - 5;

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    requests: u64,
    bytes_out: u64,
}

/// The samples, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    /// Totals at the last sample.
    requests: u64,
    bytes_out: u64,
}

impl History {
    /// Takes a sample; called once a second.
    pub(crate) fn sample(&mut self, requests: u64, stats: &Stats) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            requests: requests - self.requests,
            bytes_out: stats.bytes_out - self.bytes_out,
        });
        self.requests = requests;
        self.bytes_out = stats.bytes_out;
    }

    pub(crate) fn last(&self) -> (u64, u64) {
        let last = self.samples.back().copied().unwrap_or_default();
        (last.requests, last.bytes_out)
    }

    fn most(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(of).max().unwrap_or(0)
    }

    pub(crate) fn most_requests(&self) -> u64 {
        self.most(|sample| sample.requests)
    }

    pub(crate) fn most_bytes(&self) -> u64 {
        self.most(|sample| sample.bytes_out)
    }

    /// The points of one curve, scaled to its own maximum; the newest sample is at the right edge.
    fn points(&self, f: &mut fmt::Formatter<'_>, of: impl Fn(&Sample) -> u64) -> fmt::Result {
        let most = u128::from(self.most(&of).max(1));
        let first = SAMPLES - self.samples.len();
        for (index, sample) in self.samples.iter().enumerate() {
            let x = (first + index) * WIDTH / (SAMPLES - 1);
            let share = u128::from(of(sample)) * u128::from(BOTTOM - TOP) / most;
            let y = u128::from(BOTTOM) - share;
            write!(f, "{x},{y} ")?;
        }
        Ok(())
    }
}

/// An SVG element: requests and bytes a second.
impl Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"requests and bytes in each of the last {SAMPLES} seconds\">"
        )?;
        let left = (SAMPLES - self.samples.len()) * WIDTH / (SAMPLES - 1);
        write!(
            f,
            "<polygon fill=\"#2f7ed8\" fill-opacity=\".35\" points=\"{left},{BOTTOM} "
        )?;
        self.points(f, |sample| sample.bytes_out)?;
        write!(
            f,
            "{WIDTH},{BOTTOM}\"/><polyline fill=\"none\" stroke=\"#d9822b\" stroke-width=\"2\" \
             vector-effect=\"non-scaling-stroke\" points=\""
        )?;
        self.points(f, |sample| sample.requests)?;
        f.write_str("\"/>")?;
        f.write_str("</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_scaled_to_its_maximum_and_keeps_the_last_samples() {
        let mut history = History::default();
        let stats = Stats::default();
        for total in 1..=200 {
            history.sample(total * (total + 1) / 2, &stats);
        }
        assert_eq!(history.samples.len(), SAMPLES);
        assert_eq!(history.last(), (200, 0));
        assert_eq!(history.most_requests(), 200);
        let svg = history.to_string();
        assert!(
            svg.contains(" 600,5 \""),
            "the newest and highest is top right: {svg}"
        );
        assert!(
            svg.contains("\"0,135 0,135 5,135 "),
            "no bytes were sent: {svg}"
        );
    }
}
