//! Looks at every server once in a while, writes them down, and counts what is there when the traffic rests.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    thread,
    time::{Duration, Instant},
};

use socket2::SockAddr;

use crate::{
    fleet::{self, Fleet},
    gate::Gate,
    honest::{self, Honest},
    programs::{Look, look},
    traffic::Book,
    web,
    wire::connect,
};

const HEADER: &str = "seconds,phase,program,rss_kib,descriptors,threads,cpu_seconds,channels,timers,rounds,p50_us,\
                      p99_us,reference_p50_us";

/// Microseconds waited by the honest clients of a server, and by the reference's.
pub type Waits = HashMap<&'static str, (Vec<u32>, Vec<u32>)>;

/// What the `Stats` of a server's reactors say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub channels: u64,
    pub timers: u64,
    pub errors: u64,
}

pub type Statuses = HashMap<&'static str, Status>;

/// A server while nothing is asked of it.
#[derive(Clone, Debug)]
pub struct Rest {
    pub look: Look,
    pub status: Option<Status>,
    pub heap: Option<i64>,
    pub waits_for_ever: Option<bool>,
    /// Microseconds that an honest client waits, and one of the reference.
    pub waits: Option<[u32; 2]>,
}

pub struct Sampler<'a> {
    pub fleet: &'a Fleet,
    pub honest: &'a [Honest<'a>],
    pub reference: SockAddr,
    pub book: &'a Book,
    pub gate: &'a Gate,
    pub every: Duration,
    /// How many times the honest clients are asked in a pause.
    pub passes: usize,
    pub started: Instant,
    pub csv: Option<BufWriter<File>>,
}

impl<'a> Sampler<'a> {
    pub fn begin(&mut self) {
        self.write(&format!("{HEADER}\n"));
    }

    /// Lets the traffic go on for so long, and gives what was waited in the last part of it.
    pub fn traffic(&mut self, time: Duration, last: Duration) -> Waits {
        let end = Instant::now() + time;
        let mut waits = Waits::new();
        self.drain(None);
        loop {
            let next = Instant::now() + self.every;
            if next > end {
                return waits;
            }
            // Nothing is waited for but the time of the next sample.
            thread::sleep(self.every);
            let into = (Instant::now() + last > end).then_some(&mut waits);
            let statuses = self.statuses();
            self.sample("traffic", into, &statuses);
        }
    }

