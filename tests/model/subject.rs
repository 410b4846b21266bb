//! Runs a program against the real reactor: objects that follow the rules, and the operations themselves.

use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use asynchat::{
    Address, BoxError, Cause, Channel, ChannelId, Closed, Dispatcher, Exceptional, OutgoingFull,
    Produced, Producer, Reactor, Registry, Result, Socket, State, Stream, Unsent, VisitError,
};
use util::{
    SCRIPTED,
    peer::{narrow_pair, refusing},
    toy::Toy,
};

use crate::{
    expectation::{Direction, Link, Model, Told, View, bytes, install, model, take},
    peer::Peer,
    program::{
        Act, AtEnd, Delay, Ending, Kind, On, Outcome, Piece, Plan, PlanEnd, Program, Reads, Spec,
        Step, What,
    },
};

/// More sockets than this are not opened by one program.
const MOST_LINKS: usize = 10;

/// What all cases of a thread share, so that it does not count as leaked by one of them.
pub struct Fixture {
    listener: TcpListener,
    refusing: SocketAddr,
    _bound: socket2::Socket,
}

impl Fixture {
    fn new() -> Self {
        let (bound, refusing) = refusing();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            refusing,
            _bound: bound,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

thread_local! {
    static FIXTURE: Fixture = Fixture::new();
}

// ---- running

/// Runs one program: what went wrong, if anything did, and which callbacks ran.
pub fn run(program: &Program, patience: Duration) -> (Vec<String>, BTreeSet<On>) {
    FIXTURE.with(|_| ());
    let before = descriptors();
    install(Model::new(program.setup.clone(), program.rules.clone()));
    {
        let mut case = Case::new(program, patience);
        case.run(program);
        let handle = case.reactor.handle();
        model(|m| m.dropping = true);
        drop(case);
        if handle.call_soon(|_| Ok(())).is_ok() {
            model(|m| m.fault("call_soon works although the reactor is gone"));
        }
    }
    model(Model::check_end);
    let Model {
        mut faults,
        reached,
        ..
    } = take();
    let after = descriptors();
    if faults.is_empty() && before != after {
        faults.push(format!(
            "{before:?} descriptors before and {after:?} after the case"
        ));
    }
    (faults, reached)
}

#[cfg(target_os = "linux")]
fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> Option<usize> {
    None
}

struct Case {
    reactor: Reactor,
    patience: Duration,
}

impl Case {
    fn new(program: &Program, patience: Duration) -> Self {
        let setup = &program.setup;
        let reactor = Reactor::builder()
            .read_buffer(setup.read_buffer)
            .write_budget(setup.write_budget)
            .watermarks(setup.low, setup.high)
            .max_outgoing(setup.max_outgoing)
            .max_channels(setup.max_channels)
            .linger(Duration::from_secs(60), 1 << 30)
            .on_error(|_, _, error| model(|m| m.hooked(&error.to_string())))
            .build()
            .unwrap();
        Self { reactor, patience }
    }

    fn run(&mut self, program: &Program) {
        for spec in &program.links {
            open(&mut self.reactor, spec);
        }
        for step in &program.steps {
            match step {
                Step::Turn => self.turn(Duration::ZERO),
                Step::Settle => self.settle(),
                Step::Do(act) => elsewhere(&mut self.reactor, act),
            }
            if failed() {
                return;
            }
        }
        if program.ending == Ending::Drop {
            return;
        }
        self.settle();
        if !failed() {
            self.finish();
        }
    }

    fn turn(&mut self, wait: Duration) {
        model(Model::begin_turn);
        let callbacks = model(|m| m.callbacks);
        let turn = self.reactor.turn(Some(wait)).unwrap();
        let seen = model(|m| m.callbacks) - callbacks;
        let reactor = &mut self.reactor;
        let channels = reactor.channels().count();
        if channels != reactor.stats().channels {
            model(|m| m.fault("channels() and stats() disagree"));
        }
        if turn.callbacks < seen {
            model(|m| m.fault(format!("{seen} callbacks ran, the turn counts {turn:?}")));
        }
        let ids: Vec<_> = reactor.channels().map(|info| info.id).collect();
        model(|m| {
            for id in ids {
                if !m.links.iter().any(|link| link.id == Some(id)) {
                    m.fault(format!("channel {id} is nobody's"));
                }
            }
            m.second_tries();
            m.end_turn(|id| {
                reactor
                    .channel(id)
                    .map(|mut channel| View::of(&mut channel))
            });
        });
    }

    /// Turns until all that has to come has come. Nothing is touched meanwhile: whatever was forgotten stays so.
    fn settle(&mut self) {
        let end = Instant::now() + self.patience;
        let mut rests = 0;
        let mut slow = 0;
        loop {
            model(Model::everybody_reads);
            self.touch_parked();
            // Only the clock, or another processor's network stack, can be waited for.
            let wait = model(|m| m.waits_for_time()) || slow > 50;
            self.turn(Duration::from_millis(u64::from(wait)));
            if failed() {
                return;
            }
            let reactor = &mut self.reactor;
            let look = |id: ChannelId| {
                reactor
                    .channel(id)
                    .map(|mut channel| View::of(&mut channel))
            };
            let owed = model(|m| m.owed(look));
            if owed.is_empty() {
                rests += 1;
                // Once more, for what should not come at all.
                if rests == 3 {
                    return;
                }
                continue;
            }
            slow += 1;
            if Instant::now() > end {
                for text in owed {
                    model(|m| m.fault(format!("never came: {text}")));
                }
                return;
            }
        }
    }

    /// At the end producers that say `Pending` are asked until they are done.
    fn touch_parked(&mut self) {
        for link in model(|m| m.parked_at_the_end()) {
            let what = What::Touch;
            elsewhere(&mut self.reactor, &Act { link, what });
        }
    }

    /// Closes everything gracefully and looks that nothing is left.
    fn finish(&mut self) {
        model(|m| m.finishing = true);
        let links = model(|m| m.links.len());
        for timer in 0..model(|m| m.timers.len()) {
            cancel(&mut self.reactor, timer);
        }
        for link in 0..links {
            for what in [
                What::Idle(false),
                What::Wish(true, false),
                What::CloseWhenDone,
            ] {
                elsewhere(&mut self.reactor, &Act { link, what });
            }
            model(|m| m.peer_shuts(link));
        }
        self.settle();
        if failed() {
            return;
        }
        let stats = self.reactor.stats();
        if stats.channels > 0 || stats.timers > 0 || !self.reactor.is_idle() {
            model(|m| m.fault(format!("left over at the end: {stats:?}")));
        }
    }
}

fn failed() -> bool {
    model(|m| !m.faults.is_empty())
}

// ---- opening

/// A new object of a link.
fn make(link: usize) -> Object {
    let object = model(|m| m.made(link));
    Object { link, object }
}

fn is_deaf(link: usize) -> bool {
    model(|m| m.links[link].is_deaf())
}

/// Registers a new socket, with its filter if it is to have one.
fn register(registry: &mut Registry, link: usize, socket: Socket) -> ChannelId {
    let id = register_again(registry, link, socket);
    upgrade(registry, link, id);
    id
}

fn upgrade(registry: &mut Registry, link: usize, id: ChannelId) {
    if let Some(trips) = model(|m| m.links[link].spec.filter) {
        let toy = Toy::server().round_trips(trips);
        registry.channel(id).unwrap().upgrade(toy).unwrap();
    }
}

fn register_again(registry: &mut Registry, link: usize, socket: Socket) -> ChannelId {
    let object = make(link);
    if is_deaf(link) {
        registry.register(socket, Deaf(object)).unwrap()
    } else {
        registry.register(socket, object).unwrap()
    }
}

fn add_link(spec: &Spec, peer: Option<Peer>) -> usize {
    model(|m| {
        let mut link = Link::new(spec.clone(), peer, m.turns);
        link.whole &= !m.doomed;
        m.links.push(link);
        m.links.len() - 1
    })
}

fn open(registry: &mut Registry, spec: &Spec) {
    if model(|m| m.links.len() >= MOST_LINKS || m.finishing) {
        return;
    }
    let link;
    let id = match spec.kind {
        Kind::Narrow => {
            let (ours, theirs) = narrow_pair();
            let peer = Peer::new(theirs, cfg!(not(unix))).behind(spec.filter);
            link = add_link(spec, Some(peer));
            register(registry, link, ours.into())
        }
        Kind::Tcp | Kind::Accepted => {
            let (ours, theirs) = FIXTURE.with(|fixture| {
                let theirs = TcpStream::connect(fixture.address()).unwrap();
                (fixture.listener.accept().unwrap().0, theirs)
            });
            link = add_link(spec, Some(Peer::new(theirs, true).behind(spec.filter)));
            register(registry, link, ours.into())
        }
        Kind::Connecting => {
            link = add_link(spec, None);
            let address = FIXTURE.with(Fixture::address);
            let id = connect(registry, link, &[address]);
            let theirs = FIXTURE.with(|fixture| fixture.listener.accept().unwrap().0);
            let peer = Peer::new(theirs, true).behind(spec.filter);
            model(|m| m.links[link].peer = Some(peer));
            id
        }
        Kind::SecondTry => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            let refusing = FIXTURE.with(|fixture| fixture.refusing);
            let addresses = [refusing, listener.local_addr().unwrap()];
            link = add_link(spec, None);
            model(|m| m.links[link].waiting = Some(listener));
            connect(registry, link, &addresses)
        }
        #[cfg(unix)]
        Kind::Fd => {
            let (ours, theirs) = narrow_pair();
            link = add_link(spec, Some(Peer::new(theirs, false)));
            register(registry, link, std::os::fd::OwnedFd::from(ours).into())
        }
        // What Windows has in place of a descriptor is a socket of a known kind.
        #[cfg(not(unix))]
        Kind::Fd => unreachable!("no program has one here"),
        Kind::Refused => {
            link = add_link(spec, None);
            let address = FIXTURE.with(|fixture| fixture.refusing);
            connect(registry, link, &[address])
        }
        Kind::Listener => {
            link = add_link(spec, None);
            let any: SocketAddr = ([127, 0, 0, 1], 0).into();
            // A listener's object has to take what it accepts.
            model(|m| m.links[link].spec.reads = Reads::Lent);
            registry.listen(any, make(link)).unwrap()
        }
    };
    model(|m| m.links[link].id = Some(id));
}

fn connect(registry: &mut Registry, link: usize, addresses: &[SocketAddr]) -> ChannelId {
    let object = make(link);
    let id = if is_deaf(link) {
        registry.connect_any(addresses, Deaf(object)).unwrap()
    } else {
        registry.connect_any(addresses, object).unwrap()
    };
    upgrade(registry, link, id);
    id
}

fn dial(registry: &mut Registry, link: usize) {
    let Some(id) = model(|m| {
        let room = m.links.len() + m.dialled.len() < MOST_LINKS && !m.finishing;
        let l = m.links.get(link).filter(|_| room)?;
        l.id.filter(|_| l.is_listener() && !l.closed)
    }) else {
        return;
    };
    let Some(channel) = registry.channel(id) else {
        return model(|m| {
            if !m.doomed {
                m.fault(format!("#{link}: the listener is gone"));
            }
        });
    };
    let address = channel.local_addr().unwrap().inet().unwrap();
    let theirs = TcpStream::connect(address).unwrap();
    let port = theirs.local_addr().unwrap().port();
    model(|m| {
        let peer = Peer::new(theirs, true).behind(m.links[link].spec.filter);
        m.dialled.push((link, port, peer));
    });
}

// ---- operations

/// An operation from outside, from a timer, or on another channel.
fn elsewhere(registry: &mut Registry, act: &Act) {
    let link = act.link;
    match &act.what {
        What::PeerSends(n) => model(|m| m.peer_sends(link, *n)),
        What::PeerReads(n) => model(|m| {
            m.peer_reads(link, *n);
        }),
        What::PeerSendsLast(n) => model(|m| {
            m.peer_sends(link, *n);
            m.peer_shuts(link);
        }),
        What::PeerShuts => model(|m| m.peer_shuts(link)),
        What::PeerCloses => model(|m| m.peer_closes(link, false)),
        What::PeerResets => model(|m| m.peer_closes(link, true)),
        What::Open(spec) => open(registry, spec),
        What::Dial => dial(registry, link),
        What::Later(delay, act, outcome) => call_later(registry, *delay, act, *outcome),
        What::Every(act) => call_every(registry, act),
        What::Cancel(number) => cancel(registry, *number),
        What::Post(act, outcome) => post(registry, act, *outcome),
        What::CloseAll => {
            registry.close_all();
            model(Model::close_all);
            if registry.stats().channels > 0 {
                model(|m| m.fault("close_all left a channel"));
            }
        }
        What::Shutdown(grace) => shutdown(registry, *grace),
        What::With(what) => with(registry, link, what, false),
        What::WithPanic(what) => {
            let panicked = catch_unwind(AssertUnwindSafe(|| with(registry, link, what, true)));
            drop(panicked);
        }
        what => {
            let Some(id) = model(|m| m.links.get(link)?.id) else {
                return;
            };
            match registry.channel(id) {
                Some(mut channel) => on_channel(&mut channel, link, what, false),
                None => model(|m| {
                    if !m.may_be_gone(link) {
                        m.fault(format!("#{link}: not found by its id"));
                    }
                }),
            }
        }
    }
}

/// An operation out of a callback.
fn from_callback(channel: &mut Channel<'_>, own: usize, act: &Act) {
    // After `detach` and `register` the name means another channel.
    let foreign = act.link != own
        || model(|m| m.links[own].id != Some(channel.id()))
        || matches!(
            act.what,
            What::PeerSends(_)
                | What::PeerReads(_)
                | What::PeerShuts
                | What::PeerSendsLast(_)
                | What::PeerCloses
                | What::PeerResets
                | What::Open(_)
                | What::Dial
                | What::Later(..)
                | What::Every(_)
                | What::Cancel(_)
                | What::Post(..)
                | What::CloseAll
                | What::Shutdown(_)
                | What::With(_)
                | What::WithPanic(_)
        );
    if foreign {
        elsewhere(channel.registry(), act);
    } else {
        on_channel(channel, own, &act.what, true);
    }
}

/// Marks a closure, so that its end is seen.
enum Alive {
    Timer(usize),
    Job(usize),
    /// Of a link.
    Part(usize, usize),
}

impl Drop for Alive {
    fn drop(&mut self) {
        model(|m| match *self {
            Self::Timer(number) => m.timers[number].live = false,
            Self::Job(number) => m.jobs[number].live = false,
            Self::Part(link, number) => m.links[link].parts[number].live = false,
        });
    }
}

fn duration(delay: Delay) -> Duration {
    match delay {
        Delay::Zero => Duration::ZERO,
        Delay::Soon => Duration::from_millis(1),
        Delay::Far => Duration::from_secs(3600),
    }
}

fn shutdown(registry: &mut Registry, grace: Delay) {
    if model(|m| m.finishing) {
        return;
    }
    registry.shutdown(duration(grace));
    let ids = model(|m| m.links.iter().map(|link| link.id).collect::<Vec<_>>());
    let gone: BTreeSet<usize> = (0..ids.len())
        .filter(|&number| ids[number].is_some_and(|id| registry.channel(id).is_none()))
        .collect();
    model(|m| {
        m.doomed |= grace != Delay::Far;
        let doomed = m.doomed;
        for number in 0..m.links.len() {
            let link = &m.links[number];
            if link.id.is_none() || link.closed {
                continue;
            }
            if link.is_listener() || !link.greeted || link.shaking {
                m.note_late(number);
            }
            let link = &mut m.links[number];
            let attempt = link.is_attempt() && !link.greeted;
            let shaking = link.spec.filter.is_some() && (!link.greeted || link.shaking);
            // A handshake for which nothing waits is ended at once.
            let at_once = if shaking {
                gone.contains(&number)
            } else {
                attempt
            };
            if link.is_listener() || at_once {
                link.close_for(Cause::Shutdown);
            } else {
                link.begin(Cause::Shutdown);
                link.whole &= !doomed;
            }
        }
    });
}

/// How the closure of a timer or a posted call ends.
fn end_closure(name: &str, outcome: Outcome) -> Result {
    let text = format!("{SCRIPTED} {outcome:?} of {name}");
    let told = match outcome {
        Outcome::Err => Some(text.clone()),
        Outcome::Panic => Some(format!("panicked: {text}")),
        _ => None,
    };
    model(|m| m.leave_closure(told));
    match outcome {
        Outcome::Err => Err(text.into()),
        Outcome::Panic => panic!("{text}"),
        _ => Ok(()),
    }
}

fn call_later(registry: &mut Registry, delay: Delay, act: &Act, outcome: Outcome) {
    if model(|m| m.finishing || m.timers.len() > 20) {
        return;
    }
    let number = model(|m| m.armed(delay, false));
    let alive = Alive::Timer(number);
    let act = act.clone();
    let id = registry.call_later(duration(delay), move |registry| {
        let _alive = alive;
        model(|m| m.enter_timer(number));
        elsewhere(registry, &act);
        end_closure(&format!("timer {number}"), outcome)
    });
    model(|m| m.timers[number].id = Some(id));
}

fn call_every(registry: &mut Registry, act: &Act) {
    if model(|m| m.finishing || m.timers.len() > 20) {
        return;
    }
    let number = model(|m| m.armed(Delay::Soon, true));
    let alive = Alive::Timer(number);
    let act = act.clone();
    let mut runs = 0;
    let id = registry.call_every(Duration::from_millis(1), move |registry| {
        let _alive = &alive;
        runs += 1;
        model(|m| m.enter_timer(number));
        // Or a slow machine would do nothing else.
        if runs <= 3 {
            elsewhere(registry, &act);
        }
        end_closure("a periodic timer", Outcome::Fine)
    });
    model(|m| m.timers[number].id = Some(id));
}

/// A timer of the channel's own, as its object arms it.
fn own_timer(channel: &mut Channel<'_>, link: usize, delay: Delay, every: bool) {
    if model(|m| m.finishing || m.timers.len() > 20) {
        return;
    }
    let number = model(|m| m.armed_by(link, delay, every));
    let alive = Alive::Timer(number);
    let mut runs = 0;
    let mut f = move |object: &mut Object, channel: &mut Channel<'_>| {
        let _alive = &alive;
        model(|m| m.enter_own_timer(number));
        runs += 1;
        if runs > 3 {
            return Ok(());
        }
        object.callback(channel, On::Timer, |_, _| Ok(()))
    };
    let delay = duration(delay);
    let id = match (is_deaf(link), every) {
        (true, true) => channel.call_every(delay, move |deaf: &mut Deaf, channel| {
            f(&mut deaf.0, channel)
        }),
        (true, false) => channel.call_later(delay, move |deaf: &mut Deaf, channel| {
            f(&mut deaf.0, channel)
        }),
        (false, true) => channel.call_every(delay, f),
        (false, false) => channel.call_later(delay, f),
    };
    model(|m| m.timers[number].id = Some(id));
}

