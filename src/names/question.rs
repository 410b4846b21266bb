//! What is looked up, and what is no host name.

use std::{
    fmt::{self, Write},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
};

/// The longest name and label in DNS.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// An error shows no more characters of a name than this.
const SHOWN: usize = 100;

/// What a [`Resolver`](crate::Resolver) is asked: a host name, and the port that its addresses are for.
///
/// ```
/// use asynchat::Question;
///
/// let question = Question::new("Example.org", 443).unwrap();
/// assert_eq!((question.host(), question.port()), ("example.org", 443));
/// assert!(Question::new("example.org:443", 443).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    host: Arc<str>,
    port: u16,
}

impl Question {
    /// Checks the form of a name: ASCII, 1 to 253 characters, labels of 1 to 63. Upper case becomes lower case. An IPv6
    /// address with the name of an interface (`fe80::1%eth0`), perhaps in brackets, is a name too; the interface keeps its case.
    ///
    /// # Errors
    /// `InvalidInput`; the text has the name, escaped, and what is wrong with it. A name in another alphabet has to be
    /// passed in its punycode form (`xn--…`).
    pub fn new(host: &str, port: u16) -> io::Result<Self> {
        if let Some((ip, interface)) = scoped(without_brackets(host)) {
            let host = format!("{}%{interface}", ip.to_ascii_lowercase()).into();
            return Ok(Self { host, port });
        }
        check(host).map_err(|why| {
            let text = format!("{} is no host name: {why}", Quoted(host));
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let host = host.to_ascii_lowercase().into();
        Ok(Self { host, port })
    }

    /// The name, in lower case but for an interface, without control characters.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The address that a text is, if there is nothing to look up: an IP address, an IPv6 one perhaps in brackets.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        // Brackets are for IPv6 alone.
        return (bare.is_none() || ip.is_ipv6()).then_some((ip, port).into());
    }
    let (ip, scope) = bare.unwrap_or(host).split_once('%')?;
    let (ip, scope) = (ip.parse().ok()?, scope.parse().ok()?);
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

fn without_brackets(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host)
}

/// An IPv6 address and the name of an interface, which is the system's to know.
fn scoped(host: &str) -> Option<(&str, &str)> {
    let (ip, interface) = host.split_once('%')?;
    let is_interface = (1..=LONGEST_LABEL).contains(&interface.len())
        && interface.bytes().all(|byte| byte.is_ascii_graphic());
    (is_interface && ip.parse::<Ipv6Addr>().is_ok()).then_some((ip, interface))
}

fn check(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("it is empty".into());
    }
    if !host.is_ascii() {
        return Err("it is not ASCII; pass its punycode form (xn--…)".into());
    }
    let never = |char: &char| !char.is_ascii_graphic() || "/:[]?#@%\\".contains(*char);
    if let Some(char) = host.chars().find(never) {
        let more = match char {
            ':' | '/' | '[' | ']' => "; pass host and port, without a scheme or a path",
            _ => "",
        };
        return Err(format!("it has the character {char:?}{more}"));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > LONGEST_NAME {
        let n = name.len();
        return Err(format!(
            "it has {n} characters, and {LONGEST_NAME} are the most"
        ));
    }
    for label in name.split('.') {
        match label.len() {
            0 => return Err("a label between its dots is empty".into()),
            n if n > LONGEST_LABEL => {
                return Err(format!(
                    "a label has {n} characters, and {LONGEST_LABEL} are the most"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A name in quotes, cut, with all that a terminal could act upon escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// A message of a resolver, which may have bytes from the network, without control characters.
pub(crate) fn escaped(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for char in message.chars() {
        if char.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_form_that_no_name_has_are_refused_with_the_reason() {
        let long = format!("{}.org", "a.".repeat(125) + "bc");
        assert_eq!(long.len(), 256);
        let label = format!("{}.org", "a".repeat(64));
        let table = [
            ("", "empty"),
            (".", "empty"),
            ("a..b", "empty"),
            (".example.org", "empty"),
            ("example.org\0", r"'\0'"),
            ("exam\x1b[2Jple.org", r"'\u{1b}'"),
            ("example.org\n", r"'\n'"),
            ("an example", "' '"),
            ("example.org:80", "pass host and port"),
            ("http://example.org", "pass host and port"),
            ("[example.org]", "pass host and port"),
            ("[127.0.0.1]", "pass host and port"),
            ("me@example.org", "'@'"),
            ("example%eth0", "'%'"),
            ("fe80::1%", "':'"),
            ("bücher.example", "punycode"),
            (&long, "256 characters"),
            (&label, "64 characters"),
        ];
        for (name, why) in table {
            let error = Question::new(name, 80).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
            let text = error.to_string();
            assert!(text.contains(why), "{name:?}: {text}");
            assert!(!text.contains(char::is_control), "{name:?}: {text:?}");
        }
        let endless = Question::new(&"ü".repeat(1_000_000), 80).unwrap_err();
        assert!(endless.to_string().len() < 400);
    }

    #[test]
    fn longest_names_labels_and_those_of_this_machine_are_taken() {
        let longest = format!("{}a", "a.".repeat(126));
        assert_eq!(longest.len(), 253);
        let label = format!("{}.org", "a".repeat(63));
        for name in [
            longest.as_str(),
            &format!("{longest}."),
            &label,
            "localhost",
            "EXAMPLE.org.",
            "_sip._tcp.example.org",
            "xn--bcher-kva.example",
            "fe80::1%eth0",
            "127.1",
        ] {
            let question = Question::new(name, 80).unwrap();
            assert_eq!(question.host(), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn an_interface_keeps_its_case_and_loses_the_brackets() {
        for name in ["FE80::A%enP1p1s0", "[fe80::a%enP1p1s0]"] {
            let question = Question::new(name, 80).unwrap();
            assert_eq!(question.host(), "fe80::a%enP1p1s0");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        let table = [
            ("127.0.0.1", Some("127.0.0.1:7")),
            ("::1", Some("[::1]:7")),
            ("[::1]", Some("[::1]:7")),
            ("fe80::1%2", Some("[fe80::1%2]:7")),
            ("[fe80::1%2]", Some("[fe80::1%2]:7")),
            ("[127.0.0.1]", None),
            ("127.0.0.1%2", None),
            ("fe80::1%eth0", None),
            ("[::1", None),
            ("::1]", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, address) in table {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(literal(text, 7), address, "{text:?}");
        }
    }

    #[test]
    fn a_message_keeps_its_text_and_loses_what_a_terminal_acts_upon() {
        assert_eq!(escaped("no such hôst"), "no such hôst");
        assert_eq!(escaped("a\x1b[2J\r\n\u{9b}b"), r"a\u{1b}[2J\r\n\u{9b}b");
    }
}
