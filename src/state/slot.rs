//! What the registry keeps for one channel: the socket, its readiness, the user's object, the outgoing queue.

mod filter;
pub(crate) mod queue;
mod unread;

use std::{
    cell::Cell,
    collections::{BTreeSet, VecDeque},
    fmt, io, mem,
};

use crate::{
    address::Address,
    closed::Cause,
    error::BoxError,
    id::ChannelId,
    net::{
        io::{Io, Role},
        peers::Place,
        readiness::Readiness,
    },
    outgoing::{CALL_COST, Outgoing},
    state::{
        dispatcher::Dispatcher,
        filtered::Filtered,
        flags::{Flags, Peer},
        phase::{PeerName, Phase},
        policy::{Limits, Policy},
        registry::SentHook,
        unread::Unread,
        with_id::made,
    },
    stats::State,
    time::{clock::Stamp, timer::TimerId},
};

/// The number of hooks that a channel keeps room for.
const SPARE_HOOKS: usize = 64;

/// Sorted by how often it is looked at: an event takes the first 32 bytes, a fast visit the first 96. The alignment puts
/// these into one and two cache lines. It is for the size that a slot has in a release on 64-bit Linux, 5 times 32.
#[repr(C)]
#[cfg_attr(
    all(
        target_os = "linux",
        target_pointer_width = "64",
        not(debug_assertions)
    ),
    repr(align(32))
)]
pub(crate) struct Slot {
    /// Its own, so that a look-up compares one word.
    pub(crate) id: ChannelId,
    pub(crate) flags: Flags,
    pub(crate) readiness: Readiness,
    /// Whether duplicates of the descriptor may be about, which keep a registration alive.
    pub(crate) lent: Cell<bool>,
    /// Callbacks in a row that did nothing (R3b).
    pub(crate) idle_calls: u16,
    /// What its flushes of this turn have cost, in units of [`CALL_COST`].
    pub(crate) spent: u16,
    pub(crate) phase: Phase,
    /// Absent while one of its callbacks runs.
    pub(crate) dispatcher: Option<Box<dyn Dispatcher>>,
    pub(crate) io: Io,
    /// Private, so that the ways in `slot/queue.rs` are the only ones.
    outgoing: Option<Box<Outgoing>>,
    /// Never empty.
    pub(crate) unread: Option<Box<Unread>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// The idle timeout; while lingering its limit.
    pub(crate) timer: Option<TimerId>,
    /// For the idle timeout, while one runs.
    pub(crate) active_at: Stamp,
    /// Absent until something of it is set.
    extras: Option<Box<Extras>>,
    pub(crate) created: Stamp,
    pub(crate) type_name: &'static str,
    pub(crate) peer: PeerName,
}

/// Fields that few channels need.
#[derive(Default)]
pub(crate) struct Extras {
    /// Those of its own, if it has any.
    limits: Option<Limits>,
    /// Why `close_when_done` was called, if the flags do not say it.
    ending: Option<Cause>,
    /// The error behind it, if that was kept.
    ending_error: Option<BoxError>,
    /// Bytes of a queue that had to be dropped.
    pub(crate) dropped: u64,
    /// The calls that end with its object. Ordered, so that closures are dropped in the order in which they were armed.
    calls: BTreeSet<TimerId>,
    /// Held for as long as the channel is open.
    place: Option<Box<Place>>,
    /// Those of the parts that are queued, in order.
    hooks: VecDeque<SentHook>,
    /// The end of a pause of reading; none for one that ends with the turn.
    pub(crate) pause: Option<TimerId>,
    /// The spin warning was given.
    warned: bool,
}

impl Slot {
    pub(crate) fn new(io: Io, dispatcher: Box<dyn Dispatcher>, phase: Phase, now: Stamp) -> Self {
        let type_name = (*dispatcher).type_name();
        Self {
            id: ChannelId::new(0, 0),
            flags: Flags::default(),
            io,
            dispatcher: Some(dispatcher),
            outgoing: None,
            unread: None,
            readiness: Readiness::default(),
            lent: Cell::new(false),
            idle_calls: 0,
            spent: 0,
            active_at: now,
            timer: None,
            bytes_in: 0,
            bytes_out: 0,
            phase,
            extras: None,
            created: now,
            type_name,
            peer: PeerName::Unknown,
        }
    }

