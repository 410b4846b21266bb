//! The object behind each of two coupled channels.

use std::{
    cell::{RefCell, RefMut},
    io::{self, Write},
    rc::Rc,
};

use crate::{
    closed::{Cause, Closed},
    couple::pair::{Index, Pair, Side},
    error::{BoxError, Meaning, Panicked, Result, meaning_of_call},
    handle::Handle,
    id::ChannelId,
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, defaults},
        registry::Registry,
        slot::Slot,
    },
};

pub(super) struct Half {
    pair: Rc<RefCell<Pair>>,
    side: Index,
    other: ChannelId,
    /// For `Drop`, which has no registry.
    handle: Handle,
}

impl Half {
    pub(super) fn new(pair: &Rc<RefCell<Pair>>, side: Index, handle: Handle) -> Self {
        Self {
            pair: Rc::clone(pair),
            side,
            other: pair.borrow().sides[1 - side].id,
            handle,
        }
    }

    fn own(&self) -> RefMut<'_, Side> {
        RefMut::map(self.pair.borrow_mut(), |pair| &mut pair.sides[self.side])
    }

    fn others(&self) -> RefMut<'_, Side> {
        RefMut::map(self.pair.borrow_mut(), |pair| {
            &mut pair.sides[1 - self.side]
        })
    }

    /// Takes over a channel on which something may have happened already. True if its stream was cut, and the earlier object
    /// has had the `handle_close`: there is no end to pass on.
    pub(super) fn take_over(self, channel: &mut Channel<'_>) -> bool {
        let other = channel.registry().channel(self.other);
        self.own().held = other.is_some_and(|other| other.is_congested());
        let had_ended = channel
            .slot()
            .is_ok_and(|slot| slot.flags.is_finished() && slot.flags.is_close_reported());
        let was_cut = had_ended && channel.is_truncated();
        if had_ended {
            // No callback will come for either: what was given back, and the end.
            let _ = self.pass_on(channel);
            if !was_cut {
                self.pass_end_on(channel);
            }
        }
        // Else `handle_connect` does it.
        if channel.slot().is_ok_and(Slot::is_open) {
            self.limit_idleness(channel);
        }
        channel.replace(self);
        was_cut
    }

    fn limit_idleness(&self, channel: &mut Channel<'_>) {
        let after = self.pair.borrow().idle_timeout;
        channel.set_idle_timeout(after);
    }

    fn pass_on(&self, channel: &mut Channel<'_>) -> io::Result<()> {
        let other = self.other;
        let (passed, held) = channel.recv_with(|channel, data| {
            let other = channel.registry().channel(other);
            other.map_or((0, false), |mut other| pass(&mut other, data))
        })?;
        let mut own = self.own();
        own.passed += passed as u64;
        own.held = held;
        Ok(())
    }

    /// The second end of file of a pair ends it.
    fn pass_end_on(&self, channel: &mut Channel<'_>) {
        self.own().ended = true;
        let is_last = self.others().ended;
        if let Some(mut other) = channel.registry().channel(self.other) {
            if !is_last {
                return other.shutdown_write();
            }
            other.close_when_done();
        }
        channel.close_when_done();
    }
}

/// Past the queue as far as the socket takes it, which saves a copy. Gives the number of bytes, and whether there shall be
/// no more for now.
fn pass(to: &mut Channel<'_>, data: &[u8]) -> (usize, bool) {
    if data.is_empty() || !to.slot().is_ok_and(Slot::takes_output) {
        return (0, to.is_congested());
    }
    let sent = match to.send(data) {
        Ok(sent) => sent,
        // The failure is that of `to`, as in a flush (R9).
        Err(error) if meaning_of_call(&error) == Meaning::Failure => {
            let id = to.id();
            to.registry().fail(id, error.into());
            return (0, false);
        }
        // The socket is full, or broken, which `to` learns by itself.
        Err(_) => 0,
    };
    // Into the queue, which never fails.
    let _ = to.write_all(&data[sent..]);
    (data.len(), to.is_congested())
}

impl Dispatcher for Half {
    fn readable(&self) -> bool {
        !self.own().held
    }

    /// All that does not leave at once goes through the queue.
    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        self.limit_idleness(channel);
        Ok(())
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.limit_idleness(channel);
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.others().gone {
            channel.close_when_done();
            return Ok(());
        }
        Ok(self.pass_on(channel)?)
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.others().held = false;
        if let Some(mut other) = channel.registry().channel(self.other) {
            other.touch();
        }
        Ok(())
    }

    /// A reset is for `handle_closed`, and so is a stream that was cut.
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        if channel.is_truncated() {
            channel.close();
        } else if !channel.is_reset() {
            self.pass_end_on(channel);
        }
        Ok(())
    }

    /// A peer can break the filter of its side as often as it likes, and `on_end` gets the error. A panic is a mistake in the
    /// program.
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        match error.is::<Panicked>() {
            true => defaults::error(channel, error),
            false => defaults::quiet_error(channel, error),
        }
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let broken = matches!(
            why.cause,
            Cause::Reset | Cause::Truncated | Cause::Error | Cause::Panic | Cause::OutgoingFull
        );
        let whole = self.own().ended && self.others().ended;
        self.pair.borrow_mut().note_closed(self.side, why);
        let other = registry.channel(self.other);
        if let Some(mut other) = other.filter(|_| !self.others().gone) {
            // What is queued is all there will be of something; unless both had come to their ends.
            if broken && !whole {
                other.reset();
            } else {
                other.close_when_done();
            }
        }
        let end = self.pair.borrow_mut().end();
        if let Some((on_end, coupled)) = end {
            on_end(registry, coupled);
        }
    }
}

/// Without a `handle_closed` before it: detached or replaced. The other has nobody to pass on to.
impl Drop for Half {
    fn drop(&mut self) {
        let was_gone = std::mem::replace(&mut self.own().gone, true);
        if was_gone || self.others().gone {
            return;
        }
        let other = self.other;
        // Fails only when the reactor is gone, and the other with it.
        let _ = self.handle.call_soon(move |registry| {
            // It may be of another pair by now, or closed.
            let _ = registry.with(other, |half: &mut Self, channel| {
                if half.others().gone {
                    channel.close_when_done();
                }
            });
            Ok(())
        });
    }
}
