//! Callbacks: their order (R4), and nothing after close (R6).

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Produced, Reactor, State, from_fn};
use util::{
    Recorder, Trace,
    peer::{read_to_end, tcp_pair},
    reactor, run, serve, settle, turn_until,
};

use super::stage::{Callback, stage, with_input};

/// The trace without reads that found nothing: those come where the poller's system wants them.
pub(super) fn words(trace: &Trace) -> Vec<String> {
    let mut lines = trace.lines();
    lines.retain(|line| !line.ends_with("read!WouldBlock"));
    lines
}

// ---- R4: order

#[test]
fn handle_connect_is_the_first_callback_of_accepted_adopted_and_connecting_streams() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let of_server = trace.clone();
    let (_, address) = serve(&mut reactor, move |_| {
        let mut recorder = Recorder::named(&of_server, "accepted");
        recorder.on_connect = Some(Box::new(|channel| {
            channel.push("220 ready\r\n");
            Ok(())
        }));
        recorder
    });
    let mut connecting = Recorder::named(&trace, "connecting");
    connecting.writable = true;
    let id = reactor.connect(address, connecting).unwrap();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"early").unwrap();
    let mut adopted = Recorder::named(&trace, "adopted");
    adopted.writable = true;
    reactor.register(ours, adopted).unwrap();
    assert!(
        trace.lines().is_empty(),
        "no callback from inside connect and register"
    );
    assert_eq!(reactor.channel(id).unwrap().state(), State::Connecting);

    turn_until(&mut reactor, |_| {
        trace.has("connecting.read:11") && trace.has("adopted.read:5")
    });
    for name in ["accepted.", "adopted.", "connecting."] {
        let lines = trace.lines();
        let first = lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(*first, format!("{name}connect"));
        assert_eq!(trace.count(first), 1, "{lines:?}");
    }
}

#[test]
fn register_in_a_callback_calls_the_new_object_in_a_later_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::named(&trace, "first");
    let (second, _other) = tcp_pair();
    let mut second = Some((second, Recorder::named(&trace, "second")));
    recorder.on_connect = Some(Box::new(move |channel| {
        if let Some((socket, object)) = second.take() {
            channel.registry().register(socket, object)?;
        }
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("first.connect"));
    assert!(
        !trace.has("second.connect"),
        "what is added during a turn waits"
    );
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(trace.has("second.connect"));
}

#[test]
fn one_visit_reads_reports_the_close_flushes_and_then_writes() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let peer = Rc::new(RefCell::new(theirs.try_clone().unwrap()));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 5;
    recorder.writable = true;
    recorder.on_close = Some(Box::new(|channel| {
        channel.push("last words");
        Ok(())
    }));
    let (from, into) = (peer.clone(), seen.clone());
    recorder.on_write = Some(Box::new(move |channel| {
        let _ = from.borrow_mut().read_to_end(&mut into.borrow_mut());
        assert_eq!(channel.outgoing_len(), 0);
        if !into.borrow().is_empty() {
            channel.close();
        }
        Ok(())
    }));
    theirs.write_all(b"hello").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    reactor.register(ours, recorder).unwrap();

    turn_until(&mut reactor, |reactor| reactor.stats().channels == 0);
    assert_eq!(
        *seen.borrow(),
        b"last words",
        "flushed before handle_write, in the same visit"
    );
    let lines = trace.lines();
    assert_eq!(lines[..2], ["connect", "read:5"]);
    assert_eq!(
        lines[lines.len() - 3..],
        ["eof", "close", "write"],
        "{lines:?}"
    );
}

#[test]
fn handle_write_waits_for_a_producer_too() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.writable = true;
    let ready = Rc::new(Cell::new(false));
    let done = ready.clone();
    recorder.on_connect = Some(Box::new(move |channel| {
        let done = done.clone();
        channel.push_with_producer(from_fn(move || {
            Ok(match done.get() {
                true => Produced::Done,
                false => Produced::Pending,
            })
        }));
        Ok(())
    }));
    recorder.on_write = Some(Box::new(|channel| {
        channel.close();
        Ok(())
    }));
    let id = reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    assert!(
        !trace.has("write"),
        "the socket has room, but the queue is not empty"
    );
    ready.set(true);
    reactor.channel(id).unwrap().touch();
    turn_until(&mut reactor, |_| trace.has("write"));
}

// ---- R6: nothing after close

