//! `found_frame`, and the dispatcher that collects the pieces of frames (R15 to R17).

use std::{
    cell::{Cell, RefCell},
    io::Write,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Frame, Panicked, Reactor, Result, Terminator,
};
use util::{Recorder, SCRIPTED, Trace, peer::pair, reactor, settle, silence_scripted_panics};

use super::talk::{Chat, Hook, Talk, silent};

/// A [`Chat`] that writes frames down too: `f(data and terminator)`.
struct Framed(Chat);

impl AsyncChat for Framed {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        assert_eq!(
            [frame.data(), frame.terminator()].concat(),
            frame.with_terminator()
        );
        let word = format!("f({})", frame.with_terminator().escape_ascii());
        self.0.call(chat, word)
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.collect_incoming_data(chat, data)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.found_terminator(chat)
    }

    fn readable(&self) -> bool {
        self.0.readable()
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.handle_close(chat)
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.0.handle_error(chat, error);
    }
}

/// A talk whose pieces are collected, up to `max` bytes.
fn collecting(
    terminator: impl Into<Terminator>,
    max: usize,
    hook: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
) -> Talk {
    let make = |chat| ChatDispatcher::collecting(Framed(chat), terminator, max);
    Talk::in_reactor(reactor(), make, hook)
}

impl Talk {
    /// What [`Talk::chat`] is for a [`Chat`].
    fn framed<R>(&mut self, f: impl FnOnce(&mut Framed, &mut ChatChannel<'_>) -> R) -> R {
        self.reactor.with_chat(self.id, f).unwrap()
    }
}

/// One read a row, and the calls it makes.
#[track_caller]
fn check(terminator: impl Into<Terminator>, max: usize, reads: &[(&str, &str)]) {
    let mut talk = collecting(terminator, max, silent);
    for (read, calls) in reads {
        assert_eq!(talk.say(read), *calls, "for {read:?}");
    }
}

/// At each frame that is one of the keys sets what stands beside it.
fn setting(
    terminators: &'static [(&'static str, Option<u64>)],
) -> impl FnMut(&str, &mut ChatChannel<'_>) -> Result {
    move |word, chat| {
        for (at, count) in terminators {
            if word == *at {
                chat.set_terminator(*count);
            }
        }
        Ok(())
    }
}

mod collected {
    use super::*;

    #[test]
    fn every_frame_is_one_call_with_its_terminator() {
        check(
            "\r\n",
            8,
            &[
                ("ab\r\ncd", r"f(ab\r\n)"),
                ("ef\r", ""),
                ("\ngh\rij\r\n\r", r"f(cdef\r\n) f(gh\rij\r\n)"),
                ("\n\r\nk\r", r"f(\r\n) f(\r\n)"),
                ("l\r\n", r"f(k\rl\r\n)"),
            ],
        );
        check("ab", 8, &[("xa", ""), ("a", ""), ("b", "f(xaab)")]);
        check(
            "--end--",
            8,
            &[("one--e", ""), ("nd", ""), ("--two", "f(one--end--)")],
        );
    }

    #[test]
    fn counts_are_frames_without_a_terminator() {
        let hook = || setting(&[("f(3)", Some(3)), ("f(0)", Some(0)), ("f(12)", Some(12))]);
        // What a count was set for cannot be told apart from its frame here: each is set once.
        let mut talk = collecting(1, 16, hook());
        assert_eq!(talk.say("3ab"), "f(3)");
        assert_eq!(talk.say("c"), "f(abc)");
        let mut talk = collecting(1, 16, hook());
        assert_eq!(talk.say("3abc"), "f(3) f(abc)");
        let mut talk = collecting(1, 16, hook());
        assert_eq!(talk.say("0"), "f(0) f()");
        let mut talk = collecting(2, 16, hook());
        assert_eq!(talk.say("12a"), "f(12)");
        assert_eq!(talk.say("234567890AB"), "f(a234567890AB)");
        assert_eq!(talk.say("more"), "c(more)", "a count used up is none");
    }

    #[test]
    fn a_terminator_set_in_found_frame_holds_for_the_next_byte() {
        for reads in [
            &["a\nbc!\n"][..],
            &["a", "\nb", "c!\n"],
            &["a\nb", "c", "!\n"],
        ] {
            let mut talk = collecting("\n", 8, |word, chat| {
                if word == r"f(a\n)" {
                    chat.set_terminator("!");
                }
                Ok(())
            });
            let calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
            let calls = calls.join(" ");
            let calls: Vec<&str> = calls.split_whitespace().collect();
            assert_eq!(calls.join(" "), r"f(a\n) f(bc!)", "{reads:?}");
        }
    }

