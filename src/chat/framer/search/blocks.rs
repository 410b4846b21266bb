//! Finds frames by blocks of 64 bytes, each compared with a byte of the needle at once. The compiler makes vectors of the
//! loops; `.ci/instructions` shows if it no longer does.

use super::super::whole_frames::Lens;

const BLOCK: usize = 64;

/// The longest needle that is looked for in this way.
const MAX: usize = 8;

/// Behind a longer frame another long one is likely, which memchr finds faster.
const LONG_FRAME: usize = 2 * BLOCK;

/// The same with a needle of more than two bytes, which takes more for each block.
const LONG_HEAD: usize = BLOCK;

/// A needle, at the upper end of a word: one comparison is for the whole of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    padded: [u8; MAX],
    len: usize,
}

impl Blocks {
    /// `None` for a needle of more than [`MAX`] bytes.
    #[inline]
    pub(super) fn new(needle: &[u8]) -> Option<Self> {
        let mut padded = [0; MAX];
        padded
            .get_mut(MAX.checked_sub(needle.len())?..)?
            .copy_from_slice(needle);
        let len = needle.len();
        Some(Self { padded, len })
    }

    /// Notes the frames from `from` on, where one of `len` bytes ends, up to a long one or one that is not all there.
    /// Returns where the last of them ends.
    #[inline]
    pub(super) fn measure(self, input: &[u8], from: usize, len: usize, ahead: &mut Lens) -> usize {
        let long = if self.len <= 2 { LONG_FRAME } else { LONG_HEAD };
        if len > long || input.len() < BLOCK + MAX {
            return from;
        }
        match self.len {
            1 => self.measure_blocks::<1>(input, from, ahead),
            // Two of them do not overlap.
            2 if self.padded[MAX - 2] != self.padded[MAX - 1] => {
                self.measure_blocks::<2>(input, from, ahead)
            }
            _ => self.measure_blocks::<0>(input, from, ahead),
        }
    }

    /// `LEN` is the length of the needle, if it is one of one byte or of two different ones, else 0.
    #[inline(never)]
    fn measure_blocks<const LEN: usize>(
        self,
        input: &[u8],
        from: usize,
        ahead: &mut Lens,
    ) -> usize {
        let (first, last) = (self.padded[(MAX - self.len) % MAX], self.padded[MAX - 1]);
        let before = if LEN == 0 { self.len } else { LEN } - 1;
        let (mut end, mut searched) = (from, from);
        let mut room = ahead.room();
        'blocks: while searched < input.len() && searched - end < LONG_FRAME {
            #[cfg(test)]
            super::super::tests::count_comparisons(BLOCK as u64);
            // The last block lies over the one before.
            let at = searched.min(input.len() - BLOCK);
            let Some((starts, ends)) = two_blocks(input, at, before) else {
                break;
            };
            // A needle of two bytes is compared whole afterwards, because few inputs have its last byte without its
            // first; one of more bytes would be met half at each line of a head.
            let marks = if LEN == 0 {
                marks_of_both([starts, ends], [first, last])
            } else {
                marks(ends, last)
            };
            let mut marks = marks & (u64::MAX << (searched - at));
            while marks != 0 {
                let index = marks.trailing_zeros() as usize;
                let next = at + index + 1;
                marks &= marks - 1;
                let found = match LEN {
                    1 => true,
                    2 => starts[index % BLOCK] == first,
                    _ => next - end >= self.len && self.ends_at(input, next),
                };
                if found {
                    if !room.note(next - end) {
                        break 'blocks;
                    }
                    end = next;
                }
            }
            searched = at + BLOCK;
        }
        let left = room.left();
        ahead.fill(left, end - from);
        end
    }

    #[inline(always)]
    fn ends_at(self, input: &[u8], end: usize) -> bool {
        match input[..end].last_chunk() {
            Some(word) => {
                let differing = u64::from_le_bytes(*word) ^ u64::from_le_bytes(self.padded);
                differing >> (8 * (MAX - self.len)) == 0
            }
            None => input[..end].ends_with(&self.padded[MAX - self.len..]),
        }
    }
}

/// The block at `at`, in which needles may end, behind the one in which they then begin, `before` bytes earlier.
#[inline(always)]
fn two_blocks(input: &[u8], at: usize, before: usize) -> Option<(&[u8; BLOCK], &[u8; BLOCK])> {
    let starts = input.get(at.checked_sub(before)?..)?;
    Some((starts.first_chunk()?, starts.get(before..)?.first_chunk()?))
}

/// Where `block` has `byte`, one bit for each position.
#[inline(always)]
fn marks(block: &[u8; BLOCK], byte: u8) -> u64 {
    let mut equal = [0; BLOCK];
    for (equal, other) in equal.iter_mut().zip(block) {
        *equal = if *other == byte { u8::MAX } else { 0 };
    }
    packed(&equal)
}

/// The same for positions at which another block has another byte, too.
#[inline(always)]
fn marks_of_both(blocks: [&[u8; BLOCK]; 2], bytes: [u8; 2]) -> u64 {
    let mut equal = [0; BLOCK];
    for ((equal, one), other) in equal.iter_mut().zip(blocks[0]).zip(blocks[1]) {
        *equal = if (*one == bytes[0]) & (*other == bytes[1]) {
            u8::MAX
        } else {
            0
        };
    }
    packed(&equal)
}

const LOW: u64 = u64::MAX / 0xff;

/// One bit of each byte, all of whose bits are the same.
#[inline(always)]
fn packed(bytes: &[u8; BLOCK]) -> u64 {
    // Bit `row` of byte `column` is that of `bytes[8 * row + column]`.
    let mut rows = 0;
    for (row, eight) in bytes.as_chunks().0.iter().enumerate() {
        rows |= u64::from_le_bytes(*eight) & (LOW << row);
    }
    if rows & rows.wrapping_sub(1) == 0 {
        // Zero or one: most lines are longer than half a block.
        let bit = rows.trailing_zeros();
        return u64::from(rows != 0) << ((bit % 8 * 8 + bit / 8) & 63);
    }
    transposed(rows)
}

/// Exchanges rows and columns of a matrix of 8 by 8 bits.
#[inline(always)]
fn transposed(mut bits: u64) -> u64 {
    for (shift, mask) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0xcccc_0000_cccc),
        (28, 0xf0f0_f0f0),
    ] {
        let swap = (bits ^ (bits >> shift)) & mask;
        bits ^= swap ^ (swap << shift);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_has_its_bit() {
        let positions = || (0..BLOCK).step_by(if cfg!(miri) { 9 } else { 1 });
        for first in positions() {
            for second in positions() {
                let mut block = [b'x'; BLOCK];
                block[first] = b'\n';
                block[second] = b'\n';
                assert_eq!(marks(&block, b'\n'), 1 << first | 1 << second);
                let mut other = [b'x'; BLOCK];
                other[first] = b'\r';
                assert_eq!(marks_of_both([&other, &block], [b'\r', b'\n']), 1 << first);
            }
        }
        assert_eq!(marks(&[0; BLOCK], b'\n'), 0);
        assert_eq!(marks(&[0; BLOCK], 0), u64::MAX);
    }
}
