//! Faults at the border to the system (R5, R8, R9, R13, R19): each call of the example servers fails with each error, at
//! the first, at every third and at random calls, while clients work. The table in `table.rs` says who may notice what.
//!
//! `ASYNCHAT_FAULTS=all` runs the whole table on every server, `ASYNCHAT_FAULTS=sendto:EPIPE` what contains that;
//! `ASYNCHAT_FAULTS_SEED` repeats a run.
#![cfg(target_os = "linux")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "one program, and the helpers of a test are part of it"
)]

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clients::{Outcome, Report, Work, until, work};
use strace::{Seen, Tracer};
use suites::program::{self, Program};
use table::{CALLS, Call, ERRNOS, Effect, Errno, First, Random, Third, When, expected};
use tempfile::TempDir;

mod clients;
mod strace;
mod table;

/// Far more rounds of the loop, and calls of one kind, than what the clients do needs (some dozens to some hundreds).
const SPIN: usize = 3000;
/// Processor time of a server for one cell, tracing and start included, in ticks of 10 ms.
const MOST_TICKS: u64 = 200;
/// What one episode may put into the log.
const MOST_LINES: usize = 3 * clients::CLIENTS;

/// A program, and what its clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Echo,
    Chat,
    Http,
    /// `bench_server files`: HTTP too, with the files sent by the system.
    Files,
    TimeTcp,
    TimeUdp,
    /// With an echo server behind it that nobody disturbs.
    Proxy,
    /// Echo behind a filter: its handshake and both its ends, too.
    Filtered,
}

const SERVERS: [Server; 8] = [
    Server::Echo,
    Server::Chat,
    Server::Http,
    Server::Files,
    Server::TimeTcp,
    Server::TimeUdp,
    Server::Proxy,
    Server::Filtered,
];

impl Server {
    fn work(self) -> Work {
        match self {
            Self::Echo | Self::Proxy => Work::Echo,
            Self::Filtered => Work::Filtered,
            Self::Chat => Work::Chat,
            Self::Http => Work::HttpParts,
            Self::Files => Work::Http,
            Self::TimeTcp => Work::TimeTcp,
            Self::TimeUdp => Work::TimeUdp,
        }
    }

    /// Whether it makes that call while it serves.
    fn makes(self, call: Call) -> bool {
        use Call::*;
        match call {
            Accept4 | EpollWait | Close => self != Self::TimeUdp,
            Recvfrom => self != Self::TimeTcp,
            Sendto => true,
            EpollCtl => !matches!(self, Self::TimeTcp | Self::TimeUdp),
            Writev | Read => self == Self::Http,
            Sendmsg | Sendfile | Pread64 => matches!(self, Self::Http | Self::Files),
            Socket | Connect => self == Self::Proxy,
        }
    }
}

struct Running {
    program: Program,
    address: SocketAddr,
    /// What it needs; goes with it.
    _behind: Option<Program>,
}

/// The program of a server and its arguments.
fn command(server: Server, root: &Path) -> (Command, Option<Program>) {
    let start = |name: &str, args: &[&str]| {
        let mut command = program::example(name);
        command.args(args);
        command
    };
    match server {
        Server::Echo => (start("bench_server", &["echo", "0"]), None),
        Server::Chat => (start("chat_room", &["--port", "0"]), None),
        Server::Http => {
            let mut command = start("http_server", &["--port", "0", "--quiet", "--root"]);
            command.arg(root);
            (command, None)
        }
        Server::Files => {
            let mut command = start("bench_server", &["files", "0"]);
            command.arg(root);
            (command, None)
        }
        Server::TimeTcp | Server::TimeUdp => (start("time_server", &["--port", "0"]), None),
        Server::Proxy => {
            let (echo, address) = program::serve("bench_server", &["echo", "0"]);
            let to = address.to_string();
            let proxy = start("tcp_proxy", &["--listen", "127.0.0.1:0", "--to", &to]);
            (proxy, Some(echo))
        }
        Server::Filtered => (Command::new(env!("CARGO_BIN_EXE_filtered_echo")), None),
    }
}

