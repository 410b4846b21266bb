//! `idle`: connections that are there.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    args::{Options, Ping},
    failure::Failure,
    gate,
    latency::Latencies,
    net::Crowd,
    report::{Report, own_cpu},
};

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let start = Instant::now();
    let crowd = Crowd::gather(options, options.conns)?;
    if options.ping == Ping::None {
        // Nothing tells that the server has accepted the last of them.
        thread::sleep(Duration::from_millis(200));
    }
    let report = Report {
        scenario: options.scenario,
        ops: options.conns as u64,
        elapsed: start.elapsed(),
        bytes: 0,
        latencies: &Latencies::new(),
        own_cpu: own_cpu(),
    };
    crowd.check()?;
    eprintln!("warm");
    gate::report(options, &report.json())?;
    gate::end_of_input()?;
    crowd.check()
}
