//! Who has to go when the server is full: the connection that has waited longest without a complete request, or has
//! long not taken what it asked for.

use std::{collections::BTreeMap, time::Instant};

use asynchat::{ChannelId, Registry};

use crate::request::channel::HttpChannel;

/// So many connections are looked at to make room for one.
const LOOKS: usize = 64;

/// The connections, by the time since which they wait as far as known here: it may be too early, never too late, so
/// that a request costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_age: BTreeMap<(Instant, u64), ChannelId>,
    serial: u64,
}

impl Waiting {
    /// Takes note of a new connection.
    pub(crate) fn add(&mut self, registry: &mut Registry, id: ChannelId) {
        // Connections leave without a word.
        if self.by_age.len() > 2 * registry.stats().channels + LOOKS {
            self.by_age.retain(|_, id| registry.channel(*id).is_some());
        }
        self.insert(registry.now(), id);
    }

    fn insert(&mut self, since: Instant, id: ChannelId) {
        self.serial += 1;
        self.by_age.insert((since, self.serial), id);
    }

    /// Closes a connection that has its last answer, or else the one that has waited longest. False if none was found
    /// that is not being answered and takes its answer.
    pub(crate) fn make_room(&mut self, registry: &mut Registry) -> bool {
        let now = registry.now();
        let mut busy = Vec::new();
        let mut found = false;
        while !found
            && busy.len() < LOOKS
            && let Some(((known, _), id)) = self.by_age.pop_first()
        {
            let looked = registry.with_chat(id, |http: &mut HttpChannel, chat| {
                let since = http.waiting_since(chat, now);
                if since.is_some_and(|since| since <= known) {
                    http.give_way(chat);
                }
                since
            });
            match looked {
                Ok(Some(since)) if since > known => self.insert(since, id),
                Ok(Some(_)) => found = true,
                Ok(None) => busy.push(id),
                // All is sent and only the socket is left, or not even that.
                Err(_) => {
                    if let Some(mut channel) = registry.channel(id) {
                        channel.close();
                        found = true;
                    }
                }
            }
        }
        for id in busy {
            self.insert(now, id);
        }
        found
    }
}
