//! The callbacks of a chat and their defaults (R4, R7).

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{Shutdown, TcpListener, UdpSocket},
    rc::Rc,
    time::Duration,
};

use asynchat::ChatDispatcher;
use util::{Log, Trace, peer::pair, reactor, settle, turn_until};

use super::talk::{Chat, Plain, Talk, silent};

#[test]
fn handle_connect_comes_first_and_once_and_handle_close_last_and_once() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "connect" {
            chat.push("hello\n");
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb"), "connect c(a) F c(b)");
    assert_eq!(talk.heard(), "hello\n");
    assert_eq!(talk.end(), "close");
    assert!(!talk.is_open() && talk.is_dropped());
    assert_eq!(talk.heard(), "$");
}

#[test]
fn replies_to_one_read_leave_in_order_and_together() {
    let mut talk = Talk::new("\n", |word, chat| {
        match word {
            "connect" => {}
            "F" => {
                chat.push(";");
                chat.push_with_producer("(produced)");
                write!(chat, "{}!", 1)?;
            }
            _ => chat.push(word.to_owned()),
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F c(b) F");
    assert_eq!(talk.heard(), "c(a);(produced)1!c(b);(produced)1!");
}

#[test]
fn a_peer_that_half_closes_still_gets_its_reply() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "close" {
            chat.push("too late");
        } else if word.starts_with("c(") {
            chat.push("a reply\n");
        }
        Ok(())
    });
    talk.there.write_all(b"no terminator").unwrap();
    assert_eq!(talk.end(), "connect c(no terminator) close");
    assert_eq!(talk.heard(), "a reply\n$");
}

#[test]
fn handle_drain_comes_when_the_queue_fell_to_the_low_mark() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.set_watermarks(10, 100);
            chat.push(vec![b'x'; 200]);
            assert!(chat.is_congested());
        }
        Ok(())
    });
    assert_eq!(talk.say("\n"), "connect F drain");
}

#[test]
fn handle_timeout_comes_when_nothing_was_said_for_a_while() {
    let mut talk = Talk::new("\n", |word, chat| {
        match word {
            "connect" => chat.set_idle_timeout(Some(Duration::from_millis(10))),
            "timeout" => chat.close(),
            _ => {}
        }
        Ok(())
    });
    let trace = talk.trace.clone();
    turn_until(&mut talk.reactor, |_| trace.has("timeout"));
    assert_eq!(talk.rest(), "connect timeout");
    assert!(!talk.is_open());
}

#[test]
fn handle_expt_is_told_of_a_failed_connection() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut reactor = reactor();
    let trace = Trace::new();
    let chat = Chat {
        trace: trace.clone(),
        wants: Rc::new(Cell::new(true)),
        hook: Box::new(silent),
        _alive: Rc::new(()),
    };
    let id = reactor
        .connect(address, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.joined(), "failed:ConnectionRefused");
}

#[test]
fn a_chat_with_nothing_but_the_two_frame_callbacks_works_and_has_the_defaults() {
    let mut reactor = reactor();
    let (here, mut there) = pair();
    there.set_nonblocking(true).unwrap();
    let plain = Plain::default();
    let frames = Rc::clone(&plain.frames);
    let id = reactor
        .register(here, ChatDispatcher::new(plain, ";"))
        .unwrap();
    there.write_all(b"one;two;").unwrap();
    settle(&mut reactor);
    assert_eq!(*frames.borrow(), ["one", "two"]);
    // The default of handle_close: what is queued is sent, then the channel closes.
    there.write_all(b"three;").unwrap();
    there.shutdown(Shutdown::Write).unwrap();
    settle(&mut reactor);
    assert!(reactor.channel(id).is_none());
    let mut heard = String::new();
    there.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "<one><two><three>");
}

#[test]
fn the_defaults_of_handle_error_and_handle_timeout_close() {
    let log = Log::start();
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let dispatcher = ChatDispatcher::new(Plain::default(), ";");
    let id = reactor.register(here, dispatcher).unwrap();
    there.write_all(b"error;more;").unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert!(!log.lines("asked for").is_empty());

    let (here, _there) = pair();
    let dispatcher = ChatDispatcher::new(Plain::default(), ";");
    let id = reactor.register(here, dispatcher).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(Duration::from_millis(5)));
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
}

#[test]
fn a_chat_is_listed_under_the_name_of_its_own_type() {
    let mut reactor = reactor();
    let (here, _there) = pair();
    reactor
        .register(here, ChatDispatcher::new(Plain::default(), ";"))
        .unwrap();
    let name = reactor.channels().next().unwrap().type_name;
    assert!(name.ends_with("::Plain"), "{name}");
}

#[test]
fn close_when_done_sends_what_is_queued_and_delivers_no_more() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.push("bye\n");
            chat.close_when_done();
            chat.push("too late");
        }
        Ok(())
    });
    assert_eq!(talk.say("quit\nmore\n"), "connect c(quit) F");
    assert_eq!(talk.heard(), "bye\n$");
    assert!(!talk.is_dropped(), "the last callback comes with the end");
    drop(talk.there);
    settle(&mut talk.reactor);
    assert!(talk.reactor.channel(talk.id).is_none());
    assert_eq!(Rc::strong_count(&talk.alive), 1);
}

#[cfg(unix)]
#[test]
fn a_chat_over_a_pipe_whose_reader_has_gone_gets_handle_close() {
    for queued in [0, 1 << 20] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (reader, writer) = std::io::pipe().unwrap();
        let chat = Chat {
            trace: trace.clone(),
            wants: Rc::new(Cell::new(true)),
            hook: Box::new(|_, _| Ok(())),
            _alive: Rc::new(()),
        };
        let id = reactor
            .register(writer, ChatDispatcher::new(chat, "\n"))
            .unwrap();
        reactor.channel(id).unwrap().push(vec![0; queued]);
        settle(&mut reactor);
        drop(reader);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert_eq!(trace.joined(), "close");
    }
}

/// An empty datagram reads like an end of file and is none.
#[test]
fn an_empty_datagram_does_not_end_the_frame_begun() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    let chat = Chat {
        trace: trace.clone(),
        wants: Rc::new(Cell::new(true)),
        hook: Box::new(|_, _| Ok(())),
        _alive: Rc::new(()),
    };
    reactor
        .register(ours, ChatDispatcher::new(chat, "\r\n"))
        .unwrap();
    for datagram in ["half\r", "", "\n"] {
        theirs.send(datagram.as_bytes()).unwrap();
    }
    turn_until(&mut reactor, |_| trace.has("F"));
    settle(&mut reactor);
    assert_eq!(trace.joined(), "c(half) F");
}
