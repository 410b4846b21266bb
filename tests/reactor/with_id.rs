//! Objects that know the id of their channel before the first callback.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Reactor, Result,
    Socket, WithId, testing::Harness, with_id,
};
use util::{
    address_of,
    peer::{pair, tcp_pair},
    reactor, turn_until,
};

type Seen = Rc<RefCell<Vec<(&'static str, ChannelId)>>>;

struct Knows {
    id: ChannelId,
    seen: Seen,
}

impl Knows {
    fn of(seen: &Seen) -> WithId {
        let seen = Rc::clone(seen);
        with_id(move |id| {
            seen.borrow_mut().push(("made", id));
            Self { id, seen }
        })
    }
}

impl Dispatcher for Knows {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        assert_eq!(channel.id(), self.id);
        self.seen.borrow_mut().push(("connected", self.id));
        Ok(())
    }
}

#[test]
fn an_object_knows_its_id_however_its_channel_was_opened() {
    let mut reactor = reactor();
    let seen = Seen::default();
    let listener = reactor.listen("127.0.0.1:0", Knows::of(&seen)).unwrap();
    let address = address_of(&mut reactor, listener);
    let registered = reactor.register(tcp_pair().0, Knows::of(&seen)).unwrap();
    let client = reactor.connect(address, Knows::of(&seen)).unwrap();
    let any = reactor.connect_any(&[address], Knows::of(&seen)).unwrap();
    let boxed: Box<dyn Dispatcher> = Box::new(Knows::of(&seen));
    let boxed = reactor.register(pair().0, boxed).unwrap();
    let ids = [listener, registered, client, any, boxed];
    assert_eq!(*seen.borrow(), ids.map(|id| ("made", id)));
    for id in ids {
        let known = reactor.with(id, |object: &mut Knows, _| object.id);
        assert_eq!(known, Ok(id));
        let info = reactor.channels().find(|channel| channel.id == id).unwrap();
        assert!(info.type_name.ends_with("Knows"), "{}", info.type_name);
    }
    turn_until(&mut reactor, |_| seen.borrow().len() == 9);
}

#[test]
fn an_object_that_replaces_another_knows_its_id() {
    struct First(Seen);
    impl Dispatcher for First {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|channel, _| channel.replace(Knows::of(&self.0)))?;
            Ok(())
        }
    }
    let seen = Seen::default();
    let mut peer = Harness::new(First(Rc::clone(&seen)));
    peer.feed("x");
    let id = peer.id();
    assert_eq!(*seen.borrow(), [("made", id)]);
    let known = peer.registry().with(id, |object: &mut Knows, _| object.id);
    assert_eq!(known, Ok(id));
}

#[test]
fn an_object_that_makes_another_and_a_chat_work_as_well() {
    struct Chat(ChannelId);
    impl AsyncChat for Chat {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }

        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            Ok(())
        }
    }
    let mut reactor = reactor();
    let nested = with_id(|_| with_id(|id| ChatDispatcher::new(Chat(id), "\n")));
    let id = reactor.register(tcp_pair().0, nested).unwrap();
    let known = reactor.with_chat(id, |chat: &mut Chat, _| chat.0);
    assert_eq!(known, Ok(id));
}

#[test]
fn without_a_channel_no_object_is_made() {
    let called = Rc::new(Cell::new(false));
    let object = || {
        let called = Rc::clone(&called);
        with_id(move |_| {
            called.set(true);
            Nothing
        })
    };
    let mut reactor = reactor();
    reactor.connect_any(&[], object()).unwrap_err();
    #[cfg(unix)]
    reactor
        .register(Socket::from(tempfile::tempfile().unwrap()), object())
        .unwrap_err();
    assert!(!called.get());
}

struct Nothing;
impl Dispatcher for Nothing {}

#[test]
fn a_panic_while_an_object_is_made_leaves_the_call_and_the_reactor_goes_on() {
    let mut reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair();
    let made = catch_unwind(AssertUnwindSafe(|| {
        reactor.register(ours, with_id(|_| -> Nothing { panic!("no object") }))
    }));
    assert!(made.is_err());
    assert_eq!(reactor.stats().channels, 0);
    assert_eq!(
        util::peer::read_to_end(&mut reactor, &mut theirs),
        b"",
        "the socket is closed"
    );
    let seen = Seen::default();
    let id = reactor.register(tcp_pair().0, Knows::of(&seen)).unwrap();
    turn_until(&mut reactor, |_| seen.borrow().contains(&("connected", id)));
}
