//! Handing sockets and objects on: `detach`, `replace`, `unread`, `with` (R11).

use std::{
    cell::{Cell, RefCell},
    io::Write,
    net::{Shutdown, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Address, Channel, Detached, Dispatcher, Produced, Reactor, Result, State, Stream, Unsent,
    VisitError, from_fn,
};
use util::{
    Recorder, Trace,
    peer::{narrow_tcp_pair, read_to_end, read_while, settled, tcp_pair},
    reactor, run, serve, settle, turn_until,
};

use super::closing::{Dropped, Owner, from_inside, pattern};

// ---- detach

#[test]
fn detach_gives_back_what_was_not_sent_and_what_was_not_used() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::named(&trace, "old"))
        .unwrap();
    settle(&mut reactor);
    trace.clear();
    let big = pattern(1 << 20);
    let mut channel = reactor.channel(id).unwrap();
    channel.push("small ");
    channel.push(big.clone());
    channel.push_with_producer(from_fn(|| Ok(Produced::Pending)));
    channel.push(" last");
    settle_once(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.unread("seen");
    theirs.write_all(b" and new").unwrap();
    let Detached {
        socket,
        unsent,
        unread,
        ..
    } = channel.detach().unwrap();
    assert!(reactor.channel(id).is_none() && reactor.is_idle());
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap().callbacks, 0);
    assert_eq!(unread, "seen");

    // What went out and what came back make up the whole, in order.
    let mut bytes = Vec::new();
    let mut producers = Vec::new();
    for part in unsent {
        match part {
            Unsent::Bytes(part) => bytes.extend_from_slice(&part),
            Unsent::Producer(producer) => producers.push((bytes.len(), producer)),
            other => panic!("not pushed: {other:?}"),
        }
    }
    assert_eq!(producers.len(), 1);
    assert_eq!(bytes.len() - producers[0].0, " last".len());
    let mut elsewhere = util::reactor();
    let recorder = Recorder::named(&trace, "new");
    let received = recorder.received.clone();
    let id = elsewhere.register(socket, recorder).unwrap();
    let rest = bytes.len();
    let mut channel = elsewhere.channel(id).unwrap();
    channel.push(bytes);
    channel.unread(unread);
    let whole = [b"small ", &*big, b" last"].concat();
    assert!(rest < whole.len() && rest > 0, "{rest} left");
    let got = read_while(&mut elsewhere, &mut theirs, |got| got.len() >= whole.len());
    assert!(got == whole, "{} bytes", got.len());
    turn_until(&mut elsewhere, |_| received.borrow().len() == 12);
    assert_eq!(*received.borrow(), b"seen and new");
    assert!(
        !trace.lines().iter().any(|line| line.starts_with("old.")),
        "{:?}",
        trace.lines()
    );
}

/// One turn without waiting.
fn settle_once(reactor: &mut Reactor) {
    reactor.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_detached_socket_works_in_another_reactor_with_what_had_already_arrived() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let taken = Rc::new(RefCell::new(None));
    let keep = taken.clone();
    let (id, mut theirs) = from_inside(&mut reactor, &trace, move |channel| {
        *keep.borrow_mut() = channel.detach();
        assert_eq!(channel.state(), State::Closed);
        assert!(channel.detach().is_none());
        channel.push("dropped");
    });
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    theirs.write_all(b"meanwhile").unwrap();
    run(&mut reactor);
    let detached = taken.borrow_mut().take().unwrap();
    assert!(detached.unsent.is_empty() && detached.unread.is_empty());
    assert_eq!(
        detached.socket.local_addr().unwrap(),
        Address::from(theirs.peer_addr().unwrap())
    );

    let mut elsewhere = util::reactor();
    let recorder = Recorder::named(&trace, "new");
    let received = recorder.received.clone();
    let id = elsewhere.register(detached.socket, recorder).unwrap();
    turn_until(&mut elsewhere, |_| *received.borrow() == b"meanwhile");
    // And it is watched: later bytes are noticed too, as is the end.
    settle(&mut elsewhere);
    theirs.write_all(b" and later").unwrap();
    turn_until(&mut elsewhere, |_| received.borrow().len() == 19);
    elsewhere.channel(id).unwrap().push("both ways");
    elsewhere.channel(id).unwrap().close_when_done();
    assert_eq!(read_to_end(&mut elsewhere, &mut theirs), b"both ways");
    assert_eq!(
        trace.lines()[..3],
        ["old.connect", "old.read:5", "new.connect"]
    );
}

