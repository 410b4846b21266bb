//! `gopher` URLs (RFC 4266), and `gophers` ones, which others use for Gopher through TLS.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Everywhere (RFC 1436, and in use for TLS too).
const PORT: u16 = 70;
/// Bytes of a selector (RFC 1436, appendix), and of the words of a search.
const MAX_SELECTOR: usize = 255;
/// The signs that a selector may have in a URL.
const IN_SELECTOR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Where something is, and what it is. Its selector cannot begin another line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GopherUrl {
    tls: bool,
    host: String,
    port: u16,
    kind: char,
    selector: Vec<u8>,
    search: Option<Vec<u8>>,
}

impl GopherUrl {
    /// Through TLS?
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn set_tls(&mut self) {
        self.tls = true;
    }

    /// A name, or an IP address, an IPv6 one without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The type (RFC 1436, 3.8).
    pub fn kind(&self) -> char {
        self.kind
    }

    /// Whether the document is a menu.
    pub fn is_menu(&self) -> bool {
        matches!(self.kind, '1' | '7')
    }

    /// Whether a line with a dot may end the document.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, '0' | '1' | '6' | '7')
    }

    pub fn search(&self) -> Option<&[u8]> {
        self.search.as_deref()
    }

    /// The words that a server is asked to search for.
    ///
    /// # Errors
    /// They are not one line, have a tab in them, or more than 255 bytes.
    pub fn set_search(&mut self, words: &str) -> Result<(), String> {
        self.search = Some(checked(words.as_bytes().to_vec(), "the words")?);
        Ok(())
    }

    /// The line that asks for it, without its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = self.selector.clone();
        if let Some(words) = &self.search {
            line.push(b'\t');
            line.extend_from_slice(words);
        }
        line
    }

    /// Of an item of a menu: the server may name what it likes.
    pub(super) fn of_item(
        kind: char,
        selector: &[u8],
        host: &str,
        port: u16,
    ) -> Result<Self, String> {
        Ok(Self {
            tls: false,
            host: host_of(host)?,
            port,
            kind: checked_kind(kind)?,
            selector: checked(selector.to_vec(), "the selector")?,
            search: None,
        })
    }
}

fn checked_kind(kind: char) -> Result<char, String> {
    match kind {
        '2' | '8' | 'T' => Err(format!("type {kind} is a session, not a document")),
        '3' | 'i' => Err(format!("nothing is behind an item of type {kind}")),
        kind if kind.is_ascii_graphic() => Ok(kind),
        _ => Err("a type is one ASCII character".into()),
    }
}

fn checked(bytes: Vec<u8>, what: &str) -> Result<Vec<u8>, String> {
    if bytes.len() > MAX_SELECTOR {
        return Err(format!("{what} has more than {MAX_SELECTOR} bytes"));
    }
    match bytes.iter().any(|byte| b"\r\n\t\0".contains(byte)) {
        true => Err(format!("{what} has a line end, a tab or a NUL")),
        false => Ok(bytes),
    }
}

/// The crate `url` reads names and addresses only for schemes that it knows.
fn host_of(authority: &str) -> Result<String, String> {
    let bare_ipv6 = authority.parse::<std::net::Ipv6Addr>().is_ok();
    let url = match bare_ipv6 {
        true => format!("ftp://[{authority}]/"),
        false => format!("ftp://{authority}/"),
    };
    let url = ::url::Url::parse(&url).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user names and passwords in URLs are not supported".into());
    }
    let host = url.host_str().unwrap_or_default();
    Ok(host.trim_matches(['[', ']']).to_owned())
}

impl FromStr for GopherUrl {
    type Err = String;

