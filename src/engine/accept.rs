//! Accepting (R19): a budget per visit, errors by class, rest when descriptors or memory run out.

use std::{io, mem, sync::atomic::AtomicBool, time::Duration};

use crate::{
    address::Address,
    closed::Cause,
    error::closed,
    id::ChannelId,
    net::{
        errno::{is_transient, out_of_resources},
        io::Io,
        stream::Stream,
    },
    state::{
        dispatcher::Dispatcher,
        phase::{Accepting, Pause, Phase},
        registry::{Registry, Task},
    },
};

const FIRST_REST: Duration = Duration::from_millis(50);
/// This number of connections may break in a row while they wait; more is an error that stays.
const MOST_TRANSIENT: u32 = 64;
const LONGEST_REST: Duration = Duration::from_secs(1);

impl Registry {
    /// Calls `handle_accept` until nothing waits, the budget is used up, or the listener may not go on.
    pub(crate) fn accept_ready(&mut self, id: ChannelId) {
        // `handle_accept` may accept in a loop of its own.
        self.accept_until = self.stats.accepted + self.policy.accept_budget as u64;
        while self.stats.accepted < self.accept_until && self.may_accept(id) {
            let before = self.stats.accepted;
            self.adopted = None;
            let failed = !self.call_watched(id, Dispatcher::handle_accept);
            // The error of one stream is that stream's end, also when it was registered already (R9).
            if failed
                && let Some((serial, stream)) = self.adopted.take()
                && serial == self.serial
            {
                self.close(stream, Cause::AcceptFailed);
            }
            if self.stats.accepted == before {
                return;
            }
        }
    }

    /// Whether the listener has something to accept and may.
    pub(crate) fn may_accept(&mut self, id: ChannelId) -> bool {
        self.slot(id).is_some_and(|slot| {
            slot.readiness.can_read()
                && matches!(&slot.phase, Phase::Listening(accepting) if matches!(accepting.pause, Pause::No))
        }) && self.ask(id, Dispatcher::readable)
    }

    pub(crate) fn accept(&mut self, id: ChannelId) -> io::Result<(Stream, Address)> {
        self.pause_if_full(id);
        let used_up = self.visiting == id && self.stats.accepted >= self.accept_until;
        for _ in 0..self.policy.accept_budget {
            let slot = self.slot_mut(id).ok_or_else(|| closed(id))?;
            let Phase::Listening(accepting) = &mut slot.phase else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a listener",
                ));
            };
            if !matches!(accepting.pause, Pause::No) || !slot.readiness.can_read() || used_up {
                break;
            }
            match slot.io.accept() {
                Ok((io, peer)) => {
                    accepting.transient = 0;
                    #[cfg(not(any(target_os = "linux", target_os = "android")))]
                    if accepting.nodelay
                        && let Io::TcpStream(stream) = &io
                        && let Err(error) = stream.set_nodelay(true)
                    {
                        log::debug!(target: "asynchat::accept", "channel {id}: TCP_NODELAY for {peer}: {error}");
                    }
                    return Ok((self.number(io, &peer), peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    accepting.transient = 0;
                    slot.readiness.read_blocked();
                    // No spin: another event has to come.
                    self.progress += 1;
                    self.end_episode(id);
                    break;
                }
                Err(error) if is_transient(&error) && accepting.transient < MOST_TRANSIENT => {
                    accepting.transient += 1;
                    log::debug!(target: "asynchat::accept", "channel {id}: a waiting connection is gone: {error}");
                }
                Err(error) if is_transient(&error) || out_of_resources(&error) => {
                    self.rest(id, &error);
                    break;
                }
                // An unknown error: the waiting connection is tried again later, because no event need follow.
                Err(error) => {
                    self.rest(id, &error);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn number(&mut self, io: Io, peer: &Address) -> Stream {
        self.serial += 1;
        self.stats.accepted += 1;
        self.progress += 1;
        Stream {
            io,
            peer: peer.inet(),
            serial: self.serial,
            lent: AtomicBool::new(false),
        }
    }

    /// Out of descriptors or memory, or not allowed to accept: the waiting connections stay in the backlog, the listener
    /// tries again later, or at once when a channel closes.
    fn rest(&mut self, id: ChannelId, error: &io::Error) {
        let Some(accepting) = self.accepting(id) else {
            return;
        };
        let rests = accepting.rests;
        let pause = FIRST_REST
            .saturating_mul(1 << rests.min(8))
            .min(LONGEST_REST);
        if rests == 0 {
            self.stats.accept_pauses += 1;
            let advice = if out_of_resources(error) {
                "; close channels, raise the descriptor limit, or set Builder::max_channels below it"
            } else {
                ""
            };
            log::warn!(target: "asynchat::accept", "channel {id}: not accepting for a while: {error}{advice}");
        }
        let deadline = self.after(pause);
        let timer = self.timers.insert(deadline, Task::Rest(id));
        if let Some(accepting) = self.accepting(id) {
            accepting.pause = Pause::Resting(timer);
            accepting.rests = rests.saturating_add(1);
        }
        self.pause(id);
    }

    /// Without this the calls in which a listener learns that it has to wait would pass for a spin.
    fn pause(&mut self, id: ChannelId) {
        self.paused.push(id);
        self.progress += 1;
    }

    /// Nothing waits any more: the next shortage or flood is a new episode, with log lines of its own.
    fn end_episode(&mut self, id: ChannelId) {
        if let Some(accepting) = self.accepting(id)
            && (accepting.rests > 0 || accepting.full_pauses > 0)
        {
            let pauses = accepting.rests.saturating_add(accepting.full_pauses);
            (accepting.rests, accepting.full_pauses) = (0, 0);
            log::info!(target: "asynchat::accept", "channel {id}: accepting again, after {pauses} pauses");
        }
    }

    /// The rest of a listener is over.
    pub(crate) fn end_rest(&mut self, id: ChannelId) {
        self.paused.retain(|&paused| paused != id);
        self.resume(id);
    }

    /// A channel is gone: there may be a descriptor, memory or a place for another.
    pub(crate) fn resume_listeners(&mut self) {
        let max = self.policy.max_channels;
        let mut at = 0;
        while let Some(&id) = self.paused.get(at) {
            let full = matches!(
                self.accepting(id),
                Some(Accepting {
                    pause: Pause::Full,
                    ..
                })
            );
            if full && self.connections() > max - (max / 16).max(1) {
                at += 1;
                continue;
            }
            self.paused.swap_remove(at);
            self.resume(id);
        }
    }

    fn resume(&mut self, id: ChannelId) {
        if let Some(accepting) = self.accepting(id)
            && let Pause::Resting(timer) = mem::take(&mut accepting.pause)
        {
            self.cancel_timer(timer);
        }
        self.enqueue(id);
    }

    fn pause_if_full(&mut self, id: ChannelId) {
        let max = self.policy.max_channels;
        if self.connections() < max {
            return;
        }
        if let Some(accepting) = self.accepting(id)
            && matches!(accepting.pause, Pause::No)
        {
            accepting.pause = Pause::Full;
            accepting.full_pauses = accepting.full_pauses.saturating_add(1);
            if accepting.full_pauses == 1 {
                log::warn!(
                    target: "asynchat::accept",
                    "channel {id}: not accepting, {max} channels are open (Builder::max_channels)"
                );
            }
            self.stats.accept_pauses += 1;
            self.pause(id);
        }
    }

    fn accepting(&mut self, id: ChannelId) -> Option<&mut Accepting> {
        match &mut self.slot_mut(id)?.phase {
            Phase::Listening(accepting) => Some(accepting),
            _ => None,
        }
    }
}