#[test]
fn nothing_follows_a_close_of_self_in_any_callback() {
    for &callback in Callback::ALL {
        let mut reactor = reactor();
        let trace = Trace::new();
        let object = Rc::new(());
        let held = object.clone();
        let mut staged = stage(&mut reactor, &trace, callback, move |channel| {
            assert_eq!(Rc::strong_count(&held), 2);
            channel.close();
            assert_eq!(channel.state(), State::Closed);
            channel.push("dropped");
            channel.close();
            Ok(())
        });
        turn_until(&mut reactor, |_| trace.has(callback.word()));
        assert_eq!(
            Rc::strong_count(&object),
            1,
            "{callback:?}: the object lives on"
        );
        assert!(reactor.channel(staged.id).is_none(), "{callback:?}");
        if let Some(peer) = &mut staged.peer {
            // The peer may have noticed and refuse.
            let _ = peer
                .write_all(b"too late")
                .and_then(|()| peer.shutdown(Shutdown::Both));
        }
        settle(&mut reactor);
        let lines = trace.lines();
        assert_eq!(
            lines.last().unwrap(),
            callback.word(),
            "{callback:?}: {lines:?}"
        );
        assert_eq!(trace.count(callback.word()), 1, "{callback:?}: {lines:?}");
        assert_eq!(reactor.stats().timers, 0, "{callback:?}");
    }
}

#[test]
fn another_channel_is_silent_once_any_callback_has_closed_it() {
    for &callback in Callback::ALL {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (other, _peer) = with_input(&mut reactor, &trace, "other");
        let note = trace.clone();
        let mut staged = stage(&mut reactor, &trace, callback, move |channel| {
            if let Some(mut other) = channel.registry().channel(other) {
                other.close();
                note.add("closed other");
            }
            channel.close();
            Ok(())
        });
        turn_until(&mut reactor, |_| trace.has("closed other"));
        drop(staged.peer.take());
        settle(&mut reactor);
        let lines = trace.lines();
        let at = lines
            .iter()
            .position(|line| line == "closed other")
            .unwrap();
        assert!(
            lines[at..].iter().all(|line| !line.starts_with("other.")),
            "{callback:?}: {lines:?}"
        );
        assert!(reactor.channel(other).is_none(), "{callback:?}");
    }
}

/// Two channels with input in one batch, each of which does `act` to the other when it reads.
fn duel(
    reactor: &mut Reactor,
    trace: &Trace,
    act: impl Fn(&mut Channel<'_>, ChannelId) + 'static,
) -> [TcpStream; 2] {
    let act = Rc::new(act);
    let ids = Rc::new(RefCell::new(Vec::new()));
    let mut peers = ["one", "two"].map(|name| {
        let (ours, theirs) = tcp_pair();
        let mut recorder = Recorder::named(trace, name);
        let (ids, act) = (ids.clone(), act.clone());
        let of_object = ids.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            let other = of_object
                .borrow()
                .iter()
                .copied()
                .find(|&id| id != channel.id());
            act(channel, other.unwrap());
            Ok(())
        }));
        ids.borrow_mut()
            .push((reactor.register(ours, recorder).unwrap(), ()).0);
        theirs
    });
    // The first visit tries a read that finds nothing; let it pass without a duel.
    let both = std::mem::take(&mut *ids.borrow_mut());
    ids.borrow_mut().extend([both[0], both[1]]);
    for peer in &mut peers {
        peer.write_all(b"hello").unwrap();
    }
    peers
}

#[test]
fn a_channel_closed_by_another_is_not_called_later_in_the_same_batch() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let _peers = duel(&mut reactor, &trace, |channel, other| {
        if let Some(mut other) = channel.registry().channel(other) {
            other.close();
        }
    });
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.lines(), ["one.connect", "one.read:5"]);
    // With the loser's `handle_closed`.
    assert_eq!(turn.callbacks, 3);
    settle(&mut reactor);
    let of_loser = trace
        .lines()
        .iter()
        .filter(|l| l.starts_with("two."))
        .count();
    assert_eq!(of_loser, 0, "{:?}", trace.lines());
    assert_eq!(reactor.stats().channels, 1);
}

#[test]
fn input_that_arrived_before_close_is_dropped() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 2;
    recorder.on_read = Some(Box::new(|channel| {
        if let Err(error) = channel.recv(&mut [0]) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            return Ok(());
        }
        channel.unread("pushed back");
        channel.close();
        let error = channel.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        Ok(())
    }));
    theirs.write_all(b"plenty of bytes").unwrap();
    reactor.register(ours, recorder).unwrap();
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect", "read:2"]);
}

/// R4 has no exception for a stream that is about to end.
#[test]
fn a_stream_that_is_to_close_before_its_first_visit_is_greeted_once() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("goodbye");
    channel.close_when_done();
    assert!(trace.lines().is_empty());
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"goodbye");
    drop(theirs);
    run(&mut reactor);
    assert_eq!(trace.lines(), ["connect"]);
}