    #[test]
    fn a_terminator_set_from_outside_ends_the_frame_begun() {
        let mut talk = collecting("\n", 8, silent);
        assert_eq!(talk.say("ab"), "");
        talk.framed(|_, chat| chat.set_terminator("!"));
        assert_eq!(talk.say("c\n!d"), r"f(abc\n!)");
        talk.framed(|_, chat| chat.set_terminator(0));
        assert_eq!(talk.rest(), "f(d)");
    }

    #[test]
    fn without_a_terminator_input_comes_as_it_is_read() {
        check(Terminator::None, 2, &[("abc", "c(abc)"), ("d", "c(d)")]);
        let mut talk = collecting("\n", 8, silent);
        assert_eq!(talk.say("ab"), "");
        talk.framed(|_, chat| {
            chat.set_terminator(Terminator::None);
            chat.set_terminator("\n");
        });
        assert_eq!(talk.say("c\nd"), r"f(abc\n)");
        talk.framed(|_, chat| chat.set_terminator(Terminator::None));
        assert_eq!(talk.say("e"), "c(de)");
    }

    #[test]
    fn the_end_of_file_hands_the_frame_begun_to_collect_incoming_data() {
        for (reads, tail) in [
            (&["a\r\nb\r"][..], r"c(b\r) close"),
            (&["b", "c", "\r"], r"c(bc\r) close"),
            (&["\r"], r"c(\r) close"),
            (&["a\r\n"], "close"),
            (&["too long for", " a frame\r"], "close"),
        ] {
            let mut talk = collecting("\r\n", 8, silent);
            for read in reads {
                talk.say(read);
            }
            assert_eq!(talk.end(), tail, "{reads:?}");
        }
        let mut talk = collecting(5, 8, silent);
        talk.say("abc");
        assert_eq!(talk.end(), "c(abc) close");
    }

    #[test]
    fn a_terminator_set_for_the_tail_is_obeyed_before_handle_close() {
        let mut talk = collecting("\r\n", 8, setting(&[(r"c(a\r)", Some(0))]));
        assert_eq!(talk.say("a\r"), "");
        assert_eq!(talk.end(), r"c(a\r) f() close");
    }

    #[test]
    fn a_frame_too_long_is_one_error_and_found_terminator_is_its_end() {
        for reads in [
            &["four\nfive5\nsix\n"][..],
            &["fo", "ur\nfi", "ve5", "\ns", "ix\n"],
            &["four\nfive5", "55555\nsix\n"],
        ] {
            let mut talk = collecting("\n", 4, silent);
            let calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
            let calls = calls.join(" ");
            let (before, after) = calls.split_once("error:channel").unwrap();
            assert_eq!(before.trim(), r"f(four\n)");
            assert!(after.contains("max_frame (4 bytes)"), "{after}");
            assert!(after.ends_with(r" F f(six\n)"), "{after}");
        }
        let mut talk = collecting(5, 4, setting(&[("F", Some(2))]));
        let calls = talk.say("12345ab");
        assert!(calls.ends_with(" F f(ab)"), "{calls}");
    }

    #[test]
    fn discarded_input_takes_the_frame_begun_along() {
        let mut talk = collecting("\n", 8, silent);
        assert_eq!(talk.say("ab"), "");
        talk.framed(|_, chat| chat.discard_input());
        assert_eq!(talk.say("c\n"), r"f(c\n)");
    }

    #[test]
    fn detach_and_replace_give_the_frame_begun_back() {
        let mut talk = collecting("\r\n", 8, silent);
        assert_eq!(talk.say("ab"), "");
        assert_eq!(talk.say("c\r"), "");
        let detached = talk.framed(|_, chat| chat.detach()).unwrap();
        assert_eq!(detached.unread, "abc\r");
        assert!(talk.is_dropped());

        let mut talk = collecting("\r\n", 8, silent);
        assert_eq!(talk.say("abc\r"), "");
        let recorder = Recorder::new(&Trace::new());
        let received = Rc::clone(&recorder.received);
        talk.framed(|_, chat| chat.replace(recorder));
        talk.rest();
        assert_eq!(received.take(), b"abc\r");
    }

