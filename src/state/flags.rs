//! The yes-or-no facts about a channel in one word, so that the common case is one comparison.
//!
//! The bits are private. Questions and transitions are the only ways to them, so that what excludes or entails what is
//! written down here and nowhere else.

/// What the other end of a connection has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    There,
    /// Its end of file was read.
    Finished,
    /// It broke the connection, perhaps after an end of file.
    Reset,
}

/// How far this end is with its own end of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    /// To be shut down for writing once the queue is empty.
    Ending,
    /// Shut down for writing.
    Shut,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags(u16);

/// In the run queue.
const QUEUED: u16 = 1;
/// In the list of channels that others have touched this turn.
const TOUCHED: u16 = 1 << 1;
/// Announced to the poller.
const REGISTERED: u16 = 1 << 2;
/// The end of file was read before `close_when_done` was called.
const ENDED_BY_PEER: u16 = 1 << 3;
/// `close_when_done` was called.
const CLOSING: u16 = 1 << 4;
/// `handle_close` was called.
const CLOSE_REPORTED: u16 = 1 << 5;
/// The default `handle_read` ran: reading is switched off (R3b).
const READ_UNHANDLED: u16 = 1 << 6;
/// The default `handle_write` ran.
const WRITE_UNHANDLED: u16 = 1 << 7;
/// The queue rose above the high watermark and has not fallen to the low one since (R14).
const CONGESTED: u16 = 1 << 8;
/// A push was refused and `handle_error` has not been called for it yet.
const PUSH_REFUSED: u16 = 1 << 9;
/// `handle_read` is to be called although nothing may have arrived.
const READ_REQUESTED: u16 = 1 << 10;
/// `pause_reading` was called, and the pause is not over.
const PAUSED: u16 = 1 << 11;
const FINISHED: u16 = 1 << 12;
const RESET: u16 = 1 << 13;
const ENDING: u16 = 1 << 14;
const SHUT: u16 = 1 << 15;

/// No more is queued.
const OUTPUT_ENDED: u16 = CLOSING | ENDING | SHUT | RESET;
/// Something other than a read or a write may be due.
const NEEDS_FULL_VISIT: u16 =
    OUTPUT_ENDED | FINISHED | CONGESTED | PUSH_REFUSED | READ_REQUESTED | READ_UNHANDLED | PAUSED;

impl Flags {
    fn has(self, any_of: u16) -> bool {
        self.0 & any_of != 0
    }

    fn set(&mut self, flags: u16) {
        self.0 |= flags;
    }

    fn clear(&mut self, flags: u16) {
        self.0 &= !flags;
    }

    /// Sets `flag`. True if it was clear.
    fn raise(&mut self, flag: u16) -> bool {
        let was_clear = !self.has(flag);
        self.set(flag);
        was_clear
    }

    /// Clears `flag`. True if it was set.
    fn take(&mut self, flag: u16) -> bool {
        let was_set = self.has(flag);
        self.clear(flag);
        was_set
    }

    /// Whether the poller knows the channel and nothing but a read or a write can be due.
    pub(crate) fn only_io_due(self) -> bool {
        self.0 & (NEEDS_FULL_VISIT | REGISTERED) == REGISTERED
    }

    // The lists of a turn.

    /// False if it is in the run queue already.
    pub(crate) fn enqueue(&mut self) -> bool {
        self.raise(QUEUED)
    }

    pub(crate) fn dequeue(&mut self) {
        self.clear(QUEUED);
    }

    /// False if it is in the list of touched channels already.
    pub(crate) fn touch(&mut self) -> bool {
        self.raise(TOUCHED)
    }

    pub(crate) fn untouch(&mut self) {
        self.clear(TOUCHED);
    }

    // The poller.

    pub(crate) fn is_registered(self) -> bool {
        self.has(REGISTERED)
    }

    pub(crate) fn note_registered(&mut self) {
        self.set(REGISTERED);
    }

    // The peer.

    pub(crate) fn peer(self) -> Peer {
        if self.has(RESET) {
            Peer::Reset
        } else if self.has(FINISHED) {
            Peer::Finished
        } else {
            Peer::There
        }
    }

