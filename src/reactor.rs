//! The loop: one turn after another until nothing is left (R5, R22).

use std::{
    collections::VecDeque,
    fmt, io, mem,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use mio::{Events, Poll, Waker};

use crate::{
    closed::Cause,
    error::ErrorSource,
    id::{ChannelId, WAKE},
    net::readiness::EventBits,
    resolver::Resolver,
    state::{
        policy::Policy,
        registry::{ErrorHook, Registry},
        table::find,
    },
    stats::Turn,
    threads::mailbox::Mailbox,
    time::timer::Mark,
};

const MOST_EVENTS: usize = 64 * 1024;
/// Posted calls, and calls of `call_soon`, that run in one turn, so that a flood of them does not starve the channels.
const JOBS_PER_TURN: usize = 1024;
/// An empty queue of calls with room for more than this gives its memory back.
const JOBS_KEPT: usize = 4096;
/// Pollers count milliseconds in 32 bits. Some take a longer wait for no limit, others for none at all (mio before 1.2).
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60 * 24);

/// The event loop with its channels and timers.
///
/// It stays on the thread that made it and calls back objects that need no locks. Other threads reach it through a
/// [`Handle`](crate::Handle). To use several cores, run one reactor on each.
///
/// It is not `Send`, because its objects and closures need not be: an `Rc` in two of them would be counted on two
/// threads. Make the reactor on the thread that runs it, and send its handle out.
///
/// ```
/// # fn main() -> asynchat::Result {
/// let mut reactor = asynchat::Reactor::new()?;
/// reactor.call_later(std::time::Duration::from_millis(1), |_registry| {
///     println!("tick");
///     Ok(())
/// });
/// reactor.run()?; // returns: no channel and no timer is left
/// # Ok(())
/// # }
/// ```
///
/// It dereferences to its [`Registry`], which has the methods for channels and timers.
///
/// # A turn
/// 1. Wait in the poller for events, until the next timer at most. An interrupted wait counts as one without events.
/// 2. Record all events, then visit each channel that has something to do, once.
/// 3. Run the timers that are due, then the closures of signals, then at most 1,024 calls of
///    [`call_soon`](Registry::call_soon), then at most 1,024 posted calls.
/// 4. Visit the channels that these steps changed from outside, and send what was pushed to them.
/// 5. Call the closures of [`push_then`](crate::Channel::push_then) that no visit has called, before 4 and after it, and
///    `handle_closed` for the channels that these steps closed from outside.
///
/// Channels and timers added during a turn wait for the next one, and so do calls added while calls run.
///
/// # Cost
/// The time of a turn is proportional to what happens in it, not to the number of open channels.
///
/// # Forking
/// Make the reactor after the fork. Parent and child would otherwise share its poller: events of the one go to the
/// other, and a channel that is closed in the child may be unwatched in the parent. The only thing to do with a reactor
/// in a forked child is to drop it, or to leave it alone until `exec`: dropping it there closes the child's descriptors,
/// sends nothing, and takes nothing from the parent.
///
/// # Dropping
/// Dropping a reactor closes every channel, without callbacks, and drops timers and calls that wait. Handles then fail
/// with [`Stopped`](crate::Stopped).
pub struct Reactor {
    registry: Registry,
    /// The channels being visited this turn; kept for its memory.
    batch: Vec<ChannelId>,
    /// The process that made it. A child that was forked shares the poller with it.
    process: u32,
}

