//! The example servers as processes: started, looked at through `/proc`, ended.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use socket2::SockAddr;

use crate::wire::Step;
use suites::program::example;

/// Far longer than a start or an end takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a program has said so far.
#[derive(Default)]
pub struct Said {
    /// Lines on standard output, of which the first two are kept.
    pub lines: u64,
    second: Option<String>,
    /// Kinds of lines on standard error, every number in them as `N`, and how many of each.
    pub errors: BTreeMap<String, u64>,
    /// Figures asked for with SIGUSR1: how many times, and the last bytes in use.
    pub heap: (u64, i64),
}

pub struct Server {
    pub name: &'static str,
    pub address: SockAddr,
    pub said: Arc<Mutex<Said>>,
    child: Child,
    readers: Vec<thread::JoinHandle<()>>,
}

/// A look at a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub rss_kib: u64,
    pub descriptors: usize,
    pub threads: u64,
    pub cpu_seconds: f64,
}

impl Server {
    /// Starts one. `address` makes its address out of the first line of its output.
    pub fn start(
        name: &'static str,
        program: &str,
        args: &[&str],
        address: impl FnOnce(&str) -> Option<SockAddr>,
    ) -> Self {
        let mut child = example(program)
            .args(args)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let said = Arc::<Mutex<Said>>::default();
        let (first, line) = mpsc::channel();
        let readers = vec![
            read_lines(out, Arc::clone(&said), move |said, line| {
                said.lines += 1;
                if said.lines == 1 {
                    let _ = first.send(line.to_owned());
                } else if said.lines == 2 {
                    said.second = Some(line.to_owned());
                }
            }),
            read_lines(err, Arc::clone(&said), |said, line| {
                if let Some((_, live)) = line.split_once(" live: ") {
                    said.heap = (said.heap.0 + 1, live.trim().parse().unwrap_or(i64::MAX));
                } else {
                    *said.errors.entry(kind(line)).or_default() += 1;
                }
            }),
        ];
        let line = line.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{name} does not start: {:?}", errors(&said)));
        let address = address(&line).unwrap_or_else(|| panic!("{name}: no address in {line:?}"));
        Self {
            name,
            address,
            said,
            child,
            readers,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Of a program that says one more thing when it starts.
    pub fn second_line(&self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = &self.said.lock().unwrap().second {
                return line.clone();
            }
            assert!(Instant::now() < end, "{} says one line only", self.name);
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn look(&self) -> Step<Look> {
        look(&self.pid().to_string()).ok_or_else(|| format!("{} is gone", self.name))
    }

    /// Whether its loop waits without an end, as it does when no timer is armed; of several loops, that of the first
    /// thread with one. `None`: it is at work, or this is not known here.
    pub fn waits_for_ever(&self) -> Option<bool> {
        if cfg!(not(target_arch = "x86_64")) {
            return None;
        }
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
        let mut threads: Vec<_> = threads.flatten().map(|thread| thread.path()).collect();
        threads.sort_unstable();
        let mut calls = threads
            .iter()
            .filter_map(|thread| fs::read_to_string(thread.join("syscall")).ok());
        calls.find_map(|call| Self::call_waits_for_ever(&call))
    }

    fn call_waits_for_ever(call: &str) -> Option<bool> {
        let words: Vec<_> = call.split_whitespace().collect();
        let timeout = match *words.first()? {
            // epoll_wait and epoll_pwait, and poll of mio's other backend.
            "232" | "281" => words.get(4)?,
            "7" => words.get(3)?,
            _ => return None,
        };
        let timeout = u64::from_str_radix(timeout.trim_start_matches("0x"), 16).ok()?;
        Some((timeout as u32).cast_signed() == -1)
    }

    /// The bytes its heap has in use, from those that count them.
    pub fn heap(&self) -> Step<i64> {
        let asked = self.said.lock().unwrap().heap.0;
        self.signal(Signal::USR1);
        let end = Instant::now() + PATIENCE;
        loop {
            let (answers, live) = self.said.lock().unwrap().heap;
            if answers > asked {
                return Ok(live);
            }
            if Instant::now() > end {
                return Err(format!("{}: no figures of its heap", self.name));
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Terminates it. The exit code, or `None` where the signal itself was the end; with what it said.
    pub fn end(mut self) -> Step<(Option<i32>, Said)> {
        self.signal(Signal::TERM);
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if Instant::now() > end {
                return Err(format!("{} does not end after SIGTERM", self.name));
            }
            thread::park_timeout(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        Ok((status.code(), said))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    said: Arc<Mutex<Said>>,
    mut f: impl FnMut(&mut Said, &str) + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line);
            f(&mut said.lock().unwrap(), text.trim_end());
            line.clear();
        }
    })
}

fn errors(said: &Mutex<Said>) -> BTreeMap<String, u64> {
    said.lock().unwrap().errors.clone()
}

/// A line with every number as `N`, so that lines about different clients are of one kind.
fn kind(line: &str) -> String {
    let mut kind = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            true if kind.ends_with('N') => {}
            true => kind.push('N'),
            false => kind.push(c),
        }
    }
    kind
}

/// A look at a process by its id, or at `self`.
pub fn look(pid: &str) -> Option<Look> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let times = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Some(Look {
        rss_kib: field("VmRSS:")?,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
        threads: field("Threads:")?,
        // A tick is 10 ms on every Linux there is.
        cpu_seconds: ticks / 100.0,
    })
}
