//! Idioms of "One channel and another": a collector of datagrams.

use asynchat::{AsyncChat, Channel, ChannelId, ChatChannel, Dispatcher, Result};

// region 41
struct Collector {
    seen: u64,
    watchers: Vec<ChannelId>,
}

/// Behind the UDP socket.
impl Dispatcher for Collector {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut packet = [0; 2048];
        for _ in 0..32 {
            let (length, _) = channel.recv_from(&mut packet)?;
            self.seen += 1;
            self.watchers.retain(|&id| {
                let watcher = channel.registry().channel(id);
                watcher
                    .map(|mut watcher| watcher.push(packet[..length].to_vec()))
                    .is_some()
            });
        }
        Ok(())
    }
}
// end

/// A client over TCP.
struct Watcher {
    collector: ChannelId,
}

impl AsyncChat for Watcher {
    // region 41
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let id = chat.id();
        let seen = chat
            .registry()
            .with(self.collector, |collector: &mut Collector, _| {
                collector.watchers.push(id);
                collector.seen
            })?;
        chat.push(format!("{seen} so far\r\n"));
        Ok(())
    }
    // end

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream, UdpSocket},
        time::Duration,
    };

    use asynchat::{ChatDispatcher, Reactor};

    use super::*;

    #[test]
    fn what_comes_over_udp_goes_to_those_that_watch() -> Result {
        let mut reactor = Reactor::new()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let collector = Collector {
            seen: 0,
            watchers: Vec::new(),
        };
        let collector = reactor.register(socket, collector)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let watcher = ChatDispatcher::new(Watcher { collector }, "\r\n");
        reactor.register(listener.accept()?.0, watcher)?;
        reactor.turn(Some(Duration::ZERO))?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"packet\r\n", address)?;
        client.set_nonblocking(true)?;
        let mut heard = Vec::new();
        for _ in 0..500 {
            reactor.turn(Some(Duration::from_millis(20)))?;
            let _ = std::io::Read::read_to_end(&mut &client, &mut heard);
            if heard.ends_with(b"packet\r\n") {
                break;
            }
        }
        assert_eq!(heard, b"0 so far\r\npacket\r\n");
        Ok(())
    }
}