    fn sample(&mut self, phase: &str, into: Option<&mut Waits>, statuses: &Statuses) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rounds = self.book.rounds();
        let medians = self.drain(into);
        let mut lines = String::new();
        let looks = self
            .fleet
            .servers
            .iter()
            .map(|server| (server.name, server.look()));
        let own = look("self").ok_or_else(|| "no look at oneself".to_owned());
        for (name, look) in looks.chain([("(driver)", own)]) {
            let look = match look {
                Ok(look) => look,
                Err(error) => {
                    self.book.wrong(name, error);
                    continue;
                }
            };
            let Look {
                rss_kib,
                descriptors,
                threads,
                cpu_seconds,
            } = look;
            let (channels, timers) = statuses.get(name).map_or_else(Default::default, |status| {
                (status.channels.to_string(), status.timers.to_string())
            });
            let waits = medians.get(name).map_or_else(
                || ",,".into(),
                |[p50, p99, reference]| format!("{p50},{p99},{reference}"),
            );
            lines += &format!(
                "{seconds:.1},{phase},{name},{rss_kib},{descriptors},{threads},{cpu_seconds:.2},{channels},{timers},\
                 {rounds},{waits}\n"
            );
        }
        self.write(&lines);
    }

    fn write(&mut self, lines: &str) {
        if let Some(csv) = &mut self.csv {
            let written = csv.write_all(lines.as_bytes()).and_then(|()| csv.flush());
            written.unwrap_or_else(|error| self.book.wrong("the samples", error.to_string()));
        }
    }

    /// What was waited since the last time: median, 99th percentile, the reference's median.
    fn drain(&self, mut into: Option<&mut Waits>) -> HashMap<&'static str, [u32; 3]> {
        let mut medians = HashMap::new();
        for client in self.honest {
            let mut server = std::mem::take(&mut *client.waits.server.lock().unwrap());
            let mut machine = std::mem::take(&mut *client.waits.reference.lock().unwrap());
            if let Some(into) = &mut into {
                let kept = into.entry(client.server).or_default();
                kept.0.extend_from_slice(&server);
                kept.1.extend_from_slice(&machine);
            }
            if let (Some(p50), Some(p99), Some(reference)) = (
                quantile(&mut server, 0.5),
                quantile(&mut server, 0.99),
                quantile(&mut machine, 0.5),
            ) {
                medians.insert(client.server, [p50, p99, reference]);
            }
        }
        medians
    }

    /// Of those that tell, each asked on a connection of its own.
    fn statuses(&self) -> Statuses {
        let mut statuses = Statuses::new();
        for server in &self.fleet.servers {
            if fleet::has_status(server.name) {
                match connect(&server.address).and_then(|socket| web::status(&socket)) {
                    Ok(status) => drop(statuses.insert(server.name, status)),
                    Err(error) => self.book.wrong(&format!("{}, status", server.name), error),
                }
            }
        }
        statuses
    }

    /// Stops the traffic, waits until nothing changes any more, and counts.
    pub fn rest(&mut self) -> HashMap<&'static str, Rest> {
        const PATIENCE: Duration = Duration::from_secs(90);
        /// Nothing that still ends by itself, as a lingering close or the time of a request, leaves the numbers alone so
        /// long. The page of several threads is up to a second old.
        const CALM: Duration = Duration::from_secs(4);
        let late = self.gate.close(PATIENCE);
        if late > 0 {
            self.book
                .wrong("the pause", format!("{late} rounds do not end"));
        }
        // Asked on the same connection each time, which would count otherwise.
        let open: HashMap<_, _> = (self.fleet.servers.iter())
            .filter(|server| fleet::has_status(server.name))
            .filter_map(|server| Some((server.name, connect(&server.address).ok()?)))
            .collect();
        let fleet = self.fleet;
        let count = || {
            let statuses = open
                .iter()
                .filter_map(|(&name, socket)| Some((name, web::status(socket).ok()?)));
            let statuses: Statuses = statuses.collect();
            let looks = fleet
                .servers
                .iter()
                .map(|server| server.look().unwrap_or_default());
            let looks: Vec<_> = looks.map(|look| (look.descriptors, look.threads)).collect();
            (statuses, looks)
        };
        let end = Instant::now() + PATIENCE;
        let (mut before, mut since) = (count(), Instant::now());
        while since.elapsed() < CALM {
            if Instant::now() > end {
                self.book
                    .wrong("the pause", "the numbers do not come to rest".into());
                break;
            }
            self.sample("rest", None, &before.0);
            thread::sleep(Duration::from_millis(500));
            let now = count();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        let mut rests = HashMap::new();
        for server in &self.fleet.servers {
            let heap = fleet::counts_heap(server.name).then(|| server.heap());
            let heap = heap.transpose().unwrap_or_else(|error| {
                self.book.wrong(server.name, error);
                None
            });
            let rest = Rest {
                look: server.look().unwrap_or_default(),
                status: before.0.get(server.name).copied(),
                heap,
                // It may just be at work.
                waits_for_ever: (0..100).find_map(|_| {
                    thread::park_timeout(Duration::from_millis(5));
                    server.waits_for_ever()
                }),
                waits: None,
            };
            rests.insert(server.name, rest);
        }
        let waits = honest::quiet(self.honest, self.passes, &self.reference, self.book);
        let seconds = self.started.elapsed().as_secs_f64();
        let mut lines = String::new();
        for (name, [server, reference]) in waits {
            let Some(rest) = rests.get_mut(name) else {
                continue;
            };
            rest.waits = Some([server, reference]);
            let timers = rest
                .waits_for_ever
                .filter(|&for_ever| for_ever)
                .map_or("", |_| "0");
            lines += &format!("{seconds:.1},quiet,{name},,,,,,{timers},,{server},,{reference}\n");
        }
        self.write(&lines);
        rests
    }
}

/// The value below which this part of them lies; `None` of none.
pub fn quantile(of: &mut [u32], part: f64) -> Option<u32> {
    of.sort_unstable();
    let last = of.len().checked_sub(1)?;
    Some(of[(last as f64 * part) as usize])
}
