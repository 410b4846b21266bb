//! `http` URLs as a client needs them: where to connect, what to ask for, where a `Location` leads (RFC 3986).
//!
//! What comes out is fit for a request: no space, no control character, nothing but ASCII, so nobody can smuggle a
//! header in through a URL.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// What browsers escape too when it turns up unescaped. `%` stays, as what is escaped already must not be again.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The address of something on an HTTP server; the fragment, which is none of the server's business, is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

/// Why a text is no URL this client can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// There is none, or another than `http`.
    Scheme(String),
    NoHost,
    Host(String),
    Port(String),
    /// `user:password@host`: HTTP has no place for it in a plain request.
    User,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) if scheme.is_empty() => {
                f.write_str("no scheme: only supports http, as in http://example.com/")
            }
            Self::Scheme(scheme) => write!(f, "only supports http, not {scheme}"),
            Self::NoHost => f.write_str("the URL names no host"),
            Self::Host(host) => write!(f, "{host:?} is no host name or IP address"),
            Self::Port(port) => write!(f, "{port:?} is no port"),
            Self::User => f.write_str("user names and passwords in URLs are not supported"),
        }
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// Reads a URL that somebody typed.
    pub fn parse(text: &[u8]) -> Result<Self, UrlError> {
        let text = percent_encode(text.trim_ascii(), ESCAPED).to_string();
        // `localhost:8000` looks like a scheme too, but what follows is a port, and the scheme was left out.
        let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        let (scheme, rest) = split_scheme(&text)
            .filter(|(_, rest)| !is_port(rest))
            .unwrap_or(("", &text));
        Self::parse_with_scheme(scheme, rest)
    }

    fn parse_with_scheme(scheme: &str, rest: &str) -> Result<Self, UrlError> {
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::Scheme(scheme.to_ascii_lowercase()));
        }
        Self::parse_after_scheme(rest)
    }

    /// Where a `Location` header of this URL's answer leads.
    pub fn join(&self, location: &[u8]) -> Result<Self, UrlError> {
        let text = percent_encode(location.trim_ascii(), ESCAPED).to_string();
        if let Some((scheme, rest)) = split_scheme(&text) {
            return Self::parse_with_scheme(scheme, rest);
        }
        if text.starts_with("//") {
            return Self::parse_after_scheme(&text);
        }
        let reference = without_fragment(&text);
        let (path, query) = split_query(&self.target);
        let target = match reference.as_bytes().first() {
            None => format!("{path}{query}"),
            Some(b'?') => format!("{path}{reference}"),
            Some(b'/') => reference.to_owned(),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                format!("{folder}{reference}")
            }
        };
        Ok(Self {
            target: normalised(&target),
            ..self.clone()
        })
    }

    fn parse_after_scheme(rest: &str) -> Result<Self, UrlError> {
        let rest = rest.strip_prefix("//").ok_or(UrlError::NoHost)?;
        let rest = without_fragment(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None | Some("") => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&number| number > 0 && !port.starts_with('+'))
                .ok_or_else(|| UrlError::Port(port.into()))?,
        };
        Ok(Self {
            host: checked_host(host)?,
            port,
            target: normalised(target),
        })
    }

    /// What goes into the request line.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> String {
        let host = &self.host;
        let (open, close) = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        match self.port {
            80 => format!("{open}{host}{close}"),
            port => format!("{open}{host}{close}:{port}"),
        }
    }

    /// All addresses of the host. Waits for the system's resolver.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        Ok(addresses.collect())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

/// The scheme, if `text` starts with one, and what is behind its colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let starts_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on_well = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (starts_well && scheme.chars().all(goes_on_well)).then_some((scheme, rest))
}

fn without_fragment(text: &str) -> &str {
    text.split_once('#').map_or(text, |(before, _)| before)
}

/// Path, and query with its question mark.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn checked_host(host: &str) -> Result<String, UrlError> {
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => {
            return address
                .parse::<Ipv6Addr>()
                .map(|address| IpAddr::V6(address).to_string())
                .map_err(|_| UrlError::Host(host.into()));
        }
        None => host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !good {
        return Err(UrlError::Host(host.into()));
    }
    Ok(host.to_ascii_lowercase())
}

