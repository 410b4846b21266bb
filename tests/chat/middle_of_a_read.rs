//! Closing, detaching, replacing and pausing in the middle of what was read (R3, R6, R10, R11).

use std::{
    cell::{Cell, RefCell},
    io::Write,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    Channel, ChatChannel, ChatDispatcher, Detached, Dispatcher, Produced, Result, State, Unsent,
    from_fn,
};
use util::{Recorder, Trace, peer::pair, reactor, settle};

use super::talk::{Chat, Talk, silent};

#[test]
fn close_stops_delivery_at_once() {
    for at in ["c(b)", "F"] {
        let mut talk = Talk::new("\n", move |word, chat| {
            if word == at {
                chat.push("lost");
                chat.close();
            }
            Ok(())
        });
        let calls = talk.say("a\nb\nc\n");
        assert_eq!(calls.matches(at).count(), 1, "{calls}");
        assert!(calls.ends_with(at), "{calls}");
        assert!(!talk.is_open() && talk.is_dropped());
        assert_eq!(talk.rest(), "");
    }
}

#[test]
fn every_call_after_close_is_harmless() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.close();
            assert_eq!(chat.state(), State::Closed);
            chat.set_terminator(0);
            chat.set_max_frame(Some(1));
            chat.push("nothing");
            write!(chat, "nothing")?;
            chat.touch();
            chat.discard_output();
            chat.close_when_done();
            chat.close();
            assert!(chat.detach().is_none());
            chat.replace(Recorder::new(&Trace::new()));
            chat.discard_input();
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F");
    assert!(!talk.is_open() && talk.is_dropped());
}

#[test]
fn close_all_stops_delivery_at_once() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.registry().close_all();
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F");
}

fn detached_at(at: &'static str, input: &str) -> (String, Detached, Talk) {
    let detached = Rc::new(RefCell::new(None));
    let mut talk = Talk::new("\r\n", {
        let detached = Rc::clone(&detached);
        move |word, chat| {
            if word == at {
                chat.push("queued");
                *detached.borrow_mut() = chat.detach();
                assert!(chat.detach().is_none(), "detached twice");
            }
            Ok(())
        }
    });
    let calls = talk.say(input);
    let detached = detached.take().expect(&calls);
    assert!(!talk.is_open() && talk.is_dropped());
    (calls, detached, talk)
}

#[test]
fn detach_gives_the_unread_rest_and_what_was_not_sent() {
    let (calls, detached, mut talk) = detached_at("F", "a\r\nb\r\nc");
    assert_eq!(calls, "connect c(a) F");
    assert_eq!(detached.unread, "b\r\nc");
    assert!(matches!(&detached.unsent[..], [Unsent::Bytes(b)] if b == "queued"));

    // The socket works on.
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = Rc::clone(&recorder.received);
    let id = talk.reactor.register(detached.socket, recorder).unwrap();
    talk.reactor.channel(id).unwrap().push("still here");
    talk.say("d");
    assert_eq!(*received.borrow(), b"d");
    assert_eq!(talk.heard(), "still here");
}

#[test]
fn detach_before_the_terminator_leaves_it_in_the_rest() {
    let (_, detached, _talk) = detached_at("c(a)", "a\r\nb");
    assert_eq!(detached.unread, "\r\nb");
    let (_, detached, _talk) = detached_at("c(a)", "a\r");
    assert_eq!(detached.unread, "\r");
}

#[test]
fn detach_from_outside_gives_what_was_held_as_the_start_of_a_terminator() {
    let mut talk = Talk::new("\r\n.\r\n", silent);
    assert_eq!(talk.say("ab\r\n."), "connect c(ab)");
    let detached = talk.chat(|_, chat| chat.detach()).unwrap();
    assert_eq!(detached.unread, "\r\n.");
    assert!(!talk.is_open() && talk.is_dropped());
}

