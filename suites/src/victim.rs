//! A program of `examples/` that is attacked: what it takes of the machine, what it says, and how it ends.
//!
//! The programs are looked for beside the test (`target/PROFILE/examples`), so they are of the profile of the test.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::program;
pub use crate::program::within;

/// Long enough for a loaded machine; a passing test never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running program, killed when dropped.
///
/// ```ignore
/// let victim = Victim::start("http_server", &["--root", "/srv", "--port", "0"]);
/// let mark = victim.mark();
/// // … the attack …
/// let cost = victim.since(&mark);
/// assert!(cost.memory < 8 * 1024, "{cost:?}");
/// victim.is_as_at(&mark);
/// victim.ends_well();
/// ```
pub struct Victim {
    child: Child,
    /// What its first line says it listens on.
    pub address: SocketAddr,
    /// Lines of standard output after the first, as they come: of `http_server` that is the access log.
    out: Lines,
    /// Lines of standard error: the program's log.
    log: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// What a program had taken at one moment.
#[derive(Clone, Debug)]
pub struct Mark {
    pub descriptors: usize,
    pub resident: u64,
    cpu: Duration,
    log: usize,
    at: Instant,
}

/// What it took since then.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// KiB: how far the most it ever had since the mark is above what it had at the mark.
    pub memory: u64,
    /// Processor time of all its threads.
    pub cpu: Duration,
    pub wall: Duration,
    /// Lines of its log.
    pub lines: usize,
}

impl Victim {
    /// Starts the example with `RUST_LOG=info` and waits for its first line, which names its address as a word or a URL.
    #[track_caller]
    pub fn start(example: &str, args: &[&str]) -> Self {
        Self::run(program::example(example).args(args).env("RUST_LOG", "info"))
    }

    /// The same with any program that begins in this way.
    #[track_caller]
    pub fn run(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Lines::default();
        let (told, first) = mpsc::channel();
        collect(child.stderr.take().unwrap(), Arc::clone(&log), None);
        let out = Lines::default();
        collect(child.stdout.take().unwrap(), Arc::clone(&out), Some(told));
        let first = first.recv_timeout(DEADLINE);
        let first = first.unwrap_or_else(|_| panic!("{command:?} says nothing: {:?}", log.lock()));
        let words = first.split([' ', ',', '/']);
        let address = words.filter_map(|word| word.parse().ok()).next();
        let address = address.unwrap_or_else(|| panic!("no address in {first:?}"));
        Self {
            child,
            address,
            out,
            log,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in KiB: what it has now (`VmRSS`) and the most it ever had (`VmHWM`), or had since the last mark.
    pub fn resident(&self) -> (u64, u64) {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (figure("VmRSS:"), figure("VmHWM:"))
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(self.proc("task")).unwrap();
        let nanoseconds = threads.map(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("schedstat"));
            let first = stat.unwrap().split(' ').next().unwrap().parse::<u64>();
            first.unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Whether its first thread waits for something, and not for a processor.
    pub fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    }

    /// Descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn proc(&self, what: &str) -> String {
        format!("/proc/{}/{what}", self.pid())
    }

    /// Lines of the log that contain `text`; all of them contain "".
    pub fn log_lines_with(&self, text: &str) -> usize {
        count(&self.log, text)
    }

    /// Lines of standard output, the first left out, that contain `text`.
    pub fn out_lines_with(&self, text: &str) -> usize {
        count(&self.out, text)
    }

    /// The last lines of the log, for the message of an assertion.
    pub fn log_tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log[log.len().saturating_sub(12)..].join("\n")
    }

    /// Takes note of what it has now, and begins a new record of the most memory.
    pub fn mark(&self) -> Mark {
        // Where this is not allowed the old record stands, which makes the assertions weaker, not wrong.
        let _ = fs::write(self.proc("clear_refs"), "5");
        Mark {
            descriptors: self.descriptors(),
            resident: self.resident().0,
            cpu: self.cpu(),
            log: self.log_lines_with(""),
            at: Instant::now(),
        }
    }

    pub fn since(&self, mark: &Mark) -> Cost {
        Cost {
            memory: self.resident().1.saturating_sub(mark.resident),
            cpu: self.cpu().saturating_sub(mark.cpu),
            wall: mark.at.elapsed(),
            lines: self.log_lines_with("") - mark.log,
        }
    }

    /// Waits until it has no more descriptors than at the mark.
    #[track_caller]
    pub fn is_as_at(&self, mark: &Mark) {
        let back = within(DEADLINE, || self.descriptors() <= mark.descriptors);
        let (now, before) = (self.descriptors(), mark.descriptors);
        assert!(back, "{now} descriptors, {before} before");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Terminates it: it ends by itself, with exit code 0.
    #[track_caller]
    pub fn ends_well(mut self) {
        self.signal("TERM");
        let mut status = None;
        within(DEADLINE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "{}", self.log_tail());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(lines: &Lines, text: &str) -> usize {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(text)).count()
}

/// Reads all the time, so that the program never waits for its reader. The first line may go elsewhere.
fn collect(from: impl Read + Send + 'static, into: Lines, mut first: Option<mpsc::Sender<String>>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            match first.take() {
                Some(first) => drop(first.send(text)),
                None => into
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(text),
            }
        }
    });
}

/// Something done over and over on a thread of its own until this is dropped: one half of most attacks.
pub struct Repeated {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Repeated {
    /// Does `step` with `pause` between.
    pub fn start(pause: Duration, mut step: impl FnMut() + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                step();
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop = None;
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || thread::panicking(),
            "an attacker's thread panicked"
        );
    }
}
