//! Who does what how often: every kind of traffic is a row, and each row a thread that does one round after the other.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::SockAddr;

use crate::{
    board, chat,
    fleet::{self, Fleet},
    gate::Gate,
    rpc, streams, talk, times, web,
    wire::Step,
};

/// What is done in a round; they are numbered.
type Round<'a> = Box<dyn Fn(u64) -> Step + Send + Sync + 'a>;

pub struct Row<'a> {
    pub server: &'static str,
    pub what: &'static str,
    /// From the beginning of one round to that of the next, if it does not take longer.
    pub every: Duration,
    round: Round<'a>,
}

/// What all rows have done.
#[derive(Default)]
pub struct Book {
    rounds: AtomicU64,
    /// The longest round of every row.
    longest: Mutex<BTreeMap<String, Duration>>,
    /// What went wrong, by kind, with how many times and the first time in words.
    wrong: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Book {
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// The three rows with the longest rounds.
    pub fn longest(&self) -> Vec<(Duration, String)> {
        let longest = self.longest.lock().unwrap();
        let mut rows: Vec<_> = longest
            .iter()
            .map(|(row, &time)| (time, row.clone()))
            .collect();
        rows.sort_unstable();
        rows.into_iter().rev().take(3).collect()
    }

    pub fn wrong(&self, who: &str, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        wrong.entry(who.to_owned()).or_insert((0, what)).0 += 1;
    }

    pub fn all_wrong(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap();
        let line = |(who, (times, first)): (&String, &(u64, String))| {
            format!("{who}: {times} times, the first time: {first}")
        };
        wrong.iter().map(line).collect()
    }
}

impl Row<'_> {
    fn name(&self) -> String {
        format!("{}, {}", self.server, self.what)
    }

    /// Round after round until it is over.
    pub fn run(&self, gate: &Gate, book: &Book) {
        let mut longest = Duration::ZERO;
        for number in 0.. {
            if !gate.pass() {
                book.longest.lock().unwrap().insert(self.name(), longest);
                return;
            }
            let start = Instant::now();
            if let Err(error) = (self.round)(number) {
                book.wrong(&self.name(), error);
            }
            book.rounds.fetch_add(1, Ordering::Relaxed);
            longest = longest.max(start.elapsed());
            gate.wait_until(start + self.every);
        }
    }
}

/// Makes rows of one server.
struct Rows<'a> {
    fleet: &'a Fleet,
    rows: Vec<Row<'a>>,
}

impl<'a> Rows<'a> {
    fn add(
        &mut self,
        server: &'static str,
        every: u64,
        what: &'static str,
        round: impl Fn(&SockAddr, u64) -> Step + Send + Sync + 'a,
    ) {
        let address = self.fleet.address(server);
        self.rows.push(Row {
            server,
            what,
            every: Duration::from_millis(every),
            round: Box::new(move |number| round(&address, number)),
        });
    }

    fn browsers(&mut self, server: &'static str) {
        let files = &self.fleet.files;
        let (small, large) = (&files.small[..], &files.large[..]);
        self.add(server, 200, "20 requests on one connection", |to, _| {
            web::keep_alive(to, "small", small, 20)
        });
        self.add(server, 80, "one request", |to, _| {
            web::short(to, "small", small)
        });
        self.add(server, 400, "64 pipelined requests", |to, _| {
            web::pipelined(to, "small", small, 64)
        });
        self.add(server, 800, "2 MiB", |to, _| web::short(to, "large", large));
        self.add(server, 500, "a slow reader", |to, _| {
            web::slow_reader(to, large)
        });
        self.add(server, 500, "an aborted download", |to, n| {
            web::aborted(to, large, n % 2 == 0)
        });
        self.add(server, 300, "a cut request", |to, n| {
            web::cut_request(to, n % 2 == 0)
        });
        self.add(server, 300, "nothing said", |to, n| {
            web::wordless(to, n % 2 == 0)
        });
    }