    #[test]
    fn found_frame_may_stop_in_the_middle_of_a_read() {
        // Of the second frame, which lies whole in its read or is collected.
        for reads in [&["a\nb\nc\n"][..], &["a\nb", "\nc\n"]] {
            let say = |talk: &mut Talk| {
                let calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
                calls.join(" ")
            };
            let at_b = |mut act: Box<dyn FnMut(&mut ChatChannel<'_>) -> Result>| {
                collecting("\n", 8, move |word, chat| match word {
                    r"f(b\n)" => act(chat),
                    _ => Ok(()),
                })
            };
            let mut talk = at_b(Box::new(|chat| {
                chat.close();
                Ok(())
            }));
            assert_eq!(say(&mut talk), r"f(a\n) f(b\n)");
            assert!(!talk.is_open() && talk.is_dropped());

            let detached = Rc::new(RefCell::new(None));
            let mut talk = at_b(Box::new({
                let detached = Rc::clone(&detached);
                move |chat| {
                    *detached.borrow_mut() = chat.detach();
                    Ok(())
                }
            }));
            assert_eq!(say(&mut talk), r"f(a\n) f(b\n)");
            assert_eq!(detached.take().unwrap().unread, "c\n");

            let mut talk = at_b(Box::new(|chat| {
                chat.unread("x\n");
                Ok(())
            }));
            assert_eq!(say(&mut talk), r"f(a\n) f(b\n) f(x\n) f(c\n)");

            let mut talk = at_b(Box::new(|chat| {
                chat.discard_input();
                Ok(())
            }));
            assert_eq!(say(&mut talk), r"f(a\n) f(b\n)");
            assert_eq!(talk.say("d\n"), r"f(d\n)");

            let mut talk = at_b(Box::new(|_| Err("no".into())));
            assert_eq!(say(&mut talk), r"f(a\n) f(b\n) error:no f(c\n)");
        }
    }

    #[test]
    fn a_panic_in_found_frame_costs_its_frame_alone() {
        for reads in [&["a\nb\nc\n"][..], &["a\nb", "\nc\n"]] {
            let mut talk = Talk::in_reactor(
                Reactor::new().unwrap(),
                |chat| ChatDispatcher::collecting(Framed(chat), "\n", 8),
                |word, _| match word {
                    r"f(b\n)" => std::panic::resume_unwind(Box::new("boom")),
                    _ => Ok(()),
                },
            );
            let calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
            assert_eq!(
                calls.join(" "),
                r"f(a\n) f(b\n) error:panicked: boom f(c\n)"
            );
        }
    }

    #[test]
    fn a_chat_that_wants_no_more_gets_the_rest_later() {
        for reads in [&["a\nb\nc\n"][..], &["a\nb", "\nc\n"]] {
            let wants = Rc::new(RefCell::new(None::<Rc<std::cell::Cell<bool>>>));
            let mut talk = collecting("\n", 8, {
                let wants = Rc::clone(&wants);
                move |word, _| {
                    if word == r"f(b\n)"
                        && let Some(wants) = &*wants.borrow()
                    {
                        wants.set(false);
                    }
                    Ok(())
                }
            });
            *wants.borrow_mut() = Some(Rc::clone(&talk.wants));
            let calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
            assert_eq!(calls.join(" "), r"f(a\n) f(b\n)");
            talk.wants.set(true);
            talk.framed(|_, chat| chat.touch());
            assert_eq!(talk.rest(), r"f(c\n)");
        }
    }

