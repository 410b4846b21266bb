//! From the arguments to the text of Python files.

mod decode;
mod walk;

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use self::{
    decode::{Decoded, decode},
    walk::{Listing, walk},
};
use crate::limits::Limits;

/// A file that was read.
#[derive(Debug)]
pub struct Source {
    /// As the user wrote it.
    pub path: String,
    /// Its dotted name, by the packages around it.
    pub module: String,
    /// True for `__init__.py`.
    pub is_package: bool,
    /// Its text.
    pub text: String,
    /// The reason why the text may be read wrongly.
    pub doubt: Option<String>,
}

/// A path that could not be read, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unread {
    /// The path.
    pub path: String,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Reads all Python files of the arguments, in the order of their paths, and says which could not be read.
pub fn read(arguments: &[PathBuf], limits: &Limits) -> (Vec<Source>, Vec<Unread>) {
    let Listing { files, mut unread } = walk(arguments, limits);
    let mut sources = Vec::new();
    let mut left = limits.total_size;
    for path in files {
        match read_file(&path, limits.file_size.min(left), left < limits.file_size) {
            Ok((bytes, text)) => {
                left -= bytes;
                let (module, is_package) = module_name(&path);
                let path = shown(&path);
                sources.push(Source {
                    path,
                    module,
                    is_package,
                    text: text.text,
                    doubt: text.doubt,
                });
            }
            Err(reason) => unread.push(Unread {
                path: shown(&path),
                reason,
            }),
        }
    }
    (sources, unread)
}

/// Control characters and bytes that are no UTF-8 would confuse a terminal.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

const NOT_REGULAR: &str = "is no regular file";

/// To read a file of this size may block all the same, as `/proc/kmsg` does. Files of a program have a size.
fn is_empty(kind: &fs::Metadata) -> bool {
    kind.len() == 0
}

fn read_file(path: &Path, limit: u64, is_total: bool) -> Result<(u64, Decoded), String> {
    let broken = |error: io::Error| error.to_string();
    // A FIFO would block when it is opened.
    let kind = fs::metadata(path).map_err(broken)?;
    if !kind.is_file() {
        return Err(NOT_REGULAR.to_owned());
    }
    let mut bytes = Vec::new();
    if is_empty(&kind) {
        return Ok((0, decode(&bytes)?));
    }
    let file = fs::File::open(path).map_err(broken)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    let length = bytes.len() as u64;
    if length > limit {
        let option = if is_total {
            "all files have more bytes than --max-total-size"
        } else {
            "has more bytes than --max-file-size"
        };
        return Err(option.to_owned());
    }
    Ok((length, decode(&bytes)?))
}

/// Python's name of a file: the packages are the folders around it that have an `__init__.py`.
fn module_name(path: &Path) -> (String, bool) {
    let stem = |path: &Path| {
        path.file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    };
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_package = stem(path) == "__init__";
    let mut parts = if is_package {
        Vec::new()
    } else {
        vec![stem(path)]
    };
    let mut folder = full.parent();
    while let Some(here) = folder.filter(|here| here.join("__init__.py").is_file()) {
        parts.extend(
            here.file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
        folder = here.parent();
    }
    parts.reverse();
    (parts.join("."), is_package)
}
