//! The program `run_many`: all output arrives under its command's number, nothing is left of a command, and a reader
//! that is too slow costs no memory.
// Once is enough: how the poller does is the subject of others.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Output, Stdio},
    time::{Duration, Instant},
};

use suites::program::{self, DEADLINE, eventually};

fn command(args: &[&str]) -> Command {
    let mut command = program::example("run_many");
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs commands to their end.
fn run(args: &[&str], commands: &[u8]) -> Output {
    let mut child = command(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let commands = commands.to_vec();
    std::thread::spawn(move || stdin.write_all(&commands));
    child.wait_with_output().unwrap()
}

fn sorted(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// One that runs until it is ended, killed if the test fails.
struct Running {
    child: Child,
    stdin: ChildStdin,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn children(&self) -> Vec<String> {
        let pid = self.pid();
        let all = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        all.split_whitespace().map(str::to_owned).collect()
    }

    fn descriptors(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        all.count()
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn code(mut self) -> Option<i32> {
        let code = eventually(|| self.child.try_wait().unwrap());
        code.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}

#[test]
fn output_has_the_number_of_its_command_and_failures_are_told() {
    let output = run(
        &["--jobs", "3"],
        b"echo a; echo b\n\n  \necho err >&2; printf tail\nexit 3\nkill -9 $$\nprintf last",
    );
    assert_eq!(
        sorted(&output.stdout),
        ["1: a", "1: b", "2: tail", "5: last"]
    );
    assert_eq!(
        sorted(&output.stderr),
        [
            "2: err",
            "3: failed: exit code 3",
            "4: failed: ended by signal 9",
            "run_many: 2 of 5 commands failed"
        ]
    );
    assert_eq!(output.status.code(), Some(1));
    let output = run(&[], b"true\n");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn no_more_commands_run_at_once_than_told_and_all_of_them_run() {
    // Each command takes one of three locks, and fails if there is none.
    let place = std::env::temp_dir().join(format!("run_many-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    let at = place.display();
    let one = format!(
        "for n in 1 2 3; do if mkdir {at}/$n 2>/dev/null; then sleep 0.01; rmdir {at}/$n; exit 0; fi; done; exit 1\n"
    );
    let output = run(&["--jobs", "3"], one.repeat(60).as_bytes());
    fs::remove_dir(&place).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_command_that_is_too_long_and_one_with_a_nul_fail_and_the_next_runs() {
    let commands = [&vec![b'x'; 100_000], &b"\necho \0\necho next\n"[..]].concat();
    let output = run(&[], &commands);
    assert_eq!(sorted(&output.stdout), ["3: next"]);
    let told = sorted(&output.stderr);
    assert!(told[0].starts_with("1: failed: "), "{told:?}");
    assert!(told[1].starts_with("2: failed: "), "{told:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_long_line_is_shown_in_parts_and_no_byte_is_lost() {
    let output = run(&[], b"head -c 3000000 /dev/zero | tr '\\0' x\n");
    let xs = output.stdout.iter().filter(|&&byte| byte == b'x').count();
    assert_eq!(xs, 3_000_000);
    let longest = output.stdout.split(|&byte| byte == b'\n').map(<[u8]>::len);
    assert!(longest.max().unwrap() <= 8192 + 3);
}

#[test]
fn neither_zombies_nor_descriptors_are_left_of_commands() {
    let mut running = Running::start(&["--jobs", "8"]);
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    let mut round = |running: &mut Running| {
        running.stdin.write_all(&b"echo\n".repeat(50)).unwrap();
        for _ in 0..50 {
            lines.next().unwrap().unwrap();
        }
        eventually(|| running.children().is_empty().then_some(()));
        // The descriptors of the last are closed in the same turn.
        running.descriptors()
    };
    let before = round(&mut running);
    for _ in 0..4 {
        eventually(|| (round(&mut running) <= before).then_some(()));
    }
    let Running { ref mut child, .. } = running;
    assert!(child.try_wait().unwrap().is_none());
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
}

#[test]
fn a_reader_that_is_too_slow_costs_no_memory_and_a_signal_still_ends_all() {
    let mut running = Running::start(&["--jobs", "20"]);
    running.stdin.write_all(&b"yes\n".repeat(20)).unwrap();
    eventually(|| (running.children().len() == 20).then_some(()));
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        let figure = line.split_whitespace().nth(1).unwrap();
        figure.parse::<u64>().unwrap()
    };
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        assert!(memory() < 64 * 1024, "{} KiB", memory());
        std::thread::yield_now();
    }
    let children = running.children();
    // Somebody has to read, or what is queued does not leave.
    let mut stdout = running.child.stdout.take().unwrap();
    running.signal("TERM");
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let mut told = String::new();
    let mut stderr = running.child.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("20 of 20 commands failed"), "{told}");
    assert_eq!(running.code(), Some(1));
    assert!(children.iter().all(|pid| !is_alive(pid)));
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_with_what_it_started() {
    // One that passes, and one that is longer than any deadline.
    for seconds in ["0.2", "500"] {
        let mut running = Running::start(&["--grace", seconds]);
        let command = b"trap '' TERM; sleep 600 & echo $!; while :; do wait; done\nsleep 600\n";
        running.stdin.write_all(command).unwrap();
        let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let sleeper = line.strip_prefix("1: ").unwrap().to_owned();
        assert!(is_alive(&sleeper));
        running.signal("TERM");
        let mut told = BufReader::new(running.child.stderr.take().unwrap()).lines();
        let first = told.next().unwrap().unwrap();
        assert_eq!(first, "2: failed: ended by signal 15");
        let began = Instant::now();
        if seconds == "500" {
            running.signal("INT");
        }
        running.code();
        assert!(began.elapsed() < DEADLINE);
        eventually(|| (!is_alive(&sleeper)).then_some(()));
    }
}

#[test]
fn once_nobody_reads_the_output_all_ends() {
    let mut running = Running::start(&[]);
    running.stdin.write_all(b"yes\nsleep 600\n").unwrap();
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1: y");
    drop(lines);
    let mut told = String::new();
    let mut stderr = running.child.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("run_many: nobody reads the output"), "{told}");
    assert_eq!(running.code(), Some(1));
}

/// The pipe to a program that neither reads nor goes away.
#[test]
fn a_second_signal_ends_it_although_nobody_takes_what_was_written() {
    let mut running = Running::start(&["--grace", "60"]);
    running.stdin.write_all(b"yes\n").unwrap();
    let stdout = running.child.stdout.take().unwrap();
    let [command] = &eventually(|| <[String; 1]>::try_from(running.children()).ok());
    eventually(|| (rustix::io::ioctl_fionread(&stdout).unwrap() > 60_000).then_some(()));
    running.signal("TERM");
    eventually(|| (!is_alive(command)).then_some(()));
    running.signal("TERM");
    assert_eq!(running.code(), Some(1));
    drop(stdout);
}

#[test]
fn streams_that_fail_are_told() {
    let told = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    // The last line may come when all else has ended.
    for _ in 0..20 {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = command(&[]).stdout(full).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"echo\n").unwrap();
        let told = told(child.wait_with_output().unwrap());
        assert!(told.contains("cannot write the output: No space"), "{told}");
    }
    let folder = fs::File::open("/").unwrap();
    let told = told(command(&[]).stdin(folder).output().unwrap());
    assert!(told.contains("cannot read the commands: "), "{told}");
}
