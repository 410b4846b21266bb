//! Connecting by name: look-ups never block the loop, and each has one outcome, never from inside the call (R4).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::{self, ErrorKind, Read},
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use asynchat::{
    Answer, Cause, ConnectOptions, ErrorSource, Question, Reactor, Registry, Resolver, State,
    ThreadResolver,
};
use util::{
    DEADLINE, Recorder, Trace,
    peer::{borrowed, refusing, turns},
    reactor, run, settle, silence_scripted_panics, turn_until,
};

const NO_TIME: Duration = Duration::from_millis(1);

/// Writes questions down, and keeps their answers for the test.
#[derive(Clone, Default)]
struct Desk {
    asked: Rc<RefCell<Vec<Question>>>,
    answers: Rc<RefCell<Vec<Answer>>>,
}

impl Desk {
    fn reactor(&self) -> Reactor {
        let builder = Reactor::builder().propagate_panics(true);
        builder.resolver(self.clone()).build().unwrap()
    }

    fn answer(&self) -> Answer {
        self.answers.borrow_mut().remove(0)
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let text = |question: &Question| format!("{}:{}", question.host(), question.port());
        asked.iter().map(text).collect()
    }
}

impl Resolver for Desk {
    fn resolve(&mut self, question: Question, answer: Answer) {
        self.asked.borrow_mut().push(question);
        self.answers.borrow_mut().push(answer);
    }
}

/// A resolver that does this with every question.
struct Does<F>(F);

impl<F: FnMut(Question, Answer)> Resolver for Does<F> {
    fn resolve(&mut self, question: Question, answer: Answer) {
        (self.0)(question, answer);
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An object that keeps the text of its error and its cause.
fn client(trace: &Trace) -> Recorder {
    let mut client = Recorder::new(trace);
    let told = trace.clone();
    client.on_closed = Some(Box::new(move |_, why| {
        let text = why.error.map(|error| error.to_string());
        told.add(format!("{:?} {}", why.cause, text.unwrap_or_default()));
    }));
    client
}

/// The addresses or the text of the error that a look-up ends with.
fn outcome(reactor: &mut Reactor, host: &str) -> Result<Vec<SocketAddr>, (ErrorKind, String)> {
    let found = Rc::new(Cell::new(None));
    let tell = Rc::clone(&found);
    reactor.resolve(host, 80, move |_, answer| {
        tell.set(Some(answer));
        Ok(())
    });
    assert!(found.take().is_none(), "from inside the call");
    run(reactor);
    let found = found.take().expect("run has waited for the answer");
    found.map_err(|error| (error.kind(), error.to_string()))
}

#[test]
fn a_connection_by_name_is_one_handle_connect_behind_what_was_pushed_before() {
    let (listener, address) = listener();
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .connect_host("LocalHost", address.port(), client(&trace))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.state(), State::Resolving);
    let nothing = channel.peer_addr().unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotConnected);
    for answer in [channel.recv(&mut [0]), channel.send(b"x")] {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert!(borrowed(&channel).is_err());
    channel.push("early");
    channel.touch();
    assert!(channel.detach().is_none());
    assert_eq!(trace.lines(), [""; 0]);
    turn_until(&mut reactor, |_| trace.has("connect"));
    let (mut accepted, _) = listener.accept().unwrap();
    let mut early = [0; 5];
    accepted.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.state(), State::Open);
    assert_eq!(channel.peer_addr().unwrap(), address.into());
    settle(&mut reactor);
    assert_eq!(reactor.stats().timers, 0);
    drop(accepted);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "eof", "close", "EndOfFile "]);
}

