//! Blocking ends of TLS connections, by rustls.

use std::{io::Write, net::TcpStream, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};

use crate::certificates::Certificate;

/// A client's end. Dropped, it ends without a close_notify.
pub type Client = StreamOwned<ClientConnection, TcpStream>;
/// A server's end.
pub type Server = StreamOwned<ServerConnection, TcpStream>;

/// Both versions.
pub const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];

fn supported(version: ProtocolVersion) -> &'static SupportedProtocolVersion {
    match version {
        ProtocolVersion::TLSv1_2 => &TLS12,
        _ => &TLS13,
    }
}

/// A client that trusts the authority with this certificate.
pub fn trusting(authority: &Path, versions: &[ProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let versions: Vec<_> = versions.iter().copied().map(supported).collect();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A client of `localhost`; the handshake comes with the first write or read.
pub fn client(stream: TcpStream, config: &Arc<ClientConfig>) -> Client {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(connection, stream)
}

/// A server with this certificate.
pub fn server(stream: TcpStream, certificate: &Certificate) -> Server {
    let chain = CertificateDer::from_pem_file(&certificate.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    StreamOwned::new(connection, stream)
}

/// Ends the output of a client as TLS has it, and of the stream too.
pub fn end(client: &mut Client) {
    client.conn.send_close_notify();
    client.flush().unwrap();
    client.sock.shutdown(std::net::Shutdown::Write).unwrap();
}