#[test]
fn an_accepted_stream_can_be_detached_by_another_channels_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let last = Rc::new(Cell::new(None));
    let accepted = last.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "victim");
        let accepted = accepted.clone();
        recorder.on_connect = Some(Box::new(move |channel| {
            accepted.set(Some(channel.id()));
            Ok(())
        }));
        recorder
    });
    let mut client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| last.get().is_some());
    settle(&mut reactor);
    trace.clear();
    let (id, victim) = (Rc::new(RefCell::new(None)), last.get().unwrap());
    let keep = id.clone();
    let (_, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let registry = channel.registry();
        let detached = registry.channel(victim).unwrap().detach().unwrap();
        // Back in the same reactor, under a new id.
        let again = registry
            .register(detached.socket, Recorder::new(&Trace::new()))
            .unwrap();
        *keep.borrow_mut() = Some(again);
    });
    client.write_all(b"for whoever has it now").unwrap();
    turn_until(&mut reactor, |_| id.borrow().is_some());
    let again = id.borrow().unwrap();
    assert_ne!(again, victim);
    turn_until(&mut reactor, |reactor| {
        reactor
            .channels()
            .any(|info| info.id == again && info.bytes_in == 22)
    });
    assert!(reactor.channel(victim).is_none());
    assert!(
        !trace.lines().iter().any(|line| line.starts_with("victim.")),
        "{:?}",
        trace.lines()
    );
}

#[test]
fn a_detached_listener_keeps_its_backlog() {
    let mut reactor = reactor();
    let (listener, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let detached = reactor.channel(listener).unwrap().detach().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap().callbacks, 0);
    let trace = Trace::new();
    let of_server = trace.clone();
    struct Accepts(Trace);
    impl Dispatcher for Accepts {
        fn handle_accepted(&mut self, _: &mut Channel<'_>, _: Stream, _: Address) -> Result {
            self.0.add("accepted");
            Ok(())
        }
    }
    reactor
        .register(detached.socket, Accepts(of_server))
        .unwrap();
    turn_until(&mut reactor, |_| trace.has("accepted"));
}

// ---- replace

#[test]
fn replace_takes_effect_after_the_running_callback() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (object, dropped) = Dropped::new();
    let of_new = trace.clone();
    let count = dropped.clone();
    let (_, mut theirs) = from_inside(&mut reactor, &trace, move |channel| {
        let _moved_in = &object;
        channel.replace(Recorder::named(&of_new, "new"));
        assert_eq!(count.get(), 0, "the running object is alive");
        of_new.add("replaced");
    });
    turn_until(&mut reactor, |_| trace.has("replaced"));
    settle(&mut reactor);
    assert_eq!(dropped.get(), 1);
    theirs.write_all(b"more").unwrap();
    drop(theirs);
    run(&mut reactor);
    let lines: Vec<_> = trace
        .lines()
        .into_iter()
        .filter(|line| line != "new.read!WouldBlock")
        .collect();
    assert_eq!(
        lines,
        [
            "old.connect",
            "old.read:5",
            "replaced",
            "new.read:4",
            "new.eof",
            "new.close"
        ]
    );
}

#[test]
fn what_is_left_of_the_visit_goes_to_the_new_object() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"hello").unwrap();
    let mut first = Recorder::named(&trace, "first");
    let of_new = trace.clone();
    first.on_connect = Some(Box::new(move |channel| {
        channel.replace(Recorder::named(&of_new, "overridden"));
        channel.replace(Recorder::named(&of_new, "second"));
        Ok(())
    }));
    reactor.register(ours, first).unwrap();
    settle_once(&mut reactor);
    assert_eq!(trace.lines(), ["first.connect", "second.read:5"]);
}

