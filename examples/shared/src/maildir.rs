//! Delivery into a Maildir (<https://cr.yp.to/proto/maildir.html>): a message is a file that gets its place in `new` when it
//! is complete and on the disk. The calls wait for the disk, so they belong on a thread of their own.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

/// A file in `tmp` that nobody has touched for this time was left behind by a delivery that was killed.
const ABANDONED: Duration = Duration::from_secs(36 * 3600);

/// A Maildir that messages are delivered into, by several threads at a time.
#[derive(Debug)]
pub struct Maildir {
    tmp: PathBuf,
    new: PathBuf,
    host: String,
    deliveries: AtomicU64,
}

/// A message that is being written. Dropped, it was never there.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    /// `None` once it has its place.
    path: Option<PathBuf>,
    name: String,
}

impl Maildir {
    /// Makes the folders that are missing, readable for the user alone.
    ///
    /// # Errors
    /// What the system says, with the name of the folder.
    pub fn open(folder: &Path, host: &str) -> io::Result<Self> {
        let inside = |name: &str| folder.join(name);
        let above = above_missing(folder);
        for part in [folder.into(), inside("tmp"), inside("new"), inside("cur")] {
            make(&part).map_err(|error| named(&part, &error))?;
        }
        let maildir = Self {
            tmp: inside("tmp"),
            new: inside("new"),
            host: escaped(host),
            deliveries: AtomicU64::new(0),
        };
        for part in above.into_iter().chain([folder, &maildir.new]) {
            sync(part).map_err(|error| named(part, &error))?;
        }
        maildir.sweep()?;
        Ok(maildir)
    }

    /// Begins a message.
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn begin(&self) -> io::Result<Draft> {
        let name = self.unique();
        let path = self.tmp.join(&name);
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        match options.open(&path) {
            Ok(file) => Ok(Draft {
                file: BufWriter::new(file),
                path: Some(path),
                name,
            }),
            Err(error) => Err(named(&path, &error)),
        }
    }

    /// Waits until the message is on the disk, and gives it its place. The message is there for certain after the next
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn deliver(&self, mut draft: Draft) -> io::Result<PathBuf> {
        let place = self.new.join(&draft.name);
        let moved = draft.move_to(&place);
        moved.map_err(|error| named(&place, &error))?;
        draft.path = None;
        Ok(place)
    }

    /// Waits until all that was delivered before is on the disk with its name.
    ///
    /// # Errors
    /// What the system says, with the name of the folder.
    pub fn commit(&self) -> io::Result<()> {
        sync(&self.new).map_err(|error| named(&self.new, &error))
    }

    /// `SECONDS.MmicrosecondsPpidQdeliveries.HOST`.
    fn unique(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        format!(
            "{}.M{:06}P{}Q{}.{}",
            now.as_secs(),
            now.subsec_micros(),
            process::id(),
            self.deliveries.fetch_add(1, Ordering::Relaxed),
            self.host
        )
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.tmp).map_err(|error| named(&self.tmp, &error))? {
            let Ok(entry) = entry else { continue };
            let age = entry.metadata().and_then(|about| about.modified());
            let age = age.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // Another program may be faster.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

impl Draft {
    /// What tells this delivery from all others, without the host.
    pub fn id(&self) -> &str {
        let mut dots = self.name.match_indices('.').map(|(at, _)| at);
        let end = dots.nth(1).unwrap_or(self.name.len());
        &self.name[..end]
    }

    fn move_to(&mut self, place: &Path) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        match &self.path {
            Some(path) => fs::rename(path, place),
            None => Ok(()),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.file.write(data);
        written.map_err(|error| match &self.path {
            Some(path) => named(path, &error),
            None => error,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Readers of the folder remove what is left behind, too.
            let _ = fs::remove_file(path);
        }
    }
}

/// The folders that get a new name. A crash that takes one of these names takes the messages below it.
fn above_missing(folder: &Path) -> Vec<&Path> {
    let absent = folder.ancestors().take_while(|path| !path.exists());
    let above = absent.filter_map(Path::parent);
    above
        .map(|path| match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        })
        .collect()
}

fn make(folder: &Path) -> io::Result<()> {
    #[allow(unused_mut, reason = "elsewhere than on Unix")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    builder.recursive(true).create(folder)
}

/// As the specification has it: a name must not lead elsewhere, and a colon begins the flags. On Windows a backslash leads
/// elsewhere, and a colon begins a stream of the file.
fn escaped(host: &str) -> String {
    let escape = if cfg!(windows) { '=' } else { '\\' };
    let slash = host.replace('/', &format!("{escape}057"));
    slash.replace(':', &format!("{escape}072"))
}

/// So that a new name outlives a crash.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows opens no folders, and its file systems keep names by themselves.
#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The kind stays: a disk may be full.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("ASCII"))
            .collect()
    }

    #[test]
    fn a_message_has_a_place_when_it_is_complete_and_no_trace_when_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("mail");
        let maildir = Maildir::open(&top, "a/b:c").expect("a Maildir");
        let mut draft = maildir.begin().expect("a draft");
        draft.write_all(b"text").expect("a disk");
        assert_eq!(names(&top.join("new")), [""; 0]);
        assert_eq!(names(&top.join("tmp")).len(), 1);
        let id = draft.id().to_owned();
        maildir.deliver(draft).expect("a disk");
        maildir.commit().expect("a disk");
        let [name] = &names(&top.join("new"))[..] else {
            panic!("one message");
        };
        let host = match cfg!(windows) {
            true => "a=057b=072c",
            false => "a\\057b\\072c",
        };
        assert_eq!(name, &format!("{id}.{host}"));
        assert!(crate::windows_name::is_usable_here(name.as_ref()), "{name}");
        assert_eq!(
            fs::read(top.join("new").join(name)).expect("a file"),
            b"text"
        );
        let dropped = maildir.begin().expect("a draft");
        assert_ne!(dropped.id(), id);
        drop(dropped);
        assert_eq!(names(&top.join("tmp")), [""; 0]);
        assert_eq!(names(&top.join("new")).len(), 1);
    }

    #[test]
    fn folders_that_get_a_new_one_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path();
        assert!(above_missing(top).is_empty());
        assert_eq!(above_missing(&top.join("a")), [top]);
        assert_eq!(above_missing(&top.join("a/b")), [&*top.join("a"), top]);
        assert_eq!(above_missing(Path::new("no-such-folder")), [Path::new(".")]);
    }

    #[test]
    fn what_killed_deliveries_left_goes_after_36_hours() {
        let folder = tempfile::tempdir().expect("a folder");
        Maildir::open(folder.path(), "host").expect("a Maildir");
        let old = SystemTime::now() - ABANDONED - Duration::from_secs(1);
        for (name, time) in [("old", old), ("recent", SystemTime::now())] {
            let file = File::create(folder.path().join("tmp").join(name)).expect("a file");
            file.set_modified(time).expect("a time");
        }
        Maildir::open(folder.path(), "host").expect("a Maildir");
        assert_eq!(names(&folder.path().join("tmp")), ["recent"]);
    }

    #[test]
    fn an_error_names_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        for path in [&file, &file.join("x"), &file.join("x/y")] {
            let error = Maildir::open(path, "host").expect_err("no folder");
            assert!(
                error.to_string().contains(&*path.to_string_lossy()),
                "{error}"
            );
        }
        let maildir = Maildir::open(&folder.path().join("mail"), "host").expect("a Maildir");
        fs::remove_dir_all(folder.path().join("mail/tmp")).expect("a folder");
        let error = maildir.begin().expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
