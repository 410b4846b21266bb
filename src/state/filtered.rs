//! A stream with a filter: how far its handshake is, and what waits for it.

use std::{collections::VecDeque, fmt};

use crate::{
    filter::FilterPhase,
    outgoing::{HOOK_WEIGHT, Outgoing, part::Sent},
    state::{layer::Layer, registry::SentHook},
    time::timer::TimerId,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What was queued before the upgrade leaves as it is.
    Clear,
    Handshaking,
    Open,
    /// The filter failed; the channel is about to end.
    Failed,
}

/// A handshake's place in the line of those for which the turn's budget was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is in no line.
    Free,
    Waiting,
    /// It may take one step.
    Granted,
}

pub(crate) struct Filtered {
    pub(crate) layer: Box<Layer>,
    pub(crate) stage: Stage,
    pub(crate) turn: Turn,
    /// Whether the filter was fed for the first time.
    pub(crate) started: bool,
    /// Whether `handle_connect` was called.
    pub(crate) greeted: bool,
    /// The stream ended without the filter's end.
    pub(crate) truncated: bool,
    /// What was queued before the upgrade.
    pub(crate) before: Option<Box<Outgoing>>,
    /// Parts that are sealed and have not left, or not all of them; each with where it ends among the sealed bytes.
    pub(crate) departing: VecDeque<(u64, SentHook, Sent)>,
    /// The end of the handshake's time.
    pub(crate) timer: Option<TimerId>,
}

impl Filtered {
    pub(crate) fn new(layer: Box<Layer>) -> Self {
        Self {
            layer,
            stage: Stage::Handshaking,
            turn: Turn::Free,
            started: false,
            greeted: false,
            truncated: false,
            before: None,
            departing: VecDeque::new(),
            timer: None,
        }
    }

    /// Of a socket that had a filter before: its handshake is not made again.
    pub(crate) fn resumed(layer: Box<Layer>) -> Self {
        Self {
            stage: Stage::Open,
            started: true,
            ..Self::new(layer)
        }
    }

    /// Whether callbacks may come, the first of them has, and no handshake is on.
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open && self.greeted
    }

    /// Whether nothing but a read, a write or a flush of the channel's queue can be due.
    pub(crate) fn only_io_due(&self) -> bool {
        self.is_open() && self.layer.is_calm()
    }

    /// Whether the filter takes plaintext.
    pub(crate) fn can_seal(&self) -> bool {
        self.is_open()
            && !self.layer.is_broken()
            && !self.layer.has_ended()
            && self.layer.phase() != FilterPhase::Handshaking
    }

    /// Whether something is to be sent that is not in the channel's own queue.
    pub(crate) fn holds_output(&self) -> bool {
        self.layer.has_wire() || self.before.is_some()
    }

    /// Bytes of the program that are sealed, or were queued before the upgrade, and have not left.
    pub(crate) fn len(&self) -> usize {
        self.layer.sealed() + self.before.as_ref().map_or(0, |queue| queue.len())
    }

    /// The same as it counts for the watermarks and the bound.
    pub(crate) fn pending(&self) -> usize {
        self.layer.sealed()
            + self.departing.len() * HOOK_WEIGHT
            + self.before.as_ref().map_or(0, |queue| queue.pending())
    }

    /// Whether something only waits for room in the socket; `queue` is the channel's own.
    pub(crate) fn awaits_peer(&self, queue: Option<&Outgoing>) -> bool {
        let queue = match self.stage {
            Stage::Clear => self.before.as_deref(),
            Stage::Open if self.can_seal() => queue,
            Stage::Handshaking | Stage::Open | Stage::Failed => None,
        };
        self.layer.has_wire() || queue.is_some_and(Outgoing::can_flush)
    }

    /// Whether a step of the handshake has something to work on.
    pub(crate) fn can_step(&self, can_read: bool) -> bool {
        self.stage == Stage::Handshaking
            && (!self.started
                || self.layer.phase() != FilterPhase::Handshaking
                || (can_read && self.turn != Turn::Waiting && !self.layer.is_flooded()))
    }
}

impl fmt::Debug for Filtered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered")
            .field("stage", &self.stage)
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
