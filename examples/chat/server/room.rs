//! The room: the listener's object, which knows everybody. Users and the monitor reach it with `Registry::with`, and
//! it reaches them by their ids.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use asynchat::{Address, Channel, ChannelId, ChatDispatcher, Dispatcher, Registry, Result, Stream};
use bytes::Bytes;

use crate::user::{self, User};

/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 1024;
/// The longest nick, in characters.
const MAX_NICK: usize = 20;
/// How long a connection may stay without a nick.
pub(crate) const NICK_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked for connections that have stayed longer.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What a connection is to the others.
pub(crate) enum Who {
    /// It has not said its nick yet.
    Nobody,
    Called(String),
    /// It has been taken leave of, and is there until its last words are sent.
    Leaving,
}

/// One connection.
pub(crate) struct Seat {
    pub(crate) who: Who,
    pub(crate) peer: Address,
    pub(crate) since: Instant,
    pub(crate) lines: u64,
}

impl Seat {
    pub(crate) fn nick(&self) -> Option<&str> {
        match &self.who {
            Who::Called(nick) => Some(nick),
            Who::Nobody | Who::Leaving => None,
        }
    }
}

/// What the monitor shows.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) lines: u64,
    pub(crate) kicked: u64,
}

pub(crate) struct Room {
    /// As many as there are connections, so that those without a nick are bounded too.
    pub(crate) seats: BTreeMap<ChannelId, Seat>,
    pub(crate) counters: Counters,
    pub(crate) opened: Instant,
    max_users: usize,
}

/// Opens a room, and sees to it that nobody stays in it without a nick.
pub(crate) fn open(
    registry: &mut Registry,
    address: impl Into<Address>,
    max_users: usize,
) -> std::io::Result<ChannelId> {
    let room = Room::new(registry.now(), max_users);
    let id = registry.listen(address.into(), room)?;
    sweep_regularly(registry, id);
    Ok(id)
}

pub(crate) fn sweep_regularly(registry: &mut Registry, room: ChannelId) {
    registry.call_every(SWEEP_EVERY, move |registry| {
        // There is no room any more while the program shuts down.
        let _ = registry.with(room, |room: &mut Room, channel| {
            room.sweep(channel.registry());
        });
        Ok(())
    });
}

impl Room {
    pub(crate) fn new(opened: Instant, max_users: usize) -> Self {
        Self {
            seats: BTreeMap::new(),
            counters: Counters::default(),
            opened,
            max_users,
        }
    }

    /// Queues a line for everybody who has a nick, but for `except`.
    pub(crate) fn tell(&self, registry: &mut Registry, except: Option<ChannelId>, line: String) {
        let line = Bytes::from(line);
        for (&id, seat) in &self.seats {
            if seat.nick().is_none() || Some(id) == except {
                continue;
            }
            if let Some(mut user) = registry.channel(id) {
                user.push(line.clone());
            }
        }
    }

    /// What a user says to all others.
    pub(crate) fn say(&mut self, registry: &mut Registry, from: ChannelId, text: &str) {
        let Some(seat) = self.seats.get_mut(&from) else {
            return;
        };
        seat.lines += 1;
        self.counters.lines += 1;
        if let Some(nick) = self.nick(from) {
            let line = format!("{nick}: {text}\r\n");
            self.tell(registry, Some(from), line);
        }
    }

    pub(crate) fn nick(&self, id: ChannelId) -> Option<&str> {
        self.seats.get(&id)?.nick()
    }

    pub(crate) fn nicks(&self) -> Vec<&str> {
        self.seats.values().filter_map(Seat::nick).collect()
    }

    pub(crate) fn find(&self, nick: &str) -> Option<ChannelId> {
        let is = |seat: &Seat| seat.nick().is_some_and(|n| n.eq_ignore_ascii_case(nick));
        let found = self.seats.iter().find(|(_, seat)| is(seat));
        found.map(|(&id, _)| id)
    }

