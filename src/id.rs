//! The id of a channel: slab index and generation, packed into mio's token.

use std::fmt;

use mio::Token;

/// Names one channel of one reactor. An id is not reused: once its channel is closed, it finds none.
///
/// It is `Copy`, eight bytes long, and shown as `index.generation`. The reactors of a process begin their generations far
/// apart, so that an id finds nothing in another one; on 32-bit systems they may meet after some thousand channels. A
/// program with several reactors keeps an id together with its reactor's [`Handle`].
///
/// ```
/// use asynchat::{Dispatcher, Reactor};
///
/// struct Idle;
/// impl Dispatcher for Idle {}
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// let first = reactor.listen(([127, 0, 0, 1], 0), Idle)?;
/// reactor.channel(first).ok_or("closed")?.close();
/// let second = reactor.listen(([127, 0, 0, 1], 0), Idle)?;
/// assert_ne!(first, second);
/// assert!(reactor.channel(first).is_none());
/// # Ok(())
/// # }
/// ```
///
/// [`Handle`]: crate::Handle
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(
    /// Generation above, index below, in one word: comparing is one instruction, and so is the conversion to a token.
    u64,
);

#[cfg(not(target_pointer_width = "32"))]
const INDEX_BITS: u32 = 32;
#[cfg(target_pointer_width = "32")]
const INDEX_BITS: u32 = 20;
const GENERATION_BITS: u32 = if usize::BITS - INDEX_BITS < 32 {
    usize::BITS - INDEX_BITS
} else {
    32
};
#[allow(
    clippy::cast_possible_truncation,
    reason = "GENERATION_BITS is at most 32"
)]
const GENERATION_MASK: u32 = ((1_u64 << GENERATION_BITS) - 1) as u32;

impl ChannelId {
    /// The largest number of channels that tokens can name. The last index is left out for the tokens below.
    pub(crate) const MAX_CHANNELS: usize = (1 << INDEX_BITS) - 1;

    /// Names no channel: its index is the one past the last.
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) fn new(index: usize, generation: u32) -> Self {
        debug_assert!(index < Self::MAX_CHANNELS);
        Self(u64::from(generation) << 32 | index as u64)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) fn index(self) -> usize {
        self.0 as u32 as usize
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The generation before the first one of a process's nth reactor: far from those of the others, whose ids shall not
    /// find its channels.
    pub(crate) fn generation_of_reactor(n: u32) -> u32 {
        n.wrapping_mul(0x9E37_79B1) >> (32 - GENERATION_BITS)
    }

    pub(crate) fn next_generation(generation: u32) -> u32 {
        generation.wrapping_add(1) & GENERATION_MASK
    }

    // Not `From`: mio's types are none of the crate's public ones.

    pub(crate) fn token(self) -> Token {
        Token((self.generation() as usize) << INDEX_BITS | self.index())
    }

    /// Of a token that names no channel it makes an id that no channel has.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each half fits its own width"
    )]
    pub(crate) fn of_token(Token(token): Token) -> Self {
        let generation = u64::from((token >> INDEX_BITS) as u32);
        Self(generation << 32 | (token & Self::MAX_CHANNELS) as u64)
    }
}

/// Of the waker.
pub(crate) const WAKE: Token = Token(usize::MAX);
/// Of the socket pair that signals wake.
#[cfg(all(unix, feature = "signals"))]
pub(crate) const SIGNALS: Token = Token(ChannelId::MAX_CHANNELS);

/// Whether it is one of the two above.
#[cfg(test)]
fn names_no_channel(Token(token): Token) -> bool {
    token & ChannelId::MAX_CHANNELS == ChannelId::MAX_CHANNELS
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_token() {
        for index in [0, 1, 77, ChannelId::MAX_CHANNELS - 1] {
            for generation in [0, 1, GENERATION_MASK] {
                let id = ChannelId::new(index, generation);
                assert_eq!(ChannelId::of_token(id.token()), id);
                assert!(!names_no_channel(id.token()));
            }
        }
        assert!(names_no_channel(WAKE));
        #[cfg(all(unix, feature = "signals"))]
        assert!(names_no_channel(SIGNALS));
        assert_eq!(ChannelId::next_generation(GENERATION_MASK), 0);
    }

    #[test]
    fn the_ids_of_reactors_begin_far_apart() {
        let mut begins: Vec<_> = (0..16).map(ChannelId::generation_of_reactor).collect();
        assert_eq!(begins[0], 0);
        begins.sort_unstable();
        let gap = begins.windows(2).map(|two| two[1] - two[0]).min().unwrap();
        assert!(gap > GENERATION_MASK / 64, "{gap}");
    }
}
