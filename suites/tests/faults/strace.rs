//! strace as the hand that makes system calls fail, and as the witness of which ones did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Why there can be no test here, if so.
pub fn missing() -> Option<String> {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        return Some("strace is not installed".into());
    }
    let mut victim = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let attached = Tracer::attach(victim.id(), "close", "close:error=EINTR:when=1", log.path());
    let outcome = attached.map(|tracer| drop(tracer.detach()));
    victim.kill().unwrap();
    victim.wait().unwrap();
    outcome.err()
}

/// An strace on the first thread of a running process, which is that of the reactor; gone when dropped.
///
/// Not with `-f`: strace counts the calls of each thread, and a thread that waits for signals would have its share of the
/// errors. Not from the start of the program: what is counted would be the work of the dynamic linker.
pub struct Tracer {
    child: Child,
    log: PathBuf,
}

impl Tracer {
    pub fn attach(pid: u32, call: &str, injection: &str, log: &Path) -> Result<Self, String> {
        let mut child = Command::new("strace")
            .args(["-s0", "-p", &pid.to_string()])
            .arg(format!("--trace=accept4,close,epoll_wait,{call}"))
            .arg(format!("--inject={injection}"))
            .arg("-o")
            .arg(log)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let read = stderr.read_line(&mut said);
        // Kept for what it says later, so that it never writes into a closed pipe.
        child.stderr = Some(stderr.into_inner());
        if read.is_ok() && said.contains("attached") {
            return Ok(Self {
                child,
                log: log.into(),
            });
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("strace cannot attach: {}", said.trim()))
    }

    /// What it has seen so far.
    pub fn seen(&self, call: &str) -> Seen {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Seen::parse(&log, call)
    }

    /// Lets go of the process, or buries its own one that ended with the process.
    pub fn detach(mut self) -> PathBuf {
        self.end();
        self.log.clone()
    }

    fn end(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = Pid::from_child(&self.child);
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the calls of the reactor's thread were.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls that were made to fail.
    pub injected: usize,
    /// Calls of that name, failed or not.
    pub calls: usize,
    /// Rounds of the loop.
    pub polls: usize,
    /// Calls that found no room, or not enough, or nothing to read.
    pub full: usize,
    /// The clients' ports of connections on which it happened.
    pub hit: BTreeSet<u16>,
    /// Those of them that cannot have gone on: something they were to get was not sent.
    pub doomed: BTreeSet<u16>,
    /// Failed calls that belong to no accepted connection.
    pub elsewhere: usize,
}

impl Seen {
    pub fn parse(log: &str, call: &str) -> Self {
        let mut seen = Self::default();
        let mut ports: BTreeMap<i32, u16> = BTreeMap::new();
        for line in log.lines() {
            let is = |name: &str| line.starts_with(&format!("{name}("));
            let result = line.rsplit_once(" = ").map_or("", |(_, result)| result);
            if is("accept4")
                && let Some(port) = number_after(line, "sin_port=htons(")
                && let Ok(fd) = result.trim().parse()
            {
                ports.insert(fd, port);
            }
            seen.polls += usize::from(is("epoll_wait"));
            if is(call) {
                seen.calls += 1;
                seen.full += usize::from(result.contains("EAGAIN") || is_short(line));
                if line.ends_with("(INJECTED)") {
                    seen.injected += 1;
                    let fd = match call {
                        "epoll_ctl" => line.split(", ").nth(2).and_then(|fd| fd.parse().ok()),
                        "accept4" | "epoll_wait" | "socket" | "connect" => None,
                        _ => number_after(line, "("),
                    };
                    match fd.and_then(|fd| ports.get(&fd)) {
                        Some(&port) => {
                            seen.hit.insert(port);
                            if matches!(call, "sendto" | "writev" | "sendmsg" | "sendfile")
                                || line.contains("_CTL_ADD")
                            {
                                seen.doomed.insert(port);
                            }
                        }
                        None => seen.elsewhere += 1,
                    }
                }
            }
            // Also when it was made to fail: the program has forgotten it.
            if is("close")
                && let Some(fd) = number_after(line, "close(")
            {
                ports.remove(&fd);
            }
        }
        seen
    }
}

fn number_after<T: std::str::FromStr>(line: &str, mark: &str) -> Option<T> {
    let rest = &line[line.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// Whether a `sendto` took less than it was given.
fn is_short(line: &str) -> bool {
    let offered = number_after::<usize>(line, "\"\"..., ");
    let taken = line
        .rsplit_once(" = ")
        .and_then(|(_, n)| n.trim().parse::<usize>().ok());
    line.starts_with("sendto(") && taken < offered && taken.is_some()
}

#[test]
fn a_log_of_strace_says_whom_it_hit() {
    let log = "\
accept4(8, {sa_family=AF_INET, sin_port=htons(5001), sin_addr=inet_addr(\"127.0.0.1\")}, [128 => 16], 0) = 9
accept4(8, {sa_family=AF_INET, sin_port=htons(5002), sin_addr=inet_addr(\"127.0.0.1\")}, [128 => 16], 0) = 11
accept4(8, 0x7ffd, [128], 0) = -1 EMFILE (Too many open files) (INJECTED)
epoll_wait(3, [], 1024, 0)        = 0
sendto(11, \"\"..., 8, 0, NULL, 0) = -1 EPIPE (Broken pipe) (INJECTED)
sendto(9, \"\"..., 8, 0, NULL, 0) = -1 EAGAIN (Resource temporarily unavailable)
sendto(9, \"\"..., 8, 0, NULL, 0) = 7
sendto(9, \"\"..., 8, 0, NULL, 0) = 8
close(11) = 0
sendto(11, \"\"..., 8, 0, NULL, 0) = -1 EPIPE (Broken pipe) (INJECTED)
epoll_wait(3,  <detached ...>
";
    let seen = Seen::parse(log, "sendto");
    assert_eq!((seen.calls, seen.injected, seen.full), (5, 2, 2));
    assert_eq!((seen.polls, seen.elsewhere), (2, 1));
    assert_eq!(seen.doomed, BTreeSet::from([5002]));
}
