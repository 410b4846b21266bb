//! Programs of `examples/` as processes: started, read from with a deadline, killed when dropped.

use std::{
    env::consts::EXE_SUFFIX,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use util::SLOWNESS;

use crate::build;
#[cfg(windows)]
use crate::windows;

/// Long enough for a loaded machine, and under an emulator; a passing test never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30 * SLOWNESS);

/// A file that takes all and keeps nothing.
pub const NULL: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// The executable of a program.
pub fn path(name: &str) -> PathBuf {
    build::folder_of(name).join(format!("{name}{EXE_SUFFIX}"))
}

/// For the environment of a test that runs itself again: the programs are built.
pub fn built() -> (&'static str, &'static Path) {
    build::built()
}

pub fn example(name: &str) -> Command {
    let mut command = Command::new(path(name));
    command.env_remove("RUST_LOG");
    command
}

/// Without a console of its own a program on Windows can be sent no signal by [`signal`].
pub fn give_console(command: &mut Command) {
    #[cfg(windows)]
    windows::give_console(command);
    #[cfg(not(windows))]
    let _ = command;
}

/// Sends a signal, and gives whether it was sent. On Windows there are `INT` and `TERM`, which both are Ctrl-C, and `KILL`.
#[cfg(windows)]
pub fn signal(pid: u32, name: &str) -> bool {
    match name {
        "INT" | "TERM" => windows::interrupt(pid, windows::Event::CtrlC).is_ok(),
        "KILL" => windows::terminate(pid),
        _ => panic!("Windows has no {name}"),
    }
}

#[cfg(not(windows))]
pub fn signal(pid: u32, name: &str) -> bool {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    sent.unwrap().success()
}

/// A running program.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<Vec<u8>>,
    output: Receiver<Vec<u8>>,
}

/// What a program left behind.
pub struct Ended {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl Ended {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self::start_into(command, Stdio::piped())
    }

    /// With another standard output: there are no lines of it, and what is left behind is empty.
    pub fn start_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        give_console(command);
        Self::spawn(command, stdout)
    }

    fn spawn(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: Box<dyn Read + Send> = match child.stdout.take() {
            Some(stdout) => Box::new(stdout),
            None => Box::new(io::empty()),
        };
        let stderr = child.stderr.take().unwrap();
        let (line, lines) = channel();
        let (out, output) = channel();
        let (err, errors) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut all = Vec::new();
            loop {
                let begin = all.len();
                match reader.read_until(b'\n', &mut all) {
                    Ok(1..) => {
                        let text = String::from_utf8_lossy(&all[begin..]);
                        let _ = line.send(text.trim_end().to_owned());
                    }
                    _ => break,
                }
            }
            let _ = out.send(all);
        });
        thread::spawn(move || {
            let mut all = Vec::new();
            let _ = BufReader::new(stderr).read_to_end(&mut all);
            let _ = err.send(all);
        });
        Self {
            child,
            lines,
            errors,
            output,
        }
    }

    /// The next line of its output.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("one more line")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(signal(self.pid(), name), "{name} is not sent");
    }

    /// Waits for the end of the process: both its streams end with it.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let out = self.output.recv_timeout(DEADLINE).expect("an end of it");
        let err = self.errors.recv_timeout(DEADLINE).expect("an end of it");
        let code = self.child.wait().unwrap().code();
        let err = String::from_utf8_lossy(&err).into_owned();
        Ended { code, out, err }
    }

    /// A memory figure of `/proc/PID/status` in KiB: `VmRSS`, or `VmHWM`, which is the most there ever was. Other systems than
    /// Linux and Windows know only how much it is now.
    #[cfg(windows)]
    pub fn memory(&self, what: &str) -> u64 {
        let memory = windows::memory(&self.child);
        match what {
            "VmHWM" => memory.most,
            _ => memory.now,
        }
    }

    #[cfg(not(windows))]
    pub fn memory(&self, what: &str) -> u64 {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            let pid = self.pid().to_string();
            let mut ps = Command::new("ps");
            let output = ps.args(["-o", "rss=", "-p", &pid]).output().unwrap();
            let figure = String::from_utf8(output.stdout).unwrap();
            return figure.trim().parse().unwrap();
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(name: &str, args: &[&str]) -> Ended {
    Program::spawn(example(name).args(args), Stdio::piped()).ended()
}

/// Starts a server and reads its address off the first line, where it is a word of its own, or a URL.
#[track_caller]
pub fn serve(name: &str, args: &[&str]) -> (Program, SocketAddr) {
    let program = Program::start(example(name).args(args));
    let line = program.line();
    let words = line.split([' ', ',', '/']);
    let address = words.filter_map(|word| word.parse().ok()).next();
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    (program, address)
}

/// Tries until it works, for what another process is about to do.
#[track_caller]
pub fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(
            Instant::now() < end,
            "nothing came of it within {DEADLINE:?}"
        );
        // Not a wait for anything: only leaves the processor to the other process.
        thread::yield_now();
    }
}

/// Asks until the answer is yes; false if it was not in time.
pub fn within(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    true
}

/// Whether a read has ended because nothing came in time: Windows has another name for that.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Terminates a server and checks that it takes that for an orderly end.
#[track_caller]
pub fn ends_well_when_terminated(program: Program) {
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
