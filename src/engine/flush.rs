//! Sending what is queued, and what a queue's new length calls for (R12, R14).

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    error::{Meaning, OutgoingFull, Panicked, meaning_of_io},
    id::ChannelId,
    net::{
        io::{Io, Role},
        readiness::Readiness,
    },
    outgoing::{Flushed, Outgoing, Sink, Spare},
    state::{dispatcher::Dispatcher, phase::Phase, registry::Registry, slot::Slot, table::find},
};

impl Registry {
    /// Flushes the outgoing queue and does what its new state calls for.
    pub(crate) fn advance_outgoing(&mut self, id: ChannelId) {
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        if slot.flags.take_push_refused() {
            let limit = slot.limits(&self.policy).max;
            let error = OutgoingFull {
                channel: id,
                queued: self.outgoing_len(id),
                limit,
            };
            self.fail_with(id, error.into());
        }
        if self.slot(id).is_some_and(Slot::can_flush) {
            self.flush(id);
            self.report_close(id);
        }
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        if slot.has_drained(&slot.limits(&self.policy)) {
            slot.flags.drain();
            if !slot.flags.is_closing() {
                self.call(id, Dispatcher::handle_drain);
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

    /// Sends what a callback pushed in small pieces to a stream, if nothing else is queued. True if that was all of
    /// it: the usual answer, without the detours of `flush`.
    #[inline(never)]
    pub(crate) fn flush_at_once(&mut self, id: ChannelId, failure: &mut Option<io::Error>) -> bool {
        let Some(slot) = find(&mut self.slots, id) else {
            return false;
        };
        if !slot.readiness.can_write() || slot.io.role() != Role::Stream {
            return false;
        }
        let Some(mut queue) = slot.take_copies() else {
            return false;
        };
        match slot.io.write(queue.copies()) {
            Ok(n) => {
                slot.note_sent(n, &self.clock, &mut self.stats);
                if n == queue.len() {
                    queue.empty_copies();
                    self.pool.give_queue(queue);
                    return true;
                }
                slot.readiness.after_stream_write(n, queue.len());
                queue.advance(n, &mut self.pool.tails);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => slot.readiness.write_blocked(),
                _ => *failure = Some(error),
            },
        }
        self.return_queue(id, queue);
        false
    }

    fn flush(&mut self, id: ChannelId) {
        let budget = self.policy.write_budget;
        let Some(mut queue) = self.take_queue(id) else {
            return;
        };
        let mut written = 0;
        let flushed = loop {
            let Some(slot) = find(&mut self.slots, id) else {
                return;
            };
            match flush_queue(&mut queue, budget, slot, &mut self.pool.tails, &mut written) {
                Ok(outcome) => break outcome,
                Err(panic) if self.policy.propagate_panics => {
                    self.return_queue(id, queue);
                    std::panic::resume_unwind(panic);
                }
                // What stands before the producer is sent first.
                Err(panic) => {
                    let producer = queue.fail_producer(Panicked::new(panic).into());
                    self.discard(producer);
                }
            }
        };
        self.return_queue(id, queue);
        if written > 0
            && let Some(slot) = find(&mut self.slots, id)
        {
            slot.note_sent(written, &self.clock, &mut self.stats);
            self.progress += 1;
        }
        if matches!(flushed, Flushed::Blocked)
            && let Some((slot, poll)) = self.slot_and_poll(id)
            && slot.io.role() == Role::Fd
        {
            slot.io.rearm(poll, id.into());
        }
        match flushed {
            Flushed::Empty | Flushed::Blocked | Flushed::Parked | Flushed::Paused => {}
            Flushed::ProducerFailed(error) => self.fail_with(id, error),
            Flushed::Failed(error) => self.sending_failed(id, error),
        }
    }

    /// Whatever the reason, the stream has a hole now: nothing more can be sent.
    #[cold]
    pub(crate) fn sending_failed(&mut self, id: ChannelId, error: io::Error) {
        if meaning_of_io(&error) == Meaning::Reset
            && let Some(slot) = self.slot_mut(id)
        {
            slot.broken_while_sending();
        }
        if let Some(queue) = self.take_queue(id) {
            self.discard_queue(queue);
        }
        self.fail(id, error.into());
    }
}

type Caught<T> = std::thread::Result<T>;

/// The socket of a channel, with the rules for what its answers mean (R1).
struct Wire<'a> {
    io: &'a Io,
    role: Role,
    readiness: &'a mut Readiness,
    written: &'a mut usize,
}

impl Wire<'_> {
    fn check(&self) -> io::Result<()> {
        if self.readiness.can_write() {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn note_error(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.readiness.write_blocked();
        }
    }
}

impl Sink for Wire<'_> {
    fn write(&mut self, slices: &[io::IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.check()?;
        let result = match slices {
            _ if more => self.io.write_before_file(slices),
            [one] => self.io.write(one),
            many => self.io.write_vectored(many),
        };
        match &result {
            Ok(n) => {
                *self.written += n;
                if self.role == Role::Stream {
                    let offered = slices.iter().map(|slice| slice.len()).sum();
                    self.readiness.after_stream_write(*n, offered);
                }
            }
            Err(error) => self.note_error(error),
        }
        result
    }

    /// Unlike a write it may stop short although the socket would take more (the end of the file, a signal), and
    /// only a full socket brings an event: `WouldBlock` alone proves that it is full.
    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.check()?;
        let result = self.io.send_file(file, offset, len);
        match &result {
            Ok(n) => *self.written += n,
            Err(error) => self.note_error(error),
        }
        result
    }
}

/// Flushes, catching the panic of a producer: the only code of the user's that runs here.
fn flush_queue(
    queue: &mut Outgoing,
    budget: usize,
    slot: &mut Slot,
    spare: &mut Spare,
    written: &mut usize,
) -> Caught<Flushed> {
    let mut wire = Wire {
        role: slot.io.role(),
        io: &slot.io,
        readiness: &mut slot.readiness,
        written,
    };
    if queue.has_producer() {
        catch_unwind(AssertUnwindSafe(|| queue.flush(budget, spare, &mut wire).1))
    } else {
        Ok(queue.flush(budget, spare, &mut wire).1)
    }
}
