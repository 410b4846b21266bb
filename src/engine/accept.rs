//! Accepting (R19): a budget per visit, errors by class, rest when descriptors or memory run out.

use std::{fmt, io, mem, sync::atomic::AtomicBool, time::Duration};

use bytes::Bytes;

use crate::{
    address::Address,
    closed::Cause,
    error::closed,
    id::ChannelId,
    net::{
        errno::{is_transient, out_of_resources},
        io::Io,
        peers::{Full, Place},
        stream::Stream,
    },
    proxy_header::ProxyHeaderError,
    state::{
        dispatcher::Dispatcher,
        phase::{Accepting, Arrived, Pause, Phase, Refusals},
        registry::{Registry, Task},
    },
    time::timer::TimerId,
};

const FIRST_REST: Duration = Duration::from_millis(50);
/// This number of connections may break in a row while they wait; more is an error that stays.
const MOST_TRANSIENT: u32 = 64;
/// An episode of refused connections is over if none has come for this long, or twice as long at most.
const QUIET: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Why a listener does not have a connection.
pub(crate) enum Refusal {
    TooMany(usize),
    Untrusted,
    NoHeader(ProxyHeaderError),
    LateHeader(Duration),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(limit) => write!(
                f,
                "{limit} connections from its address are open (ListenOptions::max_per_peer)"
            ),
            Self::Untrusted => f.write_str("not an address of ListenOptions::proxy_protocol"),
            Self::NoHeader(error) => error.fmt(f),
            Self::LateHeader(patience) => {
                write!(f, "no header of the PROXY protocol within {patience:?}")
            }
        }
    }
}

impl Accepting {
    pub(crate) fn admit(&self, peer: &Address) -> Result<Option<Box<Place>>, Refusal> {
        match &self.peers {
            Some(peers) => peers
                .admit(peer)
                .map_err(|Full| Refusal::TooMany(peers.limit)),
            None => Ok(None),
        }
    }
}

impl Registry {
    /// Calls `handle_accept` until nothing waits, the budget is used up, or the listener may not go on.
    pub(crate) fn accept_ready(&mut self, id: ChannelId) {
        // `handle_accept` may accept in a loop of its own.
        let budget = self.policy.accept_budget as u64;
        self.accept_until = self.stats.accepted.saturating_add(budget);
        while self.stats.accepted < self.accept_until && self.may_accept(id) {
            let before = self.stats.accepted;
            self.adopted = None;
            let Some(object) = self.take_object(id) else {
                break;
            };
            let lent = self.lend(id, object, |_| true, Dispatcher::handle_accept);
            let progress = lent.progress;
            // Before `handle_error`, which may take the stream out and register it for good.
            let adopted = self
                .adopted
                .take()
                .filter(|(serial, _)| *serial == self.serial);
            let failed = !self.take_back(id, lent);
            self.watch_for_spin(id, progress);
            // The error of one stream is that stream's end, also when it was registered already (R9).
            if failed && let Some((_, stream)) = adopted {
                self.close(stream, Cause::AcceptFailed);
            }
            if self.stats.accepted == before {
                break;
            }
        }
        // Of a connection whose header is read no channel may come, whose end would have the listeners go on.
        self.resume_paused(false);
    }

    /// Whether the listener has something to accept and may.
    pub(crate) fn may_accept(&mut self, id: ChannelId) -> bool {
        self.slot(id).is_some_and(|slot| {
            let Phase::Listening(accepting) = &slot.phase else {
                return false;
            };
            !slot.flags.is_paused()
                && (!accepting.arrived.is_empty()
                    || (slot.readiness.can_read() && matches!(accepting.pause, Pause::No)))
        }) && self.ask(id, Dispatcher::readable)
    }

