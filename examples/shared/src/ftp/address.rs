//! The address of a data connection, as it stands in commands and replies.

use std::net::{IpAddr, SocketAddr};

/// The port in the reply to EPSV, `229 … (|||PORT|)` (RFC 2428, 3). The host is always that of the control connection.
pub(super) fn extended_passive(text: &str) -> Option<u16> {
    let (_, inside) = text.split_once('(')?;
    let delimiter = inside.chars().next().filter(char::is_ascii_graphic)?;
    let mut fields = inside.split(delimiter);
    let empty = fields.by_ref().take(3).all(str::is_empty);
    let port = fields.next().filter(|_| empty)?;
    fields.next()?.starts_with(')').then_some(())?;
    digits(port).filter(|&port| port != 0)
}

/// Host and port in the reply to PASV: six numbers, wherever they begin (RFC 1123, 4.1.2.6).
pub(super) fn passive(text: &str) -> Option<([u8; 4], u16)> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let list = &text[begin..];
    let end = list.find(|c: char| !c.is_ascii_digit() && c != ',');
    let mut numbers = list[..end.unwrap_or(list.len())].split(',');
    let mut next = || digits::<u8>(numbers.next()?);
    let host = [next()?, next()?, next()?, next()?];
    let port = u16::from_be_bytes([next()?, next()?]);
    (port != 0 && numbers.next().is_none()).then_some((host, port))
}

fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The argument of EPRT (RFC 2428, 2).
pub(super) fn extended_port(address: SocketAddr) -> String {
    let (ip, port) = (address.ip().to_canonical(), address.port());
    let family = if ip.is_ipv4() { 1 } else { 2 };
    format!("|{family}|{ip}|{port}|")
}

/// The argument of PORT (RFC 959, 4.1.2). `None` for IPv6.
pub(super) fn port(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip().to_canonical() else {
        return None;
    };
    let [a, b, c, d] = ip.octets();
    let [high, low] = address.port().to_be_bytes();
    Some(format!("{a},{b},{c},{d},{high},{low}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_229_stands_between_four_delimiters() {
        for (text, port) in [
            ("Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("Entering Extended Passive Mode (|||6446|).", Some(6446)),
            ("ok (!!!1!)", Some(1)),
            ("(|||65535|)", Some(65535)),
            ("(|||65536|)", None),
            ("(|||0|)", None),
            ("(|||-1|)", None),
            ("(|||+1|)", None),
            ("(||||)", None),
            ("(|1|192.0.2.1|99|)", None),
            ("(|||99|", None),
            ("(|||99", None),
            ("(", None),
            ("()", None),
            ("(\u{e4}\u{e4}\u{e4}99\u{e4})", None),
            ("|||99|", None),
            ("", None),
        ] {
            assert_eq!(extended_passive(text), port, "{text}");
        }
    }

    #[test]
    fn six_numbers_of_a_227_are_found_wherever_they_begin() {
        for (text, found) in [
            (
                "Entering Passive Mode (192,0,2,1,4,1)",
                Some(([192, 0, 2, 1], 1025)),
            ),
            ("=10,1,2,3,255,255", Some(([10, 1, 2, 3], 65535))),
            (
                "Entering Passive Mode. 10,1,2,3,0,1.",
                Some(([10, 1, 2, 3], 1)),
            ),
            ("(10,1,2,3,0,0)", None),
            ("(10,1,2,3,4)", None),
            ("(10,1,2,3,4,5,6)", None),
            ("(256,1,2,3,4,5)", None),
            ("(10,1,2,3,4,256)", None),
            ("(10, 1, 2, 3, 4, 5)", None),
            ("(10,1,2,3,-4,5)", None),
            ("(,,,,,)", None),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(passive(text), found, "{text}");
        }
    }

    #[test]
    fn an_address_is_told_in_both_forms() {
        for (address, extended, plain) in [
            (
                "192.0.2.1:1025",
                "|1|192.0.2.1|1025|",
                Some("192,0,2,1,4,1"),
            ),
            ("[2001:db8::1]:99", "|2|2001:db8::1|99|", None),
            (
                "[::ffff:192.0.2.1]:256",
                "|1|192.0.2.1|256|",
                Some("192,0,2,1,1,0"),
            ),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(extended_port(address), extended);
            assert_eq!(port(address).as_deref(), plain);
        }
    }
}
