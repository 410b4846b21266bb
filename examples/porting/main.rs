//! The compiled Rust of `docs/porting.md`: `cargo run --example porting -- 8025` runs the complete program of that
//! page, the modules hold its idioms.
#![allow(
    dead_code,
    reason = "most of it is here to be compiled and shown, not to run"
)]

mod collecting;
mod connecting;
#[cfg(unix)]
mod descriptors;
mod framing;
mod handing_over;
mod listening;
mod looping;
#[cfg(target_os = "linux")]
mod passing;
mod sending;
mod sharing;
mod waiting;

// region program
use std::collections::HashMap;

use asynchat::{
    Address, AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher, Frame,
    Reactor, Result, Stream,
};

#[derive(Default)]
struct Server {
    notes: HashMap<String, String>,
}

impl Dispatcher for Server {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        addr: Address,
    ) -> Result {
        println!("connection from {addr}");
        let server = channel.id();
        let chat = ChatDispatcher::collecting(Session { server }, "\r\n", 1024);
        channel.registry().register(stream, chat)?;
        Ok(())
    }
}

struct Session {
    server: ChannelId,
}

impl AsyncChat for Session {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push("220 notes\r\n");
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        let line = String::from_utf8_lossy(&line);
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match command.to_lowercase().as_str() {
            "set" => self.cmd_set(chat, rest)?,
            "get" => self.cmd_get(chat, rest)?,
            "quit" => self.cmd_quit(chat),
            _ => reply(chat, "500 what?"),
        }
        Ok(())
    }
}

impl Session {
    fn cmd_set(&mut self, chat: &mut ChatChannel<'_>, rest: &str) -> Result {
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        chat.registry()
            .with(self.server, |server: &mut Server, _| {
                server.notes.insert(name.into(), text.into());
            })?;
        reply(chat, "250 ok");
        Ok(())
    }

    fn cmd_get(&mut self, chat: &mut ChatChannel<'_>, name: &str) -> Result {
        let text = chat
            .registry()
            .with(self.server, |server: &mut Server, _| {
                server.notes.get(name).cloned()
            })?;
        match text {
            Some(text) => reply(chat, &format!("250 {text}")),
            None => reply(chat, "404 no such note"),
        }
        Ok(())
    }

    fn cmd_quit(&mut self, chat: &mut ChatChannel<'_>) {
        reply(chat, "221 bye");
        chat.close_when_done();
    }
}

fn reply(chat: &mut ChatChannel<'_>, text: &str) {
    chat.push(format!("{text}\r\n"));
}

fn main() -> Result {
    // By itself env_logger shows no warnings, and without a logger no error is shown.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let port: u16 = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let mut reactor = Reactor::new()?;
    let id = reactor.listen(([127, 0, 0, 1], port), Server::default())?;
    let address = reactor.channel(id).ok_or("closed")?.local_addr()?;
    println!("listening on {address}");
    Ok(reactor.run()?)
}
// end
