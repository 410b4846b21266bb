//! `push_then`: its closure is told once how much of a part has left, in order and never inside a callback (R4, R12).

use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    net::Shutdown,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, ErrorSource, Part,
    Produced, Reactor, Registry, Result, Sent, from_fn,
};
use util::{
    DEADLINE, Recorder, SCRIPTED, Trace,
    files::{content, file, hole, whole},
    peer::{narrow_tcp_pair, read_to_end, read_while, reset, settled, tcp_pair, turns},
    reactor, run, settle, silence_scripted_panics, turn_until,
};

/// Writes down what a part is told.
fn note(
    trace: &Trace,
    name: &'static str,
) -> impl FnOnce(&mut Registry, Sent) -> Result + use<> + 'static {
    let trace = trace.clone();
    move |_, sent| {
        let cut = if sent.complete { "" } else { " cut" };
        trace.add(format!("{name}:{}{cut}", sent.bytes));
        Ok(())
    }
}

#[test]
fn parts_of_all_kinds_are_told_in_order_and_leave_as_they_would_without() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let noted = trace.clone();
    recorder.on_connect = Some(Box::new(move |channel| {
        channel.push("head ");
        channel.push_then("a few bytes ", note(&noted, "bytes"));
        channel.push_then("", note(&noted, "nothing"));
        channel.push_then(vec![b'x'; 5_000], note(&noted, "many"));
        channel.push_then(whole(file(b"small")), note(&noted, "small"));
        channel.push_then(whole(file(&content(1, 100_000))), note(&noted, "large"));
        channel.push_then(Part::producer("produced"), note(&noted, "producer"));
        channel.push_then(whole(file(b"")), note(&noted, "empty file"));
        channel.push("tail");
        noted.add("callback ends");
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    let received = read_while(&mut reactor, &mut theirs, |got| got.ends_with(b"tail"));
    assert_eq!(received.len(), 5 + 12 + 5_000 + 5 + 100_000 + 8 + 4);
    turn_until(&mut reactor, |_| trace.has("empty file:0"));
    assert_eq!(
        trace.joined(),
        "connect callback ends bytes:12 nothing:0 many:5000 small:5 large:100000 producer:8 empty file:0"
    );
    assert_eq!(reactor.channel(id).unwrap().outgoing_len(), 0);
}

#[test]
fn many_small_parts_leave_in_one_write_and_cost_linear_time() {
    const PARTS: usize = 100_000;
    let mut reactor = Reactor::builder().max_outgoing(usize::MAX).build().unwrap();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let told = Rc::new(Cell::new(0));
    let start = Instant::now();
    let mut channel = reactor.channel(id).unwrap();
    for number in 0..PARTS {
        let told = Rc::clone(&told);
        // A producer in front keeps all places unknown for a while.
        if number == 0 {
            channel.push_with_producer("first");
        }
        channel.push_then("x", move |_, sent| {
            assert!(sent.complete && sent.bytes == 1 && told.replace(number + 1) == number);
            Ok(())
        });
    }
    channel.push("last");
    let received = read_while(&mut reactor, &mut theirs, |got| got.ends_with(b"last"));
    assert_eq!(received.len(), PARTS + 9);
    turn_until(&mut reactor, |_| told.get() == PARTS);
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
}

#[test]
fn a_part_is_told_when_its_last_byte_has_left_and_not_before() {
    for by_file in [true, false] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = narrow_tcp_pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        settle(&mut reactor);
        trace.clear();
        let mut channel = reactor.channel(id).unwrap();
        if by_file {
            channel.push_then(whole(hole(1 << 20)), note(&trace, "part"));
        } else {
            channel.push_then(vec![0; 1 << 20], note(&trace, "part"));
        }
        settle(&mut reactor);
        assert!(reactor.stats().bytes_out > 0 && trace.lines().is_empty());
        read_while(&mut reactor, &mut theirs, |got| got.len() == 1 << 20);
        turn_until(&mut reactor, |_| trace.has("part:1048576"));
    }
}

/// Between the flush and `handle_drain`, and before the end that `close_when_done` asked for.
#[test]
fn a_visit_tells_after_the_flush_and_before_drain_and_end() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(0, 10);
    let noted = trace.clone();
    channel.push_then(vec![0; 100], move |registry, sent| {
        let with = registry.with(sent.channel, |_: &mut Recorder, channel| {
            channel.push("from the closure");
            channel.close_when_done();
        });
        noted.add(format!("told:{:?}", with.is_ok()));
        Ok(())
    });
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.joined(), "told:true");
    let received = read_to_end(&mut reactor, &mut theirs);
    assert!(received.ends_with(b"from the closure"));

    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(0, 10);
    channel.push_then(vec![0; 100], note(&trace, "part"));
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.joined(), "part:100 drain");
}

