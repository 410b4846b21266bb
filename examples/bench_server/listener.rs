//! The listener of every mode: an object of the mode's for each connection.

use std::{io, net::SocketAddr};

use asynchat::{
    Address, BoxError, Channel, ChannelId, ChatChannel, Dispatcher, ListenOptions, Registry,
    Result, Stream,
};

struct Listener<F>(F);

impl<D: Dispatcher, F: FnMut() -> D + 'static> Dispatcher for Listener<F> {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        channel.registry().register(stream, (self.0)())?;
        Ok(())
    }
}

pub(crate) fn listen<D: Dispatcher>(
    registry: &mut Registry,
    address: SocketAddr,
    connection: impl FnMut() -> D + 'static,
) -> io::Result<ChannelId> {
    // Set once here, where Linux has every accepted stream inherit it.
    let options = ListenOptions::new().backlog(4096).nodelay(true);
    registry.listen_with(address, &options, Listener(connection))
}

/// What a chat does about an error: an unwelcome request or a broken file is the end of its connection and no more
/// than a line for those who want to see it.
pub(crate) fn give_up(chat: &mut ChatChannel<'_>, error: &BoxError) {
    log::info!("{}: {error}", chat.describe());
    chat.close();
}
