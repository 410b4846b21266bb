//! Every order in which two posting threads and a sleeping one can meet (R21), tried by loom. A lost wake-up shows as a
//! deadlock. In a target directory of its own:
//! `RUSTFLAGS="--cfg loom" CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test --lib post_box`

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use loom::{
    sync::{Condvar, Mutex},
    thread::{self, JoinHandle},
};

use super::{PostBox, Wake};
use crate::error::{Result, Stopped};

/// A post: who made it, and its number with that thread.
type Post = (usize, usize);

/// As much of mio's poller and waker as matters: an event that stays until it is polled, and counts once.
#[derive(Default)]
struct Poller {
    pending: Mutex<bool>,
    arrived: Condvar,
    /// Not loom's, because it belongs to the test and not to what loom tries.
    wakes: AtomicUsize,
}

impl Poller {
    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        *self.pending.lock().unwrap() = true;
        self.arrived.notify_one();
    }

    fn poll(&self, may_sleep: bool) {
        let mut pending = self.pending.lock().unwrap();
        while may_sleep && !*pending {
            pending = self.arrived.wait(pending).unwrap();
        }
        *pending = false;
    }
}

#[derive(Clone)]
struct Ends {
    posts: Arc<PostBox<Post>>,
    poller: Arc<Poller>,
}

impl Ends {
    fn new() -> Self {
        Self {
            posts: Arc::new(PostBox::new()),
            poller: Arc::default(),
        }
    }

    fn post(&self, post: Post) -> Result<(), Stopped> {
        if self.posts.post(post)? == Wake::Needed {
            self.poller.wake();
        }
        Ok(())
    }

    /// A thread that makes `count` posts and returns those that were refused.
    fn poster(&self, who: usize, count: usize) -> JoinHandle<Vec<Post>> {
        let ends = self.clone();
        thread::spawn(move || {
            let posts = (0..count).map(|number| (who, number));
            posts.filter(|&post| ends.post(post).is_err()).collect()
        })
    }

    /// The reactor's turn, as far as it is about posts.
    fn turn(&self, most: usize, taken: &mut VecDeque<Post>) {
        self.poller.poll(!self.posts.has_posts());
        self.posts.take(most, taken);
    }
}

fn of(who: usize, posts: &VecDeque<Post>) -> Vec<usize> {
    let own = posts.iter().filter(|post| post.0 == who);
    own.map(|post| post.1).collect()
}

/// Tries every order, or, where there are too many, those in which a thread is interrupted at most so often where it
/// would go on.
fn try_orders(most_interruptions: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = most_interruptions;
    model.check(run);
}

/// The loop sleeps whenever it may, until it has all posts; it takes `most` a turn.
fn all_arrive(counts: [usize; 2], most: usize) {
    let ends = Ends::new();
    let posters = [0, 1].map(|who| ends.poster(who, counts[who]));
    let mut taken = VecDeque::new();
    let mut turns = 0;
    while taken.len() < counts.iter().sum() {
        ends.turn(most, &mut taken);
        turns += 1;
    }
    for poster in posters {
        assert_eq!(poster.join().unwrap(), []);
    }
    for (who, &count) in counts.iter().enumerate() {
        assert_eq!(of(who, &taken), Vec::from_iter(0..count));
    }
    let wakes = ends.poller.wakes.load(Ordering::Relaxed);
    assert!(wakes <= turns + 1, "a turn was woken for twice");
}

#[test]
fn no_post_is_lost() {
    try_orders(None, || all_arrive([1, 1], 2));
}

#[test]
fn no_post_overtakes_another_of_its_thread_and_no_turn_is_woken_for_twice() {
    try_orders(Some(3), || all_arrive([2, 2], 4));
}

#[test]
fn what_a_turn_leaves_is_taken_without_another_wake_up() {
    try_orders(None, || all_arrive([1, 1], 1));
    try_orders(Some(3), || all_arrive([2, 2], 1));
}

/// What is posted while the loop takes, and then refuses, ends in one way only.
fn end_while_posting(count: usize) {
    let ends = Ends::new();
    let posters = [0, 1].map(|who| ends.poster(who, count));
    let mut accepted = VecDeque::new();
    ends.posts.take(usize::MAX, &mut accepted);
    accepted.extend(ends.posts.refuse().expect("refused once"));
    assert_eq!(ends.post((2, 0)), Err(Stopped));
    for (who, poster) in posters.into_iter().enumerate() {
        let refused = poster.join().unwrap();
        let mut outcome = of(who, &accepted);
        outcome.extend(refused.iter().map(|post| post.1));
        // In this order: nothing is accepted after something was refused.
        assert_eq!(outcome, Vec::from_iter(0..count));
    }
    let mut late = VecDeque::new();
    ends.posts.take(usize::MAX, &mut late);
    assert_eq!((ends.posts.refuse(), late), (None, VecDeque::new()));
}

#[test]
fn what_is_posted_around_the_end_is_taken_or_given_back_or_refused() {
    try_orders(None, || end_while_posting(1));
    try_orders(Some(3), || end_while_posting(2));
}
