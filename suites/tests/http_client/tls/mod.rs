//! `https`, against servers of rustls that are told what to do wrong, and against others.

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use suites::{
    certificates::{Authority, Certificate, text},
    program::{DEADLINE, Ended},
};

use crate::{
    fetch,
    scripted::{Answer, Server, serve_tls},
};

mod bodies;
mod certificates;
mod handshakes;
mod peers;
mod redirects;

pub const WARNING: &str = "http_client: warning: --insecure: no certificate is verified\n";

pub fn config_of(
    certificate: &Certificate,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(&certificate.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap()
}

pub fn config(certificate: &Certificate) -> ServerConfig {
    config_of(certificate, &[&TLS13, &TLS12])
}

/// For the address and the name that the servers here are reached by.
pub fn local(authority: &mut Authority) -> Certificate {
    authority.issue(&["127.0.0.1", "localhost"])
}

/// A server that the client is told to trust.
pub struct Trusted {
    pub authority: Authority,
    pub server: Server,
}

impl Trusted {
    pub fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(&[&TLS13, &TLS12], answer)
    }

    pub fn with(
        versions: &[&'static SupportedProtocolVersion],
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut authority = Authority::new();
        let config = config_of(&local(&mut authority), versions);
        Self {
            server: serve_tls(config, answer),
            authority,
        }
    }

    #[track_caller]
    pub fn fetch(&self, args: &[&str]) -> Ended {
        let file = self.authority.file();
        fetch(&[&["--cacert", text(&file)], args].concat())
    }

    /// Whether the client has ended a connection with close_notify.
    pub fn is_ended_properly(&self) -> bool {
        self.server.ends.recv_timeout(DEADLINE).unwrap().is_ok()
    }
}

pub trait WithoutWarning {
    fn without_warning(self) -> Self;
}

impl WithoutWarning for Ended {
    #[track_caller]
    fn without_warning(mut self) -> Self {
        self.err = self.err.strip_prefix(WARNING).unwrap().into();
        self
    }
}