#[test]
fn detach_of_a_chat_that_wants_no_more_gives_all_it_did_not_take() {
    let mut talk = stops_at("c(b)", "\r\n");
    assert_eq!(talk.say("a\r\nb\r\nc\r"), "connect c(a) F c(b)");
    let detached = talk.chat(|_, chat| chat.detach()).unwrap();
    assert_eq!(detached.unread, "\r\nc\r");
}

#[test]
fn detach_in_handle_error_gives_the_rest_the_failed_callback_left() {
    let detached = Rc::new(RefCell::new(None));
    let mut talk = Talk::new("\r\n", {
        let detached = Rc::clone(&detached);
        move |word, chat| {
            if word.starts_with("error") {
                *detached.borrow_mut() = chat.detach();
            }
            match word {
                "c(b)" => Err("no".into()),
                _ => Ok(()),
            }
        }
    });
    assert_eq!(talk.say("a\r\nb\r\nc\r"), "connect c(a) F c(b) error:no");
    assert_eq!(detached.take().unwrap().unread, "\r\nc\r");
}

#[test]
fn bytes_given_back_come_before_the_rest_that_was_not_handed_out() {
    let detached = Rc::new(RefCell::new(None));
    let mut talk = Talk::new("\n", {
        let detached = Rc::clone(&detached);
        move |word, chat| {
            if word == "c(SSH)" {
                chat.unread("SSH");
                *detached.borrow_mut() = chat.detach();
            }
            Ok(())
        }
    });
    talk.say("SSH\n2.0");
    assert_eq!(detached.take().unwrap().unread, "SSH\n2.0");

    let recorder = Recorder::new(&Trace::new());
    let received = Rc::clone(&recorder.received);
    let mut recorder = Some(recorder);
    let mut talk = Talk::new("\n", move |word, chat| {
        if word == "c(SSH)" {
            chat.unread("SSH");
            chat.replace(recorder.take().unwrap());
        }
        Ok(())
    });
    talk.say("SSH\n2.0");
    assert_eq!(received.take(), b"SSH\n2.0");
}

#[test]
fn replace_hands_the_rest_to_the_new_object() {
    let heir = Trace::new();
    let mut talk = Talk::new("\r\n", {
        let heir = heir.clone();
        move |word, chat| {
            if word == "c(b)" {
                let new = Chat {
                    trace: heir.clone(),
                    wants: Rc::new(Cell::new(true)),
                    hook: Box::new(silent),
                    _alive: Rc::new(()),
                };
                chat.replace(ChatDispatcher::new(new, "\n"));
            }
            Ok(())
        }
    });
    assert_eq!(talk.say("a\r\nb\r\nc\nd"), "connect c(a) F c(b)");
    assert_eq!(heir.joined(), r"c(\r) F c(c) F c(d)");
    assert!(talk.is_dropped());
    heir.clear();
    talk.say("e\n");
    assert_eq!(heir.joined(), "c(e) F");
}

#[test]
fn replace_hands_the_rest_to_a_dispatcher_that_knows_nothing_of_frames() {
    let heir = Trace::new();
    let received = Rc::new(RefCell::new(Vec::new()));
    let mut talk = Talk::new("\n", {
        let (heir, received) = (heir.clone(), Rc::clone(&received));
        move |word, chat| {
            if word == "F" {
                let mut recorder = Recorder::new(&heir);
                recorder.received = Rc::clone(&received);
                chat.replace(recorder);
            }
            Ok(())
        }
    });
    assert_eq!(talk.say("CONNECT\nbinary\n"), "connect c(CONNECT) F");
    assert_eq!(*received.borrow(), b"binary\n");
    talk.say("more");
    assert_eq!(received.take(), b"binary\nmore");
    assert!(!heir.has("eof"));
    assert_eq!(talk.end(), "");
    assert_eq!(heir.count("eof") + heir.count("close"), 2);
    assert!(!heir.has("connect"), "it takes the connection as it is");
}

#[test]
fn replace_from_outside_hands_over_what_was_held() {
    let mut talk = Talk::new("\r\n", silent);
    assert_eq!(talk.say("ab\r"), "connect c(ab)");
    let recorder = Recorder::new(&Trace::new());
    let received = Rc::clone(&recorder.received);
    talk.chat(|_, chat| chat.replace(recorder));
    assert!(talk.is_dropped());
    assert_eq!(talk.rest(), "");
    assert_eq!(*received.borrow(), b"\r");
}

