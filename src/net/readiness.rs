//! Level-triggered readiness for handlers over edge-triggered events (R1).
//!
//! Pure: no socket and no clock. Events only set bits; only the answer of a system call clears them. So a handler may
//! read once and return, and is called again while bytes remain.

/// Whether one short read or write proves that a TCP socket is drained or full.
///
/// True on the targets where mio uses epoll or kqueue: there the kernel reports the next byte as a new event. The
/// list is positive because poll(2) and Windows stay silent until a call has answered `WouldBlock`.
pub(crate) const SHORT_MEANS_DRAINED: bool = cfg!(all(
    not(mio_unsupported_force_poll_poll),
    any(
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "redox",
        target_os = "tvos",
        target_os = "visionos",
        target_os = "watchos",
    )
));

/// epoll reports no closed write half without `READ_CLOSED` or `ERROR`.
const EPOLL: bool = cfg!(all(
    not(mio_unsupported_force_poll_poll),
    any(target_os = "android", target_os = "linux")
));

/// One event of the poller: the bits of [`Readiness`], and one of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventBits(u8);

impl EventBits {
    fn of(bit: u8, on: bool) -> u8 {
        if on { bit } else { 0 }
    }
}

#[cfg(feature = "testing")]
impl EventBits {
    /// Of a stream or listener in memory.
    pub(crate) fn made(readable: bool, writable: bool, ended: bool, broken: bool) -> Self {
        Self(
            Self::of(READ, readable)
                | Self::of(WRITE, writable)
                | Self::of(READ_CLOSED, ended)
                | Self::of(WRITE_CLOSED | ERROR, broken),
        )
    }
}

impl From<&mio::event::Event> for EventBits {
    #[inline]
    fn from(event: &mio::event::Event) -> Self {
        // Most events say nothing else, which takes few comparisons to find out.
        if event.is_priority()
            || event.is_error()
            || event.is_read_closed()
            || (!EPOLL && event.is_write_closed())
        {
            return Self::of_any(event);
        }
        Self(Self::of(READ, event.is_readable()) | Self::of(WRITE, event.is_writable()))
    }
}

impl EventBits {
    #[cold]
    fn of_any(event: &mio::event::Event) -> Self {
        Self(
            Self::of(READ, event.is_readable())
                | Self::of(WRITE, event.is_writable())
                | Self::of(READ_CLOSED, event.is_read_closed())
                | Self::of(WRITE_CLOSED, !EPOLL && event.is_write_closed())
                // Windows reports a reset as AFD_POLL_ABORT, which mio shows as a closed write half.
                | Self::of(ERROR, event.is_error() || (cfg!(windows) && event.is_write_closed()))
                | Self::of(PRIORITY | URGENT, event.is_priority()),
        )
    }
}

/// The cached readiness of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness(u8);

const READ: u8 = 1;
const WRITE: u8 = 1 << 1;
/// Sticky: the peer will send no more, so a short read proves nothing; the end of file is still to be read.
const READ_CLOSED: u8 = 1 << 2;
/// The poller reported an error that was not looked at yet.
const ERROR: u8 = 1 << 3;
/// Out-of-band data was announced and not yet reported.
const PRIORITY: u8 = 1 << 4;
/// Sticky: a read stops short at an urgent mark with bytes behind it, so from then on only `WouldBlock` counts.
const URGENT: u8 = 1 << 5;
/// Only in an event: a hint.
const WRITE_CLOSED: u8 = 1 << 6;
/// With `READ_CLOSED`, until an object that does not read was told.
const END_NEWS: u8 = 1 << 7;

impl Readiness {
    /// Before the first event of a stream whose registration is put off: both directions are worth a try.
    pub(crate) const ASSUMED: Self = Self(READ | WRITE);
    pub(crate) const WRITABLE: Self = Self(WRITE);

