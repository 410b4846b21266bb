//! A post box with the waker of its poller, and the holds that keep the loop from ending.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    error::Stopped,
    threads::post_box::{PostBox, Wake},
};

pub(crate) struct Mailbox<J> {
    posts: PostBox<J>,
    holds: AtomicUsize,
    /// The loop is to stop. No post, because it does not wait behind posts.
    stop: AtomicBool,
    waker: mio::Waker,
}

impl<J> Mailbox<J> {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self {
            posts: PostBox::new(),
            holds: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            waker,
        }
    }

    pub(crate) fn post(&self, job: J) -> Result<(), Stopped> {
        if self.posts.post(job)? == Wake::Needed {
            self.wake();
        }
        Ok(())
    }

    /// Whether `take` would find a post: then the loop must not sleep.
    pub(crate) fn has_posts(&self) -> bool {
        self.posts.has_posts()
    }

    /// Moves the first `most` of what was posted to the end of `jobs`.
    pub(crate) fn take(&self, most: usize, jobs: &mut VecDeque<J>) {
        self.posts.take(most, jobs);
    }

    /// The number of posts that wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    pub(crate) fn stop(&self) -> Result<(), Stopped> {
        if !self.posts.is_open() {
            return Err(Stopped);
        }
        self.stop.store(true, Ordering::Release);
        self.wake();
        Ok(())
    }

    /// Whether `stop` was called and `take_stop` was not since.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn take_stop(&self) -> bool {
        // The load costs no bus lock, and this is asked every turn.
        self.is_stopping() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// From now on posts answer `Stopped`. Returns the jobs that will not run.
    pub(crate) fn refuse(&self) -> Option<VecDeque<J>> {
        self.posts.refuse()
    }

    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        if self.holds.fetch_sub(1, Ordering::Release) == 1 {
            self.wake();
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!(target: "asynchat::reactor", "waking the loop: {error}");
        }
    }
}
