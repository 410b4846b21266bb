//! Idioms of "Handing over".

use asynchat::{
    Address, AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Handle,
    Result, Stream,
};

mod start_tls {
    use asynchat_rustls::{ChannelTls, TlsAcceptor};

    use super::*;

    struct Session {
        acceptor: TlsAcceptor,
    }

    impl Session {
        fn secured(_: &TlsAcceptor) -> ChatDispatcher<Secured> {
            ChatDispatcher::collecting(Secured, "\r\n", 1024)
        }

        // region 46
        fn cmd_starttls(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            chat.push("220 ready\r\n"); // leaves in clear, as all that was pushed before
            chat.replace(Self::secured(&self.acceptor)); // knows nothing of what was said in clear
            chat.start_tls(&self.acceptor)?; // all that follows is TLS, also what is read already
            Ok(())
        }
        // end
    }

    struct Secured;

    impl AsyncChat for Secured {}
}

mod between_reactors {
    use super::*;

    struct Control {
        worker: Handle,
    }
    struct Transfer;
    impl Dispatcher for Transfer {}

    impl Control {
        fn hand_over(&mut self, channel: &mut Channel<'_>) -> Result {
            // region 47
            let Some(detached) = channel.detach() else {
                return Ok(()); // closed meanwhile
            };
            let (socket, unread) = (detached.socket, detached.unread);
            self.worker.call_soon(move |registry| {
                let id = registry.register(socket, Transfer)?; // its handle_connect comes (again)
                if let Some(mut channel) = registry.channel(id) {
                    channel.unread(unread);
                }
                Ok(())
            })?;
            // end
            Ok(())
        }
    }
}

struct Control {
    data: Option<ChannelId>,
}

impl AsyncChat for Control {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}

struct Transfer;
impl Dispatcher for Transfer {}

struct PassiveAcceptor {
    control: ChannelId,
}

impl Dispatcher for PassiveAcceptor {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        // region 48
        let id = channel.registry().register(stream, Transfer)?;
        channel
            .registry()
            .with_chat(self.control, |control: &mut Control, _| {
                control.data = Some(id);
            })?;
        channel.close(); // the listener: one connection is all it was for
        // end
        Ok(())
    }
}

struct Smtp;
struct Http;
impl AsyncChat for Smtp {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}
impl AsyncChat for Http {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }
    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}

#[derive(Default)]
struct Detector {
    start: Vec<u8>,
}

impl Dispatcher for Detector {
    // region 49
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|_, data| self.start.extend_from_slice(data))?;
        if self.start.len() >= 4 {
            let is_smtp = self.start.starts_with(b"EHLO");
            channel.unread(std::mem::take(&mut self.start)); // to be read again
            if is_smtp {
                channel.replace(ChatDispatcher::new(Smtp, "\r\n"));
            } else {
                channel.replace(ChatDispatcher::new(Http, "\r\n\r\n"));
            }
        }
        Ok(())
    }
    // end
}