fn cancel(registry: &mut Registry, number: usize) {
    let Some((id, expected)) = model(|m| {
        let timer = m.timers.get(number)?;
        Some((timer.id?, m.is_pending(number)))
    }) else {
        return;
    };
    let cancelled = registry.cancel(id);
    model(|m| {
        m.timers[number].cancelled |= cancelled;
        if expected.is_some_and(|expected| cancelled != expected) {
            m.fault(format!("cancel of timer {number} says {cancelled}"));
        }
    });
}

fn post(registry: &mut Registry, act: &Act, outcome: Outcome) {
    if model(|m| m.finishing || m.jobs.len() > 20) {
        return;
    }
    let number = model(Model::posted);
    let alive = Alive::Job(number);
    let act = act.clone();
    let posted = registry.handle().call_soon(move |registry| {
        let _alive = alive;
        model(|m| m.enter_job(number));
        elsewhere(registry, &act);
        end_closure(&format!("call {number}"), outcome)
    });
    assert!(posted.is_ok(), "the reactor lives");
}

fn with(registry: &mut Registry, link: usize, what: &What, panics: bool) {
    let Some(id) = model(|m| m.links.get(link)?.id) else {
        return;
    };
    let visit = |object: &mut Object, channel: &mut Channel<'_>| {
        let current = model(|m| {
            m.out.push(link);
            m.links[link].object
        });
        if object.link != link || object.object != current {
            model(|m| {
                m.fault(format!(
                    "#{link}: with lends object {} and not {current}",
                    object.object
                ));
            });
        }
        on_channel(channel, link, what, true);
        model(|m| m.out.pop());
        assert!(!panics, "{SCRIPTED} panic inside with");
    };
    let outcome = if is_deaf(link) {
        if registry.with(id, |_: &mut Object, _| ()).is_ok() {
            model(|m| m.fault(format!("#{link}: with lends an object of another type")));
        }
        registry.with(id, |Deaf(object): &mut Deaf, channel| {
            visit(object, channel);
        })
    } else {
        registry.with(id, visit)
    };
    model(|m| {
        let fine = match outcome {
            Ok(()) => true,
            Err(VisitError::Closed(_)) => m.may_be_gone(link),
            Err(VisitError::Busy(_)) => m.out.contains(&link),
            Err(_) => false,
        };
        if !fine {
            m.fault(format!("#{link}: with answers {outcome:?}"));
        }
    });
}

