//! Request heads, taken one by one from what was read. No bodies: GET has none.

/// The longest head that is waited for.
pub(crate) const LONGEST: usize = 16_384;

pub(crate) struct Head<'a> {
    /// The request line, without its line end.
    pub(crate) line: &'a [u8],
    /// The peer wants the connection closed behind the answer.
    pub(crate) close: bool,
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
}

/// The head at the start of `data`, if it is all there.
#[inline(always)]
pub(crate) fn head(data: &[u8]) -> Option<Head<'_>> {
    let mut ends = memchr::memchr_iter(b'\n', data);
    let end = ends.next()?;
    let line = trim(&data[..end]);
    let mut close = line.ends_with(b" HTTP/1.0");
    let mut start = end + 1;
    for end in ends {
        let field = trim(&data[start..end]);
        start = end + 1;
        let Some(first) = field.first() else {
            return Some(Head {
                line,
                close,
                len: start,
            });
        };
        if first | 0x20 == b'c' {
            close |= asks_to_close(field);
        }
    }
    None
}

#[inline(always)]
fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn asks_to_close(field: &[u8]) -> bool {
    const NAME: &[u8] = b"connection:";
    let Some((name, value)) = field.split_at_checked(NAME.len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(NAME)
        && value
            .split(|&byte| byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}