    #[inline]
    pub(crate) fn absorb(&mut self, EventBits(event): EventBits) {
        let knew_of_end = self.read_closed();
        self.0 |= event & !WRITE_CLOSED;
        // Close and error flags are hints that differ between systems; the truth comes from the next system call,
        // so they wake both directions.
        if event & (READ_CLOSED | WRITE_CLOSED | ERROR) != 0 {
            self.0 |= READ;
            // A known end says nothing of room to write. poll(2) has it in every event, and a write in vain asks for more.
            if event & (WRITE_CLOSED | ERROR) != 0 || !knew_of_end {
                self.0 |= WRITE;
            }
            if event & READ_CLOSED != 0 && !knew_of_end {
                self.0 |= END_NEWS;
            }
        }
    }

    fn take(&mut self, bit: u8) -> bool {
        let was = self.0 & bit != 0;
        self.0 &= !bit;
        was
    }

    pub(crate) fn can_read(self) -> bool {
        self.0 & READ != 0
    }

    pub(crate) fn can_write(self) -> bool {
        self.0 & WRITE != 0
    }

    pub(crate) fn read_closed(self) -> bool {
        self.0 & READ_CLOSED != 0
    }

    pub(crate) fn has_news(self) -> bool {
        self.0 & (ERROR | PRIORITY) != 0
    }

    /// Whether the peer's end is known, and an object that does not read is to be told.
    pub(crate) fn has_end_news(self) -> bool {
        self.0 & END_NEWS != 0
    }

    pub(crate) fn end_told(&mut self) {
        self.take(END_NEWS);
    }

    /// An object that stops reading from now on is told, though it or another one was told before.
    pub(crate) fn renew_end_news(&mut self) {
        if self.read_closed() {
            self.0 |= END_NEWS;
        }
    }

    /// Whether there is nothing but bytes to read or room to write, and no end ahead.
    pub(crate) fn only_io(self) -> bool {
        self.0 & (ERROR | PRIORITY | READ_CLOSED) == 0
    }

    pub(crate) fn has_error(self) -> bool {
        self.0 & ERROR != 0
    }

    pub(crate) fn error_known(&mut self) {
        self.take(ERROR);
    }

    pub(crate) fn take_priority(&mut self) -> bool {
        self.take(PRIORITY)
    }

    /// A read gave `got` of the `asked` bytes of a TCP stream.
    pub(crate) fn after_stream_read(&mut self, got: usize, asked: usize) {
        if SHORT_MEANS_DRAINED && got < asked && self.0 & (READ_CLOSED | URGENT) == 0 {
            self.read_blocked();
        }
    }

    /// A write took `put` of the `offered` bytes of a stream.
    pub(crate) fn after_stream_write(&mut self, put: usize, offered: usize) {
        if SHORT_MEANS_DRAINED && put < offered {
            self.write_blocked();
        }
    }

    /// A read answered `WouldBlock`, end of file or an error: nothing more until the next event.
    pub(crate) fn read_blocked(&mut self) {
        self.0 &= !READ;
    }

    pub(crate) fn write_blocked(&mut self) {
        self.0 &= !WRITE;
    }

    /// No event has come yet, or none is waited for any more: a write is worth a try.
    pub(crate) fn write_again(&mut self) {
        self.0 |= WRITE;
    }

    /// Another writer may follow the end of file. What it writes is a new event.
    pub(crate) fn forget_end(&mut self) {
        self.0 &= !(READ_CLOSED | END_NEWS);
    }

