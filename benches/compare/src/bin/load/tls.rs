//! The client's side of TLS: one version, one suite and one key exchange, so that all servers do the same work.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};

use crate::failure::Failure;

/// TLS 1.3 with TLS_AES_256_GCM_SHA384 and X25519, without resumption. The server must have this certificate.
pub(crate) fn config(certificate: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let place = certificate.display();
        Failure::Tls(format!("the certificate {place}: {error}"))
    };
    let certificate = CertificateDer::from_pem_file(certificate).map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| failed(&error))?;
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A connection at its very start.
pub(crate) fn start(config: &Arc<ClientConfig>) -> Result<ClientConnection, Failure> {
    let name =
        ServerName::try_from("localhost").map_err(|error| Failure::Tls(error.to_string()))?;
    ClientConnection::new(Arc::clone(config), name).map_err(|error| Failure::Tls(error.to_string()))
}

/// The whole handshake over a blocking stream.
pub(crate) fn shake_hands(
    config: &Arc<ClientConfig>,
    stream: &mut TcpStream,
) -> Result<ClientConnection, Failure> {
    let mut tls = start(config)?;
    while tls.is_handshaking() {
        tls.complete_io(stream)
            .map_err(Failure::io("a handshake"))?;
    }
    Ok(tls)
}

/// Sends what is sealed, until nothing is left or the socket takes no more.
pub(crate) fn send(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

/// Writes `sent` over a blocking stream, and fills `got` with what comes.
pub(crate) fn exchange(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    sent: &[u8],
    got: &mut [u8],
) -> io::Result<()> {
    let mut stream = rustls::Stream::new(tls, stream);
    stream.write_all(sent)?;
    stream.flush()?;
    stream.read_exact(got)
}
