//! Timers of a chat: `call_later` and `call_every` of its own channel (R16, R20).

use std::{rc::Rc, time::Duration};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, ChatDispatcher, Reactor, Result, Terminator,
    VisitError,
};
use util::{
    SCRIPTED, Trace,
    peer::{LocalStream, pair},
    run, silence_scripted_panics, turn_until,
};

use super::talk::{Chat, Plain, Talk, silent};

const MS: Duration = Duration::from_millis(1);

type Act = fn(&mut Chat, &mut ChatChannel<'_>) -> Result;

/// What comes of a timer in a conversation that stands after `said`.
#[test]
fn what_a_timer_does_to_its_chat_holds_for_the_next_byte() {
    let table: [(&str, &str, Act, &str); 8] = [
        ("a", "c(a)", |_, _| Ok(()), ""),
        (
            "a\r",
            "c(a)",
            |_, chat| {
                chat.set_terminator(1);
                Ok(())
            },
            "c(\\r) F",
        ),
        (
            "a\r",
            "c(a)",
            |_, chat| {
                chat.set_terminator("\r");
                Ok(())
            },
            "F",
        ),
        (
            "a",
            "c(a)",
            |_, chat| {
                chat.set_terminator(0);
                Ok(())
            },
            "F",
        ),
        (
            "a",
            "c(a)",
            |_, chat| {
                chat.unread("b\r\n");
                Ok(())
            },
            "c(b) F",
        ),
        (
            "a\r",
            "c(a)",
            |_, chat| {
                chat.discard_input();
                chat.unread("\n");
                Ok(())
            },
            "c(\\n)",
        ),
        ("a", "c(a)", |_, _| Err("late".into()), "error:late"),
        (
            "a",
            "c(a)",
            |_, _| panic!("{SCRIPTED}"),
            "error:panicked: scripted",
        ),
    ];
    silence_scripted_panics();
    for (number, (said, before, act, after)) in table.into_iter().enumerate() {
        let mut talk = Talk::in_reactor(
            Reactor::new().unwrap(),
            |chat| ChatDispatcher::new(chat, "\r\n"),
            silent,
        );
        assert_eq!(talk.say(said), format!("connect {before}"));
        talk.chat(|_, chat| {
            chat.call_later(Duration::ZERO, move |own: &mut Chat, chat| {
                own.trace.add("timer");
                act(own, chat)
            })
        });
        let expected = format!("timer {after}");
        assert_eq!(talk.rest(), expected.trim_end(), "{number}");
        assert!(talk.is_open(), "{number}");
    }
}

#[test]
fn a_chat_that_reads_again_after_a_timer_gets_the_rest_of_what_was_read() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.call_later(Duration::ZERO, |own: &mut Chat, _| {
                own.wants.set(true);
                Ok(())
            });
        }
        Ok(())
    });
    let wants = Rc::clone(&talk.wants);
    talk.chat(move |chat, _| {
        let mut hook = std::mem::replace(&mut chat.hook, Box::new(silent));
        chat.hook = Box::new(move |word, chat| {
            if word == "F" {
                wants.set(false);
            }
            hook(word, chat)
        });
    });
    assert_eq!(talk.say("a\nb\nc"), "connect c(a) F c(b) F c(c)");
}

/// A chat that counts its ticks.
struct Counter(Trace);

impl AsyncChat for Counter {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.call_later(MS, |counter: &mut Self, _| {
            counter.0.add("once");
            Ok(())
        });
        chat.call_every(2 * MS, |counter: &mut Self, chat| {
            counter.0.add("tick");
            if counter.0.count("tick") == 3 {
                chat.close();
            }
            Ok(())
        });
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.0.add(error.to_string());
        chat.close();
    }
}

fn counting(boxed: bool) -> (Reactor, ChannelId, LocalStream, Trace) {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (here, there) = pair();
    let counter = Counter(trace.clone());
    let id = if boxed {
        let counter: Box<dyn AsyncChat> = Box::new(counter);
        reactor.register(here, ChatDispatcher::new(counter, "\n"))
    } else {
        reactor.register(here, ChatDispatcher::new(counter, "\n"))
    };
    (reactor, id.unwrap(), there, trace)
}

#[test]
fn a_chat_is_lent_by_its_own_type_in_a_box_or_not() {
    for boxed in [false, true] {
        let (mut reactor, _, _there, trace) = counting(boxed);
        run(&mut reactor);
        assert_eq!(trace.joined(), "once tick tick tick");
    }
    let (mut reactor, id, _there, trace) = counting(true);
    let armed = reactor.with_chat(id, |_: &mut Box<dyn AsyncChat>, chat| {
        chat.call_later(MS, |_: &mut Box<dyn AsyncChat>, chat| {
            assert_eq!(chat.terminator(), Terminator::from("\n"));
            chat.close();
            Ok(())
        });
    });
    assert_eq!(armed, Ok(()));
    run(&mut reactor);
    assert!(!trace.has("tick"), "{}", trace.joined());
}

#[test]
fn a_chat_of_another_type_is_told_so_when_the_timer_fires() {
    for boxed in [false, true] {
        for every in [false, true] {
            let (mut reactor, id, _there, trace) = counting(boxed);
            let owned = Rc::new(());
            let held = Rc::clone(&owned);
            let armed = reactor.with_chat(id, |_: &mut Counter, chat| {
                if every {
                    chat.call_every(MS, move |_: &mut Plain, _| panic!("{held:?}"))
                } else {
                    chat.call_later(MS, move |_: &mut Plain, _| panic!("{held:?}"))
                }
            });
            armed.unwrap();
            run(&mut reactor);
            assert!(trace.has(&VisitError::WrongType(id).to_string()));
            assert_eq!(Rc::strong_count(&owned), 1);
        }
    }
}

#[test]
fn the_timers_of_a_chat_end_with_it() {
    type End = fn(&mut ChatChannel<'_>);
    let ends: [End; 4] = [
        |chat| chat.close(),
        |chat| chat.close_when_done(),
        |chat| drop(chat.detach()),
        |chat| chat.replace(ChatDispatcher::new(Plain::default(), "\n")),
    ];
    for end in ends {
        let mut talk = Talk::new("\n", silent);
        let owned = Rc::new(());
        talk.chat(|_, chat| {
            let held = Rc::clone(&owned);
            chat.call_later(Duration::from_secs(3600), move |_: &mut Chat, _| {
                panic!("{held:?}")
            });
            let held = Rc::clone(&owned);
            chat.call_every(MS, move |_: &mut Chat, chat| {
                assert_eq!(Rc::strong_count(&held), 3);
                end(chat);
                Ok(())
            });
        });
        turn_until(&mut talk.reactor, |_| Rc::strong_count(&owned) == 1);
        talk.end();
        assert!(talk.is_dropped());
    }
}
