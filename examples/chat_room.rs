//! A chat room: `cargo run --example chat_room`, then `nc 127.0.0.1 4000` from several terminals.
//!
//! The room is the listener's object; members reach it by its `ChannelId`, and it reaches them by theirs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    process::ExitCode,
    time::Duration,
};

use asynchat::{
    Address, AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher,
    FrameTooLong, OutgoingFull, Reactor, Registry, Result, Stream,
};
use bytes::Bytes;
use lexopt::prelude::*;

#[path = "common/cli.rs"]
mod cli;
#[path = "common/signals.rs"]
mod signals;

const HELP: &str = "\
A room in which everybody reads what the others write.

Usage: chat_room [OPTIONS]

Options:
      --bind ADDR         IP address to listen on [default: 127.0.0.1]
      --port PORT         0 takes a free one [default: 4000]
      --max-members NUM   connections at a time; others wait [default: 1000]
      --max-outgoing NUM  bytes that may wait for a member before it is dropped [default: 262144]
  -h, --help              show this

The first line a member sends is its name: 1 to 20 letters, digits, - _ and dots.";

/// The longest line, in bytes.
const MAX_LINE: usize = 1024;
/// How long a connection may stay without a word of who it is.
const NAME_WITHIN: Duration = Duration::from_secs(120);
/// The longest name, in characters.
const MAX_NAME: usize = 20;

/// The listening socket, and the names of those in the room.
#[derive(Default)]
struct Room {
    members: BTreeMap<ChannelId, String>,
}

impl Room {
    /// Queues a line for everybody but `from`.
    fn broadcast(&self, registry: &mut Registry, from: ChannelId, line: String) {
        let line = Bytes::from(line);
        for &id in self.members.keys().filter(|&&id| id != from) {
            if let Some(mut member) = registry.channel(id) {
                member.push(line.clone());
            }
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        let name = folded(name);
        self.members.values().any(|other| folded(other) == name)
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.members.values().map(String::as_str).collect();
        names.join(", ")
    }
}

impl Dispatcher for Room {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let member = Member {
            room: channel.id(),
            name: None,
            line: Vec::new(),
            too_long: false,
        };
        let chat = ChatDispatcher::new(member, "\n").max_frame(MAX_LINE);
        channel.registry().register(stream, chat)?;
        Ok(())
    }
}

/// One connection.
struct Member {
    room: ChannelId,
    /// `None` until it has said it, and again once it has left.
    name: Option<String>,
    line: Vec<u8>,
    /// The line that is being read is to be skipped.
    too_long: bool,
}

impl Member {
    /// Lends the room. It is gone while the program shuts down.
    fn with_room<R>(
        &self,
        chat: &mut ChatChannel<'_>,
        f: impl FnOnce(&mut Room, &mut Registry) -> R,
    ) -> Option<R> {
        let lent = chat.registry().with(self.room, |room: &mut Room, channel| {
            f(room, channel.registry())
        });
        lent.ok()
    }

    fn join(&mut self, chat: &mut ChatChannel<'_>, name: &str) {
        let id = chat.id();
        if !is_name(name) {
            chat.push(format!(
                "* A name has 1 to {MAX_NAME} letters, digits, - _ and dots. Your name?\n"
            ));
            return;
        }
        let others = self.with_room(chat, |room, registry| {
            if room.is_taken(name) {
                return None;
            }
            let others = room.names();
            room.members.insert(id, name.into());
            room.broadcast(registry, id, format!("* {name} joins\n"));
            Some(others)
        });
        match others.flatten() {
            Some(others) => {
                self.name = Some(name.into());
                chat.set_idle_timeout(None);
                chat.push(format!("* In the room: {others}\n"));
            }
            None => chat.push("* That name is taken. Your name?\n"),
        }
    }

    fn leave(&mut self, chat: &mut ChatChannel<'_>, why: &str) {
        let id = chat.id();
        let Some(name) = self.name.take() else { return };
        self.with_room(chat, |room, registry| {
            room.members.remove(&id);
            room.broadcast(registry, id, format!("* {name} leaves{why}\n"));
        });
    }
}

impl AsyncChat for Member {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(NAME_WITHIN));
        chat.push("* Your name?\n");
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = printable(&std::mem::take(&mut self.line));
        if std::mem::take(&mut self.too_long) {
            chat.push(format!("* A line has at most {MAX_LINE} bytes.\n"));
            return Ok(());
        }
        let id = chat.id();
        match &self.name {
            None => self.join(chat, &line),
            Some(_) if line.is_empty() => {}
            Some(name) => {
                let line = format!("{name}: {line}\n");
                self.with_room(chat, |room, registry| room.broadcast(registry, id, line));
            }
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.leave(chat, "");
        chat.close_when_done();
        Ok(())
    }

    /// Too long a line is skipped. Everything else costs the member its place.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::info!("{}: {error}", chat.describe());
        if error.is::<FrameTooLong>() {
            self.too_long = true;
            return;
        }
        let why = if error.is::<OutgoingFull>() {
            ": it reads too slowly"
        } else {
            ""
        };
        self.leave(chat, why);
        chat.close();
    }
}

