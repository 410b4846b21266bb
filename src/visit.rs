//! One visit of one channel: which callbacks run, in which order, and what their outcome means (R3–R10).
//!
//! Every step looks the channel up again, because any callback may have closed or changed it. No object is called
//! while it is in its slot.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    BoxError, Channel, ChannelId, Dispatcher, Exceptional, OutgoingFull, Panicked, Registry,
    Result,
    error::{Meaning, meaning, meaning_of_io},
    outgoing::{Flushed, Outgoing},
    registry::Task,
    slot::{Limits, Peer, Phase, Sending, Slot},
    socket::{Io, Role},
};

/// So many callbacks in a row without any effect get a warning (R3b).
const SPIN_LIMIT: u16 = 1000;

impl Registry {
    /// Does what is due on one channel of the run queue.
    pub(crate) fn visit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.flags.queued = false;
        let visit: fn(&mut Self, ChannelId) = match slot.phase {
            Phase::Connecting(_) => Self::serve_if_connected,
            Phase::Listening(_) => Self::accept_ready,
            Phase::Fresh => Self::greet_and_serve,
            Phase::Open => Self::serve,
            Phase::Lingering { .. } => Self::linger,
        };
        self.visiting = Some(id);
        visit(self, id);
        self.visiting = None;
        self.settle(id);
    }

    /// Looks at a channel that others pushed to, closed or touched this turn.
    pub(crate) fn revisit(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.flags.touched = false;
        if matches!(slot.phase, Phase::Open) {
            self.visiting = Some(id);
            self.advance_outgoing(id);
            self.visiting = None;
        }
        self.settle(id);
    }

    fn serve_if_connected(&mut self, id: ChannelId) {
        if self.finish_connect(id) {
            self.greet_and_serve(id);
        }
    }

    fn greet_and_serve(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.phase = Phase::Open;
        if !slot.flags.closing {
            self.call(id, |d, channel| d.handle_connect(channel));
        }
        self.serve(id);
    }

    fn serve(&mut self, id: ChannelId) {
        self.report_news(id);
        self.let_read(id);
        self.report_close(id);
        self.advance_outgoing(id);
        self.let_write(id);
    }

    fn report_news(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if !slot.readiness.has_news() {
            return;
        }
        let broken = slot.readiness.take_error();
        if slot.readiness.take_priority() {
            self.call(id, |d, channel| {
                d.handle_expt(channel, Exceptional::Priority)
            });
        }
        if broken {
            self.check_broken(id);
        }
    }

    /// The poller saw an error. A handler that reads finds it out by reading, after what arrived before; for one
    /// that does not, the socket is asked.
    fn check_broken(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let role = slot.io.role();
        if role == Role::Datagram || (slot.may_read() && self.ask(id, |d| d.readable())) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if role == Role::Fd {
            // No socket error to ask for: this is a pipe nobody reads any more.
            slot.peer = Peer::Reset;
            return;
        }
        match slot.io.take_error() {
            Ok(Some(error)) | Err(error) => {
                slot.readiness.read_again();
                self.fail(id, error.into());
            }
            Ok(None) => {}
        }
    }

    fn let_read(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.abandoned() {
            self.discard_input(id);
        } else if slot.may_read() && self.ask(id, |d| d.readable()) {
            self.call_watched(id, |d, channel| d.handle_read(channel));
        }
    }

    fn let_write(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.may_write() && self.ask(id, |d| d.writable()) {
            self.call_watched(id, |d, channel| d.handle_write(channel));
            self.report_close(id);
            self.advance_outgoing(id);
        }
    }

    /// Reads and forgets, up to one buffer a visit. Gives the number of bytes.
    fn discard_input(&mut self, id: ChannelId) -> usize {
        let read = Channel::new(self, id).recv_with(|_, data| data.len());
        match read {
            Ok(n) => n,
            Err(error) => {
                if meaning_of_io(&error) == Meaning::Failure
                    && let Some(slot) = self.slot_mut(id)
                {
                    slot.peer = Peer::Reset;
                }
                0
            }
        }
    }

    fn report_close(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let reset = match slot.peer {
            Peer::Open => return,
            Peer::Finished if slot.flags.told || slot.flags.closing => return,
            Peer::Finished => false,
            Peer::Reset => true,
        };
        // What arrived before the reset comes first.
        if reset && slot.may_read() && self.ask(id, |d| d.readable()) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let told = std::mem::replace(&mut slot.flags.told, true);
        let doomed = if reset { slot.outgoing.take() } else { None };
        if let Some(queue) = doomed {
            self.give_queue(queue);
        }
        if !told {
            self.call(id, |d, channel| d.handle_close(channel));
        }
        if reset {
            self.close(id, "reset by peer");
        }
    }

    /// Flushes the outgoing queue and does what its new state calls for.
    fn advance_outgoing(&mut self, id: ChannelId) {
        let Limits { low, max, .. } = self.policy.limits;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if std::mem::take(&mut slot.flags.overflown) {
            let error = OutgoingFull {
                channel: id,
                queued: slot.outgoing_len(),
                limit: slot.limits.as_deref().map_or(max, |limits| limits.max),
            };
            self.fail_with(id, error.into());
        }
        if self.slot(id).is_some_and(Slot::can_flush) {
            self.flush(id);
            self.report_close(id);
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.flags.congested
            && slot.outgoing_len() <= slot.limits.as_deref().map_or(low, |l| l.low)
        {
            slot.flags.congested = false;
            if !slot.flags.closing {
                self.call(id, |d, channel| d.handle_drain(channel));
                if self.slot(id).is_some_and(Slot::can_flush) {
                    self.flush(id);
                    self.report_close(id);
                }
            }
        }
        if self
            .slot(id)
            .is_some_and(|slot| !slot.has_outgoing() && matches!(slot.phase, Phase::Open))
        {
            self.end_sending(id);
        }
    }

    fn flush(&mut self, id: ChannelId) {
        let budget = self.policy.write_budget;
        let Some((slot, spare)) = self.slot_and_spare(id) else {
            return;
        };
        let Some(mut queue) = slot.outgoing.take() else {
            return;
        };
        let outcome = flush_queue(&mut queue, budget, slot, spare);
        let (written, flushed) = match outcome {
            Ok(flushed) => flushed,
            Err(panic) => {
                if let Some(producer) = queue.drop_producer() {
                    self.discard(producer);
                }
                self.keep_queue(id, queue);
                if self.policy.propagate_panics {
                    std::panic::resume_unwind(panic);
                }
                self.fail(id, Panicked::new(&*panic).into());
                return;
            }
        };
        self.keep_queue(id, queue);
        self.note_flushed(id, written);
        match flushed {
            Flushed::Empty | Flushed::Blocked | Flushed::Parked | Flushed::Paused => {}
            Flushed::ProducerFailed(error) => self.fail_with(id, error.into()),
            Flushed::Failed(error) => {
                // Whatever the reason, the stream has a hole now: nothing more can be sent.
                let broken = self.slot_mut(id).and_then(|slot| {
                    slot.readiness.read_again();
                    slot.outgoing.take()
                });
                if let Some(queue) = broken {
                    self.give_queue(queue);
                }
                self.fail(id, error.into());
            }
        }
    }

    fn keep_queue(&mut self, id: ChannelId, queue: Box<Outgoing>) {
        if queue.is_empty() {
            self.give_queue(queue);
        } else if let Some(slot) = self.slot_mut(id) {
            slot.outgoing = Some(queue);
        }
    }

    fn note_flushed(&mut self, id: ChannelId, written: usize) {
        if written > 0 {
            let _ = self.note_write(id, Ok(written));
        }
    }

    /// The queue is empty: half-close or close if that was asked for.
    fn end_sending(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if !slot.flags.closing && slot.sending != Sending::Ending {
            return;
        }
        if slot.io.role() == Role::Fd || (slot.flags.closing && slot.peer != Peer::Open) {
            self.close(id, "done");
            return;
        }
        if slot.sending != Sending::Shut {
            slot.sending = Sending::Shut;
            if let Err(error) = slot.io.shutdown_write() {
                log::debug!(target: "asynchat::channel", "channel {id}: shutdown: {error}");
                slot.peer = Peer::Reset;
                self.report_close(id);
                return;
            }
        }
        if slot.flags.closing {
            self.start_linger(id);
        }
    }

    fn start_linger(&mut self, id: ChannelId) {
        let deadline = self.after(self.policy.linger_time);
        let timer = self.timers.insert(deadline, Task::Linger(id));
        let Some(slot) = self.slot_mut(id) else {
            self.cancel(timer);
            return;
        };
        slot.phase = Phase::Lingering {
            discarded: 0,
            timer,
        };
        let idle = slot.idle.take();
        let object = slot.dispatcher.take();
        if let Some(idle) = idle {
            self.cancel(idle);
        }
        if let Some(object) = object {
            self.discard(object);
        }
        self.linger(id);
    }

    /// Throws input away until the peer's end of file, so that what was sent is not destroyed by a reset (R10).
    fn linger(&mut self, id: ChannelId) {
        if !self.slot(id).is_some_and(Slot::has_input) {
            return;
        }
        let n = self.discard_input(id);
        let limit = self.policy.linger_bytes;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let peer = slot.peer;
        let Phase::Lingering { discarded, .. } = &mut slot.phase else {
            return;
        };
        *discarded += n;
        if peer != Peer::Open {
            self.close(id, "done");
        } else if *discarded > limit {
            self.close(id, "linger limit: the peer keeps sending");
        }
    }

    /// Decides whether a channel is due again next turn, and announces a stream that stays to the poller.
    pub(crate) fn settle(&mut self, id: ChannelId) {
        let Some(slot) = self.slot(id) else { return };
        let due = match &slot.phase {
            Phase::Fresh => true,
            Phase::Connecting(_) => slot.readiness.can_write(),
            Phase::Lingering { .. } => slot.has_input() || slot.peer != Peer::Open,
            Phase::Listening(_) => self.may_accept(id),
            Phase::Open => self.is_due(id),
        };
        if due {
            self.enqueue(id);
        }
        let watch = self.slot(id).is_some_and(|slot| {
            !slot.flags.registered
                && !matches!(slot.phase, Phase::Fresh)
                && !matches!(slot.io, Io::Absent)
        });
        if watch {
            self.watch(id);
        }
    }

    fn is_due(&mut self, id: ChannelId) -> bool {
        let Some(slot) = self.slot(id) else {
            return false;
        };
        slot.readiness.has_news()
            || slot.peer == Peer::Reset
            || (slot.peer == Peer::Finished && !slot.flags.told && !slot.flags.closing)
            || slot.can_flush()
            || (slot.flags.closing && !slot.has_outgoing())
            || slot.abandoned()
            || (slot.may_read() && self.ask(id, |d| d.readable()))
            || (self.slot(id).is_some_and(Slot::may_write) && self.ask(id, |d| d.writable()))
    }

    fn watch(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        match slot.io.register(poll, id.into()) {
            Ok(()) => slot.flags.registered = true,
            Err(error) => {
                log::error!(target: "asynchat::reactor", "channel {id} cannot be watched: {error}");
                self.call_error(id, error.into());
                self.close(id, "not watchable");
            }
        }
    }

    /// Asks a predicate; a panic in it is the channel's error, and a no.
    pub(crate) fn ask(&mut self, id: ChannelId, f: impl FnOnce(&dyn Dispatcher) -> bool) -> bool {
        let Some(object) = self.slot(id).and_then(|slot| slot.dispatcher.as_deref()) else {
            return false;
        };
        if self.policy.propagate_panics {
            return f(object);
        }
        match catch_unwind(AssertUnwindSafe(|| f(object))) {
            Ok(answer) => answer,
            Err(panic) => {
                self.fail(id, Panicked::new(&*panic).into());
                false
            }
        }
    }

    /// Runs one callback with its object taken out of the slot. False if it failed.
    pub(crate) fn call(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        let Some(mut object) = self.slot_mut(id).and_then(|slot| slot.dispatcher.take()) else {
            return true;
        };
        self.stats.callbacks += 1;
        let mut channel = Channel::new(self, id);
        let outcome = if channel.registry().policy.propagate_panics {
            Ok(f(&mut *object, &mut channel))
        } else {
            catch_unwind(AssertUnwindSafe(|| f(&mut *object, &mut channel)))
        };
        self.put_back(id, object);
        match outcome {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let failed = meaning(&*error) != Meaning::Nothing;
                self.fail(id, error);
                !failed
            }
            Err(panic) => {
                self.fail(id, Panicked::new(&*panic).into());
                false
            }
        }
    }

    /// Runs a callback and counts it if it did nothing at all. False if it failed.
    pub(crate) fn call_watched(
        &mut self,
        id: ChannelId,
        f: impl FnOnce(&mut dyn Dispatcher, &mut Channel<'_>) -> Result,
    ) -> bool {
        let before = self.effects;
        let fine = self.call(id, f);
        let idle = self.effects == before;
        let Some(slot) = self.slot_mut(id) else {
            return fine;
        };
        if !idle {
            slot.fruitless = 0;
            return fine;
        }
        slot.fruitless = slot.fruitless.saturating_add(1);
        if slot.fruitless >= SPIN_LIMIT && !slot.flags.warned {
            slot.flags.warned = true;
            let name = slot.type_name;
            log::warn!(
                target: "asynchat::reactor",
                "channel {id} ({name}) spins: {SPIN_LIMIT} callbacks in a row without any effect; \
                 have readable() or writable() answer false while there is nothing to do, or read what is there"
            );
        }
        fine
    }

    /// Decides what an error means for its channel (R8, R9).
    pub(crate) fn fail(&mut self, id: ChannelId, error: BoxError) {
        match meaning(&*error) {
            Meaning::Nothing => {}
            Meaning::Reset => match self.slot_mut(id) {
                Some(slot) if matches!(slot.io.role(), Role::Stream | Role::Fd) => {
                    slot.peer = Peer::Reset;
                }
                Some(_) => log::debug!(target: "asynchat::channel", "channel {id}: {error}"),
                None => {}
            },
            Meaning::Failure => self.fail_with(id, error),
        }
    }

    /// Hands a failure to `handle_error`, whatever kind it is.
    fn fail_with(&mut self, id: ChannelId, error: BoxError) {
        self.stats.errors += 1;
        if self.slot(id).is_none() {
            log::debug!(target: "asynchat::channel", "channel {id}: error after close: {error}");
            return;
        }
        self.call_error(id, error);
    }

    pub(crate) fn call_error(&mut self, id: ChannelId, error: BoxError) {
        let Some(mut object) = self.slot_mut(id).and_then(|slot| slot.dispatcher.take()) else {
            return;
        };
        self.stats.callbacks += 1;
        let mut channel = Channel::new(self, id);
        if channel.registry().policy.propagate_panics {
            object.handle_error(&mut channel, error);
            self.put_back(id, object);
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            object.handle_error(&mut channel, error)
        }));
        self.put_back(id, object);
        if let Err(panic) = outcome {
            log::error!(target: "asynchat::channel", "channel {id}: handle_error {}", Panicked::new(&*panic));
            self.close(id, "handle_error panicked");
        }
    }

    /// What a read answered, for readiness, statistics and the peer's state. `asked` is 0 for a datagram.
    pub(crate) fn note_read(
        &mut self,
        id: ChannelId,
        result: io::Result<usize>,
        asked: usize,
    ) -> io::Result<usize> {
        let now = self.idle_now(id);
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return result;
        };
        match &result {
            Ok(n) => {
                let n = *n;
                slot.bytes_in += n as u64;
                if let Some(now) = now {
                    slot.active_at = now;
                }
                match slot.io.role() {
                    Role::Stream | Role::Fd if n == 0 && asked > 0 => {
                        slot.readiness.read_blocked();
                        if slot.peer == Peer::Open {
                            slot.peer = Peer::Finished;
                        }
                    }
                    // Only TCP: a Unix stream stops short at passed descriptors, a pipe or a tty at will.
                    Role::Stream if matches!(slot.io, Io::TcpStream(_)) => {
                        slot.readiness.after_stream_read(n, asked);
                    }
                    _ => {}
                }
            }
            Err(error) => match (meaning_of_io(error), slot.io.role()) {
                (Meaning::Nothing, role) => {
                    slot.readiness.read_blocked();
                    if role == Role::Fd {
                        slot.io.rearm(poll, id.into());
                    }
                }
                (Meaning::Reset, Role::Stream | Role::Fd) => {
                    slot.readiness.read_blocked();
                    slot.peer = Peer::Reset;
                }
                _ => {}
            },
        }
        if let Ok(n) = &result {
            self.effects += 1;
            self.stats.bytes_in += *n as u64;
        }
        result
    }

    pub(crate) fn note_write(
        &mut self,
        id: ChannelId,
        result: io::Result<usize>,
    ) -> io::Result<usize> {
        let now = self.idle_now(id);
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return result;
        };
        match &result {
            Ok(n) => {
                slot.bytes_out += *n as u64;
                if let Some(now) = now {
                    slot.active_at = now;
                }
            }
            Err(error) => match (meaning_of_io(error), slot.io.role()) {
                (Meaning::Nothing, role) => {
                    slot.readiness.write_blocked();
                    if role == Role::Fd {
                        slot.io.rearm(poll, id.into());
                    }
                }
                (Meaning::Reset, Role::Stream | Role::Fd) if slot.sending != Sending::Shut => {
                    slot.readiness.read_again();
                    slot.peer = Peer::Reset;
                }
                _ => {}
            },
        }
        if let Ok(n) = &result {
            self.effects += 1;
            self.stats.bytes_out += *n as u64;
        }
        result
    }

    fn idle_now(&self, id: ChannelId) -> Option<std::time::Instant> {
        self.slot(id)?.idle.map(|_| self.now())
    }
}

type Caught<T> = std::thread::Result<T>;

/// Flushes, catching the panic of a producer: the only code of the user's that runs here.
fn flush_queue(
    queue: &mut Outgoing,
    budget: usize,
    slot: &mut Slot,
    spare: &mut crate::outgoing::Spare,
) -> Caught<(usize, Flushed)> {
    let Slot { io, readiness, .. } = slot;
    let role = io.role();
    let write = |slices: &[io::IoSlice<'_>]| {
        if !readiness.can_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = match slices {
            [one] => io.write(one),
            many => io.write_vectored(many),
        };
        match &result {
            Ok(n) if role == Role::Stream => {
                readiness.after_stream_write(*n, slices.iter().map(|s| s.len()).sum());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readiness.write_blocked(),
            _ => {}
        }
        result
    };
    if queue.has_producer() {
        catch_unwind(AssertUnwindSafe(|| queue.flush(budget, spare, write)))
    } else {
        Ok(queue.flush(budget, spare, write))
    }
}
