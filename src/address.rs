//! The address of a socket: an IP address and port, or the name of a Unix socket.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The address of a socket.
///
/// Functions that need one take anything that converts into it: `([127, 0, 0, 1], 80)`, `(Ipv6Addr::UNSPECIFIED, 80)`,
/// a `SocketAddr`, a `&Path`. Text is parsed.
///
/// ```
/// use asynchat::Address;
///
/// let v4: Address = "127.0.0.1:8037".parse().unwrap();
/// assert_eq!(v4, Address::from(([127, 0, 0, 1], 8037)));
/// assert_eq!((v4.port(), v4.inet().map(|inet| inet.is_ipv4())), (Some(8037), Some(true)));
///
/// let unix: Address = "unix:/run/echo.sock".parse().unwrap();
/// assert_eq!(unix.to_string(), "unix:/run/echo.sock");
/// assert_eq!(unix.path(), Some("/run/echo.sock".as_ref()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address and a port.
    Inet(SocketAddr),
    /// A Unix socket bound to a path.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
    /// A Unix socket that was never bound, as most clients are, or a descriptor without an address.
    Unnamed,
}

impl Address {
    /// The IP address and port; `None` for a Unix socket.
    #[must_use]
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(addr) => Some(*addr),
            _ => None,
        }
    }

    /// The port; `None` for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.inet().map(|address| address.port())
    }

    /// The path of a Unix socket that is bound to one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unnamed"),
        }
    }
}

/// Text that is neither `IP:PORT` nor `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressParseError(String);

impl fmt::Display for AddressParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither IP:PORT nor unix:PATH", self.0)
    }
}

impl std::error::Error for AddressParseError {}

/// Reads `IP:PORT`, `unix:PATH` or, on Linux and Android, `unix:@NAME`. Host names are not resolved, because that would
/// block the loop.
impl FromStr for Address {
    type Err = AddressParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("" | "@") => Err(AddressParseError(text.into())),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(name) if name.starts_with('@') => Ok(Self::Abstract(name[1..].into())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Inet)
                .map_err(|_| AddressParseError(text.into())),
        }
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(pair: (I, u16)) -> Self {
        Self::Inet(pair.into())
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

impl From<SocketAddrV4> for Address {
    fn from(addr: SocketAddrV4) -> Self {
        Self::Inet(addr.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(addr: SocketAddrV6) -> Self {
        Self::Inet(addr.into())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.into())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::SocketAddr> for Address {
    fn from(addr: std::os::unix::net::SocketAddr) -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            #[cfg(target_os = "android")]
            use std::os::android::net::SocketAddrExt;
            #[cfg(target_os = "linux")]
            use std::os::linux::net::SocketAddrExt;
            if let Some(name) = addr.as_abstract_name() {
                return Self::Abstract(name.to_vec());
            }
        }
        addr.as_pathname()
            .map_or(Self::Unnamed, |path| Self::Unix(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_the_same_way() {
        for text in [
            "127.0.0.1:80",
            "[::1]:8080",
            "unix:/tmp/x y.sock",
            "unix:@x",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:80", "127.0.0.1", "unix:", ":80"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("neither"), "{error}");
        }
    }
}
