//! Which files an argument stands for.

use std::{
    collections::HashSet,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::Unread;
use crate::limits::Limits;

/// The files of the arguments.
#[derive(Default, Debug)]
pub struct Listing {
    /// Sorted; each once.
    pub files: Vec<PathBuf>,
    /// Paths that could not be read, and why.
    pub unread: Vec<Unread>,
}

impl Listing {
    fn refuse(&mut self, path: &Path, reason: &dyn fmt::Display) {
        let (path, reason) = (super::shown(path), reason.to_string());
        self.unread.push(Unread { path, reason });
    }
}

/// A file that is named is taken as it is. Of a folder and those inside it: `*.py`, `*.pyw` and scripts of Python. Hidden
/// folders and `__pycache__` are left out. A folder that several links lead to is read once.
pub fn walk(arguments: &[PathBuf], limits: &Limits) -> Listing {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    let mut folders: Vec<(PathBuf, usize)> = Vec::new();
    for argument in arguments {
        match fs::metadata(argument) {
            Ok(kind) if kind.is_dir() => folders.push((argument.clone(), 0)),
            Ok(_) => take(&mut listing, &mut seen, argument.clone()),
            Err(error) => listing.refuse(argument, &error),
        }
    }
    while let Some((folder, depth)) = folders.pop() {
        if !fs::canonicalize(&folder).is_ok_and(|real| seen.insert(real)) {
            continue;
        }
        if depth > limits.depth {
            listing.refuse(&folder, &"is deeper than --max-depth");
            continue;
        }
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                listing.refuse(&folder, &error);
                continue;
            }
        };
        for entry in entries {
            let path = entry.path();
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() && is_wanted_folder(&path) => {
                    folders.push((path, depth + 1));
                }
                Ok(kind) if kind.is_file() && is_python(&path, &kind) => {
                    if listing.files.len() >= limits.files {
                        listing.refuse(&folder, &"all folders have more files than --max-files");
                        return sorted(listing);
                    }
                    take(&mut listing, &mut seen, path);
                }
                Ok(kind) if !kind.is_dir() && !kind.is_file() && has_extension(&path) => {
                    listing.refuse(&path, &super::NOT_REGULAR);
                }
                Ok(_) => {}
                // A link that leads nowhere, or to itself.
                Err(error) if has_extension(&path) => listing.refuse(&path, &error),
                Err(_) => {}
            }
        }
    }
    sorted(listing)
}

fn sorted(mut listing: Listing) -> Listing {
    listing.files.sort();
    listing
        .unread
        .sort_by(|one, other| one.path.cmp(&other.path));
    listing
}

fn take(listing: &mut Listing, seen: &mut HashSet<PathBuf>, path: PathBuf) {
    if fs::canonicalize(&path).is_ok_and(|real| !seen.insert(real)) {
        return;
    }
    listing.files.push(path);
}

fn is_wanted_folder(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && name != "__pycache__"
}

fn has_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "py" || extension == "pyw")
}

fn is_python(path: &Path, kind: &fs::Metadata) -> bool {
    has_extension(path) || path.extension().is_none() && !super::is_empty(kind) && is_script(path)
}

/// A file whose first line names python.
fn is_script(path: &Path) -> bool {
    let mut start = [0; 80];
    let length = fs::File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .unwrap_or(0);
    let mut lines = start[..length].split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    first.starts_with(b"#!") && first.windows(6).any(|part| part == b"python")
}
