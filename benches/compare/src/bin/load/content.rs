//! The bytes that servers and load agree upon.

use std::{fs, path::Path};

use crate::failure::Failure;

/// The length of the block that a server in mode `source` repeats.
pub(crate) const BLOCK: usize = 512 * 1024;

pub(crate) fn block_byte(i: usize) -> u8 {
    (i % 251) as u8
}

/// What `mkfile` writes: never the same page twice, so that a wrong offset shows.
pub(crate) fn file(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i.wrapping_mul(7).wrapping_add(i / 251) % 256) as u8)
        .collect()
}

pub(crate) fn make_file(path: &Path, size: usize) -> Result<(), Failure> {
    fs::write(path, file(size)).map_err(Failure::io(format!("writing {}", path.display())))
}

/// Bytes without a pattern, the same in each run.
pub(crate) fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}
