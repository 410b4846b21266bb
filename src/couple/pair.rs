//! What the two halves of a pair know of each other. No callback runs from here.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    closed::Closed,
    couple::options::{CoupleOptions, Coupled, OnEnd},
    id::ChannelId,
};

/// The index of one of the two.
pub(super) type Index = usize;

pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    pub(super) idle_timeout: Option<Duration>,
    on_end: Option<OnEnd>,
}

pub(super) struct Side {
    pub(super) id: ChannelId,
    /// The other has enough to send for now.
    pub(super) held: bool,
    /// Its end of file was passed on.
    pub(super) ended: bool,
    /// Closed, detached, or with another object.
    pub(super) gone: bool,
    /// Bytes read from it and passed on.
    pub(super) passed: u64,
    closed: Option<Closed>,
}

impl Pair {
    pub(super) fn new(ids: [ChannelId; 2], options: CoupleOptions) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            sides: ids.map(|id| Side {
                id,
                held: false,
                ended: false,
                gone: false,
                passed: 0,
                closed: None,
            }),
            idle_timeout: options.idle_timeout,
            on_end: options.on_end,
        }))
    }

    /// A channel is gone.
    pub(super) fn note_closed(&mut self, side: Index, why: Closed) {
        let side = &mut self.sides[side];
        side.gone = true;
        side.closed = Some(why);
    }

    /// What is to be called, if both are gone.
    pub(super) fn end(&mut self) -> Option<(OnEnd, Coupled)> {
        if !self.sides.iter().all(|side| side.gone) {
            return None;
        }
        let on_end = self.on_end.take()?;
        let [near, far] = &mut self.sides;
        let coupled = Coupled {
            from_near: near.passed,
            from_far: far.passed,
            near: near.closed.take(),
            far: far.closed.take(),
        };
        Some((on_end, coupled))
    }
}
