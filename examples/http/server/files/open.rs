//! A file that is open, or small and in memory: one version of it.

use std::{
    cell::OnceCell,
    fs::{File, Metadata},
    io::{self, Read},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};

use asynchat::{Bytes, FilePart};
use bytes::Buf;

use crate::{
    limits,
    request::conditional::{Span, Validators},
};

/// A file as it was when it was opened.
#[derive(Debug)]
pub(crate) struct OpenFile {
    content: Content,
    state: State,
    pub(crate) validators: Validators,
    pub(crate) content_type: &'static str,
    /// The coding of the file, if it is a compressed one.
    pub(crate) coding: Option<&'static str>,
    /// The header fields of an answer with all of it, written for the first one.
    pub(crate) fields: OnceCell<Rc<[u8]>>,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    File(Arc<File>, Metadata),
}

/// A part of a file, to be sent.
#[derive(Debug)]
pub(crate) enum Cut {
    Bytes(Bytes),
    File(FilePart),
}

impl OpenFile {
    /// With `in_memory` a small file is read now and closed.
    ///
    /// # Errors
    /// Those of the system; `InvalidInput` if it is no regular file.
    pub(crate) fn open(
        place: &Path,
        content_type: &'static str,
        coding: Option<&'static str>,
        in_memory: bool,
    ) -> io::Result<Self> {
        let file = File::open(place)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let state = State::of(&metadata)?;
        let validators = Validators::of(&metadata, SystemTime::now());
        let bytes = match in_memory && metadata.len() <= limits::INLINE_BODY as u64 {
            true => read(&file, &state)?,
            false => None,
        };
        Ok(Self {
            content: match bytes {
                Some(bytes) => Content::Bytes(bytes),
                None => Content::File(file.into(), metadata),
            },
            state,
            validators,
            content_type,
            coding,
            fields: OnceCell::new(),
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.validators.len
    }

    pub(crate) fn has_descriptor(&self) -> bool {
        matches!(self.content, Content::File(..))
    }

    /// Whether its content is still the one it was opened with.
    pub(crate) fn is_unchanged(&self) -> bool {
        match &self.content {
            Content::Bytes(_) => true,
            Content::File(file, _) => self.state.is_of(file),
        }
    }

    /// A part of what the file was when it was opened: [`is_unchanged`](Self::is_unchanged) comes before.
    ///
    /// # Errors
    /// `InvalidInput` if the file was shorter than that.
    pub(crate) fn cut(&self, Span { start, len }: Span) -> io::Result<Cut> {
        match &self.content {
            Content::Bytes(bytes) => {
                let span = usize::try_from(start).ok().zip(usize::try_from(len).ok());
                let range = span.map(|(start, len)| start..start + len);
                let bytes = range
                    .filter(|range| range.end <= bytes.len())
                    .map(|range| bytes.slice(range));
                bytes
                    .map(Cut::Bytes)
                    .ok_or(io::ErrorKind::InvalidInput.into())
            }
            Content::File(file, metadata) => {
                FilePart::with_metadata(Arc::clone(file), metadata, start..start + len)
                    .map(Cut::File)
            }
        }
    }

    pub(crate) fn whole(&self) -> io::Result<Cut> {
        self.cut(Span {
            start: 0,
            len: self.len(),
        })
    }
}

impl Cut {
    /// Bytes that are left.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(part) => part.len(),
        }
    }
}

impl Read for Cut {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.reader().read(buf),
            Self::File(part) => part.read(buf),
        }
    }
}

/// All of a file, unless it is being written.
fn read(file: &File, state: &State) -> io::Result<Option<Bytes>> {
    let len = state.len as usize;
    let mut bytes = Vec::with_capacity(len + 1);
    file.take(len as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() == len && state.is_of(file)).then(|| bytes.into()))
}

/// What changes when a file is written, or its name goes.
#[derive(Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: SystemTime,
    /// Of the inode, in seconds and nanoseconds: no program can set it.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl State {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            len: metadata.len(),
            modified: metadata.modified()?,
            #[cfg(unix)]
            changed: {
                use std::os::unix::fs::MetadataExt;
                (metadata.ctime(), metadata.ctime_nsec())
            },
        })
    }

    fn is_of(&self, file: &File) -> bool {
        let now = file.metadata().and_then(|metadata| Self::of(&metadata));
        now.is_ok_and(|now| now == *self)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(cut: Cut) -> String {
        match cut {
            Cut::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Cut::File(part) => io::read_to_string(part).expect("a file"),
        }
    }

    #[test]
    fn a_small_file_in_memory_stays_as_it_was_and_any_other_is_seen_to_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("file");
        let part = Span { start: 1, len: 2 };
        for (in_memory, is_kept) in [(true, true), (false, false)] {
            fs::write(&place, "first").expect("a file");
            let open = OpenFile::open(&place, "", None, in_memory).expect("a file");
            assert!(open.is_unchanged());
            assert_eq!(text(open.whole().expect("all of it")), "first");
            assert_eq!(text(open.cut(part).expect("a part")), "ir");
            fs::write(&place, "cut").expect("a file");
            assert_eq!(open.is_unchanged(), is_kept);
        }
        let large = vec![b'x'; limits::INLINE_BODY + 1];
        fs::write(&place, &large).expect("a file");
        let open = OpenFile::open(&place, "", None, true).expect("a file");
        fs::remove_file(&place).expect("no file");
        // Elsewhere nothing is known of names.
        assert_eq!(open.is_unchanged(), cfg!(not(unix)));
        assert!(text(open.whole().expect("all of it")).len() == large.len());
        assert!(OpenFile::open(dir.path(), "", None, true).is_err());
    }

    #[test]
    fn a_file_that_is_written_while_it_is_read_is_not_kept_in_memory() {
        let file = tempfile::tempfile().expect("a file");
        let state = State::of(&file.metadata().expect("its state")).expect("its state");
        assert!(read(&file, &state).expect("a read").is_some());
        for len in [1, 0] {
            file.set_len(len).expect("another length");
            if len == 0 {
                file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
            }
            assert!(read(&file, &state).expect("a read").is_none(), "{len}");
        }
    }
}
