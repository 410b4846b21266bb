use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

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
    let mut timers = Timers::new(0);
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
    let mut timers = Timers::new(0);
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
    for victim in (0..60).step_by(if cfg!(miri) { 13 } else { 1 }) {
        let mut timers = Timers::new(0);
        for n in 0..60 {
            timers.insert(at(n * 37 % 60), n * 37 % 60);
        }
        let index = timers.heap[victim].slot;
        let generation = timers.slots[index].generation;
        let id = TimerId::new(index, generation);
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
    let mut timers = Timers::new(0);
    let old = timers.insert(at(1), "old");
    assert_eq!(timers.cancel(old), Cancelled::Pending("old"));
    let new = timers.insert(at(1), "new");
    assert_eq!(format!("{old}, {new:?}"), "timer 0.1, timer 0.2");
    assert!(!timers.contains(old) && timers.contains(new));
    assert!(!timers.reschedule(old, at(9)) && !timers.rearm(old, at(9), "old"));
    timers.finish(old);
    assert_eq!(timers.cancel(old), Cancelled::NotFound);
    assert_eq!(turn(&mut timers, at(1)), ["new"]);
}

#[test]
fn a_firing_timer_keeps_its_id_until_it_is_finished() {
    let mut timers = Timers::new(0);
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
    let mut timers = Timers::new(0);
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
    let mut timers = Timers::new(0);
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
    let mut timers = Timers::new(0);
    let mut ids = Vec::new();
    // When each live timer is due and since which step; `None` while it is firing.
    let mut model: BTreeMap<usize, Option<(Instant, u64)>> = BTreeMap::new();
    let (mut now, mut mark, mut marked) = (0, timers.mark(), 0);

    for step in 0..if cfg!(miri) { 150 } else { 1_000 } {
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
                let due = pending.filter(|((when, since), _)| *when <= at(now) && *since < marked);
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