/// An operation on a channel. `asked` says that the reactor will ask both predicates anyway, since it runs the
/// object's callback or lends it.
fn on_channel(channel: &mut Channel<'_>, link: usize, what: &What, asked: bool) {
    let view = View::of(channel);
    let (listener, closed, closing, deaf, greeted) = model(|m| {
        let l = &m.links[link];
        (l.is_listener(), l.closed, l.closing, l.is_deaf(), l.greeted)
    });
    let for_listeners = matches!(
        what,
        What::Close
            | What::CloseWhenDone
            | What::Touch
            | What::Wish(..)
            | What::Replace
            | What::OwnLater(_)
            | What::OwnEvery
            | What::Pause(_)
            | What::Resume
    );
    if listener && !for_listeners {
        return;
    }
    if closed != (view.state == State::Closed) {
        model(|m| m.fault(format!("#{link}: {:?}, closed: {closed}", view.state)));
    }
    match what {
        What::Push(n) | What::Write(n) => {
            let from = model(|m| m.links[link].expected);
            let taken = model(|m| m.takes(link, *n, 0, view));
            let data = bytes(link, Direction::Out, from, *n);
            if matches!(what, What::Push(_)) {
                channel.push(data);
            } else {
                let written = io::Write::write(channel, &data).unwrap();
                assert_eq!(written, *n);
            }
            let grown = channel.outgoing_len() - view.outgoing;
            if grown != if taken { *n } else { 0 } {
                model(|m| {
                    m.fault(format!(
                        "#{link}: {what} added {grown} bytes to the queue, taken: {taken}"
                    ));
                });
            }
        }
        What::PushThen(n, act) => push_then(channel, link, *n, act, view),
        What::Producer(plan) => push_producer(channel, link, plan, view),
        What::Send(n) => send(channel, link, *n, view),
        What::Recv(n) if !closing && !deaf => {
            if let Err(error) = recv(channel, link, *n) {
                check_error(link, "recv", &error);
            }
        }
        What::Unread(n) => {
            let n = model(|m| m.links[link].delivered.min(*n));
            let shaking = model(|m| m.links[link].shaking);
            if n == 0 || closed || closing || deaf || !greeted || shaking || view.reset {
                return;
            }
            let from = model(|m| {
                let l = &mut m.links[link];
                l.delivered -= n;
                l.unread += n;
                l.delivered
            });
            channel.unread(bytes(link, Direction::In, from, n));
        }
        What::Touch => {
            channel.touch();
            model(|m| m.links[link].parked = false);
        }
        What::Wish(readable, writable) => {
            model(|m| {
                let l = &mut m.links[link];
                l.wish = (*readable, *writable);
                l.exact &= *readable;
            });
            if !asked {
                channel.touch();
                model(|m| m.links[link].parked = false);
            }
        }
        What::Pause(time) => {
            channel.pause_reading(duration(*time));
            model(|m| m.paused(link, *time));
            check_pause(channel, link);
        }
        What::Resume => {
            channel.resume_reading();
            model(|m| m.links[link].pause = None);
            check_pause(channel, link);
        }
        What::Close => {
            channel.close();
            model(|m| m.close(link, view));
            if channel.state() != State::Closed || channel.registry().channel(view.id).is_some() {
                model(|m| m.fault(format!("#{link}: found after close")));
            }
        }
        What::CloseWhenDone => {
            channel.close_when_done();
            model(|m| {
                let cause = m.wish(link, view, Cause::Done);
                if m.links[link].is_listener() {
                    m.note_late(link);
                    m.links[link].close_for(cause);
                } else if !m.links[link].closed {
                    m.links[link].begin(cause);
                }
            });
        }
        What::ShutdownWrite => {
            channel.shutdown_write();
            model(|m| {
                let l = &mut m.links[link];
                // A bare descriptor has no such half.
                l.shut |= !l.closed && l.spec.kind != Kind::Fd;
            });
        }
        What::Upgrade(trips) if model(|m| m.may_upgrade(link, view)) => {
            let upgraded = channel.upgrade(Toy::server().round_trips(*trips));
            model(|m| match upgraded {
                Ok(()) => m.upgraded(link, *trips),
                Err(error) => m.fault(format!("#{link}: upgrade answers {error}")),
            });
        }
        What::Idle(on) => {
            channel.set_idle_timeout(on.then_some(Duration::from_millis(1)));
            model(|m| {
                let l = &mut m.links[link];
                l.idle = *on;
                l.idled |= *on;
            });
        }
        What::OwnLater(delay) => own_timer(channel, link, *delay, false),
        What::OwnEvery => own_timer(channel, link, Delay::Soon, true),
        What::Replace => replace(channel, link, view),
        What::Detach(again) => detach(channel, link, *again, view),
        _ => {}
    }
}

