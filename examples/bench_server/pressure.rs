//! When a connection is not read because its answers pile up.

use asynchat::Channel;

/// The channel is looked at once in this number of bytes of answers, not for each answer.
const INTERVAL: usize = 32 * 1024;

/// Whether the peer reads too slowly for more requests to be taken from it.
#[derive(Default)]
pub(crate) struct Pressure {
    unseen: usize,
    held_up: bool,
}

impl Pressure {
    pub(crate) fn holds_up(&self) -> bool {
        self.held_up
    }

    /// To be called after each answer.
    pub(crate) fn answered(&mut self, channel: &Channel<'_>, bytes: usize) {
        self.unseen = self.unseen.saturating_add(bytes);
        if self.unseen >= INTERVAL {
            self.unseen = 0;
            self.held_up = channel.is_congested();
        }
    }

    /// To be called by `handle_drain`.
    pub(crate) fn drained(&mut self) {
        self.held_up = false;
    }
}
