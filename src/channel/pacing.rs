//! Pausing the reading of a channel.

use std::time::Duration;

use crate::state::channel::Channel;

/// # Pacing
///
/// ```
/// use asynchat::{AsyncChat, ChatChannel, Result};
/// use std::{io::Write, time::Duration};
///
/// /// Takes two lines a second of each peer.
/// struct Slow;
/// impl AsyncChat for Slow {
///     fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, line: &[u8]) -> Result {
///         Ok(chat.write_all(line)?)
///     }
///     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
///         chat.pause_reading(Duration::from_millis(500));
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::chat(Slow, "\n");
/// peer.feed("a\nb\nc\n");
/// assert_eq!(peer.output(), b"a");
/// peer.advance(Duration::from_secs(1));
/// assert_eq!(peer.output(), b"bc");
/// # }
/// ```
impl Channel<'_> {
    /// Hands out no input for `time`: no `handle_read`, and of a chat no frame. Zero is until the next turn, so that the
    /// other channels have theirs; 30 years or more, or [`Duration::MAX`], is until
    /// [`resume_reading`](Self::resume_reading). O(log n) in the number of timers, O(1) for zero.
    ///
    /// It stands beside `readable()`: input is handed out if both allow it. A second call replaces the time of the first.
    /// The pause ends with the channel and does not keep [`Reactor::run`](crate::Reactor::run) going.
    ///
    /// - A chat stops at once. What was read and not handed out comes first afterwards.
    /// - Input stays in the kernel, and TCP slows the peer down.
    /// - A reset is noticed in a pause, and the peer's end is announced ([`Exceptional::ReadClosed`]). An end of file is
    ///   reported after the pause, with the tail of a chat before it.
    /// - A listener accepts nothing: [`accept`](Self::accept) answers `WouldBlock`. A datagram socket drops what its
    ///   receive buffer has no room for.
    /// - [`recv`](Self::recv), [`recv_with`](Self::recv_with) and [`recv_from`](Self::recv_from), called by hand, still
    ///   read.
    /// - Sending, an idle timeout and all other callbacks go on.
    ///
    /// [`replace`](Self::replace) ends the pause. Does nothing once the channel is closed or `close_when_done` was called.
    ///
    /// [`Exceptional::ReadClosed`]: crate::Exceptional::ReadClosed
    pub fn pause_reading(&mut self, time: Duration) {
        self.registry.pause_reading(self.id, time);
    }

    /// Ends a pause that [`pause_reading`](Self::pause_reading) began. Without one it does nothing.
    ///
    /// ```
    /// use asynchat::{Channel, ChannelId, Registry};
    /// use std::time::Duration;
    ///
    /// /// Reads nothing until an answer is there.
    /// fn ask(channel: &mut Channel<'_>) {
    ///     channel.pause_reading(Duration::MAX);
    ///     // …
    /// }
    ///
    /// fn answered(registry: &mut Registry, id: ChannelId, answer: Vec<u8>) {
    ///     if let Some(mut channel) = registry.channel(id) {
    ///         channel.push(answer);
    ///         channel.resume_reading();
    ///     }
    /// }
    /// ```
    pub fn resume_reading(&mut self) {
        self.registry.resume_reading(self.id);
    }

    /// Whether [`pause_reading`](Self::pause_reading) holds input back at the moment.
    ///
    /// ```
    /// # fn example(channel: &mut asynchat::Channel<'_>) {
    /// channel.pause_reading(std::time::Duration::from_secs(1));
    /// assert!(channel.is_reading_paused());
    /// channel.resume_reading();
    /// assert!(!channel.is_reading_paused());
    /// # }
    /// ```
    pub fn is_reading_paused(&self) -> bool {
        self.slot().is_ok_and(|slot| slot.flags.is_paused())
    }
}
