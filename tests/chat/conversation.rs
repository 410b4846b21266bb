//! What a chat may do with its channel (R3, R6, R9 to R11, R16, R17): the callbacks and their defaults, ending or
//! passing on a channel in the middle of what was read, terminators set from outside, limits, errors and panics.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener},
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Detached, Dispatcher,
    Exceptional, FrameTooLong, Panicked, Produced, Reactor, Result, State, Terminator, Unsent,
    VisitError, from_fn,
};
use util::{Log, Recorder, Trace, peer::settled, reactor, settle, turn_until};

type Hook = Box<dyn FnMut(&str, &mut ChatChannel<'_>) -> Result>;

/// Writes every callback down (`connect`, `c(data)`, `F`, `drain`, `expt`, `timeout`, `close`, `error:TEXT`) and then
/// asks its hook. Keeps the channel open after an error or a timeout unless the hook closes it.
struct Chat {
    trace: Trace,
    wants: Rc<Cell<bool>>,
    hook: Hook,
    _alive: Rc<()>,
}

impl Chat {
    fn call(&mut self, chat: &mut ChatChannel<'_>, word: impl Into<String>) -> Result {
        let word = word.into();
        self.trace.add(word.as_str());
        (self.hook)(&word, chat)
    }
}

impl AsyncChat for Chat {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.call(chat, format!("c({})", data.escape_ascii()))
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.call(chat, "F")
    }

    fn readable(&self) -> bool {
        self.wants.get()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.call(chat, "connect")
    }

    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.call(chat, "drain")
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.call(chat, "timeout")
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        let Exceptional::ConnectFailed(error) = what else {
            return self.call(chat, "expt");
        };
        self.call(chat, format!("failed:{:?}", error.kind()))
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.close_when_done();
        self.call(chat, "close")
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let _ = self.call(chat, format!("error:{error}"));
    }
}

/// The two callbacks every chat has to have; the others are the defaults.
#[derive(Default)]
struct Plain {
    frames: Rc<RefCell<Vec<String>>>,
    frame: Vec<u8>,
}

impl AsyncChat for Plain {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.frame.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let frame = String::from_utf8(std::mem::take(&mut self.frame))?;
        write!(chat, "<{frame}>")?;
        if frame == "error" {
            return Err("asked for".into());
        }
        self.frames.borrow_mut().push(frame);
        Ok(())
    }
}

/// A chat and the other end of its connection. What is written there in one go is one read here.
struct Talk {
    reactor: Reactor,
    id: ChannelId,
    there: UnixStream,
    trace: Trace,
    wants: Rc<Cell<bool>>,
    alive: Rc<()>,
}

fn silent(_: &str, _: &mut ChatChannel<'_>) -> Result {
    Ok(())
}

impl Talk {
    fn new(
        terminator: impl Into<Terminator>,
        hook: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> Self {
        Self::in_reactor(
            reactor(),
            |chat| ChatDispatcher::new(chat, terminator),
            hook,
        )
    }

    fn in_reactor(
        mut reactor: Reactor,
        make: impl FnOnce(Chat) -> ChatDispatcher<Chat>,
        hook: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> Self {
        let (here, there) = UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let trace = Trace::new();
        let wants = Rc::new(Cell::new(true));
        let alive = Rc::new(());
        let chat = Chat {
            trace: trace.clone(),
            wants: Rc::clone(&wants),
            hook: Box::new(hook),
            _alive: Rc::clone(&alive),
        };
        let id = reactor.register(here, make(chat)).unwrap();
        reactor.turn(Some(Duration::ZERO)).unwrap();
        Self {
            reactor,
            id,
            there,
            trace,
            wants,
            alive,
        }
    }

    /// The calls so far.
    fn take(&mut self) -> String {
        let calls = self.trace.joined();
        self.trace.clear();
        calls
    }

    /// What the peer writes in one go, and everything that comes of it.
    fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.there.write_all(bytes.as_ref()).unwrap();
        self.rest()
    }

    /// What comes without anything new from the peer.
    fn rest(&mut self) -> String {
        // What was asked for from outside is taken up at the end of a turn, without a callback.
        self.reactor.turn(Some(Duration::ZERO)).unwrap();
        settle(&mut self.reactor);
        self.take()
    }

    fn end(&mut self) -> String {
        self.there.shutdown(Shutdown::Write).unwrap();
        self.rest()
    }

    fn chat<R>(&mut self, f: impl FnOnce(&mut Chat, &mut ChatChannel<'_>) -> R) -> R {
        self.reactor.with_chat(self.id, f).unwrap()
    }

    fn is_open(&mut self) -> bool {
        self.reactor.channel(self.id).is_some()
    }

    fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.alive) == 1
    }