    #[test]
    fn a_chat_of_the_two_older_methods_gets_each_frame_in_one_piece() {
        struct Old(Chat);
        impl AsyncChat for Old {
            fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
                let whole = chat.is_whole_frame(data);
                self.0
                    .call(chat, format!("{whole}({})", data.escape_ascii()))
            }
            fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
                self.0.found_terminator(chat)
            }
        }
        for reads in [&["a\n\nbc\nd"][..], &["a", "\n", "\nb", "c\nd"]] {
            let mut talk = Talk::in_reactor(
                reactor(),
                |chat| ChatDispatcher::collecting(Old(chat), "\n", 8),
                |word, chat| {
                    if word == "true(bc)" {
                        chat.set_terminator("!");
                    }
                    Ok(())
                },
            );
            let mut calls: Vec<String> = reads.iter().map(|read| talk.say(read)).collect();
            calls.push(talk.say("!"));
            calls.push(talk.say("e"));
            calls.push(talk.end());
            calls.retain(|call| !call.is_empty());
            assert_eq!(calls.join(" "), "true(a) F F true(bc) F true(d) F false(e)");
        }
    }

    #[test]
    fn whatever_the_first_of_two_calls_does_the_second_comes_once() {
        silence_scripted_panics();
        type Act = fn(&mut ChatChannel<'_>) -> Result;
        let cases: [(Act, &str); 7] = [
            (|_| Err("no".into()), "c(a) error:no F c(b) F"),
            (
                |_| panic!("{SCRIPTED}"),
                "c(a) error:panicked: scripted F c(b) F",
            ),
            (
                |chat| {
                    chat.pause_reading(Duration::ZERO);
                    Ok(())
                },
                "c(a) F c(b) F",
            ),
            (
                |chat| {
                    chat.unread("x\n");
                    Ok(())
                },
                "c(a) F c(x) F c(b) F",
            ),
            (
                |chat| {
                    chat.discard_input();
                    Ok(())
                },
                "c(a)",
            ),
            (
                |chat| {
                    chat.close();
                    Err("no".into())
                },
                "c(a)",
            ),
            (
                |chat| {
                    assert_eq!(*chat.detach().unwrap().unread, *b"\nb\n");
                    Ok(())
                },
                "c(a)",
            ),
        ];
        for (act, calls) in cases {
            let mut talk = Talk::in_reactor(
                Reactor::new().unwrap(),
                |chat| ChatDispatcher::collecting(chat, "\n", 8),
                move |word, chat| if word == "c(a)" { act(chat) } else { Ok(()) },
            );
            talk.take();
            assert_eq!(talk.say("a\nb\n"), calls);
        }

        let wants = Rc::new(Cell::new(true));
        let no_more = Rc::clone(&wants);
        let mut talk = Talk::in_reactor(
            reactor(),
            |mut chat| {
                chat.wants = wants.clone();
                ChatDispatcher::collecting(chat, "\n", 8)
            },
            move |word, _| {
                no_more.set(word != "c(a)");
                Ok(())
            },
        );
        talk.take();
        assert_eq!(talk.say("a\nb\n"), "c(a)");
        wants.set(true);
        talk.chat(|_, chat| chat.touch());
        assert_eq!(talk.rest(), "F c(b) F");
    }
}

mod not_collected {
    use super::*;

    fn new(terminator: impl Into<Terminator>, hook: Hook) -> Talk {
        let make = |chat| ChatDispatcher::new(Framed(chat), terminator);
        Talk::in_reactor(reactor(), make, hook)
    }

    #[test]
    fn found_frame_gets_the_frames_that_lie_whole_in_a_read() {
        let mut talk = new("\r\n", Box::new(silent));
        assert_eq!(talk.say("ab\r\n\r\ncd"), r"f(ab\r\n) f(\r\n) c(cd)");
        assert_eq!(talk.say("e\r"), "c(e)");
        assert_eq!(talk.say("\nf\r\n"), r"F f(f\r\n)");
        assert_eq!(talk.say("g"), "c(g)");
        assert_eq!(talk.end(), "close");
    }

    #[test]
    fn a_count_that_lies_whole_in_a_read_is_one_too() {
        let hook = setting(&[(r"f(3\n)", Some(3)), (r"f(0\n)", Some(0)), ("F", Some(1))]);
        let mut talk = new("\n", Box::new(hook));
        assert_eq!(talk.say("3\nabcd"), r"f(3\n) f(abc) c(d)");
        let hook = setting(&[(r"f(3\n)", Some(3)), ("F", Some(1))]);
        let mut talk = new("\n", Box::new(hook));
        assert_eq!(talk.say("3\nab"), r"f(3\n) c(ab)");
        assert_eq!(talk.say("cd"), "c(c) F f(d)");
    }

    #[test]
    fn the_default_may_be_called_after_anything() {
        type Act = fn(&mut ChatChannel<'_>);
        /// Does one thing and passes the frame on.
        struct PassesOn(Chat, Act);
        impl AsyncChat for PassesOn {
            fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
                if *frame == *b"a" {
                    self.1(chat);
                }
                AsyncChat::found_frame(&mut self.0, chat, frame)
            }
            fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
                self.0.collect_incoming_data(chat, data)
            }
            fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
                self.0.found_terminator(chat)
            }
        }
        // What it changes holds behind the frame, as without the call.
        let cases: [(Act, &str); 7] = [
            (|_| {}, "c(a) F c(b) F"),
            (|chat| chat.pause_reading(Duration::ZERO), "c(a) F c(b) F"),
            (|chat| chat.unread("x\n"), "c(a) F c(x) F c(b) F"),
            (|chat| chat.set_terminator("b\n"), "c(a) F F"),
            (|chat| chat.discard_input(), "c(a) F"),
            (|chat| chat.close(), "c(a)"),
            (|chat| drop(chat.detach()), "c(a)"),
        ];
        for (act, calls) in cases {
            let make = |chat| ChatDispatcher::new(PassesOn(chat, act), "\n");
            let mut talk = Talk::in_reactor(reactor(), make, silent);
            assert_eq!(talk.say("a\nb\n"), calls);
        }
    }

    #[test]
    fn a_boxed_chat_keeps_its_own_found_frame() {
        let make = |chat| {
            let boxed: Box<dyn AsyncChat> = Box::new(Framed(chat));
            ChatDispatcher::new(boxed, "\n")
        };
        let mut talk = Talk::in_reactor(reactor(), make, silent);
        assert_eq!(talk.say("a\nb"), r"f(a\n) c(b)");
    }
}