impl Reactor {
    pub(crate) fn with_policy(
        policy: Policy,
        on_error: Option<ErrorHook>,
        resolver: Option<Box<dyn Resolver>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKE)?));
        let mut registry = Registry::new(poll, mailbox, policy, on_error);
        registry.look_ups.resolver = resolver;
        Ok(Self {
            registry,
            batch: Vec::new(),
            process: std::process::id(),
        })
    }

    /// Turns until no channel, no timer and no [`Hold`](crate::Hold) is left, or until [`stop`](Registry::stop).
    ///
    /// # Errors
    /// Only if the poller fails. Errors of callbacks go to their channels.
    pub fn run(&mut self) -> io::Result<()> {
        self.registry.forget_ended_shutdown();
        let mut stopped = mem::take(&mut self.registry.stopping);
        // In this order: what is posted before a hold is dropped has then arrived too.
        while !stopped && (!self.is_idle() || self.has_posts()) {
            stopped = self.pass(None)?.stopped;
        }
        self.registry.note_end();
        self.registry.forget_ended_shutdown();
        Ok(())
    }

    /// Runs one turn, waiting at most `max_wait` for something to happen; `None` is no limit.
    ///
    /// The wait is shorter if a timer is due earlier, and zero while a channel has something to do. The poller rounds
    /// it up to milliseconds, and a wait of more than a day ends after a day. For a loop of your own, beside a game or a
    /// user interface:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = asynchat::Reactor::new()?;
    /// reactor.call_later(Duration::from_millis(2), |_| Ok(()));
    /// while !reactor.is_idle() {
    ///     let turn = reactor.turn(Some(Duration::from_millis(16)))?;
    ///     println!("{} events, {} callbacks", turn.events, turn.callbacks);
    ///     if turn.stopped {
    ///         break; // somebody called `stop`
    ///     }
    ///     // Draw a frame.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`stop`](Registry::stop), called in the turn or before it, shows as [`Turn::stopped`], once.
    ///
    /// # Errors
    /// Only if the poller fails.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<Turn> {
        self.registry.forget_ended_shutdown();
        self.pass(max_wait)
    }

    /// How long the next [`turn`](Self::turn) would wait if nothing happened: until the next timer, zero if there is work,
    /// `None` if only an event, a posted call or a signal can be next. O(1).
    ///
    /// For a reactor inside another loop, which waits for the reactor's descriptor (`AsFd`) and at most this long, and then
    /// calls `turn` with a wait of zero.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = asynchat::Reactor::new()?;
    /// assert_eq!(reactor.next_wait(), None);
    /// reactor.call_later(Duration::from_secs(5), |_| Ok(()));
    /// assert!(reactor.next_wait() <= Some(Duration::from_secs(5)));
    /// reactor.call_soon(|_| Ok(()));
    /// assert_eq!(reactor.next_wait(), Some(Duration::ZERO));
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_wait(&self) -> Option<Duration> {
        // An outer poller that reports only new events does not report again those that a full poll, or a turn that was cut
        // short, has left.
        if self.registry.events_left || self.registry.turning {
            return Some(Duration::ZERO);
        }
        self.wait(None)
    }

    /// A turn within one life of the reactor: after a shutdown, `run` finishes its work without starting a new one.
    fn pass(&mut self, max_wait: Option<Duration>) -> io::Result<Turn> {
        if self.registry.turning {
            self.registry.recover();
        }
        let callbacks = self.registry.stats.callbacks;
        let mark = self.registry.timers.mark();
        self.registry.end_pauses_of_turn();
        self.registry.begin_handshakes();
        let wait = self.wait(max_wait);
        let events = self.poll(wait)?;
        self.registry.turning = true;
        self.visit_ready();
        let timers = self.run_timers(mark);
        self.run_jobs();
        self.report_departures();
        self.revisit_touched();
        self.report_departures();
        self.bid_farewells();
        self.registry.renew_budgets();
        self.registry.clock.end_turn();
        self.registry.turning = false;
        self.registry.note_end();
        let stats = &mut self.registry.stats;
        stats.turns += 1;
        stats.events += events as u64;
        #[allow(clippy::cast_possible_truncation, reason = "one turn's callbacks fit")]
        let callbacks = stats.callbacks.saturating_sub(callbacks) as usize;
        Ok(Turn {
            events,
            callbacks,
            timers,
            stopped: mem::take(&mut self.registry.stopping),
        })
    }

    fn has_posts(&self) -> bool {
        let Registry { posts, mailbox, .. } = &self.registry;
        !posts.is_empty() || mailbox.has_posts() || mailbox.is_stopping()
    }

    fn wait(&self, max_wait: Option<Duration>) -> Option<Duration> {
        let registry = &self.registry;
        if !registry.ready.is_empty()
            || !registry.touched.is_empty()
            || !registry.yielding.is_empty()
            || !registry.handshakes.is_empty()
            || !registry.farewells.due.is_empty()
            || !registry.departures.is_empty()
            || registry.stopping
            || !registry.jobs.is_empty()
            || self.has_posts()
            || registry.has_signals()
        {
            return Some(Duration::ZERO);
        }
        let max_wait = max_wait.map(|wait| wait.min(LONGEST_WAIT));
        let Some(deadline) = registry.timers.next_deadline() else {
            return max_wait;
        };
        // Not the turn's own time: its callbacks may have taken long.
        let until = deadline.saturating_duration_since(registry.clock.present());
        let until = until.min(LONGEST_WAIT);
        Some(max_wait.map_or(until, |wait| wait.min(until)))
    }

    fn poll(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        let Registry {
            poll,
            events,
            clock,
            slots,
            ready,
            ..
        } = &mut self.registry;
        let mut polled = poll.poll(events, wait);
        if is_interrupted(&polled) {
            // Perhaps the process was stopped for long: what arrived meanwhile comes before timers that are due.
            polled = poll.poll(events, Some(Duration::ZERO));
        }
        clock.begin_turn();
        if is_interrupted(&polled) {
            return Ok(0);
        }
        polled?;
        let mut count = 0;
        #[cfg(all(unix, feature = "signals"))]
        let mut signalled = false;
        for event in &*events {
            count += 1;
            let id = ChannelId::of_token(event.token());
            // The slot may have been given away since the event was queued: then the generation differs (R6).
            if let Some(slot) = find(slots, id) {
                slot.readiness.absorb(EventBits::from(event));
                if slot.flags.enqueue() {
                    ready.push(id);
                }
                continue;
            }
            // No channel has the index of the tokens that name none, so they cost the others no comparison.
            #[cfg(all(unix, feature = "signals"))]
            {
                signalled |= event.token() == crate::id::SIGNALS;
            }
        }
        let events_left = count == events.capacity();
        if events_left && count < MOST_EVENTS {
            *events = Events::with_capacity(count * 2);
        }
        self.registry.events_left = events_left;
        #[cfg(all(unix, feature = "signals"))]
        if signalled && let Some(signals) = &mut self.registry.signals {
            signals.wake();
        }
        Ok(count)
    }

    fn visit_ready(&mut self) {
        self.serve(|registry| &mut registry.ready, Registry::visit);
    }

    fn revisit_touched(&mut self) {
        self.serve(|registry| &mut registry.touched, Registry::revisit);
    }

    /// Swaps a list out and serves each channel of it. One guard for all of them costs a visit next to nothing.
    #[inline(always)]
    fn serve(
        &mut self,
        list: impl Fn(&mut Registry) -> &mut Vec<ChannelId>,
        visit: impl Fn(&mut Registry, ChannelId),
    ) {
        let Self {
            registry, batch, ..
        } = self;
        batch.clear();
        mem::swap(batch, list(registry));
        let mut next = 0;
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            while let Some(&id) = batch.get(next) {
                next += 1;
                visit(registry, id);
            }
        })) {
            registry.end_after_panic(Some(batch[next - 1]), panic);
        }
    }

    /// Tells the objects whose channels are gone. Those that one of them closes are told in the next turn.
    fn bid_farewells(&mut self) {
        let registry = &mut self.registry;
        let mut left = registry.farewells.due.len();
        while left > 0
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
                while left > 0 {
                    left -= 1;
                    // Those of the same channel come first, and the last farewell may have made some due.
                    registry.report_departures();
                    if let Some(farewell) = registry.farewells.take_first() {
                        registry.bid_farewell(farewell);
                    }
                }
            }))
        {
            registry.end_after_panic(None, panic);
        }
    }

    fn run_timers(&mut self, mark: Mark) -> usize {
        let registry = &mut self.registry;
        if registry.timers.is_empty() {
            return 0;
        }
        let mut fired = 0;
        let now = registry.clock.get();
        let mut firing = None;
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            while let Some((timer, deadline, task)) = registry.timers.pop_due(now, mark) {
                fired += 1;
                firing = Some((timer, task.channel()));
                registry.fire(timer, deadline, task);
            }
        })) {
            let (timer, channel) = firing.unzip();
            if let Some(timer) = timer {
                registry.timers.finish(timer);
            }
            registry.end_after_panic(channel.flatten(), panic);
        }
        fired
    }

    fn run_jobs(&mut self) {
        let registry = &mut self.registry;
        // In this order: what a thread posted before it called `stop` is there to be taken.
        registry.stopping |= registry.mailbox.take_stop();
        let most = JOBS_PER_TURN.saturating_sub(registry.posts.len());
        registry.mailbox.take(most, &mut registry.posts);
        // Not what these add: a call that puts itself off again waits for the next turn.
        let mut due = registry.jobs.len().min(JOBS_PER_TURN);
        #[cfg(all(unix, feature = "signals"))]
        registry.collect_signals();
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(all(unix, feature = "signals"))]
            registry.run_signals();
            while due > 0
                && let Some(job) = registry.jobs.pop_front()
            {
                due -= 1;
                registry.run_job(ErrorSource::CallSoon, job);
            }
            while let Some(post) = registry.posts.pop_front() {
                registry.run_job(ErrorSource::Handle, post);
            }
        })) {
            registry.end_after_panic(None, panic);
        }
        if registry.jobs.is_empty() && registry.jobs.capacity() > JOBS_KEPT {
            registry.jobs = VecDeque::new();
        }
    }

    /// Calls the hooks of parts that no visit of their channel has told of.
    fn report_departures(&mut self) {
        let registry = &mut self.registry;
        let mut due = registry.departures.len();
        while due > 0
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
                while due > 0 {
                    due -= 1;
                    registry.report_departure();
                }
            }))
        {
            registry.end_after_panic(None, panic);
        }
    }
}

