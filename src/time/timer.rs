//! Timers in an indexed 4-ary min-heap (R20): inserting, moving and cancelling any of them costs O(log n), the next
//! deadline O(1).
//!
//! Nothing here reads a clock or runs user code: the caller passes `now` and gets each payload back by value. A timer
//! armed after a [`Mark`] waits for the next turn (R5), so callbacks that keep arming timers without delay neither hold
//! up a turn nor starve other timers.

use std::{fmt, num::NonZeroU64, time::Instant};

use slab::Slab;

const ARITY: usize = 4;

/// Names one timer of one reactor, to cancel or reschedule it.
///
/// An id is not reused: once its timer has run out or was cancelled, it finds none. A periodic timer keeps its id, so
/// its own callback can cancel it. Ids are ordered only so that they can be keys.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::time::Duration;
///
/// let mut reactor = asynchat::Reactor::new()?;
/// let timer = reactor.call_later(Duration::from_secs(5), |_| Ok(()));
/// assert!(reactor.cancel(timer));
/// assert!(!reactor.cancel(timer), "it is gone");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    /// Not zero, so that `Option<TimerId>` costs nothing.
    generation: NonZeroU64,
    index: u32,
}

impl TimerId {
    fn new(index: usize, generation: NonZeroU64) -> Self {
        let index = u32::try_from(index).expect("four billion timers do not fit in memory");
        Self { generation, index }
    }

    fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer {}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point in the sequence of armings, from [`Timers::mark`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

/// The timer that [`Timers::cancel`] found under the id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled<T> {
    /// It ran out, finished or was cancelled before.
    NotFound,
    /// It was waiting; this is its payload.
    Pending(T),
    /// Its payload is out; `rearm` will refuse it.
    Firing,
}

/// The timers of one reactor: pending ones in the heap, and firing ones, which were popped and are neither re-armed nor
/// finished yet.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: Vec<Entry>,
    slots: Slab<Slot<T>>,
    /// Counts armings. The count breaks ties, dates marks, and is the generation of each new timer.
    next_seq: NonZeroU64,
}

/// Whole in the heap's own array, so that comparing touches no slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: Instant,
    seq: u64,
    slot: usize,
}

impl Entry {
    /// By deadline, then in arming order. `|` and `&` because a short cut would be a branch that cannot be predicted:
    /// with `||` and `&&`, popping 100,000 timers takes 1.5 times as long.
    fn before(&self, other: &Self) -> bool {
        (self.deadline < other.deadline)
            | ((self.deadline == other.deadline) & (self.seq < other.seq))
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU64,
    /// `None` while the timer is firing.
    pending: Option<Pending<T>>,
}

#[derive(Debug)]
struct Pending<T> {
    position: usize,
    payload: T,
}

impl<T> Timers<T> {
    /// `serial` is far from that of any other reactor, so an id of another reactor finds nothing here.
    pub(crate) fn new(serial: u64) -> Self {
        Self {
            heap: Vec::new(),
            slots: Slab::new(),
            next_seq: NonZeroU64::MIN.saturating_add(serial),
        }
    }

    /// Pending and firing timers.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn contains(&self, id: TimerId) -> bool {
        self.slots
            .get(id.index())
            .is_some_and(|slot| slot.generation == id.generation)
    }