fn check_pause(channel: &Channel<'_>, link: usize) {
    let paused = channel.is_reading_paused();
    model(|m| {
        let l = &m.links[link];
        if paused != (l.pause.is_some() && !l.closed && !l.closing) {
            m.fault(format!("#{link}: is_reading_paused is {paused}"));
        }
    });
}

/// An error out of `recv` or `send`: what the state of things allows.
fn check_error(link: usize, call: &str, error: &io::Error) {
    use io::ErrorKind as K;
    model(|m| {
        let l = &m.links[link];
        let fine = match error.kind() {
            K::WouldBlock => true,
            K::NotConnected => l.closed || l.may_be_reset(),
            K::InvalidInput => call == "send" && (l.closing || l.shut),
            _ => l.may_be_reset(),
        };
        if !fine {
            m.fault(format!("#{link}: {call} answers {error:?}"));
        }
    });
}

fn recv(channel: &mut Channel<'_>, link: usize, n: usize) -> io::Result<usize> {
    let mut buf = vec![0; n];
    let n = channel.recv(&mut buf)?;
    took(link, &buf[..n]);
    Ok(n)
}

fn took(link: usize, data: &[u8]) {
    model(|m| {
        if data.is_empty() {
            m.read_eof(link);
        } else {
            m.read(link, data);
        }
    });
}

