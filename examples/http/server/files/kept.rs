//! The files that were served last, kept for a moment (`--file-cache`): a request for one of them looks nothing up. A name
//! that leads to another file since is followed when that time is over.

use std::{
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::Registry;

use super::open::OpenFile;
use crate::{limits, server::Server};

/// By the path of a request, and by what else decides which file is sent.
#[derive(Debug, Default)]
pub(crate) struct KeptFiles {
    by_name: HashMap<Box<str>, Kept>,
    /// Counts the uses of all.
    uses: u64,
    is_swept: bool,
}

#[derive(Debug)]
struct Kept {
    file: Rc<OpenFile>,
    opened: Instant,
    /// Which use of any file was the last one of this.
    last_use: u64,
}

impl KeptFiles {
    /// The file of this name, if it was opened less than `age` ago and is as it was. O(1).
    fn get(&mut self, name: &str, now: Instant, age: Duration) -> Option<Rc<OpenFile>> {
        let kept = self.by_name.get_mut(name)?;
        if now.saturating_duration_since(kept.opened) >= age || !kept.file.is_unchanged() {
            self.by_name.remove(name);
            return None;
        }
        self.uses += 1;
        kept.last_use = self.uses;
        Some(Rc::clone(&kept.file))
    }

    /// Keeps a file that was opened now, in place of the least recently used one if there are too many. O(files kept).
    fn keep(&mut self, name: &str, file: Rc<OpenFile>, now: Instant) {
        if file.has_descriptor() {
            self.make_room(limits::KEPT_DESCRIPTORS, |kept| kept.file.has_descriptor());
        }
        self.make_room(limits::KEPT_FILES, |_| true);
        self.uses += 1;
        let kept = Kept {
            file,
            opened: now,
            last_use: self.uses,
        };
        self.by_name.insert(name.into(), kept);
    }

    /// Leaves fewer than `limit` files of a kind.
    fn make_room(&mut self, limit: usize, is_counted: impl Fn(&Kept) -> bool) {
        let counted = || self.by_name.iter().filter(|(_, kept)| is_counted(kept));
        if counted().count() < limit {
            return;
        }
        let oldest = counted().min_by_key(|(_, kept)| kept.last_use);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.by_name.remove(&name);
        }
    }

    fn sweep(&mut self, now: Instant, age: Duration) {
        let is_young = |kept: &Kept| now.saturating_duration_since(kept.opened) < age;
        self.by_name.retain(|_, kept| is_young(kept));
    }
}

impl Server {
    /// The file of this name if it is kept.
    pub(crate) fn kept_file(&self, name: &str, now: Instant) -> Option<Rc<OpenFile>> {
        let age = self.options.file_cache;
        self.files.borrow_mut().get(name, now, age)
    }

    /// Keeps a file that was just opened.
    pub(crate) fn keep_file(
        self: &Rc<Self>,
        registry: &mut Registry,
        name: &str,
        file: &Rc<OpenFile>,
    ) {
        if self.options.file_cache.is_zero() {
            return;
        }
        let mut files = self.files.borrow_mut();
        files.keep(name, Rc::clone(file), registry.now());
        if !std::mem::replace(&mut files.is_swept, true) {
            self.sweep_later(registry);
        }
    }

    /// A file whose name is gone may never be asked for again, and its blocks on the disk are not free while it is open.
    fn sweep_later(self: &Rc<Self>, registry: &mut Registry) {
        let server = Rc::clone(self);
        let age = self.options.file_cache;
        registry.call_later(age, move |registry| {
            let mut files = server.files.borrow_mut();
            files.sweep(registry.now(), age);
            files.is_swept = !files.by_name.is_empty();
            if files.is_swept {
                server.sweep_later(registry);
            }
            Ok(())
        });
    }

    /// Closes all kept files, to have their descriptors for something else. False if there are none.
    pub(crate) fn forget_files(&self) -> bool {
        let kept = std::mem::take(&mut self.files.borrow_mut().by_name);
        !kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    #[test]
    fn a_file_is_kept_for_its_time_and_few_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("file");
        fs::write(&place, "text").expect("a file");
        let open = || Rc::new(OpenFile::open(&place, "", None, true).expect("a file"));
        let start = Instant::now();
        let mut files = KeptFiles::default();
        files.keep("/a", open(), start);
        let just_before = start + AGE - Duration::from_nanos(1);
        assert!(files.get("/a", just_before, AGE).is_some());
        assert!(files.get("/b", just_before, AGE).is_none());
        files.sweep(just_before, AGE);
        assert_eq!(files.by_name.len(), 1);
        assert!(files.get("/a", start + AGE, AGE).is_none());
        assert!(files.by_name.is_empty());

        files.keep("/used", open(), start);
        for n in 0..2 * limits::KEPT_FILES {
            files.keep(&format!("/{n}"), open(), start);
            assert!(files.get("/used", start, AGE).is_some(), "{n}");
            assert!(files.by_name.len() <= limits::KEPT_FILES);
        }
        assert!(files.get("/0", start, AGE).is_none());
        files.sweep(start + AGE, AGE);
        assert!(files.by_name.is_empty());
    }

    #[test]
    fn a_large_file_that_has_changed_is_not_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("file");
        fs::write(&place, vec![b'x'; limits::INLINE_BODY + 1]).expect("a file");
        let open = OpenFile::open(&place, "", None, true).expect("a file");
        let now = Instant::now();
        let mut files = KeptFiles::default();
        files.keep("/", open.into(), now);
        fs::write(&place, "").expect("a file");
        assert!(files.get("/", now, AGE).is_none());
        assert!(files.by_name.is_empty());
    }

    #[test]
    fn few_files_are_kept_open_and_small_ones_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("file");
        fs::write(&place, "text").expect("a file");
        let open =
            |in_memory| Rc::new(OpenFile::open(&place, "", None, in_memory).expect("a file"));
        let now = Instant::now();
        let mut files = KeptFiles::default();
        files.keep("/small", open(true), now);
        for n in 0..2 * limits::KEPT_DESCRIPTORS {
            files.keep(&format!("/{n}"), open(false), now);
        }
        assert_eq!(files.by_name.len(), 1 + limits::KEPT_DESCRIPTORS);
        assert!(files.get("/small", now, AGE).is_some());
        assert!(files.get("/0", now, AGE).is_none());
    }
}