mod not_written {
    use super::*;

    /// Writes its errors down.
    struct Frames(Trace);
    impl AsyncChat for Frames {
        fn found_frame(&mut self, _: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
            self.0.add(format!("f({})", frame.escape_ascii()));
            Ok(())
        }
        fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
            assert!(!error.is::<Panicked>(), "{error}");
            self.0.add(format!("error:{error}"));
            chat.close();
        }
    }

    struct Nothing(Trace);
    impl AsyncChat for Nothing {
        fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
            self.0.add(format!("error:{error}"));
            chat.close();
        }
    }

    /// What one read, and the end of file, make of the dispatcher.
    fn calls(dispatcher: impl asynchat::Dispatcher, trace: &Trace, read: &str) -> String {
        let mut reactor = reactor();
        let (here, mut there) = pair();
        reactor.register(here, dispatcher).unwrap();
        there.write_all(read.as_bytes()).unwrap();
        settle(&mut reactor);
        drop(there);
        settle(&mut reactor);
        trace.joined()
    }

    #[test]
    fn pieces_that_nobody_collects_are_an_error_that_says_what_to_do() {
        let trace = Trace::new();
        let frames = ChatDispatcher::new(Frames(trace.clone()), "\n");
        let calls = calls(frames, &trace, "a\nb");
        let (frames, error) = calls.split_once(" error:").unwrap();
        assert_eq!(frames, "f(a)");
        assert!(error.contains("ChatDispatcher::collecting"), "{error}");
    }

    #[test]
    fn a_count_of_zero_without_found_terminator_is_an_error_that_says_what_to_do() {
        let trace = Trace::new();
        let frames = ChatDispatcher::new(Frames(trace.clone()), 0);
        let error = calls(frames, &trace, "a");
        assert!(error.starts_with("error:found_terminator"), "{error}");
    }

    #[test]
    fn a_collecting_dispatcher_needs_found_frame() {
        let trace = Trace::new();
        let nothing = ChatDispatcher::collecting(Nothing(trace.clone()), "\n", 8);
        let error = calls(nothing, &trace, "a\n");
        assert!(error.starts_with("error:found_frame"), "{error}");
    }

    #[test]
    fn the_frame_cut_by_the_end_of_file_and_the_end_of_a_long_one_are_ignored() {
        let trace = Trace::new();
        let frames = ChatDispatcher::collecting(Frames(trace.clone()), "\n", 8);
        assert_eq!(calls(frames, &trace, "a\nb"), "f(a)");
    }

    #[test]
    fn input_without_a_terminator_is_refused() {
        let trace = Trace::new();
        let frames = ChatDispatcher::collecting(Frames(trace.clone()), 1, 8);
        let calls = calls(frames, &trace, "ab");
        assert!(
            calls.starts_with("f(a) error:there is no terminator"),
            "{calls}"
        );
    }
}

#[test]
fn a_channel_that_closes_meanwhile_costs_neither_the_terminator_nor_the_frames_behind_it() {
    for at in ["c(a)", "F", r"f(a\n)"] {
        let hook = move |word: &str, chat: &mut ChatChannel<'_>| {
            if word == at {
                let (other, _) = pair();
                let registry = chat.registry();
                let id = registry.register(other, Recorder::new(&Trace::new()))?;
                registry.channel(id).ok_or("closed")?.close();
            }
            Ok(())
        };
        let make = |chat| ChatDispatcher::new(chat, "\n");
        let mut talk = Talk::in_reactor(reactor(), make, hook);
        assert_eq!(talk.say("a\nb\nc\n"), "connect c(a) F c(b) F c(c) F");
        let mut talk = collecting("\n", 8, hook);
        assert_eq!(talk.say("a\nb\nc\n"), r"f(a\n) f(b\n) f(c\n)");
    }
}
