//! Sealed and unsent bytes count as unsent: in `outgoing_len`, watermarks, `close_when_done` and idle timeouts.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Write},
    rc::Rc,
    time::Duration,
};

use asynchat::{Cause, Channel, testing::Harness};
use util::{
    Recorder, Trace,
    peer::{pair, read_while},
    settle,
    toy::{Call, Far, HEAD, Toy},
    turn_until,
};

use super::{Line, SECOND, builder, words};

#[test]
fn what_is_sealed_and_unsent_counts_in_outgoing_len() {
    let mut line = Line::open(|_| ());
    line.peer.set_window(10);
    line.on(|channel| channel.push(vec![b'x'; 1000]));
    // The last ten bytes have left the channel while they wait for the peer.
    for _ in 0..(1000 + HEAD) / 10 {
        line.on(|channel| assert!(channel.outgoing_len() > 0));
        assert!(line.take());
    }
    line.on(|channel| assert_eq!(channel.outgoing_len(), 0));
}

#[test]
fn watermarks_count_what_is_sealed_and_unsent() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.set_watermarks(0, 100));
    line.peer.set_window(10);
    line.on(|channel| channel.push(vec![b'x'; 1000]));
    line.on(|channel| assert!(channel.is_congested()));
    for _ in 0..(1000 + HEAD) / 10 {
        assert_eq!(words(&line.trace), "", "drained while something is unsent");
        assert!(line.take());
    }
    line.exchange();
    assert_eq!(line.news(), "drain");
    line.on(|channel| assert!(!channel.is_congested()));
    // Without a high mark in between, none.
    line.on(|channel| channel.push("few"));
    line.exchange();
    assert_eq!(line.news(), "");
}

#[test]
fn close_when_done_waits_for_what_is_sealed() {
    for window in [1, 10, 1000] {
        let mut line = Line::open(|_| ());
        line.peer.set_window(window);
        line.on(|channel| {
            channel.push(vec![b'x'; 2000]);
            channel.close_when_done();
        });
        assert!(!line.peer.has_ended());
        assert_eq!(line.hear().len(), 2000, "window {window}");
        assert!(
            line.far.has_end() && line.peer.has_ended(),
            "window {window}"
        );
        assert!(!line.peer.is_closed(), "window {window}: it lingers");
        line.peer.eof();
        assert!(line.peer.is_closed());
        assert_eq!(line.news(), "closed:Done", "window {window}");
    }
}

#[test]
fn the_idle_timeout_runs_while_a_sealed_rest_is_unsent() {
    for closing in [false, true] {
        let mut line = Line::open(|_| ());
        line.peer.set_window(10);
        line.on(|channel| {
            channel.set_idle_timeout(Some(10 * SECOND));
            channel.push(vec![b'x'; 100]);
            if closing {
                channel.close_when_done();
            }
        });
        // What the peer takes is traffic, also of what was sealed long ago.
        for _ in 0..3 {
            line.peer.advance(9 * SECOND);
            assert!(!line.peer.is_closed(), "closing {closing}");
            assert!(line.take());
        }
        line.peer.advance(10 * SECOND);
        assert!(line.peer.is_closed());
        let timeout = if closing { "" } else { "timeout " };
        assert_eq!(line.news(), format!("{timeout}closed:IdleTimeout"));
    }
}

#[test]
fn received_plaintext_is_traffic() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.set_idle_timeout(Some(10 * SECOND)));
    for _ in 0..3 {
        line.peer.advance(9 * SECOND);
        line.say("x");
    }
    line.peer.advance(10 * SECOND - Duration::from_millis(1));
    assert!(!line.peer.is_closed());
    line.peer.advance(Duration::from_millis(1));
    assert!(line.news().ends_with("timeout closed:IdleTimeout"));
}

#[test]
fn a_part_is_told_when_its_record_has_left_and_not_when_it_is_sealed() {
    let mut line = Line::open(|_| ());
    line.peer.set_window(0);
    let told = Rc::new(Cell::new(false));
    let tell = told.clone();
    line.on(move |channel| {
        channel.push_then("hello", move |_, _| {
            tell.set(true);
            Ok(())
        });
    });
    assert!(!told.get(), "nothing has left");
    line.peer.set_window(usize::MAX);
    assert_eq!(line.hear(), b"hello");
    assert!(told.get());
}

