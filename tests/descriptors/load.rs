//! Load (R2, R6, R10, R19, R20): as many connections on one reactor as a process may have, up to 20,000, floods past
//! `max_channels`, and 100,000 timers; nothing is left behind, and what does nothing costs nothing.
//!
//! The clients are a process of their own, so that each process has a descriptor a connection. The default run takes
//! seconds; `ASYNCHAT_LOAD_SECONDS=600` lets connections come and go for so long.

mod client;
mod timers;

use std::{
    cell::Cell,
    env, fs,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{BoxError, Channel, Dispatcher, ListenOptions, Reactor, Result, Stats};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use util::{
    Acceptor,
    process::{name_of, open_descriptors},
    settle,
};

use crate::alone;

/// poll(2) looks at all of them in each turn, and what that costs is no subject here.
const GOAL: usize = if cfg!(mio_unsupported_force_poll_poll) {
    4_000
} else {
    20_000
};
/// Events and callbacks for a message; on poll(2) each read is tried once more.
const EACH: u64 = if cfg!(mio_unsupported_force_poll_poll) {
    2
} else {
    1
};
/// Bytes of heap for an idle connection, mio's own list of descriptors included where it has one.
const MEMORY: isize = if cfg!(mio_unsupported_force_poll_poll) {
    600
} else {
    250
};
/// Fewer connections than this prove little.
const LEAST: usize = 4_000;
/// Descriptors for what comes and goes, and for all else in a process.
const RESERVE: usize = 200;
const BUSY: usize = 200;
/// What the reactor may keep for whoever speaks next, shared by all.
const SPARE: isize = 1024 * 1024;
/// Connections that come at once, and how often.
const STRANGERS: usize = 12;
const PACE: Duration = Duration::from_millis(60);
/// What a turn waits for at most.
const WAIT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// Raises the limit of descriptors as far as it goes, and says how far that is.
pub(super) fn most_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    limit.maximum.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}

/// Past the harness, which keeps what a passing test prints.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[derive(Clone, Copy)]
enum Kind {
    Idle,
    Busy,
    /// Comes and goes; has an idle timeout, so that it has a timer that could be left behind.
    Stranger,
}

/// What happened to the connections of one kind.
#[derive(Default)]
struct Tally {
    connected: Cell<usize>,
    closed: Cell<usize>,
    dropped: Cell<usize>,
    callbacks: Cell<usize>,
    /// How often `readable` or `writable` was asked.
    asked: Cell<usize>,
    bytes: Cell<usize>,
}

impl Tally {
    fn touched(&self) -> usize {
        self.callbacks.get() + self.asked.get()
    }
}

fn add(cell: &Cell<usize>, n: usize) {
    cell.set(cell.get() + n);
}

type Tallies = Rc<[Tally; 3]>;

/// Sends back what it gets.
struct Echo {
    kind: Kind,
    tallies: Tallies,
}

impl Echo {
    fn tally(&self) -> &Tally {
        &self.tallies[self.kind as usize]
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        add(&self.tally().dropped, 1);
    }
}

impl Dispatcher for Echo {
    fn readable(&self) -> bool {
        add(&self.tally().asked, 1);
        true
    }

    fn writable(&self) -> bool {
        add(&self.tally().asked, 1);
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        add(&self.tally().callbacks, 1);
        add(&self.tally().connected, 1);
        if let Kind::Stranger = self.kind {
            channel.set_idle_timeout(Some(Duration::from_secs(3_600)));
        }
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        add(&self.tally().callbacks, 1);
        let bytes = channel.recv_with(|channel, data| {
            channel.write_all(data)?;
            Ok::<_, BoxError>(data.len())
        })??;
        add(&self.tally().bytes, bytes);
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        add(&self.tally().callbacks, 1);
        add(&self.tally().closed, 1);
        channel.close_when_done();
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        panic!("{}: {error}", channel.describe());
    }
}