    /// What `http_server` has and the smaller ones have not.
    fn all_of_http(&mut self, server: &'static str) {
        let small = &self.fleet.files.small[..];
        self.browsers(server);
        self.add(server, 500, "idle until closed", |to, _| {
            web::idle(to, small)
        });
        self.add(server, 500, "a request that never ends", |to, _| {
            web::slow_request(to)
        });
        self.add(server, 1000, "refused uploads", |to, _| web::uploads(to));
        self.add(server, 500, "answers of all kinds", |to, _| {
            web::variety(to, small)
        });
    }

    fn echoes(&mut self, server: &'static str) {
        self.add(server, 150, "several sizes", streams::echo);
        self.add(
            server,
            300,
            "read after the half-close",
            streams::echo_after_half_close,
        );
        self.add(
            server,
            300,
            "a reset with unread answers",
            streams::echo_reset,
        );
        self.add(server, 1000, "a stalled reader", streams::echo_stalled);
        self.add(server, 300, "nothing said", |to, n| {
            web::wordless(to, n % 2 == 0)
        });
    }

    /// `chat_server` and its operator.
    fn talks(&mut self) {
        let monitor = self.fleet.monitor(fleet::TALK);
        for table in ["a", "b"] {
            self.add(fleet::TALK, 300, "a conversation", move |to, n| {
                talk::session(to, table, n)
            });
        }
        self.add(fleet::TALK, 500, "more lines than are taken", talk::burst);
        self.add(fleet::TALK, 500, "long lines and wrong nicks", talk::clumsy);
        let operator = monitor.clone();
        self.add(fleet::TALK, 400, "the operator", move |to, n| {
            talk::operator(to, &operator, n)
        });
        self.add(fleet::TALK, 1000, "a stranger's answer", move |_, _| {
            talk::stranger(&monitor)
        });
        let monitor = self.fleet.monitor(fleet::TALK_SLOW);
        self.add(fleet::TALK_SLOW, 5000, "a stalled user", move |to, _| {
            talk::stalled(to, &monitor)
        });
    }

    fn requests(&mut self) {
        self.add(fleet::RPC, 200, "set, get, list and unset", rpc::kept);
        self.add(fleet::RPC, 80, "one request", rpc::short);
        self.add(fleet::RPC, 400, "200 pipelined requests", |to, _| {
            rpc::pipelined(to)
        });
        self.add(fleet::RPC, 300, "a cut request", |to, n| {
            rpc::cut(to, n % 2 == 0)
        });
        self.add(fleet::RPC, 300, "a reset with unread answers", |to, _| {
            rpc::unread(to)
        });
        self.add(fleet::RPC, 500, "too long a request", |to, _| {
            rpc::too_long(to)
        });
        self.add(fleet::RPC, 1000, "a stalled reader", |to, _| {
            rpc::stalled(to)
        });
        self.add(fleet::RPC, 300, "nothing said", |to, n| {
            web::wordless(to, n % 2 == 0)
        });
    }

    fn games(&mut self) {
        self.add(fleet::BOARD, 200, "two players and a third", board::game);
        self.add(fleet::BOARD, 300, "300 points in one piece", |to, _| {
            board::burst(to)
        });
        self.add(fleet::BOARD, 300, "a reset with unread scores", |to, n| {
            board::rude(to, n % 2 == 0)
        });
        self.add(fleet::BOARD, 500, "an endless line", |to, _| {
            streams::endless_line(to)
        });
        self.add(fleet::BOARD, 300, "nothing said", |to, n| {
            web::wordless(to, n % 2 == 0)
        });
    }

    fn clock(&mut self, server: &'static str) {
        self.add(server, 60, "the time", |to, _| times::tcp(to));
        self.add(server, 300, "a reset at once", |to, _| times::impatient(to));
    }
}

