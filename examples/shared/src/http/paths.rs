//! From the path of a request to a file below the root, and to nothing else.
//!
//! Dots and empty names are resolved before anything is looked up, so no name that is looked up can lead upwards, and
//! where a symbolic link is on the way, the place it leads to is checked.
//! Who may write below the root could swap a directory for a link between check and use; such a person is trusted.

use std::{
    borrow::Cow,
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
};

use super::escape;
use crate::windows_name;

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

/// The path of a request: names, decoded, without `.`, `..` and empty ones, so that each place has one spelling.
#[derive(Debug)]
pub struct Target<'p> {
    names: Vec<Cow<'p, [u8]>>,
    /// It can only be a directory: it ends with a slash, or with dots.
    slash: bool,
}

impl<'p> Target<'p> {
    /// Resolves the still escaped path of a URL as RFC 3986, 5.2.4 does, but does not stop silently at the root.
    pub fn parse(path: &'p str) -> Result<Self, Refused> {
        let relative = path.strip_prefix('/').ok_or(Refused::Malformed)?;
        let mut names = Vec::new();
        let mut slash = true;
        for segment in relative.split('/') {
            let name = escape::decode(segment.as_bytes()).ok_or(Refused::Malformed)?;
            slash = matches!(&*name, b"" | b"." | b"..");
            if *name == *b".." {
                names.pop().ok_or(Refused::Forbidden)?;
            } else if !slash {
                names.push(name);
            }
        }
        Ok(Self { names, slash })
    }

    /// Whether the path ends with a slash, or with dots.
    pub fn has_slash(&self) -> bool {
        self.slash
    }

    pub fn names(&self) -> &[Cow<'p, [u8]>] {
        &self.names
    }

    /// The last name; of the root it is empty.
    pub fn name(&self) -> &[u8] {
        self.names.last().map_or(b"", |name| name)
    }

    /// As a directory, for people: not escaped.
    pub fn shown(&self) -> Vec<u8> {
        let names = self.names.iter().flat_map(|name| [name, &b"/"[..]]);
        [&b"/"[..]]
            .into_iter()
            .chain(names)
            .flatten()
            .copied()
            .collect()
    }

    /// As a directory, for a URL. It begins with one slash, or a browser would take the first name for a host.
    pub fn url(&self) -> String {
        let names = self
            .names
            .iter()
            .map(|name| format!("{}/", escape::segment(name)));
        ["/".to_owned()].into_iter().chain(names).collect()
    }
}

/// Where files are served from.
#[derive(Clone, Debug)]
pub struct Root {
    directory: PathBuf,
    /// Whether names that begin with a dot exist for clients.
    hidden: bool,
    /// Whether links may lead out of the directory.
    leaves: bool,
}

impl Root {
    /// Checks that `directory` is one.
    pub fn new(directory: &Path, hidden: bool) -> io::Result<Self> {
        let directory = directory.canonicalize()?;
        fs::read_dir(&directory)?;
        Ok(Self {
            directory,
            hidden,
            leaves: false,
        })
    }

    /// Sets whether symbolic links are followed out of the directory.
    #[must_use]
    pub fn follow_symlinks(self, leaves: bool) -> Self {
        Self { leaves, ..self }
    }

    /// Finds what a target names.
    pub fn find(&self, target: &Target<'_>) -> Result<Found, Refused> {
        let mut place = self.directory.clone();
        let mut metadata = None;
        for (depth, name) in target.names.iter().enumerate() {
            place.push(self.check_name(name, depth)?);
            metadata = Some(self.look(&mut place)?);
        }
        match metadata {
            None => Ok(Found::Directory(place)),
            Some(metadata) if metadata.is_dir() => Ok(Found::Directory(place)),
            Some(metadata) if metadata.is_file() && !target.slash => {
                Ok(Found::File(place, metadata))
            }
            Some(metadata) if metadata.is_file() => Err(Refused::NotFound),
            // Pipes and devices: to open one may block for ever.
            Some(_) => Err(Refused::Forbidden),
        }
    }

