//! The yes-or-no facts about a channel, in one word, so that the common case is one comparison.

use std::ops::BitOr;

/// A set of facts, or one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// In the run queue.
    pub(crate) const QUEUED: Self = Self(1);
    /// In the list of channels others have touched this turn.
    pub(crate) const TOUCHED: Self = Self(1 << 1);
    /// Announced to the poller.
    pub(crate) const REGISTERED: Self = Self(1 << 2);
    /// Made elsewhere, perhaps with duplicates that keep a registration alive.
    pub(crate) const ADOPTED: Self = Self(1 << 3);
    /// `close_when_done` was called.
    pub(crate) const CLOSING: Self = Self(1 << 4);
    /// `handle_close` was called.
    pub(crate) const TOLD: Self = Self(1 << 5);
    /// The default `handle_read` ran: nobody reads (R3b).
    pub(crate) const READS_IGNORED: Self = Self(1 << 6);
    pub(crate) const WRITES_IGNORED: Self = Self(1 << 7);
    /// The queue rose above the high watermark and has not fallen to the low one since (R14).
    pub(crate) const CONGESTED: Self = Self(1 << 8);
    /// A push was refused and `handle_error` does not know yet.
    pub(crate) const OVERFLOWN: Self = Self(1 << 9);
    /// `handle_read` is to be called although nothing may have arrived.
    pub(crate) const CALL_ASKED: Self = Self(1 << 10);
    /// The spin warning was given.
    pub(crate) const WARNED: Self = Self(1 << 11);
    /// The peer's end of file was read.
    pub(crate) const FINISHED: Self = Self(1 << 12);
    /// The peer broke the connection.
    pub(crate) const RESET: Self = Self(1 << 13);
    /// To be shut down for writing once the queue is empty.
    pub(crate) const ENDING: Self = Self(1 << 14);
    /// Shut down for writing.
    pub(crate) const SHUT: Self = Self(1 << 15);

    /// The peer ended or broke the connection.
    pub(crate) const GONE: Self = Self(Self::FINISHED.0 | Self::RESET.0);
    /// No more is queued.
    pub(crate) const MUTE: Self =
        Self(Self::CLOSING.0 | Self::ENDING.0 | Self::SHUT.0 | Self::RESET.0);
    /// Something other than a read or a write may be due.
    const UNREST: Self = Self(
        Self::MUTE.0
            | Self::FINISHED.0
            | Self::CONGESTED.0
            | Self::OVERFLOWN.0
            | Self::CALL_ASKED.0
            | Self::READS_IGNORED.0,
    );

    /// Whether any of `flags` is set.
    pub(crate) fn has(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    pub(crate) fn set(&mut self, flags: Self) {
        self.0 |= flags.0;
    }

    pub(crate) fn clear(&mut self, flags: Self) {
        self.0 &= !flags.0;
    }

    /// Clears `flag`, and tells whether it was set.
    pub(crate) fn take(&mut self, flag: Self) -> bool {
        let was = self.has(flag);
        self.clear(flag);
        was
    }

    /// Sets `flag`, and tells whether it was clear.
    pub(crate) fn raise(&mut self, flag: Self) -> bool {
        let was = self.has(flag);
        self.set(flag);
        !was
    }

    /// Whether the poller knows the channel and nothing but a read or a write can be due.
    pub(crate) fn are_calm(self) -> bool {
        self.0 & (Self::UNREST.0 | Self::REGISTERED.0) == Self::REGISTERED.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
