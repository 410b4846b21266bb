//! What is not to be fetched: hosts, and patterns of URLs.

use std::{collections::HashSet, fmt, fs, io, path::Path};

use percent_encoding::percent_decode_str;
use url::Url;

use super::target::Place;

/// Each of them is looked for in each URL.
pub(super) const MAX_PATTERNS: usize = 1000;

/// A list as it is read from a file. A line is
/// - `ads.example`: the host, and all below it;
/// - `0.0.0.0 ads.example`: the same, as lists of hosts have it;
/// - `*/banners/*`: URLs like that; a star stands for any characters, and a pattern has a slash or a star;
/// - empty, or a comment behind `#`.
#[derive(Clone, Debug, Default)]
pub struct Blocklist {
    hosts: HashSet<String>,
    patterns: Vec<Pattern>,
}

/// The parts between the stars.
#[derive(Clone, Debug)]
struct Pattern(Vec<String>);

impl Blocklist {
    /// # Errors
    /// The file cannot be read, has a line that is none of the above, or more than [`MAX_PATTERNS`] patterns.
    pub fn read(file: &Path) -> io::Result<Self> {
        Self::parse(&fs::read_to_string(file)?)
    }

    fn parse(text: &str) -> io::Result<Self> {
        let invalid = |number, why: fmt::Arguments<'_>| {
            let text = format!("line {}: {why}", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let entry = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some(entry), None, _) => entry,
                (Some("0.0.0.0" | "127.0.0.1" | "::" | "::1"), Some(entry), None) => entry,
                _ => return Err(invalid(number, format_args!("more than one entry"))),
            };
            if !entry.contains(['/', '*']) {
                list.hosts.insert(normal(entry));
            } else if list.patterns.len() == MAX_PATTERNS {
                let why = format!("more than {MAX_PATTERNS} patterns; hosts are not limited");
                return Err(invalid(number, format_args!("{why}")));
            } else {
                let parts = entry.split('*').map(str::to_owned);
                list.patterns.push(Pattern(parts.collect()));
            }
        }
        Ok(list)
    }

    /// Whether requests to this server are blocked, for all paths.
    pub fn blocks_host(&self, place: &Place) -> bool {
        if self.hosts.is_empty() {
            return false;
        }
        let mut host = place.host.trim_end_matches('.');
        loop {
            if self.hosts.contains(host) {
                return true;
            }
            match host.split_once('.') {
                Some((_, above)) => host = above,
                None => return false,
            }
        }
    }

    /// Whether this URL of the server is blocked. The port is a part of it if it is not 80. Another spelling of a URL, with
    /// escapes, dots or backslashes that its server resolves, is no way around a pattern.
    pub fn blocks(&self, place: &Place, path: &str) -> bool {
        if self.blocks_host(place) {
            return true;
        }
        if self.patterns.is_empty() {
            return false;
        }
        let place = Place {
            host: place.host.trim_end_matches('.').to_owned(),
            port: place.port,
        };
        let host = place.to_string();
        let url = format!("http://{}{path}", host.strip_suffix(":80").unwrap_or(&host));
        let resolved = Url::parse(&url).map_or_else(|_| url.clone(), String::from);
        let resolved = percent_decode_str(&resolved).decode_utf8_lossy();
        self.patterns
            .iter()
            .any(|pattern| pattern.matches(&url) || pattern.matches(&resolved))
    }
}

impl Pattern {
    /// In one pass: what is between two stars matches best where it comes first.
    fn matches(&self, url: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some(mut url) = url.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return url.is_empty();
        };
        for part in middle {
            match memchr::memmem::find(url.as_bytes(), part.as_bytes()) {
                Some(at) => url = &url[at + part.len()..],
                None => return false,
            }
        }
        url.ends_with(last.as_str())
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_patterns_block() {
        let text = "# banners\nads.example\n0.0.0.0 Tracker.Example. # one\n\n\
                    */banners/*\nhttp://a.example/x*y*z\nhttp://b.example:81/only\n*.gif\n";
        let list = Blocklist::parse(text).expect("a list");
        for (authority, path, blocked) in [
            ("ads.example:80", "/", true),
            ("www.ads.example.:8080", "/", true),
            ("badads.example:80", "/", false),
            ("example:80", "/", false),
            ("tracker.example:80", "/", true),
            ("c:80", "/banners/", true),
            ("c:80", "/banners", false),
            ("c:80", "/b%61nner%73/", true),
            ("c:80", "/banners%2F", true),
            ("c:80", "/x\\banners\\y", true),
            ("a.example.:80", "/xyz", true),
            ("a.example:80", "/./b/..//../xyz", true),
            ("a.example:80", "/%2e/xyz", true),
            ("c:80", "/100%", false),
            ("a.example:80", "/xyz", true),
            ("a.example:80", "/x--y--yz", true),
            ("a.example:80", "/xz", false),
            ("a.example:80", "/xyza", false),
            ("b.example:81", "/only", true),
            ("b.example:80", "/only", false),
            ("b.example:81", "/only/", false),
            ("c:80", "/x.gif", true),
            ("c:80", "/x.gif?", false),
        ] {
            let place = Place::authority(authority).expect("a place");
            assert_eq!(list.blocks(&place, path), blocked, "{authority}{path}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for (text, why) in [
            ("a b", "line 1: more than one entry"),
            ("a\n0.0.0.0 a b", "line 2: more than one entry"),
        ] {
            assert_eq!(Blocklist::parse(text).expect_err(text).to_string(), why);
        }
        let many = "*/x\n".repeat(MAX_PATTERNS + 1);
        let error = Blocklist::parse(&many).expect_err("too many").to_string();
        assert!(
            error.contains("line 1001: more than 1000 patterns"),
            "{error}"
        );
    }

    #[test]
    fn a_pattern_of_stars_costs_one_pass() {
        let list = Blocklist::parse(&"*a".repeat(200)).expect("a list");
        let place = Place::authority("b:80").expect("a place");
        assert!(!list.blocks(&place, &"/".repeat(8000)));
        assert!(list.blocks(&place, &"a".repeat(200)));
    }
}
