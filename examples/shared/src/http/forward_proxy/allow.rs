//! Where connections may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use asynchat::Network;
use clap::Args;

/// Judges addresses, not names: a name may lead anywhere, and elsewhere the next time.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Targets")]
pub struct Allow {
    /// Network (IP/BITS) or address that requests may go to; may be repeated. What a name leads to is judged
    /// [default: 127.0.0.0/8 and ::1]
    #[arg(long = "allow", value_name = "NET")]
    pub networks: Vec<Network>,
    /// Port that requests other than CONNECT may go to; may be repeated [default: all]
    #[arg(long = "allow-port", value_name = "PORT")]
    pub ports: Vec<u16>,
    /// Port that CONNECT may go to; may be repeated [default: 443]
    #[arg(long = "connect-port", value_name = "PORT")]
    pub connect_ports: Vec<u16>,
}

impl Allow {
    pub fn port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    pub fn connect_port(&self, port: u16) -> bool {
        match self.connect_ports.as_slice() {
            [] => port == 443,
            ports => ports.contains(&port),
        }
    }

    pub fn address(&self, address: IpAddr) -> bool {
        match self.networks.as_slice() {
            [] => address.to_canonical().is_loopback(),
            networks => networks.iter().any(|network| network.contains(address)),
        }
    }
}

/// Whether a connection to `to` reaches what listens on `own`. A client that came through `entrance`, an address of this
/// machine, shows one more name of it.
pub(super) fn leads_back(to: SocketAddr, own: SocketAddr, entrance: Option<IpAddr>) -> bool {
    let canonical = |address: IpAddr| match address.to_canonical() {
        // Connections to it go to the loopback.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    let address = canonical(to.ip());
    let is_own = match own.ip().is_unspecified() {
        true => {
            address.is_loopback() || entrance.is_some_and(|entrance| canonical(entrance) == address)
        }
        false => canonical(own.ip()) == address,
    };
    to.port() == own.port() && is_own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_alone_is_allowed_unless_networks_are_given() {
        let given = Allow {
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
            ..Allow::default()
        };
        for (address, by_default, when_given) in [
            ("127.0.0.1", true, false),
            ("127.255.0.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("169.254.169.254", false, false),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("11.0.0.1", false, false),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(Allow::default().address(parsed), by_default, "{address}");
            assert_eq!(given.address(parsed), when_given, "{address}");
        }
    }

    #[test]
    fn the_proxy_knows_itself_by_its_names() {
        let entrance = "192.0.2.1".parse().ok();
        for (to, own, back) in [
            ("127.0.0.1:8", "127.0.0.1:8", true),
            ("127.0.0.1:9", "127.0.0.1:8", false),
            ("127.0.0.2:8", "127.0.0.1:8", false),
            ("0.0.0.0:8", "127.0.0.1:8", true),
            ("[::ffff:127.0.0.1]:8", "127.0.0.1:8", true),
            ("127.0.0.2:8", "0.0.0.0:8", true),
            ("[::1]:8", "[::]:8", true),
            ("192.0.2.1:8", "0.0.0.0:8", true),
            ("192.0.2.2:8", "0.0.0.0:8", false),
        ] {
            let [parsed, own] = [to, own].map(|text| text.parse().expect("an address"));
            assert_eq!(leads_back(parsed, own, entrance), back, "{to}");
        }
    }
}
