//! `http` and `https` URLs as a client needs them: where to connect, what to ask for, where a `Location` leads.
//!
//! The crate `url` reads them, as browsers do. What comes out is fit for a request: no space, no control character,
//! nothing but ASCII, so nobody can smuggle a header in through a URL.

use std::{borrow::Cow, fmt};

use percent_encoding::{CONTROLS, percent_encode};
use url::{ParseError, Position};

/// The address of something on an HTTP server; the fragment, which is none of the server's business, is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url(url::Url);

/// Why a text is no URL this client can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    NoScheme,
    /// Neither `http` nor `https`.
    Scheme(String),
    /// `user:password@host`: HTTP has no place for it in a plain request.
    User,
    Malformed(ParseError),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => {
                f.write_str("no scheme: only supports http and https, as in https://example.com/")
            }
            Self::Scheme(scheme) => write!(f, "only supports http and https, not {scheme}"),
            Self::User => f.write_str("user names and passwords in URLs are not supported"),
            Self::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UrlError {}

impl From<ParseError> for UrlError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::RelativeUrlWithoutBase => Self::NoScheme,
            other => Self::Malformed(other),
        }
    }
}

impl Url {
    /// Reads a URL that somebody typed.
    pub fn parse(text: &[u8]) -> Result<Self, UrlError> {
        let url = url::Url::parse(&ascii(text))?;
        // `localhost:8000` looks like a scheme too, but what follows is a port, and the scheme was left out.
        if url.cannot_be_a_base() && url.path().starts_with(|c: char| c.is_ascii_digit()) {
            return Err(UrlError::NoScheme);
        }
        Self::checked(url)
    }

    /// Where a `Location` header of this URL's answer leads.
    pub fn join(&self, location: &[u8]) -> Result<Self, UrlError> {
        Self::checked(self.0.join(&ascii(location))?)
    }

    fn checked(mut url: url::Url) -> Result<Self, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::User);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// Whether the server is spoken to through TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// What goes into the request line.
    pub fn target(&self) -> &str {
        &self.0[Position::BeforePath..Position::AfterQuery]
    }

    /// What goes into the request line of a proxy.
    pub fn absolute(&self) -> &str {
        self.0.as_str()
    }

    /// Whether both are of one server: scheme, host and port (RFC 6454, 5).
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// For crates that take it.
    pub fn as_url(&self) -> &url::Url {
        &self.0
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }

    /// A name, or an IP address, an IPv6 one in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// 80 and 443 by default.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no URL this client can use, as it may be shown: without all that could be user name and password.
pub fn without_user(text: &str) -> Cow<'_, str> {
    let Some(end) = text.rfind('@') else {
        return text.into();
    };
    let scheme = text[..end].find("://").map_or(0, |at| at + 3);
    format!("{}\u{2026}{}", &text[..scheme], &text[end..]).into()
}

/// Bytes may come in any encoding, and the crate `url` would overlook line ends in the middle.
fn ascii(text: &[u8]) -> Cow<'_, str> {
    percent_encode(text.trim_ascii(), CONTROLS).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<String, UrlError> {
        Url::parse(text).map(|url| url.to_string())
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
            ("http://example.com?q", "example.com", "/?q"),
            ("http://[0:0::1]:8000/x", "[::1]:8000", "/x"),
            ("http://127.0.0.1/a/./b/../c", "127.0.0.1", "/a/c"),
            (" http://a/b%20c \n", "a", "/b%20c"),
            ("HTTPS://example.com:443/a", "example.com", "/a"),
            ("https://example.com:80", "example.com:80", "/"),
        ] {
            let url = Url::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.authority(), authority, "{text}");
            assert_eq!(url.target(), target, "{text}");
        }
    }

    #[test]
    fn the_scheme_chooses_the_port_that_is_not_given() {
        for (text, port, is_https) in [
            ("http://a/", 80, false),
            ("https://a/", 443, true),
            ("http://a:443/", 443, false),
            ("https://a:80/", 80, true),
        ] {
            let url = Url::parse(text.as_bytes()).expect("a URL");
            assert_eq!((url.port(), url.is_https()), (port, is_https), "{text}");
        }
    }

    #[test]
    fn what_may_not_stand_in_a_request_is_escaped() {
        for (text, url) in [
            (&b"http://a/b c\r\nX: y"[..], "http://a/b%20c%0D%0AX:%20y"),
            ("http://a/ä?ö".as_bytes(), "http://a/%C3%A4?%C3%B6"),
            (b"http://a/\xff", "http://a/%FF"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(url));
        }
        for text in ["http://a\r\nX: y/", "http://a b/", "http://ä/"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_http_url_is_refused_with_the_reason() {
        use UrlError::{Malformed, NoScheme, Scheme, User};
        for (text, error) in [
            ("httpss://example.com/", Scheme("httpss".into())),
            ("FTP://example.com/", Scheme("ftp".into())),
            ("example.com/", NoScheme),
            ("localhost:8000", NoScheme),
            ("", NoScheme),
            ("http://", Malformed(ParseError::EmptyHost)),
            ("http://me:secret@example.com/", User),
            (
                "http://example.com:65536/",
                Malformed(ParseError::InvalidPort),
            ),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
        let ftp = Scheme("ftp".into()).to_string();
        assert!(ftp.contains("only supports http and https"), "{ftp}");
    }

    #[test]
    fn no_password_is_shown() {
        for (text, shown) in [
            ("http://me:secret@a/b", "http://\u{2026}@a/b"),
            ("http://me:sec/ret@a:99999/", "http://\u{2026}@a:99999/"),
            ("http://me:sec@ret@a:99999/", "http://\u{2026}@a:99999/"),
            ("https://me@a/", "https://\u{2026}@a/"),
            ("http:\\\\me:secret@a/", "\u{2026}@a/"),
            ("me:secret@a", "\u{2026}@a"),
            ("ftps://a/", "ftps://a/"),
        ] {
            assert!(Url::parse(text.as_bytes()).is_err(), "{text}");
            assert_eq!(without_user(text), shown);
        }
    }

    #[test]
    fn a_location_is_taken_relative_to_the_url_that_gave_it() {
        let base = Url::parse(b"http://a:8000/b/c/d;p?q").expect("a URL");
        for (location, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "http://other/x"),
            ("https://other/x", "https://other/x"),
            ("/x/y?z", "http://a:8000/x/y?z"),
            ("g", "http://a:8000/b/c/g"),
            ("tel:123", "only supports http and https, not tel"),
            ("other:8000", "only supports http and https, not other"),
            ("?y", "http://a:8000/b/c/d;p?y"),
            ("", "http://a:8000/b/c/d;p?q"),
            ("#s", "http://a:8000/b/c/d;p?q"),
            ("../../../../g", "http://a:8000/g"),
            ("//", "empty host"),
        ] {
            let joined = match base.join(location.as_bytes()) {
                Ok(url) => url.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(joined, expected, "{location}");
        }
    }
}