    /// Without a scheme it is `gopher`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("a URL has no spaces and no control characters".into());
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("gopher", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "gopher" => false,
            "gophers" => true,
            other => return Err(format!("only supports gopher and gophers, not {other}")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = host_of(authority)?;
        // With a scheme of its own, `url` knows no default that it would leave out.
        let port = ::url::Url::parse(&format!("gopher://{authority}/"))
            .map_err(|error| error.to_string())?
            .port()
            .unwrap_or(PORT);
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut characters = path.chars();
        let kind = checked_kind(characters.next().unwrap_or('1'))?;
        let decoded: Vec<u8> = percent_decode_str(characters.as_str()).collect();
        let mut fields = decoded.splitn(2, |&byte| byte == b'\t').map(<[u8]>::to_vec);
        let selector = checked(fields.next().unwrap_or_default(), "the selector")?;
        let search = fields.next().map(|words| checked(words, "the search"));
        Ok(Self {
            tls,
            host,
            port,
            kind,
            selector,
            search: search.transpose()?,
        })
    }
}

impl fmt::Display for GopherUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "gophers" } else { "gopher" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]", self.host)?,
            false => write!(f, "{scheme}://{}", self.host)?,
        }
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        let selector = percent_encode(&self.selector, IN_SELECTOR);
        write!(f, "/{}{selector}", self.kind)?;
        match &self.search {
            Some(words) => write!(f, "%09{}", percent_encode(words, IN_SELECTOR)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, host, port, kind, line, written) in [
            (
                "gopher://a.example",
                "a.example",
                70,
                '1',
                &b""[..],
                "gopher://a.example/1",
            ),
            (
                "a.example",
                "a.example",
                70,
                '1',
                b"",
                "gopher://a.example/1",
            ),
            (
                "gopher://A.example:70/",
                "a.example",
                70,
                '1',
                b"",
                "gopher://a.example/1",
            ),
            ("gopher://a:21/0", "a", 21, '0', b"", "gopher://a:21/0"),
            (
                "gophers://a:7070/0/x/../y",
                "a",
                7070,
                '0',
                b"/x/../y",
                "gophers://a:7070/0/x/../y",
            ),
            (
                "gopher://[::1]:80/9/a%20b%ff",
                "::1",
                80,
                '9',
                b"/a b\xff",
                "gopher://[::1]:80/9/a%20b%FF",
            ),
            (
                "gopher://127.1/1/a?b=c",
                "127.0.0.1",
                70,
                '1',
                b"/a?b=c",
                "gopher://127.0.0.1/1/a%3Fb=c",
            ),
            (
                "gopher://a/7/find%09two%20words",
                "a",
                70,
                '7',
                b"/find\ttwo words",
                "gopher://a/7/find%09two%20words",
            ),
            (
                "gopher://a/7/find%09",
                "a",
                70,
                '7',
                b"/find\t",
                "gopher://a/7/find%09",
            ),
            (
                "gopher://B/0/\u{e4}#x",
                "b",
                70,
                '0',
                "/\u{e4}".as_bytes(),
                "gopher://b/0/%C3%A4",
            ),
            (
                "gopher://a/hURL:http://b/",
                "a",
                70,
                'h',
                b"URL:http://b/",
                "gopher://a/hURL:http://b/",
            ),
        ] {
            let url: GopherUrl = text.parse().expect(text);
            assert_eq!(
                (url.host(), url.port(), url.kind(), &*url.line()),
                (host, port, kind, line),
                "{text}"
            );
            assert_eq!(url.to_string(), written);
            assert_eq!(written.parse().as_ref(), Ok(&url), "{written}");
        }
    }

    #[test]
    fn what_could_be_more_than_a_line_is_refused() {
        let long = format!("gopher://a/0{}", "x".repeat(256));
        for text in [
            "",
            "gopher://",
            "gopher:///0/x",
            "http://a/",
            "gopher://a:x/",
            "gopher://a:70000/",
            "gopher://u@a/",
            "gopher://u:p@a/",
            "gopher://a b/",
            "gopher://a/0/x\r\n",
            "gopher://a/0/x%0d",
            "gopher://a/0/x%0A",
            "gopher://a/0/x%00",
            "gopher://a/7/x%09y%0d%0az",
            "gopher://a/7/x%09y%09+",
            "gopher://a/\u{e4}",
            "gopher://a/8/x",
            "gopher://a/T",
            "gopher://a/2",
            "gopher://a/3x",
            "gopher://a/i",
            &long,
        ] {
            assert!(text.parse::<GopherUrl>().is_err(), "{text:?}");
        }
        let mut url: GopherUrl = "gopher://a/7/x".parse().expect("a URL");
        for words in ["a\tb", "a\r\nb", "a\nb", &"x".repeat(256)] {
            assert!(url.set_search(words).is_err(), "{words:?}");
        }
        assert!(url.set_search("a b").is_ok());
        assert_eq!(url.line(), b"/x\ta b");
    }
}
