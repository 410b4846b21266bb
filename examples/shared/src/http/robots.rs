//! robots.txt (RFC 9309): whether a crawler may fetch a path.
//!
//! Of the crates, `robotstxt` takes cubic time for a hostile pattern, and `texting_robots` needs 15 further ones.

use std::fmt::Write;

/// More than this of a file is not read (RFC 9309, 2.5).
pub const MAX_FILE: usize = 500 * 1024;

/// The rules for one crawler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Robots {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    pattern: Pattern,
}

impl Robots {
    /// Reads the groups for a crawler with this product token (RFC 9309, 2.2.1), or those for all if it has none.
    pub fn parse(text: &[u8], token: &str) -> Self {
        let (mut own, mut all) = (None, Vec::new());
        let (mut is_own, mut is_all) = (false, false);
        let mut in_rules = false;
        for (key, value) in lines(text) {
            let allow = key.eq_ignore_ascii_case(b"allow");
            if key.eq_ignore_ascii_case(b"user-agent") {
                if in_rules {
                    (is_own, is_all, in_rules) = (false, false, false);
                }
                is_all |= value == b"*" || value.starts_with(b"* ");
                is_own |= product(value).eq_ignore_ascii_case(token.as_bytes());
                if is_own {
                    own.get_or_insert_with(Vec::new);
                }
            } else if allow || key.eq_ignore_ascii_case(b"disallow") {
                in_rules = true;
                let pattern = Pattern::new(value);
                if let (Some(own), true) = (&mut own, is_own) {
                    own.extend(pattern.clone().map(|pattern| Rule { allow, pattern }));
                }
                if is_all {
                    all.extend(pattern.map(|pattern| Rule { allow, pattern }));
                }
            }
        }
        Self {
            rules: own.unwrap_or(all),
        }
    }

    /// Whether a path, with its query, may be fetched: the longest rule that matches says so, and of two as long the one
    /// that allows (RFC 9309, 2.2.2).
    pub fn allows(&self, path: &str) -> bool {
        if path == "/robots.txt" {
            return true;
        }
        let path = normalized(path.as_bytes());
        let matching = self.rules.iter().filter(|rule| rule.pattern.matches(&path));
        let longest = matching.max_by_key(|rule| (rule.pattern.len, rule.allow));
        longest.is_none_or(|rule| rule.allow)
    }
}

/// Keys and values, without comments and what is neither.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|byte| b"\r\n".contains(byte))
        .filter_map(|line| {
            let line = line.split(|&byte| byte == b'#').next()?;
            let colon = memchr::memchr(b':', line)?;
            Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
        })
}

/// The name in a value, without a version behind it.
fn product(value: &[u8]) -> &[u8] {
    let fits = |byte: &u8| byte.is_ascii_alphabetic() || b"-_".contains(byte);
    let end = value.iter().position(|byte| !fits(byte));
    &value[..end.unwrap_or(value.len())]
}

/// What a path begins with; `*` stands for anything, and `$` for its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    first: Vec<u8>,
    /// What follows somewhere behind it, in turn.
    parts: Vec<Vec<u8>>,
    is_whole: bool,
    /// Bytes without stars: no shorter path matches.
    literal: usize,
    /// What a longer rule is known by.
    len: usize,
}

