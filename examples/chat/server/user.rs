//! One connection: the first line is a nick, then come talk and commands.

use std::time::{Duration, Instant};

use asynchat::{
    AsyncChat, BoxError, Cause, Channel, ChannelId, ChatChannel, Closed, FrameTooLong, Registry,
    Result,
};
use shared::text::is_unprintable;

use crate::{
    commands,
    room::{MAX_LINE, Room},
};

/// The number of lines of one user that are taken in a [`WINDOW`]. The next ones wait in the kernel, and slow down only
/// their sender.
pub(crate) const LINES: u32 = 20;
pub(crate) const WINDOW: Duration = Duration::from_secs(2);
/// A user who says nothing for this time has to go.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);

/// How long a user who does not read may hold up its own last words.
pub(crate) const PARTING: Duration = Duration::from_secs(10);

/// Ends a user's connection when what is queued is sent, or [`PARTING`] is over.
pub(crate) fn part(channel: &mut Channel<'_>) {
    channel.set_idle_timeout(Some(PARTING));
    channel.close_when_done();
}

pub(crate) struct User {
    room: ChannelId,
    line: Vec<u8>,
    /// The line that is being read is to be skipped.
    too_long: bool,
    /// When the window began, and how many lines came since.
    window: Option<(Instant, u32)>,
}

impl User {
    pub(crate) fn new(room: ChannelId) -> Self {
        Self {
            room,
            line: Vec::new(),
            too_long: false,
            window: None,
        }
    }

    /// Lends the room. It is gone while the program shuts down.
    pub(crate) fn with_room<R>(
        &self,
        chat: &mut ChatChannel<'_>,
        f: impl FnOnce(&mut Room, &mut Registry) -> R,
    ) -> Option<R> {
        let lent = chat.registry().with(self.room, |room: &mut Room, channel| {
            f(room, channel.registry())
        });
        lent.ok()
    }

    pub(crate) fn leave(&self, chat: &mut ChatChannel<'_>, why: &str) {
        let id = chat.id();
        self.with_room(chat, |room, registry| room.leave(registry, id, why));
        part(chat);
    }

    fn enter(&self, chat: &mut ChatChannel<'_>, nick: &str) {
        let id = chat.id();
        let others = self.with_room(chat, |room, registry| {
            room.call(registry, id, nick)?;
            Ok::<_, String>(room.nicks().len() - 1)
        });
        match others {
            Some(Ok(0)) => chat.push(format!("*** Hello, {nick}. You are alone; try /help\r\n")),
            Some(Ok(n)) => chat.push(format!("*** Hello, {nick}. Others: {n}; try /who\r\n")),
            Some(Err(error)) => chat.push(format!("*** {error} Your nick?\r\n")),
            None => {}
        }
    }

    /// Counts a line. The last one of a window ends reading until the next begins.
    fn count(&mut self, chat: &mut ChatChannel<'_>) {
        let now = chat.registry().now();
        let (begun, lines) = match self.window {
            Some((begun, lines)) if now - begun < WINDOW => (begun, lines + 1),
            _ => (now, 1),
        };
        self.window = Some((begun, lines));
        if lines == LINES {
            chat.pause_reading(WINDOW.saturating_sub(now - begun));
        }
    }
}

impl AsyncChat for User {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(IDLE));
        chat.push("*** Your nick?\r\n");
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = std::mem::take(&mut self.line);
        self.count(chat);
        if std::mem::take(&mut self.too_long) {
            chat.push(format!("*** A line has at most {MAX_LINE} bytes.\r\n"));
            return Ok(());
        }
        let line = printable(&line);
        let id = chat.id();
        let has_nick = self.with_room(chat, |room, _| room.nick(id).is_some());
        match (has_nick, line.strip_prefix('/')) {
            (Some(true), Some(command)) => commands::run(self, chat, command),
            (Some(true), None) if line.is_empty() => {}
            (Some(true), None) => {
                self.with_room(chat, |room, registry| room.say(registry, id, &line));
            }
            (Some(false), Some("quit" | "q")) => self.leave(chat, ""),
            (Some(false), _) => self.enter(chat, &line),
            (None, _) => {}
        }
        Ok(())
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push("*** You have been silent for too long.\r\n");
        self.leave(chat, " (silent)");
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.leave(chat, "");
        Ok(())
    }

    /// Too long a line is skipped. Everything else costs the user its connection.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::info!("{}: {error}", chat.describe());
        if error.is::<FrameTooLong>() {
            self.line = Vec::new();
            self.too_long = true;
            return;
        }
        chat.close();
    }

    /// However a connection ends, the room hears of it.
    fn handle_closed(&mut self, registry: &mut Registry, end: Closed) {
        let why = match end.cause {
            Cause::OutgoingFull => " (reads too slowly)",
            _ => "",
        };
        // The room is gone while the program shuts down.
        let _ = registry.with(self.room, |room: &mut Room, channel| {
            room.leave(channel.registry(), end.channel, why);
        });
    }
}

/// What a line says, without what could rewrite the others' terminals.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).replace(is_unprintable, "");
    text.trim().to_owned()
}
