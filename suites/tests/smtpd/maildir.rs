//! The Maildir of a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A folder that is to become one.
pub(crate) struct Maildir(TempDir);

impl Maildir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn files(&self, part: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(part)).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// How many files there are in one of its folders.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.files(part).len()
    }

    /// All messages that were delivered.
    pub(crate) fn messages(&self) -> Vec<String> {
        let files = self.files("new").into_iter();
        files
            .map(|file| String::from_utf8(fs::read(file).unwrap()).unwrap())
            .collect()
    }

    #[track_caller]
    pub(crate) fn only_message(&self) -> String {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }
}
