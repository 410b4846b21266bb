//! Errors and panics out of the callbacks of a chat (R9).

use std::{
    cell::RefCell,
    io::{ErrorKind, Write},
    rc::Rc,
};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Panicked, Reactor, Result, from_fn,
};
use util::{Trace, peer::pair, turn_until};

use super::talk::{Talk, silent};

/// Fails once, at the word `at`.
fn failing_at(
    at: &'static str,
    fail: impl Fn() -> Result + 'static,
) -> impl FnMut(&str, &mut ChatChannel<'_>) -> Result {
    let mut failed = false;
    move |word, _| {
        if word == at && !std::mem::replace(&mut failed, true) {
            return fail();
        }
        Ok(())
    }
}

#[test]
fn an_error_keeps_the_rest_for_a_channel_kept_open() {
    let mut talk = Talk::new("\n", failing_at("c(b)", || Err("no".into())));
    assert_eq!(
        talk.say("a\nb\nc\nd"),
        "connect c(a) F c(b) error:no F c(c) F c(d)"
    );
    let mut talk = Talk::new("\n", failing_at("F", || Err("no".into())));
    assert_eq!(talk.say("a\nb\nc"), "connect c(a) F error:no c(b) F c(c)");
}

#[test]
fn an_error_in_every_callback_ends_when_the_input_does() {
    let mut talk = Talk::new("\n", |word, _| match word.starts_with("error") {
        true => Ok(()),
        false => Err("no".into()),
    });
    assert_eq!(
        talk.say("a\nb"),
        "connect error:no c(a) error:no F error:no c(b) error:no"
    );
    assert_eq!(talk.end(), "close error:no");
}

#[test]
fn an_error_while_the_tail_is_delivered_is_reported_before_handle_close() {
    let mut talk = Talk::new("\r\n", failing_at(r"c(\r)", || Err("no".into())));
    assert_eq!(talk.say("a\r"), "connect c(a)");
    assert_eq!(talk.end(), r"c(\r) error:no close");
}

#[test]
fn a_frame_complete_at_the_end_of_file_comes_before_handle_close_in_spite_of_an_error() {
    let mut talk = Talk::new("\r\n", |word, chat| {
        if word == r"c(\r)" {
            chat.set_terminator(0);
            return Err("no".into());
        }
        Ok(())
    });
    assert_eq!(talk.say("a\r"), "connect c(a)");
    assert_eq!(talk.end(), r"c(\r) error:no F close");
}

#[test]
fn would_block_is_no_error_and_keeps_the_rest() {
    let would_block = || Err(std::io::Error::from(ErrorKind::WouldBlock).into());
    let mut talk = Talk::new("\n", failing_at("F", would_block));
    assert_eq!(talk.say("a\nb\n"), "connect c(a) F c(b) F");
}

#[test]
fn a_reset_out_of_a_callback_is_a_reset_of_the_channel() {
    let broken = || Err(std::io::Error::from(ErrorKind::BrokenPipe).into());
    let mut talk = Talk::new("\n", failing_at("c(b)", broken));
    let calls = talk.say("a\nb\nc\n");
    assert!(calls.starts_with("connect c(a) F c(b) "), "{calls}");
    assert!(calls.ends_with(" close"), "{calls}");
    assert!(!calls.contains("error"), "{calls}");
    assert!(!talk.is_open());
}

fn boom() -> Result {
    // No message on the terminal, as `panic!` would give.
    std::panic::resume_unwind(Box::new("boom"))
}

fn surviving() -> Reactor {
    Reactor::new().unwrap()
}

#[test]
fn a_panic_is_an_error_of_its_channel_and_of_no_other() {
    struct Panics(Rc<RefCell<Vec<BoxError>>>);
    impl AsyncChat for Panics {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            boom()
        }
        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            Ok(())
        }
        fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
            self.0.borrow_mut().push(error);
            chat.close();
        }
    }
    let mut other = Talk::in_reactor(surviving(), |chat| ChatDispatcher::new(chat, "\n"), silent);
    let (here, mut there) = pair();
    let errors = Rc::new(RefCell::new(Vec::new()));
    let dispatcher = ChatDispatcher::new(Panics(Rc::clone(&errors)), "\n");
    let id = other.reactor.register(here, dispatcher).unwrap();
    there.write_all(b"x").unwrap();
    assert_eq!(other.say("a\n"), "connect c(a) F");
    assert!(other.reactor.channel(id).is_none());
    let errors = errors.take();
    assert_eq!(errors.len(), 1);
    let panicked = errors[0].downcast_ref::<Panicked>().unwrap();
    assert_eq!(panicked.message, "boom");
}

#[test]
fn a_panic_keeps_the_rest_for_a_channel_kept_open() {
    for at in ["c(b)", "F"] {
        let mut talk = Talk::in_reactor(
            surviving(),
            |chat| ChatDispatcher::new(chat, "\n"),
            failing_at(at, boom),
        );
        let calls = talk.say("a\nb\nc\n");
        let calls = calls.replace(" error:panicked: boom", "!");
        let expected = match at {
            "F" => "connect c(a) F! c(b) F c(c) F",
            _ => "connect c(a) F c(b)! F c(c) F",
        };
        assert_eq!(calls, expected);
    }
}

#[test]
fn a_panic_keeps_the_rest_of_the_rest_too() {
    // The second failure strikes while what the first one left is delivered.
    let mut talk = Talk::in_reactor(
        surviving(),
        |chat| ChatDispatcher::new(chat, "\n"),
        |word, _| match word {
            "c(a)" | "c(b)" => boom(),
            _ => Ok(()),
        },
    );
    let calls = talk.say("a\nb\nc\n");
    let calls = calls.replace(" error:panicked: boom", "!");
    assert_eq!(calls, "connect c(a)! F c(b)! F c(c) F");
}

#[test]
fn a_panic_in_handle_error_closes() {
    let mut talk = Talk::in_reactor(
        surviving(),
        |chat| ChatDispatcher::new(chat, "\n"),
        |_, _| boom(),
    );
    assert_eq!(talk.rest(), "connect error:panicked: boom");
    assert!(!talk.is_open() && talk.is_dropped());
}

#[test]
fn a_panic_in_readable_is_an_error_too() {
    struct Undecided(Trace);
    impl AsyncChat for Undecided {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            Ok(())
        }
        fn readable(&self) -> bool {
            boom().is_ok()
        }
        fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
            self.0.add(error.to_string());
            chat.close();
        }
    }
    let mut reactor = surviving();
    let (here, _there) = pair();
    let trace = Trace::new();
    let dispatcher = ChatDispatcher::new(Undecided(trace.clone()), "\n");
    let id = reactor.register(here, dispatcher).unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(trace.joined(), "panicked: boom");
}

#[test]
fn a_producer_that_fails_is_an_error_of_the_chat_and_what_is_behind_it_is_sent() {
    let mut talk = Talk::new("\n", |word, chat| {
        if word == "F" {
            chat.push("before ");
            chat.push_with_producer(from_fn(|| Err(std::io::Error::other("no disk"))));
            chat.push("behind");
        }
        Ok(())
    });
    assert_eq!(talk.say("\n"), "connect F error:no disk");
    assert_eq!(talk.heard(), "before behind");
}
