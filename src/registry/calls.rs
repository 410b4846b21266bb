//! Calls that are put off until the running callback has returned (R5).

use crate::{error::Result, state::registry::Registry};

/// # Calls
impl Registry {
    /// Runs `f` soon, on this thread, when no callback is running. O(1).
    ///
    /// Calls run in the order in which they were added, after the timers of a turn and before the calls that other
    /// threads [posted](crate::Handle::call_soon), at most 1,024 in a turn. A call that is added by a callback or a
    /// timer runs in the same turn. One that is added by a call, or at the end of the turn, runs in the next, which does
    /// not wait for events. `run` does not return while one is left, except after a [`shutdown`](Self::shutdown), as with
    /// timers.
    ///
    /// An error or panic of `f` goes to [`Builder::on_error`](crate::Builder::on_error).
    ///
    /// For work on an object whose callback is running, which [`with`](Self::with) refuses as
    /// [`Busy`](crate::VisitError::Busy):
    ///
    /// ```
    /// use asynchat::{ChannelId, Dispatcher, Reactor, Registry, Result};
    ///
    /// struct Job {
    ///     done: u32,
    /// }
    /// impl Dispatcher for Job {}
    ///
    /// /// May be called by the job itself.
    /// fn finish(registry: &mut Registry, job: ChannelId) {
    ///     registry.call_soon(move |registry| {
    ///         registry.with(job, |job: &mut Job, channel| {
    ///             job.done += 1;
    ///             channel.close();
    ///         })?;
    ///         Ok(())
    ///     });
    /// }
    ///
    /// # fn main() -> Result {
    /// let mut reactor = Reactor::new()?;
    /// let job = reactor.listen(([127, 0, 0, 1], 0), Job { done: 0 })?;
    /// finish(&mut reactor, job);
    /// reactor.run()?; // returns: the job has closed its channel
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_soon(&mut self, f: impl FnOnce(&mut Registry) -> Result + 'static) {
        self.jobs.push_back(Box::new(f));
    }
}