    /// If the object waited for the channel's id.
    pub(crate) fn make_object(&mut self) {
        if let Some(object) = &mut self.dispatcher
            && made(object, self.id)
        {
            self.type_name = (**object).type_name();
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Resolving(_) => State::Resolving,
            Phase::Connecting(_) => State::Connecting,
            Phase::Listening(_) => State::Listening,
            Phase::Lingering { .. } | Phase::LingeringSealed { .. } => State::Closing,
            Phase::Greeting | Phase::Open | Phase::Filtered(_) if self.flags.is_closing() => {
                State::Closing
            }
            Phase::Filtered(ref filtered) if !filtered.greeted => State::Connecting,
            Phase::Greeting | Phase::Open | Phase::Filtered(_) => State::Open,
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        self.peer
            .get()
            .map_or_else(|| self.io.peer_addr(), |addr| Ok(addr.into()))
    }

    /// Whether a push is queued, not dropped.
    pub(crate) fn takes_output(&self) -> bool {
        !self.flags.is_output_ended() && matches!(self.io.role(), Role::Stream | Role::Fd)
    }

    /// Whether nothing but a read, a write or a flush can be due: no news, nothing ending.
    #[inline]
    pub(crate) fn only_io_due(&self) -> bool {
        self.flags.only_io_due()
            && match &self.phase {
                Phase::Open => true,
                Phase::Filtered(filtered) => filtered.only_io_due(),
                _ => false,
            }
            && self.unread.is_none()
            && self.readiness.only_io()
    }

    /// Whether nothing is due but a write.
    pub(crate) fn is_write_alone_due(&self) -> bool {
        self.only_io_due() && !self.readiness.can_read() && !self.holds_queue()
    }

    /// Changes whenever input is used up.
    pub(crate) fn input_state(&self) -> (u64, usize) {
        let fed = self.filtered().map_or(0, |filtered| filtered.layer.fed());
        (
            self.bytes_in.wrapping_add(fed),
            self.unread
                .as_ref()
                .map_or(0, |unread| unread.bytes().len()),
        )
    }

    pub(crate) fn limits(&self, policy: &Policy) -> Limits {
        self.extras
            .as_ref()
            .and_then(|extras| extras.limits)
            .unwrap_or(policy.limits)
    }

    /// The limits of this channel alone, to be changed.
    pub(crate) fn own_limits(&mut self, policy: &Policy) -> &mut Limits {
        self.extras_mut().limits.get_or_insert(policy.limits)
    }

    /// True once: the warning about a spinning handler is given.
    pub(crate) fn warn(&mut self) -> bool {
        !mem::replace(&mut self.extras_mut().warned, true)
    }

    pub(crate) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// What `close_when_done` was called for, if it was.
    pub(crate) fn ending(&self) -> Option<Cause> {
        let plain = if self.flags.is_ended_by_peer() {
            Cause::EndOfFile
        } else {
            Cause::Done
        };
        let noted = self.extras.as_ref().and_then(|extras| extras.ending);
        self.flags.is_closing().then(|| noted.unwrap_or(plain))
    }

    /// Without an allocation for the usual causes.
    pub(crate) fn note_ending(&mut self, cause: Cause) {
        match cause {
            Cause::Done => {}
            Cause::EndOfFile => self.flags.note_ended_by_peer(),
            other => self.extras_mut().ending = Some(other),
        }
    }

    pub(crate) fn note_ending_error(&mut self, error: Option<BoxError>) {
        if error.is_some() {
            self.extras_mut().ending_error = error;
        }
    }

    pub(crate) fn take_ending_error(&mut self) -> Option<BoxError> {
        self.extras.as_mut()?.ending_error.take()
    }

    /// Bytes that were queued and dropped because they could not be sent any more.
    pub(crate) fn dropped(&self) -> u64 {
        self.extras.as_ref().map_or(0, |extras| extras.dropped)
    }

    pub(crate) fn is_lingering(&self) -> bool {
        matches!(
            self.phase,
            Phase::Lingering { .. } | Phase::LingeringSealed { .. }
        )
    }

    pub(crate) fn add_call(&mut self, timer: TimerId) {
        self.extras_mut().calls.insert(timer);
    }

    pub(crate) fn forget_call(&mut self, timer: TimerId) {
        if let Some(extras) = &mut self.extras
            && extras.calls.remove(&timer)
            && extras.calls.is_empty()
        {
            // An emptied set keeps a node.
            extras.calls = BTreeSet::new();
        }
    }

    pub(crate) fn take_calls(&mut self) -> BTreeSet<TimerId> {
        self.extras
            .as_mut()
            .map_or_else(BTreeSet::new, |extras| mem::take(&mut extras.calls))
    }

    pub(crate) fn set_place(&mut self, place: Option<Box<Place>>) {
        if place.is_some() {
            self.extras_mut().place = place;
        }
    }

    pub(crate) fn take_place(&mut self) -> Option<Box<Place>> {
        self.extras.as_mut()?.place.take()
    }

    pub(crate) fn add_hook(&mut self, hook: SentHook) {
        self.extras_mut().hooks.push_back(hook);
    }

    /// The hook of the part that stands first in the queue.
    pub(crate) fn next_hook(&mut self) -> Option<SentHook> {
        let hooks = &mut self.extras.as_mut()?.hooks;
        let hook = hooks.pop_front();
        if hooks.is_empty() {
            // A flood of them must not stay.
            hooks.shrink_to(SPARE_HOOKS);
        }
        hook
    }

    /// Whether an error concerns one of many peers, and not this socket.
    pub(crate) fn outlives_errors(&self) -> bool {
        matches!(self.io.role(), Role::Listener | Role::Datagram)
    }

    /// Whether it is connected to one peer, which can break that off.
    pub(crate) fn has_connection(&self) -> bool {
        !self.outlives_errors() && !matches!(self.phase, Phase::Connecting(_) | Phase::Resolving(_))
    }

    /// What is left in this turn of the write budget.
    pub(crate) fn budget_left(&self, budget: usize) -> usize {
        budget.saturating_sub(usize::from(self.spent).saturating_mul(CALL_COST))
    }

    /// Counts what a flush has cost. True if that is the first in this turn.
    pub(crate) fn spend(&mut self, cost: usize) -> bool {
        let first = self.spent == 0;
        let units = u16::try_from(cost.div_ceil(CALL_COST)).unwrap_or(u16::MAX);
        self.spent = self.spent.saturating_add(units);
        first && cost > 0
    }

    /// Whether a flush would do anything.
    pub(crate) fn can_flush(&self) -> bool {
        self.readiness.can_write() && self.awaits_peer()
    }

    /// Whether something is due on an open channel that its object is not asked about first.
    pub(crate) fn is_due_unasked(&self, limits: &Limits) -> bool {
        self.readiness.has_news()
            || self.flags.peer() == Peer::Reset
            || self.flags.is_push_refused()
            || self.has_drained(limits)
            || self.must_report_eof()
            || self.can_flush()
            || (self.flags.is_closing() && !self.has_outgoing())
            || (self.must_drain_unread() && !self.is_flooded())
            || self.has_filter_failure()
    }

    /// Whether bytes, or the end of file, may be had without waiting for an event.
    pub(crate) fn has_input(&self) -> bool {
        self.unread.is_some()
            || self.flags.is_read_requested()
            || (self.readiness.can_read() && !self.flags.is_finished() && !self.is_flooded())
    }

    /// Whether `handle_read` may be called, the user's own wish aside.
    pub(crate) fn may_read(&self) -> bool {
        self.has_input() && self.flags.may_call_read() && self.is_open()
    }

    pub(crate) fn may_write(&self) -> bool {
        self.readiness.can_write()
            && self.flags.may_call_write()
            && !self.has_outgoing()
            && self.is_open()
            && self.filtered().is_none_or(Filtered::can_seal)
    }

    /// Whether `handle_close` is due for an end of file: what was read before it and given back comes first.
    pub(crate) fn must_report_eof(&self) -> bool {
        self.flags.must_report_eof() && self.unread.is_none()
    }

    /// Whether the peer's end is known and not read yet, and its object was not told.
    pub(crate) fn has_end_ahead(&self) -> bool {
        self.readiness.has_end_news()
            && self.flags.peer() == Peer::There
            && !self.flags.is_closing()
            && self.is_open()
            && self.io.role() == Role::Stream
            && !self.must_drain_unread()
    }

    /// Whether the default `handle_read` left input of a peer that is gone: thrown away to find the end of file.
    pub(crate) fn must_drain_unread(&self) -> bool {
        self.flags.is_read_unhandled()
            && !self.flags.is_paused()
            && self.readiness.read_closed()
            && self.readiness.can_read()
            && self.flags.peer() == Peer::There
            && matches!(self.io.role(), Role::Stream | Role::Fd)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("type", &self.type_name)
            .field("io", &self.io)
            .field("phase", &self.phase)
            .field("readiness", &self.readiness)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

#[cfg(all(
    test,
    target_os = "linux",
    target_pointer_width = "64",
    not(debug_assertions)
))]
mod size {
    use std::mem::offset_of;

    use super::Slot;

    /// An idle connection costs this much beside the user's own object.
    #[test]
    fn a_slot_stays_small() {
        assert!(size_of::<Slot>() <= 160, "{} bytes", size_of::<Slot>());
    }

    /// Slots begin at a cache line or in its middle.
    #[test]
    fn an_event_looks_at_one_cache_line_and_a_fast_visit_at_two() {
        assert_eq!((align_of::<Slot>(), size_of::<Slot>() % 32), (32, 0));
        // The tag of the phase says whether the place is taken; the timer's whether there is one.
        assert!(offset_of!(Slot, phase) + size_of::<usize>() <= 32);
        assert!(offset_of!(Slot, timer) + size_of::<usize>() <= 96);
    }
}
