//! The body of a request: bytes and files in turn. Files are sent from where they are, and can be sent again.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use asynchat::{Bytes, ChatChannel, FilePart, Produced, Producer};

/// Bytes of a watched file that are read at a time.
const PIECE: usize = 64 * 1024;

#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    /// Open all the time: if its name gets another file, the length announced is still right.
    File {
        path: PathBuf,
        file: Arc<File>,
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
            file: Arc::new(file),
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
    pub(super) fn send(
        &self,
        chat: &mut ChatChannel<'_>,
        watch: Option<&Watch>,
    ) -> Result<(), String> {
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => chat.push(bytes.clone()),
                Piece::File { path, file, len } => {
                    let part = FilePart::shared(Arc::clone(file), ..len);
                    let part = part.map_err(|error| format!("{}: {error}", path.display()))?;
                    match watch.cloned() {
                        None => chat.push_file(part),
                        Some(watch) => chat.push_with_producer(Watched { part, watch }),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Is told the number of further bytes of files that are on their way.
#[derive(Clone)]
pub struct Watch(Rc<dyn Fn(u64)>);

impl Watch {
    pub fn new(tell: impl Fn(u64) + 'static) -> Self {
        Self(Rc::new(tell))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A file that is read here, because the system would not tell how far it has come.
struct Watched {
    part: FilePart,
    watch: Watch,
}

impl Producer for Watched {
    fn more(&mut self) -> io::Result<Produced> {
        let mut piece = vec![0; PIECE];
        let bytes = self.part.read(&mut piece)?;
        piece.truncate(bytes);
        (self.watch.0)(bytes as u64);
        Ok(match bytes {
            0 => Produced::Done,
            _ => Produced::Data(piece.into()),
        })
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("len", &self.len).finish()
    }
}
