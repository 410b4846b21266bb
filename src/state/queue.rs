//! The ways to the outgoing queue of a channel: each of them uncorks first.

use crate::{
    id::ChannelId,
    state::{registry::Registry, table::find},
};

impl Registry {
    /// Collects pushes to the channel being served, up to `bound` bytes in its queue.
    #[inline(never)]
    pub(crate) fn cork(&mut self, id: ChannelId, bound: usize) {
        if let Some(queue) = find(&mut self.slots, id).and_then(|slot| slot.outgoing.as_mut()) {
            self.cork.open(id, queue, bound);
        }
    }

    #[inline]
    pub(crate) fn uncork(&mut self) {
        if self.cork.is_open() {
            self.return_tail();
        }
    }

    #[inline(never)]
    fn return_tail(&mut self) {
        let (id, tail, counted) = self.cork.close();
        self.effects += u64::from(tail.len() > counted);
        if let Some(queue) = find(&mut self.slots, id).and_then(|slot| slot.outgoing.as_mut()) {
            queue.return_tail(tail, counted);
        }
    }
}