    /// Whether the end of file was read; a reset may have followed.
    pub(crate) fn is_finished(self) -> bool {
        self.has(FINISHED)
    }

    /// What looks like an end of file after a reset is none.
    pub(crate) fn note_finished(&mut self) {
        if !self.has(RESET) {
            self.set(FINISHED);
        }
    }

    /// What looked like the end was one writer's only. False if there was no end, if it is still to be reported, or if there
    /// can be nothing after it.
    pub(crate) fn forget_end(&mut self) -> bool {
        let reported = self.has(FINISHED) && self.has(CLOSE_REPORTED);
        let forgets = reported && !self.has(RESET | CLOSING);
        if forgets {
            self.clear(FINISHED | CLOSE_REPORTED);
        }
        forgets
    }

    /// False if the connection was broken before.
    pub(crate) fn note_reset(&mut self) -> bool {
        self.raise(RESET)
    }

    /// False if `handle_close` was called before.
    pub(crate) fn note_close_reported(&mut self) -> bool {
        self.raise(CLOSE_REPORTED)
    }

    pub(crate) fn is_close_reported(self) -> bool {
        self.has(CLOSE_REPORTED)
    }

    /// Whether `handle_close` is due for an end of file, once what was read before it is used up.
    pub(crate) fn must_report_eof(self) -> bool {
        self.0 & (FINISHED | READ_REQUESTED | CLOSE_REPORTED | CLOSING | PAUSED) == FINISHED
    }

    // This end's end.

    pub(crate) fn is_closing(self) -> bool {
        self.has(CLOSING)
    }

    /// `close_when_done` was called. False if it was called before.
    pub(crate) fn begin_closing(&mut self) -> bool {
        self.clear(READ_REQUESTED);
        self.raise(CLOSING)
    }

    pub(crate) fn is_ended_by_peer(self) -> bool {
        self.has(ENDED_BY_PEER)
    }

    pub(crate) fn note_ended_by_peer(&mut self) {
        self.set(ENDED_BY_PEER);
    }

    pub(crate) fn sending(self) -> Sending {
        if self.has(SHUT) {
            Sending::Shut
        } else if self.has(ENDING) {
            Sending::Ending
        } else {
            Sending::Open
        }
    }

    /// False if sending was ended before.
    pub(crate) fn begin_ending(&mut self) -> bool {
        !self.has(SHUT) && self.raise(ENDING)
    }

    pub(crate) fn shut_down(&mut self) {
        self.clear(ENDING);
        self.set(SHUT);
    }

    /// Whether what is pushed is dropped.
    pub(crate) fn is_output_ended(self) -> bool {
        self.has(OUTPUT_ENDED)
    }

    /// Whether a write past the queue can succeed.
    pub(crate) fn may_send(self) -> bool {
        !self.has(SHUT | RESET)
    }

    // The wishes of the object.

    pub(crate) fn may_call_read(self) -> bool {
        !self.has(READ_UNHANDLED | CLOSING | PAUSED)
    }

    pub(crate) fn may_call_write(self) -> bool {
        !self.has(WRITE_UNHANDLED | OUTPUT_ENDED)
    }

    pub(crate) fn is_paused(self) -> bool {
        self.has(PAUSED)
    }

    pub(crate) fn pause(&mut self) {
        self.set(PAUSED);
    }

    /// False if there was no pause.
    pub(crate) fn end_pause(&mut self) -> bool {
        self.take(PAUSED)
    }

    pub(crate) fn is_read_unhandled(self) -> bool {
        self.has(READ_UNHANDLED)
    }

    pub(crate) fn is_write_unhandled(self) -> bool {
        self.has(WRITE_UNHANDLED)
    }

    pub(crate) fn leave_read_unhandled(&mut self) {
        self.set(READ_UNHANDLED);
    }

    pub(crate) fn leave_write_unhandled(&mut self) {
        self.set(WRITE_UNHANDLED);
    }

    /// Both directions are switched on again.
    pub(crate) fn switch_on(&mut self) {
        self.clear(READ_UNHANDLED | WRITE_UNHANDLED);
    }

