//! Ending the loop, at once or gracefully (R22).

use std::time::Duration;

use crate::{
    closed::Cause,
    state::{
        channel::Channel,
        filtered::Stage,
        phase::Phase,
        registry::{Life, Registry, Task},
    },
};

/// # Ending
///
/// ```
/// use asynchat::{Dispatcher, Reactor};
/// use std::time::Duration;
///
/// struct Server;
/// impl Dispatcher for Server {}
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// reactor.listen(([127, 0, 0, 1], 0), Server)?;
/// let handle = reactor.handle();
/// // From another thread:
/// std::thread::spawn(move || handle.shutdown(Duration::from_secs(10)));
/// reactor.run()?;
/// assert!(reactor.is_idle());
/// # Ok(())
/// # }
/// ```
impl Registry {
    /// Makes [`Reactor::run`](crate::Reactor::run) return after the current turn. Called before `run`, it makes `run`
    /// return at once. A [`turn`](crate::Reactor::turn) does not wait then, and reports it as
    /// [`Turn::stopped`](crate::Turn::stopped). Channels and timers stay.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Ends everything gracefully. `run` returns when the last channel is closed, also if timers are left.
    ///
    /// Listeners and pending connection attempts are closed now. Every other channel, the caller's included, gets
    /// `close_when_done`. Channels still open after `grace` are closed. A second call changes the grace of the first.
    ///
    /// Push farewells before this call: later pushes are dropped. Input that has arrived and was not read is discarded.
    pub fn shutdown(&mut self, grace: Duration) {
        log::info!(target: "asynchat::reactor", "shutting down: {} channels open, {grace:?} of grace", self.slots.len());
        self.uncork();
        for id in self.ids() {
            let Some(slot) = self.slot(id) else { continue };
            match &slot.phase {
                Phase::Listening(_) | Phase::Resolving(_) | Phase::Connecting(_) => {
                    self.close(id, Cause::Shutdown);
                }
                // A handshake for which nothing waits.
                Phase::Filtered(filtered)
                    if filtered.stage != Stage::Open && !slot.has_program_output() =>
                {
                    self.close(id, Cause::Shutdown);
                }
                _ => Channel::new(self, id).end_when_done(Cause::Shutdown),
            }
        }
        let deadline = self.after(grace);
        // A second shutdown changes the grace of the first.
        if let Life::Ending(timer) | Life::Ended(timer) = self.life
            && self.timers.reschedule(timer, deadline)
        {
            return;
        }
        let grace = self.timers.insert(deadline, Task::Grace);
        self.life = match self.life {
            Life::Ended(_) => Life::Ended(grace),
            Life::Running | Life::Ending(_) => Life::Ending(grace),
        };
    }

    /// Closes every channel at once. Timers stay. The only callbacks that follow are those of
    /// [`handle_closed`](crate::Dispatcher::handle_closed), when the turn ends or in the next one.
    ///
    /// ```
    /// # use asynchat::{Dispatcher, Reactor};
    /// # struct Server;
    /// # impl Dispatcher for Server {}
    /// # fn main() -> std::io::Result<()> {
    /// # let mut reactor = Reactor::new()?;
    /// reactor.listen(([127, 0, 0, 1], 0), Server)?;
    /// reactor.close_all();
    /// assert_eq!(reactor.channels().count(), 0);
    /// # Ok(()) }
    /// ```
    pub fn close_all(&mut self) {
        self.close_each(Cause::CloseAll);
    }

    /// Whether `run` would return: no channel, no timer, no [`Hold`](crate::Hold) and no call of
    /// [`call_soon`](Self::call_soon) is left, and no `handle_closed` and no closure of
    /// [`push_then`](crate::Channel::push_then) is to come. During a [`shutdown`](Self::shutdown) timers, holds and calls
    /// do not count.
    pub fn is_idle(&self) -> bool {
        let awaited = || !self.timers.is_empty() || !self.jobs.is_empty() || self.mailbox.is_held();
        self.has_no_objects() && (!matches!(self.life, Life::Running) || !awaited())
    }

    /// Whether nobody is left that has a callback to come.
    fn has_no_objects(&self) -> bool {
        self.slots.is_empty() && self.farewells.due.is_empty() && self.departures.is_empty()
    }

    /// Called when a turn ends: a shutdown has ended if no channel is left, and goes on if there is one again.
    pub(crate) fn note_end(&mut self) {
        self.life = match (self.life, self.has_no_objects()) {
            (Life::Ending(grace), true) => Life::Ended(grace),
            (Life::Ended(grace), false) => Life::Ending(grace),
            (life, _) => life,
        };
    }

    /// What comes after a shutdown is a new life: timers count again.
    pub(crate) fn forget_ended_shutdown(&mut self) {
        if let Life::Ended(grace) = self.life {
            self.cancel_timer(grace);
            self.life = Life::Running;
        }
    }
}