    pub(crate) fn accept(&mut self, id: ChannelId) -> io::Result<(Stream, Address)> {
        if !self.has_used_budget(id)
            && self.slot(id).is_some_and(|slot| !slot.flags.is_paused())
            && let Some(accepting) = self.accepting(id)
            && let Some(arrived) = accepting.arrived.pop_front()
        {
            // It had its place among the channels already.
            let peer = arrived.peer.clone();
            return Ok((self.number(arrived), peer));
        }
        self.pause_if_full(id);
        for _ in 0..self.policy.accept_budget {
            let used_up = self.has_used_budget(id);
            let slot = self.slot_mut(id).ok_or_else(|| closed(id))?;
            let Phase::Listening(accepting) = &mut slot.phase else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a listener",
                ));
            };
            let may = matches!(accepting.pause, Pause::No)
                && !slot.flags.is_paused()
                && slot.readiness.can_read();
            if !may || used_up {
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
                    if accepting.proxies.is_some() {
                        self.begin_or_refuse_header(id, io, &peer);
                        continue;
                    }
                    match accepting.admit(&peer) {
                        Ok(place) => {
                            let unread = Bytes::new();
                            let arrived = Arrived {
                                io,
                                peer: peer.clone(),
                                place,
                                unread,
                            };
                            return Ok((self.number(arrived), peer));
                        }
                        Err(refusal) => {
                            drop(io);
                            self.note_refusal(id, &peer, &refusal);
                        }
                    }
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

    fn has_used_budget(&self, id: ChannelId) -> bool {
        self.visiting == id && self.stats.accepted >= self.accept_until
    }

    fn begin_or_refuse_header(&mut self, id: ChannelId, io: Io, peer: &Address) {
        if self
            .accepting(id)
            .is_some_and(|accepting| accepting.trusts(peer))
        {
            self.use_budget(id);
            self.begin_header(id, io, peer);
            // It is a channel already.
            self.pause_if_full(id);
        } else {
            drop(io);
            self.note_refusal(id, peer, &Refusal::Untrusted);
        }
    }

    /// It costs as much as one that is accepted.
    fn use_budget(&mut self, id: ChannelId) {
        if self.visiting == id {
            self.accept_until = self.accept_until.saturating_sub(1);
        }
    }

    /// A connection that this listener does not have is closed.
    pub(crate) fn note_refusal(&mut self, id: ChannelId, peer: &Address, why: &Refusal) {
        self.stats.refused += 1;
        self.progress += 1;
        self.use_budget(id);
        let Some(accepting) = self.accepting(id) else {
            return;
        };
        accepting.refusals.count += 1;
        if accepting.refusals.timer.is_none() {
            log::warn!(target: "asynchat::accept", "channel {id}: refusing {peer}: {why}");
            self.arm_refusals(id);
        }
    }

    fn arm_refusals(&mut self, id: ChannelId) {
        let deadline = self.after(QUIET);
        let timer = self.timers.insert(deadline, Task::Refusals(id));
        if let Some(accepting) = self.accepting(id) {
            accepting.refusals.timer = Some(timer);
            accepting.refusals.counted = accepting.refusals.count;
        }
    }

    pub(crate) fn look_at_refusals(&mut self, id: ChannelId) {
        let Some(accepting) = self.accepting(id) else {
            return;
        };
        if accepting.refusals.count > accepting.refusals.counted {
            return self.arm_refusals(id);
        }
        let refusals = mem::take(&mut accepting.refusals);
        end_of_refusals(id, &refusals);
    }

    fn number(&mut self, arrived: Arrived) -> Stream {
        self.serial += 1;
        self.stats.accepted += 1;
        self.progress += 1;
        Stream {
            io: arrived.io,
            peer: arrived.peer.inet(),
            serial: self.serial,
            place: arrived.place,
            unread: arrived.unread,
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
        self.resume_paused(true);
    }

    /// Has listeners go on that wait for a place, if there are some, and perhaps those that rest.
    fn resume_paused(&mut self, resting: bool) {
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
            let stays = match full {
                true => self.connections() > max - (max / 16).max(1),
                false => !resting,
            };
            if stays {
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

    pub(crate) fn accepting(&mut self, id: ChannelId) -> Option<&mut Accepting> {
        match &mut self.slot_mut(id)?.phase {
            Phase::Listening(accepting) => Some(accepting),
            _ => None,
        }
    }
}

/// The last line of an episode, if one is on. Its timer is still to be cancelled.
pub(crate) fn end_of_refusals(id: ChannelId, refusals: &Refusals) -> Option<TimerId> {
    if refusals.count > 0 {
        let count = refusals.count;
        log::info!(target: "asynchat::accept", "channel {id}: refused {count} connections");
    }
    refusals.timer
}
