//! Idioms of "Framing".

use asynchat::{ChatDispatcher, Dispatcher, Registry, Result, Stream};

mod binary {
    use super::*;
    use asynchat::{AsyncChat, ChatChannel};

    // region 24
    const END: &[u8] = b"\0---\0";
    // end

    #[derive(Default)]
    struct Rpc {
        message: Vec<u8>,
    }

    impl AsyncChat for Rpc {
        // region 24
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            self.message.extend_from_slice(data);
            Ok(())
        }

        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let message = std::mem::take(&mut self.message);
            chat.push(answer(&message));
            chat.push(END);
            Ok(())
        }
        // end
    }

    fn serve(registry: &mut Registry, stream: Stream) -> Result {
        // region 24
        registry.register(
            stream,
            ChatDispatcher::new(Rpc::default(), END).max_frame(1 << 20),
        )?;
        // end
        Ok(())
    }

    fn answer(message: &[u8]) -> Vec<u8> {
        message.to_vec()
    }
}

mod commands {
    use super::*;
    use asynchat::ChatChannel;

    struct Pop3;

    impl Pop3 {
        fn command(&mut self, chat: &mut ChatChannel<'_>, line: &str) -> Result {
            // region 25
            let (command, arg) = line.split_once(' ').unwrap_or((line, ""));
            match command.to_lowercase().as_str() {
                "user" => self.cmd_user(chat, arg),
                "quit" => self.cmd_quit(chat),
                _ => chat.push("-ERR unknown command\r\n"),
            }
            // end
            Ok(())
        }

        fn cmd_user(&mut self, chat: &mut ChatChannel<'_>, name: &str) {
            chat.push(format!("+OK {name}\r\n"));
        }

        fn cmd_quit(&mut self, chat: &mut ChatChannel<'_>) {
            chat.close_when_done();
        }
    }
}

mod http {
    use super::*;
    use asynchat::{AsyncChat, ChatChannel, Terminator};

    struct Http {
        part: Part,
        data: Vec<u8>,
    }

    // region 26
    enum Part {
        Head,
        Body,
    }
    // end

    impl AsyncChat for Http {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            self.data.extend_from_slice(data);
            Ok(())
        }

        // region 26
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let data = std::mem::take(&mut self.data);
            match self.part {
                Part::Head => {
                    self.part = Part::Body;
                    chat.set_terminator(content_length(&data)?); // a u64; 0 is complete at once
                }
                Part::Body => {
                    self.part = Part::Head;
                    chat.set_terminator("\r\n\r\n");
                    self.handle_request(chat, &data);
                }
            }
            Ok(())
        }
        // end
    }

    impl Http {
        fn handle_request(&mut self, chat: &mut ChatChannel<'_>, body: &[u8]) {
            chat.push(body.to_vec());
        }

        fn upgrade(&mut self, chat: &mut ChatChannel<'_>) {
            // region 28
            chat.set_terminator(Terminator::None); // everything goes to collect_incoming_data
            // end
        }
    }

    fn content_length(head: &[u8]) -> Result<u64> {
        Ok(std::str::from_utf8(head)?.len() as u64)
    }
}

mod records {
    use super::*;
    use asynchat::{AsyncChat, ChatChannel};

    const HEADER: u64 = 8;

    #[derive(Default)]
    struct FastCgi {
        in_body: bool,
        data: Vec<u8>,
    }

    impl AsyncChat for FastCgi {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            self.data.extend_from_slice(data);
            Ok(())
        }

        // region 29
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let data = std::mem::take(&mut self.data);
            self.in_body = !self.in_body;
            if self.in_body {
                chat.set_terminator(u64::from(u16::from_be_bytes([data[4], data[5]])));
            } else {
                chat.set_terminator(HEADER);
                self.got_record(&data);
            }
            Ok(())
        }
        // end
    }

    impl FastCgi {
        fn got_record(&mut self, _record: &[u8]) {}
    }
}

mod unframed {
    use super::*;
    use asynchat::Channel;

    struct Node {
        buffer: Vec<u8>,
    }

    impl Dispatcher for Node {
        // region 30
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|_, data| self.buffer.extend_from_slice(data))?;
            while let Some(length) = message_length(&self.buffer)? {
                let message: Vec<u8> = self.buffer.drain(..length).collect();
                self.got_message(channel, &message);
            }
            Ok(())
        }
        // end
    }

    /// `None` while the message is incomplete.
    fn message_length(buffer: &[u8]) -> Result<Option<usize>> {
        let Some(&[a, b, c, d]) = buffer.get(16..20) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > 4_000_000 {
            return Err("message too long".into());
        }
        Ok((buffer.len() >= 24 + length).then_some(24 + length))
    }

    impl Node {
        fn got_message(&mut self, channel: &mut Channel<'_>, message: &[u8]) {
            channel.push(message.to_vec());
        }
    }
}

mod mail {
    use super::*;
    use asynchat::{AsyncChat, ChatChannel};

    #[derive(Default)]
    struct Smtp {
        in_message: bool,
        data: Vec<u8>,
    }

    impl Smtp {
        fn cmd_data(&mut self, chat: &mut ChatChannel<'_>) {
            // region 31
            chat.push("354 end with a line that is a dot\r\n");
            chat.set_terminator("\r\n.\r\n");
            chat.unread("\r\n"); // the end of the DATA line, so that ".\r\n" ends an empty message
            self.in_message = true;
            // end
        }

        fn got_message(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) {
            // region 31
            let message = data.strip_prefix(b"\r\n").unwrap_or(data);
            // end
            chat.push(format!("250 {} bytes\r\n", message.len()));
        }
    }

    impl AsyncChat for Smtp {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            self.data.extend_from_slice(data);
            Ok(())
        }

        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.in_message) {
                chat.set_terminator("\r\n");
                self.got_message(chat, &data);
            } else {
                self.cmd_data(chat);
            }
            Ok(())
        }
    }

    /// `cargo test --features testing --example porting`.
    #[cfg(all(test, feature = "testing"))]
    #[test]
    fn an_empty_message_ends_with_the_dot_alone() {
        for bytewise in [false, true] {
            let mut peer = asynchat::testing::Harness::chat(Smtp::default(), "\r\n");
            for (message, length) in [(".\r\n", 0), ("a\r\n.\r\n", 1), ("\r\n\r\n.\r\n", 2)] {
                let dialogue = format!("DATA\r\n{message}");
                if bytewise {
                    peer.feed_bytewise(dialogue);
                } else {
                    peer.feed(dialogue);
                }
                let answer = format!("354 end with a line that is a dot\r\n250 {length} bytes\r\n");
                assert_eq!(String::from_utf8_lossy(&peer.output()), answer);
            }
        }
    }
}

mod whole_lines {
    use super::*;
    use asynchat::{AsyncChat, ChatChannel, Frame};

    #[derive(Default)]
    struct Session {
        commands: usize,
    }

    impl AsyncChat for Session {
        // region 32
        fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
            let line = String::from_utf8_lossy(&line);
            self.command(chat, &line)
        }
        // end
    }

    impl Session {
        fn command(&mut self, chat: &mut ChatChannel<'_>, line: &str) -> Result {
            self.commands += 1;
            chat.push(format!("{}: {line}\r\n", self.commands));
            Ok(())
        }
    }

    fn accepted(registry: &mut Registry, stream: Stream) -> Result {
        // region 32
        registry.register(
            stream,
            ChatDispatcher::collecting(Session::default(), "\r\n", 1024),
        )?;
        // end
        Ok(())
    }
}
