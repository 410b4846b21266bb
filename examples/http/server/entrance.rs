//! Where the server listens, and whether in plain or over TLS.

use std::{fmt, net::SocketAddr};

use asynchat_rustls::TlsAcceptor;

/// A listening socket, before or after it is bound.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) address: SocketAddr,
    /// `None` for plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Entrance {
    /// The same at the address that the system gave.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            tls: self.tls.clone(),
        }
    }
}

/// As the URL of its top.
impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        write!(f, "{scheme}://{}/", self.address)
    }
}
