//! An echo server behind a filter without cryptography, on a free port of loopback. SIGTERM ends it.

use asynchat::{Address, Channel, Dispatcher, Reactor, Registry, Result, Stream, accept_fn};
use util::toy::Toy;

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|channel, data| channel.push(data.to_vec()))?;
        Ok(())
    }
}

fn accept(registry: &mut Registry, stream: Stream, _: Address) -> Result {
    let id = registry.register(stream, Echo)?;
    let mut channel = registry.channel(id).ok_or("closed")?;
    Ok(channel.upgrade(Toy::server())?)
}

fn main() -> Result {
    let mut reactor = Reactor::new()?;
    let id = reactor.listen("127.0.0.1:0", accept_fn(accept))?;
    let address = reactor.channel(id).ok_or("closed")?.local_addr()?;
    #[cfg(unix)]
    reactor.on_signal(asynchat::signal::SIGTERM, |registry| {
        registry.stop();
        Ok(())
    })?;
    println!("listening on {address}");
    reactor.run()?;
    Ok(())
}
