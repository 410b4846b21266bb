//! One way to look at all attacks on `http_server`: what it costs, what an honest client notices, what remains.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    honest::{alone, serves_on},
    http::{Honest, Site},
};
use suites::victim::{DEADLINE, Victim, within};

/// What one attack may cost the server.
pub struct Bounds {
    /// KiB more than before it.
    pub memory: u64,
    pub cpu: Cpu,
    /// Lines of the log, however long the attack goes on.
    pub lines: usize,
}

/// What processor time is measured against.
#[derive(Clone, Copy, Debug)]
pub enum Cpu {
    /// Per cent of the time the attack lasts: for attackers who do little.
    Percent(u32),
    /// Time for each unit of the attackers' own count: for those who make the server work.
    Each(Duration),
}

/// What the attackers count: requests, connections, KiB.
pub type Work = Arc<AtomicU64>;

/// For how long the attack is watched with nobody else there.
pub const WATCHED: Duration = Duration::from_millis(400);

/// Longer, and more of everything, where somebody wants to wait for it.
pub fn thorough() -> bool {
    std::env::var_os("ASYNCHAT_ATTACKERS").is_some_and(|value| value == "all")
}

/// Waits until it sleeps most of the time. If it never does, that is seen after this.
fn settle(victim: &Victim) {
    within(DEADLINE / 3, || {
        let mut awake = 0;
        within(Duration::from_millis(200), || {
            awake += usize::from(!victim.sleeps());
            awake > 8
        });
        awake <= 8
    });
}

/// Has `attack` begin its attack on a server, some times over; what it gives ends the attack when dropped.
#[track_caller]
pub fn besiege<A>(
    name: &str,
    options: &[&str],
    bounds: &Bounds,
    mut attack: impl FnMut(SocketAddr, &Work) -> A,
) -> Site {
    let _alone = alone();
    let site = Site::start(options);
    let address = site.address();
    let mark = site.victim.mark();
    let work = Work::default();
    let mut begin = || {
        let attackers = attack(address, &work);
        if let Cpu::Percent(_) = bounds.cpu {
            // To accept them all, and to fill their windows, is work; what follows is not.
            settle(&site.victim);
        }
        attackers
    };
    let mut honest = Honest::new(address);
    let figures = serves_on(name, || honest.ask(), &mut begin);
    drop(honest);
    site.victim.is_as_at(&mark);

    let attackers = begin();
    let before = (site.victim.cpu(), work.load(Relaxed));
    let watched = WATCHED * if thorough() { 10 } else { 1 };
    within(watched, || false);
    let cpu = site.victim.cpu() - before.0;
    let done = work.load(Relaxed) - before.1;
    drop(attackers);
    let cost = site.victim.since(&mark);
    let percent = 100.0 * cpu.as_secs_f64() / watched.as_secs_f64();
    let each = cpu.as_secs_f64() * 1e6 / done.max(1) as f64;
    let ratio = figures.disturbed.as_secs_f64() / figures.undisturbed.as_secs_f64();
    eprintln!(
        "| {name} | {} KiB | {percent:.1} % | {done} × {each:.1} µs | {ratio:.2} | {} | {:?}",
        cost.memory, cost.lines, cost.wall
    );
    assert!(cost.memory <= bounds.memory, "{name}: {cost:?}");
    match bounds.cpu {
        Cpu::Percent(most) => assert!(percent <= f64::from(most), "{name}: {percent} %"),
        Cpu::Each(most) => {
            assert!(done > 0, "{name}: the attackers have done nothing");
            let most = most.as_secs_f64() * 1e6;
            assert!(each <= most, "{name}: {each} µs each of {done}");
        }
    }
    let lines = cost.lines;
    assert!(
        lines <= bounds.lines,
        "{name}: {lines}\n{}",
        site.victim.log_tail()
    );
    site.victim.is_as_at(&mark);
    site.serves();
    site
}