fn send(channel: &mut Channel<'_>, link: usize, n: usize, view: View) {
    let (from, producers) = model(|m| (m.links[link].expected, m.links[link].producers));
    match channel.send(&bytes(link, Direction::Out, from, n)) {
        Ok(n) => model(|m| {
            m.links[link].expected += n;
            if view.outgoing > 0 || producers > 0 {
                m.fault(format!("#{link}: send overtakes the queue"));
            }
        }),
        Err(error) => check_error(link, "send", &error),
    }
}

fn replace(channel: &mut Channel<'_>, link: usize, view: View) {
    let number = model(|m| m.links[link].objects);
    let object = make(link);
    model(|m| m.links[link].moves = true);
    if is_deaf(link) {
        channel.replace(Deaf(object));
    } else {
        channel.replace(object);
    }
    model(|m| {
        m.links[link].moves = false;
        if m.is_live(link, number) {
            m.links[link].object = number;
            m.links[link].pause = None;
            m.links[link].heard_of_end = false;
        } else if view.state != State::Closed && view.state != State::Closing {
            m.fault(format!("#{link}: replace dropped the new object"));
        }
    });
}

fn detach(channel: &mut Channel<'_>, link: usize, again: bool, view: View) {
    let written = bytes_out(channel);
    let filtered = model(|m| m.links[link].spec.filter.is_some());
    if filtered {
        // Nobody but a channel can go on with such a socket.
        let goes_on = model(|m| {
            let l = &m.links[link];
            !l.may_be_reset() && !l.closing && !l.shut && !l.shaking && !m.finishing
        });
        let fits = view.outgoing <= model(|m| m.setup.max_outgoing);
        if !goes_on || view.reset || !fits {
            return;
        }
    }
    let again = again || filtered;
    model(|m| m.links[link].moves = true);
    let detached = channel.detach();
    model(|m| m.links[link].moves = false);
    let gone = matches!(view.state, State::Closed | State::Connecting);
    if detached.is_some() == gone {
        return model(|m| {
            m.fault(format!(
                "#{link}: detach of a channel that is {:?}",
                view.state
            ));
        });
    }
    let Some(detached) = detached else { return };
    if channel.registry().channel(view.id).is_some() {
        model(|m| m.fault(format!("#{link}: found after detach")));
    }
    let left = model(|m| {
        let l = &mut m.links[link];
        let left = l.base_out + written;
        l.take_out(left);
        left
    });
    let (sound, whole_input, finishing) = model(|m| {
        let l = &m.links[link];
        let sound = !l.may_be_reset() && !view.reset;
        (sound, sound && !l.closing, m.finishing)
    });
    let (delivered, unread) = model(|m| (m.links[link].delivered, m.links[link].unread));
    // The rest of a record that was too large for one read is there too.
    let known = if filtered {
        unread.max(detached.unread.len())
    } else {
        unread
    };
    if whole_input && detached.unread != bytes(link, Direction::In, delivered, known) {
        let got = detached.unread.len();
        model(|m| {
            m.fault(format!(
                "#{link}: detach gives back {got} of {unread} unread bytes"
            ));
        });
    }
    let queued: usize = detached
        .unsent
        .iter()
        .map(|piece| match piece {
            Unsent::Bytes(bytes) => bytes.len(),
            _ => 0,
        })
        .sum();
    let (shut, max) = model(|m| (m.links[link].shut, m.setup.max_outgoing));
    if again && whole_input && !shut && !finishing && queued <= max {
        let registry = channel.registry();
        let number = model(|m| m.links[link].objects);
        let id = register_again(registry, link, detached.socket);
        model(|m| {
            let turns = m.turns;
            m.links[link].start_again(id, turns, left);
            m.links[link].object = number;
        });
        let Some(mut channel) = registry.channel(id) else {
            return model(|m| m.fault(format!("#{link}: not found after register")));
        };
        channel.unread(detached.unread);
        for piece in detached.unsent {
            let view = View::of(&mut channel);
            match piece {
                Unsent::Bytes(bytes) => {
                    // They were counted when they were pushed first.
                    model(|m| {
                        m.takes(link, bytes.len(), 0, view);
                        m.links[link].expected -= bytes.len();
                    });
                    channel.push(bytes);
                }
                Unsent::Producer(producer) => {
                    model(|m| {
                        m.takes(link, 0, 1, view);
                        m.links[link].handed_out -= 1;
                    });
                    channel.push_with_producer(producer);
                }
                Unsent::File(_) => unreachable!("no file is pushed"),
                _ => {}
            }
        }
        return;
    }
    let mut at = left;
    let mut right = true;
    for piece in detached.unsent {
        match piece {
            Unsent::Bytes(data) => {
                right &= data == bytes(link, Direction::Out, at, data.len());
                at += data.len();
            }
            Unsent::Producer(mut producer) => {
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    loop {
                        match producer.more() {
                            Ok(Produced::Data(data)) => {
                                right &= data == bytes(link, Direction::Out, at, data.len());
                                at += data.len();
                            }
                            Ok(Produced::Pending) => model(|m| m.links[link].parked = false),
                            _ => break,
                        }
                    }
                }));
                drop(panicked);
            }
            Unsent::File(_) => unreachable!("no file is pushed"),
            _ => {}
        }
    }
    let expected = model(|m| m.links[link].expected);
    if sound && (at != expected || !right) {
        model(|m| {
            m.fault(format!(
                "#{link}: detach gives back bytes {left} to {at} of {expected}, the right ones: {right}"
            ));
        });
    }
    model(|m| {
        let l = &mut m.links[link];
        l.take_out(left);
        if !l.closing {
            l.delivered += l.unread;
        }
        l.unread = 0;
        l.detached = Some(bare(detached.socket));
    });
}