#[test]
fn an_error_of_the_old_object_goes_to_the_new_one() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut first = Recorder::named(&trace, "first");
    let of_new = trace.clone();
    first.on_connect = Some(Box::new(move |channel| {
        channel.replace(Recorder::named(&of_new, "second"));
        Err("after replace".into())
    }));
    reactor.register(ours, first).unwrap();
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["first.connect", "second.error:after replace"]
    );
}

#[test]
fn replace_from_outside_and_from_another_channel_takes_effect_at_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (object, first) = Dropped::new();
    let (id, mut theirs) = settled(&mut reactor, Owner(object));
    let (object, second) = Dropped::new();
    reactor.channel(id).unwrap().replace(Owner(object));
    assert_eq!((first.get(), second.get()), (1, 0));
    let of_new = trace.clone();
    let (_, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let mut other = channel.registry().channel(id).unwrap();
        other.replace(Recorder::named(&of_new, "third"));
        assert_eq!(second.get(), 1);
    });
    turn_until(&mut reactor, |_| trace.has("old.read:5"));
    assert_eq!(
        reactor.with(id, |_: &mut Owner, _| ()),
        Err(VisitError::WrongType(id))
    );
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("third.read:5"));
    let info = reactor.channels().find(|info| info.id == id).unwrap();
    assert!(info.type_name.ends_with("Recorder"), "{info:?}");
}

#[test]
fn replace_gives_a_new_object_its_own_wishes() {
    struct Deaf;
    impl Dispatcher for Deaf {}
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Deaf);
    theirs.write_all(b"unread by default").unwrap();
    settle(&mut reactor);
    // No event is to come: the new object must be asked.
    reactor.channel(id).unwrap().replace(Recorder::new(&trace));
    turn_until(&mut reactor, |_| trace.has("read:17"));
}

#[test]
fn a_protocol_switch_mid_stream_loses_no_bytes() {
    /// Reads a line and hands over to the `Recorder` with the bytes behind it.
    struct Line(Option<Recorder>, Vec<u8>);
    impl Dispatcher for Line {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let line = &mut self.1;
            channel.recv_with(|_, data| line.extend_from_slice(data))?;
            if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                channel.unread(line.split_off(end + 1));
                channel.push("220 go ahead\n");
                channel.replace(self.0.take().ok_or("switched already")?);
            }
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let (_, mut theirs) = settled(&mut reactor, Line(Some(recorder), Vec::new()));
    theirs.write_all(b"STARTTLS\nhello").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"220 go ahead\n");
    assert_eq!(*received.borrow(), b"hello");
    assert_eq!(trace.lines()[0], "read:5");
    assert_eq!(trace.lines().last().unwrap(), "close");
}

#[test]
fn a_listener_can_be_given_another_object() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (listener, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let of_new = trace.clone();
    let acceptor = util::Acceptor(move |_: &Address| Recorder::named(&of_new, "new"));
    reactor.channel(listener).unwrap().replace(acceptor);
    let _client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| trace.has("new.connect"));
}

/// The object that takes over in the middle of a busy visit is the one whose wishes count.
#[test]
fn after_replace_the_new_object_is_asked() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut old = Recorder::named(&trace, "old");
    let heir = trace.clone();
    old.on_read = Some(Box::new(move |channel| {
        let mut new = Recorder::named(&heir, "new");
        new.writable = true;
        new.on_write = Some(Box::new(|channel| {
            channel.close();
            Ok(())
        }));
        channel.replace(new);
        Ok(())
    }));
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"x").unwrap();
    let id = reactor.register(ours, old).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert!(trace.has("new.write"), "{}", trace.joined());
}

// ---- unread

#[test]
fn what_was_unread_is_read_again_first_and_in_order() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let (id, mut theirs) = settled(&mut reactor, recorder);
    trace.clear();
    theirs.write_all(b"!").unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.unread("world");
    channel.unread("");
    channel.unread("hello ");
    turn_until(&mut reactor, |_| received.borrow().len() == 12);
    assert_eq!(*received.borrow(), b"hello world!");
    assert_eq!(trace.lines()[0], "read:11");

    // Without any event from the socket, and in pieces as small as the reader asks for.
    let (mut reactor, trace) = (util::reactor(), Trace::new());
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 2;
    let received = recorder.received.clone();
    let (id, theirs) = settled(&mut reactor, recorder);
    reactor.channel(id).unwrap().unread("again");
    turn_until(&mut reactor, |_| received.borrow().len() == 5);
    drop(theirs);
    run(&mut reactor);
    assert_eq!(*received.borrow(), b"again");
}