    /// Gives a connection its nick, or another one. The error is for the user.
    pub(crate) fn call(
        &mut self,
        registry: &mut Registry,
        id: ChannelId,
        nick: &str,
    ) -> std::result::Result<(), String> {
        if !is_nick(nick) {
            return Err(format!("A nick has 1 to {MAX_NICK} of a-z 0-9 - _."));
        }
        if self.find(nick).is_some_and(|other| other != id) {
            return Err(format!("{nick} is taken."));
        }
        let seat = self.seats.get_mut(&id).ok_or("You have left.")?;
        let news = match std::mem::replace(&mut seat.who, Who::Called(nick.into())) {
            // It has said so before.
            Who::Called(before) if before == nick => return Ok(()),
            Who::Called(before) => format!("*** {before} is now {nick}\r\n"),
            Who::Nobody | Who::Leaving => format!("*** {nick} joined\r\n"),
        };
        self.tell(registry, Some(id), news);
        Ok(())
    }

    /// Takes leave of a user. Its seat is free when its connection is closed.
    pub(crate) fn leave(&mut self, registry: &mut Registry, id: ChannelId, why: &str) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        if let Who::Called(nick) = std::mem::replace(&mut seat.who, Who::Leaving) {
            self.tell(registry, None, format!("*** {nick} left{why}\r\n"));
        }
    }

    /// Answers whether there was such a user.
    pub(crate) fn kick(&mut self, registry: &mut Registry, nick: &str, why: &str) -> bool {
        let Some(id) = self.find(nick) else {
            return false;
        };
        self.counters.kicked += 1;
        self.leave(registry, id, " (kicked)");
        if let Some(mut user) = registry.channel(id) {
            user.push(format!("*** operator: you are kicked. {why}\r\n"));
            user::part(&mut user);
        }
        true
    }

    /// Closes what has been there for too long without a nick. A deadline that no byte puts off, so no idle timeout.
    fn sweep(&mut self, registry: &mut Registry) {
        let now = registry.now();
        for (&id, seat) in &self.seats {
            let late = matches!(seat.who, Who::Nobody) && now - seat.since >= NICK_WITHIN;
            if late && let Some(mut user) = registry.channel(id) {
                user.close();
            }
        }
        self.free_seats(registry);
    }

    /// A connection may outlive its object: while the peer of one that is closed gracefully keeps its own end open.
    pub(crate) fn free_seats(&mut self, registry: &mut Registry) {
        self.seats.retain(|&id, _| registry.channel(id).is_some());
    }

    /// Whether there is a seat for one more; who has been there for longest without a nick gives up its own.
    fn make_room(&mut self, registry: &mut Registry) -> bool {
        if self.seats.len() >= self.max_users {
            self.free_seats(registry);
        }
        if self.seats.len() < self.max_users {
            return true;
        }
        let nickless = self.seats.iter().filter(|(_, seat)| seat.nick().is_none());
        let Some((&id, _)) = nickless.min_by_key(|(_, seat)| seat.since) else {
            return false;
        };
        if let Some(mut user) = registry.channel(id) {
            user.close();
        }
        self.seats.remove(&id);
        true
    }
}

impl Dispatcher for Room {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let room = channel.id();
        let registry = channel.registry();
        if !self.make_room(registry) {
            log::info!("{peer} is refused: the room is full");
            self.counters.refused += 1;
            let id = registry.register(stream, Refused)?;
            if let Some(mut refused) = registry.channel(id) {
                refused.push("*** The room is full.\r\n");
                // However many come, none of them stays.
                refused.set_linger(Duration::ZERO, 0);
                refused.close_when_done();
            }
            return Ok(());
        }
        log::info!("connection from {peer}");
        self.counters.connections += 1;
        let user = User::new(room);
        let chat = ChatDispatcher::new(user, "\n").max_frame(MAX_LINE);
        let id = registry.register(stream, chat)?;
        let seat = Seat {
            who: Who::Nobody,
            peer,
            since: registry.now(),
            lines: 0,
        };
        self.seats.insert(id, seat);
        Ok(())
    }
}

/// A connection there is no seat for.
struct Refused;

impl Dispatcher for Refused {}

/// Nothing of what the server's own lines and private messages begin with.
fn is_nick(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
    (1..=MAX_NICK).contains(&text.len()) && text.bytes().all(fits)
}
