//! HTTP over TLS (RFC 9110, section 4.2.2): the options, and what is known of a connection.

use std::{fmt, io, net::SocketAddr};

use asynchat::Registry;
use asynchat_rustls::{TlsAcceptor, TlsInfo};
use clap::Args;
use rustls::{CipherSuite, ProtocolVersion};
use shared::tls::server::{CertificateFiles, Identity};

use crate::entrance::Entrance;

/// What is spoken over TLS (ALPN, RFC 7301). A client that offers only other protocols is refused.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1", b"http/1.0"];

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    #[command(flatten)]
    files: CertificateFiles,
    /// Serve TLS on this port, and --port in plain; 0 takes a free one. Without it --port serves TLS
    #[arg(long, value_name = "PORT", requires = "tls_cert")]
    pub(crate) tls_port: Option<u16>,
}

/// What connections over TLS are made from.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    identity: Identity,
    acceptor: TlsAcceptor,
}

impl TlsOptions {
    /// Reads the certificate and its key, if there is to be TLS.
    pub(crate) fn load(&self) -> Result<Option<Tls>, String> {
        let Some(identity) = self.files.identity(PROTOCOLS) else {
            return Ok(None);
        };
        let acceptor = TlsAcceptor::new(identity.config()?);
        Ok(Some(Tls { identity, acceptor }))
    }

    /// Where to listen; `plain` is the address of `--bind` and `--port`.
    pub(crate) fn entrances(&self, plain: SocketAddr, tls: Option<&Tls>) -> Vec<Entrance> {
        let own = self.tls_port.map(|port| SocketAddr::new(plain.ip(), port));
        let secure = tls.map(|tls| Entrance {
            address: own.unwrap_or(plain),
            tls: Some(tls.acceptor.clone()),
        });
        let is_plain_too = secure.is_none() || own.is_some();
        let plain = is_plain_too.then_some(Entrance {
            address: plain,
            tls: None,
        });
        plain.into_iter().chain(secure).collect()
    }
}

impl Tls {
    /// Has SIGHUP, which this reactor takes, give new connections of all reactors what is in the files then.
    pub(crate) fn reload_on_hangup(&self, registry: &mut Registry) -> io::Result<()> {
        let acceptor = self.acceptor.clone();
        self.identity.clone().reload_on_hangup(registry, acceptor)
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    protocol: ProtocolVersion,
    suite: CipherSuite,
}

impl From<TlsInfo<'_>> for Protection {
    fn from(info: TlsInfo<'_>) -> Self {
        Self {
            protocol: info.protocol(),
            suite: info.suite(),
        }
    }
}

/// As other servers write it, `TLSv1.3 TLS_AES_128_GCM_SHA256`: the names of IANA, not those of rustls.
impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = self.suite.as_str().unwrap_or("-");
        match suite.strip_prefix("TLS13_") {
            Some(rest) => write!(f, "{protocol} TLS_{rest}"),
            None => write!(f, "{protocol} {suite}"),
        }
    }
}

/// What came of handshakes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handshakes {
    pub(crate) tls_1_2: u64,
    pub(crate) tls_1_3: u64,
    pub(crate) failed: u64,
}

impl Handshakes {
    pub(crate) fn count(&mut self, of: Protection) {
        match of.protocol {
            ProtocolVersion::TLSv1_2 => self.tls_1_2 += 1,
            _ => self.tls_1_3 += 1,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.tls_1_2 += other.tls_1_2;
        self.tls_1_3 += other.tls_1_3;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_iana() {
        for (protocol, suite, text) in [
            (
                ProtocolVersion::TLSv1_3,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                "TLSv1.3 TLS_AES_128_GCM_SHA256",
            ),
            (
                ProtocolVersion::TLSv1_2,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            ),
        ] {
            assert_eq!(Protection { protocol, suite }.to_string(), text);
        }
    }
}
