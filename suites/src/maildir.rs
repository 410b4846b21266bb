//! What clients and servers of mail leave in a Maildir.

use std::{fs, path::Path};

/// The messages of a Maildir, in the order of their names.
pub fn messages(maildir: &Path) -> Vec<Vec<u8>> {
    let folders = ["new", "cur"].map(|name| maildir.join(name));
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|file| file.file_name().unwrap().to_owned());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}