#[cfg(unix)]
fn bare(socket: Socket) -> socket2::Socket {
    socket.into_fd().unwrap().into()
}

#[cfg(not(unix))]
fn bare(socket: Socket) -> socket2::Socket {
    socket.into_tcp_stream().unwrap().into()
}

/// What left through a channel so far.
fn bytes_out(channel: &mut Channel<'_>) -> usize {
    let id = channel.id();
    let info = channel.registry().channels().find(|info| info.id == id);
    info.map_or(0, |info| usize::try_from(info.bytes_out).unwrap())
}

fn push_then(channel: &mut Channel<'_>, link: usize, n: usize, act: &Act, view: View) {
    let data = bytes(link, Direction::Out, model(|m| m.links[link].expected), n);
    let (number, taken) = model(|m| m.pushed_then(link, n, view));
    let alive = Alive::Part(link, number);
    let act = act.clone();
    channel.push_then(data, move |registry, sent| {
        let _alive = alive;
        let mut found = registry.channel(sent.channel);
        let view = found.as_mut().map(View::of);
        let bytes = usize::try_from(sent.bytes).unwrap();
        model(|m| m.enter_part(link, number, bytes, sent.complete, view));
        elsewhere(registry, &act);
        model(|m| m.leave_closure(None));
        Ok(())
    });
    let grown = channel.outgoing_len() - view.outgoing;
    if grown != if taken { n } else { 0 } {
        model(|m| {
            m.fault(format!(
                "#{link}: push_then {n} added {grown} bytes to the queue, taken: {taken}"
            ));
        });
    }
}

