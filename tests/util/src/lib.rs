//! What the library's tests share: waiting on a condition with a deadline, a dispatcher that writes down its callbacks,
//! a logger whose lines a test can read, peers that are plain sockets, a filter, and counts of memory and descriptors.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

pub mod files;
pub mod heap;
pub mod peer;
pub mod process;
pub mod properties;
pub mod toy;

use std::{
    cell::RefCell,
    fmt,
    io::Write,
    net::SocketAddr,
    panic,
    rc::Rc,
    sync::{Once, mpsc},
    thread,
    time::{Duration, Instant},
};

use asynchat::{
    Address, BoxError, Channel, ChannelId, Closed, Dispatcher, Exceptional, Reactor, Registry,
    Result, Stream,
};

/// Long enough for a loaded machine, and for one that is interpreted; a passing test never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30 * SLOWNESS);
/// How many times as long deadlines are.
pub const SLOWNESS: u64 = if SLOW { 12 } else { 1 };
/// Under wine, where each turn asks a server, and under Miri, an emulator or a sanitizer; `.ci/platforms` and
/// `.ci/sanitizers` say so while they compile.
pub const SLOW: bool = cfg!(any(miri, windows)) || option_env!("ASYNCHAT_TEST_SLOW").is_some();

/// A reactor whose callbacks' panics fail the test. Use `Reactor::new` where a panic is the subject.
pub fn reactor() -> Reactor {
    Reactor::builder().propagate_panics(true).build().unwrap()
}

/// Says that a test does nothing here, past the harness, which keeps what passing tests print to itself.
pub fn skip(why: impl fmt::Display) {
    say(&format!("\n-- skipped: {why}\n"));
}

/// Says that a probe finds this system to lack something, which nothing can be installed for: unlike a skip it is no failure
/// for `--strict` of the scripts in `.ci`.
pub fn lacks(why: impl fmt::Display) {
    say(&format!("\n-- not on this system: {why}\n"));
}

/// In one piece, so that the harness prints nothing in between.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Turns until `done` answers true.
#[track_caller]
pub fn turn_until(reactor: &mut Reactor, mut done: impl FnMut(&mut Reactor) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done(reactor) {
        assert!(
            Instant::now() < end,
            "nothing came of it within {DEADLINE:?}"
        );
        reactor.turn(Some(Duration::from_millis(20))).unwrap();
    }
}

/// Turns until a whole turn passes in which nothing happens: everything in flight on loopback has been handled.
pub fn settle(reactor: &mut Reactor) {
    let end = Instant::now() + DEADLINE;
    // What was asked for from outside shows neither as an event nor as a callback.
    reactor.turn(Some(Duration::ZERO)).unwrap();
    loop {
        let turn = reactor.turn(Some(Duration::from_millis(30))).unwrap();
        if turn.events == 0 && turn.callbacks == 0 {
            return;
        }
        assert!(Instant::now() < end, "the reactor never came to rest");
    }
}

/// `Reactor::run`, which has to return by itself: past the deadline the test fails instead of hanging.
#[track_caller]
pub fn run(reactor: &mut Reactor) {
    let (returned, waiting) = mpsc::channel::<()>();
    let handle = reactor.handle();
    let watchdog = thread::spawn(move || {
        let late = waiting.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            handle.stop();
        }
        late
    });
    let result = reactor.run();
    drop(returned);
    assert!(!watchdog.join().unwrap(), "run goes on after {DEADLINE:?}");
    result.unwrap();
}

/// What happened, in order; shared between the test and its dispatchers.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub fn joined(&self) -> String {
        self.0.borrow().join(" ")
    }

    pub fn count(&self, what: &str) -> usize {
        self.0.borrow().iter().filter(|line| *line == what).count()
    }

    pub fn has(&self, what: &str) -> bool {
        self.count(what) > 0
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Panics whose messages begin so are a test's own: the panic hook keeps quiet about them.
pub const SCRIPTED: &str = "scripted";

/// Keeps quiet about scripted panics, and prints all others as before.
pub fn silence_scripted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.starts_with(SCRIPTED)) {
                print(info);
            }
        }));
    });
}