/// A chat that throws its output away at each line.
struct Abort;

impl AsyncChat for Abort {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.discard_output();
        Ok(())
    }
}

/// A channel whose queue cannot all leave, and what happens to it.
type End = fn(&mut Reactor, ChannelId);

#[test]
fn what_does_not_leave_is_told_once_with_the_bytes_that_did() {
    let ends: [(&str, End); 8] = [
        ("reset", |_, _| {}),
        ("close", |reactor, id| reactor.channel(id).unwrap().close()),
        ("close in a timer", |reactor, id| {
            reactor.call_later(Duration::ZERO, move |registry| {
                registry.channel(id).unwrap().close();
                Ok(())
            });
        }),
        ("detach", |reactor, id| {
            let detached = reactor.channel(id).unwrap().detach().unwrap();
            assert!(!detached.unsent.is_empty());
        }),
        ("close_all", |reactor, _| reactor.close_all()),
        ("idle for too long", |reactor, id| {
            let mut channel = reactor.channel(id).unwrap();
            channel.set_idle_timeout(Some(Duration::from_millis(1)));
        }),
        ("idle while closing", |reactor, id| {
            let mut channel = reactor.channel(id).unwrap();
            channel.close_when_done();
            channel.set_idle_timeout(Some(Duration::from_millis(1)));
        }),
        ("grace is over", |reactor, _| {
            reactor.shutdown(Duration::from_millis(1));
        }),
    ];
    for (name, end) in ends {
        for by_file in [true, false] {
            let mut reactor = reactor();
            let (ours, theirs) = narrow_tcp_pair();
            let id = reactor
                .register(ours, Recorder::new(&Trace::new()))
                .unwrap();
            let mut channel = reactor.channel(id).unwrap();
            let told: Rc<RefCell<Vec<Sent>>> = Rc::default();
            let tell = || {
                let told = Rc::clone(&told);
                move |_: &mut Registry, sent| {
                    told.borrow_mut().push(sent);
                    Ok(())
                }
            };
            channel.push_then("before", tell());
            if by_file {
                channel.push_then(whole(hole(16 << 20)), tell());
            } else {
                channel.push_then(vec![0; 16 << 20], tell());
            }
            channel.push_then(Part::producer("not asked"), tell());
            channel.push_then("behind", tell());
            settle(&mut reactor);
            assert_eq!(told.borrow().len(), 1, "{name}");
            let earlier = reactor.stats().bytes_out;
            let kept = if name == "reset" {
                reset(theirs);
                None
            } else {
                Some(theirs)
            };
            end(&mut reactor, id);
            let (here, _there) = tcp_pair();
            reactor
                .register(here, Recorder::new(&Trace::new()))
                .unwrap();
            turn_until(&mut reactor, |reactor| {
                reactor.channel(id).is_none() && told.borrow().len() == 4
            });
            turns(&mut reactor, 3);
            drop(kept);
            let left = reactor.stats().bytes_out;
            assert!(left >= earlier, "{name}");
            let told = told.borrow();
            let told: Vec<_> = told
                .iter()
                .map(|sent| (sent.bytes, sent.complete))
                .collect();
            let expected = [(6, true), (left - 6, false), (0, false), (0, false)];
            assert_eq!(told, expected, "{name}, file: {by_file}");
        }
    }
}

#[test]
fn a_producer_or_file_that_fails_is_cut_where_it_failed() {
    for by_file in [true, false] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
        trace.clear();
        let mut channel = reactor.channel(id).unwrap();
        if by_file {
            let content = file(&[b'x'; 40_000]);
            let twin = content.try_clone().unwrap();
            channel.push_then(whole(content), note(&trace, "part"));
            twin.set_len(7).unwrap();
        } else {
            let mut first = true;
            let failing = from_fn(move || {
                if std::mem::take(&mut first) {
                    return Ok(Produced::Data("7 bytes".into()));
                }
                Err(io::Error::other("failed"))
            });
            channel.push_then(Part::producer(failing), note(&trace, "part"));
        }
        channel.push_then("behind", note(&trace, "behind"));
        settle(&mut reactor);
        let lines = trace.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("error:"), "{lines:?}");
        assert_eq!(lines[1..], ["part:7 cut", "behind:0 cut"]);
    }
}