    /// Finds the first file on the way that names lead, and the number of names up to it.
    pub fn find_first_file(
        &self,
        names: &[Cow<'_, [u8]>],
    ) -> Result<(PathBuf, Metadata, usize), Refused> {
        let mut place = self.directory.clone();
        for (depth, name) in names.iter().enumerate() {
            place.push(self.check_name(name, depth)?);
            let metadata = self.look(&mut place)?;
            if metadata.is_file() {
                return Ok((place, metadata, depth + 1));
            }
            if !metadata.is_dir() {
                return Err(Refused::Forbidden);
            }
        }
        // A directory.
        Err(Refused::Forbidden)
    }

    /// Whether a place that was found is below this directory.
    pub fn contains(&self, place: &Path) -> bool {
        place.starts_with(&self.directory)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Finds the file `name` in a directory that was found.
    pub fn find_in(&self, directory: &Path, name: &Path) -> Option<(PathBuf, Metadata)> {
        let mut place = directory.join(name);
        let metadata = self.look(&mut place).ok()?;
        metadata.is_file().then_some((place, metadata))
    }

    /// Finds the file of this relative name, which is not a client's.
    pub fn find_at_top(&self, name: &Path) -> Option<(PathBuf, Metadata)> {
        self.find_in(&self.directory, name)
    }

    /// Whether an entry of a directory is shown.
    pub fn shows(&self, name: &OsStr) -> bool {
        windows_name::is_usable_here(name)
            && (self.hidden || !name.as_encoded_bytes().starts_with(b"."))
    }

    /// Whether a name so far below the root exists for clients. `/.well-known/` is there to be asked for (RFC 8615).
    fn serves(&self, name: &OsStr, depth: usize) -> bool {
        self.shows(name) || (depth == 0 && name == ".well-known")
    }

    /// Follows one step, through a symbolic link out of the root only if that is allowed.
    pub fn look(&self, place: &mut PathBuf) -> Result<Metadata, Refused> {
        let metadata = fs::symlink_metadata(&place).map_err(|error| refused(&error, place))?;
        if !metadata.is_symlink() {
            return Ok(metadata);
        }
        let target = place
            .canonicalize()
            .map_err(|error| refused(&error, place))?;
        match target.strip_prefix(&self.directory) {
            // A link is no way around a name that does not exist for clients.
            Ok(below) => {
                let mut names = below.iter().enumerate();
                if !names.all(|(depth, name)| self.serves(name, depth)) {
                    return Err(Refused::NotFound);
                }
            }
            Err(_) if !self.leaves => return Err(Refused::Forbidden),
            Err(_) => {}
        }
        *place = target;
        fs::metadata(&place).map_err(|error| refused(&error, place))
    }

    fn check_name<'n>(&self, name: &'n [u8], depth: usize) -> Result<&'n OsStr, Refused> {
        let name = os_str(name)
            .filter(|name| self.serves(name, depth))
            .ok_or(Refused::NotFound)?;
        // One plain name in the eyes of this system.
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

    /// A directory `root` with files, and a file beside it.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join("root");
        for directory in ["root/sub", "root/.well-known/.git", "root/sub/.well-known"] {
            fs::create_dir_all(top.path().join(directory)).expect("a directory");
        }
        for file in [
            "outside",
            "root/file",
            "root/.secret",
            "root/sub/file",
            "root/.well-known/x",
            "root/.well-known/.git/x",
            "root/sub/.well-known/x",
        ] {
            fs::write(top.path().join(file), file).expect("a file");
        }
        (top, root)
    }

