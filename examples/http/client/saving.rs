//! The consumer behind `-o`: saves the body before it hands it on.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use asynchat::{BoxError, Result};
use shared::http::consumer::{Consumer, Request};
use tempfile::NamedTempFile;

use crate::output::Screen;

/// As many symbolic links as Linux follows.
const MAX_LINKS: usize = 40;

/// Where a body is saved.
#[derive(Clone, Debug)]
pub(crate) enum Target {
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
    fn open(&self) -> io::Result<Sink> {
        match self {
            Self::Stdout if io::stdout().is_terminal() => {
                Ok(Sink::Stream(Box::new(Screen::new(io::stdout()))))
            }
            Self::Stdout => Ok(Sink::Stream(Box::new(io::stdout()))),
            Self::File(path) => Sink::file(path),
        }
    }

    fn failed(&self, error: &io::Error) -> BoxError {
        match self {
            Self::Stdout => format!("standard output: {error}").into(),
            Self::File(path) => format!("{}: {error}", path.display()).into(),
        }
    }
}

/// Where the pieces of a body go.
enum Sink {
    /// To be seen as they come.
    Stream(Box<dyn Write>),
    /// Into a file beside `path`, which gets that name when the body is complete.
    Beside { part: NamedTempFile, path: PathBuf },
}

impl Sink {
    fn file(path: &Path) -> io::Result<Self> {
        let old = match fs::metadata(path) {
            Ok(other) if !other.is_file() => {
                // A device or pipe takes the body itself, and a folder is an error.
                let other = File::options().write(true).open(path)?;
                return Ok(Self::Stream(Box::new(other)));
            }
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

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_all(data),
            Self::Beside { part, .. } => part.write_all(data),
        }
    }

    fn finish(self, complete: bool) -> io::Result<()> {
        match self {
            // Standard output keeps the end of a line back.
            Self::Stream(mut stream) => stream.flush(),
            Self::Beside { part, path } if complete => {
                part.persist(path).map(drop).map_err(|error| error.error)
            }
            Self::Beside { part, .. } => part.close(),
        }
    }
}

/// A file with the permissions of the older one, or those that any new file gets.
fn part_in(folder: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".http_client-").suffix(".part");
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

pub(crate) struct Saving<C> {
    target: Target,
    /// Opened when there is something to save, so that a failed connection leaves an older file alone.
    sink: Option<Sink>,
    consumer: C,
}

impl<C> Saving<C> {
    pub(crate) fn new(target: Target, consumer: C) -> Self {
        Self {
            target,
            sink: None,
            consumer,
        }
    }
}

impl<C: Consumer> Consumer for Saving<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.consumer.http_header(request)?;
        let sink = self
            .target
            .open()
            .map_err(|error| self.target.failed(&error))?;
        self.sink = Some(sink);
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        if let Some(sink) = &mut self.sink {
            sink.write_all(data)
                .map_err(|error| self.target.failed(&error))?;
        }
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let complete = outcome.is_ok();
        let saved = match self.sink.take() {
            Some(sink) => sink.finish(complete),
            None => Ok(()),
        };
        let saved = saved.map_err(|error| self.target.failed(&error));
        self.consumer.close(outcome.and(saved));
    }
}