fn start(server: Server, root: &Path, change: impl FnOnce(&mut Command)) -> Running {
    let (mut command, behind) = command(server, root);
    change(&mut command);
    let program = Program::start(&mut command);
    let line = program.line();
    let mut words = line.split([' ', ',', '/']);
    let address = words.find_map(|word| word.parse().ok()).expect(&line);
    // It says that it is ready a moment before its loop begins, which registers what is there.
    assert!(rests(program.pid()));
    Running {
        program,
        address,
        _behind: behind,
    }
}

/// A folder with what `http_server` serves.
fn root() -> TempDir {
    let root = TempDir::new().unwrap();
    for (name, content) in clients::files() {
        fs::write(root.path().join(name), content).unwrap();
    }
    root
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processor time so far, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    ticks() + ticks()
}

/// Whether the program comes to rest: for a while it does not run at all.
fn rests(pid: u32) -> bool {
    // Nanoseconds on the processor and times it was put there.
    let runs = || fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let (mut before, mut since) = (runs(), Instant::now());
    until(|| {
        let now = runs();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(20)
    })
}

#[derive(Clone, Copy)]
struct Cell {
    server: Server,
    call: Call,
    errno: Errno,
    when: When,
}

impl Cell {
    fn injection(&self) -> String {
        let Self {
            call, errno, when, ..
        } = self;
        format!("{}:error={errno:?}:when={when}", call.name())
    }

    fn run(&self, root: &Path, seed: u64) -> Result<Seen, String> {
        let Self {
            server,
            call,
            errno,
            ..
        } = *self;
        let (effect, _) = expected(call, errno, server == Server::TimeUdp);
        let running = start(server, root, |_| {});
        let pid = running.program.pid();
        let before = descriptors(pid);
        let log = tempfile::NamedTempFile::new().unwrap();
        let tracer = Tracer::attach(pid, call.name(), &self.injection(), log.path())?;
        // A connection whose close is suppressed does not end.
        let to_the_end = effect != Effect::Leaks;
        let reports = work(server.work(), running.address, seed, to_the_end);
        let name = call.name();
        let ends = effect == Effect::Fatal && {
            until(|| tracer.seen(name).injected > 0 || rests(pid));
            tracer.seen(name).injected > 0
        };
        if ends {
            let ended = running.program.ended();
            let log = fs::read_to_string(tracer.detach()).unwrap();
            if (ended.code, ended.err.lines().count()) != (Some(1), 1) {
                return Err(format!("ended with {:?} and {:?}", ended.code, ended.err));
            }
            return Ok(Seen::parse(&log, call.name()));
        }
        let leaks = |seen: &Seen| {
            if call == Call::Close {
                seen.injected
            } else {
                0
            }
        };
        // Not in the middle of a failing call: that would end otherwise than told.
        let rested = rests(pid);
        let closed = until(|| descriptors(pid) == before + leaks(&tracer.seen(name)));
        let log = fs::read_to_string(tracer.detach()).unwrap();
        let mut seen = Seen::parse(&log, name);
        if server == Server::Chat {
            // What was not sent may have been the news that somebody left, for one that left as well.
            seen.doomed.clear();
        }
        let mut wrong = Vec::new();
        if !rested {
            wrong.push("runs without anything to do".into());
        }
        if !closed {
            let now = descriptors(pid);
            let leaks = leaks(&seen);
            wrong.push(format!(
                "{before} descriptors before, {now} after, {leaks} to leak"
            ));
        }
        // Fewer calls than that do not reach the one that was to fail.
        let reached = self.when == First || seen.calls >= 3;
        if seen.injected == 0 && reached {
            wrong.push("no call failed: nothing is shown".into());
        }
        let certain = self.when == First || !seen.doomed.is_empty();
        judge(effect, certain, &seen, &reports, &mut wrong);
        if seen.polls > SPIN || seen.calls > SPIN {
            wrong.push(format!("spins: {} polls, {} calls", seen.polls, seen.calls));
        }
        serves_and_ends(server, running, before + leaks(&seen), seed, &mut wrong);
        if wrong.is_empty() {
            return Ok(seen);
        }
        Err(format!(
            "{}\n      {seen:?}\n      {reports:?}",
            wrong.join("; ")
        ))
    }
}

