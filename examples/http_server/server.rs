//! What all connections share, and the listener that makes them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use asynchat::{Address, Channel, ChatDispatcher, Dispatcher, Registry, Result, Stream};

use crate::{
    access_log::AccessLog,
    channel::HttpChannel,
    history::History,
    limits::{self, Limits},
    pages::Pages,
    paths::Root,
    reply::{Dates, Extra, Reply},
    status,
    waiting::Waiting,
};

/// Files, limits and counters.
pub(crate) struct Server {
    pub(crate) root: Root,
    /// The file that is served in place of a directory.
    pub(crate) index: String,
    pub(crate) limits: Limits,
    pub(crate) log: Option<AccessLog>,
    /// Present if the status page is.
    pub(crate) history: Option<RefCell<History>>,
    pub(crate) requests: Cell<u64>,
    /// Where an answer is put together before it is queued.
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(crate) dates: RefCell<Dates>,
    pub(crate) pages: RefCell<Pages>,
    pub(crate) waiting: RefCell<Waiting>,
}

impl Server {
    /// Takes a sample for the status page every second, if there is one.
    pub(crate) fn keep_history(self: &Rc<Self>, registry: &mut Registry) {
        if self.history.is_none() {
            return;
        }
        let server = Rc::clone(self);
        registry.call_every(Duration::from_secs(1), move |registry| {
            if let Some(history) = &server.history {
                history
                    .borrow_mut()
                    .sample(server.requests.get(), &registry.stats());
            }
            Ok(())
        });
    }

    pub(crate) fn status_page(&self, registry: &Registry) -> Reply {
        let page = self
            .history
            .as_ref()
            .map(|history| status::page(registry, &history.borrow(), self.requests.get()));
        Reply {
            is_costly: true,
            ..Reply::page(page.unwrap_or_default(), Extra::NoStore)
        }
    }
}

/// The listening socket.
pub(crate) struct HttpServer(pub(crate) Rc<Server>);

impl Dispatcher for HttpServer {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let server = &self.0;
        let registry = channel.registry();
        let mut waiting = server.waiting.borrow_mut();
        let limit = server.limits.connections;
        while open(registry) >= limit && waiting.make_room(registry) {}
        let surplus = (open(registry) + 1).saturating_sub(limit);
        if surplus > limits::REFUSALS {
            log::info!("{peer}: there are too many connections");
            return Ok(());
        }
        let chat = HttpChannel::new(Rc::clone(server), &peer, registry.now(), surplus > 0);
        let chat = ChatDispatcher::new(chat, HttpChannel::HEAD_END);
        let id = registry.register(stream, chat)?;
        waiting.add(registry, id);
        Ok(())
    }
}

/// Connections, those included whose last answer waits for the client to close.
fn open(registry: &Registry) -> usize {
    // The listener is a channel too.
    registry.stats().channels.saturating_sub(1)
}
