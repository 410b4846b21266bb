//! Timers (R20). benches/compare reads the rows `re_arm` and `cancel`: no other name here may have these in it.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use divan::Bencher;

use crate::{
    random::Random,
    source::time::timer::{TimerId, Timers},
};

const MANY: usize = 100_000;
/// As for idle timeouts: every timer is moved behind all others, once within this time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// As large as what the reactor keeps for an idle timeout.
type Payload = (u64, Duration);

fn payload() -> Payload {
    (7, TIMEOUT)
}

/// Timers at random times within one timeout, whose neighbours in the heap are strangers in memory.
struct Armed {
    timers: Timers<Payload>,
    ids: Vec<TimerId>,
    random: Random,
    now: Instant,
    /// Between two timers, if they are spread evenly over one timeout.
    step: Duration,
}

impl Armed {
    fn new(count: usize) -> Self {
        let mut armed = Self {
            timers: Timers::new(0),
            ids: Vec::with_capacity(count),
            random: Random::new(),
            now: Instant::now(),
            step: TIMEOUT / u32::try_from(count).expect("a small number"),
        };
        for _ in 0..count {
            let id = armed.insert();
            armed.ids.push(id);
        }
        armed
    }

    fn insert(&mut self) -> TimerId {
        let ahead = self.step * self.random.below(self.ids.capacity()) as u32;
        self.timers.insert(self.now + ahead, payload())
    }

    fn any(&mut self) -> &mut TimerId {
        let index = self.random.below(self.ids.len());
        &mut self.ids[index]
    }
}

/// Any timer, whose id is at hand, as it is where the channel it belongs to is being served.
#[divan::bench(sample_size = 100)]
fn re_arm(bencher: Bencher<'_, '_>) {
    let armed = RefCell::new(Armed::new(MANY));
    bencher
        .with_inputs(|| *armed.borrow_mut().any())
        .bench_local_values(|id| {
            let armed = &mut *armed.borrow_mut();
            armed.now += armed.step;
            armed.timers.reschedule(id, armed.now + TIMEOUT)
        });
}

/// Any timer; a new one for it is armed outside the measured time.
#[divan::bench(sample_size = 100)]
fn cancel(bencher: Bencher<'_, '_>) {
    let armed = RefCell::new(Armed::new(MANY));
    bencher
        .with_inputs(|| {
            let armed = &mut *armed.borrow_mut();
            let new = armed.insert();
            std::mem::replace(armed.any(), new)
        })
        .bench_local_values(|id| armed.borrow_mut().timers.cancel(id));
}

/// A timeout that does not run out: the work it guards is done at once.
#[divan::bench(args = [100, 10_000])]
fn arm_and_disarm(bencher: Bencher<'_, '_>, count: usize) {
    let mut armed = Armed::new(count);
    bencher.bench_local(|| {
        armed.now += armed.step;
        let id = armed.timers.insert(armed.now + TIMEOUT, payload());
        armed.timers.cancel(id)
    });
}

/// The longest way through the heap, up and down in turn.
#[divan::bench(args = [100, 10_000])]
fn move_to_front_and_back(bencher: Bencher<'_, '_>, count: usize) {
    let mut armed = Armed::new(count);
    let (id, now) = (armed.ids[0], armed.now);
    bencher.bench_local(|| {
        armed.timers.reschedule(id, now - TIMEOUT);
        armed.timers.reschedule(id, now + 2 * TIMEOUT);
    });
}

/// What an idle timeout does when it runs out while its channel was busy, and what a periodic timer does.
#[divan::bench(args = [100, 10_000])]
fn fire_and_arm_again(bencher: Bencher<'_, '_>, count: usize) {
    let mut armed = Armed::new(count);
    bencher.bench_local(|| {
        let mark = armed.timers.mark();
        let now = armed.timers.next_deadline().expect("timers are armed");
        let fired = armed.timers.pop_due(now, mark);
        let (id, deadline, payload) = fired.expect("it is due now");
        armed.timers.rearm(id, deadline + TIMEOUT, payload)
    });
}

/// Time per timer: see the items.
#[divan::bench(args = [100, 10_000])]
fn insert_all_and_fire_all(bencher: Bencher<'_, '_>, count: usize) {
    let mut random = Random::new();
    let now = Instant::now();
    let deadlines: Vec<_> = (0..count)
        .map(|_| now + Duration::from_millis(random.below(30_000) as u64))
        .collect();
    let mut timers = Timers::new(0);
    bencher
        .counter(divan::counter::ItemsCount::new(count))
        .bench_local(|| {
            for &deadline in &deadlines {
                timers.insert(deadline, payload());
            }
            let mark = timers.mark();
            let mut fired = 0;
            while let Some((id, _, _)) = timers.pop_due(now + TIMEOUT, mark) {
                timers.finish(id);
                fired += 1;
            }
            assert_eq!(fired, count);
        });
}