    /// The file's content, or `/` for a directory.
    fn find(root: &Root, path: &str) -> Result<String, Refused> {
        root.find(&Target::parse(path)?).map(|found| match found {
            Found::File(place, _) => fs::read_to_string(place).expect("a file"),
            Found::Directory(_) => "/".into(),
        })
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused_before_any_lookup() {
        let (_top, directory) = tree();
        let root = Root::new(&directory, false).expect("a root");
        for (path, why) in [
            ("/..", Refused::Forbidden),
            ("/../outside", Refused::Forbidden),
            ("/../root/file", Refused::Forbidden),
            ("/sub/../../outside", Refused::Forbidden),
            ("/%2e%2e/outside", Refused::Forbidden),
            ("/.%2E/outside", Refused::Forbidden),
            ("//../outside", Refused::Forbidden),
            ("/./../outside", Refused::Forbidden),
            ("/..%2foutside", Refused::NotFound),
            ("/%2e%2e%2foutside", Refused::NotFound),
            ("/%2ffile", Refused::NotFound),
            ("/file%2f", Refused::NotFound),
            ("/file%00", Refused::NotFound),
            ("/%00/file", Refused::NotFound),
            ("/file/", Refused::NotFound),
            ("/file/.", Refused::NotFound),
            ("/file/x", Refused::NotFound),
            ("/.secret", Refused::NotFound),
            ("/%2esecret", Refused::NotFound),
            ("/sub/../.secret", Refused::NotFound),
            ("/.well-known/.git/x", Refused::NotFound),
            ("/sub/.well-known/x", Refused::NotFound),
            ("/absent", Refused::NotFound),
            ("/%zz", Refused::Malformed),
            ("/%zz/../file", Refused::Malformed),
            ("file", Refused::Malformed),
        ] {
            assert_eq!(find(&root, path), Err(why), "{path}");
        }
        let open = Root::new(&directory, true).expect("a root");
        assert_eq!(find(&open, "/.secret").as_deref(), Ok("root/.secret"));
    }

    #[test]
    fn dots_and_empty_names_are_resolved() {
        let (_top, directory) = tree();
        let root = Root::new(&directory, false).expect("a root");
        for path in [
            "/", "//", "/.", "/./", "/sub", "/sub/", "/sub//", "/sub/..", "/sub/../",
        ] {
            assert_eq!(find(&root, path).as_deref(), Ok("/"), "{path}");
        }
        for path in [
            "/file",
            "//file",
            "/./file",
            "/%66ile",
            "/%2e/file",
            "/sub/../file",
            "/sub/%2E%2e/file",
            "/absent/../file",
            "/sub/sub/../..//file",
        ] {
            assert_eq!(find(&root, path).as_deref(), Ok("root/file"), "{path}");
        }
        assert_eq!(
            find(&root, "/.well-known/x").as_deref(),
            Ok("root/.well-known/x")
        );
    }

    #[test]
    fn a_directory_has_one_url() {
        for (path, shown, url) in [
            ("/", "/", "/"),
            ("//a%20b", "/a b/", "/a%20b/"),
            ("/.//host/", "/host/", "/host/"),
            ("/a/../b/./c", "/b/c/", "/b/c/"),
            ("/%2f%2fhost", "///host/", "/%2F%2Fhost/"),
        ] {
            let target = Target::parse(path).expect("a good path");
            assert_eq!(target.shown(), shown.as_bytes(), "{path}");
            assert_eq!(target.url(), url, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leaves_the_root_only_if_that_is_allowed() {
        let (top, directory) = tree();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, directory.join(name)).expect("a link");
        };
        link("../outside", "out");
        link("..", "up");
        link(".secret", "secret");
        link(".well-known", "well-known");
        fs::create_dir(top.path().join(".hidden")).expect("a directory");
        fs::write(top.path().join(".hidden/x"), "x").expect("a file");
        link("../.hidden", "hidden");
        let root = Root::new(&directory, false).expect("a root");
        for path in ["/out", "/up", "/up/outside", "/hidden/x"] {
            assert_eq!(find(&root, path), Err(Refused::Forbidden), "{path}");
        }
        assert_eq!(
            find(&root, "/well-known/x").as_deref(),
            Ok("root/.well-known/x")
        );
        let root = root.follow_symlinks(true);
        assert_eq!(find(&root, "/out").as_deref(), Ok("outside"));
        assert_eq!(find(&root, "/up/outside").as_deref(), Ok("outside"));
        // The link has been given another name.
        assert_eq!(find(&root, "/hidden/x").as_deref(), Ok("x"));
        for path in ["/secret", "/up/.hidden/x", "/up/root/.secret"] {
            assert_eq!(find(&root, path), Err(Refused::NotFound), "{path}");
        }
    }
}
