//! The listening socket.

use std::rc::Rc;

use asynchat::{Address, Channel, ChatDispatcher, Dispatcher, Result, Stream};
use asynchat_rustls::{RegistryTls, TlsAcceptor};

use super::{Proxy, client::Client};
use crate::http::reader::HEAD_END;

/// Takes connections as long as there are not too many.
pub struct Entrance {
    proxy: Rc<Proxy>,
    tls: Option<TlsAcceptor>,
}

impl Entrance {
    /// With an acceptor, clients speak TLS to the proxy.
    pub fn new(proxy: &Rc<Proxy>, tls: Option<TlsAcceptor>) -> Self {
        Self {
            proxy: Rc::clone(proxy),
            tls,
        }
    }
}

impl Dispatcher for Entrance {
    fn readable(&self) -> bool {
        self.proxy.has_room()
    }

    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        stream.set_nodelay(true)?;
        let client = Client::new(
            &self.proxy,
            peer.inet().map(|peer| peer.ip().to_canonical()),
        );
        let chat = ChatDispatcher::new(client, HEAD_END);
        self.proxy.arrived(channel)?;
        let registry = channel.registry();
        let registered = match &self.tls {
            Some(acceptor) => registry.register_tls(stream, acceptor, chat),
            None => registry.register(stream, chat),
        };
        if registered.is_err() {
            self.proxy.departed(registry);
        }
        registered?;
        Ok(())
    }
}
