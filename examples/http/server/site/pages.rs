//! The pages of directories, kept for a moment: who asks again at once, with GET or HEAD, gets the same bytes.
//!
//! A page is made once however many ask for it, and all who read it share its memory, however slowly they do.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use shared::http::paths::Root;

use super::listing::{self, View};
use crate::limits;

/// The last pages.
#[derive(Debug, Default)]
pub(crate) struct Pages(Vec<Page>);

#[derive(Debug)]
struct Page {
    key: Key,
    modified: SystemTime,
    made: Instant,
    text: Bytes,
}

/// A directory may be reached by several paths, which its pages show.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    place: PathBuf,
    shown: Vec<u8>,
    view: View,
}

impl Pages {
    /// The page of `directory`, whose path in URLs is `shown`, not escaped; at most [`limits::PAGE_AGE`] old.
    pub(crate) fn page(
        &mut self,
        root: &Root,
        directory: &Path,
        shown: &[u8],
        view: View,
        now: Instant,
    ) -> io::Result<Bytes> {
        let modified = fs::metadata(directory)?.modified()?;
        let key = Key {
            place: directory.into(),
            shown: shown.into(),
            view,
        };
        let known = self.0.iter().position(|page| page.key == key);
        if let Some(page) = known.map(|at| &self.0[at])
            && page.modified == modified
            && now.saturating_duration_since(page.made) < limits::PAGE_AGE
        {
            return Ok(page.text.clone());
        }
        let mut text = Bytes::from(listing::page(root, directory, shown, view)?);
        if let Some(old) = known.map(|at| self.0.remove(at))
            && old.text == text
        {
            // Some may still be reading it: one copy is enough.
            text = old.text;
        }
        if self.0.len() == limits::PAGES {
            self.0.remove(0);
        }
        self.0.push(Page {
            key,
            modified,
            made: now,
            text: text.clone(),
        });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(windows)]
    use std::os::windows::fs::OpenOptionsExt;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_is_shared_until_it_changes_and_few_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a"), "a").expect("a file");
        let root = Root::new(dir.path(), false).expect("a root");
        let mut pages = Pages::default();
        let start = Instant::now();
        let mut get = |shown: &str, query, after| {
            let now = start + after;
            let view = View::of_query(query);
            let page = pages.page(&root, dir.path(), shown.as_bytes(), view, now);
            (page.expect("a page"), pages.0.len())
        };
        let first = get("/", "", Duration::ZERO).0;
        assert_eq!(get("/", "", Duration::ZERO).0.as_ptr(), first.as_ptr());
        assert_ne!(get("/", "sort=size", Duration::ZERO).0, first);
        assert_ne!(get("/x/", "", Duration::ZERO).0, first);
        // Made again, found the same.
        assert_eq!(get("/", "", limits::PAGE_AGE).0.as_ptr(), first.as_ptr());
        // The directory stays as it was, the file does not.
        fs::write(dir.path().join("a"), "longer").expect("a file");
        assert_eq!(get("/", "", limits::PAGE_AGE).0, first);
        assert_ne!(get("/", "", limits::PAGE_AGE * 2).0, first);
        fs::write(dir.path().join("b"), "b").expect("a file");
        let past = SystemTime::UNIX_EPOCH;
        let mut options = fs::File::options();
        #[cfg(not(windows))]
        options.read(true);
        // Only so does Windows open a directory (FILE_FLAG_BACKUP_SEMANTICS), and for this (FILE_WRITE_ATTRIBUTES).
        #[cfg(windows)]
        options.custom_flags(0x0200_0000).access_mode(0x100);
        let directory = options.open(dir.path()).expect("the directory");
        directory.set_modified(past).expect("a time");
        let page = get("/", "", limits::PAGE_AGE * 2).0;
        assert!(page.windows(5).any(|part| part == b"\"./b\""));
        for n in 0..2 * limits::PAGES {
            assert!(get(&format!("/{n}/"), "", Duration::ZERO).1 <= limits::PAGES);
        }
    }
}
