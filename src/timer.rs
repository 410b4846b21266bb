//! Timers in an indexed 4-ary min-heap (R20): inserting, moving and cancelling one costs O(log n),
//! wherever it stands, and the next deadline O(1).
//!
//! Nothing here reads a clock or runs user code: the caller passes `now` and gets each payload back
//! by value. What is armed after a [`Mark`] waits for the next turn (R5), so callbacks that keep
//! arming timers without delay neither hold up a turn nor starve other timers.

use std::fmt;
use std::time::Instant;

use slab::Slab;

const ARITY: usize = 4;

/// Names one timer of a reactor, to cancel it.
///
/// An id is good for the reactor that gave it and is never reused: once its timer has run out or
/// was cancelled it stays dead, and never reaches a later timer. A periodic timer keeps its id for
/// life, so its own callback can cancel it. Ids are ordered only so that they can be keys.
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
    index: usize,
    generation: u64,
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

/// What [`Timers::cancel`] found under the id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled<T> {
    /// Ran out, finished or cancelled before.
    NotFound,
    /// Was waiting; here is its payload.
    Pending(T),
    /// Its payload is out, and `rearm` will now refuse it.
    Firing,
}

/// The timers of one reactor: pending ones in the heap, and firing ones, which were popped and are
/// neither re-armed nor finished yet.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: Vec<Entry>,
    slots: Slab<Slot<T>>,
    /// Counts armings: breaks ties, dates marks, and gives each new timer its generation.
    next_seq: u64,
}

/// Whole in the heap's own array, so that comparing touches no slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: Instant,
    seq: u64,
    slot: usize,
}