#[test]
fn what_is_not_queued_is_told_so() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_max_outgoing(1_000);
    channel.push_then(vec![0; 1_001], note(&trace, "too much"));
    assert!(trace.lines().is_empty(), "not inside the push");
    settle(&mut reactor);
    let lines = trace.lines();
    assert_eq!(lines[0], "too much:0 cut");
    assert!(lines[1].starts_with("error:"), "{lines:?}");

    let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.close_when_done();
    channel.push_then("ended", note(&trace, "ended"));
    channel.close();
    channel.push_then("closed", note(&trace, "closed"));
    assert!(!reactor.is_idle());
    run(&mut reactor);
    assert_eq!(trace.joined(), "ended:0 cut closed:0 cut");
}

#[test]
fn output_that_is_discarded_is_told_so_and_the_channel_goes_on() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, ChatDispatcher::new(Abort, "\n"))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push_then(vec![0; 1 << 20], note(&trace, "part"));
    settle(&mut reactor);
    assert!(trace.lines().is_empty());
    io::Write::write_all(&mut theirs, b"abort\n").unwrap();
    turn_until(&mut reactor, |_| trace.lines().len() == 1);
    let left = reactor.stats().bytes_out;
    assert_eq!(trace.joined(), format!("part:{left} cut"));
    let mut channel = reactor.channel(id).unwrap();
    channel.push_then("more", note(&trace, "more"));
    read_while(&mut reactor, &mut theirs, |got| got.ends_with(b"more"));
    turn_until(&mut reactor, |_| trace.has("more:4"));
}

#[test]
fn an_error_or_a_panic_of_the_closure_is_its_channels_or_once_that_is_closed_the_error_hooks() {
    silence_scripted_panics();
    for panics in [false, true] {
        let fail = move |_: &mut Registry, _: Sent| {
            if panics {
                panic!("{SCRIPTED}");
            }
            Err(SCRIPTED.into())
        };
        let trace = Trace::new();
        let hooked = trace.clone();
        let mut reactor = Reactor::builder()
            .on_error(move |_, source, error| {
                assert_eq!(source, ErrorSource::Sent);
                hooked.add(format!("hook:{error}"));
            })
            .build()
            .unwrap();
        let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
        trace.clear();
        let mut channel = reactor.channel(id).unwrap();
        channel.push_then("x", fail);
        channel.push_then("y", note(&trace, "next"));
        settle(&mut reactor);
        let text = if panics {
            "panicked: scripted"
        } else {
            "scripted"
        };
        assert_eq!(trace.joined(), format!("error:{text} next:1"));
        assert!(reactor.channel(id).is_none());

        let (id, _theirs) = settled(&mut reactor, Recorder::new(&trace));
        trace.clear();
        let mut channel = reactor.channel(id).unwrap();
        channel.push_then(Part::producer(from_fn(|| Ok(Produced::Pending))), fail);
        channel.close();
        settle(&mut reactor);
        assert_eq!(trace.joined(), format!("hook:{text}"));
    }
}

/// Closes a channel when it is told anything. It does not write by itself.
struct Closes(ChannelId);

impl Dispatcher for Closes {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        // More than copies, so that closures are called within the visit.
        channel.push_with_producer("closing\n");
        channel.registry().channel(self.0).ok_or("closed")?.close();
        Ok(())
    }
}

#[test]
fn what_the_error_hook_pushes_to_the_channel_of_the_visit_leaves_with_it() {
    let operator = Rc::new(Cell::new(None));
    let console = Rc::clone(&operator);
    let mut reactor = Reactor::builder()
        .on_error(move |registry, _, error| {
            let id = console.get().expect("no operator");
            writeln!(registry.channel(id).unwrap(), "{error}").unwrap();
        })
        .build()
        .unwrap();
    let trace = Trace::new();
    let (victim, _theirs) = settled(&mut reactor, Recorder::new(&trace));
    let endless = Part::producer(from_fn(|| Ok(Produced::Pending)));
    let fail = |_: &mut Registry, _: Sent| Err("cut off".into());
    reactor.channel(victim).unwrap().push_then(endless, fail);
    settle(&mut reactor);

    let (id, mut theirs) = settled(&mut reactor, Closes(victim));
    operator.set(Some(id));
    theirs.write_all(b"close it\n").unwrap();
    read_while(&mut reactor, &mut theirs, |got| {
        got == b"closing\ncut off\n"
    });
}

