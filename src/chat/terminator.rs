//! Where a frame ends: the argument of `set_terminator`.

use bytes::Bytes;

/// Where the current frame ends.
///
/// Anything that converts into it can be passed to [`set_terminator`](crate::ChatChannel::set_terminator):
///
/// ```
/// use asynchat::Terminator;
///
/// assert!(matches!(Terminator::from("\r\n"), Terminator::Bytes(_)));
/// assert_eq!(Terminator::from(16), Terminator::Count(16));
/// // The length of a body, if the header named one.
/// let content_length: Option<u64> = None;
/// assert_eq!(Terminator::from(content_length), Terminator::None);
/// ```
///
/// An empty byte string ends nothing. It means [`Terminator::None`], as in Python:
///
/// ```
/// use asynchat::Terminator;
///
/// assert_eq!(Terminator::from(""), Terminator::None);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Terminator {
    /// The frame ends before this byte string, which is not handed out.
    ///
    /// [`From`] turns an empty string into [`None`](Terminator::None). An empty `Bytes` built by hand works the same.
    Bytes(Bytes),

    /// The frame ends after this many more bytes.
    ///
    /// `Count(0)` ends an empty frame at once, without waiting for input: a body with a `Content-Length` of 0 is
    /// complete. (Python's asynchat never reports it.) Once the bytes are used up, the terminator is
    /// [`None`](Terminator::None), unless `found_terminator` sets another one.
    Count(u64),

    /// No frames: all input is handed out as it comes, and `found_terminator` is not called. `max_frame` has no effect.
    #[default]
    None,
}

impl From<Bytes> for Terminator {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::None
        } else {
            Self::Bytes(bytes)
        }
    }
}

/// Borrowed for the life of the program: neither copied nor allocated.
///
/// ```
/// use asynchat::Terminator;
///
/// assert_eq!(Terminator::from("\n"), Terminator::from(b"\n"));
/// ```
impl From<&'static str> for Terminator {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<&'static [u8]> for Terminator {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

/// For a literal such as `b"\r\n"`. An array that is borrowed for less is copied: `array.to_vec()`.
impl<const N: usize> From<&'static [u8; N]> for Terminator {
    fn from(bytes: &'static [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

/// For a terminator that is known only at run time, such as a MIME boundary.
///
/// ```
/// use asynchat::Terminator;
///
/// let boundary = "frontier";
/// assert_eq!(Terminator::from(format!("\r\n--{boundary}")), Terminator::from("\r\n--frontier"));
/// ```
impl From<String> for Terminator {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Vec<u8>> for Terminator {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// A `usize`, such as the length of a slice, is cast: `length as u64`. With a `From<usize>` beside this one the type of a
/// literal would be ambiguous, and `set_terminator(5)` would not compile.
///
/// ```
/// use asynchat::Terminator;
///
/// let header = [0; 8];
/// assert_eq!(Terminator::from(header.len() as u64), Terminator::from(8));
/// ```
impl From<u64> for Terminator {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

/// `None` becomes [`Terminator::None`].
impl<T: Into<Terminator>> From<Option<T>> for Terminator {
    fn from(terminator: Option<T>) -> Self {
        terminator.map_or(Self::None, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_byte_string_is_the_same_terminator() {
        let expected = Terminator::Bytes(Bytes::from_static(b"\r\n"));
        assert_eq!(Terminator::from("\r\n"), expected);
        assert_eq!(Terminator::from(b"\r\n"), expected);
        assert_eq!(Terminator::from(&b"\r\n"[..]), expected);
        assert_eq!(Terminator::from(Bytes::from_static(b"\r\n")), expected);
        assert_eq!(Terminator::from(b"\r\n".to_vec()), expected);
        assert_eq!(Terminator::from("\r\n".to_owned()), expected);
        assert_eq!(Terminator::from(Some("\r\n")), expected);
    }

    #[test]
    fn an_empty_byte_string_is_no_terminator() {
        assert_eq!(Terminator::from(""), Terminator::None);
        assert_eq!(Terminator::from(b""), Terminator::None);
        assert_eq!(Terminator::from(Bytes::new()), Terminator::None);
        assert_eq!(Terminator::from(Vec::new()), Terminator::None);
        assert_eq!(Terminator::from(String::new()), Terminator::None);
        assert_eq!(Terminator::from(Some("")), Terminator::None);
        assert_eq!(Terminator::from(None::<u64>), Terminator::None);
        assert_eq!(Terminator::default(), Terminator::None);
    }

    #[test]
    fn a_plain_integer_is_a_count_and_zero_stays_one() {
        fn set(terminator: impl Into<Terminator>) -> Terminator {
            terminator.into()
        }
        assert_eq!(set(5), Terminator::Count(5));
        assert_eq!(set(0), Terminator::Count(0));
    }
}