/// Holds what the clients saw against the table.
fn judge(effect: Effect, certain: bool, seen: &Seen, reports: &[Report], wrong: &mut Vec<String>) {
    let mut others = 0;
    let mut cut = 0;
    for report in reports {
        match &report.outcome {
            Outcome::Whole if effect == Effect::Ends && seen.doomed.contains(&report.port) => {
                wrong.push(format!(
                    "client {} was served whole after its error",
                    report.port
                ));
            }
            Outcome::Whole => {}
            Outcome::Cut(_) if effect == Effect::Ends => {
                cut += 1;
                others += usize::from(!seen.hit.contains(&report.port));
            }
            Outcome::Cut(what) => wrong.push(format!("client {} cut: {what}", report.port)),
            Outcome::Wrong(what) => wrong.push(format!("client {}: {what}", report.port)),
        }
    }
    if others > seen.elsewhere {
        wrong.push(format!(
            "{others} clients paid for what happened on others' connections"
        ));
    }
    if effect == Effect::Ends && certain && cut == 0 {
        wrong.push("nobody noticed".into());
    }
    let asked_again = reports.iter().map(|report| report.again).sum::<usize>();
    let may_lose = if effect == Effect::Lost {
        seen.injected
    } else {
        0
    };
    if asked_again > may_lose {
        wrong.push(format!(
            "{asked_again} datagrams asked for again, {may_lose} answers failed"
        ));
    }
}