/// A reactor with one listener, and the process of its clients.
struct Load {
    reactor: Reactor,
    child: client::Process,
    control: UnixStream,
    tallies: Tallies,
    /// What comes next is of this kind.
    coming: Rc<Cell<Kind>>,
    /// Connections ordered so far, all of which are to be accepted.
    ordered: usize,
    /// The most there were at the end of a turn.
    most_channels: usize,
    most_in_a_turn: usize,
}

impl Load {
    fn new(test: &str, max_channels: usize) -> Self {
        let tallies = Tallies::default();
        let coming = Rc::new(Cell::new(Kind::Idle));
        let mut reactor = Reactor::builder()
            .propagate_panics(true)
            .max_channels(max_channels)
            .build()
            .unwrap();
        let (next, counts) = (Rc::clone(&coming), Rc::clone(&tallies));
        let acceptor = Acceptor(move |_: &_| Echo {
            kind: next.get(),
            tallies: Rc::clone(&counts),
        });
        let options = ListenOptions::new().backlog(4096);
        let listener = reactor
            .listen_with(([127, 0, 0, 1], 0), &options, acceptor)
            .unwrap();
        let address = reactor.channel(listener).unwrap().local_addr().unwrap();
        let (child, control) = client::start(test, address.inet().unwrap());
        control.set_nonblocking(true).unwrap();
        Self {
            reactor,
            child,
            control,
            tallies,
            coming,
            ordered: 0,
            most_channels: 0,
            most_in_a_turn: 0,
        }
    }

    fn tally(&self, kind: Kind) -> &Tally {
        &self.tallies[kind as usize]
    }

    /// Connections there are.
    fn connections(&self) -> usize {
        self.reactor.stats().channels - 1
    }

    fn turn(&mut self, wait: Duration) {
        let turn = self.reactor.turn(Some(wait)).unwrap();
        self.most_channels = self.most_channels.max(self.connections());
        self.most_in_a_turn = self.most_in_a_turn.max(turn.callbacks);
    }