    /// What the peer has received; with `$` if that is the end.
    fn heard(&mut self) -> String {
        let mut heard = Vec::new();
        match self.there.read_to_end(&mut heard) {
            Ok(_) => heard.push(b'$'),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        String::from_utf8(heard).unwrap()
    }
}

mod callbacks {
    use super::*;

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
        let (here, mut there) = UnixStream::pair().unwrap();
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
        let (here, mut there) = UnixStream::pair().unwrap();
        let dispatcher = ChatDispatcher::new(Plain::default(), ";");
        let id = reactor.register(here, dispatcher).unwrap();
        there.write_all(b"error;more;").unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        assert!(!log.lines("asked for").is_empty());

        let (here, _there) = UnixStream::pair().unwrap();
        let dispatcher = ChatDispatcher::new(Plain::default(), ";");
        let id = reactor.register(here, dispatcher).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.set_idle_timeout(Some(Duration::from_millis(5)));
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    }

    #[test]
    fn a_chat_is_listed_under_the_name_of_its_own_type() {
        let mut reactor = reactor();
        let (here, _there) = UnixStream::pair().unwrap();
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
        assert!(talk.is_dropped(), "no callback can follow");
        drop(talk.there);
        settle(&mut talk.reactor);
        assert!(talk.reactor.channel(talk.id).is_none());
    }
}

mod lookups {
    use super::*;

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
        assert_eq!(seen.get(), Some(Err(VisitError::Busy)));
        let id = talk.id;
        let wrong = talk.reactor.with_chat(id, |_: &mut Plain, _| ());
        assert_eq!(wrong, Err(VisitError::WrongType));
        // The dispatcher is the wrapper, not the chat in it.
        let wrong = talk.reactor.with(id, |_: &mut Recorder, _| ());
        assert_eq!(wrong, Err(VisitError::WrongType));
        talk.reactor.channel(id).unwrap().close();
        let closed = talk.reactor.with_chat(id, |_: &mut Chat, _| ());
        assert_eq!(closed, Err(VisitError::Closed));
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
        let (here, mut there) = UnixStream::pair().unwrap();
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
}

mod in_the_middle_of_what_was_read {
    use super::*;

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
        let (here, mut there) = UnixStream::pair().unwrap();
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
        assert_eq!(talk.end(), "");
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
}

mod terminators_from_outside {
    use super::*;

    #[test]
    fn one_set_in_handle_connect_is_the_first() {
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
    fn one_set_through_with_chat_applies_to_the_bytes_that_follow() {
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
        let (here, mut there) = UnixStream::pair().unwrap();
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
}

mod limits {
    use super::*;

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
        let (here, mut there) = UnixStream::pair().unwrap();
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
        let (here, mut there) = UnixStream::pair().unwrap();
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
}

mod errors {
    use super::*;

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
        let mut other =
            Talk::in_reactor(surviving(), |chat| ChatDispatcher::new(chat, "\n"), silent);
        let (here, mut there) = UnixStream::pair().unwrap();
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
        let (here, _there) = UnixStream::pair().unwrap();
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
    let (here, mut there) = UnixStream::pair().unwrap();
    let trace = Trace::new();
    reactor.register(here, Sniffer(trace.clone())).unwrap();
    there.write_all(b"!a\nb").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "c(a) F c(b)");
    there.write_all(b"c\n").unwrap();
    settle(&mut reactor);
    assert_eq!(trace.joined(), "c(a) F c(b) c(c) F");
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
