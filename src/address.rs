//! The address of a socket: an IP address and port, or the name of a Unix socket.

use std::{
    error::Error,
    fmt::{self, Write},
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The address of a socket.
///
/// Functions that need one take anything that converts into it: `"127.0.0.1:80"`, `"unix:/run/echo.sock"`,
/// `(Ipv6Addr::UNSPECIFIED, 80)`, a `SocketAddr`, a `&Path`. Text is parsed, never looked up.
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
            Self::Unix(path) => {
                let name = path.as_os_str().as_encoded_bytes();
                f.write_str("unix:")?;
                // An `@` at the beginning is the mark of an abstract name.
                match name.split_first() {
                    Some((b'@', rest)) => {
                        f.write_str(r"\x40")?;
                        write_name(f, rest)
                    }
                    _ => write_name(f, name),
                }
            }
            Self::Abstract(name) => {
                f.write_str("unix:@")?;
                write_name(f, name)
            }
            Self::Unnamed => f.write_str("unnamed"),
        }
    }
}

/// Text as it is. Backslashes, control characters and bytes that are no text are escaped.
fn write_name(f: &mut fmt::Formatter<'_>, name: &[u8]) -> fmt::Result {
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => f.write_str(r"\\")?,
                _ if char.is_control() => write_bytes(f, char.encode_utf8(&mut [0; 4]).as_bytes())?,
                _ => f.write_char(char)?,
            }
        }
        write_bytes(f, chunk.invalid())?;
    }
    Ok(())
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Undoes `write_name`. A backslash that begins none of its escapes stands for itself.
fn read_name(text: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        name.push(*first);
        if *first != b'\\' {
            continue;
        }
        if let [b'\\', behind @ ..] = rest {
            rest = behind;
        } else if let [b'x', high, low, behind @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            name.pop();
            name.push(high << 4 | low);
            rest = behind;
        }
    }
    name
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

#[cfg(unix)]
fn path_of(name: Vec<u8>) -> Option<PathBuf> {
    Some(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(name).into())
}

#[cfg(not(unix))]
fn path_of(name: Vec<u8>) -> Option<PathBuf> {
    Some(String::from_utf8(name).ok()?.into())
}

/// Text that is neither `IP:PORT` nor `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressParseError(String);

impl fmt::Display for AddressParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(f, "{text:?} is neither IP:PORT nor unix:PATH")?;
        match text.rsplit_once(':') {
            Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok() => write!(
                f,
                ": {host:?} is not an IP address; Registry::connect_host connects to a name, and resolve looks one up"
            ),
            _ => Ok(()),
        }
    }
}

impl Error for AddressParseError {}

/// Whether a resolver could know the text as a host name.
fn is_name(host: &str) -> bool {
    !host.is_empty() && !host.contains([':', '/', '[', ']'])
}

/// Reads `IP:PORT`, `unix:PATH` or, on Linux and Android, `unix:@NAME`. Host names are not looked up: that is for
/// [`connect_host`](crate::Registry::connect_host).
///
/// A path or name is read as it is shown: `\\` is a backslash, and `\xff` the byte of that number, for an `@` at the
/// beginning of a path for instance. So every address of a socket that has one is read back as it was.
impl FromStr for Address {
    type Err = AddressParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("" | "@") => Err(AddressParseError(text.into())),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(name) if name.starts_with('@') => Ok(Self::Abstract(read_name(&name[1..]))),
            Some(path) => path_of(read_name(path))
                .map(Self::Unix)
                .ok_or_else(|| AddressParseError(text.into())),
            None => text
                .parse()
                .map(Self::Inet)
                .map_err(|_| AddressParseError(text.into())),
        }
    }
}

/// So that functions that take an address take text.
macro_rules! address_from_text {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for Address {
            type Error = AddressParseError;

            /// Like [`from_str`](Self::from_str).
            fn try_from(text: $text) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )*};
}

address_from_text!(&str, &String, String);

/// The address that a caller gave, or the error of the call.
pub(crate) fn given<A>(address: A) -> io::Result<Address>
where
    A: TryInto<Address, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    address
        .try_into()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
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
    #[cfg(target_os = "linux")]
    use proptest::prelude::*;
    #[cfg(target_os = "linux")]
    use util::properties::config;

    use super::*;

    #[test]
    fn addresses_are_read_and_written_the_same_way() {
        // An `@` stands for an abstract name where there are any.
        let name = if cfg!(any(target_os = "linux", target_os = "android")) {
            "unix:@x"
        } else {
            r"unix:\x40x"
        };
        for text in ["127.0.0.1:80", "[::1]:8080", "unix:/tmp/x y.sock", name] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let at: Address = "unix:@x".parse().unwrap();
        assert_eq!(at.to_string(), name);
        for text in ["", "localhost:80", "127.0.0.1", "unix:", ":80"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("neither"), "{error}");
        }
    }

    #[test]
    fn a_host_name_in_place_of_an_address_is_told_from_nonsense() {
        for (text, is_name) in [
            ("localhost:80", true),
            ("example.org:65535", true),
            ("256.0.0.1:80", true),
            ("localhost:65536", false),
            ("localhost", false),
            (":80", false),
            ("::1:80", false),
            ("/run/x:80", false),
        ] {
            let error = given(text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let told = error
                .to_string()
                .contains("not an IP address; Registry::connect_host");
            assert_eq!(told, is_name, "{error}");
        }
        assert_eq!(
            given(String::from("[::1]:80")).unwrap(),
            Address::try_from(&String::from("[::1]:80")).unwrap()
        );
        assert_eq!(
            given(([127, 0, 0, 1], 80)).unwrap(),
            given("127.0.0.1:80").unwrap()
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_no_text_are_escaped() {
        let table: [(Address, &str); 6] = [
            (Address::Unix("@x".into()), r"unix:\x40x"),
            (Address::Unix("x@y".into()), "unix:x@y"),
            (Address::Unix(r"a\x40".into()), r"unix:a\\x40"),
            (Address::Abstract(b"@".to_vec()), "unix:@@"),
            (
                Address::Abstract(b"a\0\xffb\n".to_vec()),
                r"unix:@a\x00\xffb\x0a",
            ),
            (Address::Abstract("é\"\u{85}".into()), r#"unix:@é"\xc2\x85"#),
        ];
        for (address, text) in table {
            assert_eq!(address.to_string(), text);
            assert_eq!(text.parse(), Ok(address));
        }
        // As a person may write it.
        for text in [r"a\b", r"a\x4", r"a\", r"a\xg0"] {
            let address: Address = format!("unix:{text}").parse().unwrap();
            assert_eq!(address, Address::Unix(text.into()));
        }
    }

    #[cfg(target_os = "linux")]
    proptest! {
        #![proptest_config(config(256, 8))]
        #[test]
        fn every_name_is_read_back_as_it_was(name in prop::collection::vec(any::<u8>(), 1..20)) {
            use std::os::unix::ffi::OsStringExt;
            let path = std::ffi::OsString::from_vec(name.clone());
            for address in [Address::Abstract(name), Address::Unix(path.into())] {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