#[test]
fn an_address_is_not_looked_up_and_connects_at_once() {
    let never = Does(|question: Question, _| panic!("asked for {}", question.host()));
    let builder = Reactor::builder().propagate_panics(true);
    let mut reactor = builder.resolver(never).build().unwrap();
    let (_listener, address) = listener();
    let trace = Trace::new();
    let id = reactor
        .connect_host("127.0.0.1", address.port(), client(&trace))
        .unwrap();
    let channel = reactor.channel(id).unwrap();
    assert_eq!(channel.state(), State::Connecting);
    assert_eq!(channel.peer_addr().unwrap(), address.into());
    turn_until(&mut reactor, |_| trace.has("connect"));
    reactor.close_all();
    settle(&mut reactor);
    for (text, address) in [
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
        ("10.0.0.1", "10.0.0.1:80"),
    ] {
        assert_eq!(
            outcome(&mut reactor, text),
            Ok(vec![address.parse().unwrap()])
        );
    }
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn every_address_of_the_answer_is_tried_with_the_options() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let (_socket, refused) = refusing();
    let (listener, address) = listener();
    let trace = Trace::new();
    let options = ConnectOptions::new().source("127.0.0.3:0".parse().unwrap());
    reactor
        .connect_host_with("www.example", 80, &options, client(&trace))
        .unwrap();
    desk.answer().give(Ok(vec![refused, address]));
    assert_eq!(trace.lines(), [""; 0]);
    turn_until(&mut reactor, |_| trace.has("connect"));
    let (_, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.3");
}

/// Each failure is told once, in a later turn, with the name and the reason.
#[test]
fn a_look_up_that_fails_is_a_failed_attempt() {
    silence_scripted_panics();
    type Behaviour = fn(Question, Answer);
    let table: [(Behaviour, ErrorKind, &str); 8] = [
        (
            |_, answer| {
                answer.give(Err(io::Error::new(
                    ErrorKind::HostUnreachable,
                    "no \x1b[2J server",
                )));
            },
            ErrorKind::HostUnreachable,
            r"no \u{1b}[2J server",
        ),
        (
            |_, answer| answer.give(Ok(Vec::new())),
            ErrorKind::NotFound,
            "the name has no address",
        ),
        (
            |_, answer| drop(answer),
            ErrorKind::Other,
            "the resolver gave no answer",
        ),
        (
            |_, _answer| panic!("scripted trouble"),
            ErrorKind::Other,
            "the resolver panicked: scripted trouble",
        ),
        (
            |_, answer| {
                std::mem::forget(answer);
                panic!("scripted trouble");
            },
            ErrorKind::TimedOut,
            "no answer within the resolve_timeout of 1ms",
        ),
        (
            |_, answer| std::mem::forget(answer),
            ErrorKind::TimedOut,
            "no answer within the resolve_timeout of 1ms",
        ),
        (
            |_, answer| {
                answer.begin();
                thread::spawn(move || drop(answer));
            },
            ErrorKind::Other,
            "the resolver gave no answer",
        ),
        (
            |_, answer| {
                answer.defer();
                answer.begin();
                answer.begin();
                answer.give(Err(ErrorKind::WouldBlock.into()));
            },
            ErrorKind::WouldBlock,
            "operation would block",
        ),
    ];
    for (behaviour, kind, why) in table {
        let timeout = if why.contains("1ms") {
            NO_TIME
        } else {
            DEADLINE
        };
        let builder = Reactor::builder().resolve_timeout(timeout);
        let mut reactor = builder.resolver(Does(behaviour)).build().unwrap();
        let trace = Trace::new();
        let mut client = client(&trace);
        let text = trace.clone();
        client.on_error = Some(Box::new(move |_| {
            text.add("not this");
            Ok(())
        }));
        client.on_expt = Some(Box::new(|channel| {
            assert_eq!(channel.state(), State::Connecting);
            Ok(())
        }));
        reactor.connect_host("www.example", 80, client).unwrap();
        assert_eq!(trace.lines(), [""; 0]);
        run(&mut reactor);
        assert_eq!(
            trace.lines(),
            [format!("failed:{kind:?}"), "ConnectFailed ".into()],
            "{why}"
        );
        let expected = (kind, format!("looking up \"www.example\": {why}"));
        assert_eq!(outcome(&mut reactor, "www.example"), Err(expected));
        assert!(reactor.is_idle());
    }
}

#[test]
fn an_error_of_the_default_callback_goes_on_to_the_end() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    struct Plain(Trace);
    impl asynchat::Dispatcher for Plain {
        fn handle_closed(&mut self, _: &mut Registry, why: asynchat::Closed) {
            self.0.add(why.to_string());
        }
    }
    let trace = Trace::new();
    reactor
        .connect_host("www.example", 80, Plain(trace.clone()))
        .unwrap();
    desk.answer()
        .give(Err(io::Error::new(ErrorKind::NotFound, "nobody")));
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["not connected: looking up \"www.example\": nobody"]
    );
}