fn is_interrupted(polled: &io::Result<()>) -> bool {
    matches!(polled, Err(error) if error.kind() == io::ErrorKind::Interrupted)
}

impl Deref for Reactor {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl DerefMut for Reactor {
    fn deref_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }
}

/// The poller's descriptor, where it has one (Linux, Android, Apple's systems, the BSDs, illumos): another poller can wait for
/// it to be readable.
///
/// It is readable while events wait for [`turn`](Reactor::turn), which alone takes them. The outer loop also has to wake
/// up after [`next_wait`](Reactor::next_wait). Do not read it, and register nothing with it.
///
/// A duplicate (`try_clone_to_owned`) can be watched while the reactor is turned. It belongs to the registry of this
/// reactor: one that is exchanged with `mem::swap` takes its descriptor along.
///
/// ```
/// use rustix::event::{PollFd, PollFlags, poll};
/// use std::{os::unix::net::UnixStream, time::Duration};
///
/// # fn main() -> asynchat::Result {
/// # struct Idle;
/// # impl asynchat::Dispatcher for Idle {}
/// let mut reactor = asynchat::Reactor::new()?;
/// # let (input, channel) = UnixStream::pair()?;
/// # reactor.register(channel, Idle)?;
/// # reactor.handle().shutdown(Duration::ZERO);
/// while !reactor.is_idle() {
///     let wait = reactor.next_wait().map(|wait| wait.try_into()).transpose()?;
///     let mut waiting = [PollFd::new(&reactor, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
///     poll(&mut waiting, wait.as_ref())?;
///     reactor.turn(Some(Duration::ZERO))?;
///     // ... and serve `input`.
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(all(
    any(
        target_vendor = "apple",
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "linux",
        target_os = "netbsd",
        target_os = "openbsd",
    ),
    not(mio_unsupported_force_poll_poll)
))]
impl std::os::fd::AsFd for Reactor {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.registry.poll.registry().as_fd()
    }
}