impl Entry {
    /// By deadline, then in arming order. `|` and `&` because a short cut would be a branch that
    /// cannot be predicted: with `||` and `&&`, popping 100,000 timers takes half as long again.
    fn before(&self, other: &Self) -> bool {
        (self.deadline < other.deadline)
            | ((self.deadline == other.deadline) & (self.seq < other.seq))
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u64,
    /// `None` while the timer is firing.
    pending: Option<Pending<T>>,
}

#[derive(Debug)]
struct Pending<T> {
    position: usize,
    payload: T,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: Vec::new(),
            slots: Slab::new(),
            next_seq: 0,
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
            .get(id.index)
            .is_some_and(|slot| slot.generation == id.generation)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Timers inserted, rescheduled or re-armed from here on belong to the next turn.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next_seq)
    }

    pub(crate) fn insert(&mut self, deadline: Instant, payload: T) -> TimerId {
        let position = self.heap.len();
        let generation = self.next_seq;
        let index = self.slots.insert(Slot {
            generation,
            pending: Some(Pending { position, payload }),
        });
        self.push(deadline, index);
        TimerId { index, generation }
    }

    /// Moves a pending timer. False if the id is dead, or firing: then only `rearm` can arm it.
    pub(crate) fn reschedule(&mut self, id: TimerId, deadline: Instant) -> bool {
        let pending = self.live(id).and_then(|slot| slot.pending.as_ref());
        let Some(position) = pending.map(|pending| pending.position) else {
            return false;
        };
        let entry = self.next_entry(deadline, id.index);
        self.settle(position, entry);
        true
    }

    /// Ends a timer, pending or firing; the id is dead from here on.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Cancelled<T> {
        if !self.contains(id) {
            return Cancelled::NotFound;
        }
        match self.slots.remove(id.index).pending {
            Some(Pending { position, payload }) => {
                self.unlink(position);
                Cancelled::Pending(payload)
            }
            None => Cancelled::Firing,
        }
    }

    /// Takes the earliest timer due at `now` and armed before `mark`, ties in arming order, and its
    /// deadline. It is firing until `rearm`, `finish` or `cancel`.
    ///
    /// Callers arm no deadline before the turn's `now`; so what is armed after the mark sorts
    /// behind all that is older and due, and cannot hide it. A deadline in the past would: such a
    /// timer is moved to `now`, once.
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

    /// Arms a firing timer again under its id. False, and the payload dropped, if it was cancelled
    /// meanwhile.
    pub(crate) fn rearm(&mut self, id: TimerId, deadline: Instant, payload: T) -> bool {
        let position = self.heap.len();
        let Some(slot) = self.live(id).filter(|slot| slot.pending.is_none()) else {
            return false;
        };
        slot.pending = Some(Pending { position, payload });
        self.push(deadline, id.index);
        true
    }

    /// Ends a firing timer. Does nothing if it was cancelled or re-armed meanwhile.
    pub(crate) fn finish(&mut self, id: TimerId) {
        if self.live(id).is_some_and(|slot| slot.pending.is_none()) {
            self.slots.remove(id.index);
        }
    }

    fn fire(&mut self, first: Entry) -> (TimerId, Instant, T) {
        let index = first.slot;
        let slot = &mut self.slots[index];
        let generation = slot.generation;
        let pending = slot.pending.take().expect("a timer in the heap is pending");
        self.unlink(pending.position);
        let id = TimerId { index, generation };
        (id, first.deadline, pending.payload)
    }

    fn live(&mut self, id: TimerId) -> Option<&mut Slot<T>> {
        self.slots
            .get_mut(id.index)
            .filter(|slot| slot.generation == id.generation)
    }

    fn next_entry(&mut self, deadline: Instant, slot: usize) -> Entry {
        let seq = self.next_seq;
        self.next_seq += 1;
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

    /// Puts `entry` where it belongs, from the hole at `position`; what stood there is gone.
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + Duration::from_millis(ms)
    }

    /// One turn at `now` whose callbacks arm nothing.
    fn turn<T>(timers: &mut Timers<T>, now: Instant) -> Vec<T> {
        let (mark, mut fired) = (timers.mark(), Vec::new());
        while let Some((id, _, payload)) = timers.pop_due(now, mark) {
            timers.finish(id);
            fired.push(payload);
        }
        assert_sound(timers);
        fired
    }

    fn assert_sound<T>(timers: &Timers<T>) {
        for (position, entry) in timers.heap.iter().enumerate() {
            assert!(position == 0 || timers.heap[(position - 1) / ARITY].before(entry));
            let pending = timers.slots[entry.slot].pending.as_ref();
            assert_eq!(pending.unwrap().position, position);
        }
        let pending = timers.slots.iter().filter(|slot| slot.1.pending.is_some());
        assert_eq!(pending.count(), timers.heap.len());
    }

    #[test]
    fn timers_fire_by_deadline_then_in_arming_order_and_never_early() {
        let mut timers = Timers::new();
        for (ms, name) in [(30, "c"), (10, "a1"), (20, "b1"), (10, "a2"), (20, "b2")] {
            timers.insert(at(ms), name);
        }
        assert_eq!(timers.next_deadline(), Some(at(10)));
        assert!(turn(&mut timers, at(9)).is_empty());
        assert_eq!(turn(&mut timers, at(20)), ["a1", "a2", "b1", "b2"]);
        assert_eq!(turn(&mut timers, at(99)), ["c"]);
        assert!(timers.is_empty() && timers.next_deadline().is_none());
    }

    #[test]
    fn reschedule_moves_a_timer_either_way_and_behind_its_equals() {
        let mut timers = Timers::new();
        let ids: Vec<_> = (0..40).map(|n| timers.insert(at(100 + n), n)).collect();
        assert!(timers.reschedule(ids[0], at(120)));
        assert!(timers.reschedule(ids[39], at(1)));
        assert_eq!(turn(&mut timers, at(1)), [39]);
        let rest: Vec<_> = (1..=20).chain([0]).collect();
        assert_eq!(turn(&mut timers, at(120)), rest);
        assert!(!timers.reschedule(ids[0], at(1)));
    }

    #[test]
    fn a_timer_can_be_cancelled_from_every_position() {
        for victim in 0..60 {
            let mut timers = Timers::new();
            for n in 0..60 {
                timers.insert(at(n * 37 % 60), n * 37 % 60);
            }
            let index = timers.heap[victim].slot;
            let generation = timers.slots[index].generation;
            let id = TimerId { index, generation };
            let Cancelled::Pending(payload) = timers.cancel(id) else {
                panic!("it was pending")
            };
            assert_eq!(timers.cancel(id), Cancelled::NotFound);
            let others: Vec<_> = (0..60).filter(|n| *n != payload).collect();
            assert_eq!(turn(&mut timers, at(60)), others);
        }
    }

    #[test]
    fn a_stale_id_does_nothing_to_the_timer_that_took_its_place() {
        let mut timers = Timers::new();
        let old = timers.insert(at(1), "old");
        assert_eq!(timers.cancel(old), Cancelled::Pending("old"));
        let new = timers.insert(at(1), "new");
        assert_eq!(format!("{old}, {new:?}"), "timer 0.0, timer 0.1");
        assert!(!timers.contains(old) && timers.contains(new));
        assert!(!timers.reschedule(old, at(9)) && !timers.rearm(old, at(9), "old"));
        timers.finish(old);
        assert_eq!(timers.cancel(old), Cancelled::NotFound);
        assert_eq!(turn(&mut timers, at(1)), ["new"]);
    }

    #[test]
    fn a_firing_timer_keeps_its_id_until_it_is_finished() {
        let mut timers = Timers::new();
        let id = timers.insert(at(1), "tick");
        for ms in 1..4 {
            let popped = timers.pop_due(at(ms), timers.mark());
            assert_eq!(popped, Some((id, at(ms), "tick")));
            assert!(timers.contains(id) && timers.len() == 1 && timers.next_deadline().is_none());
            assert!(!timers.reschedule(id, at(ms)), "its payload is out");
            assert!(timers.rearm(id, at(ms + 1), "tick"));
            assert!(!timers.rearm(id, at(ms), "twice"));
            timers.finish(id);
            assert!(timers.contains(id), "finish is for firing timers");
        }
        assert!(timers.pop_due(at(4), timers.mark()).is_some());
        timers.finish(id);
        assert!(timers.is_empty() && !timers.contains(id));
    }

    #[test]
    fn a_timer_cancelled_while_firing_cannot_be_armed_again() {
        let mut timers = Timers::new();
        let id = timers.insert(at(1), "tick");
        assert!(timers.pop_due(at(1), timers.mark()).is_some());
        assert_eq!(timers.cancel(id), Cancelled::Firing);
        assert_eq!(timers.cancel(id), Cancelled::NotFound);
        timers.insert(at(2), "took its slot");
        assert!(!timers.rearm(id, at(1), "tick"));
        timers.finish(id);
        assert_eq!(turn(&mut timers, at(2)), ["took its slot"]);
    }

    #[test]
    fn what_is_armed_after_the_mark_waits_and_hides_nothing() {
        let mut timers = Timers::new();
        let ids: Vec<_> = (1..=4).map(|n| timers.insert(at(10), n)).collect();
        let (mark, mut fired) = (timers.mark(), Vec::new());
        timers.reschedule(ids[0], at(10));
        while let Some((id, _, n)) = timers.pop_due(at(10), mark) {
            fired.push(n);
            timers.insert(at(10), n * 10);
            timers.insert(at(1), n * 100);
            timers.rearm(id, at(0), n);
        }
        assert_eq!(fired, [2, 3, 4]);
        assert_eq!(timers.next_deadline(), Some(at(10)));
        let rest = [1, 20, 200, 2, 30, 300, 3, 40, 400, 4];
        assert_eq!(turn(&mut timers, at(10)), rest);
    }

    #[test]
    fn any_sequence_of_calls_agrees_with_a_sorted_map() {
        for seed in 1..if cfg!(miri) { 2 } else { 40 } {
            agrees_with_a_sorted_map(seed);
        }
    }

    fn agrees_with_a_sorted_map(mut seed: u64) {
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut timers = Timers::new();
        let mut ids = Vec::new();
        // When each live timer is due and since which step; `None` while it is firing.
        let mut model: BTreeMap<usize, Option<(Instant, u64)>> = BTreeMap::new();
        let (mut now, mut mark, mut marked) = (0, timers.mark(), 0);

        for step in 0..1_000 {
            let back = usize::try_from(random(40)).unwrap();
            let n = ids.len().saturating_sub(1 + back);
            let was = model.get(&n).copied();
            let key = (at(now + random(12)), step);
            match random(10) {
                0..=2 => {
                    model.insert(ids.len(), Some(key));
                    ids.push(timers.insert(key.0, ids.len()));
                }
                _ if ids.is_empty() => {}
                3..=4 => {
                    let moved = timers.reschedule(ids[n], key.0);
                    assert_eq!(moved, was.flatten().is_some());
                    model.entry(n).and_modify(|it| *it = it.and(Some(key)));
                }
                5 => {
                    let expected = match model.remove(&n) {
                        Some(Some(_)) => Cancelled::Pending(n),
                        Some(None) => Cancelled::Firing,
                        None => Cancelled::NotFound,
                    };
                    assert_eq!(timers.cancel(ids[n]), expected);
                }
                6 => {
                    assert_eq!(timers.rearm(ids[n], key.0, n), was == Some(None));
                    model.entry(n).and_modify(|it| *it = it.or(Some(key)));
                }
                7 => {
                    timers.finish(ids[n]);
                    model.retain(|m, it| *m != n || it.is_some());
                }
                8 => {
                    let pending = model.iter().filter_map(|(n, it)| Some(((*it)?, *n)));
                    let due =
                        pending.filter(|((when, since), _)| *when <= at(now) && *since < marked);
                    let expected = due.min().map(|((due, _), n)| (ids[n], due, n));
                    assert_eq!(timers.pop_due(at(now), mark), expected);
                    model.extend(expected.map(|(_, _, n)| (n, None)));
                }
                _ => {
                    now += random(4);
                    (mark, marked) = (timers.mark(), step);
                }
            }
            assert_sound(&timers);
            assert_eq!(timers.len(), model.len());
            let next = model.values().flatten().min().map(|it| it.0);
            assert_eq!(timers.next_deadline(), next);
        }
    }
}