#[test]
fn a_name_that_is_none_fails_later_and_is_never_asked_for() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let long = "a.".repeat(200);
    for host in [
        "",
        "www.example\0",
        "www.example\x1b[2J",
        "bücher.example",
        "a:1",
        &long,
    ] {
        let trace = Trace::new();
        reactor.connect_host(host, 80, client(&trace)).unwrap();
        assert_eq!(trace.lines(), [""; 0]);
        run(&mut reactor);
        assert_eq!(trace.lines(), ["failed:InvalidInput", "ConnectFailed "]);
        let (kind, text) = outcome(&mut reactor, host).unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert!(
            text.contains("is no host name") && !text.contains(char::is_control),
            "{text}"
        );
    }
    assert_eq!(desk.asked(), [""; 0]);
}

#[test]
fn equal_questions_are_asked_once_and_the_answer_is_not_kept() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let (_listener, address) = listener();
    let trace = Trace::new();
    let found = Trace::new();
    for host in ["www.example", "WWW.example", "www.example"] {
        reactor.connect_host(host, 80, client(&trace)).unwrap();
        let found = found.clone();
        reactor.resolve(host, 80, move |_, answer| {
            found.add(format!("{answer:?}"));
            Ok(())
        });
    }
    reactor.resolve("www.example", 443, |_, _| Ok(()));
    assert_eq!(desk.asked(), ["www.example:80", "www.example:443"]);
    desk.answer().give(Ok(vec![address]));
    turn_until(&mut reactor, |_| {
        trace.count("connect") == 3 && found.lines().len() == 3
    });
    assert_eq!(found.count(&format!("Ok([{address}])")), 3);
    reactor.resolve("www.example", 80, |_, _| Ok(()));
    assert_eq!(desk.asked().len(), 3);
}

/// An answer belongs to those who asked: it reaches no channel that took the place of one.
#[test]
fn a_channel_closed_meanwhile_is_not_told_and_leaves_nothing_behind() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let trace = Trace::new();
    let first = reactor
        .connect_host("www.example", 80, client(&trace))
        .unwrap();
    reactor.channel(first).unwrap().close();
    settle(&mut reactor);
    assert_eq!(trace.lines(), ["Close "]);
    assert_eq!(reactor.stats().timers, 0);
    // Ten thousand that give up are one question, which is joined while the resolver works on it.
    for _ in 0..10_000 {
        let id = reactor
            .connect_host("www.example", 80, Recorder::new(&Trace::new()))
            .unwrap();
        reactor.channel(id).unwrap().close();
    }
    assert_eq!(desk.asked(), ["www.example:80"]);
    assert!(!desk.answers.borrow()[0].is_wanted());
    // Given up by the resolver, so the next one asks anew.
    let (_listener, address) = listener();
    let last = reactor
        .connect_host("www.example", 80, client(&trace))
        .unwrap();
    assert_eq!(desk.asked().len(), 2);
    desk.answer().give(Err(ErrorKind::NotFound.into()));
    turns(&mut reactor, 3);
    assert_eq!(reactor.channel(last).unwrap().state(), State::Resolving);
    desk.answer().give(Ok(vec![address]));
    turn_until(&mut reactor, |_| trace.has("connect"));
}

#[test]
fn close_when_done_waits_for_the_connection_and_shutdown_does_not() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let (listener, address) = listener();
    let trace = Trace::new();
    let id = reactor
        .connect_host("www.example", 80, client(&trace))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("all");
    channel.close_when_done();
    settle(&mut reactor);
    desk.answer().give(Ok(vec![address]));
    turn_until(&mut reactor, |_| trace.has("connect"));
    let mut all = String::new();
    let reader = thread::spawn(move || {
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut all)
            .unwrap();
        all
    });
    run(&mut reactor);
    assert_eq!(reader.join().unwrap(), "all");

    let trace = Trace::new();
    reactor
        .connect_host("www.example", 80, client(&trace))
        .unwrap();
    reactor.resolve("www.example", 80, |_, _| panic!("nobody waits for it"));
    reactor.shutdown(DEADLINE);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["Shutdown "]);
}