    #[track_caller]
    fn turn_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < end,
                "nothing came of it: {:?}",
                self.reactor.stats()
            );
            self.turn(WAIT);
        }
    }

    /// Has the clients do something and serves them meanwhile. Gives the bytes that the busy ones have sent in all.
    #[track_caller]
    fn order(&mut self, order: &str) -> usize {
        writeln!(self.control, "{order}").unwrap();
        let mut answer = String::new();
        self.turn_until(|load| {
            let mut piece = [0; 64];
            match load.control.read(&mut piece) {
                Ok(n) => {
                    assert!(n > 0, "the clients failed at {order:?}");
                    answer.push_str(std::str::from_utf8(&piece[..n]).unwrap());
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            answer.ends_with('\n')
        });
        answer.trim().parse().unwrap()
    }

    /// So many connections, a part at a time, because the listener has to keep up.
    fn open(&mut self, kind: Kind, name: &str, number: usize) {
        self.coming.set(kind);
        let mut left = number;
        while left > 0 {
            let part = left.min(500);
            left -= part;
            self.ordered += part;
            self.order(&format!("{name} {part}"));
            let all = self.ordered;
            self.turn_until(|load| load.reactor.stats().accepted == all as u64);
        }
        settle(&mut self.reactor);
    }

    /// What there is once all strangers have gone: `connections`, and no timer.
    #[track_caller]
    fn only_these_are_left(&mut self, connections: usize) {
        self.turn_until(|load| {
            let stats = load.reactor.stats();
            stats.accepted == load.ordered as u64 && load.connections() == connections
        });
        let stats = self.reactor.stats();
        assert_eq!((stats.timers, stats.errors), (0, 0), "{stats:?}");
        let strangers = self.tally(Kind::Stranger);
        let seen = [&strangers.connected, &strangers.closed, &strangers.dropped].map(Cell::get);
        assert_eq!(
            seen, [seen[0]; 3],
            "connected, closed, dropped: each once for each"
        );
    }

    /// The end of the clients' process, which fails if it failed.
    fn end(mut self) -> Reactor {
        drop(self.control);
        let status = self.child.0.wait().unwrap();
        assert!(status.success(), "the clients: {status}");
        self.reactor
    }
}

/// Serves the busy ones and holds what that costs against the number of messages.
fn talk(load: &mut Load, rounds: usize) {
    let before: Stats = load.reactor.stats();
    let idle = load.tally(Kind::Idle).touched();
    let asked = load.tally(Kind::Busy).asked.get();
    load.most_in_a_turn = 0;
    let started = Instant::now();
    let said = load.order(&format!("talk {rounds}"));
    assert_eq!(load.tally(Kind::Busy).bytes.get(), said);
    let waits = started.elapsed().as_millis() as u64 / WAIT.as_millis() as u64;

    let messages = (BUSY * rounds) as u64;
    let after = load.reactor.stats();
    let (events, callbacks, turns) = (
        after.events - before.events,
        after.callbacks - before.callbacks,
        after.turns - before.turns,
    );
    let asked = (load.tally(Kind::Busy).asked.get() - asked) as u64;
    say(&format!(
        "   {messages} messages: {events} events, {callbacks} callbacks, {} at most in one turn, {asked} times asked, {turns} turns",
        load.most_in_a_turn
    ));
    // A message may come in two pieces.
    let most = EACH * messages + messages / 2;
    assert!(events <= most, "{events} events");
    assert!(callbacks <= most, "{callbacks} callbacks");
    assert!(asked <= (4 * EACH - 1) * messages, "asked {asked} times");
    assert!(load.most_in_a_turn <= BUSY, "{}", load.most_in_a_turn);
    // A turn has something to do or waits.
    assert!(turns <= events + callbacks + waits + 50, "{turns} turns");
    let now = load.tally(Kind::Idle).touched();
    assert_eq!(now, idle, "idle channels were called or asked");
}

#[test]
fn twenty_thousand_connections_cost_nothing_while_two_hundred_of_them_are_busy_and_others_come_and_go()
 {
    if client::works_here() {
        return;
    }
    let _alone = alone();
    let most = most_descriptors();
    let connections = GOAL.min(most.saturating_sub(RESERVE));
    if connections < LEAST {
        say(&format!(
            "-- skipped: connections by the thousand: no more than {most} descriptors a process (ulimit -Hn)"
        ));
        return;
    }
    let idle = connections - BUSY;
    let seconds = env::var("ASYNCHAT_LOAD_SECONDS").map_or(2, |text| {
        text.parse().expect("ASYNCHAT_LOAD_SECONDS is a number")
    });
    let descriptors_before = open_descriptors();
    let memory_before = util::heap::live();
    let mut load = Load::new(name_of(&twenty_thousand_connections_cost_nothing_while_two_hundred_of_them_are_busy_and_others_come_and_go), usize::MAX);

    settle(&mut load.reactor);
    let memory = util::heap::live();
    load.open(Kind::Idle, "idle", idle);
    let each = (util::heap::live() - memory) / idle.cast_signed();
    load.open(Kind::Busy, "busy", BUSY);
    say(&format!(
        "{connections} connections, {BUSY} of them busy; {each} bytes of heap for each idle one"
    ));
    assert!(each <= MEMORY, "{each} bytes for an idle connection");
    assert_eq!(load.connections(), connections);
    assert_eq!(load.tally(Kind::Idle).connected.get(), idle);
    let callbacks = load.tally(Kind::Idle).callbacks.get();
    assert!(
        callbacks <= 2 * idle,
        "{callbacks}: more than `handle_connect` and one try to read"
    );
    let descriptors = open_descriptors();
    assert!(descriptors >= connections, "{descriptors}");

    talk(&mut load, 10);

    // Strangers come and go, and the others do not notice.
    let memory = util::heap::live();
    load.coming.set(Kind::Stranger);
    let idle_before = load.tally(Kind::Idle).asked.get();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut next = Instant::now();
    let mut strangers = 0;
    while Instant::now() < end {
        load.ordered += STRANGERS;
        strangers += STRANGERS;
        let said = load.order(&format!("churn {STRANGERS}"));
        assert_eq!(load.tally(Kind::Busy).bytes.get(), said);
        next += PACE;
        load.turn_until(|_| Instant::now() >= next);
    }
    load.only_these_are_left(connections);
    assert_eq!(load.tally(Kind::Stranger).connected.get(), strangers);
    assert_eq!(open_descriptors(), descriptors);
    let grown = util::heap::live() - memory;
    say(&format!(
        "   {strangers} others came and went in {seconds} s; {grown} bytes of heap more"
    ));
    assert!(grown <= SPARE, "{grown} bytes more");
    talk(&mut load, 2);

    let tally = load.tally(Kind::Idle);
    assert_eq!(tally.asked.get(), idle_before);
    assert_eq!(
        tally.callbacks.get(),
        callbacks,
        "idle channels were called"
    );
    load.order("silence");
    // They are not forgotten either.
    load.order("wake");
    assert_eq!(load.tally(Kind::Idle).bytes.get(), 10 * idle);

    // All go at once, every other one with a reset.
    load.order("leave");
    load.only_these_are_left(0);
    for kind in [Kind::Idle, Kind::Busy] {
        let tally = load.tally(kind);
        assert_eq!(tally.closed.get(), tally.connected.get());
        assert_eq!(tally.dropped.get(), tally.connected.get());
    }
    drop(load.end());
    assert_eq!(open_descriptors(), descriptors_before);
    assert_eq!(util::heap::live(), memory_before, "bytes are left");
}

#[test]
fn a_flood_past_max_channels_waits_its_turn_and_disturbs_nobody() {
    const MOST: usize = 400;
    if client::works_here() {
        return;
    }
    let _alone = alone();
    // What waits has to fit into the kernel's queue; what does not fit would try again every second.
    let queue = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let flood = queue.trim().parse::<usize>().unwrap().min(4096) * 3 / 4;
    let flood = flood.min(most_descriptors().saturating_sub(RESERVE + MOST));
    if flood < 2 * MOST {
        say(&format!(
            "-- skipped: floods past max_channels: only {flood} connections can wait (somaxconn, ulimit -Hn)"
        ));
        return;
    }
    let descriptors_before = open_descriptors();
    let mut load = Load::new(
        name_of(&a_flood_past_max_channels_waits_its_turn_and_disturbs_nobody),
        MOST,
    );
    load.open(Kind::Busy, "busy", BUSY);
    let descriptors = open_descriptors();
    load.coming.set(Kind::Stranger);

    for (round, end) in ["vanish", "served"].into_iter().enumerate() {
        load.most_channels = 0;
        let pauses = load.reactor.stats().accept_pauses;
        load.ordered += flood;
        load.order(&format!("flood {flood}"));
        load.turn_until(|load| load.connections() == MOST);
        // Full: it rests, and the others are served as ever.
        settle(&mut load.reactor);
        assert_eq!(load.reactor.stats().accept_pauses, pauses + 1);
        talk(&mut load, 3);
        assert_eq!(load.connections(), MOST);
        assert_eq!(load.reactor.stats().accept_pauses, pauses + 1);

        load.order(end);
        load.only_these_are_left(BUSY);
        assert_eq!(load.most_channels, MOST, "round {round}");
        let all = flood * (round + 1);
        assert_eq!(load.tally(Kind::Stranger).connected.get(), all);
        // A pause frees a sixteenth at least.
        let pauses = load.reactor.stats().accept_pauses - pauses;
        assert!(
            pauses <= (flood / (MOST / 16)) as u64 + 1,
            "{pauses} pauses"
        );
        say(&format!(
            "   {flood} at once, at most {MOST} let in, {end}: {pauses} pauses"
        ));
        assert_eq!(open_descriptors(), descriptors);
        talk(&mut load, 1);
    }
    load.order("leave");
    load.only_these_are_left(0);
    drop(load.end());
    assert_eq!(open_descriptors(), descriptors_before);
}
