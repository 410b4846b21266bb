//! Twelve example servers under mixed traffic for a long time (R2, R6, R10, R12, R19, R20): descriptors, channels, timers,
//! memory and latency in the end are those of the beginning, every answer is right, and every program ends in order.
//!
//! `ASYNCHAT_SOAK_SECONDS=1200` for the long run (12 without), `ASYNCHAT_SOAK_CSV=FILE` keeps the samples.
// Once is enough: how the poller does is the subject of others.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

use std::{
    env,
    fs::File,
    io::BufWriter,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use fleet::Fleet;
use gate::Gate;
use held::Held;
use samples::Sampler;
use socket2::Socket;
use traffic::{Book, Row};
use verdict::Found;

mod board;
mod chat;
mod fleet;
mod gate;
mod held;
mod honest;
mod programs;
mod rpc;
mod samples;
mod streams;
mod talk;
mod times;
mod traffic;
mod verdict;
mod web;
mod wire;

/// Enough for every kind of traffic to have had its turn before the first count.
const LEAST: Duration = Duration::from_secs(4);
/// Some hundred threads that hold no more than a piece of what they read.
const STACK: usize = 256 * 1024;

fn duration() -> Duration {
    let seconds = env::var("ASYNCHAT_SOAK_SECONDS").map_or(12, |text| {
        text.replace('_', "")
            .parse()
            .expect("ASYNCHAT_SOAK_SECONDS is a number")
    });
    Duration::from_secs(seconds).max(3 * LEAST)
}

/// Lets everybody go who waits for something, also where the test fails.
struct End<'a>(&'a Gate, Vec<Socket>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
        for socket in &self.1 {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

/// What there was early and late, and what the residents of the chat room have to say.
type Drive = (Found, Found, Vec<wire::Step<u64>>);

/// Has everybody act for so long, with a count after the first part of it and one at the end.
fn drive(sampler: &mut Sampler<'_>, rows: &[Row<'_>], all: Duration) -> Drive {
    let (fleet, gate, book, honest) = (sampler.fleet, sampler.gate, sampler.book, sampler.honest);
    let reference = &sampler.reference.clone();
    let residents = held::residents(fleet).unwrap();
    let sockets = residents.iter().map(|resident| resident.socket().unwrap());
    let end = End(gate, sockets.collect());
    let first = (all / 10).max(LEAST);
    thread::scope(|scope| {
        let end = end;
        let spawn = |name: &str| thread::Builder::new().name(name.into()).stack_size(STACK);
        for row in rows {
            gate.enrol();
            let act = || row.run(gate, book);
            spawn(row.what).spawn_scoped(scope, act).unwrap();
        }
        for client in honest {
            gate.enrol();
            let act = || client.run(reference, gate, book);
            spawn(client.server).spawn_scoped(scope, act).unwrap();
        }
        let listening = residents.into_iter();
        let listening: Vec<_> = listening
            .map(|resident| scope.spawn(|| resident.listen()))
            .collect();
        let mut found = |time| {
            gate.open(time);
            let waits = sampler.traffic(time, first / 2);
            let rests = sampler.rest();
            Found { rests, waits }
        };
        let (early, late) = (found(first), found(all - first));
        drop(end);
        let listening = listening.into_iter();
        let heard = listening.map(|resident| resident.join().unwrap()).collect();
        (early, late, heard)
    })
}

fn processor_seconds(fleet: &Fleet) -> f64 {
    let looks = fleet.servers.iter().filter_map(|server| server.look().ok());
    looks.map(|look| look.cpu_seconds).sum()
}

#[test]
fn after_a_long_run_all_is_as_it_was_at_its_beginning() {
    let all = duration();
    let (fleet, gate, book) = (Fleet::start(), Gate::default(), Book::default());
    let honest = honest::clients(&fleet);
    let rows = traffic::rows(&fleet, &gate);
    let held = Held::open(&fleet).unwrap();
    let csv = env::var_os("ASYNCHAT_SOAK_CSV");
    let mut sampler = Sampler {
        fleet: &fleet,
        honest: &honest,
        reference: honest::reference(),
        book: &book,
        gate: &gate,
        every: Duration::from_secs(if all > Duration::from_secs(300) { 2 } else { 1 }),
        passes: if all < verdict::JUDGED { 3 } else { 20 },
        started: Instant::now(),
        csv: csv.map(|path| BufWriter::new(File::create(path).expect("ASYNCHAT_SOAK_CSV"))),
    };
    sampler.begin();
    let (early, late, heard) = drive(&mut sampler, &rows, all);

    let share = |seconds: f64| 100.0 * seconds / all.as_secs_f64();
    let mut report = format!(
        "{all:?} of traffic, {:.0} s in all, {} kinds of traffic, {} rounds\n\
         processor: the servers {:.0} %, the driver {:.0} % of one\nlongest rounds: {:?}\n",
        sampler.started.elapsed().as_secs_f64(),
        rows.len(),
        book.rounds(),
        share(processor_seconds(&fleet)),
        share(programs::look("self").unwrap().cpu_seconds),
        book.longest(),
    );
    let mut wrong = book.all_wrong();
    for (number, heard) in heard.into_iter().enumerate() {
        match heard {
            Ok(0) => wrong.push(format!("resident {number} heard nothing")),
            Ok(_) => {}
            Err(error) => wrong.push(format!("resident {number}: {error}")),
        }
    }
    wrong.extend(held.speak(&fleet).err());
    let (table, different) = verdict::compare(&fleet, all, early, late);
    report += &table;
    wrong.extend(different);
    drop((rows, honest));
    // With the connections that are held.
    wrong.extend(verdict::endings(fleet, &mut report));
    drop(held);
    println!("{report}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
