//! A folder of messages, a file each, that is whole or not there (Maildir): written below `tmp`, renamed to `new`, and on the disk
//! before anybody is told.

use std::{
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use asynchat::BoxError;

/// A folder with `tmp`, `new` and `cur`.
#[derive(Debug)]
pub struct Maildir {
    root: PathBuf,
    delivered: u64,
    /// Other hosts and processes have other names.
    run: u64,
}

impl Maildir {
    /// Makes what is not there of the folder.
    ///
    /// # Errors
    /// What the system says, with the name of the folder.
    pub fn open(root: &Path) -> Result<Self, BoxError> {
        for name in ["tmp", "new", "cur"] {
            let folder = root.join(name);
            make_folder(&folder).map_err(|error| failed(&folder, &error))?;
        }
        sync_folder(root).map_err(|error| failed(root, &error))?;
        Ok(Self {
            root: root.into(),
            delivered: 0,
            run: RandomState::new().build_hasher().finish(),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins a message.
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn deliver(&mut self) -> Result<Delivery, BoxError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        self.delivered += 1;
        let name = format!(
            "{}.M{:06}P{}Q{}R{:016x}.asynchat",
            now.as_secs(),
            now.subsec_micros(),
            process::id(),
            self.delivered,
            self.run
        );
        let part = self.root.join("tmp").join(&name);
        let file = make_file(&part).map_err(|error| failed(&part, &error))?;
        Ok(Delivery {
            file: BufWriter::new(file),
            held: false,
            part: Part(Some(part)),
            message: self.root.join("new").join(name),
        })
    }
}

/// A message on its way. It is gone if it is dropped.
#[derive(Debug)]
pub struct Delivery {
    file: BufWriter<File>,
    /// A CR that may belong to a line end.
    held: bool,
    part: Part,
    message: PathBuf,
}

impl Delivery {
    /// A piece of the message. A line end CR LF becomes LF, as programs expect it in files.
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn write(&mut self, data: &[u8]) -> Result<(), BoxError> {
        self.put(data).map_err(|error| self.failed(&error))
    }

    fn put(&mut self, mut data: &[u8]) -> io::Result<()> {
        if self.held && !data.is_empty() {
            self.held = false;
            if data[0] != b'\n' {
                self.file.write_all(b"\r")?;
            }
        }
        while let Some(at) = memchr::memchr(b'\r', data) {
            let (before, rest) = data.split_at(at);
            self.file.write_all(before)?;
            data = &rest[1..];
            match data.first() {
                None => self.held = true,
                Some(b'\n') => {}
                Some(_) => self.file.write_all(b"\r")?,
            }
        }
        self.file.write_all(data)
    }

    /// The end of the message. It is on the disk, under the name that this gives.
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn commit(mut self) -> Result<PathBuf, BoxError> {
        self.settle().map_err(|error| self.failed(&error))?;
        Ok(self.message)
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.held {
            self.file.write_all(b"\r")?;
        }
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if let Some(part) = &self.part.0 {
            fs::rename(part, &self.message)?;
        }
        self.part.0 = None;
        self.message.parent().map_or(Ok(()), sync_folder)
    }

    fn failed(&self, error: &io::Error) -> BoxError {
        failed(&self.message, error)
    }
}

/// The file below `tmp`.
#[derive(Debug)]
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Readers of the folder remove what was left behind, too.
            let _ = fs::remove_file(path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> BoxError {
    format!("{}: {error}", path.display()).into()
}

/// Mail is nobody else's business.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    builder.recursive(true).create(path)
}

fn make_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    options.mode(0o600);
    options.write(true).create_new(true).open(path)
}

/// So that a new name outlives a crash.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows opens no folders, and its file systems keep names by themselves.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("a file").path()).collect()
    }

    #[test]
    fn a_message_is_there_when_it_is_whole() {
        let root = tempfile::tempdir().expect("a folder");
        let mut maildir = Maildir::open(&root.path().join("a/b")).expect("a folder");
        let root = maildir.root().to_owned();
        let text = b"a\r\n\r\nb\rc\r\r\nd\ne\r";
        for size in 1..=text.len() {
            let mut delivery = maildir.deliver().expect("a file");
            for piece in text.chunks(size) {
                delivery.write(piece).expect("room");
            }
            assert_eq!(names(&root, "new").len(), size - 1);
            let path = delivery.commit().expect("room");
            assert_eq!(fs::read(&path).expect("a file"), b"a\n\nb\rc\r\nd\ne\r");
            assert!(names(&root, "new").contains(&path));
            assert!(names(&root, "tmp").is_empty());
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).expect("a file").permissions().mode();
                assert_eq!(mode & 0o77, 0, "{mode:o}");
            }
        }
    }

    #[test]
    fn a_message_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let mut maildir = Maildir::open(root.path()).expect("a folder");
        let mut delivery = maildir.deliver().expect("a file");
        delivery.write(b"half").expect("room");
        assert_eq!(names(root.path(), "tmp").len(), 1);
        drop(delivery);
        assert!(names(root.path(), "tmp").is_empty() && names(root.path(), "new").is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = Maildir::open(&file).expect_err("no folder").to_string();
        assert!(error.contains("file"), "{error}");
    }
}