#[test]
fn answers_after_the_deadline_or_the_reactor_are_harmless() {
    let desk = Desk::default();
    let builder = Reactor::builder().propagate_panics(true);
    let builder = builder.resolve_timeout(NO_TIME).resolver(desk.clone());
    let mut reactor = builder.build().unwrap();
    let trace = Trace::new();
    reactor
        .connect_host("www.example", 80, client(&trace))
        .unwrap();
    run(&mut reactor);
    assert_eq!(trace.lines(), ["failed:TimedOut", "ConnectFailed "]);
    desk.answer().give(Ok(vec!["127.0.0.1:1".parse().unwrap()]));
    turns(&mut reactor, 3);
    assert_eq!(trace.lines().len(), 2);

    struct Bomb(Rc<Cell<u32>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("scripted: a closure that panics when dropped");
        }
    }
    silence_scripted_panics();
    let dropped = Rc::new(Cell::new(0));
    let mut reactor = Reactor::builder().resolver(desk.clone()).build().unwrap();
    for host in ["a.example", "b.example"] {
        let bomb = Bomb(Rc::clone(&dropped));
        reactor.resolve(host, 80, move |_, _| {
            drop(bomb);
            Ok(())
        });
    }
    drop(reactor);
    assert_eq!(dropped.get(), 2);
    desk.answer().give(Ok(Vec::new()));
    drop(desk.answer());
}

#[test]
fn a_closure_that_fails_or_panics_goes_to_the_error_hook_and_others_go_on() {
    silence_scripted_panics();
    let trace = Trace::new();
    let errors = trace.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_, source, error| {
            assert_eq!(source, ErrorSource::CallSoon);
            errors.add(error.to_string());
        })
        .resolver(Does(|_, answer: Answer| {
            answer.give(Ok(vec!["127.0.0.1:1".parse().unwrap()]));
        }))
        .build()
        .unwrap();
    reactor.resolve("www.example", 1, |_, _| Err("no use".into()));
    reactor.resolve("www.example", 1, |_, _| panic!("scripted"));
    let last = trace.clone();
    reactor.resolve("www.example", 1, move |registry, _| {
        last.add("last");
        registry.resolve("www.example", 1, |_, _| Ok(()));
        Ok(())
    });
    run(&mut reactor);
    assert_eq!(trace.lines(), ["no use", "panicked: scripted", "last"]);
}

/// A panic that is to leave the loop does so, and the question is no ghost afterwards.
#[test]
fn a_panic_of_the_resolver_leaves_the_call_if_panics_shall() {
    silence_scripted_panics();
    let builder = Reactor::builder().propagate_panics(true);
    let resolver = Does(|_, _answer: Answer| panic!("scripted"));
    let mut reactor = builder.resolver(resolver).build().unwrap();
    let trace = Trace::new();
    let object = client(&trace);
    let call = std::panic::AssertUnwindSafe(|| reactor.connect_host("www.example", 80, object));
    assert!(std::panic::catch_unwind(call).is_err());
    run(&mut reactor);
    assert_eq!(trace.lines(), ["failed:Other", "ConnectFailed "]);
}

/// Look-ups that wait until the test lets them go on, and that count their threads.
#[derive(Clone)]
struct Gate {
    closed: Arc<Mutex<()>>,
    begun: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    threads: Arc<AtomicUsize>,
}

impl Gate {
    fn new() -> Self {
        Self {
            closed: Arc::default(),
            begun: Arc::default(),
            at_once: Arc::default(),
            most: Arc::default(),
            threads: Arc::default(),
        }
    }

