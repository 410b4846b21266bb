//! What a request to a proxy is for (RFC 9112, 3.2).

use std::{borrow::Cow, fmt, net::Ipv6Addr};

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// A name in lower case, or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
}

/// The target of a request that is to be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub place: Place,
    /// For the field Host.
    pub authority: &'a str,
    /// For the request line of the server.
    pub path: Cow<'a, str>,
}

/// Why a target is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    NotAbsolute,
    Https,
    Scheme,
    User,
    Host,
    Port,
    Fragment,
    Authority,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => {
                "This is a proxy: the request must name the server, as in GET http://host/."
            }
            Self::Https => "https is forwarded by CONNECT only.",
            Self::Scheme => "The scheme must be http.",
            Self::User => "A name before the host is not allowed.",
            Self::Host => "The host is malformed.",
            Self::Port => "The port is malformed.",
            Self::Fragment => "A fragment is not allowed.",
            Self::Authority => "CONNECT needs HOST:PORT.",
        })
    }
}

impl<'a> Target<'a> {
    /// Reads a target in absolute form. OPTIONS without a path asks the server itself, `*` (RFC 9112, 3.2.4).
    pub fn absolute(method: &str, target: &'a str) -> Result<Self, BadTarget> {
        let Some((scheme, rest)) = target.split_once("://") else {
            return Err(BadTarget::NotAbsolute);
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err(BadTarget::Https);
        } else if !scheme.eq_ignore_ascii_case("http") {
            return Err(match scheme.starts_with('/') {
                true => BadTarget::NotAbsolute,
                false => BadTarget::Scheme,
            });
        } else if rest.contains('#') {
            return Err(BadTarget::Fragment);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        Ok(Self {
            place: Place {
                host,
                port: port.unwrap_or(80),
            },
            authority,
            path: match path.as_bytes().first() {
                None if method == "OPTIONS" => "*".into(),
                Some(b'/') => path.into(),
                _ => format!("/{path}").into(),
            },
        })
    }
}

impl Place {
    /// Reads the target of CONNECT.
    pub fn authority(target: &str) -> Result<Self, BadTarget> {
        match host_and_port(target)? {
            (host, Some(port)) => Ok(Self { host, port }),
            (_, None) => Err(BadTarget::Authority),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), BadTarget> {
    if authority.contains('@') {
        return Err(BadTarget::User);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(BadTarget::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| BadTarget::Host)?;
            (address.to_string(), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || !host.bytes().all(fits) {
                return Err(BadTarget::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        // An empty port is the default one (RFC 3986, 3.2.3).
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port: u16 = digits.parse().map_err(|_| BadTarget::Port)?;
            Some(port)
                .filter(|&port| port > 0)
                .map(Some)
                .ok_or(BadTarget::Port)?
        }
        None if port.is_empty() => None,
        _ => return Err(BadTarget::Port),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_names_server_authority_and_path() {
        for (target, place, authority, path) in [
            ("http://a/", "a:80", "a", "/"),
            (
                "HTTP://A.Example:8080/x/../y?z=//",
                "a.example:8080",
                "A.Example:8080",
                "/x/../y?z=//",
            ),
            ("http://a", "a:80", "a", "/"),
            ("http://a:?b", "a:80", "a:", "/?b"),
            ("http://[::1]:81/", "[::1]:81", "[::1]:81", "/"),
            ("http://[0:0:0::1]/", "[::1]:80", "[0:0:0::1]", "/"),
            (
                "http://127.0.0.1:65535/%zz",
                "127.0.0.1:65535",
                "127.0.0.1:65535",
                "/%zz",
            ),
        ] {
            let read = Target::absolute("GET", target).expect(target);
            assert_eq!(
                (&*read.place.to_string(), read.authority, &*read.path),
                (place, authority, path)
            );
        }
        let target = Target::absolute("OPTIONS", "http://a:8080").expect("a target");
        assert_eq!(target.path, "*");
    }

    #[test]
    fn other_targets_are_refused_with_the_reason() {
        use BadTarget::{Authority, Fragment, Host, Https, NotAbsolute, Port, Scheme, User};
        for (target, bad) in [
            ("/", NotAbsolute),
            ("*", NotAbsolute),
            ("a:443", NotAbsolute),
            ("/x?u=http://a/", NotAbsolute),
            ("https://a/", Https),
            ("http://a/#b", Fragment),
            ("ftp://a/", Scheme),
            ("://a/", Scheme),
            ("http://", Host),
            ("http:///x", Host),
            ("http://:80/", Host),
            ("http://u@a/", User),
            ("http://u:p@a/", User),
            ("http://a%00b/", Host),
            ("http://a\\b/", Host),
            ("http://\u{e4}/", Host),
            ("http://[::1/", Host),
            ("http://[::1%25eth0]/", Host),
            ("http://[127.0.0.1]/", Host),
            ("http://[::1]x/", Port),
            ("http://::1/", Host),
            ("http://a:b/", Port),
            ("http://a:+1/", Port),
            ("http://a:0/", Port),
            ("http://a:65536/", Port),
        ] {
            assert_eq!(Target::absolute("GET", target).err(), Some(bad), "{target}");
        }
        for (target, read) in [
            ("a.example:443", Ok("a.example:443")),
            ("[::1]:443", Ok("[::1]:443")),
            ("A:1", Ok("a:1")),
            ("a", Err(Authority)),
            ("a:", Err(Authority)),
            ("[::1]", Err(Authority)),
            (":443", Err(Host)),
            ("http://a:443", Err(Port)),
            ("a:443/", Err(Port)),
            ("u@a:443", Err(User)),
            ("/", Err(Host)),
        ] {
            let place = Place::authority(target).map(|place| place.to_string());
            assert_eq!(place.as_deref().map_err(|bad| *bad), read, "{target}");
        }
    }
}
