//! A part of a regular file, sent without being read where the system can
//! ([`Channel::push_file`](crate::Channel::push_file)).

use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Read},
    ops::{Bound, RangeBounds},
    sync::Arc,
};

/// A part of a regular file with a known length, for [`Channel::push_file`](crate::Channel::push_file). It is also a
/// reader, for a [`ReaderProducer`](crate::ReaderProducer) if the bytes have to be changed on their way.
///
/// It keeps the file open. Several parts, on any channels, can share one open file as an [`Arc`]: the position of the file
/// is not used and not changed. On Windows a read moves it and puts it back: other threads must not use it, nor that of a
/// [clone](File::try_clone), meanwhile.
///
/// As a reader it gives exactly [`len`](Self::len) bytes. A file that has become shorter meanwhile is an error of kind
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof), not an early end.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let mut file = tempfile::tempfile()?;
/// # std::io::Write::write_all(&mut file, b"0123456789")?;
/// use asynchat::FilePart;
///
/// let mut part = FilePart::new(file, 2..)?;
/// assert_eq!((part.offset(), part.len()), (2, 8));
/// assert_eq!(std::io::read_to_string(&mut part)?, "23456789");
/// assert!(part.is_empty());
/// let modified = part.file().metadata()?.modified()?;
/// let tail = FilePart::shared(part.into_file(), 8..)?;
/// # let _ = (modified, tail); Ok(()) }
/// ```
#[derive(Debug)]
pub struct FilePart {
    file: Source,
    offset: u64,
    len: u64,
}

#[derive(Debug)]
enum Source {
    Own(File),
    Shared(Arc<File>),
}

impl FilePart {
    /// The bytes `range` of `file`; `..` is the whole file.
    ///
    /// An open end means the present size of the file. Files in `/proc` have size 0, because their content is made when
    /// it is read: use a [`ReaderProducer`](crate::ReaderProducer).
    ///
    /// # Errors
    /// `InvalidInput` if it is no regular file, and for a range that is reversed or exceeds the file. Otherwise the
    /// error of the system when asked for the size.
    pub fn new(file: File, range: impl RangeBounds<u64>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Self::of(Source::Own(file), &metadata, range)
    }

    /// The same of a file that other parts may be of, too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn shared(file: Arc<File>, range: impl RangeBounds<u64>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Self::of(Source::Shared(file), &metadata, range)
    }

    /// The same for a caller who has the file's `metadata` anyway: no system call is made. A file that has become shorter
    /// since then fails while it is sent or read, as if that happened later.
    ///
    /// # Errors
    /// `InvalidInput`, as of [`new`](Self::new).
    pub fn with_metadata(
        file: Arc<File>,
        metadata: &Metadata,
        range: impl RangeBounds<u64>,
    ) -> io::Result<Self> {
        Self::of(Source::Shared(file), metadata, range)
    }

    fn of(file: Source, metadata: &Metadata, range: impl RangeBounds<u64>) -> io::Result<Self> {
        if !metadata.is_file() {
            let what = if metadata.is_dir() {
                "a directory"
            } else {
                "a device, a pipe or a socket"
            };
            return Err(invalid(format!(
                "only a regular file can be sent from where it is, and this is {what}"
            )));
        }
        let size = metadata.len();
        let start = match range.start_bound() {
            Bound::Unbounded => Some(0),
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
        };
        let end = match range.end_bound() {
            Bound::Unbounded => Some(size),
            Bound::Excluded(&end) => Some(end),
            Bound::Included(&last) => last.checked_add(1),
        };
        let span = start
            .zip(end)
            .filter(|&(start, end)| start <= end && end <= size);
        let Some((offset, end)) = span else {
            return Err(invalid(format!(
                "no such range in a file of {size} bytes: {:?} to {:?}",
                range.start_bound(),
                range.end_bound()
            )));
        };
        Ok(Self {
            file,
            offset,
            len: end - offset,
        })
    }

    /// The number of bytes left.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The position in the file of the first byte left.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file, for instance to ask for its date.
    pub fn file(&self) -> &File {
        self.file.get()
    }

    /// Returns the file, for another part of it.
    pub fn into_file(self) -> Arc<File> {
        match self.file {
            Source::Own(file) => Arc::new(file),
            Source::Shared(file) => file,
        }
    }

    pub(crate) fn advance(&mut self, n: u64) {
        self.offset += n;
        self.len -= n;
    }

    /// Appends up to `n` of its bytes to `buffer`. Fewer only if the file fails or ends; the next call then returns the
    /// error.
    pub(crate) fn append_to(&mut self, buffer: &mut Vec<u8>, n: usize) -> io::Result<usize> {
        let old = buffer.len();
        let n = usize::try_from(self.len).map_or(n, |len| len.min(n));
        buffer.resize(old + n, 0);
        let mut got = 0;
        while got < n {
            match self.read(&mut buffer[old + got..]) {
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    buffer.truncate(old + got);
                    if got == 0 {
                        return Err(self.explain(&error));
                    }
                    break;
                }
            }
        }
        Ok(got)
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!(
                "a queued file cannot be sent to its end, {} bytes from offset {} are missing: {error}",
                self.len, self.offset
            ),
        )
    }
}

