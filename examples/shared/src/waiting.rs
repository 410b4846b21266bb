//! Who has to go when the server is full: the connection that has waited longest without a complete request, or has
//! long not taken what it asked for.

use std::{collections::BTreeMap, time::Instant};

use asynchat::{AsyncChat, ChannelId, ChatChannel, Registry, VisitError};

/// So many connections are looked at to make room for one.
const LOOKS: usize = 64;

/// The connections, by the time since which they wait as far as known here: it may be too early, never too late, so
/// that a request costs nothing.
#[derive(Debug, Default)]
pub struct Waiting {
    by_age: BTreeMap<(Instant, u64), ChannelId>,
    serial: u64,
}

impl Waiting {
    /// Takes note of a new connection.
    pub fn add(&mut self, registry: &mut Registry, id: ChannelId) {
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

    /// Closes a connection that has its last answer, or else the one that has waited longest, which `give_way` has to close.
    /// `since` says since when one waits, `None` if it does not. False if none was found that does.
    pub fn make_room<C: AsyncChat>(
        &mut self,
        registry: &mut Registry,
        mut since: impl FnMut(&C, &ChatChannel<'_>) -> Option<Instant>,
        mut give_way: impl FnMut(&mut C, &mut ChatChannel<'_>),
    ) -> bool {
        let now = registry.now();
        let mut busy = Vec::new();
        let mut found = false;
        while !found
            && busy.len() < LOOKS
            && let Some(((known, _), id)) = self.by_age.pop_first()
        {
            let looked = registry.with_chat(id, |connection: &mut C, chat| {
                let since = since(connection, chat);
                if since.is_some_and(|since| since <= known) {
                    give_way(connection, chat);
                }
                since
            });
            match looked {
                Ok(Some(since)) if since > known => self.insert(since, id),
                Ok(Some(_)) => found = true,
                Ok(None) => busy.push(id),
                // All is sent and only the socket is left, or not even that.
                Err(VisitError::Closed(_)) => {
                    if let Some(mut channel) = registry.channel(id) {
                        channel.close();
                        found = true;
                    }
                }
                // Another object serves it now.
                Err(_) => {}
            }
        }
        for id in busy {
            self.insert(now, id);
        }
        found
    }
}
