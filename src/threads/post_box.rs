//! Where any thread leaves posts for the one thread that sleeps in a poller (R21): post first, then wake, and wake only
//! once. It knows neither reactors nor pollers, so loom can run it in every possible order (`interleavings`).

#[cfg(not(all(test, loom)))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
use std::{collections::VecDeque, sync::PoisonError};

#[cfg(all(test, loom))]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use crate::error::Stopped;

#[cfg(all(test, loom))]
mod interleavings;

/// An empty box with room for more posts than this gives its memory back.
const KEPT: usize = 4096;

pub(crate) struct PostBox<T> {
    /// `None` once posts are refused.
    queue: Mutex<Option<VecDeque<T>>>,
    /// Set from a post until somebody looks for it, and while posts are left. The post that sets it wakes the sleeper; the others need not.
    woken: AtomicBool,
}

/// What the thread that posted has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "on `Wake::Needed` the poller must be woken"]
pub(crate) enum Wake {
    Needed,
    UnderWay,
}

impl<T> PostBox<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(Some(VecDeque::new())),
            woken: AtomicBool::new(false),
        }
    }

    pub(crate) fn post(&self, post: T) -> Result<Wake, Stopped> {
        // What is refused is dropped after the lock is free: its Drop may post.
        let refused = match &mut *self.lock() {
            Some(queue) => {
                queue.push_back(post);
                None
            }
            None => Some(post),
        };
        if refused.is_some() {
            return Err(Stopped);
        }
        Ok(if self.woken.swap(true, Ordering::AcqRel) {
            Wake::UnderWay
        } else {
            Wake::Needed
        })
    }

    /// Whether `take` would look: then the loop must not sleep.
    pub(crate) fn has_posts(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Moves the first `most` of the posts to the end of `posts`. What is left needs no wake-up.
    pub(crate) fn take(&self, most: usize, posts: &mut VecDeque<T>) {
        // Cleared before looking: a post that comes later asks for another wake-up.
        if self.woken.swap(false, Ordering::AcqRel)
            && let Some(queue) = &mut *self.lock()
        {
            let most = most.min(queue.len());
            posts.extend(queue.drain(..most));
            if !queue.is_empty() {
                // A swap like all changes of it: with a store among them a wake-up is lost, loom says.
                self.woken.swap(true, Ordering::AcqRel);
            } else if queue.capacity() > KEPT {
                *queue = VecDeque::new();
            }
        }
    }

    /// The number of posts that wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, VecDeque::len)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// From now on posts answer `Stopped`. Returns the posts left.
    pub(crate) fn refuse(&self) -> Option<VecDeque<T>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