/// What a line says, without what could rewrite the others' terminals or pass for somebody else's line.
fn printable(line: &[u8]) -> String {
    let unwanted = |c: char| c.is_control() || is_invisible(c);
    let text = String::from_utf8_lossy(line).replace(unwanted, "");
    text.trim().to_owned()
}

/// Characters that show nothing themselves: zero-width ones, those that change the direction or the line, and
/// letters without a shape, which `char::is_alphanumeric` would let into a name.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
    )
}

/// No space and no punctuation of the room's own lines, so that a name cannot read like one of them.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    (1..=MAX_NAME).contains(&text.chars().count()) && text.chars().all(fits)
}

/// What two names must not have in common. Both ways, as some letters have no case of their own in one of them.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

struct Args {
    address: SocketAddr,
    max_members: NonZeroUsize,
    max_outgoing: usize,
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, lexopt::Error> {
    let mut bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = 4000;
    let mut max_members = NonZeroUsize::MIN.saturating_add(999);
    let mut max_outgoing = 256 * 1024;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("bind") => bind = parser.value()?.parse()?,
            Long("port") => port = parser.value()?.parse()?,
            Long("max-members") => max_members = parser.value()?.parse()?,
            Long("max-outgoing") => max_outgoing = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(Args {
        address: SocketAddr::new(bind, port),
        max_members,
        max_outgoing,
    }))
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::builder()
        .max_channels(args.max_members.get())
        .max_outgoing(args.max_outgoing)
        .build()?;
    signals::shut_down_on_signal(reactor.handle(), Duration::from_secs(1))?;
    let id = reactor
        .listen(args.address, Room::default())
        .map_err(|error| format!("cannot listen on {}: {error}", args.address))?;
    if let Some(listener) = reactor.channel(id) {
        cli::say(&format!("listening on {}", listener.local_addr()?))?;
    }
    reactor.run()
}

fn main() -> ExitCode {
    cli::main("chat_room", HELP, parse, run)
}

/// `cargo test --features testing --example chat_room`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::testing::{Harness, Listener};

    use super::*;

    fn enter(room: &mut Listener, name: &str, others: &str) -> Harness {
        let mut member = room.connect();
        member.set_line_end("\n");
        member.play(&format!(
            "S: * Your name?\nC: {name}\nS: * In the room: {others}"
        ));
        member
    }

    #[test]
    fn everybody_but_the_speaker_reads_a_line() {
        let mut room = Listener::new(Room::default());
        let mut ann = enter(&mut room, "ann", "");
        let mut bob = enter(&mut room, "bob", "ann");
        ann.play("S: * bob joins\nC: hello");
        bob.play("S: ann: hello\nC ends\nS closes");
        ann.play("S: * bob leaves");
    }

    #[test]
    fn a_name_is_free_again_once_its_member_has_left() {
        let mut room = Listener::new(Room::default());
        let mut ann = enter(&mut room, "ann", "");
        let mut other = room.connect();
        other.set_line_end("\n");
        other.play("S: * Your name?\nC: ANN\nS: * That name is taken. Your name?");
        ann.reset();
        assert!(ann.is_closed());
        other.play("C: ANN\nS: * In the room: ");
    }

    #[test]
    fn whoever_does_not_say_a_name_has_to_go() {
        let mut room = Listener::new(Room::default());
        let mut silent = room.connect();
        let mut ann = enter(&mut room, "ann", "");
        room.advance(NAME_WITHIN);
        assert!(silent.is_closed() && !ann.is_closed());
    }

    #[test]
    fn a_member_that_reads_too_slowly_is_dropped() {
        let builder = Reactor::builder().max_outgoing(2_000);
        let mut room = Listener::with_builder(builder, Room::default());
        let mut ann = enter(&mut room, "ann", "");
        let mut slow = enter(&mut room, "slow", "ann");
        ann.play("S: * slow joins");
        slow.set_window(0);
        for _ in 0..3 {
            ann.feed([b"x".repeat(1_000), b"\n".to_vec()].concat());
        }
        assert!(slow.is_closed());
        ann.play("S: * slow leaves: it reads too slowly");
    }

    #[test]
    fn too_long_a_line_is_skipped() {
        let mut room = Listener::new(Room::default());
        let mut ann = enter(&mut room, "ann", "");
        let mut bob = enter(&mut room, "bob", "ann");
        ann.play("S: * bob joins");
        ann.feed_bytewise([b'x'; MAX_LINE + 1]);
        ann.play("C: and so on\nS: * A line has at most 1024 bytes.\nC: hi");
        bob.play("S: ann: hi");
    }
}