#[test]
fn each_part_is_told_what_of_it_has_left_and_not_before() {
    const PARTS: [u64; 3] = [100, 100_000, 10_000_000];
    const WINDOW: u32 = 300_000;
    let mut line = Line::open(|_| ());
    line.peer.set_window(WINDOW as usize);
    let told: Rc<RefCell<Vec<(u64, bool)>>> = Rc::default();
    let tell = told.clone();
    line.on(move |channel| {
        for len in PARTS {
            let tell = tell.clone();
            channel.push_then(vec![b'x'; len as usize], move |_, sent| {
                tell.borrow_mut().push((sent.bytes, sent.complete));
                Ok(())
            });
        }
    });
    let whole = [(PARTS[0], true), (PARTS[1], true)];
    assert!(whole.starts_with(&told.borrow()), "the third has not left");
    line.on(|channel| channel.close());
    assert_eq!(told.borrow()[..2], whole);
    let [_, _, (bytes, false)] = told.borrow()[..] else {
        panic!("{:?}", told.borrow());
    };
    let left = u64::from(WINDOW) - PARTS[0] - PARTS[1];
    // The heads of records, and a record that has not left to its end.
    let doubt = 17 * 1024;
    assert!((left - doubt..=left).contains(&bytes), "{bytes} of {left}");
}

#[test]
fn closures_behind_sealed_bytes_count_for_the_bound_of_the_queue() {
    let mut line = Line::open(|_| ());
    line.peer.set_window(0);
    line.on(|channel| {
        channel.set_max_outgoing(1_000);
        channel.push("x");
    });
    let told = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let told = told.clone();
        Line::channel(&mut line.peer, |channel| {
            channel.push_then("", move |_, _| {
                told.set(told.get() + 1);
                Ok(())
            });
        });
    }
    line.peer.advance(Duration::ZERO);
    assert!(line.news().starts_with("error:"));
    assert_eq!(told.get(), 10);
}

#[test]
fn an_empty_part_behind_an_upgrade_is_told_behind_the_clear_ones() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let mut peer = Harness::with_builder(builder(), Recorder::new(&Trace::new()));
    peer.set_window(0);
    let push = |channel: &mut Channel<'_>, text: &'static str| {
        let told = told.clone();
        channel.push_then(text, move |_, sent| {
            told.borrow_mut().push((text, sent.bytes, sent.complete));
            Ok(())
        });
    };
    Line::channel(&mut peer, |channel| {
        push(channel, "clear");
        channel.upgrade(Toy::server()).unwrap();
        push(channel, "");
    });
    peer.advance(SECOND);
    assert!(told.borrow().is_empty(), "{:?}", told.borrow());
    peer.set_window(usize::MAX);
    assert_eq!(peer.output(), b"clear");
    peer.upgrade(Toy::client());
    assert_eq!(*told.borrow(), [("clear", 5, true), ("", 0, true)]);
}

