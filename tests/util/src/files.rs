//! Files to send.

use std::{fs::File, io::Write};

use asynchat::FilePart;

/// Bytes of which no stretch of 8 comes twice; another `salt`, other bytes.
pub fn content(salt: u32, len: usize) -> Vec<u8> {
    (0..len.div_ceil(8) as u32)
        .flat_map(|n| [salt.to_be_bytes(), n.to_be_bytes()].concat())
        .take(len)
        .collect()
}

/// A file without a name that holds `bytes`.
pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A file of so many bytes that take no place on the disk.
pub fn hole(len: u64) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    file
}

/// The whole of a file.
pub fn whole(file: File) -> FilePart {
    FilePart::new(file, ..).unwrap()
}
