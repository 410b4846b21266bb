//! Idioms of "One channel and another".

use std::{io::Write, net::SocketAddr, thread, time::Duration};

use asynchat::{
    AsyncChat, BoxError, Channel, ChannelId, ChatChannel, Closed, CoupleOptions, Dispatcher,
    Handle, OutgoingFull, Registry, Result, Stream,
};

struct Room {
    members: Vec<ChannelId>,
}

impl Room {
    // region 33
    fn broadcast(&mut self, registry: &mut Registry, from: ChannelId, line: &str) {
        self.members.retain(|&id| registry.channel(id).is_some()); // those that are left
        for &id in self.members.iter().filter(|&&id| id != from) {
            if let Some(mut member) = registry.channel(id) {
                member.push(line.to_owned());
            }
        }
    }
    // end
}

struct Unserved;
impl Dispatcher for Unserved {}

fn forward(registry: &mut Registry, stream: Stream, server: SocketAddr) -> Result {
    // region 34
    let client = registry.register(stream, Unserved)?; // any object: it is replaced at once
    let server = registry.connect(server, Unserved)?;
    registry.couple(client, server, CoupleOptions::new())?;
    // end
    Ok(())
}

struct Tunnel {
    head: Vec<u8>,
}

impl AsyncChat for Tunnel {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        Ok(self.head.write_all(data)?)
    }

    // region 42
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let (client, server) = (chat.id(), self.requested_address()?);
        chat.registry().connect(server, Upstream { client })?;
        chat.pause_reading(Duration::MAX); // the rest is for the server
        Ok(())
    }
    // end
}

impl Tunnel {
    fn requested_address(&self) -> Result<SocketAddr> {
        let head = std::str::from_utf8(&self.head)?;
        Ok(head.split(' ').nth(1).ok_or("no address")?.parse()?)
    }
}

struct Upstream {
    client: ChannelId,
}

// region 42
impl Dispatcher for Upstream {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let server = channel.id();
        let Some(mut client) = channel.registry().channel(self.client) else {
            channel.close(); // the client has gone
            return Ok(());
        };
        client.push("HTTP/1.1 200 Connected\r\n\r\n");
        let options = CoupleOptions::new().idle_timeout(Duration::from_secs(3600));
        channel.registry().couple(self.client, server, options)?;
        Ok(())
    }

    // Not for a coupled channel: there this object is replaced.
    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        if let Some(mut client) = registry.channel(self.client) {
            client.push("HTTP/1.1 502 Bad Gateway\r\n\r\n");
            client.close_when_done();
        }
    }
}
// end

const PER_SECOND: usize = 10_000;

struct Slow {
    allowance: usize,
}

impl Dispatcher for Slow {
    // region 35
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buffer = vec![0; self.allowance];
        self.allowance -= channel.recv(&mut buffer)?;
        if self.allowance == 0 {
            self.allowance = PER_SECOND;
            channel.pause_reading(Duration::from_secs(1));
        }
        Ok(())
    }
    // end
}

struct Transfer {
    control: ChannelId,
}

impl Dispatcher for Transfer {
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 37
        let reply = if channel.is_reset() {
            "426 Transfer aborted\r\n"
        } else {
            "226 Transfer complete\r\n"
        };
        if let Some(mut control) = channel.registry().channel(self.control) {
            control.push(reply);
        }
        channel.close();
        // end
        Ok(())
    }
}

struct Rpc {
    unanswered: usize,
    request: Vec<u8>,
}

impl AsyncChat for Rpc {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.request.extend_from_slice(data);
        Ok(())
    }

    // region 38
    fn readable(&self) -> bool {
        self.unanswered < 10
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.unanswered += 1;
        let request = std::mem::take(&mut self.request);
        let (id, handle) = (chat.id(), chat.registry().handle());
        thread::spawn(move || answer_from_thread(&handle, id, work(&request)));
        Ok(())
    }
    // end

    // region 39
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::error!("{}: {error}", chat.describe());
        chat.push("500 internal error\r\n"); // the error's text is for you, not for the peer
        chat.close_when_done();
    }
    // end
}

// region 38
fn answer_from_thread(handle: &Handle, id: ChannelId, answer: Vec<u8>) {
    // Fails only when the reactor is gone.
    let _ = handle.call_soon(move |registry| {
        // The client may have gone.
        let _ = registry.with_chat(id, |rpc: &mut Rpc, chat| {
            rpc.unanswered -= 1;
            chat.push(answer);
        });
        Ok(())
    });
}
// end

const REQUESTS_A_SECOND: u32 = 5;

struct Polite {
    request: Vec<u8>,
}

impl AsyncChat for Polite {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.request.extend_from_slice(data);
        Ok(())
    }

    // region 45
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push(work(&std::mem::take(&mut self.request)));
        chat.pause_reading(Duration::from_secs(1) / REQUESTS_A_SECOND);
        Ok(())
    }
    // end
}

