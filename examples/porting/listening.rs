//! Idioms of "Listening".

use std::time::Duration;

use asynchat::{
    Address, Channel, ChannelId, Dispatcher, ListenOptions, Reactor, Registry, Result, State,
    Stream,
};

struct Session {
    peer: Address,
}

fn start(registry: &mut Registry) -> Result<ChannelId> {
    // region 1
    // or "unix:/run/server.sock"; reuse-addr, backlog 1,024: see listen_with
    let id = registry.listen("0.0.0.0:8000", Server::default())?;
    // end
    Ok(id)
}

// region 2
#[derive(Default)]
struct Server {
    sessions: Vec<ChannelId>,
}

impl Dispatcher for Server {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let session = Session { peer };
        self.sessions
            .push(channel.registry().register(stream, session)?);
        Ok(())
    }
}
// end

impl Dispatcher for Session {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 4
        channel.push(format!("220 hello, {}\r\n", self.peer));
        // end
        Ok(())
    }
}

fn limited() -> Result<Reactor> {
    // region 5
    let reactor = Reactor::builder().max_channels(100).build()?;
    // end
    Ok(reactor)
}

fn limited_by_address(registry: &mut Registry) -> Result<ChannelId> {
    // region 8
    let options = ListenOptions::new().max_per_peer(10);
    let id = registry.listen_with("0.0.0.0:8000", &options, Server::default())?;
    // end
    Ok(id)
}

struct Refusal;
impl Dispatcher for Refusal {}

struct Full;

impl Dispatcher for Full {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        // region full
        let id = channel.registry().register(stream, Refusal)?;
        if let Some(mut refused) = channel.registry().channel(id) {
            refused.push("421 full\r\n");
            refused.set_linger(Duration::from_millis(500), 4096);
            refused.close_when_done();
        }
        // end
        Ok(())
    }
}

fn close_zombies(registry: &mut Registry) {
    // region 6
    let is_old = |age| age > Duration::from_secs(30 * 60);
    let zombies: Vec<ChannelId> = registry
        .channels()
        .filter(|channel| channel.state == State::Open && is_old(channel.age))
        .map(|channel| channel.id)
        .collect();
    for id in zombies {
        if let Some(mut channel) = registry.channel(id) {
            channel.close();
        }
    }
    // end
}
