//! Which server is asked.

use std::{
    fs,
    net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr},
};

const PORT: u16 = 53;

/// `127.0.0.1`, `127.0.0.1:5353`, `::1`, `[::1]` or `[::1]:5353`.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let with_port = text.parse::<SocketAddr>();
    let address = with_port.or_else(|_| {
        Ok::<_, AddrParseError>((bare.unwrap_or(text).parse::<IpAddr>()?, PORT).into())
    });
    address
        .ok()
        .filter(|address| address.port() != 0)
        .ok_or_else(|| "not an IP address with or without a port".into())
}

/// As the system's resolver has it: the first in its file, or else the loopback.
pub(crate) fn of_system() -> SocketAddr {
    let file = fs::read("/etc/resolv.conf").unwrap_or_default();
    first(&String::from_utf8_lossy(&file)).unwrap_or((Ipv4Addr::LOCALHOST, PORT).into())
}

fn first(file: &str) -> Option<SocketAddr> {
    file.lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next().filter(|word| *word == "nameserver");
            address.and(words.next())?.parse::<IpAddr>().ok()
        })
        .map(|address| (address, PORT).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_port_53_unless_it_has_another() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(parse(text), Ok(address.parse().unwrap()));
        }
        for text in [
            "",
            "localhost",
            "192.0.2.1:",
            "192.0.2.1:0",
            "[192.0.2.1",
            "192.0.2.1:65536",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_server_of_the_file_that_is_an_address_is_asked() {
        let file = "# nameserver 192.0.2.1\nsearch x\nnameserver fe80::1%eth0\n nameserver\t192.0.2.2 # x\nnameserver ::1";
        assert_eq!(first(file), Some("192.0.2.2:53".parse().unwrap()));
        assert_eq!(first("nameserver\noptions rotate\n"), None);
    }
}
