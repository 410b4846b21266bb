//! The ways to the outgoing queue of a channel. Those of the registry uncork first, so that nothing sees a queue without
//! its open end. Here a push is bounded (R14).

use std::collections::VecDeque;

use crate::{
    id::ChannelId,
    outgoing::{
        HOOK_WEIGHT, Outgoing, Spare,
        part::{Part, Sent},
    },
    state::{
        filtered::{Filtered, Stage},
        phase::Phase,
        policy::Limits,
        registry::{Registry, SentHook},
        slot::Slot,
        table::find,
    },
};

impl Registry {
    /// Queues with `add` what weighs `bytes` in memory and `in_file` in a file, if the channel still sends and its bound
    /// allows.
    #[inline(never)]
    pub(crate) fn push(
        &mut self,
        id: ChannelId,
        bytes: usize,
        in_file: u64,
        add: impl FnOnce(&mut Outgoing, &mut Spare),
    ) {
        self.uncork();
        let Some(slot) = find(&mut self.slots, id) else {
            log::debug!(target: "asynchat::channel", "channel {id}: push after close dropped");
            return;
        };
        if !slot.takes_output() {
            log::debug!(target: "asynchat::channel", "channel {id}: push dropped, it sends no more ({:?})", slot.state());
            return;
        }
        let Limits { high, max, .. } = slot.limits(&self.policy);
        let (queued, in_files) = slot
            .outgoing
            .as_ref()
            .map_or((0, 0), |queue| (queue.weight(), queue.in_files()));
        let len = queued.saturating_add(bytes);
        let beside = slot.filtered().map_or(0, Filtered::pending);
        let in_files = in_files
            .saturating_add(usize::try_from(in_file).unwrap_or(usize::MAX))
            .saturating_add(beside);
        let max = max.saturating_sub(beside);
        let congested = len.saturating_add(in_files) > high;
        // After a refusal everything is refused until `handle_error` has been called: the stream has no hole.
        let fits = len <= max && !slot.flags.is_push_refused();
        self.progress += 1;
        if fits {
            if congested && slot.flags.congest() {
                self.ownership_changes += 1;
            }
            let queue = slot.outgoing.get_or_insert_with(|| self.pool.take_queue());
            add(queue, &mut self.pool.tails);
            if self.visiting == id {
                let bound = if congested {
                    max
                } else {
                    max.min(high - in_files)
                };
                self.cork.open(id, queue, bound);
            }
        } else {
            slot.flags.refuse_push();
        }
        self.touch_later(id);
    }

    /// Queues a part whose hook is called when it has left, or will not. Bytes that were copied are left to the caller,
    /// because their drop may run code of the user's.
    pub(crate) fn push_then(&mut self, id: ChannelId, part: &mut Part, hook: SentHook) {
        let (bytes, in_file) = part.weigh();
        let mut is_queued = false;
        let mut has_left = false;
        self.push(id, bytes + HOOK_WEIGHT, in_file, |queue, spare| {
            has_left = queue.is_empty() && (bytes, in_file) == (0, 0);
            queue.begin_part();
            part.push_to(queue, spare);
            queue.end_part();
            is_queued = true;
        });
        match find(&mut self.slots, id) {
            Some(slot) if is_queued => slot.add_hook(hook),
            _ => self.departures.push_back((hook, Sent::nothing(id))),
        }
        let has_left = has_left && !self.slot(id).is_some_and(Slot::holds_before);
        if has_left && let Some(mut queue) = self.take_queue(id) {
            self.note_departures(id, &mut queue);
            self.return_queue(id, queue);
        }
    }

    /// Notes the parts of a channel's queue that have left, so that their hooks are called.
    pub(crate) fn note_departures(&mut self, id: ChannelId, queue: &mut Outgoing) {
        self.release_departures(id);
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        while let Some(left) = queue.next_left()
            && let Some(hook) = slot.next_hook()
        {
            let sent = Sent::new(id, left);
            match slot.filtered_mut() {
                // Sealed, and on its way.
                Some(filtered) if filtered.layer.has_wire() => {
                    let end = filtered.layer.end_of_wire();
                    filtered.departing.push_back((end, hook, sent));
                }
                _ => self.departures.push_back((hook, sent)),
            }
        }
    }

