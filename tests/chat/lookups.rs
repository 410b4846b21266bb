//! A chat as its own type: `with`, `with_chat`, and chats that reach each other.

use std::{cell::Cell, io::Write, rc::Rc};

use asynchat::{AsyncChat, ChatDispatcher, Terminator, VisitError};
use util::{Recorder, Trace, peer::pair, reactor, settle};

use super::talk::{Chat, Plain, Talk, silent};

#[test]
fn the_object_behind_a_chat_is_reached_by_its_own_type() {
    let mut talk = Talk::new("\n", silent);
    let trace = talk
        .reactor
        .with(talk.id, |dispatcher: &mut ChatDispatcher<Chat>, _| {
            dispatcher.chat_mut().trace.add("reached");
            dispatcher.chat().trace.joined()
        });
    assert_eq!(trace.unwrap(), "connect reached");
    let trace = talk.reactor.with_chat(talk.id, |chat: &mut Chat, channel| {
        assert_eq!(channel.terminator(), Terminator::from("\n"));
        chat.trace.joined()
    });
    assert_eq!(trace.unwrap(), "connect reached");
}

#[test]
fn what_cannot_be_lent_is_told_apart() {
    let seen = Rc::new(Cell::new(None));
    let mut talk = Talk::new("\n", {
        let seen = Rc::clone(&seen);
        move |_, chat| {
            let id = chat.id();
            let own = chat.registry().with_chat(id, |_: &mut Chat, _| ());
            seen.set(Some(own));
            Ok(())
        }
    });
    talk.say("\n");
    assert_eq!(seen.get(), Some(Err(VisitError::Busy(talk.id))));
    let id = talk.id;
    let wrong = talk.reactor.with_chat(id, |_: &mut Plain, _| ());
    assert_eq!(wrong, Err(VisitError::WrongType(id)));
    // The dispatcher is the wrapper, not the chat in it.
    let wrong = talk.reactor.with(id, |_: &mut Recorder, _| ());
    assert_eq!(wrong, Err(VisitError::WrongType(id)));
    talk.reactor.channel(id).unwrap().close();
    let closed = talk.reactor.with_chat(id, |_: &mut Chat, _| ());
    assert_eq!(closed, Err(VisitError::Closed(id)));
}

#[test]
fn what_is_pushed_through_with_chat_is_sent() {
    let mut talk = Talk::new("\n", silent);
    talk.chat(|_, chat| {
        chat.push("pushed ");
        chat.push_with_producer("produced ");
        write!(chat, "written").unwrap();
    });
    talk.rest();
    assert_eq!(talk.heard(), "pushed produced written");
}

#[test]
fn one_chat_can_talk_to_and_close_another_in_the_middle_of_what_it_read() {
    let mut first = Talk::new("\n", silent);
    let (here, mut there) = pair();
    let other = first.id;
    let trace = Trace::new();
    let mut frames = 0;
    let chat = Chat {
        trace: trace.clone(),
        wants: Rc::new(Cell::new(true)),
        hook: Box::new(move |word, chat| {
            if word != "F" {
                return Ok(());
            }
            frames += 1;
            if let Some(mut channel) = chat.registry().channel(other) {
                write!(channel, "{frames} ")?;
                if frames == 2 {
                    channel.close_when_done();
                }
            }
            Ok(())
        }),
        _alive: Rc::new(()),
    };
    first
        .reactor
        .register(here, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    there.write_all(b"\n\n\n").unwrap();
    settle(&mut first.reactor);
    assert_eq!(trace.joined(), "connect F F F");
    assert_eq!(first.heard(), "1 2 $");
}

#[test]
fn a_chat_that_comes_in_a_box_is_reached_by_its_own_type() {
    let plain = Plain::default();
    let frames = Rc::clone(&plain.frames);
    let chat: Box<dyn AsyncChat> = Box::new(plain);
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let id = reactor
        .register(here, ChatDispatcher::new(chat, "\n"))
        .unwrap();
    there.write_all(b"one\n").unwrap();
    settle(&mut reactor);
    assert_eq!(*frames.borrow(), ["one"]);
    let seen = reactor.with_chat(id, |plain: &mut Plain, chat| {
        chat.push("reached");
        plain.frames.borrow().len()
    });
    assert_eq!(seen, Ok(1));
    let boxed = reactor.with_chat(id, |_: &mut Box<dyn AsyncChat>, _| ());
    assert_eq!(boxed, Ok(()));
    let wrong = reactor.with_chat(id, |_: &mut Chat, _| ());
    assert_eq!(wrong, Err(VisitError::WrongType(id)));
    let name = reactor.channels().next().unwrap().type_name;
    assert_eq!(name, std::any::type_name::<Plain>());
    reactor.channel(id).unwrap().close();
    let closed = reactor.with_chat(id, |_: &mut Plain, _| ());
    assert_eq!(closed, Err(VisitError::Closed(id)));
}
