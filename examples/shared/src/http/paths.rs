//! From the path of a request to a file below the root, and to nothing else.
//!
//! No name that is looked up can lead upwards, and where a symbolic link is on the way, the place it leads to is checked.
//! Who may write below the root could swap a directory for a link between check and use; such a person is trusted.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
};

use super::escape;

/// What is there.
#[derive(Debug)]
pub enum Found {
    File(PathBuf, Metadata),
    Directory(PathBuf),
}

/// Why there is nothing to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A percent sign that escapes nothing.
    Malformed,
    NotFound,
    Forbidden,
    /// No descriptor or memory left.
    Overloaded,
    Failed,
}

/// Where files are served from.
#[derive(Clone, Debug)]
pub struct Root {
    directory: PathBuf,
    /// Whether names that begin with a dot exist for clients.
    hidden: bool,
}

impl Root {
    /// Checks that `directory` is one.
    pub fn new(directory: &Path, hidden: bool) -> io::Result<Self> {
        let directory = directory.canonicalize()?;
        fs::read_dir(&directory)?;
        Ok(Self { directory, hidden })
    }

    /// Finds what `path`, the still escaped path of a URL, names.
    pub fn find(&self, path: &str) -> Result<Found, Refused> {
        let relative = path.strip_prefix('/').ok_or(Refused::Malformed)?;
        let (relative, slash) = match relative.strip_suffix('/') {
            Some(relative) => (relative, true),
            None => (relative, relative.is_empty()),
        };
        let mut place = self.directory.clone();
        if relative.is_empty() {
            // `//` is not the root: an empty name is as little there as any other that does not exist.
            return if path == "/" {
                Ok(Found::Directory(place))
            } else {
                Err(Refused::NotFound)
            };
        }
        let mut metadata = None;
        for segment in relative.split('/') {
            let name = escape::decode(segment.as_bytes()).ok_or(Refused::Malformed)?;
            place.push(self.check_name(&name)?);
            metadata = Some(self.look(&mut place)?);
        }
        match metadata {
            Some(metadata) if metadata.is_dir() => Ok(Found::Directory(place)),
            Some(metadata) if metadata.is_file() && !slash => Ok(Found::File(place, metadata)),
            Some(metadata) if metadata.is_file() => Err(Refused::NotFound),
            // Pipes and devices: to open one may block for ever.
            _ => Err(Refused::Forbidden),
        }
    }

    /// Finds the file `name` in a directory that was found.
    pub fn find_in(&self, directory: &Path, name: &str) -> Option<(PathBuf, Metadata)> {
        let mut place = directory.join(name);
        let metadata = self.look(&mut place).ok()?;
        metadata.is_file().then_some((place, metadata))
    }

    /// Whether an entry of a directory is shown.
    pub fn shows(&self, name: &OsStr) -> bool {
        self.hidden || !name.as_encoded_bytes().starts_with(b".")
    }

    /// Follows one step, through a symbolic link only if that stays below the root.
    pub fn look(&self, place: &mut PathBuf) -> Result<Metadata, Refused> {
        let metadata = fs::symlink_metadata(&place).map_err(|error| refused(&error, place))?;
        if !metadata.is_symlink() {
            return Ok(metadata);
        }
        let target = place
            .canonicalize()
            .map_err(|error| refused(&error, place))?;
        if !target.starts_with(&self.directory) {
            return Err(Refused::Forbidden);
        }
        // A link is no way around a name that does not exist for clients.
        let below = target.strip_prefix(&self.directory).unwrap_or(&target);
        if !below.iter().all(|name| self.shows(name)) {
            return Err(Refused::NotFound);
        }
        *place = target;
        fs::metadata(&place).map_err(|error| refused(&error, place))
    }

    fn check_name<'n>(&self, name: &'n [u8]) -> Result<&'n OsStr, Refused> {
        if matches!(name, b"." | b"..") {
            return Err(Refused::Forbidden);
        }
        let name = os_str(name)
            .filter(|name| self.shows(name))
            .ok_or(Refused::NotFound)?;
        // One plain name in the eyes of this system: on Windows that rules out backslashes and drive letters.
        let mut components = Path::new(name).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(plain)), None) if plain == name => Ok(name),
            _ => Err(Refused::NotFound),
        }
    }
}

/// What a failed system call means for the client.
pub fn refused(error: &io::Error, place: &Path) -> Refused {
    use io::ErrorKind as K;
    match error.kind() {
        // A NUL in a name, and a name that is too long.
        K::NotFound | K::NotADirectory | K::InvalidInput | K::InvalidFilename => Refused::NotFound,
        K::PermissionDenied => Refused::Forbidden,
        _ if cfg!(unix) && matches!(error.raw_os_error(), Some(ELOOP_LINUX)) => Refused::NotFound,
        K::OutOfMemory => Refused::Overloaded,
        _ if cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
            log::warn!("{}: {error}", place.display());
            Refused::Overloaded
        }
        _ => {
            log::error!("{}: {error}", place.display());
            Refused::Failed
        }
    }
}

// std has no ErrorKind for these.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ELOOP_LINUX: i32 = 40;

#[cfg(unix)]
fn os_str(name: &[u8]) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt;
    Some(OsStr::from_bytes(name))
}

#[cfg(not(unix))]
fn os_str(name: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(name).ok().map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused_before_any_lookup() {
        let top = tempfile::tempdir().expect("a directory");
        let root_dir = top.path().join("root");
        fs::create_dir_all(root_dir.join("sub")).expect("a directory");
        fs::write(root_dir.join("file"), "inside").expect("a file");
        fs::write(root_dir.join(".secret"), "hidden").expect("a file");
        fs::write(top.path().join("outside"), "outside").expect("a file");
        let root = Root::new(&root_dir, false).expect("a root");
        for (path, why) in [
            ("/..", Refused::Forbidden),
            ("/../outside", Refused::Forbidden),
            ("/sub/../../outside", Refused::Forbidden),
            ("/%2e%2e/outside", Refused::Forbidden),
            ("/.%2E/outside", Refused::Forbidden),
            ("/sub/./", Refused::Forbidden),
            ("/..%2foutside", Refused::NotFound),
            ("/%2e%2e%2foutside", Refused::NotFound),
            ("//", Refused::NotFound),
            ("//file", Refused::NotFound),
            ("/sub//", Refused::NotFound),
            ("/%2ffile", Refused::NotFound),
            ("/file%2f", Refused::NotFound),
            ("/file%00", Refused::NotFound),
            ("/%00/file", Refused::NotFound),
            ("/file/", Refused::NotFound),
            ("/file/x", Refused::NotFound),
            ("/.secret", Refused::NotFound),
            ("/%2esecret", Refused::NotFound),
            ("/absent", Refused::NotFound),
            ("/%zz", Refused::Malformed),
            ("file", Refused::Malformed),
        ] {
            assert_eq!(root.find(path).err(), Some(why), "{path}");
        }
        assert!(matches!(root.find("/%66ile"), Ok(Found::File(..))));
        assert!(matches!(root.find("/sub"), Ok(Found::Directory(_))));
        assert!(matches!(root.find("/sub/"), Ok(Found::Directory(_))));
        let open = Root::new(&root_dir, true).expect("a root");
        assert!(matches!(open.find("/.secret"), Ok(Found::File(..))));
    }
}