    /// The connection broke while writing: what arrived before may still be unread.
    pub(crate) fn read_again(&mut self) {
        self.0 |= READ;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(letters: &str) -> EventBits {
        letters
            .chars()
            .map(|letter| match letter {
                'r' => READ,
                'w' => WRITE,
                'R' => READ_CLOSED,
                'W' => WRITE_CLOSED,
                'e' => ERROR,
                'p' => PRIORITY | URGENT,
                other => panic!("no such event bit: {other}"),
            })
            .fold(EventBits::default(), |EventBits(all), bit| {
                EventBits(all | bit)
            })
    }

    /// The callbacks a visit would make, in R4's order, for a channel that wants everything.
    fn called(mut readiness: Readiness) -> String {
        let mut calls = String::new();
        if readiness.take_priority() {
            calls.push_str("expt ");
        }
        if readiness.can_read() {
            calls.push_str("read ");
        }
        if readiness.has_error() {
            calls.push_str("check ");
        }
        if readiness.can_write() {
            calls.push_str("write ");
        }
        calls.trim_end().into()
    }

    #[test]
    fn event_routing() {
        let table = [
            ("", ""),
            ("r", "read"),
            ("w", "write"),
            ("rw", "read write"),
            ("rp", "expt read"),
            ("wp", "expt write"),
            // Data and FIN in one event; half close.
            ("rwR", "read write"),
            ("rR", "read write"),
            // Both halves closed.
            ("rwRW", "read write"),
            // Reset.
            ("rwRWe", "read check write"),
            // A datagram socket's ICMP error: no readable bit at all.
            ("We", "read check write"),
            // The write end of a pipe without a reader.
            ("we", "read check write"),
        ];
        for (bits, calls) in table {
            let mut readiness = Readiness::default();
            readiness.absorb(event(bits));
            assert_eq!(called(readiness), calls, "event {bits:?}");
        }
    }

    #[test]
    fn what_a_read_answered_decides_whether_to_read_again() {
        // (event, bytes read of 100, readable afterwards where a short read proves something)
        let table = [
            ("r", 100, true),
            ("r", 99, false),
            ("rR", 99, true),
            ("rwR", 99, true),
            ("rp", 99, true),
            ("rwRWe", 99, true),
        ];
        for (bits, got, again) in table {
            let mut readiness = Readiness::default();
            readiness.absorb(event(bits));
            readiness.after_stream_read(got, 100);
            assert_eq!(
                readiness.can_read(),
                again || !SHORT_MEANS_DRAINED,
                "event {bits:?}, {got} of 100 bytes"
            );
            readiness.read_blocked();
            assert!(!readiness.can_read());
        }
    }

    #[test]
    fn urgent_and_closed_are_sticky() {
        for bits in ["rp", "rR"] {
            let mut readiness = Readiness::default();
            readiness.absorb(event(bits));
            readiness.read_blocked();
            readiness.absorb(event("r"));
            readiness.after_stream_read(1, 100);
            assert!(readiness.can_read(), "event {bits:?}");
        }
    }

    #[test]
    fn a_short_write_waits_for_room() {
        let mut readiness = Readiness::ASSUMED;
        readiness.after_stream_write(100, 100);
        assert!(readiness.can_write());
        readiness.after_stream_write(1, 100);
        assert_eq!(readiness.can_write(), !SHORT_MEANS_DRAINED);
    }

    #[test]
    fn an_end_is_news_once() {
        let mut readiness = Readiness::default();
        readiness.renew_end_news();
        readiness.absorb(event("r"));
        assert!(readiness.only_io() && !readiness.has_end_news());
        readiness.absorb(event("rR"));
        assert!(!readiness.only_io() && readiness.has_end_news());
        assert!(readiness.can_write());
        readiness.end_told();
        readiness.write_blocked();
        readiness.absorb(event("rR"));
        assert!(!readiness.can_write());
        readiness.absorb(event("rwR"));
        assert!(!readiness.has_end_news() && readiness.read_closed());
        readiness.renew_end_news();
        assert!(readiness.has_end_news());
        readiness.forget_end();
        assert!(readiness.only_io());
    }

    #[test]
    fn events_only_add() {
        let mut readiness = Readiness::default();
        readiness.absorb(event("r"));
        readiness.absorb(event("w"));
        assert!(readiness.can_read() && readiness.can_write());
        assert!(!readiness.has_news());
    }
}