/// The target with a path that starts at the root and has no `.` or `..` segments left (RFC 3986, 5.2.4).
fn normalised(target: &str) -> String {
    let (path, query) = split_query(target);
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_folder = true;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let slash = if ends_in_folder && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, UrlError> {
        Url::parse(text.as_bytes()).map(|url| url.to_string())
    }

    #[test]
    fn a_url_is_split_into_what_to_connect_to_and_what_to_ask_for() {
        for (text, authority, target) in [
            ("http://example.com", "example.com", "/"),
            ("HTTP://Example.COM:80/", "example.com", "/"),
            (
                "http://example.com:8080/a?b=c#d",
                "example.com:8080",
                "/a?b=c",
            ),
            ("http://example.com:/", "example.com", "/"),
            ("http://example.com?q", "example.com", "/?q"),
            ("http://[::1]:8000/x", "[::1]:8000", "/x"),
            ("http://[0:0::1]", "[::1]", "/"),
            ("http://127.0.0.1/a/./b/../c", "127.0.0.1", "/a/c"),
            (" http://a/b%20c \n", "a", "/b%20c"),
        ] {
            let url = Url::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.authority(), authority, "{text}");
            assert_eq!(url.target(), target, "{text}");
        }
    }

    #[test]
    fn what_may_not_stand_in_a_request_is_escaped() {
        assert_eq!(
            parse("http://a/b c\r\nX: y").as_deref(),
            Ok("http://a/b%20c%0D%0AX:%20y")
        );
        assert_eq!(
            parse("http://a/ä?ö").as_deref(),
            Ok("http://a/%C3%A4?%C3%B6")
        );
        assert_eq!(
            Url::parse(b"http://a/\xff")
                .map(|url| url.to_string())
                .as_deref(),
            Ok("http://a/%FF")
        );
    }

    #[test]
    fn what_is_no_http_url_is_refused_with_the_reason() {
        for (text, error) in [
            ("https://example.com/", UrlError::Scheme("https".into())),
            ("FTP://example.com/", UrlError::Scheme("ftp".into())),
            ("example.com/", UrlError::Scheme(String::new())),
            ("localhost:8000", UrlError::Scheme(String::new())),
            ("", UrlError::Scheme(String::new())),
            ("http:/path", UrlError::NoHost),
            ("http:///path", UrlError::NoHost),
            ("http://:80/", UrlError::NoHost),
            ("http://me:secret@example.com/", UrlError::User),
            ("http://example.com:0/", UrlError::Port("0".into())),
            ("http://example.com:+1/", UrlError::Port("+1".into())),
            ("http://example.com:65536/", UrlError::Port("65536".into())),
            ("http://a b/", UrlError::Host("a%20b".into())),
            ("http://[::1/", UrlError::Host("[:".into())),
            ("http://[x]/", UrlError::Host("[x]".into())),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        let https = UrlError::Scheme("https".into()).to_string();
        assert!(https.contains("only supports http"), "{https}");
    }

    #[test]
    fn a_location_is_taken_relative_to_the_url_that_gave_it() {
        let base = Url::parse(b"http://a:8000/b/c/d;p?q").expect("a URL");
        for (location, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "http://other/x"),
            ("/x/y?z", "http://a:8000/x/y?z"),
            ("g", "http://a:8000/b/c/g"),
            ("g:h/i", "g"),
            ("tel:123", "tel"),
            ("mailto:1", "mailto"),
            ("other:8000", "other"),
            ("./g:1", "http://a:8000/b/c/g:1"),
            ("g?x:1", "http://a:8000/b/c/g?x:1"),
            ("./g/", "http://a:8000/b/c/g/"),
            ("?y", "http://a:8000/b/c/d;p?y"),
            ("", "http://a:8000/b/c/d;p?q"),
            ("#s", "http://a:8000/b/c/d;p?q"),
            (".", "http://a:8000/b/c/"),
            ("..", "http://a:8000/b/"),
            ("../g", "http://a:8000/b/g"),
            ("../../../../g", "http://a:8000/g"),
            ("../..", "http://a:8000/"),
            ("/./g/../h?../x", "http://a:8000/h?../x"),
            ("//", "NoHost"),
        ] {
            let joined = match base.join(location.as_bytes()) {
                Ok(url) => url.to_string(),
                Err(UrlError::Scheme(scheme)) => scheme,
                Err(error) => format!("{error:?}"),
            };
            assert_eq!(joined, expected, "{location}");
        }
    }
}
