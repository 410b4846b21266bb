//! Terminators that are set elsewhere than in the two callbacks of frames (R16, R17).

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    rc::Rc,
    time::Duration,
};

use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Result, Terminator};
use util::{
    Trace,
    peer::{pair, settled},
    reactor, turn_until,
};

use super::talk::{Plain, Talk, silent};

#[test]
fn a_terminator_set_in_handle_connect_is_the_first() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "connect" {
            chat.set_terminator(2);
        }
        Ok(())
    });
    assert_eq!(talk.say("a\nb"), r"connect c(a\n) F c(b)");
}

#[test]
fn a_count_of_zero_set_in_handle_connect_fires_without_input() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "connect" {
            chat.set_terminator(0);
        }
        Ok(())
    });
    assert_eq!(talk.rest(), "connect F");
    assert_eq!(talk.chat(|_, chat| chat.terminator()), Terminator::None);
    assert_eq!(talk.say("x"), "c(x)");
}

#[test]
fn a_terminator_set_through_with_chat_applies_to_the_bytes_that_follow() {
    let mut talk = Talk::new("\n", silent);
    assert_eq!(talk.say("ab"), "connect c(ab)");
    talk.chat(|_, chat| {
        chat.set_terminator(5);
        assert_eq!(chat.terminator(), Terminator::Count(5));
    });
    assert_eq!(talk.say("c\n"), r"c(c\n)");
    assert_eq!(talk.chat(|_, chat| chat.terminator()), Terminator::Count(3));
    talk.chat(|_, chat| chat.set_terminator("\n"));
    assert_eq!(talk.say("defg\n"), "c(defg) F");
}

#[test]
fn a_count_of_zero_set_through_with_chat_fires_without_input() {
    let mut talk = Talk::new("\n", silent);
    talk.rest();
    talk.chat(|chat, channel| {
        channel.set_terminator(0);
        assert!(!chat.trace.has("F"), "not from inside");
    });
    assert_eq!(talk.rest(), "F");
    assert_eq!(talk.rest(), "");
}

#[test]
fn a_count_of_zero_waits_until_input_is_wanted() {
    let mut talk = Talk::new("\n", silent);
    talk.rest();
    talk.wants.set(false);
    talk.chat(|_, chat| chat.set_terminator(0));
    assert_eq!(talk.rest(), "");
    talk.chat(|chat, _| chat.wants.set(true));
    assert_eq!(talk.rest(), "F");
}

#[test]
fn a_count_of_zero_set_by_a_callback_that_fails_or_wants_no_more_still_fires() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "c(a)" {
            chat.set_terminator(0);
            return Err("no".into());
        }
        Ok(())
    });
    assert_eq!(talk.say("a"), "connect c(a) error:no F");

    let wants = Rc::new(Cell::new(true));
    let (switch, own) = (Rc::clone(&wants), Rc::clone(&wants));
    let mut talk = Talk::in_reactor(
        reactor(),
        |mut chat| {
            chat.wants = own;
            ChatDispatcher::new(chat, "\n")
        },
        move |word, chat| {
            if word == "c(a)" {
                chat.set_terminator(0);
                switch.set(false);
            }
            Ok(())
        },
    );
    assert_eq!(talk.say("a"), "connect c(a)");
    wants.set(true);
    talk.reactor.channel(talk.id).unwrap().touch();
    assert_eq!(talk.rest(), "F");
}

#[test]
fn a_count_of_zero_taken_back_does_not_fire() {
    let mut talk = Talk::new("\n", silent);
    talk.rest();
    talk.chat(|_, chat| chat.set_terminator(0));
    talk.chat(|_, chat| chat.set_terminator("\n"));
    assert_eq!(talk.rest(), "");
    assert_eq!(talk.say("a\n"), "c(a) F");
}

#[test]
fn a_count_of_zero_set_in_other_callbacks_fires_too() {
    let mut drained = false;
    let mut talk = Talk::new("\n", move |word, chat| {
        match word {
            "connect" => chat.set_idle_timeout(Some(Duration::from_millis(10))),
            "timeout" => {
                chat.set_idle_timeout(None);
                chat.set_terminator(0);
            }
            "F" if !drained => {
                chat.set_watermarks(10, 100);
                chat.push(vec![b'x'; 200]);
            }
            "drain" => {
                drained = true;
                chat.set_terminator(0);
            }
            _ => {}
        }
        Ok(())
    });
    let trace = talk.trace.clone();
    turn_until(&mut talk.reactor, |_| trace.has("drain"));
    assert_eq!(talk.rest(), "connect timeout F drain F");
}

#[test]
fn a_count_of_zero_for_ever_blocks_nobody() {
    let frames = Rc::new(Cell::new(0));
    let mut busy = Talk::new(0, {
        let frames = Rc::clone(&frames);
        move |word, chat| {
            if word == "F" {
                frames.set(frames.get() + 1);
                chat.set_terminator(0);
            }
            Ok(())
        }
    });
    let before = frames.get();
    turn_until(&mut busy.reactor, |_| frames.get() > 2 * before);
    busy.there.write_all(b"never handed out").unwrap();
    let reactor = &mut busy.reactor;
    let (here, mut there) = pair();
    there.set_nonblocking(true).unwrap();
    reactor
        .register(here, ChatDispatcher::new(Plain::default(), ";"))
        .unwrap();
    let ticks = Rc::new(Cell::new(0));
    let tick = Rc::clone(&ticks);
    let timer = reactor.call_every(Duration::from_millis(1), move |_| {
        tick.set(tick.get() + 1);
        Ok(())
    });
    there.write_all(b"served;").unwrap();
    let mut heard = Vec::new();
    turn_until(reactor, |_| {
        let _ = there.read_to_end(&mut heard);
        heard == b"<served>" && ticks.get() >= 3
    });
    let before = frames.get();
    turn_until(reactor, |_| frames.get() > before);
    reactor.cancel(timer);

    // It can be told to stop, and nothing of its input is lost.
    busy.chat(|chat, channel| {
        chat.hook = Box::new(silent);
        chat.trace.clear();
        channel.set_terminator("\n");
    });
    assert_eq!(busy.rest(), "c(never handed out)");
}

/// Writes down that frames end.
struct Frames(Trace);

impl AsyncChat for Frames {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.add(format!("data:{}", data.len()));
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.0.add("found");
        Ok(())
    }
}

/// A count of zero asks for a call without input, which must not show as an end of file.
#[test]
fn a_count_of_zero_is_no_end_of_file_for_others_who_read() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let chat = ChatDispatcher::new(Frames(trace.clone()), "\n");
    let (id, mut theirs) = settled(&mut reactor, chat);
    reactor
        .with_chat(id, |_: &mut Frames, chat| chat.set_terminator(0))
        .unwrap();
    let read = reactor.channel(id).unwrap().recv_with(|_, data| data.len());
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    turn_until(&mut reactor, |_| trace.has("found"));
    theirs.write_all(b"abc").unwrap();
    turn_until(&mut reactor, |_| trace.has("data:3"));
    assert_eq!(trace.lines(), ["found", "data:3"]);
}
