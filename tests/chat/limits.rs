//! Frames that are too long (R17).

use std::{cell::RefCell, io::Write, rc::Rc};

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, FrameTooLong, Result};
use util::{peer::pair, reactor, settle, turn_until};

use super::talk::{Plain, Talk, silent};

/// Keeps the errors themselves.
struct Limited(Rc<RefCell<Vec<BoxError>>>);

impl AsyncChat for Limited {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }

    fn handle_error(&mut self, _: &mut ChatChannel<'_>, error: BoxError) {
        self.0.borrow_mut().push(error);
    }
}

#[test]
fn a_frame_too_long_names_the_channel_and_the_limit() {
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let errors = Rc::new(RefCell::new(Vec::new()));
    let dispatcher = ChatDispatcher::new(Limited(Rc::clone(&errors)), "\n").max_frame(16);
    let id = reactor.register(here, dispatcher).unwrap();
    there.write_all(&[b'x'; 17]).unwrap();
    settle(&mut reactor);
    let errors = errors.take();
    assert_eq!(errors.len(), 1);
    let error = errors[0].downcast_ref::<FrameTooLong>().unwrap();
    assert_eq!((error.channel, error.limit), (id, 16));
    assert!(
        error.to_string().contains("max_frame (16 bytes)"),
        "{error}"
    );
}

#[test]
fn a_frame_too_long_closes_by_default() {
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let plain = Plain::default();
    let frames = Rc::clone(&plain.frames);
    let dispatcher = ChatDispatcher::new(plain, ";").max_frame(4);
    let id = reactor.register(here, dispatcher).unwrap();
    there.write_all(b"four;fivey;six;").unwrap();
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(*frames.borrow(), ["four"]);
}

#[test]
fn a_channel_kept_open_skips_the_frame_and_goes_on_with_the_next() {
    let mut talk = Talk::in_reactor(
        reactor(),
        |chat| ChatDispatcher::new(chat, "\n").max_frame(4),
        silent,
    );
    let calls = talk.say("four\nfive5\nsix\n");
    let (before, after) = calls.split_once(" error:channel ").unwrap();
    assert_eq!(before, "connect c(four) F");
    assert!(after.ends_with(" F c(six) F"), "{after}");
}

#[test]
fn handle_error_can_end_the_frame_by_discarding() {
    let mut talk = Talk::in_reactor(
        reactor(),
        |chat| ChatDispatcher::new(chat, "\n").max_frame(4),
        |word, chat| {
            if word.starts_with("error") {
                chat.discard_input();
            }
            Ok(())
        },
    );
    assert!(talk.say("too long\nmore\n").contains("error:"));
    assert_eq!(talk.say("next\n"), "c(next) F");
}
