//! Which compressed form of a file a client takes (RFC 9110, 12.5.3), pure.

use shared::http::{Header, list};

/// A content coding, and what the name of a compressed file ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) name: &'static str,
    pub(crate) suffix: &'static str,
}

/// The better comes first.
const CODINGS: [Coding; 2] = [
    Coding {
        name: "br",
        suffix: ".br",
    },
    Coding {
        name: "gzip",
        suffix: ".gz",
    },
];

/// The codings that the client takes and does not like less than the file as it is, the best first.
pub(crate) fn accepted(headers: &[Header<'_>]) -> impl Iterator<Item = Coding> {
    let quality = |name: &str| quality(headers, name);
    let plain = quality("identity").unwrap_or(0);
    let mut codings = CODINGS.map(|coding| {
        let named = quality(coding.name).or_else(|| quality("*"));
        (coding, named.unwrap_or(0))
    });
    codings.sort_by_key(|&(_, quality)| std::cmp::Reverse(quality));
    let wanted = move |quality: u16| quality > 0 && quality >= plain;
    codings
        .into_iter()
        .filter(move |&(_, quality)| wanted(quality))
        .map(|(coding, _)| coding)
}

/// The weight of an element in thousandths, if it is there.
fn quality(headers: &[Header<'_>], name: &str) -> Option<u16> {
    list(headers, "accept-encoding").find_map(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next()?;
        if !coding.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
        // A malformed weight is none that can be relied on.
        Some(weight.map_or(1000, |weight| thousandths(weight).unwrap_or(0)))
    })
}

/// `0`, `0.5`, `1.000`
fn thousandths(weight: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(weight).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = format!("{fraction:0<3}")
        .parse()
        .ok()
        .filter(|_| is_number)?;
    match (whole, fraction) {
        ("0", _) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_coding_it_likes_best_and_none_it_does_not_take() {
        for (header, expected) in [
            ("", &[][..]),
            ("identity", &[]),
            ("gzip", &["gzip"]),
            ("gzip, deflate, br", &["br", "gzip"]),
            ("GZIP;q=1.0, br;q=0.5", &["gzip", "br"]),
            ("br;q=0, gzip", &["gzip"]),
            ("br;q=0.000, *", &["gzip"]),
            ("*;q=0.1", &["br", "gzip"]),
            ("*;q=0", &[]),
            ("identity;q=0.5, gzip;q=0.4, br;q=0.5", &["br"]),
            ("br;q=2, gzip;q=0.1234", &[]),
            ("br;q=x, gzip;q=", &[]),
            ("brotli, gzipped", &[]),
        ] {
            let headers = [Header {
                name: "Accept-Encoding",
                value: header.as_bytes(),
            }];
            let names: Vec<_> = accepted(&headers).map(|coding| coding.name).collect();
            assert_eq!(names, expected, "{header:?}");
        }
        assert_eq!(accepted(&[]).count(), 0);
    }
}
