//! The echo server of the README: `cargo run --example echo [ADDR]`, then `nc 127.0.0.1 8007`.

use asynchat::{Channel, Dispatcher, Reactor, Result};

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(std::io::Write::write_all)??;
        Ok(())
    }
}

fn main() -> Result {
    env_logger::init();
    let argument = std::env::args().nth(1);
    let address = argument.as_deref().unwrap_or("127.0.0.1:8007");
    let mut reactor = Reactor::new()?;
    reactor.listen_fn(address, |registry, stream, _peer| {
        registry.register(stream, Echo)?;
        Ok(())
    })?;
    println!("echoing on {address}");
    Ok(reactor.run()?)
}
