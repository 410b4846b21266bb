//! HTTP over TLS (RFC 9110, section 4.2.2): the options, and how many handshakes there were.

use std::{io, net::SocketAddr};

use asynchat::Registry;
use asynchat_rustls::TlsAcceptor;
use clap::Args;
use rustls::ProtocolVersion;
use shared::tls::{
    protection::Protection,
    server::{CertificateFiles, Identity},
};

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

/// What came of handshakes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handshakes {
    pub(crate) tls_1_2: u64,
    pub(crate) tls_1_3: u64,
    pub(crate) failed: u64,
}

impl Handshakes {
    pub(crate) fn count(&mut self, of: Protection) {
        match of.protocol() {
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
