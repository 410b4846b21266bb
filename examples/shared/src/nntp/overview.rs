//! A line of an overview (RFC 3977, 8.3).

use std::str;

/// The fields that every server has, as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview<'a> {
    pub number: u64,
    pub subject: &'a [u8],
    pub from: &'a [u8],
    pub date: &'a [u8],
    pub id: &'a [u8],
    pub references: &'a [u8],
    pub bytes: Option<u64>,
    pub lines: Option<u64>,
}

impl<'a> Overview<'a> {
    /// `None` if the line is none of an overview: it has no number, or too few fields.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b'\t');
        let mut next = || fields.next();
        Some(Self {
            number: number(next()?)?,
            subject: next()?,
            from: next()?,
            date: next()?,
            id: next()?,
            references: next()?,
            bytes: number(next()?),
            lines: number(next().unwrap_or_default()),
        })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_between_tabs() {
        let line = b"7\tRe: x\ta@b\tnow\t<i@b>\t\t100\t5\tXref: x";
        let expected = Overview {
            number: 7,
            subject: b"Re: x",
            from: b"a@b",
            date: b"now",
            id: b"<i@b>",
            references: b"",
            bytes: Some(100),
            lines: Some(5),
        };
        assert_eq!(Overview::parse(line), Some(expected));
        let bare = Overview::parse(b"7\t\t\t\t\t\t").expect("seven fields");
        assert_eq!((bare.bytes, bare.lines), (None, None));
        for line in [
            &b""[..],
            b"x",
            b"7",
            b"7\ta\tb\tc\td\te",
            b"-7\t\t\t\t\t\t\t",
        ] {
            assert_eq!(Overview::parse(line), None, "{line:?}");
        }
    }
}