type Hook = Box<dyn FnMut(&mut Channel<'_>) -> Result>;

pub type LastHook = Box<dyn FnMut(&mut Registry, Closed)>;

/// Writes down every callback as a word (`connect`, `secured`, `read:5`, `eof`, `write`, `close`, `truncated` for the
/// `close` of a stream that was cut, `drain`, `timeout`, `refused`…, `handshake:TEXT`, `reset`, `ended`, `priority`,
/// `error:TEXT`), prefixed with `name` and a dot if that is not empty. Reads everything
/// into `received`. A hook runs after the word is written down and may do anything. `handle_closed` has a hook and no word.
pub struct Recorder {
    pub name: &'static str,
    pub trace: Trace,
    pub received: Rc<RefCell<Vec<u8>>>,
    pub readable: bool,
    pub writable: bool,
    /// Bytes asked for per read; 0: use `recv_with`.
    pub read_size: usize,
    pub on_connect: Option<Hook>,
    pub on_secured: Option<Hook>,
    pub on_read: Option<Hook>,
    pub on_write: Option<Hook>,
    pub on_close: Option<Hook>,
    pub on_drain: Option<Hook>,
    pub on_timeout: Option<Hook>,
    pub on_expt: Option<Hook>,
    pub on_error: Option<Hook>,
    pub on_closed: Option<LastHook>,
}

impl Recorder {
    pub fn new(trace: &Trace) -> Self {
        Self {
            name: "",
            trace: trace.clone(),
            received: Rc::default(),
            readable: true,
            writable: false,
            read_size: 0,
            on_connect: None,
            on_secured: None,
            on_read: None,
            on_write: None,
            on_close: None,
            on_drain: None,
            on_timeout: None,
            on_expt: None,
            on_error: None,
            on_closed: None,
        }
    }

    pub fn named(trace: &Trace, name: &'static str) -> Self {
        Self {
            name,
            ..Self::new(trace)
        }
    }

    fn note(&self, what: impl AsRef<str>) {
        let what = what.as_ref();
        self.trace.add(if self.name.is_empty() {
            what.to_string()
        } else {
            format!("{}.{what}", self.name)
        });
    }
}

fn call(hook: &mut Option<Hook>, channel: &mut Channel<'_>) -> Result {
    hook.as_mut().map_or(Ok(()), |hook| hook(channel))
}

impl Dispatcher for Recorder {
    fn readable(&self) -> bool {
        self.readable
    }

    fn writable(&self) -> bool {
        self.writable
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("connect");
        call(&mut self.on_connect, channel)
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("secured");
        call(&mut self.on_secured, channel)
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let received = self.received.clone();
        let read = if self.read_size == 0 {
            channel.recv_with(|_, data| {
                received.borrow_mut().extend_from_slice(data);
                data.len()
            })
        } else {
            let mut buf = vec![0; self.read_size];
            channel
                .recv(&mut buf)
                .inspect(|&n| received.borrow_mut().extend_from_slice(&buf[..n]))
        };
        match &read {
            Ok(0) => self.note("eof"),
            Ok(n) => self.note(format!("read:{n}")),
            Err(error) => self.note(format!("read!{:?}", error.kind())),
        }
        call(&mut self.on_read, channel)
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("write");
        call(&mut self.on_write, channel)
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("drain");
        call(&mut self.on_drain, channel)
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.note("timeout");
        if self.on_timeout.is_none() {
            channel.close();
        }
        call(&mut self.on_timeout, channel)
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(error) => self.note(format!("failed:{:?}", error.kind())),
            Exceptional::HandshakeFailed(error) => self.note(format!("handshake:{error}")),
            Exceptional::Reset => self.note("reset"),
            Exceptional::ReadClosed => self.note("ended"),
            Exceptional::Priority => self.note("priority"),
            _ => self.note("expt"),
        }
        call(&mut self.on_expt, channel)
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        let cut = channel.is_truncated();
        self.note(if cut { "truncated" } else { "close" });
        if self.on_close.is_none() {
            channel.close_when_done();
        }
        call(&mut self.on_close, channel)
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        self.note(format!("error:{error}"));
        match &mut self.on_error {
            Some(hook) => {
                let _ = hook(channel);
            }
            None => channel.close(),
        }
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        if let Some(hook) = &mut self.on_closed {
            hook(registry, why);
        }
    }
}

/// A listener that makes an object for each accepted stream.
pub struct Acceptor<F>(pub F);

impl<D: Dispatcher, F: FnMut(&Address) -> D + 'static> Dispatcher for Acceptor<F> {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let object = (self.0)(&peer);
        channel.registry().register(stream, object)?;
        Ok(())
    }
}

/// Listens on a free loopback port with an [`Acceptor`].
pub fn serve<D: Dispatcher>(
    registry: &mut Registry,
    make: impl FnMut(&Address) -> D + 'static,
) -> (ChannelId, SocketAddr) {
    let id = registry
        .listen(([127, 0, 0, 1], 0), Acceptor(make))
        .unwrap();
    let address = address_of(registry, id);
    (id, address)
}

/// Where a TCP or UDP socket listens or is bound.
pub fn address_of(registry: &mut Registry, id: ChannelId) -> SocketAddr {
    let address = registry.channel(id).unwrap().local_addr().unwrap();
    address.inet().unwrap()
}

thread_local! {
    /// `None` on a thread that has started no [`Log`].
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Keeps the lines of each thread apart: tests run side by side, each on its own. A test without a `Log` is told that
/// nothing is logged, so that its measurements do not depend on those beside it.
struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        LINES.with_borrow_mut(|lines| lines.get_or_insert_default().push(line));
    }

    fn flush(&self) {}
}

/// Log lines of the calling thread.
pub struct Log {
    /// What earlier tests on this thread left.
    before: usize,
}

impl Log {
    /// From here on.
    pub fn start() -> Self {
        static INIT: Once = Once::new();
        INIT.call_once(|| {
            log::set_logger(&Capture).unwrap();
            log::set_max_level(log::LevelFilter::Trace);
        });
        let before = LINES.with_borrow_mut(|lines| lines.get_or_insert_default().len());
        Self { before }
    }

    /// Those that contain `needle`, of every level and target.
    pub fn lines(&self, needle: &str) -> Vec<String> {
        LINES.with_borrow(|lines| {
            let lines = lines.iter().flatten().skip(self.before);
            lines
                .filter(|line| line.contains(needle))
                .cloned()
                .collect()
        })
    }
}