    /// Ends every timer. O(n).
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.heap.clear();
        let slots = std::mem::take(&mut self.slots);
        slots
            .into_iter()
            .filter_map(|(_, slot)| slot.pending.map(|pending| pending.payload))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Timers inserted, rescheduled or re-armed from here on belong to the next turn.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next_seq.get())
    }

    pub(crate) fn insert(&mut self, deadline: Instant, payload: T) -> TimerId {
        let position = self.heap.len();
        let generation = self.next_seq;
        let index = self.slots.insert(Slot {
            generation,
            pending: Some(Pending { position, payload }),
        });
        self.push(deadline, index);
        TimerId::new(index, generation)
    }

    /// Moves a pending timer. False if the id is dead, or firing: then only `rearm` can arm it.
    pub(crate) fn reschedule(&mut self, id: TimerId, deadline: Instant) -> bool {
        let pending = self.live(id).and_then(|slot| slot.pending.as_ref());
        let Some(position) = pending.map(|pending| pending.position) else {
            return false;
        };
        let entry = self.next_entry(deadline, id.index());
        self.settle(position, entry);
        true
    }

    /// Ends a timer, pending or firing; the id is dead from here on.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Cancelled<T> {
        if !self.contains(id) {
            return Cancelled::NotFound;
        }
        match self.slots.remove(id.index()).pending {
            Some(Pending { position, payload }) => {
                self.unlink(position);
                Cancelled::Pending(payload)
            }
            None => Cancelled::Firing,
        }
    }

    /// Takes the earliest timer due at `now` and armed before `mark`, ties in arming order, and its deadline. It is
    /// firing until `rearm`, `finish` or `cancel`.
    ///
    /// Callers arm no deadline before the turn's `now`, so a timer armed after the mark sorts behind all older ones
    /// that are due, and cannot hide them. A deadline in the past would: such a timer is moved to `now`, once.
    pub(crate) fn pop_due(&mut self, now: Instant, mark: Mark) -> Option<(TimerId, Instant, T)> {
        loop {
            let first = *self.heap.first().filter(|first| first.deadline <= now)?;
            if first.seq < mark.0 {
                return Some(self.fire(first));
            }
            if first.deadline == now {
                return None;
            }
            let deadline = now;
            self.settle(0, Entry { deadline, ..first });
        }
    }

    /// Arms a firing timer again under its id. False, and the payload dropped, if it was cancelled meanwhile.
    pub(crate) fn rearm(&mut self, id: TimerId, deadline: Instant, payload: T) -> bool {
        let position = self.heap.len();
        let Some(slot) = self.live(id).filter(|slot| slot.pending.is_none()) else {
            return false;
        };
        slot.pending = Some(Pending { position, payload });
        self.push(deadline, id.index());
        true
    }

    /// Ends a firing timer. Does nothing if it was cancelled or re-armed meanwhile.
    pub(crate) fn finish(&mut self, id: TimerId) {
        if self.live(id).is_some_and(|slot| slot.pending.is_none()) {
            self.slots.remove(id.index());
        }
    }

    fn fire(&mut self, first: Entry) -> (TimerId, Instant, T) {
        let index = first.slot;
        let slot = &mut self.slots[index];
        let generation = slot.generation;
        let pending = slot.pending.take().expect("a timer in the heap is pending");
        self.unlink(pending.position);
        let id = TimerId::new(index, generation);
        (id, first.deadline, pending.payload)
    }

    fn live(&mut self, id: TimerId) -> Option<&mut Slot<T>> {
        self.slots
            .get_mut(id.index())
            .filter(|slot| slot.generation == id.generation)
    }

    fn next_entry(&mut self, deadline: Instant, slot: usize) -> Entry {
        let seq = self.next_seq.get();
        self.next_seq = self.next_seq.saturating_add(1);
        Entry {
            deadline,
            seq,
            slot,
        }
    }

    fn push(&mut self, deadline: Instant, slot: usize) {
        let entry = self.next_entry(deadline, slot);
        self.heap.push(entry);
        self.settle(self.heap.len() - 1, entry);
    }

    fn unlink(&mut self, position: usize) {
        if let Some(last) = self.heap.pop()
            && position < self.heap.len()
        {
            self.settle(position, last);
        }
    }

    /// Puts `entry` into its place, from the hole at `position`.
    fn settle(&mut self, position: usize, entry: Entry) {
        let mut hole = position;
        while let Some(parent) = hole.checked_sub(1).map(|below| below / ARITY)
            && entry.before(&self.heap[parent])
        {
            hole = self.shift(parent, hole);
        }
        if hole == position {
            while let Some(child) = self.least_child(hole)
                && self.heap[child].before(&entry)
            {
                hole = self.shift(child, hole);
            }
        }
        self.place(hole, entry);
    }

    fn least_child(&self, parent: usize) -> Option<usize> {
        let first = parent * ARITY + 1;
        let heap = &self.heap;
        (first..heap.len().min(first + ARITY))
            .reduce(|a, b| if heap[b].before(&heap[a]) { b } else { a })
    }

    /// Fills the hole at `to` from `from`, which becomes the hole.
    fn shift(&mut self, from: usize, to: usize) -> usize {
        self.place(to, self.heap[from]);
        from
    }

    fn place(&mut self, position: usize, entry: Entry) {
        self.heap[position] = entry;
        if let Some(pending) = &mut self.slots[entry.slot].pending {
            pending.position = position;
        }
    }
}

#[cfg(test)]
mod tests;
