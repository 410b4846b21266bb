//! The service as a whole: its listeners, and its end.

use std::{io, rc::Rc, time::Duration};

use asynchat::{
    Address, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, ListenOptions, Registry,
    Result, State, Stream,
};
use asynchat_rustls::{RegistryTls, TlsAcceptor};

use super::{Connection, Handler, Options, options::REFUSALS, state::Shared};
use crate::waiting::Waiting;

/// Connections with the same options. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    shared: Rc<Shared>,
}

impl Service {
    pub fn new(options: Options) -> Self {
        Self {
            shared: Rc::new(Shared::new(options)),
        }
    }

    /// Listens, and gives each connection the handler that `make` makes for it.
    ///
    /// # Errors
    /// Those of [`Registry::listen`].
    pub fn listen<H: Handler>(
        &self,
        registry: &mut Registry,
        address: impl Into<Address>,
        tls: Option<TlsAcceptor>,
        make: impl FnMut(&mut Registry, &Address) -> H + 'static,
    ) -> io::Result<ChannelId> {
        // Pieces of an answer that come slowly leave as they come.
        let options = ListenOptions::new().nodelay(true);
        registry.listen_with(address.into(), &options, self.listener(tls, make))
    }

    /// A listener for [`Registry::listen_with`] and the testing kit.
    pub fn listener<H: Handler>(
        &self,
        tls: Option<TlsAcceptor>,
        make: impl FnMut(&mut Registry, &Address) -> H + 'static,
    ) -> impl Dispatcher {
        Listener {
            service: self.clone(),
            tls,
            make,
            waiting: Waiting::default(),
        }
    }

    /// A connection for [`Registry::register`] and the testing kit.
    pub fn dispatcher<H: Handler>(
        &self,
        peer: Option<Address>,
        handler: H,
    ) -> ChatDispatcher<Connection<H>> {
        Connection::dispatcher(Rc::clone(&self.shared), peer, None, false, handler)
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.shared.open.get()
    }

    /// Ends the reactor gracefully: listeners and connections that wait for a request close now, those in an exchange behind
    /// it. After `grace` the rest is closed, and what else the reactor has.
    pub fn shut_down<H: Handler>(&self, registry: &mut Registry, grace: Duration) {
        self.shared.ending.set(true);
        for id in registry.ids() {
            let visit = registry.with_chat(id, |connection: &mut Connection<H>, chat| {
                connection.wind_up(chat);
            });
            let is_listener = |channel: &Channel<'_>| channel.state() == State::Listening;
            if visit.is_err()
                && let Some(mut channel) = registry.channel(id).filter(is_listener)
            {
                channel.close();
            }
        }
        self.end_when_empty(registry, registry.now() + grace);
    }

    fn end_when_empty(&self, registry: &mut Registry, until: std::time::Instant) {
        const LOOK: Duration = Duration::from_millis(50);
        if self.open() == 0 || registry.now() >= until {
            registry.shutdown(LAST_GRACE);
            return;
        }
        let service = self.clone();
        registry.call_later(LOOK, move |registry| {
            service.end_when_empty(registry, until);
            Ok(())
        });
    }
}

/// The time that is left for bytes on their way when the grace is over.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// A listening socket.
struct Listener<F> {
    service: Service,
    tls: Option<TlsAcceptor>,
    make: F,
    waiting: Waiting,
}

impl<H: Handler, F: FnMut(&mut Registry, &Address) -> H + 'static> Dispatcher for Listener<F> {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let shared = &self.service.shared;
        let registry = channel.registry();
        let limit = shared.options.limits.connections;
        let since = |connection: &Connection<H>, _: &ChatChannel<'_>| connection.waiting_since();
        // One that is closed here may count until the end of the turn.
        let has_room = shared.open.get() < limit
            || self
                .waiting
                .make_room(registry, since, Connection::give_way);
        if !has_room && shared.open.get() >= limit + REFUSALS {
            log::info!("{peer}: there are too many connections");
            return Ok(());
        }
        let handler = (self.make)(registry, &peer);
        let now = registry.now();
        let chat =
            Connection::dispatcher(Rc::clone(shared), Some(peer), Some(now), !has_room, handler);
        let id = match &self.tls {
            Some(acceptor) => registry.register_tls(stream, acceptor, chat)?,
            None => registry.register(stream, chat)?,
        };
        self.waiting.add(registry, id);
        Ok(())
    }
}
