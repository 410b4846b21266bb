//! Idioms 8 to 11, and 59.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    thread,
    time::Duration,
};

use asynchat::{Channel, ChannelId, ConnectOptions, Dispatcher, Exceptional, Registry, Result};

struct Client;

impl Dispatcher for Client {
    // region 8
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.push("NICK porter\r\n");
        Ok(())
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            eprintln!("{}: {error}", channel.describe());
        }
        Ok(())
    }
    // end
}

fn dial(registry: &mut Registry) -> Result<ChannelId> {
    let address: SocketAddr = "127.0.0.1:6667".parse()?;
    // region 8
    let id = registry.connect(address, Client)?;
    // end
    Ok(id)
}

fn dial_name(registry: &mut Registry, host: &str, port: u16) -> Result<ChannelId> {
    // region 9
    // Blocks while the name is looked up: only before `run`.
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let options = ConnectOptions::new().timeout(Duration::from_secs(5)); // for each address
    let id = registry.connect_with(&addresses, &options, Client)?; // or connect_any
    // end
    Ok(id)
}

fn dial_name_in_a_callback(registry: &mut Registry, host: String, port: u16) {
    // region look-up
    let handle = registry.handle();
    let hold = handle.hold();
    thread::spawn(move || {
        let found = (host, port).to_socket_addrs();
        // Refused only when the reactor is gone.
        let _ = handle.call_soon(move |registry| {
            let addresses: Vec<SocketAddr> = found?.collect(); // an error is logged
            registry.connect_any(&addresses, Client)?;
            Ok(())
        });
        drop(hold); // not before the call is posted
    });
    // end
}

struct Upstream;
impl Dispatcher for Upstream {}

fn dial_from_port_20(registry: &mut Registry, client: SocketAddr) -> Result<ChannelId> {
    // region 59
    let source: SocketAddr = "0.0.0.0:20".parse()?;
    let options = ConnectOptions::new().source(source).reuse_addr(true);
    let id = registry.connect_with(&[client], &options, Upstream)?;
    // end
    Ok(id)
}

struct Request {
    server: SocketAddr,
}

impl Dispatcher for Request {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 10
        let request = channel.recv_with(|_, data| data.to_vec())?;
        let id = channel.registry().connect(self.server, Upstream)?;
        if let Some(mut upstream) = channel.registry().channel(id) {
            upstream.push(request); // leaves once connected
        }
        // end
        Ok(())
    }
}

struct Link {
    address: SocketAddr,
}

// region 11
impl Link {
    fn dial_again(&self, registry: &mut Registry) {
        let address = self.address;
        registry.call_later(Duration::from_secs(1), move |registry| {
            registry.connect(address, Link { address })?;
            Ok(())
        });
    }
}

impl Dispatcher for Link {
    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(_) = what {
            self.dial_again(channel.registry());
        }
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.dial_again(channel.registry()); // the peer left
        channel.close();
        Ok(())
    }
}
// end