/// Whatever happened: the next clients are served whole, nothing is left behind, and the end is an orderly one.
fn serves_and_ends(
    server: Server,
    running: Running,
    descriptors_left: usize,
    seed: u64,
    wrong: &mut Vec<String>,
) {
    let pid = running.program.pid();
    for Report { outcome, again, .. } in work(server.work(), running.address, seed + 1, true) {
        if outcome != Outcome::Whole || again > 0 {
            wrong.push(format!("afterwards: {outcome:?}"));
        }
    }
    if !until(|| descriptors(pid) == descriptors_left) {
        let now = descriptors(pid);
        wrong.push(format!(
            "{now} descriptors at the end instead of {descriptors_left}"
        ));
    }
    if !rests(pid) {
        wrong.push("runs without anything to do".into());
    }
    let ticks = ticks(pid);
    if ticks > MOST_TICKS {
        wrong.push(format!("{ticks} ticks of processor time"));
    }
    running.program.signal("TERM");
    if !until(|| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z ")))
    {
        let state = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let state = state
            .lines()
            .find(|line| line.starts_with("State"))
            .unwrap_or_default();
        wrong.push(format!("does not end on SIGTERM ({state})"));
        return;
    }
    let ended = running.program.ended();
    if ended.code != Some(0) {
        wrong.push(format!("ended with {:?}", ended.code));
    }
    if ended.err.contains("panicked") || ended.err.lines().count() > MOST_LINES {
        wrong.push(format!("said {}", ended.err));
    }
}

/// What stands for the table in an ordinary run: each call and error once on the server that shows most of it, and the
/// errors that a kernel really gives also at every third and at random calls, and on the others.
fn is_representative(server: Server, call: Call, errno: Errno, when: When) -> bool {
    let shown_by = match call {
        Call::Writev | Call::Read | Call::Pread64 => Server::Http,
        Call::Sendmsg | Call::Sendfile => Server::Files,
        Call::Socket | Call::Connect => Server::Proxy,
        _ => Server::Echo,
    };
    let typical = match call {
        Call::Accept4 => matches!(errno, Errno::EMFILE | Errno::ECONNABORTED | Errno::EINTR),
        Call::Recvfrom | Call::Sendto | Call::Writev | Call::Sendmsg | Call::Sendfile => {
            matches!(errno, Errno::EINTR | Errno::ECONNRESET | Errno::ENOBUFS)
        }
        Call::EpollWait | Call::Read | Call::Pread64 | Call::Close => errno == Errno::EINTR,
        Call::EpollCtl => errno == Errno::ENOMEM,
        Call::Socket => errno == Errno::EMFILE,
        Call::Connect => errno == Errno::ETIMEDOUT,
    };
    match when {
        First => {
            server == shown_by || server == Server::TimeUdp || typical && server == Server::Chat
        }
        Third => typical && server != Server::TimeUdp,
        Random(_) => typical && server == shown_by,
    }
}

fn cells(seed: u64) -> Vec<Cell> {
    let wanted = env::var("ASYNCHAT_FAULTS").unwrap_or_default();
    let mut cells = Vec::new();
    for server in SERVERS {
        for call in CALLS.into_iter().filter(|&call| server.makes(call)) {
            for errno in ERRNOS {
                for when in [First, Third, Random(seed + cells.len() as u64)] {
                    let cell = Cell {
                        server,
                        call,
                        errno,
                        when,
                    };
                    let chosen = match wanted.as_str() {
                        "" => is_representative(server, call, errno, when),
                        "all" => true,
                        part => format!("{server:?}:{}:{errno:?}", call.name()).contains(part),
                    };
                    if chosen {
                        cells.push(cell);
                    }
                }
            }
        }
    }
    cells
}

fn seed() -> u64 {
    let given = env::var("ASYNCHAT_FAULTS_SEED").ok();
    let seed = given.map_or(20, |seed| {
        seed.parse().expect("ASYNCHAT_FAULTS_SEED is a number")
    });
    println!("ASYNCHAT_FAULTS_SEED={seed}");
    seed
}

/// Whether to go on; says it where not.
fn can_trace() -> bool {
    let missing = strace::missing();
    if let Some(why) = &missing {
        suites::skip(format_args!("faults at the system-call border: {why}"));
    }
    missing.is_none()
}

#[test]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "its table is one of epoll's calls"
)]
fn an_error_of_one_call_is_noticed_by_those_it_belongs_to_and_nobody_else() {
    if !can_trace() {
        return;
    }
    let seed = seed();
    let cells = cells(seed);
    let root = root();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let totals = Mutex::new((0, 0, 0));
    // Most of a cell is waiting.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = cell.run(root.path(), seed);
                    let name = format!("{:?} {}", cell.server, cell.injection());
                    match outcome {
                        Ok(seen) => {
                            println!(
                                "{name}: {} of {} calls, {} clients hit",
                                seen.injected,
                                seen.calls,
                                seen.hit.len()
                            );
                            let mut totals = totals.lock().unwrap();
                            totals.0 += 1;
                            totals.1 += seen.injected;
                            totals.2 += seen.hit.len();
                        }
                        Err(why) => {
                            let udp = cell.server == Server::TimeUdp;
                            let (effect, reason) = expected(cell.call, cell.errno, udp);
                            let line = format!("{name}: {effect:?} expected ({reason}), but {why}");
                            println!("{line}");
                            failed.lock().unwrap().push(line);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let (whole, injected, hit) = totals.into_inner().unwrap();
    println!(
        "{whole} of {} cells as expected, {injected} calls failed, {hit} clients hit, {:.1} s",
        cells.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(
        failed.is_empty(),
        "{} of {} cells, seed {seed}:\n  {}",
        failed.len(),
        cells.len(),
        failed.join("\n  ")
    );
}

/// Also where the answer takes the short way: read, answered and sent in one visit of a connection that rested before.
#[test]
fn an_answer_that_cannot_be_sent_ends_a_connection_that_was_fine_before() {
    if !can_trace() {
        return;
    }
    let root = root();
    for errno in ERRNOS {
        let running = start(Server::Http, root.path(), |_| {});
        let pid = running.program.pid();
        let before = descriptors(pid);
        let log = tempfile::NamedTempFile::new().unwrap();
        let injection = format!("sendto:error={errno:?}:when=1");
        let (first, second) = clients::two_requests(running.address, || {
            assert!(rests(pid));
            Tracer::attach(pid, "sendto", &injection, log.path()).unwrap()
        });
        assert_eq!(first, Outcome::Whole, "{injection}");
        match expected(Call::Sendto, errno, false).0 {
            Effect::Nothing => assert_eq!(second, Outcome::Whole, "{injection}"),
            _ => assert!(matches!(second, Outcome::Cut(_)), "{injection}: {second:?}"),
        }
        let mut wrong = Vec::new();
        serves_and_ends(Server::Http, running, before, 6, &mut wrong);
        assert!(wrong.is_empty(), "{injection}: {wrong:?}");
    }
}

/// Nobody else comes, whose connection would wake the listener.
#[test]
fn who_comes_alone_is_accepted_after_any_error_of_accept() {
    if !can_trace() {
        return;
    }
    let root = root();
    let mut wrong = Vec::new();
    for errno in ERRNOS {
        let running = start(Server::Http, root.path(), |_| {});
        let pid = running.program.pid();
        let before = descriptors(pid);
        let log = tempfile::NamedTempFile::new().unwrap();
        let injection = format!("accept4:error={errno:?}:when=1");
        let tracer = Tracer::attach(pid, "accept4", &injection, log.path()).unwrap();
        let (first, second) = clients::two_requests(running.address, || ());
        if (&first, &second) != (&Outcome::Whole, &Outcome::Whole) {
            wrong.push(format!("{injection}: {first:?}, {second:?}"));
        }
        assert_eq!(tracer.seen("accept4").injected, 1, "{injection}");
        drop(tracer);
        serves_and_ends(Server::Http, running, before, 7, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody else asks, whose datagram would bring the next event.
#[test]
fn who_asks_alone_is_answered_at_once_though_calls_are_interrupted() {
    if !can_trace() {
        return;
    }
    let root = root();
    let mut wrong = Vec::new();
    for call in ["recvfrom", "sendto"] {
        let running = start(Server::TimeUdp, root.path(), |_| {});
        let pid = running.program.pid();
        let before = descriptors(pid);
        let log = tempfile::NamedTempFile::new().unwrap();
        let injection = format!("{call}:error=EINTR:when=1");
        let tracer = Tracer::attach(pid, call, &injection, log.path()).unwrap();
        let Report { outcome, again, .. } = clients::time_udp(running.address);
        if outcome != Outcome::Whole || again > 0 {
            wrong.push(format!(
                "{injection}: {outcome:?}, {again} times asked again"
            ));
        }
        assert_eq!(tracer.seen(call).injected, 1, "{injection}");
        drop(tracer);
        serves_and_ends(Server::TimeUdp, running, before, 8, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn while_every_accept_fails_for_want_of_descriptors_the_listener_rests_and_then_serves_all() {
    if !can_trace() {
        return;
    }
    let root = root();
    for server in [Server::Echo, Server::Http] {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            let running = start(server, root.path(), |_| {});
            let pid = running.program.pid();
            let before = descriptors(pid);
            let log = tempfile::NamedTempFile::new().unwrap();
            let injection = format!("accept4:error={errno:?}:when=1+");
            let tracer = Tracer::attach(pid, "accept4", &injection, log.path()).unwrap();
            let began = Instant::now();
            let mut rested = Duration::ZERO;
            let seen = thread::scope(|scope| {
                let clients = scope.spawn(|| work(server.work(), running.address, 1, true));
                assert!(
                    until(|| tracer.seen("accept4").injected >= 4),
                    "{injection}"
                );
                rested = began.elapsed();
                let log = fs::read_to_string(tracer.detach()).unwrap();
                for Report { outcome, .. } in clients.join().unwrap() {
                    assert_eq!(outcome, Outcome::Whole, "{server:?} {injection}");
                }
                Seen::parse(&log, "accept4")
            });
            // After 50, 100 and 200 ms comes the fourth; a loaded machine is only later.
            assert!(
                rested >= Duration::from_millis(300),
                "{server:?} {injection} spins: four within {rested:?}"
            );
            // 50, 100, 200, 400 ms, then a second each.
            assert!(
                seen.calls < 12 && seen.polls < 100,
                "{server:?} {injection} spins: {seen:?}"
            );
            let mut wrong = Vec::new();
            serves_and_ends(server, running, before, 2, &mut wrong);
            assert!(wrong.is_empty(), "{server:?} {injection}: {wrong:?}");
        }
    }
}

#[test]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "its table is one of epoll's calls"
)]
fn a_program_that_cannot_begin_says_so_in_one_line_and_ends() {
    if !can_trace() {
        return;
    }
    let root = root();
    for (call, errno) in [
        ("epoll_create1", "EMFILE"),
        ("epoll_ctl", "ENOMEM"),
        ("eventfd2", "ENFILE"),
        ("bind", "ENOBUFS"),
        ("listen", "ENOBUFS"),
        ("epoll_wait", "ENOMEM"),
    ] {
        for server in [Server::Echo, Server::Chat, Server::Http, Server::TimeTcp] {
            let (program, _) = command(server, root.path());
            let log = tempfile::NamedTempFile::new().unwrap();
            let mut traced = Command::new("strace");
            traced
                .args(["-f", "-o"])
                .arg(log.path())
                .args([
                    format!("--trace={call}"),
                    format!("--inject={call}:error={errno}:when=1"),
                ])
                .arg(program.get_program())
                .args(program.get_args());
            let ended = Program::start(&mut traced).ended();
            assert_eq!(
                (ended.code, ended.err.lines().count()),
                (Some(1), 1),
                "{server:?} {call} {errno}: {}",
                ended.err
            );
        }
    }
}

#[test]
fn a_full_socket_buffer_is_waited_for_also_while_sends_are_interrupted() {
    if !can_trace() {
        return;
    }
    let root = root();
    for (server, injection) in [
        (Server::Echo, "sendto:error=EINTR:when=3+3"),
        (Server::Proxy, "sendto:error=EINTR:when=2+2"),
    ] {
        let running = start(server, root.path(), |_| {});
        let pid = running.program.pid();
        let before = descriptors(pid);
        let log = tempfile::NamedTempFile::new().unwrap();
        let tracer = Tracer::attach(pid, "sendto", injection, log.path()).unwrap();
        let address = running.address;
        let (slow, others) = thread::scope(|scope| {
            let slow = scope.spawn(|| clients::through_small_buffers(address, SMALL_BUFFER_BYTES));
            let others = work(server.work(), address, 3, true);
            (slow.join().unwrap(), others)
        });
        let log = fs::read_to_string(tracer.detach()).unwrap();
        let seen = Seen::parse(&log, "sendto");
        for Report { outcome, .. } in others.iter().chain([&slow]) {
            assert_eq!(outcome, &Outcome::Whole, "{server:?} {injection}");
        }
        println!(
            "{server:?} {injection}: {} of {} calls, {} times no room",
            seen.injected, seen.calls, seen.full
        );
        assert!(
            seen.full > 0 && seen.injected > 0,
            "{server:?}: no buffer was full: {seen:?}"
        );
        let mut wrong = Vec::new();
        serves_and_ends(server, running, before, 4, &mut wrong);
        assert!(wrong.is_empty(), "{server:?} {injection}: {wrong:?}");
    }
}

/// More than the buffers of a connection hold that nobody enlarges.
const SMALL_BUFFER_BYTES: usize = 6_000_000;

/// Builds the preload, unless there is nothing to build it with.
fn one_byte_io(folder: &Path) -> Option<std::path::PathBuf> {
    let library = folder.join("one_byte_io.so");
    let source = suites::root().join("suites/data/one_byte_io.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    match built {
        Ok(status) => {
            assert!(status.success(), "{} does not build", source.display());
            Some(library)
        }
        Err(error) => {
            suites::skip(format_args!("one byte a call: cc: {error}"));
            None
        }
    }
}

#[test]
fn one_byte_a_call_loses_nothing() {
    let root = root();
    let folder = TempDir::new().unwrap();
    let Some(library) = one_byte_io(folder.path()) else {
        return;
    };
    for (server, bytes, interrupts) in [
        (Server::Echo, "1", "0"),
        (Server::Echo, "1", "3"),
        (Server::Chat, "1", "3"),
        (Server::Proxy, "1", "3"),
        (Server::Filtered, "1", "0"),
        (Server::Filtered, "1", "3"),
        // 180,000 bytes one by one are only slow: as many calls as for one by one elsewhere.
        (Server::Http, "13", "3"),
        (Server::Files, "13", "3"),
        (Server::TimeTcp, "1", "0"),
    ] {
        let report = folder.path().join("report");
        let running = start(server, root.path(), |command| {
            command
                .env("LD_PRELOAD", &library)
                .env("ONE_BYTE_IO", bytes)
                .env("ONE_BYTE_IO_EINTR", interrupts)
                .env("ONE_BYTE_IO_REPORT", &report);
        });
        let pid = running.program.pid();
        let before = descriptors(pid);
        for Report { outcome, .. } in work(server.work(), running.address, 5, true) {
            assert_eq!(outcome, Outcome::Whole, "{server:?}, {bytes} bytes a call");
        }
        assert!(until(|| descriptors(pid) == before), "{server:?}");
        assert!(rests(pid), "{server:?}");
        running.program.signal("TERM");
        let ended = running.program.ended();
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (Some(0), ""),
            "{server:?}"
        );
        let cuts: u64 = fs::read_to_string(&report).unwrap().trim().parse().unwrap();
        println!("{server:?}: {cuts} calls of {bytes} bytes");
        assert!(cuts >= 12, "{server:?}: {cuts} calls cut short");
    }
}
