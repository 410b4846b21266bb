//! A histogram of durations in logarithmic buckets: fixed memory, no allocation, within 1.6 % of the truth.

use std::time::Duration;

/// Each power of two is cut into so many buckets.
const PARTS: u64 = 1 << PART_BITS;
const PART_BITS: u32 = 5;

pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
        }
    }

    #[inline]
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// The latency that `share` of all do not exceed, in microseconds; 0 if there are none.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (i, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if count > 0 && seen >= rank {
                return middle(i) / 1000.0;
            }
        }
        0.0
    }
}

/// Below `2 * PARTS` each value has its own bucket; above, the leading bits choose it.
#[inline]
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PART_BITS + 1);
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket as f64;
    }
    let shift = bucket / PARTS - 1;
    let low = (bucket - shift * PARTS) as f64;
    (low + 0.5) * 2_f64.powi(shift as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_again_within_two_percent() {
        for nanos in
            (0..200).chain((8..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, 3 << (bit - 1)]))
        {
            let found = middle(bucket(nanos));
            let error = (found - nanos as f64).abs();
            assert!(error <= nanos as f64 * 0.016, "{nanos} became {found}");
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for nanos in 1..100_000 {
            let next = bucket(nanos);
            assert!(
                next == last || next == last + 1,
                "{nanos}: {last} then {next}"
            );
            last = next;
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile_us(0.5), 0.0);
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (share, truth) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = latencies.quantile_us(share);
            assert!((found - truth).abs() < truth * 0.016, "{share}: {found}");
        }
    }
}
