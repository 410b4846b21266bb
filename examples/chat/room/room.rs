//! Who is in the room, and what is said to all of them.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{ChannelId, Registry};
use bytes::Bytes;

use crate::names::folded;

/// How many names a newcomer is told.
const MOST_NAMES: usize = 50;

/// The listening socket, and the names of those in the room.
pub(crate) struct Room {
    members: BTreeMap<ChannelId, String>,
    taken: HashSet<String>,
    pub(crate) rate: u32,
    /// What may be said to everybody in one turn of the loop: queues are sent only after it, and must hold that.
    most_a_turn: usize,
    said: usize,
    turn: Option<Instant>,
    /// That much was said: nobody is read before the next turn. Shared, as `readable` is asked without the room.
    pub(crate) loud: Rc<Cell<bool>>,
}

impl Room {
    pub(crate) fn new(rate: u32, max_outgoing: usize) -> Self {
        Self {
            members: BTreeMap::new(),
            taken: HashSet::new(),
            rate,
            most_a_turn: max_outgoing / 4,
            said: 0,
            turn: None,
            loud: Rc::default(),
        }
    }

    /// Queues a line for everybody but `from`.
    pub(crate) fn broadcast(&mut self, registry: &mut Registry, from: ChannelId, line: String) {
        self.note_said(registry, line.len());
        let line = Bytes::from(line);
        for &id in self.members.keys().filter(|&&id| id != from) {
            if let Some(mut member) = registry.channel(id) {
                member.push(line.clone());
            }
        }
    }

    fn note_said(&mut self, registry: &mut Registry, bytes: usize) {
        let turn = Some(registry.now());
        if self.turn != turn {
            self.turn = turn;
            self.said = 0;
        }
        self.said += bytes;
        if self.said > self.most_a_turn && !self.loud.replace(true) {
            let loud = Rc::clone(&self.loud);
            registry.call_later(Duration::ZERO, move |registry| {
                loud.set(false);
                let waiting: Vec<_> = registry.channels().map(|info| info.id).collect();
                for id in waiting {
                    if let Some(mut member) = registry.channel(id) {
                        member.touch();
                    }
                }
                Ok(())
            });
        }
    }

    /// Gives those who were there before; `None` if somebody has that name.
    pub(crate) fn join(&mut self, id: ChannelId, name: &str) -> Option<String> {
        if !self.taken.insert(folded(name)) {
            return None;
        }
        let others = self.names();
        self.members.insert(id, name.into());
        Some(others)
    }

    pub(crate) fn leave(&mut self, id: ChannelId) {
        if let Some(name) = self.members.remove(&id) {
            self.taken.remove(&folded(&name));
        }
    }

    fn names(&self) -> String {
        let first = self.members.values().take(MOST_NAMES);
        let names: Vec<_> = first.map(String::as_str).collect();
        let mut text = names.join(", ");
        if let more @ 1.. = self.members.len() - names.len() {
            text += &format!(" and {more} more");
        }
        text
    }
}
