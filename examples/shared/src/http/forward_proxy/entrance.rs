//! The listening socket.

use std::rc::Rc;

use asynchat::{Address, Channel, ChatChannel, ChatDispatcher, Dispatcher, Result, Stream};
use asynchat_rustls::{RegistryTls, TlsAcceptor};

use super::{Proxy, client::Client, limits::REFUSALS};
use crate::{http::reader::HEAD_END, waiting::Waiting};

/// Takes connections. When there are too many, the client makes room that has waited longest without a request; if all have
/// one, the new one is told so.
pub struct Entrance {
    proxy: Rc<Proxy>,
    tls: Option<TlsAcceptor>,
    waiting: Waiting,
}

impl Entrance {
    /// With an acceptor, clients speak TLS to the proxy.
    pub fn new(proxy: &Rc<Proxy>, tls: Option<TlsAcceptor>) -> Self {
        Self {
            proxy: Rc::clone(proxy),
            tls,
            waiting: Waiting::default(),
        }
    }
}

impl Dispatcher for Entrance {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        stream.set_nodelay(true)?;
        self.proxy.note_entrance(channel)?;
        let registry = channel.registry();
        let limit = self.proxy.settings.limits.max_connections.get();
        let now = registry.now();
        let since = |client: &Client, chat: &ChatChannel<'_>| client.waiting_since(chat, now);
        // One that is closed here may count until the end of the turn.
        let has_room = self.proxy.clients.get() < limit
            || self.waiting.make_room(registry, since, Client::give_way);
        if !has_room && self.proxy.clients.get() >= limit + REFUSALS {
            log::info!("{peer}: there are too many connections");
            return Ok(());
        }
        let peer = peer.inet().map(|peer| peer.ip().to_canonical());
        let client = Client::new(&self.proxy, peer, now, !has_room);
        let chat = ChatDispatcher::new(client, HEAD_END);
        let id = match &self.tls {
            Some(acceptor) => registry.register_tls(stream, acceptor, chat)?,
            None => registry.register(stream, chat)?,
        };
        self.waiting.add(registry, id);
        Ok(())
    }
}