    fn resolver(&self) -> ThreadResolver {
        struct Alive(Arc<AtomicUsize>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        thread_local! {
            static ALIVE: RefCell<Option<Alive>> = const { RefCell::new(None) };
        }
        let gate = self.clone();
        ThreadResolver::with(move |question| {
            ALIVE.with_borrow_mut(|alive| {
                alive.get_or_insert_with(|| {
                    gate.threads.fetch_add(1, Ordering::SeqCst);
                    Alive(Arc::clone(&gate.threads))
                });
            });
            gate.begun.fetch_add(1, Ordering::SeqCst);
            let now = gate.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            gate.most.fetch_max(now, Ordering::SeqCst);
            if question.host().starts_with("slow") {
                drop(gate.closed.lock().unwrap());
            }
            gate.at_once.fetch_sub(1, Ordering::SeqCst);
            match question.host() {
                "panic.example" => panic!("scripted trouble"),
                "none.example" => Err(io::Error::new(ErrorKind::NotFound, "no such name")),
                _ => Ok(vec![([127, 0, 0, 1], question.port()).into()]),
            }
        })
    }

    fn is(&self, counter: fn(&Self) -> &Arc<AtomicUsize>, n: usize) -> bool {
        counter(self).load(Ordering::SeqCst) == n
    }
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "nothing came of it");
        thread::yield_now();
    }
}

#[test]
fn a_look_up_that_hangs_holds_up_its_thread_alone() {
    let gate = Gate::new();
    let (_listener, address) = listener();
    let mut reactor = Reactor::builder()
        .propagate_panics(true)
        .resolver(gate.resolver().max_threads(2))
        .build()
        .unwrap();
    let shut = gate.closed.lock().unwrap();
    let slow = Trace::new();
    reactor
        .connect_host("slow.example", address.port(), client(&slow))
        .unwrap();
    wait_until(|| gate.is(|gate| &gate.begun, 1));
    // Turns take no longer, and other names are found.
    let began = Instant::now();
    turns(&mut reactor, 100);
    assert!(began.elapsed() < DEADLINE / 2);
    for _ in 0..3 {
        let quick = Trace::new();
        reactor
            .connect_host("quick.example", address.port(), client(&quick))
            .unwrap();
        turn_until(&mut reactor, |_| quick.has("connect"));
    }
    // Two that hang: the next waits, and is found when one of them is over.
    let late = Trace::new();
    reactor
        .connect_host("slow2.example", address.port(), client(&slow))
        .unwrap();
    wait_until(|| gate.is(|gate| &gate.at_once, 2));
    reactor
        .connect_host("quick.example", address.port(), client(&late))
        .unwrap();
    turns(&mut reactor, 10);
    assert_eq!((slow.lines().len(), late.lines().len()), (0, 0));
    drop(shut);
    turn_until(&mut reactor, |_| {
        slow.count("connect") == 2 && late.has("connect")
    });
}

/// The time in which no thread was free does not count.
#[test]
fn a_question_that_waited_for_a_thread_has_all_of_its_time() {
    let gate = Gate::new();
    let (_listener, address) = listener();
    let resolver = gate.resolver().max_threads(1);
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    let shut = gate.closed.lock().unwrap();
    reactor.resolve("slow.example", 1, |_, _| Ok(()));
    wait_until(|| gate.is(|gate| &gate.begun, 1));
    let trace = Trace::new();
    let timeout = Duration::from_millis(500);
    let options = ConnectOptions::new().resolve_timeout(timeout);
    reactor
        .connect_host_with("quick.example", address.port(), &options, client(&trace))
        .unwrap();
    let late = Rc::new(Cell::new(false));
    let is_late = Rc::clone(&late);
    reactor.call_later(timeout + timeout / 2, move |_| {
        is_late.set(true);
        Ok(())
    });
    turn_until(&mut reactor, |_| late.get());
    drop(shut);
    turn_until(&mut reactor, |_| !trace.lines().is_empty());
    assert_eq!(trace.lines(), ["connect"]);
}

