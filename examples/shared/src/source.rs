//! Files that the user names: a text that a client sends, and one that is read whole.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::text::printable;

/// Can be read from its beginning any number of times.
#[derive(Debug)]
pub enum Source {
    File(PathBuf),
    /// Without a name.
    Copy(File),
}

impl Source {
    /// `-` is standard input. That, a pipe or a device is read to its end: a slow one would block the loop later, and no
    /// server waits long.
    ///
    /// # Errors
    /// What the system says; a folder.
    pub fn new(name: &OsStr) -> io::Result<Self> {
        if name == "-" {
            return Self::copy(io::stdin().lock());
        }
        let path = Path::new(name);
        match path.metadata()? {
            metadata if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            metadata if metadata.is_file() => Ok(Self::File(path.into())),
            _ => Self::copy(File::open(path)?),
        }
    }

    fn copy(mut from: impl Read) -> io::Result<Self> {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut from, &mut copy)?;
        Ok(Self::Copy(copy))
    }

    /// From its beginning. One reader at a time.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<File> {
        match self {
            Self::File(path) => File::open(path),
            Self::Copy(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Ok(file)
            }
        }
    }
}

/// All of a file, which may have this number of bytes. The size that the system gives says nothing of a pipe or a device.
///
/// # Errors
/// What the system says; more bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!("more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// The name of a source as it may be shown.
pub fn label(name: &OsStr) -> String {
    match name.to_str() {
        Some("-") => "standard input".into(),
        _ => printable(&name.to_string_lossy()),
    }
}