#[test]
fn bytes_given_back_in_found_terminator_come_before_the_rest_of_the_read() {
    let mut first = true;
    let mut talk = Talk::new("\n", move |word, chat| {
        if word == "F" && std::mem::take(&mut first) {
            chat.unread("again\n");
        }
        Ok(())
    });
    assert_eq!(
        talk.say("one\ntwo\n"),
        "connect c(one) F c(again) F c(two) F"
    );
}

#[test]
fn a_count_of_zero_left_behind_is_no_end_of_file_for_the_new_object() {
    let heir = Trace::new();
    let mut talk = Talk::new("\n", {
        let heir = heir.clone();
        move |word, chat| {
            if word == "F" {
                chat.set_terminator(0);
                chat.replace(Recorder::new(&heir));
            }
            Ok(())
        }
    });
    talk.say("\n");
    talk.say("x");
    assert!(heir.has("read:1") && !heir.has("eof"), "{}", heir.joined());

    let heir = Trace::new();
    let mut talk = Talk::new("\n", silent);
    talk.chat(|_, chat| {
        chat.set_terminator(0);
        chat.replace(Recorder::new(&heir));
    });
    talk.say("x");
    assert!(heir.has("read:1") && !heir.has("eof"), "{}", heir.joined());

    let heir = Trace::new();
    let mut talk = Talk::new("\n", silent);
    talk.rest();
    talk.chat(|_, chat| chat.set_terminator(0));
    talk.chat(|_, chat| chat.replace(Recorder::new(&heir)));
    talk.say("x");
    assert!(heir.has("read:1") && !heir.has("eof"), "{}", heir.joined());
}

#[test]
fn a_replaced_object_goes_on_where_the_frames_stood() {
    // Handing a chat over to one of the same kind in every frame loses nothing.
    fn relay(trace: Trace, left: usize) -> ChatDispatcher<Chat> {
        let heir = trace.clone();
        let chat = Chat {
            trace,
            wants: Rc::new(Cell::new(true)),
            hook: Box::new(move |word, chat| {
                if word == "F" && left > 0 {
                    chat.replace(relay(heir.clone(), left - 1));
                }
                Ok(())
            }),
            _alive: Rc::new(()),
        };
        ChatDispatcher::new(chat, "\r\n")
    }
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let trace = Trace::new();
    reactor.register(here, relay(trace.clone(), 10)).unwrap();
    for piece in ["a\r\nb\r", "\nc", "\r\n\r\n\r\nd\r\n"] {
        there.write_all(piece.as_bytes()).unwrap();
        settle(&mut reactor);
    }
    assert_eq!(trace.joined(), "connect c(a) F c(b) F c(c) F F F c(d) F");
}

/// Wants no more input after `at`.
fn stops_at(at: &'static str, terminator: &'static str) -> Talk {
    let wants = Rc::new(Cell::new(true));
    let switch = Rc::clone(&wants);
    Talk::in_reactor(
        reactor(),
        |mut chat| {
            chat.wants = wants;
            ChatDispatcher::new(chat, terminator)
        },
        move |word, _| {
            if word == at {
                switch.set(false);
            }
            Ok(())
        },
    )
    .adopt_wants()
}

impl Talk {
    /// The switch that is really in use.
    fn adopt_wants(mut self) -> Self {
        self.wants = self.chat(|chat, _| Rc::clone(&chat.wants));
        self
    }
}

