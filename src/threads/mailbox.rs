//! A post box with the waker of its poller, and the holds that keep the loop from ending.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    error::Stopped,
    threads::post_box::{PostBox, Wake},
};

pub(crate) struct Mailbox<J> {
    posts: PostBox<J>,
    holds: AtomicUsize,
    waker: mio::Waker,
}

impl<J> Mailbox<J> {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self {
            posts: PostBox::new(),
            holds: AtomicUsize::new(0),
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

    /// Moves what was posted to the end of `jobs`.
    pub(crate) fn take(&self, jobs: &mut VecDeque<J>) {
        self.posts.take(jobs);
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
