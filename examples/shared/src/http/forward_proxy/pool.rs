//! Connections to servers that wait for the next request.

use std::{collections::HashMap, rc::Rc};

use asynchat::ChannelId;

use super::target::Place;

#[derive(Debug)]
pub(super) struct Pool {
    idle: HashMap<Rc<Place>, Vec<ChannelId>>,
    len: usize,
    max: usize,
    max_per_host: usize,
}

impl Pool {
    pub(super) fn new(max: usize, max_per_host: usize) -> Self {
        Self {
            idle: HashMap::new(),
            len: 0,
            max,
            max_per_host,
        }
    }

    /// False if there is no room: the connection is to be closed.
    #[must_use]
    pub(super) fn put(&mut self, place: &Rc<Place>, id: ChannelId) -> bool {
        if self.len >= self.max || self.max_per_host == 0 {
            return false;
        }
        let ids = self.idle.entry(Rc::clone(place)).or_default();
        if ids.len() >= self.max_per_host {
            return false;
        }
        ids.push(id);
        self.len += 1;
        true
    }

    /// The one used last: the server is least likely to have closed it.
    pub(super) fn take(&mut self, place: &Place) -> Option<ChannelId> {
        let ids = self.idle.get_mut(place)?;
        let id = ids.pop();
        self.len -= usize::from(id.is_some());
        if ids.is_empty() {
            self.idle.remove(place);
        }
        id
    }

    /// A connection is gone, or has work.
    pub(super) fn forget(&mut self, place: &Place, id: ChannelId) {
        if let Some(ids) = self.idle.get_mut(place) {
            let before = ids.len();
            ids.retain(|&other| other != id);
            self.len -= before - ids.len();
            if ids.is_empty() {
                self.idle.remove(place);
            }
        }
    }

    /// Empties the pool.
    pub(super) fn drain(&mut self) -> Vec<ChannelId> {
        self.len = 0;
        std::mem::take(&mut self.idle)
            .into_values()
            .flatten()
            .collect()
    }
}