#[test]
fn handle_close_waits_for_what_was_unread() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 4;
    let note = trace.clone();
    recorder.on_read = Some(Box::new(move |channel| {
        if note.lines().last().unwrap() == "eof" && note.count("eof") == 1 {
            channel.unread("left over");
        }
        Ok(())
    }));
    drop(theirs);
    reactor.register(ours, recorder).unwrap();
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["connect", "eof", "read:4", "read:4", "read:1", "close"]
    );
}

// ---- with

#[test]
fn with_lends_the_object_and_what_it_does_takes_effect() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut recorder = Recorder::new(&trace);
    recorder.readable = false;
    let (id, mut theirs) = settled(&mut reactor, recorder);
    theirs.write_all(b"hello").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
    let answer = reactor.with(id, |recorder: &mut Recorder, channel| {
        recorder.readable = true;
        (recorder.name, channel.id())
    });
    assert_eq!(answer, Ok(("", id)));
    // It is asked again although no event comes.
    turn_until(&mut reactor, |_| trace.has("read:5"));
    let pushed = reactor.with(id, |_: &mut Recorder, channel| channel.push("pushed"));
    assert_eq!(pushed, Ok(()));
    let got = read_while(&mut reactor, &mut theirs, |got| got.len() == 6);
    assert_eq!(got, b"pushed");
}

#[test]
fn with_names_what_is_in_the_way() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (owner, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    assert_eq!(
        reactor.with(owner, |_: &mut Recorder, _| ()),
        Err(VisitError::WrongType(owner))
    );
    let (dead, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    reactor.channel(dead).unwrap().close();
    assert_eq!(
        reactor.with(dead, |_: &mut Owner, _| ()),
        Err(VisitError::Closed(dead))
    );
    // The slot is used again, the id is not.
    let (_, _peer) = settled(&mut reactor, Owner(Dropped::new().0));
    assert_eq!(
        reactor.with(dead, |_: &mut Owner, _| ()),
        Err(VisitError::Closed(dead))
    );

    let note = trace.clone();
    let (id, _peer) = from_inside(&mut reactor, &trace, move |channel| {
        let me = channel.id();
        let registry = channel.registry();
        let busy = registry.with(me, |_: &mut Recorder, _| ());
        assert_eq!(busy, Err(VisitError::Busy(me)));
        assert_eq!(
            registry.with(me, |_: &mut Owner, _| ()),
            Err(VisitError::Busy(me))
        );
        // Another's object may be borrowed, and from there neither of the two.
        let nested = registry.with(owner, |_: &mut Owner, other| {
            let registry = other.registry();
            let self_again = registry.with(owner, |_: &mut Owner, _| ());
            (self_again, registry.with(me, |_: &mut Recorder, _| ()))
        });
        let busy = |id| Err(VisitError::Busy(id));
        assert_eq!(nested, Ok((busy(owner), busy(me))));
        note.add("asked");
    });
    turn_until(&mut reactor, |_| trace.has("asked"));
    assert_eq!(reactor.with(id, |_: &mut Recorder, _| ()), Ok(()));
    assert_eq!(reactor.with(owner, |_: &mut Owner, _| ()), Ok(()));
}

#[test]
fn with_may_close_detach_or_replace_what_it_was_lent() {
    let mut reactor = reactor();
    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    let count = dropped.clone();
    let closed = reactor.with(id, |owner: &mut Owner, channel| {
        channel.close();
        assert_eq!(count.get(), 0, "{}", owner.0.panics);
        channel.registry().with(id, |_: &mut Owner, _| ())
    });
    assert_eq!(closed, Ok(Err(VisitError::Closed(id))));
    settle(&mut reactor);
    assert_eq!(dropped.get(), 1);

    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    let detached = reactor.with(id, |_: &mut Owner, channel| channel.detach());
    assert!(detached.unwrap().is_some());
    assert_eq!(dropped.get(), 1);

    let (object, dropped) = Dropped::new();
    let (id, _peer) = settled(&mut reactor, Owner(object));
    reactor
        .with(id, |_: &mut Owner, channel| {
            channel.replace(Recorder::new(&Trace::new()));
        })
        .unwrap();
    assert_eq!(dropped.get(), 1);
    assert_eq!(reactor.with(id, |_: &mut Recorder, _| ()), Ok(()));
}

#[test]
fn a_panic_inside_with_is_the_callers_and_the_object_stays() {
    let mut reactor = Reactor::new().unwrap();
    let trace = Trace::new();
    let (id, mut theirs) = settled(&mut reactor, Recorder::new(&trace));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        reactor.with(id, |_: &mut Recorder, _| panic!("mine"))
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"mine"));
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("read:5"));
}