/// Closes every channel, without callbacks, and drops timers and calls that wait. Handles then fail with `Stopped`.
impl Drop for Reactor {
    fn drop(&mut self) {
        self.close_everything();
    }
}

impl Reactor {
    fn close_everything(&mut self) {
        let registry = &mut self.registry;
        let posted = registry.mailbox.refuse().unwrap_or_default();
        let posts = mem::take(&mut registry.posts);
        if self.process != std::process::id() {
            registry.disown_all();
        }
        // One by one: they have no callback to come, and need not wait in a list.
        for id in registry.every_id() {
            registry.close(id, Cause::CloseAll);
            registry.drop_farewells();
        }
        registry.drop_farewells();
        // One by one: each may panic when dropped.
        for post in posts.into_iter().chain(posted) {
            registry.discard(post);
        }
        for job in mem::take(&mut registry.jobs) {
            registry.discard(job);
        }
        #[cfg(all(unix, feature = "signals"))]
        for f in registry
            .signals
            .take()
            .map(|signals| signals.into_closures())
            .into_iter()
            .flatten()
        {
            registry.discard(f);
        }
        registry.drop_look_ups();
        for task in registry.timers.take_all() {
            registry.discard(task);
        }
        for (hook, _) in mem::take(&mut registry.departures) {
            registry.discard(hook);
        }
        let hook = registry.on_error.take();
        registry.discard(hook);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_longer_than_pollers_can_count() {
        let mut reactor = Reactor::new().unwrap();
        let long = [Duration::from_millis(1 << 32), Duration::MAX];
        for wait in long {
            assert_eq!(reactor.wait(Some(wait)), Some(LONGEST_WAIT));
        }
        assert_eq!(reactor.wait(None), None);
        reactor.call_later(Duration::MAX, |_| Ok(()));
        for wait in [None, Some(long[0]), Some(long[1])] {
            assert_eq!(reactor.wait(wait), Some(LONGEST_WAIT));
        }
    }

    /// As after a fork: another reactor on the same poller, with a duplicate of the same socket. Where the processes
    /// that inherit a poller share it.
    #[cfg(all(target_os = "linux", not(any(miri, mio_unsupported_force_poll_poll))))]
    #[test]
    fn a_reactor_dropped_in_a_forked_child_takes_nothing_from_its_parent() {
        use std::{
            io::Write,
            os::{fd::OwnedFd, unix::net::UnixStream},
        };

        use crate::state::dispatcher::Dispatcher;

        struct Idle;
        impl Dispatcher for Idle {}

        for forked in [true, false] {
            let mut parent = Reactor::new().unwrap();
            let mut child = Reactor::new().unwrap();
            mem::swap(&mut parent.registry.poll, &mut child.registry.poll);
            child.process += u32::from(forked);
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let _kept_by_the_parent = ours.try_clone().unwrap();
            child.register(OwnedFd::from(ours), Idle).unwrap();
            child.close_everything();
            mem::swap(&mut parent.registry.poll, &mut child.registry.poll);
            // The first event: it can be written to.
            parent.turn(Some(Duration::ZERO)).unwrap();
            theirs.write_all(b"for the parent").unwrap();
            let turn = parent.turn(Some(Duration::ZERO)).unwrap();
            assert_eq!(turn.events, usize::from(forked));
        }
    }

    /// As after a fork: what is queued and sealed is the parent's to send.
    #[cfg(all(unix, not(miri)))]
    #[test]
    fn a_reactor_dropped_in_a_forked_child_sends_nothing_to_its_parents_peers() {
        use std::{
            io::{IoSlice, Read},
            os::unix::net::UnixStream,
        };

        use crate::{
            error::Result,
            filter::{Filter, FilterPhase},
            state::dispatcher::Dispatcher,
        };

        struct Idle;
        impl Dispatcher for Idle {}

        /// Says a word at its start, and changes nothing.
        struct Greeting;
        impl Filter for Greeting {
            fn feed(&mut self, _: &[u8], _: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
                wire.extend(b"hello");
                Ok(())
            }
            fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
                wire.extend_from_slice(&plain[0]);
                Ok(plain[0].len())
            }
            fn end(&mut self, wire: &mut Vec<u8>) {
                wire.extend(b"end");
            }
            fn phase(&self) -> FilterPhase {
                FilterPhase::Open
            }
        }

        for filtered in [false, true] {
            for forked in [true, false] {
                let case = format!("filtered {filtered}, forked {forked}");
                let mut child = Reactor::new().unwrap();
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let id = child.register(ours, Idle).unwrap();
                child.turn(Some(Duration::ZERO)).unwrap();
                let mut channel = child.channel(id).unwrap();
                channel.push("clear");
                if filtered {
                    channel.upgrade(Greeting).unwrap();
                    channel.push("sealed");
                }
                child.process += u32::from(forked);
                drop(child);
                let mut received = String::new();
                theirs.read_to_string(&mut received).unwrap();
                assert_eq!(received, if forked { "" } else { "clear" }, "{case}");
            }
        }
        for forked in [true, false] {
            let mut child = Reactor::new().unwrap();
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let id = child.register(ours, Idle).unwrap();
            child.channel(id).unwrap().upgrade(Greeting).unwrap();
            child.turn(Some(Duration::ZERO)).unwrap();
            child.channel(id).unwrap().push(vec![b's'; 4 << 20]);
            child.turn(Some(Duration::ZERO)).unwrap();
            let mut received = Vec::new();
            let _ = theirs.read_to_end(&mut received);
            // The socket has room again, and the fork comes before the visit.
            let slot = child.registry.slot_mut(id).unwrap();
            assert!(slot.filtered().unwrap().layer.has_wire());
            slot.readiness.write_again();
            child.process += u32::from(forked);
            drop(child);
            received.clear();
            theirs.read_to_end(&mut received).unwrap();
            assert_eq!(received.is_empty(), forked);
        }
    }
}