// ---- producers

struct Made {
    link: usize,
    plan: Plan,
    next: usize,
    at: usize,
    text: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        model(|m| m.links[self.link].producers -= 1);
    }
}

impl Producer for Made {
    fn more(&mut self) -> io::Result<Produced> {
        if model(|m| m.links[self.link].parked) {
            let text = format!("#{}: a pending producer is asked untouched", self.link);
            model(|m| m.fault(text));
        }
        let piece = self.plan.pieces.get(self.next).copied();
        self.next += 1;
        match (piece, self.plan.end) {
            (Some(Piece::Data(n)), _) => {
                let data = bytes(self.link, Direction::Out, self.at, n);
                self.at += n;
                Ok(Produced::Data(data.into()))
            }
            (Some(Piece::Empty), _) => Ok(Produced::Data(Vec::new().into())),
            (Some(Piece::Pending), _) => {
                model(|m| m.links[self.link].parked = true);
                Ok(Produced::Pending)
            }
            (None, PlanEnd::Done) => Ok(Produced::Done),
            (None, PlanEnd::Err) => {
                model(|m| m.producer_failed(self.link, self.text.clone(), self.at));
                Err(io::Error::other(self.text.clone()))
            }
            (None, PlanEnd::Panic) => {
                let text = format!("panicked: {}", self.text);
                model(|m| m.producer_failed(self.link, text, self.at));
                panic!("{}", self.text);
            }
        }
    }
}

fn push_producer(channel: &mut Channel<'_>, link: usize, plan: &Plan, view: View) {
    let taken = model(|m| m.takes(link, 0, 1, view));
    let (at, before) = model(|m| {
        let l = &mut m.links[link];
        let at = l.expected;
        if taken {
            l.expected += plan.total();
        }
        l.producers += 1;
        (at, l.producers)
    });
    channel.push_with_producer(Made {
        link,
        plan: plan.clone(),
        next: 0,
        at,
        text: format!("{SCRIPTED} end of the producer from {at} of #{link}"),
    });
    model(|m| {
        let kept = m.links[link].producers == before;
        if kept != taken {
            m.fault(format!(
                "#{link}: producer kept: {kept}, to be taken: {taken}"
            ));
        }
    });
}

// ---- objects

/// The user's object: keeps nothing but its name, asks the model and the rules.
pub struct Object {
    link: usize,
    object: usize,
}

impl Drop for Object {
    fn drop(&mut self) {
        model(|m| m.dropped(self.link, self.object));
    }
}

impl Object {
    fn act(&self, channel: &mut Channel<'_>, what: What) {
        let link = self.link;
        from_callback(channel, link, &Act { link, what });
    }