#[test]
fn a_chat_that_wants_no_more_keeps_the_rest_and_goes_on_after_touch() {
    let mut talk = stops_at("F", "\n");
    assert_eq!(talk.say("a\nb\nc"), "connect c(a) F");
    // Nothing new arrives, and nothing is delivered before it is wanted.
    assert_eq!(talk.rest(), "");
    talk.wants.set(true);
    assert_eq!(talk.rest(), "", "predicates are not polled");
    talk.reactor.channel(talk.id).unwrap().touch();
    assert_eq!(talk.rest(), "c(b) F");
    talk.wants.set(true);
    talk.reactor.channel(talk.id).unwrap().touch();
    assert_eq!(talk.rest(), "c(c)");
    assert_eq!(talk.say("d"), "c(d)");
}

#[test]
fn a_chat_that_wants_no_more_goes_on_after_with_chat() {
    let mut talk = stops_at("c(b)", "\n");
    assert_eq!(talk.say("a\nb\nc\n"), "connect c(a) F c(b)");
    talk.chat(|chat, _| chat.wants.set(true));
    assert_eq!(talk.rest(), "F c(c) F");
}

#[test]
fn a_terminator_set_meanwhile_applies_to_the_rest_of_a_chat_that_wants_no_more() {
    let mut talk = stops_at("F", "\n");
    assert_eq!(talk.say("a\nb!c\n"), "connect c(a) F");
    talk.chat(|chat, channel| {
        channel.set_terminator("!");
        chat.wants.set(true);
    });
    assert_eq!(talk.rest(), "c(b) F");
    talk.chat(|chat, _| chat.wants.set(true));
    assert_eq!(talk.rest(), r"c(c\n)");
}

#[test]
fn bytes_given_back_from_outside_come_before_what_is_held() {
    let mut talk = Talk::new("\r\n", silent);
    assert_eq!(talk.say("ab\r"), "connect c(ab)");
    let detached = talk.chat(|_, chat| {
        chat.unread("ab");
        chat.detach()
    });
    assert_eq!(detached.unwrap().unread, "ab\r");

    let mut talk = Talk::new("\r\n", silent);
    assert_eq!(talk.say("ab\r"), "connect c(ab)");
    talk.chat(|_, chat| chat.unread("ab"));
    assert_eq!(talk.rest(), "c(ab)");
    assert_eq!(talk.say("\n"), "F");
}

#[test]
fn bytes_given_back_from_outside_come_before_the_rest() {
    let mut talk = stops_at("F", "\n");
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F");
    talk.chat(|chat, channel| {
        channel.unread("2");
        channel.unread("1");
        chat.wants.set(true);
    });
    assert_eq!(talk.rest(), "c(12b) F");
}