/// The table. Milliseconds from round to round: with the honest clients at most some 500 connections and 2,500 requests a
/// second.
pub fn rows<'a>(fleet: &'a Fleet, gate: &'a Gate) -> Vec<Row<'a>> {
    let mut rows = Rows {
        fleet,
        rows: Vec::new(),
    };
    let small = &fleet.files.small[..];
    for server in [fleet::HTTP, fleet::HTTP_2, fleet::PROXY, fleet::PROXY_TLS] {
        rows.all_of_http(server);
    }
    rows.browsers(fleet::BENCH_FILES);
    rows.add(fleet::BENCH_HTTP, 200, "50 requests", |to, _| {
        web::hello(to, 50, false)
    });
    rows.add(fleet::BENCH_HTTP, 300, "300 pipelined", |to, _| {
        web::hello(to, 300, true)
    });
    rows.add(fleet::BENCH_HTTP, 300, "a cut request", |to, n| {
        web::cut_request(to, n % 2 == 0)
    });
    rows.add(fleet::RESPONDER, 100, "three requests", web::responder);
    rows.add(fleet::RESPONDER, 500, "idle until closed", |to, _| {
        crate::wire::expect_end(&crate::wire::connect(to)?)
    });
    rows.add(fleet::RESPONDER, 300, "a cut request", |to, n| {
        web::cut_request(to, n % 2 == 0)
    });

    rows.echoes(fleet::ECHO);
    rows.echoes(fleet::BENCH_ECHO);
    rows.add(
        fleet::BENCH_LINES,
        250,
        "60 lines and a half",
        streams::lines,
    );
    rows.add(
        fleet::BENCH_LINES,
        150,
        "line by line",
        streams::line_by_line,
    );
    rows.add(fleet::BENCH_LINES, 500, "an endless line", |to, _| {
        streams::endless_line(to)
    });
    for server in [fleet::BENCH_SINK, fleet::PROXY_SINK] {
        rows.add(server, 800, "8 MiB taken", |to, _| {
            streams::fill_sink(to, 8 << 20)
        });
        rows.add(server, 200, "64 KiB taken", |to, _| {
            streams::fill_sink(to, 64 << 10)
        });
        rows.add(server, 300, "a reset", |to, _| streams::reset_sink(to));
    }
    let block = &*streams::source_block().leak();
    rows.add(fleet::BENCH_SOURCE, 200, "small amounts", move |to, _| {
        streams::take_from_source(to, block, &[0, 1, 1000, 100_000])
    });
    rows.add(fleet::BENCH_SOURCE, 2000, "12 MiB", move |to, _| {
        streams::take_from_source(to, block, &[12 << 20])
    });
    rows.add(
        fleet::BENCH_SOURCE,
        500,
        "left in the middle",
        move |to, _| streams::leave_source(to, block),
    );
    rows.add(fleet::NOTES, 100, "notes", streams::notes);

    for server in [fleet::TIME, fleet::SELECT, fleet::BENCH_TIME] {
        rows.clock(server);
    }
    rows.add(fleet::TIME, 200, "ten datagrams", |to, _| times::udp(to));
    rows.add(fleet::TIME, 1000, "time_client", |to, n| {
        times::time_client(to, (n % 2 == 0).then_some("--udp"))
    });
    rows.add(fleet::HTTP, 1000, "http_client", |to, _| {
        let urls = ["small", "large", "list/", "missing"].map(|path| fleet::url(to, path));
        times::http_client(&urls, small, fleet.files.folder.path())
    });

    for table in ["a", "b", "c"] {
        rows.add(fleet::CHAT, 300, "a conversation", move |to, n| {
            chat::session(to, table, n)
        });
    }
    rows.add(fleet::CHAT, 500, "long lines and wrong names", chat::clumsy);
    rows.add(fleet::CHAT, 5000, "no name for two minutes", |to, _| {
        if gate.stays_open(chat::NAMELESS) {
            chat::nameless(to)
        } else {
            Ok(())
        }
    });
    rows.add(fleet::CHAT_SLOW, 5000, "a stalled member", |to, _| {
        chat::stalled(to)
    });
    rows.talks();
    rows.requests();
    rows.games();
    rows.rows
}