    fn callback(
        &mut self,
        channel: &mut Channel<'_>,
        on: On,
        base: impl FnOnce(&mut Channel<'_>, &[Act]) -> io::Result<()>,
    ) -> Result {
        let link = self.link;
        let view = View::of(channel);
        let nth = model(|m| {
            m.out.push(link);
            m.enter(link, self.object, on, view)
        });
        let rule = model(|m| m.rule(link, on, nth));
        let outcome = match rule.as_ref().map_or(Outcome::Fine, |rule| rule.outcome) {
            // It would be the failure of the handshake.
            Outcome::Broken if model(|m| m.links[link].is_shaking_first()) => Outcome::Fine,
            outcome => outcome,
        };
        let inside = rule.as_ref().is_some_and(|rule| rule.inside);
        let acts = rule.map_or_else(Vec::new, |rule| rule.acts);
        let (inside, after) = if inside {
            (acts, vec![])
        } else {
            (vec![], acts)
        };
        let based = base(channel, &inside);
        if let Err(error) = &based {
            check_error(link, &format!("{on:?}"), error);
        }
        for act in &after {
            from_callback(channel, link, act);
        }
        let listener = model(|m| m.links[link].is_listener());
        if matches!(on, On::Close | On::Error) && !listener {
            match model(|m| m.at_end(link, on)) {
                AtEnd::Keep => {}
                AtEnd::Default if on == On::Close => self.act(channel, What::CloseWhenDone),
                AtEnd::Default | AtEnd::Close => self.act(channel, What::Close),
            }
        }
        let text = format!("{SCRIPTED} {outcome:?} of {on:?} {nth} of #{link}");
        let told = match outcome {
            Outcome::Panic => format!("panicked: {text}"),
            Outcome::Broken => io::ErrorKind::ConnectionReset.to_string(),
            Outcome::WouldBlock => io::ErrorKind::WouldBlock.to_string(),
            _ => text.clone(),
        };
        model(|m| {
            m.out.pop();
            m.leave(link, view.id, on, outcome, told);
        });
        match outcome {
            Outcome::Fine => Ok(based?),
            Outcome::Err => Err(text.into()),
            Outcome::Panic => panic!("{text}"),
            Outcome::Broken => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            Outcome::WouldBlock => Err(io::Error::from(io::ErrorKind::WouldBlock).into()),
        }
    }
}

impl Object {
    fn told(&self, registry: &mut Registry, why: &Closed) {
        let link = self.link;
        let found = registry.channel(why.channel).is_some();
        let nth = model(|m| m.enter_closed(link, self.object, why, found));
        let rule = model(|m| m.rule(link, On::Closed, nth));
        let (acts, outcome) = rule.map_or((vec![], Outcome::Fine), |r| (r.acts, r.outcome));
        for act in &acts {
            elsewhere(registry, act);
        }
        model(Model::leave_closed);
        assert!(
            outcome != Outcome::Panic,
            "{SCRIPTED} end of handle_closed of #{link}"
        );
    }
}

/// What `handle_read` does before anything else.
fn read(channel: &mut Channel<'_>, link: usize, inside: &[Act]) -> io::Result<()> {
    match model(|m| m.links[link].spec.reads) {
        Reads::Lent => channel.recv_with(|channel, data| {
            took(link, data);
            for act in inside {
                from_callback(channel, link, act);
            }
        }),
        Reads::Once(n) => recv(channel, link, n).map(|_| ()),
        Reads::ToTheEnd => {
            while recv(channel, link, 500)? > 0 {}
            Ok(())
        }
        Reads::Deaf => Ok(()),
    }
}

impl Dispatcher for Object {
    fn readable(&self) -> bool {
        model(|m| {
            m.asked(self.link, self.object, "readable");
            m.links[self.link].wish.0
        })
    }

    fn writable(&self) -> bool {
        model(|m| {
            m.asked(self.link, self.object, "writable");
            m.links[self.link].wish.1
        })
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Connect, |_, _| Ok(()))
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Secured, |_, _| Ok(()))
    }

    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let listener = self.link;
        self.callback(channel, On::Accepted, |channel, _| {
            let channels = channel.registry().stats().channels;
            model(|m| m.accepted(listener, channels));
            let port = peer.inet().unwrap().port();
            let Some(peer) = model(|m| {
                let at = m
                    .dialled
                    .iter()
                    .position(|(to, from, _)| *to == listener && *from == port)?;
                Some(m.dialled.remove(at).2)
            }) else {
                model(|m| m.fault(format!("#{listener}: accepted a connection twice")));
                return Ok(());
            };
            let mut spec = model(|m| m.links[listener].spec.clone());
            spec.kind = Kind::Accepted;
            (spec.readable, spec.writable) = (true, false);
            let link = add_link(&spec, Some(peer));
            let id = register(channel.registry(), link, stream.into());
            model(|m| {
                m.links[link].id = Some(id);
                m.adopted = Some(link);
            });
            Ok(())
        })
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let link = self.link;
        self.callback(channel, On::Read, |channel, inside| {
            read(channel, link, inside)
        })
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Write, |_, _| Ok(()))
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Drain, |_, _| Ok(()))
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Timeout, |_, _| Ok(()))
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        match what {
            Exceptional::ConnectFailed(_) => self.callback(channel, On::Failed, |_, _| Ok(())),
            Exceptional::Reset => self.callback(channel, On::Reset, |_, _| Ok(())),
            Exceptional::ReadClosed => self.callback(channel, On::Ended, |_, _| Ok(())),
            other => {
                let link = self.link;
                model(|m| m.fault(format!("#{link}: handle_expt({other:?})")));
                Ok(())
            }
        }
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.callback(channel, On::Close, |_, _| Ok(()))
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        let link = self.link;
        let told = match error.downcast_ref::<OutgoingFull>() {
            Some(_) => Told::Overflow,
            None => Told::Text(error.to_string()),
        };
        let written = bytes_out(channel);
        // No result: only a panic can be seen.
        let _ = self.callback(channel, On::Error, |_, _| {
            model(|m| m.told_error(link, &told, written));
            Ok(())
        });
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.told(registry, &why);
    }
}

/// An object without `handle_read` and `handle_write`.
pub struct Deaf(Object);

impl Dispatcher for Deaf {
    fn readable(&self) -> bool {
        self.0.readable()
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_connect(channel)
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_secured(channel)
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_drain(channel)
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_timeout(channel)
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        self.0.handle_expt(channel, what)
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.handle_close(channel)
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        self.0.handle_error(channel, error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.0.handle_closed(registry, why);
    }
}
