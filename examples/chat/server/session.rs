//! One operator on the monitor's port.

use std::{fmt::Write, rc::Rc};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, Frame, FrameTooLong, Registry, Result,
};

use shared::digest;

use crate::{
    GRACE,
    monitor::{ANSWER_WITHIN, Monitor, PARTING, SILENT},
    room::{MAX_LINE, Room, Who},
};

const HELP: &str = "\
who: show every connection
stats: show what has happened so far
kick NICK [WHY]: end a user's connection
say TEXT: tell it to everybody
shutdown: end the server
quit: leave
";

pub(crate) struct Session {
    monitor: ChannelId,
    room: ChannelId,
    password: Rc<str>,
    challenge: String,
    /// The challenge is answered.
    pub(crate) is_in: bool,
}

impl Session {
    pub(crate) fn new(
        monitor: ChannelId,
        room: ChannelId,
        password: Rc<str>,
        challenge: String,
    ) -> Self {
        Self {
            monitor,
            room,
            password,
            challenge,
            is_in: false,
        }
    }

    fn answer(&mut self, chat: &mut ChatChannel<'_>, answer: &str) {
        let (password, challenge) = (self.password.as_bytes(), self.challenge.as_bytes());
        if digest::is_hmac(password, challenge, answer) {
            log::info!("{}: the operator is in", chat.describe());
            self.is_in = true;
            chat.set_idle_timeout(Some(SILENT));
            chat.push("Welcome.\r\n> ");
            return;
        }
        let who = chat.describe();
        let now = chat.registry().now();
        // There is no monitor any more while the program shuts down.
        let _ = chat
            .registry()
            .with(self.monitor, |monitor: &mut Monitor, _| {
                monitor.count_wrong_answer(now, &who);
            });
        chat.push("Wrong.\r\n");
        chat.set_linger(PARTING, MAX_LINE);
        chat.close_when_done();
    }

    fn command(&self, chat: &mut ChatChannel<'_>, line: &str) -> Result {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match name {
            "" => {}
            "who" => {
                let list = self.with_room(chat, who)?;
                chat.push(list);
            }
            "stats" => {
                let wrong = chat
                    .registry()
                    .with(self.monitor, |monitor: &mut Monitor, _| {
                        monitor.wrong_answers
                    })?;
                let stats = self.with_room(chat, stats)?;
                chat.push(format!("{stats}wrong answers to the monitor: {wrong}\r\n"));
            }
            "kick" => {
                let (nick, why) = rest.split_once(' ').unwrap_or((rest, ""));
                let kicked =
                    self.with_room(chat, |room, registry| room.kick(registry, nick, why.trim()))?;
                chat.push(if kicked {
                    "kicked\r\n"
                } else {
                    "no such user\r\n"
                });
            }
            "say" => self.tell(chat, format!("*** operator: {rest}\r\n"))?,
            "shutdown" => {
                log::warn!("{}: the operator ends the server", chat.describe());
                self.tell(chat, "*** The server ends.\r\n".into())?;
                chat.push("ending\r\n");
                chat.registry().shutdown(GRACE);
                return Ok(());
            }
            "quit" => {
                chat.close_when_done();
                return Ok(());
            }
            _ => chat.push(HELP.replace('\n', "\r\n")),
        }
        chat.push("> ");
        Ok(())
    }

    fn tell(&self, chat: &mut ChatChannel<'_>, line: String) -> Result {
        self.with_room(chat, |room, registry| room.tell(registry, None, line))
    }

    fn with_room<R>(
        &self,
        chat: &mut ChatChannel<'_>,
        f: impl FnOnce(&mut Room, &mut Registry) -> R,
    ) -> Result<R> {
        let lent = chat
            .registry()
            .with(self.room, |room: &mut Room, channel| {
                f(room, channel.registry())
            })?;
        Ok(lent)
    }
}

impl AsyncChat for Session {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(ANSWER_WITHIN));
        chat.push(format!("{}\r\n", self.challenge));
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        let line = String::from_utf8_lossy(&line).replace(char::is_control, "");
        let line = line.trim();
        if self.is_in {
            return self.command(chat, line);
        }
        self.answer(chat, line);
        Ok(())
    }

    /// Ends the session. Anybody can send too long a line, so that is nothing to alarm the log's readers with.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let level = if error.is::<FrameTooLong>() {
            log::Level::Info
        } else {
            log::Level::Error
        };
        log::log!(level, "{}: {error}", chat.describe());
        chat.close();
    }
}

fn who(room: &mut Room, registry: &mut Registry) -> String {
    let now = registry.now();
    let mut list = String::new();
    room.free_seats(registry);
    for (&id, seat) in &room.seats {
        let nick = match &seat.who {
            Who::Nobody => "(no nick)",
            Who::Called(nick) => nick,
            Who::Leaving => "(leaving)",
        };
        let waiting = registry.channel(id).map_or(0, |user| user.outgoing_len());
        // A `String` takes everything.
        let _ = write!(
            list,
            "{nick} {} {} s, {} lines, {waiting} bytes waiting\r\n",
            seat.peer,
            (now - seat.since).as_secs(),
            seat.lines
        );
    }
    list
}

fn stats(room: &mut Room, registry: &mut Registry) -> String {
    room.free_seats(registry);
    let (stats, counters) = (registry.stats(), &room.counters);
    format!(
        "up: {} s\r\nusers: {}\r\nconnections: {} now, {} so far, {} refused\r\nkicked: {}\r\n\
         lines: {}\r\nbytes: {} in, {} out\r\n",
        (registry.now() - room.opened).as_secs(),
        room.nicks().len(),
        room.seats.len(),
        counters.connections,
        counters.refused,
        counters.kicked,
        counters.lines,
        stats.bytes_in,
        stats.bytes_out
    )
}
