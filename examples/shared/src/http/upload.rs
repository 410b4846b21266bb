//! The body of a request: bytes and files in turn. Files are sent from where they are, and can be sent again.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

use asynchat::{Bytes, ChatChannel, FilePart};

#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    /// Open all the time: if its name gets another file, the length announced is still right.
    File {
        path: PathBuf,
        file: Rc<File>,
        len: u64,
    },
}

/// Clones are one body.
#[derive(Clone, Default)]
pub struct Upload {
    pieces: Vec<Piece>,
    content_type: Option<String>,
    len: u64,
}

impl Upload {
    pub fn new(content_type: Option<String>) -> Self {
        Self {
            content_type,
            ..Self::default()
        }
    }

    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.len += bytes.len() as u64;
        self.pieces.push(Piece::Bytes(bytes));
    }

    /// Opens a file whose content comes next.
    ///
    /// # Errors
    /// What the system says, with the name of the file. A pipe or a device has no length, and cannot be sent again.
    pub fn push_file(&mut self, path: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        // Opening a pipe would wait for its writer.
        let about = std::fs::metadata(path).map_err(failed)?;
        if !about.is_file() {
            return Err(format!("{}: not a regular file", path.display()));
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        self.len += len;
        self.pieces.push(Piece::File {
            path: path.into(),
            file: Rc::new(file),
            len,
        });
        Ok(())
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Queues all of it.
    ///
    /// # Errors
    /// A file has become shorter than announced.
    pub(super) fn send(&self, chat: &mut ChatChannel<'_>) -> Result<(), String> {
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => chat.push(bytes.clone()),
                Piece::File { path, file, len } => {
                    let part = file.try_clone().and_then(|file| FilePart::new(file, ..len));
                    chat.push_file(part.map_err(|error| format!("{}: {error}", path.display()))?);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("len", &self.len).finish()
    }
}
