//! A chat room: `cargo run --example chat_room`, then `nc 127.0.0.1 4000` from several terminals.
//!
//! The room is the listener's object; members reach it by its `ChannelId`, and it reaches them by theirs.

use std::{
    cell::Cell,
    num::{NonZeroU32, NonZeroUsize},
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Address, AsyncChat, BoxError, Channel, ChannelId, ChatChannel, ChatDispatcher, Dispatcher,
    FrameTooLong, OutgoingFull, Reactor, Registry, Result, Stream,
};
use clap::Parser;
use names::{MAX_NAME, is_name, printable};
use pace::Pace;
use room::Room;
use shared::{
    cli::{self, Listen},
    signals,
};

mod names;
mod pace;
mod room;

/// The longest line, in bytes.
const MAX_LINE: usize = 1024;
/// How much is read of one member at a time, and kept of what it says too fast.
const READ: usize = 8 * 1024;
/// How much the system may hold for a member that does not read, which it would let grow to megabytes.
#[cfg(unix)]
const SEND_BUFFER: usize = 64 * 1024;
/// How long a connection may stay without a word of who it is.
const NAME_WITHIN: Duration = Duration::from_secs(120);
/// How long a member that has left may take to read what was said before.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
impl Dispatcher for Room {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let now = channel.registry().now();
        let member = Member {
            room: channel.id(),
            since: now,
            name: None,
            line: Vec::new(),
            too_long: false,
            warned: false,
            pace: Pace::new(self.rate, now),
            loud: Rc::clone(&self.loud),
        };
        let chat = ChatDispatcher::new(member, "\n").max_frame(MAX_LINE);
        channel.registry().register(stream, chat)?;
        Ok(())
    }
}

/// One connection.
struct Member {
    room: ChannelId,
    since: Instant,
    /// `None` until it has said it, and again once it has left.
    name: Option<String>,
    line: Vec<u8>,
    /// The line that is being read is to be skipped.
    too_long: bool,
    /// The log has it that lines of this member are too long.
    warned: bool,
    pace: Pace,
    loud: Rc<Cell<bool>>,
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
            let others = room.join(id, name)?;
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
            room.leave(id);
            room.broadcast(registry, id, format!("* {name} leaves{why}\n"));
        });
    }

    /// Ends a membership that others pay for.
    fn expel(&mut self, chat: &mut ChatChannel<'_>, why: &str) {
        log::info!("{}: closed{why}", chat.describe());
        self.leave(chat, why);
        chat.close();
    }

    /// A byte now and then does not save a connection that never says who it is.
    fn is_overdue(&self, chat: &mut ChatChannel<'_>) -> bool {
        self.name.is_none() && chat.registry().now().duration_since(self.since) > NAME_WITHIN
    }
}

impl AsyncChat for Member {
    fn readable(&self) -> bool {
        !self.loud.get()
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        // Without it there is more to lose, and no more than that.
        #[cfg(unix)]
        if let Ok(socket) = chat.as_fd() {
            let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
        }
        chat.set_idle_timeout(Some(NAME_WITHIN));
        chat.push("* Your name?\n");
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if self.is_overdue(chat) {
            self.expel(chat, ": it does not say its name");
            return Ok(());
        }
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.is_overdue(chat) {
            self.expel(chat, ": it does not say its name");
            return Ok(());
        }
        let Some(pause) = self.pace.note(chat.registry().now()) else {
            self.expel(chat, ": it talks too much");
            return Ok(());
        };
        chat.pause_reading(pause);
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
        chat.set_idle_timeout(Some(LEAVE_WITHIN));
        chat.close_when_done();
        Ok(())
    }

    /// Too long a line is skipped, once the member has said who it is. Everything else costs it its place.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let skips = error.is::<FrameTooLong>() && self.name.is_some();
        if !(skips && std::mem::replace(&mut self.warned, true)) {
            log::info!("{}: {error}", chat.describe());
        }
        if skips {
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

/// A room in which everybody reads what the others write
#[derive(Debug, Parser)]
#[command(
    name = "chat_room",
    after_help = "The first line a member sends is its name: 1 to 20 letters, digits, - _ and dots."
)]
struct Args {
    #[command(flatten)]
    listen: Listen<4000>,
    /// Connections at a time; others wait
    #[arg(
        long,
        value_name = "NUM",
        default_value = "1000",
        help_heading = "Limits"
    )]
    max_members: NonZeroUsize,
    /// Bytes that may wait for a member before it is dropped, at least 16384
    #[arg(long, value_name = "NUM", default_value = "262144", value_parser = room_enough, help_heading = "Limits")]
    max_outgoing: usize,
    /// Lines a second from each; more wait, and too many more cost the place
    #[arg(
        long,
        value_name = "NUM",
        default_value = "20",
        help_heading = "Limits"
    )]
    rate: NonZeroU32,
}

/// Fewer bytes have no room for the welcome of a newcomer and a line of each member.
fn room_enough(text: &str) -> Result<usize, String> {
    cli::at_least(16 * 1024, text)
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::builder()
        .max_channels(args.max_members.get())
        .max_outgoing(args.max_outgoing)
        .read_buffer(READ)
        .build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::from_secs(1))?;
    let room = Room::new(args.rate.get(), args.max_outgoing);
    let address = args.listen.address();
    let id = reactor.listen(address, room)?;
    if let Some(listener) = reactor.channel(id) {
        cli::say(&format!("listening on {}", listener.local_addr()?))?;
    }
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}

/// `cargo test --features testing --example chat_room`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::testing::{Harness, Listener};

    use super::*;

    fn room() -> Room {
        Room::new(20, 256 * 1024)
    }

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
        let mut room = Listener::new(room());
        let mut ann = enter(&mut room, "ann", "");
        let mut bob = enter(&mut room, "bob", "ann");
        ann.play("S: * bob joins\nC: hello");
        bob.play("S: ann: hello\nC ends\nS closes");
        ann.play("S: * bob leaves");
    }

    #[test]
    fn a_name_is_free_again_once_its_member_has_left() {
        let mut room = Listener::new(room());
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
        let mut room = Listener::new(room());
        let mut silent = room.connect();
        let mut ann = enter(&mut room, "ann", "");
        room.advance(NAME_WITHIN);
        assert!(silent.is_closed() && !ann.is_closed());
    }

    #[test]
    fn a_byte_now_and_then_is_no_name() {
        let mut room = Listener::new(room());
        let mut drip = room.connect();
        for _ in 0..13 {
            room.advance(NAME_WITHIN / 12);
            drip.feed("a");
        }
        assert!(drip.is_closed());
    }

    #[test]
    fn a_bare_line_end_now_and_then_is_no_name() {
        let mut room = Listener::new(room());
        let mut drip = room.connect();
        for _ in 0..40 {
            room.advance(NAME_WITHIN / 12);
            drip.feed("\n");
        }
        assert!(drip.is_closed());
    }

    #[test]
    fn a_member_that_reads_too_slowly_is_dropped() {
        let builder = Reactor::builder().max_outgoing(2_000);
        let mut room = Listener::with_builder(builder, room());
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
        let mut room = Listener::new(room());
        let mut ann = enter(&mut room, "ann", "");
        let mut bob = enter(&mut room, "bob", "ann");
        ann.play("S: * bob joins");
        ann.feed_bytewise([b'x'; MAX_LINE + 1]);
        ann.play("C: and so on\nS: * A line has at most 1024 bytes.\nC: hi");
        bob.play("S: ann: hi");
    }
}