impl Pattern {
    /// `None` if it is empty: no rule.
    fn new(value: &[u8]) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let (value, is_whole) = match value.strip_suffix(b"$") {
            Some(rest) => (rest, true),
            None => (value, false),
        };
        let mut parts = value.split(|&byte| byte == b'*').map(normalized);
        let first = parts.next().unwrap_or_default();
        let parts: Vec<_> = parts.collect();
        let literal = first.len() + parts.iter().map(Vec::len).sum::<usize>();
        let len = literal + parts.len() + usize::from(is_whole);
        Some(Self {
            first,
            parts,
            is_whole,
            literal,
            len,
        })
    }

    /// In time that is linear in the lengths of both.
    fn matches(&self, path: &[u8]) -> bool {
        if path.len() < self.literal {
            return false;
        }
        let Some(mut rest) = path.strip_prefix(self.first.as_slice()) else {
            return false;
        };
        let (parts, last) = match self.parts.split_last() {
            None => return !self.is_whole || rest.is_empty(),
            Some((last, parts)) if self.is_whole => (parts, Some(last)),
            _ => (self.parts.as_slice(), None),
        };
        for part in parts {
            match memchr::memmem::find(rest, part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        last.is_none_or(|last| rest.ends_with(last))
    }
}

/// As octets are compared (RFC 9309, 2.2.2): those that need no escape are without one, others have one.
fn normalized(path: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let mut byte = *first;
        let mut escape = !byte.is_ascii_graphic();
        if byte == b'%'
            && let [high, low, behind @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            (byte, rest) = (high << 4 | low, behind);
            escape = !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        }
        // A `String` takes everything.
        let _ = match escape {
            true => write!(text, "%{byte:02X}"),
            false => write!(text, "{}", char::from(byte)),
        };
    }
    text.into_bytes()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(text: &str, path: &str) -> bool {
        Robots::parse(text.as_bytes(), "FooBot").allows(path)
    }

    /// Inputs and verdicts of Google's `robots_test.cc`, as far as they are the RFC's.
    #[test]
    fn google_s_cases() {
        let groups = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\n\
            user-agent: BarBot\ndisallow: /\nallow: /y/\n\n\nallow: /w/\nuser-agent: BazBot\n\n\
            user-agent: FooBot\nallow: /z/\ndisallow: /\n";
        let specific = "user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /\n";
        let only_others = "user-agent: *\ndisallow: /x\nuser-agent: BarBot\ndisallow: /y\n";
        for (text, path, expected) in [
            ("", "/", true),
            ("user-agent: FooBot\ndisallow: /\n", "/x/y", false),
            ("foo: FooBot\nbar: /\n", "/x/y", true),
            ("user-agent FooBot\ndisallow /\n", "/x/y", true),
            (groups, "/x/b", true),
            (groups, "/z/d", true),
            (groups, "/y/c", false),
            (groups, "/w/a", false),
            (groups, "/foo/bar/", false),
            (
                "user-agent: BarBot\nUser-Agent: FooBot\ndisallow: /x/\n",
                "/x/y",
                false,
            ),
            (
                "USER-AGENT: FOOBOT\nALLOW: /x/\nDISALLOW: /\n",
                "/x/y",
                true,
            ),
            ("user-agent: foobot\ndisallow: /\n", "/x", false),
            ("user-agent: FooBot/2.1\ndisallow: /\n", "/x", false),
            ("user-agent: Foo Bot\ndisallow: /\n", "/x", true),
            (specific, "/x/y", true),
            (only_others, "/x/y", false),
            (only_others, "/y", true),
            (
                "user-agent: *\nuser-agent: BarBot\ndisallow: /\n",
                "/x",
                false,
            ),
            (
                "user-agent: FooBot\n\nuser-agent: *\ndisallow: /\n",
                "/x",
                false,
            ),
            ("user-agent: FooBot\ndisallow: /X/\n", "/x/y", true),
            (
                "user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/\n",
                "/x/page.html",
                false,
            ),
            (
                "user-agent: FooBot\nallow: /x/page.html\ndisallow: /x/\n",
                "/x/page.html",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: \nallow: \n",
                "/x/page.html",
                true,
            ),
            ("user-agent: FooBot\ndisallow: /\nallow: /\n", "/x", true),
            (
                "user-agent: FooBot\ndisallow: /x\nallow: /x/\n",
                "/x",
                false,
            ),
            (
                "user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/page.html\n",
                "/x/page.html",
                true,
            ),
            (
                "user-agent: FooBot\nallow: /page\ndisallow: /*.html\n",
                "/page.html",
                false,
            ),
            (
                "user-agent: FooBot\nallow: /x/page.\ndisallow: /*.html\n",
                "/x/page.html",
                true,
            ),
            (
                "user-agent: *\ndisallow: /\nuser-agent: FooBot\ndisallow: /x/\n",
                "/y",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /\nallow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par\n",
                "/foo/bar?qux=taz&baz=http://foo.bar?tar&par",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /\nallow: /foo/bar/\u{30c4}\n",
                "/foo/bar/%E3%83%84",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /\nallow: /foo/bar/%e3%83%84\n",
                "/foo/bar/%E3%83%84",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /\nallow: /foo/bar/%62%61%7A\n",
                "/foo/bar/baz",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /foo/bar/quz\nallow: /foo/*/qux\n",
                "/foo/bar/quz",
                false,
            ),
            (
                "user-agent: FooBot\ndisallow: /foo/bar$\nallow: /foo/bar/qux\n",
                "/foo/bar",
                false,
            ),
            (
                "user-agent: FooBot\ndisallow: /foo/bar$\nallow: /foo/bar/qux\n",
                "/foo/bar/qux",
                true,
            ),
            (
                "user-agent: FooBot\ndisallow: /foo/bar$\nallow: /foo/bar/qux\n",
                "/foo/bar/",
                true,
            ),
            (
                "user-agent: FooBot\n# disallow: /\ndisallow: /foo/quz#qux\n",
                "/foo/quz",
                false,
            ),
            ("\u{feff}user-agent: FooBot\ndisallow: /\n", "/x", false),
            ("user-agent: FooBot\rdisallow: /\r", "/x", false),
            (
                "user-agent: FooBot\r\n\r\n disallow \t: / \r\n",
                "/x",
                false,
            ),
        ] {
            assert_eq!(allows(text, path), expected, "{path} by {text:?}");
        }
    }

    #[test]
    fn stars_and_ends() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/abc", "/", false),
            ("*", "/", true),
            ("/*/*/c", "/a/b/c", true),
            ("/*/*/c", "/a/c", false),
            ("/*/c$", "/a/b/c", true),
            ("/*/c$", "/a/b/c/d", false),
            ("/fish*.php", "/fishheads/catfish.php?parameters", true),
            ("/*.php$", "/a.php?b.php", true),
            ("/*.php$", "/a.php5", false),
            ("/a*a$", "/a", false),
            ("/a**b", "/ab", true),
            ("/$a", "/$a", true),
            ("$", "/", false),
            ("/a%2Fb", "/a/b", false),
            ("/a%2fb", "/a%2Fb", true),
            ("/a%", "/a%", true),
            ("/%7ea", "/~a", true),
        ] {
            let found = Pattern::new(pattern.as_bytes())
                .is_some_and(|rule| rule.matches(&normalized(path.as_bytes())));
            assert_eq!(found, expected, "{path} by {pattern}");
        }
    }

    #[test]
    fn robots_txt_itself_is_always_allowed() {
        assert!(allows("user-agent: *\ndisallow: /\n", "/robots.txt"));
    }

    /// Google's limit for a file, with the worst of patterns and a long path.
    #[test]
    fn a_hostile_file_is_read_in_linear_time() {
        let mut text = String::from("user-agent: *\n");
        while text.len() < MAX_FILE {
            text.push_str(&format!("disallow: /{}b\n", "*a".repeat(4000)));
        }
        let path = format!("/{}", "a".repeat(2000));
        assert!(allows(&text, &path));
    }
}