fn work(request: &[u8]) -> Vec<u8> {
    request.to_vec()
}

struct Server {
    hits: u64,
}

impl Dispatcher for Server {}

struct HttpChannel {
    server: ChannelId,
    line: Vec<u8>,
}

impl AsyncChat for HttpChannel {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let path = String::from_utf8(std::mem::take(&mut self.line))?;
        // region both
        let id = chat.id();
        chat.registry()
            .with(self.server, |server: &mut Server, listener| {
                server.handle_request(listener.registry(), id, &path);
            })?;
        // end
        Ok(())
    }
}

impl Server {
    // region both
    fn handle_request(&mut self, registry: &mut Registry, client: ChannelId, path: &str) {
        self.hits += 1;
        if let Some(mut client) = registry.channel(client) {
            client.push(format!("hit {} of {path}\r\n", self.hits));
        }
    }
    // end
}

struct Member {
    name: String,
    room: ChannelId,
}

impl Dispatcher for Room {}

impl Dispatcher for Member {
    // region 43
    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let line = format!("* {} has left ({})\n", self.name, why.cause);
        // The room is gone while the program shuts down.
        let _ = registry.with(self.room, |room: &mut Room, listener| {
            room.broadcast(listener.registry(), why.channel, &line);
        });
    }
    // end

    // region 44
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        if error.is::<OutgoingFull>() {
            log::info!("{} reads too slowly", self.name);
            channel.close();
        } else {
            channel.default_error(error);
        }
    }
    // end
}

/// `cargo test --features testing --example porting`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::io::ErrorKind;

    use asynchat::{
        Address,
        testing::{Harness, Listener},
    };

    use super::*;

    struct Proxy;

    impl Dispatcher for Proxy {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: Stream,
            _: Address,
        ) -> Result {
            forward(channel.registry(), stream, ([192, 0, 2, 1], 80).into())
        }
    }

    fn pair() -> (Listener, Harness, Harness) {
        let mut proxy = Listener::new(Proxy);
        let down = proxy.connect();
        let up = proxy.dialled().expect("the proxy connects");
        (proxy, down, up)
    }

    #[test]
    fn both_halves_pass_on_what_they_read_and_the_end_of_one_is_that_of_the_other() {
        let (_proxy, mut down, mut up) = pair();
        down.feed("question");
        up.connected();
        assert_eq!(up.output(), b"question");
        up.feed("answer");
        up.eof();
        assert_eq!(down.output(), b"answer");
        assert!(down.has_ended() && !up.is_closed());
        down.eof();
        assert!(up.is_closed() && down.is_closed());
    }

    #[test]
    fn no_half_stays_behind_a_failed_connect_or_a_reset() {
        let (_proxy, mut down, mut up) = pair();
        up.connect_failed(ErrorKind::ConnectionRefused);
        assert!(down.has_ended());
        let (_proxy, mut down, mut up) = pair();
        up.connected();
        down.reset();
        assert!(up.was_aborted());
    }

    #[test]
    fn a_tunnel_answers_and_couples_or_says_that_it_could_not() {
        for reached in [true, false] {
            let tunnel = Tunnel { head: Vec::new() };
            let mut client = Harness::chat(tunnel, "\r\n\r\n");
            client.feed("CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\nhello");
            let mut server = client.dialled().expect("it connects");
            if reached {
                server.connected();
                assert_eq!(client.output(), b"HTTP/1.1 200 Connected\r\n\r\n");
                assert_eq!(server.output(), b"hello");
                server.reset();
                assert!(client.was_aborted());
            } else {
                server.connect_failed(ErrorKind::ConnectionRefused);
                assert_eq!(client.output(), b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
                assert!(client.has_ended());
            }
        }
    }

    #[test]
    fn the_room_hears_of_every_end() {
        struct Door(Option<ChannelId>);
        impl Dispatcher for Door {
            fn handle_accepted(
                &mut self,
                channel: &mut Channel<'_>,
                stream: Stream,
                peer: Address,
            ) -> Result {
                let registry = channel.registry();
                let room = match self.0 {
                    Some(room) => room,
                    None => *self
                        .0
                        .insert(registry.listen(([192, 0, 2, 1], 8), Room { members: vec![] })?),
                };
                let name = format!("{}", peer.port().unwrap_or_default());
                let id = registry.register(stream, Member { name, room })?;
                Ok(registry.with(room, |room: &mut Room, _| room.members.push(id))?)
            }
        }
        let mut door = Listener::new(Door(None));
        let (mut ann, mut bob) = (door.connect(), door.connect());
        let port = ann.address().port().unwrap_or_default();
        ann.reset();
        let heard = format!("* {port} has left (reset by peer)\n");
        assert_eq!(bob.output(), heard.as_bytes());
    }
}