#[test]
fn a_thousand_names_at_once_take_four_threads_and_each_gets_its_own_outcome() {
    silence_scripted_panics();
    let gate = Gate::new();
    let (_socket, address) = refusing();
    let mut reactor = Reactor::builder()
        .resolver(gate.resolver())
        .build()
        .unwrap();
    let outcomes = Rc::new(RefCell::new(HashMap::<String, usize>::new()));
    let shut = gate.closed.lock().unwrap();
    for n in 0..1000 {
        let host = match n {
            0 => "panic.example".into(),
            1 => "none.example".into(),
            _ => format!("slow{n}.example"),
        };
        let outcomes = Rc::clone(&outcomes);
        reactor.resolve(host, address.port(), move |_, answer| {
            let text = answer.map_or_else(|error| error.to_string(), |found| found[0].to_string());
            *outcomes.borrow_mut().entry(text).or_default() += 1;
            Ok(())
        });
    }
    drop(shut);
    run(&mut reactor);
    let outcomes = outcomes.take();
    assert_eq!(outcomes[&address.to_string()], 998);
    assert_eq!(outcomes["looking up \"none.example\": no such name"], 1);
    assert_eq!(
        outcomes["looking up \"panic.example\": panicked: scripted trouble"],
        1
    );
    assert!(gate.most.load(Ordering::SeqCst) <= 4);
}

#[test]
fn questions_past_the_bound_fail_at_once_and_those_nobody_waits_for_make_room() {
    let gate = Gate::new();
    let resolver = gate.resolver().max_threads(1).max_waiting(2);
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    let trace = Trace::new();
    let shut = gate.closed.lock().unwrap();
    let ask =
        |reactor: &mut Reactor, host: &str| reactor.connect_host(host, 1, client(&trace)).unwrap();
    ask(&mut reactor, "slow.example");
    wait_until(|| gate.is(|gate| &gate.begun, 1));
    let waiting = [
        ask(&mut reactor, "a.example"),
        ask(&mut reactor, "b.example"),
    ];
    ask(&mut reactor, "c.example");
    turn_until(&mut reactor, |_| trace.has("failed:ResourceBusy"));
    let text = |reactor: &mut Reactor| {
        let text = Rc::new(RefCell::new(String::new()));
        let told = Rc::clone(&text);
        reactor.resolve("d.example", 1, move |_, answer| {
            *told.borrow_mut() = answer.unwrap_err().to_string();
            Ok(())
        });
        turn_until(reactor, |_| !text.borrow().is_empty());
        text.take()
    };
    let busy = text(&mut reactor);
    assert!(
        busy.contains("max_waiting is 2") && busy.contains("d.example"),
        "{busy}"
    );
    for id in waiting {
        reactor.channel(id).unwrap().close();
    }
    ask(&mut reactor, "e.example");
    ask(&mut reactor, "f.example");
    turns(&mut reactor, 3);
    assert_eq!(trace.count("failed:ResourceBusy"), 1);
    drop(shut);
    run(&mut reactor);
    // The three that are left were looked up, and nobody listens on port 1.
    assert!(gate.is(|gate| &gate.begun, 3));
    assert_eq!(trace.count("failed:ConnectionRefused"), 3);
}

/// Those that wait are not all looked at for each that finds no place.
#[test]
fn a_question_past_the_bound_costs_no_more_than_one_that_waits() {
    const WAITING: usize = 20_000;
    let gate = Gate::new();
    let resolver = gate.resolver().max_threads(1).max_waiting(WAITING);
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    let refused = Rc::new(Cell::new(0));
    let shut = gate.closed.lock().unwrap();
    let ask = |reactor: &mut Reactor, names: std::ops::Range<usize>| {
        let began = Instant::now();
        for n in names {
            let refused = Rc::clone(&refused);
            reactor.resolve(format!("slow{n}.example"), 1, move |_, answer| {
                refused.set(refused.get() + usize::from(answer.is_err()));
                Ok(())
            });
        }
        began.elapsed()
    };
    let more = WAITING / 10;
    let wait = ask(&mut reactor, 0..WAITING);
    let past = ask(&mut reactor, WAITING..WAITING + more);
    // Two to five times as much each, for the error is made and told; 200 times if all are looked at.
    assert!(past < 5 * wait, "{past:?} for a tenth, {wait:?} for all");
    turn_until(&mut reactor, |_| refused.get() >= more - 1);
    drop(reactor);
    drop(shut);
}