#[test]
fn send_seals_at_once_and_refuses_while_something_is_unsent() {
    let mut line = Line::open(|_| ());
    line.on(|channel| assert_eq!(channel.send(b"hello").unwrap(), 5));
    assert_eq!(line.hear(), b"hello");
    line.peer.set_window(3);
    let taken = line.on(|channel| channel.send(&[b'x'; 1000]).unwrap());
    assert!(taken > 0);
    line.on(|channel| {
        assert_eq!(
            channel.send(b"more").unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(channel.outgoing_len() > 0);
        channel.push("pushed");
    });
    let heard = line.hear();
    assert_eq!(heard, [&vec![b'x'; taken][..], b"pushed"].concat());
    line.peer.set_window(usize::MAX);
    line.on(|channel| {
        channel.push("first ");
        let sent = channel.send(b"second");
        assert_eq!(
            sent.unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "it would overtake"
        );
    });
    assert_eq!(line.hear(), b"first ");
}

#[test]
fn a_channel_that_sends_by_itself_is_told_when_there_is_room() {
    let rest = Rc::new(RefCell::new(vec![b'x'; 50_000]));
    let left = rest.clone();
    let mut line = Line::implicit(|it| {
        it.on_write = Some(Box::new(move |channel| {
            let mut left = left.borrow_mut();
            if left.is_empty() {
                channel.close_when_done();
                return Ok(());
            }
            let taken = channel.send(&left)?;
            left.drain(..taken);
            Ok(())
        }));
        it.writable = true;
    });
    line.peer.set_window(1000);
    assert_eq!(line.hear().len(), 50_000);
    assert!(line.far.has_end());
    line.watch.check();
}

#[test]
fn small_buffers_get_all_of_a_record() {
    for size in [1, 3, 1000] {
        let mut line = Line::open(|it| it.read_size = size);
        let sent = util::files::content(5, 5000);
        line.say(&sent);
        assert!(line.received() == sent, "reads of {size}");
        line.far.end();
        line.feed();
        assert_eq!(line.trace.count("close"), 1, "reads of {size}");
    }
}

#[test]
fn max_outgoing_holds_for_plaintext() {
    let mut line = Line::open(|it| it.on_error = Some(Box::new(|_| Ok(()))));
    line.peer.set_window(0);
    line.on(|channel| {
        channel.set_max_outgoing(1000);
        channel.push(vec![b'x'; 900]);
        channel.push(vec![b'y'; 900]);
    });
    let news = line.news();
    assert!(
        news.starts_with("error:") && news.contains("1000"),
        "{news}"
    );
    line.peer.set_window(usize::MAX);
    assert_eq!(line.hear(), vec![b'x'; 900]);
}

#[test]
fn shutdown_write_sends_the_end_and_goes_on_reading() {
    let mut line = Line::open(|_| ());
    line.on(|channel| {
        channel.push("all");
        channel.shutdown_write();
    });
    assert_eq!(line.hear(), b"all");
    assert!(line.far.has_end() && line.peer.has_ended() && !line.peer.is_closed());
    line.say("still");
    assert_eq!(line.received(), b"still");
    line.on(|channel| channel.push("dropped"));
    assert_eq!(line.hear(), b"");
    assert_eq!(line.watch.calls(Call::End), 1);
    line.far.end();
    line.feed();
    line.peer.eof();
    assert!(line.peer.is_closed());
    assert_eq!(line.peer.closed(), Some(Cause::EndOfFile));
    line.watch.check_gone();
}

#[test]
fn send_in_a_handshake_leaves_it_alone() {
    let mut reactor = builder().build().unwrap();
    let trace = Trace::new();
    let mut channels = ["first", "second"].map(|name| {
        let (ours, theirs) = pair();
        let id = reactor.register(ours, Recorder::named(&trace, name));
        let id = id.unwrap();
        reactor.channel(id).unwrap().upgrade(Toy::server()).unwrap();
        (id, theirs)
    });
    settle(&mut reactor);
    // When one is connected, the other has its first flight in the same turn. Pollers give them in either order.
    let ids = [channels[0].0, channels[1].0];
    for (at, name) in ["first", "second"].into_iter().enumerate() {
        let (other, seen) = (1 - at, trace.clone());
        let mut object = Recorder::named(&trace, name);
        object.on_connect = Some(Box::new(move |channel| {
            if !seen.has(["first.connect", "second.connect"][other]) {
                let mut other = channel.registry().channel(ids[other]).unwrap();
                let sent = other.send(b"x");
                assert_eq!(sent.unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            Ok(())
        }));
        reactor.channel(ids[at]).unwrap().replace(object);
    }
    for (_, theirs) in &mut channels {
        theirs.write_all(&Far::client().wire()).unwrap();
    }
    turn_until(&mut reactor, |_| {
        trace.has("first.connect") && trace.has("second.connect")
    });
    for (_, theirs) in &mut channels {
        let mut far = Far::client();
        far.take(&read_while(&mut reactor, theirs, |got| !got.is_empty()));
        assert!(far.is_open());
    }
}

#[test]
fn a_push_onto_what_is_sealed_congests() {
    let mut line = Line::open(|_| ());
    line.on(|channel| channel.set_watermarks(10, 1000));
    line.peer.set_window(0);
    line.on(|channel| {
        channel.push(vec![b'x'; 900]);
        assert!(!channel.is_congested());
    });
    line.on(|channel| {
        channel.push(vec![b'y'; 200]);
        assert!(channel.is_congested(), "{} bytes", channel.outgoing_len());
        channel.set_max_outgoing(1500);
        channel.push(vec![b'z'; 500]);
    });
    let news = line.news();
    assert!(
        news.starts_with("error:") && news.contains("1100 bytes wait"),
        "1,600 bytes of at most 1,500: {news}"
    );
    line.peer.set_window(usize::MAX);
    line.exchange();
}
