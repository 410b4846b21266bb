//! Conditional and range requests (RFC 9110, 13 and 14), pure.

use std::{fmt, fs::Metadata, time::SystemTime, time::UNIX_EPOCH};

use shared::http::{Header, date, decimal, header, list};

use crate::limits;

/// What identifies one state of a file: the time it was written, to the nanosecond, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators {
    nanos: u128,
    pub(crate) modified: SystemTime,
    pub(crate) len: u64,
}

/// The entity tag, strong: only two writes within one nanosecond, of the same length, give the same tag.
pub(crate) struct Etag(Validators);

impl Validators {
    pub(crate) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        Self {
            nanos: modified
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos()),
            // A Last-Modified must not be later than Date.
            modified: date::whole_seconds(modified.min(now)),
            len: metadata.len(),
        }
    }

    pub(crate) fn etag(&self) -> Etag {
        Etag(*self)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:x}-{:x}\"", self.0.nanos, self.0.len)
    }
}

/// A part of a file; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// What of the file the client is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Whole,
    Part(Span),
    /// Several parts, in the order they were asked for.
    Parts(Vec<Span>),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// Weighs the conditions of a GET or HEAD, in the order the RFC gives them.
pub(crate) fn judge(headers: &[Header<'_>], get: bool, file: &Validators) -> Verdict {
    let since = |name| header(headers, name).and_then(date::parse);
    if header(headers, "if-match").is_some() {
        if !listed(headers, "if-match", file, false) {
            return Verdict::PreconditionFailed;
        }
    } else if since("if-unmodified-since").is_some_and(|time| file.modified > time) {
        return Verdict::PreconditionFailed;
    }
    if header(headers, "if-none-match").is_some() {
        if listed(headers, "if-none-match", file, true) {
            return Verdict::NotModified;
        }
    } else if since("if-modified-since").is_some_and(|time| file.modified <= time) {
        return Verdict::NotModified;
    }
    match header(headers, "range") {
        Some(range) if get && same_state(headers, file) => part(range, file.len),
        _ => Verdict::Whole,
    }
}

fn listed(headers: &[Header<'_>], name: &str, file: &Validators, weak: bool) -> bool {
    let etag = file.etag().to_string();
    list(headers, name).any(|tag| {
        let tag = if weak {
            tag.strip_prefix(b"W/").unwrap_or(tag)
        } else {
            tag
        };
        tag == b"*" || tag == etag.as_bytes()
    })
}

/// Whether `If-Range`, if it is there, names the file as it is now.
fn same_state(headers: &[Header<'_>], file: &Validators) -> bool {
    header(headers, "if-range").is_none_or(|value| {
        if value.starts_with(b"\"") {
            value == file.etag().to_string().as_bytes()
        } else {
            date::parse(value).is_some_and(|time| time == file.modified)
        }
    })
}

/// Ranges of bytes. A header that is malformed, or asks for more than the whole file, is answered with that, as the RFC
/// allows (14.2).
fn part(range: &[u8], len: u64) -> Verdict {
    let unit = b"bytes=";
    let specs = match range.split_at_checked(unit.len()) {
        Some((name, specs)) if name.eq_ignore_ascii_case(unit) => specs,
        _ => return Verdict::Whole,
    };
    let specs = specs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let mut spans = Vec::new();
    let mut count = 0;
    for spec in specs.filter(|spec| !spec.is_empty()) {
        count += 1;
        match span(spec, len) {
            _ if count > limits::RANGES => return Verdict::Whole,
            None => return Verdict::Whole,
            Some(span) => spans.extend(span),
        }
    }
    match spans.as_slice() {
        [] if count == 0 => Verdict::Whole,
        [] => Verdict::Unsatisfiable,
        &[span] => Verdict::Part(span),
        // They overlap. Who means well does not ask for that.
        spans if spans.iter().map(|span| u128::from(span.len)).sum::<u128>() > len.into() => {
            Verdict::Whole
        }
        _ => Verdict::Parts(spans),
    }
}

/// What one range is of a file of `len` bytes: `None` if it is malformed, `Some(None)` if it lies outside.
fn span(spec: &[u8], len: u64) -> Option<Option<Span>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let wanted = decimal_or_more(last)?.min(len);
        return Some((wanted > 0).then_some(Span {
            start: len - wanted,
            len: wanted,
        }));
    }
    let first = decimal_or_more(first)?;
    let last = match last {
        [] => u64::MAX,
        _ => decimal_or_more(last)?,
    };
    if last < first {
        return None;
    }
    Some((first < len).then(|| Span {
        start: first,
        len: last.min(len - 1) - first + 1,
    }))
}

/// A number too large to hold is past the end of every file, which is all that matters.
fn decimal_or_more(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(decimal(digits).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: Validators = Validators {
        nanos: 0x1234,
        modified: UNIX_EPOCH,
        len: 1000,
    };

    fn judged(pairs: &[(&str, &str)]) -> Verdict {
        let file = Validators {
            modified: UNIX_EPOCH + Duration::from_secs(784_111_777),
            ..FILE
        };
        let headers: Vec<_> = pairs
            .iter()
            .map(|&(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        judge(&headers, true, &file)
    }

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        let part = |start, len| Verdict::Part(Span { start, len });
        for (range, verdict) in [
            ("bytes=0-0", part(0, 1)),
            ("Bytes=10-19", part(10, 10)),
            ("bytes=990-", part(990, 10)),
            ("bytes=990-5000", part(990, 10)),
            ("bytes=0-99999999999999999999999", part(0, 1000)),
            ("bytes=-10", part(990, 10)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=1000-", Verdict::Unsatisfiable),
            ("bytes=99999999999999999999999-", Verdict::Unsatisfiable),
            ("bytes=-0", Verdict::Unsatisfiable),
            ("bytes=5-4", Verdict::Whole),
            ("bytes=a-b", Verdict::Whole),
            ("bytes=1000-x", Verdict::Whole),
            ("bytes=-", Verdict::Whole),
            ("bytes=", Verdict::Whole),
            ("bytes=,", Verdict::Whole),
            ("bytes=5", Verdict::Whole),
            ("bytes", Verdict::Whole),
            ("lines=1-2", Verdict::Whole),
        ] {
            assert_eq!(judged(&[("Range", range)]), verdict, "{range}");
        }
    }

    #[test]
    fn several_ranges_are_several_parts_unless_they_are_too_many_or_overlap() {
        let span = |start, len| Span { start, len };
        let many = |count: usize| {
            let ranges: Vec<_> = (0..count).map(|n| format!("{n}-{n}")).collect();
            format!("bytes={}", ranges.join(","))
        };
        let singles = (0..limits::RANGES as u64).map(|n| span(n, 1)).collect();
        for (range, verdict) in [
            (
                "bytes=0-1,5-6",
                Verdict::Parts(vec![span(0, 2), span(5, 2)]),
            ),
            (
                "bytes=-1 ,, 0-0\t, 999-2000,",
                Verdict::Parts(vec![span(999, 1), span(0, 1), span(999, 1)]),
            ),
            ("bytes=1000-,0-0", Verdict::Part(span(0, 1))),
            ("bytes=1000-,-0", Verdict::Unsatisfiable),
            ("bytes=0-0,x", Verdict::Whole),
            ("bytes=0-0,5-4", Verdict::Whole),
            ("bytes=0-,0-0", Verdict::Whole),
            ("bytes=0-600,400-", Verdict::Whole),
            (&many(limits::RANGES), Verdict::Parts(singles)),
            (&many(limits::RANGES + 1), Verdict::Whole),
        ] {
            assert_eq!(judged(&[("Range", range)]), verdict, "{range}");
        }
    }

    #[test]
    fn no_range_of_an_empty_file_can_be_had() {
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(part(range.as_bytes(), 0), Verdict::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn tags_come_before_dates_and_refusals_before_ranges() {
        let same = "\"1234-3e8\"";
        let exact = "Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (headers, verdict) in [
            (&[("If-None-Match", same)][..], Verdict::NotModified),
            (
                &[("If-None-Match", "\"x\", W/\"1234-3e8\"")],
                Verdict::NotModified,
            ),
            (&[("If-None-Match", "*")], Verdict::NotModified),
            (
                &[("If-None-Match", "\"x\""), ("If-Modified-Since", exact)],
                Verdict::Whole,
            ),
            (&[("If-Modified-Since", exact)], Verdict::NotModified),
            (&[("If-Modified-Since", before)], Verdict::Whole),
            (&[("If-Modified-Since", "nonsense")], Verdict::Whole),
            (&[("If-Match", same)], Verdict::Whole),
            (&[("If-Match", "*")], Verdict::Whole),
            (
                &[("If-Match", "W/\"1234-3e8\"")],
                Verdict::PreconditionFailed,
            ),
            (
                &[("If-Match", "\"x\""), ("Range", "bytes=0-0")],
                Verdict::PreconditionFailed,
            ),
            (&[("If-Unmodified-Since", exact)], Verdict::Whole),
            (
                &[("If-Unmodified-Since", before)],
                Verdict::PreconditionFailed,
            ),
            (
                &[("If-Range", same), ("Range", "bytes=0-0")],
                Verdict::Part(Span { start: 0, len: 1 }),
            ),
            (
                &[("If-Range", exact), ("Range", "bytes=0-0")],
                Verdict::Part(Span { start: 0, len: 1 }),
            ),
            (
                &[("If-Range", before), ("Range", "bytes=0-0")],
                Verdict::Whole,
            ),
            (
                &[("If-Range", "\"x\""), ("Range", "bytes=9999-")],
                Verdict::Whole,
            ),
            (
                &[("If-Range", "W/\"1234-3e8\""), ("Range", "bytes=0-0")],
                Verdict::Whole,
            ),
        ] {
            assert_eq!(judged(headers), verdict, "{headers:?}");
        }
    }

    #[test]
    fn a_head_request_has_no_range() {
        let headers = [Header {
            name: "Range",
            value: b"bytes=0-0",
        }];
        assert_eq!(judge(&headers, false, &FILE), Verdict::Whole);
    }
}