/// Threads that are about to begin count: their questions do not wait.
#[test]
fn with_no_place_to_wait_there_are_as_many_questions_as_threads() {
    let gate = Gate::new();
    let resolver = gate.resolver().max_threads(3).max_waiting(0);
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    let refused = Rc::new(Cell::new(0));
    let shut = gate.closed.lock().unwrap();
    for n in 0..5 {
        let refused = Rc::clone(&refused);
        reactor.resolve(format!("slow{n}.example"), 1, move |_, answer| {
            refused.set(refused.get() + u32::from(answer.is_err()));
            Ok(())
        });
    }
    drop(shut);
    run(&mut reactor);
    assert_eq!(refused.get(), 2);
}

#[test]
fn threads_end_when_they_are_idle_and_with_their_reactor() {
    let gate = Gate::new();
    let resolver = gate.resolver().idle_timeout(NO_TIME);
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    for _ in 0..2 {
        outcome(&mut reactor, "www.example").unwrap();
        wait_until(|| gate.is(|gate| &gate.threads, 0));
    }
    drop(reactor);

    // Nor does an idle thread stay.
    let gate = Gate::new();
    let lasting = || gate.resolver().idle_timeout(Duration::MAX);
    let mut reactor = Reactor::builder().resolver(lasting()).build().unwrap();
    outcome(&mut reactor, "www.example").unwrap();
    assert!(gate.is(|gate| &gate.threads, 1));
    drop(reactor);
    wait_until(|| gate.is(|gate| &gate.threads, 0));

    gate.begun.store(0, Ordering::SeqCst);
    let mut reactor = Reactor::builder().resolver(lasting()).build().unwrap();
    let shut = gate.closed.lock().unwrap();
    for n in 0..10 {
        reactor.resolve(format!("slow{n}.example"), 1, |_, _| Ok(()));
    }
    wait_until(|| gate.is(|gate| &gate.at_once, 4));
    // Neither waits for those that hang.
    drop(reactor);
    assert!(gate.is(|gate| &gate.threads, 4));
    drop(shut);
    wait_until(|| gate.is(|gate| &gate.threads, 0));
    assert!(
        gate.is(|gate| &gate.begun, 4),
        "what waited is not looked up"
    );
}

/// `run` waits for an answer as for a timer, and no longer than its deadline.
#[test]
fn run_waits_for_an_answer_and_an_answer_wakes_it() {
    let (send, receive) = mpsc::channel::<Answer>();
    let resolver = Does(move |_, answer| send.send(answer).unwrap());
    let mut reactor = Reactor::builder().resolver(resolver).build().unwrap();
    let resolver = thread::spawn(move || {
        let answer = receive.recv().unwrap();
        answer.give(Ok(vec!["127.0.0.1:80".parse().unwrap()]));
    });
    assert_eq!(
        outcome(&mut reactor, "www.example"),
        Ok(vec!["127.0.0.1:80".parse().unwrap()])
    );
    resolver.join().unwrap();
    assert_eq!(reactor.stats().timers, 0);
}

/// A callback that ends because of a name it cannot know has this cause, and may ask again at once.
#[test]
fn the_end_of_an_attempt_may_begin_the_next() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let trace = Trace::new();
    let (_listener, address) = listener();
    let mut first = Recorder::new(&trace);
    let again = trace.clone();
    first.on_closed = Some(Box::new(move |registry, why| {
        assert_eq!(why.cause, Cause::ConnectFailed);
        registry
            .connect_host("www.example", 80, client(&again))
            .unwrap();
    }));
    reactor.connect_host("www.example", 80, first).unwrap();
    desk.answer().give(Ok(Vec::new()));
    turn_until(&mut reactor, |_| desk.asked().len() == 2);
    desk.answer().give(Ok(vec![address]));
    turn_until(&mut reactor, |_| trace.has("connect"));
    assert_eq!(trace.lines(), ["failed:NotFound", "connect"]);
}

#[test]
fn no_more_than_256_addresses_of_an_answer_are_used() {
    let desk = Desk::default();
    let mut reactor = desk.reactor();
    let found = Rc::new(Cell::new(0));
    let told = Rc::clone(&found);
    reactor.resolve("many.example", 80, move |_, answer| {
        told.set(answer?.len());
        Ok(())
    });
    desk.answer()
        .give(Ok(vec![([127, 0, 0, 1], 80).into(); 10_000]));
    run(&mut reactor);
    assert_eq!(found.get(), 256);
}
