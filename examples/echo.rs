//! The echo server of the README: `cargo run --example echo [ADDR]`, then `nc 127.0.0.1 8007`.

use asynchat::{Address, Channel, Dispatcher, Reactor, Result, Stream};

struct EchoServer;

impl Dispatcher for EchoServer {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        channel.registry().register(stream, Echo)?;
        Ok(())
    }
}

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
    let address: Address = argument.as_deref().unwrap_or("127.0.0.1:8007").parse()?;
    let mut reactor = Reactor::new()?;
    reactor.listen(&address, EchoServer)?;
    println!("echoing on {address}");
    Ok(reactor.run()?)
}