    /// Another object is behind the channel: what the last one did not handle or asked for is not its own.
    pub(crate) fn note_replaced(&mut self) {
        self.switch_on();
        self.clear(READ_REQUESTED);
    }

    pub(crate) fn is_read_requested(self) -> bool {
        self.has(READ_REQUESTED)
    }

    pub(crate) fn request_read(&mut self) {
        self.set(READ_REQUESTED);
    }

    pub(crate) fn take_read_request(&mut self) -> bool {
        self.take(READ_REQUESTED)
    }

    // The outgoing queue.

    pub(crate) fn is_congested(self) -> bool {
        self.has(CONGESTED)
    }

    /// False if it was already.
    pub(crate) fn congest(&mut self) -> bool {
        self.raise(CONGESTED)
    }

    pub(crate) fn drain(&mut self) {
        self.clear(CONGESTED);
    }

    pub(crate) fn is_push_refused(self) -> bool {
        self.has(PUSH_REFUSED)
    }

    pub(crate) fn refuse_push(&mut self) {
        self.set(PUSH_REFUSED);
    }

    pub(crate) fn take_push_refused(&mut self) -> bool {
        self.take(PUSH_REFUSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_may_follow_an_end_of_file_and_no_end_of_file_a_reset() {
        let mut flags = Flags::default();
        flags.note_finished();
        assert_eq!(flags.peer(), Peer::Finished);
        assert!(flags.note_reset());
        assert_eq!(flags.peer(), Peer::Reset);
        assert!(flags.is_finished(), "the end of file was read all the same");

        let mut flags = Flags::default();
        assert!(flags.note_reset() && !flags.note_reset());
        flags.note_finished();
        assert!(!flags.is_finished());
    }

    #[test]
    fn sending_ends_once_and_is_not_reopened() {
        let mut flags = Flags::default();
        assert!(flags.begin_ending() && !flags.begin_ending());
        assert_eq!(flags.sending(), Sending::Ending);
        flags.shut_down();
        assert!(!flags.begin_ending());
        assert_eq!(flags.sending(), Sending::Shut);
        assert!(flags.is_output_ended() && !flags.may_send());
    }

    #[test]
    fn an_end_of_file_is_reported_once_and_not_while_closing() {
        let mut flags = Flags::default();
        assert!(!flags.must_report_eof());
        flags.note_finished();
        assert!(flags.must_report_eof());
        let mut closing = flags;
        closing.begin_closing();
        assert!(!closing.must_report_eof());
        assert!(flags.note_close_reported());
        assert!(!flags.must_report_eof() && !flags.note_close_reported());
    }

    #[test]
    fn nothing_is_read_and_no_end_reported_in_a_pause() {
        let mut flags = Flags::default();
        flags.note_finished();
        flags.pause();
        assert!(!flags.may_call_read() && !flags.must_report_eof());
        assert!(flags.end_pause() && !flags.end_pause());
        assert!(flags.may_call_read() && flags.must_report_eof());
    }

    #[test]
    fn a_fast_visit_is_for_registered_channels_on_which_nothing_but_io_is_due() {
        let fresh = Flags::default();
        assert!(!fresh.only_io_due());
        let mut plain = fresh;
        plain.note_registered();
        plain.enqueue();
        plain.touch();
        plain.leave_write_unhandled();
        assert!(plain.only_io_due());
        let due: [fn(&mut Flags); 10] = [
            |flags| assert!(flags.begin_closing()),
            |flags| flags.leave_read_unhandled(),
            |flags| flags.pause(),
            |flags| assert!(flags.congest()),
            |flags| flags.refuse_push(),
            |flags| flags.request_read(),
            |flags| flags.note_finished(),
            |flags| assert!(flags.note_reset()),
            |flags| assert!(flags.begin_ending()),
            |flags| flags.shut_down(),
        ];
        for (index, set) in due.into_iter().enumerate() {
            let mut flags = plain;
            set(&mut flags);
            assert!(!flags.only_io_due(), "{index}");
        }
    }
}
