//! What all connections of a reactor share, and the listener that makes them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use asynchat::{
    Address, Channel, ChatChannel, ChatDispatcher, Dispatcher, Registry, Result, Stream,
};
use asynchat_rustls::{RegistryTls, TlsAcceptor};

use shared::{
    http::{access_log::AccessLog, auth::Users, paths::Root, reader::HEAD_END},
    waiting::Waiting,
};

use crate::{
    downloads::Downloads,
    files::kept::KeptFiles,
    limits::{self, Limits},
    options::Options,
    request::{
        channel::HttpChannel,
        reply::{Dates, Extra, Reply},
    },
    site::pages::Pages,
    status::{
        self,
        board::{Board, Counts},
    },
    tls::Handshakes,
};

/// Files, limits and counters.
pub(crate) struct Server {
    pub(crate) root: Root,
    pub(crate) options: Options,
    /// Who may ask, if not everybody may.
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) limits: Limits,
    pub(crate) log: Option<AccessLog>,
    /// Where in the board this reactor has its place; present if the status page is.
    pub(crate) board: Option<(Arc<Board>, usize)>,
    /// Listeners among the channels of this reactor.
    pub(crate) listeners: usize,
    pub(crate) requests: Cell<u64>,
    /// Connections so far.
    pub(crate) connections: Cell<u64>,
    pub(crate) handshakes: Cell<Handshakes>,
    /// Where an answer is put together before it is queued.
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(crate) dates: RefCell<Dates>,
    pub(crate) pages: RefCell<Pages>,
    pub(crate) files: RefCell<KeptFiles>,
    pub(crate) waiting: RefCell<Waiting>,
    pub(crate) downloads: RefCell<Downloads>,
}

impl Server {
    /// Tells the status page every second how this reactor is doing, if there is one.
    pub(crate) fn keep_board(self: &Rc<Self>, registry: &mut Registry) {
        if self.board.is_none() {
            return;
        }
        let server = Rc::clone(self);
        registry.call_every(Duration::from_secs(1), move |registry| {
            if let Some((board, place)) = &server.board {
                server.publish(board, *place, registry);
                // One of them takes the samples for all.
                if *place == 0 {
                    board.sample();
                }
            }
            Ok(())
        });
    }

    fn publish(&self, board: &Board, place: usize, registry: &Registry) {
        let counts = Counts {
            requests: self.requests.get(),
            connections: self.connections.get(),
            handshakes: self.handshakes.get(),
        };
        board.publish(place, registry, counts);
    }

    /// Of this reactor it shows the present.
    pub(crate) fn status_page(&self, registry: &Registry) -> Reply {
        let page = self.board.as_ref().map(|(board, place)| {
            self.publish(board, *place, registry);
            status::page(board)
        });
        Reply {
            is_costly: true,
            ..Reply::page(page.unwrap_or_default(), Extra::NoStore)
        }
    }

    /// A new connection, accepted by this thread or another, over TLS if it came to such an entrance.
    pub(crate) fn serve(
        self: &Rc<Self>,
        registry: &mut Registry,
        stream: Stream,
        peer: &Address,
        tls: Option<&TlsAcceptor>,
    ) -> Result {
        self.connections.set(self.connections.get() + 1);
        let mut waiting = self.waiting.borrow_mut();
        let limit = self.limits.connections;
        let now = registry.now();
        let since = |http: &HttpChannel, chat: &ChatChannel<'_>| http.waiting_since(chat, now);
        while self.open(registry) >= limit
            && waiting.make_room(registry, since, HttpChannel::give_way)
        {}
        let surplus = (self.open(registry) + 1).saturating_sub(limit);
        if surplus > limits::REFUSALS {
            log::info!("{peer}: there are too many connections");
            return Ok(());
        }
        let chat = HttpChannel::new(Rc::clone(self), peer, registry.now(), surplus > 0);
        let chat = ChatDispatcher::new(chat, HEAD_END);
        let id = match tls {
            Some(acceptor) => registry.register_tls(stream, acceptor, chat)?,
            None => registry.register(stream, chat)?,
        };
        waiting.add(registry, id);
        Ok(())
    }

    /// Connections, those included whose last answer waits for the client to close.
    fn open(&self, registry: &Registry) -> usize {
        registry.stats().channels.saturating_sub(self.listeners)
    }
}

/// A listening socket.
pub(crate) struct HttpServer {
    pub(crate) server: Rc<Server>,
    /// `None` for plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Dispatcher for HttpServer {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let registry = channel.registry();
        self.server
            .serve(registry, stream, &peer, self.tls.as_ref())
    }
}
