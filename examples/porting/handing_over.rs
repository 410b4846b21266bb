//! Idioms of "Handing over".

use asynchat::{
    Address, AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Handle,
    Result, Stream,
};

mod start_tls {
    use std::io::Read;

    use super::*;

    /// Stands in for `rustls::ServerConnection`, whose methods have these names.
    struct ServerConnection;
    struct IoState;

    impl ServerConnection {
        fn read_tls(&mut self, _: &mut dyn std::io::Read) -> std::io::Result<usize> {
            Ok(0)
        }
        fn process_new_packets(&mut self) -> Result<IoState> {
            Ok(IoState)
        }
        fn reader(&mut self) -> std::io::Empty {
            std::io::empty()
        }
        fn wants_write(&self) -> bool {
            false
        }
        fn write_tls(&mut self, _: &mut dyn std::io::Write) -> std::io::Result<usize> {
            Ok(0)
        }
    }

    impl IoState {
        fn plaintext_bytes_to_read(&self) -> usize {
            0
        }
    }

    struct Tls {
        tls: ServerConnection,
    }

    impl Dispatcher for Tls {
        // region 46
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            self.tls.read_tls(channel)?; // a channel is an io::Read
            let state = self.tls.process_new_packets()?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain)?;
            self.got(&plain); // may write to self.tls.writer()
            while self.tls.wants_write() {
                self.tls.write_tls(channel)?; // and an io::Write
            }
            Ok(())
        }
        // end
    }

    fn start_tls(chat: &mut ChatChannel<'_>, tls: ServerConnection) {
        // region 46
        chat.discard_input(); // nothing sent in clear text may count as encrypted
        chat.replace(Tls { tls }); // in force when this callback returns
        // end
    }

    impl Tls {
        fn got(&mut self, _plain: &[u8]) {}
    }
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
