//! Compares what was counted early with what was counted at the end.

use std::{collections::HashMap, fmt::Write, time::Duration};

use crate::{
    fleet::{self, Fleet},
    samples::{Rest, Waits, quantile},
};

/// Pages that a process keeps depend on what happened to be open at the same time.
const RSS_KIB: u64 = 2048;
/// What a reactor may keep of spare buffers.
const HEAP: i64 = 1024 * 1024;
/// How much slower in relation to the reference.
const SLOWER: f64 = 1.5;
/// Microseconds that are no matter: a cache that is cold costs as much.
const TRIFLE: f64 = 20.0;

/// A shorter run is part of `cargo test` and has to pass on a machine that is busy with other things too: it tells the
/// latency and does not judge it.
pub const JUDGED: Duration = Duration::from_secs(60);

/// What was found at one of the two times.
pub struct Found {
    pub rests: HashMap<&'static str, Rest>,
    pub waits: Waits,
}

/// Both as a table, and what is not as it should be.
pub fn compare(fleet: &Fleet, ran: Duration, early: Found, late: Found) -> (String, Vec<String>) {
    let mut table = String::from(
        "early and late:            RSS KiB          fds   thr   channels  timers      heap bytes     in traffic: p50 \
               p99        at rest: us      reference  ratio\n",
    );
    let mut wrong = Vec::new();
    let (mut early_waits, mut late_waits) = (early.waits, late.waits);
    for server in &fleet.servers {
        let name = server.name;
        let (Some(a), Some(b)) = (early.rests.get(name), late.rests.get(name)) else {
            wrong.push(format!("{name}: not counted"));
            continue;
        };
        let _ = write!(
            table,
            "{name:<25} {:>6} {:>6}",
            a.look.rss_kib, b.look.rss_kib
        );
        let _ = write!(
            table,
            "  {:>3} {:>3}",
            a.look.descriptors, b.look.descriptors
        );
        let _ = write!(table, "  {} {}", a.look.threads, b.look.threads);
        judge(name, a, b, &mut table, &mut wrong);
        for part in [0.5, 0.99] {
            for waits in [&mut early_waits, &mut late_waits] {
                let waits = waits.get_mut(name).and_then(|of| quantile(&mut of.0, part));
                let _ = write!(table, " {:>6}", waits.unwrap_or(0));
            }
        }
        match latency(a.waits, b.waits, &mut table) {
            None => wrong.push(format!("{name}: no latency")),
            Some(slower) if slower > SLOWER && ran >= JUDGED => {
                wrong.push(format!(
                    "{name}: {slower:.2} times as slow against the reference"
                ));
            }
            Some(_) => {}
        }
        table.push('\n');
    }
    (table, wrong)
}

fn judge(name: &str, a: &Rest, b: &Rest, table: &mut String, wrong: &mut Vec<String>) {
    let mut fail = |what: String| wrong.push(format!("{name}: {what}"));
    let (before, after) = (a.look.rss_kib, b.look.rss_kib);
    if after > before + RSS_KIB.max(before / 10) {
        fail(format!("{before} KiB resident, then {after}"));
    }
    if (a.look.descriptors, a.look.threads) != (b.look.descriptors, b.look.threads) {
        fail(format!(
            "descriptors and threads: {:?}, then {:?}",
            a.look, b.look
        ));
    }
    match (a.status, b.status) {
        (Some(a), Some(b)) => {
            let _ = write!(
                table,
                "  {:>4} {:>4} {:>3} {:>3}",
                a.channels, b.channels, a.timers, b.timers
            );
            if (a.channels, a.timers) != (b.channels, b.timers) || b.errors > 0 {
                fail(format!("{a:?}, then {b:?}"));
            }
        }
        _ if fleet::has_status(name) => fail("no status page".into()),
        _ => {
            let told = |waits| match waits {
                Some(true) => "none",
                Some(false) => "some",
                None => "?",
            };
            let _ = write!(
                table,
                "     -    - {:>4} {:>4}",
                told(a.waits_for_ever),
                told(b.waits_for_ever)
            );
        }
    }
    for waits in [a.waits_for_ever, b.waits_for_ever] {
        if waits == Some(false) && !fleet::ticks(name) {
            fail("a timer is armed while nothing is there that could need one".into());
        }
    }
    match (a.heap, b.heap) {
        (Some(a), Some(b)) => {
            let _ = write!(table, "  {a:>8} {b:>8}");
            if b > a + HEAP {
                fail(format!("{a} bytes of heap in use, then {b}"));
            }
        }
        _ => table.push_str("         -        -"),
    }
}

/// By which factor a server's wait grew, if that of the reference had stayed the same; at most the one that is allowed if
/// it is a matter of microseconds.
fn latency(a: Option<[u32; 2]>, b: Option<[u32; 2]>, table: &mut String) -> Option<f64> {
    let [early, machine_early] = a?.map(|us| f64::from(us.max(1)));
    let [late, machine_late] = b?.map(|us| f64::from(us.max(1)));
    // Where the reference became faster, a server that stayed as it was did not become slower.
    let machine = (machine_late / machine_early).max(1.0);
    let slower = late / early / machine;
    let _ = write!(
        table,
        "  {early:>6} {late:>6}  {machine_early:>6} {machine_late:>6}  {slower:>5.2}"
    );
    let is_trifle = late - early * machine < TRIFLE;
    Some(if is_trifle {
        slower.min(SLOWER)
    } else {
        slower
    })
}

/// Whether every program ended as it should, and said nothing that it should not.
pub fn endings(fleet: Fleet, lines: &mut String) -> Vec<String> {
    let mut wrong = Vec::new();
    // What passes connections on goes before what stands behind it.
    let (front, behind): (Vec<_>, Vec<_>) =
        (fleet.servers.into_iter()).partition(|server| server.name.starts_with("tcp_proxy"));
    for server in front.into_iter().chain(behind) {
        let name = server.name;
        let wanted = if fleet::dies(name) { None } else { Some(0) };
        match server.end() {
            Ok((code, said)) => {
                if code != wanted {
                    wrong.push(format!("{name}: ended with {code:?}"));
                }
                for (kind, times) in said.errors {
                    let _ = writeln!(lines, "{name}: {times} times: {kind}");
                    if !fleet::may_say(name, &kind) {
                        wrong.push(format!("{name} says {times} times: {kind}"));
                    }
                }
            }
            Err(error) => wrong.push(error),
        }
    }
    wrong
}
