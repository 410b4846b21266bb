//! The name that a server's certificate has to be valid for.

use std::io;

use rustls::pki_types::ServerName;

/// The name in a host as `connect_host` takes it: brackets and the interface of an IPv6 address are no part of it.
pub(crate) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|bare| bare.contains(':'))
        .unwrap_or(host);
    let bare = match bare.split_once('%') {
        Some((ip, _)) if ip.contains(':') => ip,
        _ => bare,
    };
    ServerName::try_from(bare.to_owned())
        .map_err(|_| refused(host, "it is neither a DNS name nor an IP address"))
}

/// An error about the connection to a host, whose name is cut and escaped: it may come from anywhere.
pub(crate) fn refused(host: &str, why: impl std::fmt::Display) -> io::Error {
    /// More characters of a name are not shown.
    const SHOWN: usize = 100;
    let end = host
        .char_indices()
        .nth(SHOWN)
        .map_or(host.len(), |(at, _)| at);
    let more = if end < host.len() { "…" } else { "" };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("TLS with {:?}{more}: {why}", &host[..end]),
    )
}