#[test]
fn a_chat_that_wants_no_more_is_not_spinning() {
    let mut talk = stops_at("F", "\n");
    talk.say("a\nb\n");
    let before = talk.reactor.stats().callbacks;
    for _ in 0..10 {
        talk.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(talk.reactor.stats().callbacks, before);
}

#[test]
fn the_rest_of_a_chat_that_wants_no_more_comes_before_its_end_of_file() {
    let mut talk = stops_at("F", "\r\n");
    assert_eq!(talk.say("a\r\nb\r"), "connect c(a) F");
    assert_eq!(talk.end(), "ended");
    talk.wants.set(true);
    talk.reactor.channel(talk.id).unwrap().touch();
    assert_eq!(talk.rest(), r"c(b) c(\r) close");
}

#[test]
fn a_chat_that_never_wanted_input_is_greeted_and_gets_it_later() {
    let mut talk = stops_at("connect", "\n");
    assert_eq!(talk.say("a\n"), "connect");
    talk.chat(|chat, _| chat.wants.set(true));
    assert_eq!(talk.rest(), "c(a) F");
}

#[test]
fn discard_input_drops_what_was_read_and_forgets_the_frame_begun() {
    let mut talk = Talk::new("\r\n", |word, chat| {
        if word == "c(a)" {
            chat.discard_input();
        }
        Ok(())
    });
    // The terminator that follows `a` was found already: it is part of what was read.
    assert_eq!(talk.say("a\r\nb\r\n"), "connect c(a)");
    assert_eq!(talk.say("c\r\n"), "c(c) F");
    assert_eq!(talk.say("a\r"), "c(a)");
    assert_eq!(talk.say("\nd\r\n"), r"c(\nd) F");
}

#[test]
fn discard_input_from_outside_drops_the_rest_and_what_is_held() {
    let mut talk = stops_at("F", "\r\n");
    assert_eq!(talk.say("a\r\nb\r\nc"), "connect c(a) F");
    talk.chat(|chat, channel| {
        channel.discard_input();
        chat.wants.set(true);
    });
    assert_eq!(talk.rest(), "");
    assert_eq!(talk.say("d\r"), "c(d)");
    talk.chat(|_, channel| channel.discard_input());
    assert_eq!(talk.say("\n"), r"c(\n)");
}

#[test]
fn discard_output_drops_what_is_queued_and_not_what_comes_after() {
    let dropped = Rc::new(());
    let held = Rc::clone(&dropped);
    let mut held = Some(held);
    let mut talk = Talk::new("\n", move |word, chat| {
        if word == "F" {
            chat.push("lost");
            if let Some(held) = held.take() {
                chat.push_with_producer(from_fn(move || {
                    let _ = &held;
                    Ok(Produced::Data("lost too".into()))
                }));
            }
            chat.push(vec![b'x'; 100_000]);
            assert_eq!(chat.outgoing_len(), 100_004);
            chat.discard_output();
            assert_eq!(chat.outgoing_len(), 0);
            chat.push("sent");
        }
        Ok(())
    });
    talk.say("\n");
    assert_eq!(talk.heard(), "sent");
    assert_eq!(Rc::strong_count(&dropped), 1);
    talk.chat(|_, chat| {
        chat.push("lost");
        chat.discard_output();
    });
    talk.rest();
    assert_eq!(talk.heard(), "");
}

/// A raw dispatcher that becomes a chat: the other way round than in `replace_hands_the_rest_to_…`.
#[test]
fn a_dispatcher_that_read_too_far_gives_the_rest_to_a_chat() {
    struct Sniffer(Trace);
    impl Dispatcher for Sniffer {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let mut data = [0; 64];
            let n = channel.recv(&mut data)?;
            let chat = Chat {
                trace: self.0.clone(),
                wants: Rc::new(Cell::new(true)),
                hook: Box::new(silent),
                _alive: Rc::new(()),
            };
            channel.unread(data[1..n].to_vec());
            channel.replace(ChatDispatcher::new(chat, "\n"));
            Ok(())
        }
    }
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let trace = Trace::new();
    reactor.register(here, Sniffer(trace.clone())).unwrap();
    there.write_all(b"!a\nb").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "c(a) F c(b)");
    there.write_all(b"c\n").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "c(a) F c(b) c(c) F");
}

/// Pauses at `at` until it is resumed.
fn pauses_at(at: &'static str, terminator: &'static str) -> Talk {
    Talk::new(terminator, move |word, chat| {
        if word == at {
            chat.pause_reading(Duration::MAX);
        }
        Ok(())
    })
}

fn resume(talk: &mut Talk) -> String {
    talk.reactor.channel(talk.id).unwrap().resume_reading();
    talk.rest()
}

#[test]
fn a_pause_stops_a_chat_there_and_the_rest_comes_first_afterwards() {
    for (at, parts) in [
        ("F", ["c(a) F", "c(b) F", "c(c) F"].as_slice()),
        ("c(b)", &["c(a) F c(b)", "F c(c) F"]),
    ] {
        let mut talk = pauses_at(at, "\n");
        let mut parts = parts.iter();
        let first = parts.next().unwrap();
        assert_eq!(talk.say("a\nb\n"), format!("connect {first}"));
        talk.reactor.channel(talk.id).unwrap().touch();
        assert_eq!(talk.say("c\n"), "", "touch ends no pause");
        let mut heard = Vec::new();
        for _ in parts.clone() {
            heard.push(resume(&mut talk));
        }
        assert_eq!(
            heard.join(" "),
            parts.copied().collect::<Vec<_>>().join(" ")
        );
    }
}