    /// Notes the parts that were sealed and have left since.
    pub(crate) fn release_departures(&mut self, id: ChannelId) {
        let Some(filtered) = find(&mut self.slots, id).and_then(Slot::filtered_mut) else {
            return;
        };
        let sent = filtered.layer.sent_in_all();
        while filtered
            .departing
            .front()
            .is_some_and(|(end, ..)| *end <= sent)
            && let Some((_, hook, part)) = filtered.departing.pop_front()
        {
            self.departures.push_back((hook, part));
        }
    }

    /// Changes the limits of one channel. What its callback pushes is checked against them from now on.
    pub(crate) fn change_limits(&mut self, id: ChannelId, change: impl FnOnce(&mut Limits)) {
        self.uncork();
        let Some(slot) = find(&mut self.slots, id) else {
            return;
        };
        let limits = slot.own_limits(&self.policy);
        change(limits);
        let limits = *limits;
        // What is queued already may be past the new high mark, or at the new low one.
        if slot.is_past(limits.high) && slot.flags.congest() {
            self.ownership_changes += 1;
        }
        if slot.has_drained(&limits) {
            self.touch_later(id);
        }
    }

    /// A channel whose queue counts everything that was pushed.
    #[inline]
    pub(crate) fn uncorked(&mut self, id: ChannelId) -> Option<&mut Slot> {
        self.uncork();
        find(&mut self.slots, id)
    }

    /// Has producers that had nothing asked again.
    pub(crate) fn unpark(&mut self, id: ChannelId) {
        let Some(slot) = self.uncorked(id) else {
            return;
        };
        if let Some(queue) = &mut slot.outgoing {
            queue.unpark();
        }
        if let Some(queue) = slot.filtered_mut().and_then(|f| f.before.as_mut()) {
            queue.unpark();
        }
    }

    pub(crate) fn take_queue(&mut self, id: ChannelId) -> Option<Box<Outgoing>> {
        self.uncorked(id)?.outgoing.take()
    }

    /// What was queued before an upgrade and has not left.
    pub(crate) fn take_before(&mut self, id: ChannelId) -> Option<Box<Outgoing>> {
        let filtered = find(&mut self.slots, id).and_then(Slot::filtered_mut)?;
        let before = filtered.before.take()?;
        filtered.stage = Stage::Handshaking;
        Some(before)
    }

    /// The queue that is sent next: what was queued before an upgrade leaves as it is.
    pub(crate) fn take_queue_to_send(&mut self, id: ChannelId) -> Option<Box<Outgoing>> {
        let slot = self.uncorked(id)?;
        match slot.filtered_mut() {
            Some(filtered) if filtered.stage == Stage::Clear => filtered.before.take(),
            Some(filtered) if !filtered.can_seal() => None,
            _ => slot.outgoing.take(),
        }
    }

    /// Gives a channel its queue back. An empty one is kept for others.
    pub(crate) fn return_queue(&mut self, id: ChannelId, queue: Box<Outgoing>) {
        let filtered = find(&mut self.slots, id).and_then(Slot::filtered_mut);
        if let Some(filtered) = filtered
            && filtered.stage == Stage::Clear
        {
            if queue.is_empty() {
                filtered.stage = Stage::Handshaking;
            } else {
                filtered.before = Some(queue);
                return;
            }
        }
        if queue.is_empty() {
            self.pool.give_queue(queue);
        } else if let Some(slot) = find(&mut self.slots, id) {
            slot.outgoing = Some(queue);
        }
    }

    /// Counts what was collected: a callback has returned, or what it pushes next is to be checked anew.
    #[inline]
    pub(crate) fn uncork(&mut self) {
        if self.cork.is_open() {
            self.return_tail();
        }
    }

    #[inline(never)]
    fn return_tail(&mut self) {
        let (id, tail, counted) = self.cork.close();
        self.progress += u64::from(tail.len() > counted);
        if let Some(queue) = find(&mut self.slots, id).and_then(|slot| slot.outgoing.as_mut()) {
            queue.return_tail(tail, counted);
        }
    }