/// What a factory returns is the object itself for everybody who looks: by type, by name, and after `replace`.
#[test]
fn an_object_that_comes_in_a_box_is_reached_by_its_own_type() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let make = |quiet: bool| -> Box<dyn Dispatcher> {
        if quiet {
            return Box::new(Owner(Dropped::new().0));
        }
        let mut recorder = Recorder::new(&trace);
        recorder.writable = true;
        recorder.on_write = Some(Box::new(|_| Err("boxed".into())));
        Box::new(recorder)
    };
    let (quiet, _peer) = settled(&mut reactor, make(true));
    assert_eq!(reactor.with(quiet, |_: &mut Owner, _| ()), Ok(()));
    let listener = reactor.listen(([127, 0, 0, 1], 0), make(true)).unwrap();
    assert_eq!(reactor.with(listener, |_: &mut Owner, _| ()), Ok(()));
    let address = util::address_of(&mut reactor, listener);
    let client = reactor.connect(address, make(false)).unwrap();
    assert_eq!(
        reactor.with(client, |_: &mut Box<dyn Dispatcher>, _| ()),
        Err(VisitError::WrongType(client))
    );
    let names: Vec<_> = reactor.channels().map(|info| info.type_name).collect();
    let owner = std::any::type_name::<Owner>();
    assert_eq!(names, [owner, owner, std::any::type_name::<Recorder>()]);
    turn_until(&mut reactor, |_| trace.has("error:boxed"));
    assert_eq!(trace.joined(), "connect write error:boxed");

    reactor.channel(quiet).unwrap().replace(make(false));
    assert_eq!(reactor.with(quiet, |_: &mut Recorder, _| ()), Ok(()));
}

/// A wrapper of an object of any type has all its callbacks to pass on.
#[test]
fn a_box_passes_every_callback_on() {
    struct Wrapper(Box<dyn Dispatcher>);
    impl Dispatcher for Wrapper {
        fn readable(&self) -> bool {
            self.0.readable()
        }
        fn writable(&self) -> bool {
            self.0.writable()
        }
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            Dispatcher::handle_connect(&mut self.0, channel)
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            Dispatcher::handle_read(&mut self.0, channel)
        }
        fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
            Dispatcher::handle_close(&mut self.0, channel)
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let wrapper = Wrapper(Box::new(Recorder::new(&trace)));
    let (_, mut theirs) = settled(&mut reactor, wrapper);
    theirs.write_all(b"hello").unwrap();
    drop(theirs);
    turn_until(&mut reactor, |_| trace.has("close"));
    assert!(trace.joined().starts_with("connect "));
    assert!(trace.joined().ends_with("read:5 eof close"));
}

/// Everything of a detached channel can go to another thread but a producer, which the program made for this one.
#[test]
fn the_parts_of_a_detached_channel_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let mut reactor = reactor();
    let trace = Trace::new();
    let (id, _peer) = settled(&mut reactor, Recorder::new(&trace));
    let mut channel = reactor.channel(id).unwrap();
    channel.push("unsent");
    let detached = channel.detach().unwrap();
    is_send(&detached.socket);
    is_send(&detached.unread);
    for part in detached.unsent {
        match part {
            Unsent::Bytes(bytes) => is_send(&bytes),
            Unsent::File(part) => is_send(&part),
            Unsent::Failed(error) => is_send(&error),
            _ => {}
        }
    }
}