#[test]
fn a_pause_that_is_resumed_in_the_same_callback_stops_nothing() {
    let mut talk = Talk::new("\n", |_, chat| {
        chat.pause_reading(Duration::MAX);
        chat.resume_reading();
        Ok(())
    });
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F c(b) F");
    assert_eq!(talk.reactor.stats().timers, 0);
}

#[test]
fn a_pause_of_no_time_hands_out_one_frame_a_turn() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.pause_reading(Duration::ZERO);
        }
        Ok(())
    });
    talk.say("");
    talk.there.write_all(b"a\nb\nc\n").unwrap();
    for calls in ["c(a) F", "c(b) F", "c(c) F", ""] {
        talk.reactor.turn(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(talk.take(), calls);
    }
}

/// Whatever is left at the end of file: the start of a terminator, a count of nothing, bytes given back.
#[test]
fn a_pause_at_the_end_of_file_keeps_the_tail_until_it_is_over() {
    let mut talk = pauses_at("c(b)", "\r\n");
    assert_eq!(talk.say("a\r\nb\r"), "connect c(a) F c(b)");
    assert_eq!(talk.end().replace("ended", ""), "");
    assert_eq!(resume(&mut talk), r"c(\r) close");

    let mut talk = pauses_at(r"c(\r)", "\r\n");
    talk.say("b\r");
    assert_eq!(talk.end(), r"c(\r)");
    assert_eq!(resume(&mut talk), "close");

    // The end was read, and its last bytes were given back.
    let mut again = true;
    let mut talk = Talk::new("\r\n", move |word, chat| {
        match word {
            r"c(\r)" if std::mem::take(&mut again) => chat.unread("a\r\nb\r"),
            "F" | "c(b)" => chat.pause_reading(Duration::MAX),
            _ => {}
        }
        Ok(())
    });
    talk.say("x\r");
    assert_eq!(talk.end(), r"c(\r) c(a) F");
    assert_eq!(resume(&mut talk), "c(b)");
    assert_eq!(resume(&mut talk), r"c(\r) close");
}

#[test]
fn a_count_of_zero_waits_in_a_pause() {
    let mut frames = 0;
    let mut talk = Talk::new("\n", move |word, chat| {
        if word == "F" && frames < 3 {
            frames += 1;
            chat.set_terminator(0);
            chat.pause_reading(Duration::MAX);
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb"), "connect c(a) F");
    assert_eq!(talk.end().replace("ended", ""), "");
    assert_eq!(resume(&mut talk).replace(" ended", ""), "F");
    assert_eq!(resume(&mut talk).replace(" ended", ""), "F");
    assert_eq!(resume(&mut talk), "F c(b) close");
}

#[test]
fn a_failing_callback_that_has_paused_keeps_the_rest() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "c(b)" {
            chat.pause_reading(Duration::MAX);
            return Err("no".into());
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb\nc\n"), "connect c(a) F c(b) error:no");
    assert_eq!(resume(&mut talk), "F c(c) F");
}

/// The end was read by hand, and only then what was held is looked at under another terminator.
#[test]
fn a_tail_behind_a_changed_terminator_comes_after_a_pause_and_not_after_a_close() {
    type Stop = fn(&mut ChatChannel<'_>);
    let table: [(Stop, &str); 2] = [
        (|chat| chat.pause_reading(Duration::MAX), r"c(\r) close"),
        (|chat| chat.close(), ""),
    ];
    for (stop, later) in table {
        let mut talk = Talk::new("xy\rz", move |word, chat| {
            if word == "c(xy)" {
                stop(chat);
            }
            Ok(())
        });
        assert_eq!(talk.say("xy\r"), "connect");
        talk.wants.set(false);
        talk.end();
        let mut channel = talk.reactor.channel(talk.id).unwrap();
        assert_eq!(channel.recv(&mut [0]).unwrap(), 0);
        talk.chat(|chat, channel| {
            chat.wants.set(true);
            channel.set_terminator("\r\n");
        });
        assert_eq!(talk.rest(), "c(xy)");
        if talk.is_open() {
            assert_eq!(resume(&mut talk), later);
        }
    }
}
