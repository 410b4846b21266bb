//! Where the parts of a queue begin and end whose pusher wants to know how much of them has left.
//!
//! A place is counted like the bytes that have left. Behind a producer or a file it is unknown until that has ended, so
//! it is counted from that end first. Each mark is placed once and removed once: O(1).

use std::collections::VecDeque;

use super::{HOOK_WEIGHT, Outgoing, WAITING_WEIGHT};

/// How much of a part has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) bytes: u64,
    /// Whether that is all of it.
    pub(crate) complete: bool,
}

#[derive(Default)]
pub(super) struct Marks {
    /// A beginning and an end for each part, in the order of the stream.
    list: VecDeque<Mark>,
    /// The number of marks, from the first on, whose place is known.
    placed: usize,
    /// The place where the part begins whose end is the next one. `None` if that is not known.
    begin: Option<u64>,
}

struct Mark {
    /// The place; until it is known, the distance from the end of `barrier`.
    at: u64,
    /// Counts producers and files.
    barrier: u64,
    edge: Edge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin,
    End { complete: bool },
}

impl Marks {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.placed = 0;
    }

    pub(super) fn capacity(&self) -> usize {
        self.list.capacity()
    }

    fn pop(&mut self) -> Option<Mark> {
        self.placed = self.placed.saturating_sub(1);
        self.list.pop_front()
    }

    /// Gives the marks behind `barrier`, which has ended at this place, their places.
    fn place(&mut self, barrier: u64, end: u64, complete: bool) {
        while let Some(mark) = self.list.get_mut(self.placed)
            && mark.barrier == barrier
        {
            // Its own end, and those of empty parts that would leave with it.
            if !complete && mark.at == 0 && mark.edge != Edge::Begin {
                mark.edge = Edge::End { complete };
            }
            mark.at += end;
            self.placed += 1;
        }
    }
}

impl Outgoing {
    /// What is pushed from here to `end_part` is one part. Parts do not overlap.
    pub(crate) fn begin_part(&mut self) {
        self.mark(Edge::Begin);
    }

    pub(crate) fn end_part(&mut self) {
        self.mark(Edge::End { complete: true });
        self.held += HOOK_WEIGHT;
    }

    fn mark(&mut self, edge: Edge) {
        let is_known = self.waiting == 0;
        let at = if is_known {
            self.left + self.len as u64
        } else {
            self.pushed().wrapping_sub(self.pushed_at_barrier)
        };
        self.marks.list.push_back(Mark {
            at,
            barrier: self.ended + self.waiting as u64,
            edge,
        });
        self.marks.placed += usize::from(is_known);
    }

    /// The number of bytes that were pushed, without those out of producers and files. Only differences mean anything.
    fn pushed(&self) -> u64 {
        (self.left + self.len as u64).wrapping_sub(self.produced)
    }

    /// A producer or a file is queued.
    pub(super) fn begin_barrier(&mut self) {
        self.waiting += 1;
        self.held += WAITING_WEIGHT;
        self.pushed_at_barrier = self.pushed();
    }

    /// The first producer or file has ended; the number is that of the unsent bytes before its end.
    pub(super) fn end_barrier(&mut self, ahead: usize, complete: bool) {
        self.waiting -= 1;
        self.held -= WAITING_WEIGHT;
        self.ended += 1;
        let end = self.left + ahead as u64;
        self.marks.place(self.ended, end, complete);
    }

    /// The next part that has left, if there is one.
    pub(crate) fn next_left(&mut self) -> Option<Left> {
        while self.marks.placed > 0
            && let Some(&Mark { at, edge, .. }) = self.marks.list.front()
        {
            match edge {
                Edge::Begin => self.marks.begin = Some(at),
                Edge::End { complete } if at <= self.left => {
                    self.marks.pop();
                    self.held -= HOOK_WEIGHT;
                    let bytes = at.saturating_sub(self.marks.begin.unwrap_or(at));
                    return Some(Left { bytes, complete });
                }
                Edge::End { .. } => return None,
            }
            self.marks.pop();
        }
        None
    }

    /// The next part, of a queue that is about to be dropped.
    pub(crate) fn next_cut_off(&mut self) -> Option<Left> {
        if let Some(left) = self.next_left() {
            return Some(left);
        }
        while let Some(mark) = self.marks.pop() {
            if mark.edge == Edge::Begin {
                // Not placed, so it stands behind something that has not ended.
                self.marks.begin = None;
                continue;
            }
            self.held -= HOOK_WEIGHT;
            let bytes = self
                .left
                .saturating_sub(self.marks.begin.unwrap_or(u64::MAX));
            return Some(Left {
                bytes,
                complete: false,
            });
        }
        None
    }
}
