//! The header of the PROXY protocol, with which a proxy tells whose connection it passes on (proxy-protocol.txt).

use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    str,
};

/// What a version 2 header begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A version 1 header, its line end included.
const LONGEST_LINE: usize = 107;

/// The header of the PROXY protocol, version 1 or 2, as haproxy, nginx and others send it in front of a connection that
/// they pass on.
///
/// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol) reads it for a listener. This parser is for
/// other uses.
///
/// ```
/// use asynchat::ProxyHeader;
///
/// let input = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
/// let header = ProxyHeader::parse(input)?.ok_or("incomplete")?;
/// assert_eq!(header.source, Some(([192, 168, 0, 1], 56324).into()));
/// assert_eq!(header.destination, Some(([192, 168, 0, 11], 443).into()));
/// assert_eq!(&input[header.len..], b"GET / HTTP/1.1\r\n");
///
/// assert_eq!(ProxyHeader::parse(b"PROXY TCP4 192.1")?, None);
/// assert!(ProxyHeader::parse(b"GET / HTTP/1.1\r\n").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// Where the client of the proxy is. `None` for a connection of the proxy's own, a health check for instance, and for
    /// one that is neither IPv4 nor IPv6.
    pub source: Option<SocketAddr>,
    /// Where the client connected to; `None` as above.
    pub destination: Option<SocketAddr>,
    /// Bytes of the header, from the beginning of the input. At most [`MAX_LEN`](Self::MAX_LEN).
    pub len: usize,
}

impl ProxyHeader {
    /// The longest header that is read: 536 bytes, which fit into the smallest TCP segment.
    pub const MAX_LEN: usize = 536;

    /// Reads the header at the beginning of `input`. `None` if more input is needed. Extensions (TLVs) are skipped, a
    /// checksum among them is not verified.
    ///
    /// # Errors
    /// [`ProxyHeaderError`] as soon as the input cannot become a valid header of at most [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn parse(input: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        if begins(input, SIGNATURE) {
            parse_binary(input)
        } else if begins(input, b"PROXY ") {
            parse_line(input)
        } else {
            Err(ProxyHeaderError("it begins with something else"))
        }
    }
}

/// Whether the input begins with all of `with`, or may when more of it is there.
fn begins(input: &[u8], with: &[u8]) -> bool {
    let n = input.len().min(with.len());
    input[..n] == with[..n]
}

fn parse_line(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let start = &input[..input.len().min(LONGEST_LINE)];
    let Some(end) = memchr::memmem::find(start, b"\r\n") else {
        return match start.len() {
            LONGEST_LINE => Err(ProxyHeaderError("its line is too long")),
            _ => Ok(None),
        };
    };
    if let Some(rest) = start[..end].strip_prefix(b"PROXY UNKNOWN")
        && matches!(rest, [] | [b' ', ..])
    {
        return Ok(Some(header(None, end + 2)));
    }
    let wrong = ProxyHeaderError("its line is malformed");
    let line = str::from_utf8(&start[..end]).map_err(|_| wrong.clone())?;
    let fields: Vec<&str> = line.split(' ').collect();
    let addresses = match fields[..] {
        [_, family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let is_ipv4 = family == "TCP4";
            let source = address(source, from, is_ipv4).ok_or_else(|| wrong.clone())?;
            let destination = address(destination, to, is_ipv4).ok_or(wrong)?;
            (source, destination)
        }
        _ => return Err(wrong),
    };
    Ok(Some(header(Some(addresses), end + 2)))
}

fn header(addresses: Option<(SocketAddr, SocketAddr)>, len: usize) -> ProxyHeader {
    ProxyHeader {
        source: addresses.map(|(source, _)| source),
        destination: addresses.map(|(_, destination)| destination),
        len,
    }
}

fn address(ip: &str, port: &str, is_ipv4: bool) -> Option<SocketAddr> {
    let ip: IpAddr = ip.parse().ok()?;
    // `parse` would take `+80` and `080`.
    let is_decimal = port.bytes().all(|byte| byte.is_ascii_digit());
    if ip.is_ipv4() != is_ipv4 || !is_decimal || (port.len() > 1 && port.starts_with('0')) {
        return None;
    }
    Some((ip, port.parse().ok()?).into())
}

fn parse_binary(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some((&[command, family, high, low], behind)) = input
        .get(SIGNATURE.len()..)
        .and_then(<[u8]>::split_first_chunk)
    else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    let len = SIGNATURE.len() + 4 + body;
    if len > ProxyHeader::MAX_LEN {
        return Err(ProxyHeaderError("it is too long"));
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError("its version or command is unknown")),
    };
    // Of a connection of the proxy's own the family is ignored.
    if !is_local && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(ProxyHeaderError(
            "its address family or protocol is unknown",
        ));
    }
    let needed = match family {
        _ if is_local => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => 0,
    };
    if body < needed {
        return Err(ProxyHeaderError("it is too short for its addresses"));
    }
    let Some(body) = behind.get(..body) else {
        return Ok(None);
    };
    let addresses = match needed {
        12 => ipv4_pair(body),
        36 => ipv6_pair(body),
        _ => None,
    };
    Ok(Some(header(addresses, len)))
}

fn ipv4_pair(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, body) = body.split_first_chunk::<4>()?;
    let (destination, ports) = body.split_first_chunk::<4>()?;
    with_ports((*source).into(), (*destination).into(), ports)
}

fn ipv6_pair(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, body) = body.split_first_chunk::<16>()?;
    let (destination, ports) = body.split_first_chunk::<16>()?;
    with_ports((*source).into(), (*destination).into(), ports)
}

