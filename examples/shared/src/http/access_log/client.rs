//! Who a request is from, for the access log.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::LogFormat;
use crate::{
    http::{Header, header, list},
    tls::protection::Protection,
};

/// A request's sender, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    pub host: HostName,
    /// The name that was given with the right password.
    pub user: Option<&'a str>,
    pub referer: Option<&'a [u8]>,
    pub agent: Option<&'a [u8]>,
    /// `None` without TLS.
    pub protection: Option<Protection>,
}

/// The host column of the log: a Unix socket's peer has no address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostName(pub Option<IpAddr>);

impl<'a> Client<'a> {
    /// By its connection alone.
    pub fn of_peer(peer: Option<IpAddr>) -> Self {
        Self {
            host: HostName(peer),
            ..Self::default()
        }
    }

    /// By what its request says, where that is to be believed, as far as the format shows it.
    pub fn of_request(
        peer: Option<IpAddr>,
        headers: &[Header<'a>],
        user: Option<&'a str>,
        proxies: &[IpAddr],
        format: LogFormat,
    ) -> Self {
        let shown = |name| match format {
            LogFormat::Common => None,
            LogFormat::Combined | LogFormat::Tls => header(headers, name),
        };
        Self {
            host: HostName(peer.map(|peer| origin(peer, headers, proxies))),
            user,
            referer: shown("referer"),
            agent: shown("user-agent"),
            protection: None,
        }
    }
}

/// The address behind proxies that are trusted. Each adds the one it was called from, so the last that is not a proxy's
/// is the client's; what stands before it anybody may have written.
fn origin(peer: IpAddr, headers: &[Header<'_>], proxies: &[IpAddr]) -> IpAddr {
    let mut origin = peer;
    if !proxies.contains(&peer) {
        return origin;
    }
    let hops: Vec<_> = list(headers, "x-forwarded-for").collect();
    for hop in hops.into_iter().rev() {
        let Some(address) = address(hop) else {
            break;
        };
        origin = address;
        if !proxies.contains(&origin) {
            break;
        }
    }
    origin
}

/// An address, which some proxies write with a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let alone = text.trim_start_matches('[').trim_end_matches(']').parse();
    let address = alone.ok().or_else(|| {
        let with_port: Option<SocketAddr> = text.parse().ok();
        with_port.map(|address| address.ip())
    });
    address.map(|address: IpAddr| address.to_canonical())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_have_written_is_believed() {
        let proxies = ["10.0.0.1", "10.0.0.2"].map(|proxy| proxy.parse().expect("an address"));
        for (peer, forwarded, expected) in [
            ("1.1.1.1", &["2.2.2.2"][..], "1.1.1.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["6.6.6.6, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["6.6.6.6", "2.2.2.2, 10.0.0.2"], "2.2.2.2"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["2.2.2.2, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["<script>"], "10.0.0.1"),
            ("10.0.0.1", &["2.2.2.2:55"], "2.2.2.2"),
            ("10.0.0.1", &["[2::2]:55"], "2::2"),
            ("10.0.0.1", &["::ffff:2.2.2.2"], "2.2.2.2"),
        ] {
            let headers: Vec<_> = forwarded
                .iter()
                .map(|hops| Header {
                    name: "X-Forwarded-For",
                    value: hops.as_bytes(),
                })
                .collect();
            let peer = peer.parse().expect("an address");
            let host = origin(peer, &headers, &proxies).to_string();
            assert_eq!(host, expected, "{peer} {forwarded:?}");
        }
    }
}
