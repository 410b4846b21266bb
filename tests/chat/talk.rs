//! A chat that writes its callbacks down, and the other end of its connection.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, ChatDispatcher, Exceptional, Reactor, Result,
    Terminator,
};
use util::{
    Trace,
    peer::{LocalStream, pair},
    reactor, settle,
};

pub(crate) type Hook = Box<dyn FnMut(&str, &mut ChatChannel<'_>) -> Result>;

/// Writes every callback down (`connect`, `c(data)`, `F`, `drain`, `ended`, `expt`, `timeout`, `close`, `error:TEXT`) and then
/// asks its hook. Keeps the channel open after an error or a timeout unless the hook closes it.
pub(crate) struct Chat {
    pub(crate) trace: Trace,
    pub(crate) wants: Rc<Cell<bool>>,
    pub(crate) hook: Hook,
    pub(crate) _alive: Rc<()>,
}

impl Chat {
    pub(crate) fn call(&mut self, chat: &mut ChatChannel<'_>, word: impl Into<String>) -> Result {
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
        match what {
            Exceptional::ConnectFailed(error) => {
                self.call(chat, format!("failed:{:?}", error.kind()))
            }
            Exceptional::ReadClosed => self.call(chat, "ended"),
            _ => self.call(chat, "expt"),
        }
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
pub(crate) struct Plain {
    pub(crate) frames: Rc<RefCell<Vec<String>>>,
    pub(crate) frame: Vec<u8>,
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
pub(crate) struct Talk {
    pub(crate) reactor: Reactor,
    pub(crate) id: ChannelId,
    pub(crate) there: LocalStream,
    pub(crate) trace: Trace,
    pub(crate) wants: Rc<Cell<bool>>,
    pub(crate) alive: Rc<()>,
}

pub(crate) fn silent(_: &str, _: &mut ChatChannel<'_>) -> Result {
    Ok(())
}

impl Talk {
    pub(crate) fn new(
        terminator: impl Into<Terminator>,
        hook: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> Self {
        Self::in_reactor(
            reactor(),
            |chat| ChatDispatcher::new(chat, terminator),
            hook,
        )
    }

    pub(crate) fn in_reactor<C: AsyncChat>(
        mut reactor: Reactor,
        make: impl FnOnce(Chat) -> ChatDispatcher<C>,
        hook: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> Self {
        let (here, there) = pair();
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
    pub(crate) fn take(&mut self) -> String {
        let calls = self.trace.joined();
        self.trace.clear();
        calls
    }

    /// What the peer writes in one go, and everything that comes of it.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.there.write_all(bytes.as_ref()).unwrap();
        self.rest()
    }

    /// What comes without anything new from the peer.
    pub(crate) fn rest(&mut self) -> String {
        // What was asked for from outside is taken up at the end of a turn, without a callback.
        self.reactor.turn(Some(Duration::ZERO)).unwrap();
        settle(&mut self.reactor);
        self.take()
    }

    pub(crate) fn end(&mut self) -> String {
        self.there.shutdown(Shutdown::Write).unwrap();
        self.rest()
    }

    pub(crate) fn chat<R>(&mut self, f: impl FnOnce(&mut Chat, &mut ChatChannel<'_>) -> R) -> R {
        self.reactor.with_chat(self.id, f).unwrap()
    }

    pub(crate) fn is_open(&mut self) -> bool {
        self.reactor.channel(self.id).is_some()
    }

    pub(crate) fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.alive) == 1
    }

    /// What the peer has received; with `$` if that is the end.
    pub(crate) fn heard(&mut self) -> String {
        let mut heard = Vec::new();
        match self.there.read_to_end(&mut heard) {
            Ok(_) => heard.push(b'$'),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        String::from_utf8(heard).unwrap()
    }
}