#[test]
fn a_closure_that_closes_channels_pushes_on_them_and_registers_more_is_served() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (other, mut there) = settled(&mut reactor, Recorder::named(&trace, "other"));
    let (id, _theirs) = settled(&mut reactor, Recorder::named(&trace, "a"));
    trace.clear();
    let (here, noted) = (tcp_pair().0, trace.clone());
    let mut channel = reactor.channel(id).unwrap();
    channel.push_then("x", move |registry, sent| {
        registry.channel(sent.channel).unwrap().close();
        let mut other = registry.channel(other).unwrap();
        other.push("farewell");
        other.push_then("!", note(&noted, "other"));
        other.close();
        registry.register(here, Recorder::named(&noted, "new"))?;
        Ok(())
    });
    channel.push_then("y", note(&trace, "a"));
    channel.push_then(
        Part::producer(from_fn(|| Ok(Produced::Pending))),
        note(&trace, "never"),
    );
    settle(&mut reactor);
    let mut received = String::new();
    there.read_to_string(&mut received).unwrap();
    assert_eq!(received, "farewell!");
    let lines = trace.lines();
    for line in ["a:1", "never:0 cut", "other:1", "new.connect"] {
        assert!(trace.count(line) == 1, "{line}: {lines:?}");
    }
}

/// Each closure pushes the next part.
fn chain(channel: &mut Channel<'_>, part: &'static str, told: Rc<Cell<usize>>) {
    channel.push_then(part, move |registry, sent| {
        told.set(told.get() + 1);
        if let Some(mut channel) = registry.channel(sent.channel) {
            chain(&mut channel, part, told);
        }
        Ok(())
    });
}

#[test]
fn closures_that_push_for_ever_leave_the_others_their_turn() {
    for part in ["", "x"] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (id, theirs) = settled(&mut reactor, Recorder::new(&trace));
        let told = Rc::new(Cell::new(0));
        chain(&mut reactor.channel(id).unwrap(), part, told.clone());
        for turn in 1..200 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
            assert!((turn..=4 * turn).contains(&told.get()), "{}", told.get());
        }
        theirs.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut reactor, |_| trace.has("close"));
    }
    // And on a channel that is closed.
    let mut reactor = reactor();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    fn again(channel: &mut Channel<'_>, told: Rc<Cell<usize>>) {
        channel.close();
        let id = channel.id();
        channel.push_then("x", move |registry, sent| {
            assert_eq!((sent.channel, sent.complete), (id, false));
            assert!(registry.channel(id).is_none());
            told.set(told.get() + 1);
            Ok(())
        });
    }
    let told = Rc::new(Cell::new(0));
    again(&mut reactor.channel(id).unwrap(), told.clone());
    run(&mut reactor);
    assert_eq!(told.get(), 1);
}

#[test]
fn a_reactor_that_is_dropped_drops_the_closures_uncalled() {
    struct Bomb(Rc<Cell<usize>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("{SCRIPTED}: dropped");
        }
    }
    silence_scripted_panics();
    let dropped = Rc::new(Cell::new(0));
    let mut reactor = Reactor::new().unwrap();
    for _ in 0..2 {
        let (id, _theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
        let mut channel = reactor.channel(id).unwrap();
        for _ in 0..3 {
            let bomb = Bomb(Rc::clone(&dropped));
            channel.push_then("x", move |_, _| {
                drop(bomb);
                unreachable!("called")
            });
        }
    }
    drop(reactor);
    assert_eq!(dropped.get(), 6);
}

#[test]
fn a_panic_that_leaves_the_loop_takes_no_other_closure_along() {
    silence_scripted_panics();
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _theirs) = settled(&mut reactor, Recorder::new(&Trace::new()));
    let mut channel = reactor.channel(id).unwrap();
    channel.push_then("x", |_, _| panic!("{SCRIPTED}"));
    channel.push_then("y", note(&trace, "next"));
    let turn = std::panic::AssertUnwindSafe(|| reactor.turn(Some(Duration::ZERO)));
    assert!(std::panic::catch_unwind(turn).is_err());
    settle(&mut reactor);
    assert_eq!(trace.joined(), "next:1");
}