impl Source {
    fn get(&self) -> &File {
        match self {
            Self::Own(file) => file,
            Self::Shared(file) => file,
        }
    }
}

impl Read for FilePart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len).map_or(buf.len(), |len| len.min(buf.len()));
        if most == 0 {
            return Ok(0);
        }
        let n = read_at(self.file.get(), &mut buf[..most], self.offset)?;
        if n == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the file has been cut to {} bytes or fewer", self.offset),
            ));
        }
        self.advance(n as u64);
        Ok(n)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

/// `seek_read` leaves the position behind what it read, and Windows has no read that does not.
#[cfg(windows)]
fn read_at(mut file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::{
        io::{Seek, SeekFrom},
        os::windows::fs::FileExt,
    };
    let position = file.stream_position()?;
    let read = file.seek_read(buf, offset);
    file.seek(SeekFrom::Start(position))?;
    read
}

fn invalid(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn part(range: impl RangeBounds<u64>) -> io::Result<(u64, u64)> {
        FilePart::new(file(b"0123456789"), range).map(|part| (part.offset(), part.len()))
    }

    #[test]
    fn a_range_is_resolved_against_the_size_of_the_file() {
        assert_eq!(part(..).unwrap(), (0, 10));
        assert_eq!(part(3..).unwrap(), (3, 7));
        assert_eq!(part(..4).unwrap(), (0, 4));
        assert_eq!(part(2..=9).unwrap(), (2, 8));
        assert_eq!(part(10..).unwrap(), (10, 0));
        assert_eq!(part(4..4).unwrap(), (4, 0));
        assert_eq!(
            part((Bound::Excluded(0), Bound::Unbounded)).unwrap(),
            (1, 9)
        );
    }

    #[test]
    fn parts_of_one_open_file_do_not_move_each_other() {
        let first = FilePart::new(file(b"0123456789"), 0..4).unwrap();
        let shared = first.into_file();
        let mut second = FilePart::shared(Arc::clone(&shared), 2..).unwrap();
        let mut third = FilePart::shared(shared, ..).unwrap();
        let mut bytes = [0; 3];
        for expected in [b"234", b"567"] {
            second.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, *expected);
            third.read_exact(&mut bytes).unwrap();
        }
        assert_eq!(bytes, *b"345");
    }

    #[test]
    fn a_range_that_is_not_in_the_file_is_refused() {
        for range in [(11, 11), (0, 11), (5, u64::MAX)] {
            let error = part(range.0..range.1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("a file of 10 bytes"), "{error}");
        }
        #[expect(clippy::reversed_empty_ranges, reason = "that is the subject")]
        let backwards = part(7..3);
        assert!(backwards.is_err());
        assert!(part(0..=u64::MAX).is_err());
        assert!(part(11..).is_err());
        assert!(part((Bound::Excluded(u64::MAX), Bound::Unbounded)).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_regular_file_is_refused_and_named() {
        let directory = File::open(std::env::temp_dir()).unwrap();
        let error = FilePart::new(directory, ..).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("a directory"), "{error}");
        let error = FilePart::new(File::open("/dev/null").unwrap(), ..0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("a device"), "{error}");
    }

    #[test]
    fn a_reader_of_it_gets_its_bytes_and_an_error_if_the_file_was_cut() {
        let mut whole = FilePart::new(file(b"0123456789"), 2..7).unwrap();
        let mut text = String::new();
        whole.read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456");
        assert_eq!((whole.offset(), whole.is_empty()), (7, true));

        let mut cut = FilePart::new(file(b"0123456789"), 2..7).unwrap();
        cut.file().set_len(4).unwrap();
        let mut bytes = Vec::new();
        let error = cut.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(bytes, b"23");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("cut to 4 bytes"), "{error}");
    }

    #[test]
    fn old_metadata_gives_the_old_range_and_an_error_where_the_file_ends_now() {
        let file = Arc::new(file(b"0123456789"));
        let before = file.metadata().unwrap();
        file.set_len(4).unwrap();
        let mut part = FilePart::with_metadata(Arc::clone(&file), &before, 2..).unwrap();
        assert_eq!((part.offset(), part.len()), (2, 8));
        let mut bytes = Vec::new();
        let error = part.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(
            (&bytes[..], error.kind()),
            (&b"23"[..], ErrorKind::UnexpectedEof)
        );
        assert!(FilePart::with_metadata(file, &before, 11..).is_err());
    }

    #[test]
    fn what_is_left_of_a_cut_file_is_given_before_the_error_that_names_the_place() {
        let mut cut = FilePart::new(file(b"0123456789"), 2..).unwrap();
        cut.file().set_len(4).unwrap();
        let mut buffer = b"head".to_vec();
        assert_eq!(cut.append_to(&mut buffer, 100).unwrap(), 2);
        assert_eq!(buffer, b"head23");
        let error = cut.append_to(&mut buffer, 100).unwrap_err();
        assert_eq!(buffer, b"head23");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let text = error.to_string();
        assert!(text.contains("6 bytes from offset 4 are missing"), "{text}");
    }
}
