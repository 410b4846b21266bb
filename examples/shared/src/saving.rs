//! Where what was fetched goes: standard output, or a file that gets its name when it is complete.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, Metadata},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use asynchat::BoxError;
use tempfile::NamedTempFile;

use crate::{screen, windows_name};

/// As many symbolic links as Linux follows.
const MAX_LINKS: usize = 40;

/// Where a body is saved.
#[derive(Clone, Debug)]
pub enum Target {
    Stdout,
    File(PathBuf),
}

impl From<OsString> for Target {
    fn from(name: OsString) -> Self {
        match name {
            dash if dash == "-" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

impl Target {
    /// Opens what takes the body. Standard output that is a terminal gets a [`Screen`](screen::Screen).
    ///
    /// # Errors
    /// What the system says, with the name of the target.
    pub fn open(&self) -> Result<Sink, BoxError> {
        let way = match self {
            Self::Stdout => Ok(Way::Stream(screen::stdout())),
            Self::File(path) => Way::file(path),
        };
        self.sink(way)
    }

    /// Opens a file to go on behind what it has, and gives its size. A file that is not there is made. It stays if the rest
    /// does not come either. What cannot have a part of the body, as standard output, is opened as by [`open`](Self::open).
    ///
    /// # Errors
    /// What the system says, with the name of the target.
    pub fn append(&self) -> Result<(Sink, u64), BoxError> {
        if let Self::File(path) = self
            && !windows_name::is_device_here(path)
            && (path.is_file() || !path.exists())
        {
            let file = File::options().append(true).create(true).open(path);
            let size = file
                .as_ref()
                .map_or(Ok(0), |file| Ok(file.metadata()?.len()));
            let size = size.map_err(|error| self.failed(&error))?;
            let way = file.map(|file| Way::Stream(Box::new(file)));
            return Ok((self.sink(way)?, size));
        }
        Ok((self.open()?, 0))
    }

    fn sink(&self, way: io::Result<Way>) -> Result<Sink, BoxError> {
        let target = self.clone();
        match way {
            Ok(way) => Ok(Sink { target, way }),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> BoxError {
        match self {
            Self::Stdout => format!("standard output: {error}").into(),
            Self::File(path) => format!("{}: {error}", path.display()).into(),
        }
    }
}

/// What takes a body in pieces.
#[derive(Debug)]
pub struct Sink {
    target: Target,
    way: Way,
}

impl Sink {
    /// # Errors
    /// What the system says, with the name of the target.
    pub fn write_all(&mut self, data: &[u8]) -> Result<(), BoxError> {
        let written = match &mut self.way {
            Way::Stream(stream) => stream.write_all(data),
            Way::Beside { part, .. } => part.write_all(data),
        };
        written.map_err(|error| self.target.failed(&error))
    }

    /// The end. A file beside an older one takes its place if the body is complete, and is removed if not.
    ///
    /// # Errors
    /// What the system says, with the name of the target.
    pub fn finish(self, complete: bool) -> Result<(), BoxError> {
        let finished = match self.way {
            // Standard output keeps the end of a line back.
            Way::Stream(mut stream) => stream.flush(),
            Way::Beside { part, path } if complete => {
                part.persist(path).map(drop).map_err(|error| error.error)
            }
            Way::Beside { part, .. } => part.close(),
        };
        finished.map_err(|error| self.target.failed(&error))
    }
}

enum Way {
    /// To be seen as they come.
    Stream(Box<dyn Write>),
    /// Into a file beside `path`, which gets that name when the body is complete.
    Beside { part: NamedTempFile, path: PathBuf },
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Beside { .. } => "Beside",
        })
    }
}

impl Way {
    fn file(path: &Path) -> io::Result<Self> {
        // A device or pipe takes the body itself, and a folder is an error.
        let stream = || {
            let other = File::options().write(true).open(path)?;
            Ok(Self::Stream(Box::new(other)))
        };
        if windows_name::is_device_here(path) {
            return stream();
        }
        let old = match fs::metadata(path) {
            Ok(other) if !other.is_file() => return stream(),
            Ok(old) if old.permissions().readonly() => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let path = link_target(path);
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let part = part_in(folder, old.as_ref())?;
        Ok(Self::Beside { part, path })
    }
}

/// A file with the permissions of the older one, or those that any new file gets.
fn part_in(folder: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".asynchat-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(Permissions::from_mode(0o666));
    let part = builder.tempfile_in(folder)?;
    if let Some(old) = old {
        #[allow(unused_mut, reason = "elsewhere than on Unix")]
        let mut permissions = old.permissions();
        // Without the set-user-ID bit, which writing would have taken away.
        #[cfg(unix)]
        permissions.set_mode(permissions.mode() & 0o777);
        part.as_file().set_permissions(permissions)?;
    }
    Ok(part)
}

/// The file that a chain of links ends at, there or not: the links stay, and their file is replaced.
fn link_target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => break,
        }
    }
    path
}
