//! The way into a reactor from other threads (R21): a post box and mio's waker.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{Result, Stopped},
    state::registry::{Post, Registry},
    threads::mailbox::Mailbox,
};

/// Posts work to a reactor from any thread. Cloning it is cheap.
///
/// A handle does not keep [`Reactor::run`](crate::Reactor::run) from returning when no channel and no timer is left; a
/// [`Hold`] does.
///
/// ```
/// use std::{thread, time::Duration};
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = asynchat::Reactor::new()?;
/// reactor.call_later(Duration::from_secs(60), |_| Ok(())); // keeps run() busy
/// let handle = reactor.handle();
/// thread::spawn(move || handle.call_soon(|registry| {
///     registry.stop();
///     Ok(())
/// }));
/// reactor.run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    mailbox: Arc<Mailbox<Post>>,
}

impl Handle {
    /// Runs `f` on the loop's thread, in the order of the calls, at most 1,024 in a turn. On the loop's own thread
    /// [`Registry::call_soon`] needs no `Send`.
    ///
    /// A posted call does not keep [`Reactor::run`](crate::Reactor::run) from returning. Calls still posted when the
    /// reactor is dropped are dropped with it. An error or panic of `f` goes to
    /// [`Builder::on_error`](crate::Builder::on_error).
    ///
    /// Do not call it from a signal handler, because it takes a lock; see `Registry::on_signal` (feature `signals`).
    ///
    /// # Errors
    /// [`Stopped`] once the reactor is dropped.
    pub fn call_soon(
        &self,
        f: impl FnOnce(&mut Registry) -> Result + Send + 'static,
    ) -> Result<(), Stopped> {
        self.mailbox.post(Box::new(f))
    }

    /// The number of posted calls that wait, without those that the current turn has taken. 0 once the reactor is
    /// dropped. For a thread that posts faster than the loop runs; the box has no bound.
    ///
    /// ```
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = asynchat::Reactor::new()?;
    /// let handle = reactor.handle();
    /// handle.call_soon(|_| Ok(()))?;
    /// assert_eq!(handle.posted(), 1);
    /// reactor.turn(None)?;
    /// assert_eq!(handle.posted(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn posted(&self) -> usize {
        self.mailbox.len()
    }

    /// Makes `run` return after the current turn; see [`Registry::stop`]. If the loop waits, it takes one more turn. Does
    /// nothing once the reactor is dropped.
    ///
    /// It does not wait behind posted calls: those that are not among the 1,024 of that turn stay posted, for the next
    /// `run` or `turn`. To stop behind them, post a call that calls [`Registry::stop`].
    pub fn stop(&self) {
        if self.mailbox.stop() == Err(Stopped) {
            ignored();
        }
    }

    /// Ends everything gracefully; see [`Registry::shutdown`]. It is a posted call and waits behind others, so what was
    /// posted before it still finds its channels. Does nothing once the reactor is dropped.
    pub fn shutdown(&self, grace: Duration) {
        let posted = self.call_soon(move |registry| {
            registry.shutdown(grace);
            Ok(())
        });
        if posted == Err(Stopped) {
            ignored();
        }
    }

    /// Keeps [`Reactor::run`](crate::Reactor::run) from returning for lack of channels and timers, until the last hold
    /// is dropped, on any thread. For work on another thread that will post its result. `stop` and `shutdown` end `run`
    /// all the same.
    ///
    /// ```
    /// use std::{fs, thread};
    ///
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = asynchat::Reactor::new()?;
    /// let handle = reactor.handle();
    /// let hold = handle.hold();
    /// thread::spawn(move || {
    ///     let text = fs::read_to_string("/etc/hosts");
    ///     let posted = handle.call_soon(move |_registry| {
    ///         println!("{} lines", text?.lines().count());
    ///         Ok(())
    ///     });
    ///     drop(hold);
    ///     posted
    /// });
    /// reactor.run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold(&self) -> Hold {
        self.mailbox.hold();
        Hold {
            mailbox: Arc::clone(&self.mailbox),
        }
    }

    pub(crate) fn new(mailbox: Arc<Mailbox<Post>>) -> Self {
        Self { mailbox }
    }
}

fn ignored() {
    log::debug!(target: "asynchat::reactor", "stop or shutdown of a reactor that is gone");
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Keeps [`Reactor::run`](crate::Reactor::run) from returning; see [`Handle::hold`]. Calls posted before it is dropped
/// on the same thread still run.
#[must_use = "the hold ends when this value is dropped: bind it to a variable"]
pub struct Hold {
    mailbox: Arc<Mailbox<Post>>,
}

/// Calls posted before it on the same thread still run.
impl Drop for Hold {
    fn drop(&mut self) {
        self.mailbox.release();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