    pub(crate) fn outgoing_len(&self, id: ChannelId) -> usize {
        let Some(slot) = self.slot(id) else { return 0 };
        let queued = slot
            .outgoing
            .as_ref()
            .map_or(0, |queue| queue.len() + self.cork.uncounted(id));
        queued + slot.filtered().map_or(0, Filtered::len)
    }
}

/// Notes all parts of queues that are about to be dropped, in order. If the socket takes no more, what a filter has sealed
/// of them does not leave either.
pub(crate) fn note_cut_off(
    departures: &mut VecDeque<(SentHook, Sent)>,
    slot: &mut Slot,
    queues: [Option<&mut Outgoing>; 2],
    takes_no_more: bool,
) {
    let mut parts: Vec<(SentHook, Sent)> = Vec::new();
    let mut sealed = 0;
    if takes_no_more && let Some(filtered) = slot.filtered_mut() {
        sealed = filtered.layer.sealed() as u64;
        parts.extend(
            filtered
                .departing
                .drain(..)
                .map(|(_, hook, sent)| (hook, sent)),
        );
    }
    for queue in queues.into_iter().flatten() {
        while let Some(left) = queue.next_cut_off()
            && let Some(hook) = slot.next_hook()
        {
            parts.push((hook, Sent::new(slot.id, left)));
        }
    }
    // Those of a queue that is lost.
    while let Some(hook) = slot.next_hook() {
        parts.push((hook, Sent::nothing(slot.id)));
    }
    // The last bytes that were sealed are those that have not left.
    for (_, sent) in parts.iter_mut().rev() {
        let unsent = sealed.min(sent.bytes);
        sent.bytes -= unsent;
        sent.complete &= unsent == 0;
        sealed -= unsent;
    }
    departures.extend(parts);
}

/// Questions about the queue of a channel none of whose callbacks is running, so that it is not corked.
impl Slot {
    /// Takes a queue in which nothing stands but copies, none of them sent.
    #[inline]
    pub(crate) fn take_copies(&mut self) -> Option<Box<Outgoing>> {
        self.outgoing.take_if(|queue| queue.is_only_copies())
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|queue| !queue.is_empty())
            || self.filtered().is_some_and(Filtered::holds_output)
    }

    /// Whether something that the program pushed has not left; what a handshake sends does not count.
    pub(crate) fn has_program_output(&self) -> bool {
        let queued = self
            .outgoing
            .as_ref()
            .is_some_and(|queue| !queue.is_empty());
        let sealed = self.filtered().is_some_and(|filtered| filtered.len() > 0);
        queued || sealed || self.holds_before()
    }

    /// Whether something that was queued before an upgrade has not left.
    fn holds_before(&self) -> bool {
        self.filtered()
            .is_some_and(|filtered| filtered.before.is_some())
    }

    /// Takes the queue out, unless it is empty.
    pub(crate) fn take_filled_queue(&mut self) -> Option<Box<Outgoing>> {
        self.outgoing.take_if(|queue| !queue.is_empty())
    }

    /// Whether the slot has a queue, perhaps an empty one.
    #[inline]
    pub(crate) fn holds_queue(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Whether the queue has something that only waits for room in the socket: bytes, or a producer to ask.
    pub(crate) fn awaits_peer(&self) -> bool {
        let queue = self.outgoing.as_deref();
        match &self.phase {
            Phase::Filtered(filtered) => filtered.awaits_peer(queue),
            _ => queue.is_some_and(Outgoing::can_flush),
        }
    }

    /// Whether `handle_drain` is due.
    pub(crate) fn has_drained(&self, limits: &Limits) -> bool {
        self.flags.is_congested() && !self.is_past(limits.low)
    }

    /// Whether more is queued than a watermark allows.
    pub(crate) fn is_past(&self, mark: usize) -> bool {
        let queued = self.outgoing.as_ref().map_or(0, |queue| queue.pending());
        let sealed = self.filtered().map_or(0, Filtered::pending);
        queued.saturating_add(sealed) > mark
    }

    /// What counts for the bound of the queue.
    pub(crate) fn outgoing_weight(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |queue| queue.weight())
    }
}
