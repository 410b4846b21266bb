//! Where any thread leaves something for the one thread that sleeps in a poller (R21): post first, then wake, and wake
//! only once. Knows neither reactors nor pollers, so that loom can run it in every order there is (`interleavings`).

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

pub(crate) struct PostBox<T> {
    /// `None` once posts are refused.
    queue: Mutex<Option<VecDeque<T>>>,
    /// Set from a post until the queue is emptied: whoever sets it wakes the sleeper, the others need not.
    woken: AtomicBool,
}

/// What a post asks of the thread that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a sleeper that nobody wakes does not find the post"]
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

    /// Whether `take` would look: then there is nothing to sleep for.
    pub(crate) fn has_posts(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Moves what was posted to the end of `posts`.
    pub(crate) fn take(&self, posts: &mut VecDeque<T>) {
        // Cleared before looking: a post that comes later asks for another wake-up.
        if self.woken.swap(false, Ordering::AcqRel)
            && let Some(queue) = &mut *self.lock()
        {
            posts.append(queue);
        }
    }

    /// From now on posts answer `Stopped`; gives back what nobody will take.
    pub(crate) fn refuse(&self) -> Option<VecDeque<T>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