/// However it ends: out of its own callback, by another one, from outside, and by a closure of `push_then`.
#[test]
fn a_part_that_is_cut_off_is_told_before_handle_closed() {
    fn pending() -> Part {
        Part::producer(from_fn(|| Ok(Produced::Pending)))
    }
    for closer in [
        "itself",
        "another",
        "a drain",
        "a closure",
        "outside",
        "handle_closed",
    ] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        let noted = trace.clone();
        recorder.on_closed = Some(Box::new(move |_, why| {
            noted.add(format!("closed:{}", why.unsent));
        }));
        if closer == "itself" {
            let noted = trace.clone();
            recorder.on_read = Some(Box::new(move |channel| {
                if noted.has("read:1") {
                    channel.close();
                }
                Ok(())
            }));
        }
        let (id, mut theirs) = settled(&mut reactor, recorder);
        let mut other = Recorder::named(&trace, "other");
        if closer == "another" {
            let noted = trace.clone();
            other.on_read = Some(Box::new(move |channel| {
                if noted.has("other.read:1") {
                    channel.registry().channel(id).unwrap().close();
                }
                Ok(())
            }));
        }
        other.on_drain = Some(Box::new(move |channel| {
            channel.registry().channel(id).unwrap().close();
            Ok(())
        }));
        if closer == "handle_closed" {
            other.on_closed = Some(Box::new(move |registry, _| {
                registry.channel(id).unwrap().close();
            }));
        }
        let (other, mut others) = settled(&mut reactor, other);
        trace.clear();
        let mut channel = reactor.channel(id).unwrap();
        channel.push_then(pending(), note(&trace, "part"));
        channel.push_then("behind", note(&trace, "behind"));
        settle(&mut reactor);
        let byte = b"x";
        match closer {
            "itself" => io::Write::write_all(&mut theirs, byte).unwrap(),
            "another" => io::Write::write_all(&mut others, byte).unwrap(),
            // At the end of the turn, after the visits and the timers.
            "a drain" => {
                let mut other = reactor.channel(other).unwrap();
                other.set_watermarks(0, 10);
                other.push(vec![0; 100]);
            }
            "a closure" => {
                let mut other = reactor.channel(other).unwrap();
                other.push_then("", move |registry, _| {
                    registry.channel(id).unwrap().close();
                    Ok(())
                });
            }
            "outside" => reactor.channel(id).unwrap().close(),
            _ => reactor.channel(other).unwrap().close(),
        }
        turn_until(&mut reactor, |_| trace.has("closed:6"));
        let mut lines = trace.lines();
        lines.retain(|line| !line.starts_with("other.") && !line.contains("read"));
        let expected = ["part:0 cut", "behind:0 cut", "closed:6"];
        assert_eq!(lines, expected, "{closer}");
    }
}

/// A closure that is not called in a visit of its channel may change what the object wants, too.
#[test]
fn the_object_is_asked_again_after_a_closure() {
    struct Waits(Rc<Cell<bool>>);
    impl asynchat::Dispatcher for Waits {
        fn readable(&self) -> bool {
            self.0.get()
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut byte = [0];
            channel.recv(&mut byte)?;
            channel.push_then(byte.to_vec(), |_, _| Ok(()));
            self.0.set(false);
            let wants = Rc::clone(&self.0);
            channel.push_then("", move |_, _| {
                wants.set(true);
                Ok(())
            });
            Ok(())
        }
    }
    /// Pushes nothing but an empty part.
    struct Silent(Rc<Cell<bool>>, Rc<RefCell<Vec<u8>>>);
    impl asynchat::Dispatcher for Silent {
        fn readable(&self) -> bool {
            self.0.get()
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut byte = [0];
            channel.recv(&mut byte)?;
            self.1.borrow_mut().push(byte[0]);
            self.0.set(false);
            let wants = Rc::clone(&self.0);
            channel.push_then("", move |_, _| {
                wants.set(true);
                Ok(())
            });
            Ok(())
        }
    }
    let mut reactor = reactor();
    let wants = Rc::new(Cell::new(true));
    let (_, mut theirs) = settled(&mut reactor, Waits(Rc::clone(&wants)));
    io::Write::write_all(&mut theirs, b"input").unwrap();
    let received = read_while(&mut reactor, &mut theirs, |got| got.len() == 5);
    assert_eq!(received, b"input");

    let read: Rc<RefCell<Vec<u8>>> = Rc::default();
    let wants = Rc::new(Cell::new(true));
    let (_, mut theirs) = settled(&mut reactor, Silent(wants, Rc::clone(&read)));
    io::Write::write_all(&mut theirs, b"input").unwrap();
    turn_until(&mut reactor, |_| *read.borrow() == b"input");
}
