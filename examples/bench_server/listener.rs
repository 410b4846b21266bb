//! The listener of every mode: an object of the mode's for each connection.

use std::{io, net::SocketAddr};

use asynchat::{
    Address, BoxError, Channel, ChannelId, ChatChannel, Dispatcher, ListenOptions, Registry,
    Result, Stream,
};
use asynchat_rustls::{RegistryTls, TlsAcceptor};

struct Listener<F> {
    connection: F,
    tls: Option<TlsAcceptor>,
}

impl<D: Dispatcher, F: FnMut() -> D + 'static> Dispatcher for Listener<F> {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let connection = (self.connection)();
        match &self.tls {
            None => channel.registry().register(stream, connection)?,
            Some(tls) => channel.registry().register_tls(stream, tls, connection)?,
        };
        Ok(())
    }
}

pub(crate) fn listen<D: Dispatcher>(
    registry: &mut Registry,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    connection: impl FnMut() -> D + 'static,
) -> io::Result<ChannelId> {
    // Set once here, where Linux has every accepted stream inherit it.
    let options = ListenOptions::new().backlog(4096).nodelay(true);
    registry.listen_with(address, &options, Listener { connection, tls })
}

/// What a chat does about an error: an unwelcome request or a broken file is the end of its connection and no more
/// than a line for those who want to see it.
pub(crate) fn give_up(chat: &mut ChatChannel<'_>, error: &BoxError) {
    log::info!("{}: {error}", chat.describe());
    chat.close();
}
