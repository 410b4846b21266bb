//! The figures of a run as one line of JSON.

use std::time::Duration;

use crate::{args::Scenario, latency::Latencies};
use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Report<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) ops: u64,
    pub(crate) elapsed: Duration,
    /// Those of the answers, or for `sink` those sent.
    pub(crate) bytes: u64,
    pub(crate) latencies: &'a Latencies,
    /// What the load itself used meanwhile: near `elapsed` the load is the limit.
    pub(crate) own_cpu: Duration,
}

impl Report<'_> {
    pub(crate) fn json(&self) -> String {
        format!(
            "{{\"scenario\":\"{}\",\"ops\":{},\"seconds\":{:.6},\"bytes\":{},\
             \"p50_us\":{:.3},\"p99_us\":{:.3},\"p999_us\":{:.3},\"load_cpu_seconds\":{:.6}}}",
            self.scenario.name(),
            self.ops,
            self.elapsed.as_secs_f64(),
            self.bytes,
            self.latencies.quantile_us(0.5),
            self.latencies.quantile_us(0.99),
            self.latencies.quantile_us(0.999),
            self.own_cpu.as_secs_f64(),
        )
    }
}

/// The processor time this process has used.
pub(crate) fn own_cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(used.tv_nsec).unwrap_or(0);
    Duration::new(used.tv_sec.unsigned_abs(), nanos)
}
