//! Questions about the filter of a channel, which few channels have.

use std::mem;

use crate::state::{
    filtered::{Filtered, Stage},
    layer::Layer,
    phase::Phase,
    slot::Slot,
};

impl Slot {
    pub(crate) fn filtered(&self) -> Option<&Filtered> {
        match &self.phase {
            Phase::Filtered(filtered) => Some(filtered),
            _ => None,
        }
    }

    pub(crate) fn filtered_mut(&mut self) -> Option<&mut Filtered> {
        match &mut self.phase {
            Phase::Filtered(filtered) => Some(filtered),
            _ => None,
        }
    }

    /// The layer of this channel, also of one that is not connected yet.
    pub(crate) fn layer(&self) -> Option<&Layer> {
        match &self.phase {
            Phase::Filtered(filtered) => Some(&filtered.layer),
            Phase::Connecting(attempt) => attempt.layer.as_deref(),
            Phase::Resolving(resolving) => resolving.layer.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn layer_mut(&mut self) -> Option<&mut Layer> {
        match &mut self.phase {
            Phase::Filtered(filtered) => Some(&mut filtered.layer),
            Phase::Connecting(attempt) => attempt.layer.as_deref_mut(),
            Phase::Resolving(resolving) => resolving.layer.as_deref_mut(),
            _ => None,
        }
    }

    /// The filter and what else may be the user's in there: its drop may panic.
    pub(crate) fn take_filtered(&mut self) -> Option<Phase> {
        self.layer()?;
        Some(mem::replace(&mut self.phase, Phase::Open))
    }

    /// Whether callbacks may come, the first of them has, and no handshake is on.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        match &self.phase {
            Phase::Open => true,
            Phase::Filtered(filtered) => filtered.is_open(),
            _ => false,
        }
    }

    /// Whether a handshake is on, or what was queued before it is being sent.
    pub(crate) fn is_shaking(&self) -> bool {
        self.filtered().is_some_and(|filtered| !filtered.is_open())
    }

    /// Whether the filter has failed and the channel only ends.
    pub(crate) fn has_failed_filter(&self) -> bool {
        self.filtered()
            .is_some_and(|filtered| filtered.stage == Stage::Failed)
    }

    /// Whether the filter has failed and the object does not know.
    pub(crate) fn has_filter_failure(&self) -> bool {
        self.filtered()
            .is_some_and(|filtered| filtered.is_open() && filtered.layer.has_failed())
    }

    /// Whether nothing is read because too much of its filter is unsent.
    pub(crate) fn is_flooded(&self) -> bool {
        self.filtered()
            .is_some_and(|filtered| filtered.layer.is_flooded())
    }

    /// Whether it lingers without the filter that it had.
    pub(crate) fn has_lost_filter(&self) -> bool {
        matches!(self.phase, Phase::LingeringSealed { .. })
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.filtered()
            .is_some_and(|filtered| filtered.truncated && !filtered.layer.tolerant)
    }

    pub(crate) fn is_open_filtered(&self) -> bool {
        self.filtered().is_some_and(Filtered::is_open)
    }

    /// Whether a handshake in the middle of a conversation is on that is not done, because nothing is left to be sent.
    pub(crate) fn gives_up_handshake(&self) -> bool {
        let greeted = self.filtered().is_some_and(|filtered| filtered.greeted);
        greeted && self.is_shaking() && self.flags.is_closing() && !self.has_outgoing()
    }

    /// Whether the output may be ended once nothing is queued. A handshake that nobody waits for any more need not be done.
    pub(crate) fn may_end_sending(&self) -> bool {
        self.is_open() || (self.is_shaking() && self.flags.is_closing())
    }
}