fn with_ports(
    source: IpAddr,
    destination: IpAddr,
    ports: &[u8],
) -> Option<(SocketAddr, SocketAddr)> {
    let [a, b, c, d] = *ports.first_chunk()?;
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(((source, from).into(), (destination, to).into()))
}

/// Input that is no header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeaderError(&'static str);

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a header of the PROXY protocol: {}", self.0)
    }
}

impl Error for ProxyHeaderError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use util::properties::config;

    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    /// Version 2: the two bytes after the signature, and what follows the length.
    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    /// Every shorter input is incomplete, and bytes behind the header do not count.
    #[track_caller]
    fn parses(input: &[u8], source: Option<SocketAddr>, destination: Option<SocketAddr>) {
        let len = input.len();
        let expected = ProxyHeader {
            source,
            destination,
            len,
        };
        assert_eq!(ProxyHeader::parse(input), Ok(Some(expected)));
        let more = [input, b"\r\nPROXY \r\n"].concat();
        assert_eq!(ProxyHeader::parse(&more), Ok(Some(expected)));
        for n in 0..len {
            assert_eq!(ProxyHeader::parse(&input[..n]), Ok(None), "{n} bytes");
        }
    }

    #[test]
    fn lines() {
        // The longest lines of the specification, and its example.
        let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let any = at(&format!("[{ones}]:65535"));
        parses(
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            at("192.168.0.1:56324"),
            at("192.168.0.11:443"),
        );
        parses(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            at("255.255.255.255:65535"),
            at("255.255.255.255:65535"),
        );
        parses(
            format!("PROXY TCP6 {ones} {ones} 65535 65535\r\n").as_bytes(),
            any,
            any,
        );
        parses(
            format!("PROXY UNKNOWN {ones} {ones} 65535 65535\r\n").as_bytes(),
            None,
            None,
        );
        parses(b"PROXY UNKNOWN\r\n", None, None);
        parses(b"PROXY UNKNOWN whatever \n it \xff is\r\n", None, None);
        parses(
            b"PROXY TCP6 ::1 2001:DB8::f 0 1\r\n",
            at("[::1]:0"),
            at("[2001:db8::f]:1"),
        );
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x34, 0, 80];
        let v6 = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[1],
            &[0; 15],
            &[2],
            &[0, 7, 0xff, 0xff],
        ]
        .concat();
        let (source, destination) = (at("192.0.2.1:4660"), at("192.0.2.9:80"));
        parses(&binary(0x21, 0x11, &v4), source, destination);
        parses(&binary(0x21, 0x12, &v4), source, destination);
        parses(
            &binary(0x21, 0x21, &v6),
            at("[2001:db8::1]:7"),
            at("[::2]:65535"),
        );
        // Extensions behind the addresses, up to the longest header.
        parses(
            &binary(0x21, 0x11, &[&v4[..], &[4, 0, 2, 0, 0]].concat()),
            source,
            destination,
        );
        parses(
            &binary(0x21, 0x11, &[&v4[..], &[0; 508]].concat()),
            source,
            destination,
        );
        // The proxy's own connection, whatever it says; and families without IP addresses.
        for local in [
            binary(0x20, 0, &[]),
            binary(0x20, 0x11, &v4),
            binary(0x20, 0xff, b"xyz"),
        ] {
            parses(&local, None, None);
        }
        for other in [
            binary(0x21, 0, &[]),
            binary(0x21, 0x10, &v4),
            binary(0x21, 0x31, &[7; 216]),
        ] {
            parses(&other, None, None);
        }
    }

    #[test]
    fn malformed_headers() {
        let line = |text: &str| text.as_bytes().to_vec();
        let v4 = [0; 12];
        for input in [
            line("GET / HTTP/1.1\r\n"),
            line("proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n"),
            line("PROXY\r\n"),
            line("PROXY \r\n"),
            line("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n"),
            line("PROXY UNKNOWNX\r\n"),
            line("PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"),
            line("PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 ::1 ::1 1 1\r\n"),
            line("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 1 \r\n"),
            line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\nx\r\n"),
            line("PROXY TCP6 fe80::1%1 ::1 1 1\r\n"),
            format!("PROXY UNKNOWN {:0<93}\r\n", "").into_bytes(),
            b"PROXY TCP4 \xff\r\n".to_vec(),
            binary(0x11, 0x11, &v4),
            binary(0x22, 0x11, &v4),
            binary(0x21, 0x41, &v4),
            binary(0x21, 0x13, &v4),
            binary(0x21, 0x11, &v4[..11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x21, 0x31, &[0; 215]),
            binary(0x21, 0x11, &[0; 521]),
            binary(0x20, 0x00, &[0; 65535]),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert!(
                ProxyHeader::parse(&input).is_err(),
                "{}",
                input.escape_ascii()
            );
        }
        // As soon as it is certain.
        for input in [&b"G"[..], b"PROXX", b"\r\n\r\nx"] {
            assert!(ProxyHeader::parse(input).is_err());
        }
    }

    proptest! {
        #![proptest_config(config(512, 8))]
        /// Whatever begins like a header: the answer does not depend on what follows the header, and never on luck.
        #[test]
        fn an_answer_stays_when_more_input_comes(is_line: bool, tail in prop::collection::vec(any::<u8>(), 0..600)) {
            let start = if is_line { &b"PROXY TCP4 1.1.1.1 "[..] } else { SIGNATURE };
            let input = [start, &tail].concat();
            let mut answer = Ok(None);
            for n in 0..=input.len() {
                let now = ProxyHeader::parse(&input[..n]);
                match &answer {
                    Ok(None) => answer = now,
                    settled => prop_assert_eq!(&now, settled),
                }
            }
            let waits = answer == Ok(None);
            prop_assert!(!waits || input.len() < ProxyHeader::MAX_LEN);
        }
    }
}
