//! `GIVE n` is answered by n bytes, made of one block that all connections share.
//!
//! An answer of a few blocks is pushed as slices of it, a longer one is a producer's. Requests are read while
//! no producer is at work and the queue is short enough.

use std::{io, rc::Rc};

use asynchat::{
    AsyncChat, BoxError, Builder, ChatChannel, ChatDispatcher, Frame, Produced, Producer, Result,
};
use bytes::Bytes;

use crate::listener;

const BLOCK: usize = 512 * 1024;
/// At most this number of bytes is pushed at once: the high watermark.
const PUSHED: usize = 16 * BLOCK;
/// The longest request: `GIVE ` and the digits of a number of 64 bits.
const MAX_REQUEST: usize = 32;

pub(crate) struct Source {
    block: &'static [u8],
    /// Held by the producer under way as well.
    giving: Rc<()>,
}

pub(crate) fn connections() -> impl FnMut() -> ChatDispatcher<Source> + 'static {
    let block: Vec<u8> = (0..=250).cycle().take(BLOCK).collect();
    // Never freed, so that a slice of it is nobody's to count.
    let block: &'static [u8] = block.leak();
    move || {
        let source = Source {
            block,
            giving: Rc::default(),
        };
        ChatDispatcher::collecting(source, "\r\n", MAX_REQUEST).hold_while_congested()
    }
}

/// What is queued is the shared block again and again: many of them take no memory.
pub(crate) fn tune(builder: Builder) -> Builder {
    builder
        .watermarks(2 * BLOCK, PUSHED)
        .write_budget(8 * BLOCK)
}

impl AsyncChat for Source {
    fn readable(&self) -> bool {
        Rc::strong_count(&self.giving) == 1
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, request: Frame<'_>) -> Result {
        let wanted = parse(&request).ok_or("the request is not `GIVE` and a number")?;
        match usize::try_from(wanted) {
            Ok(short) if short <= PUSHED => {
                for from in (0..short).step_by(BLOCK) {
                    let slice = &self.block[..BLOCK.min(short - from)];
                    chat.push(Bytes::from_static(slice));
                }
            }
            _ => chat.push_with_producer(Giving {
                block: self.block,
                left: wanted,
                _giving: Rc::clone(&self.giving),
            }),
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}

/// `GIVE 524288`
fn parse(request: &[u8]) -> Option<u64> {
    let digits = request.strip_prefix(b"GIVE ")?;
    // A sign would be taken for part of the number.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// An answer of more than is pushed at once.
struct Giving {
    block: &'static [u8],
    left: u64,
    _giving: Rc<()>,
}

impl Producer for Giving {
    fn more(&mut self) -> io::Result<Produced> {
        let give = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        if give == 0 {
            return Ok(Produced::Done);
        }
        self.left -= give as u64;
        Ok(Produced::Data(Bytes::from_static(&self.block[..give])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_give_and_a_number() {
        assert_eq!(parse(b"GIVE 0"), Some(0));
        assert_eq!(parse(b"GIVE 524288"), Some(524_288));
        assert_eq!(parse(b"GIVE 18446744073709551615"), Some(u64::MAX));
        for wrong in [
            "",
            "GIVE",
            "GIVE ",
            "GIVE +1",
            "GIVE -1",
            "GIVE 1 ",
            "give 1",
            "GIVE 18446744073709551616",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
