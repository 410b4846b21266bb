//! The way into a reactor from other threads (R21): a post box, and mio's waker for whom it asks to wake.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{Result, Stopped},
    state::registry::{Job, Registry},
    threads::mailbox::Mailbox,
};

/// Posts work to a reactor from any thread; clone it freely.
///
/// It does not keep [`Reactor::run`](crate::Reactor::run) from ending when no channel and no timer is left: for that
/// there is [`hold`](Self::hold).
///
/// ```
/// use std::{thread, time::Duration};
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = asynchat::Reactor::new()?;
/// reactor.call_later(Duration::from_secs(60), |_| Ok(()));   // keeps run() busy
/// let handle = reactor.handle();
/// thread::spawn(move || handle.call_soon(|registry| {
///     registry.stop();
///     Ok(())
/// }));
/// Ok(reactor.run()?)
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    mailbox: Arc<Mailbox<Job>>,
}

impl Handle {
    /// Runs `f` on the loop's thread, in the order of the calls; at most 1,024 a turn.
    ///
    /// A call does not keep [`Reactor::run`](crate::Reactor::run) from ending; what is still posted when the
    /// reactor is dropped is dropped with it. An error or panic of `f` goes to the reactor's error hook. Not to be
    /// called from a signal handler itself (it takes a lock): use a thread that waits for signals.
    ///
    /// # Errors
    /// [`Stopped`] once the reactor is gone.
    pub fn call_soon(
        &self,
        f: impl FnOnce(&mut Registry) -> Result + Send + 'static,
    ) -> Result<(), Stopped> {
        self.mailbox.post(Box::new(f))
    }

    /// Makes `run` return after the turn in progress. See [`Registry::stop`].
    pub fn stop(&self) {
        self.post_or_ignore(Registry::stop);
    }

    /// Ends everything gracefully. See [`Registry::shutdown`].
    pub fn shutdown(&self, grace: Duration) {
        self.post_or_ignore(move |registry| registry.shutdown(grace));
    }

    /// Has [`Reactor::run`](crate::Reactor::run) wait although no channel and no timer is left, until the last hold is
    /// dropped, on whatever thread: something is still to be posted. `stop` and `shutdown` end it as ever.
    ///
    /// ```
    /// use std::{net::ToSocketAddrs, thread};
    ///
    /// # fn main() -> asynchat::Result {
    /// # struct Client;
    /// # impl asynchat::Dispatcher for Client {}
    /// let mut reactor = asynchat::Reactor::new()?;
    /// let handle = reactor.handle();
    /// let hold = handle.hold();
    /// thread::spawn(move || {
    ///     let found = ("localhost", 1).to_socket_addrs();
    ///     let posted = handle.call_soon(move |registry| {
    ///         for address in found? {
    ///             registry.connect(address, Client)?;
    ///         }
    ///         Ok(())
    ///     });
    ///     drop(hold);
    ///     posted
    /// });
    /// Ok(reactor.run()?)
    /// # }
    /// ```
    pub fn hold(&self) -> Hold {
        self.mailbox.hold();
        Hold {
            mailbox: Arc::clone(&self.mailbox),
        }
    }

    fn post_or_ignore(&self, f: impl FnOnce(&mut Registry) + Send + 'static) {
        let posted = self.call_soon(|registry| {
            f(registry);
            Ok(())
        });
        if posted == Err(Stopped) {
            log::debug!(target: "asynchat::reactor", "stop or shutdown of a reactor that is gone");
        }
    }

    pub(crate) fn new(mailbox: Arc<Mailbox<Job>>) -> Self {
        Self { mailbox }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Keeps [`Reactor::run`](crate::Reactor::run) from ending; see [`Handle::hold`].
#[must_use = "dropped at once it holds nothing"]
pub struct Hold {
    mailbox: Arc<Mailbox<Job>>,
}

/// What was posted before it on the same thread still runs.
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
