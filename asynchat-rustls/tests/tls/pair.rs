//! A client's filter and a server's, and the bytes between them.

use std::{
    io::IoSlice,
    sync::{Arc, LazyLock},
};

use asynchat::{BoxError, Filter, FilterPhase};
use asynchat_rustls::{
    TlsAcceptor, TlsFilter,
    rustls::{
        ClientConfig, ClientConnection, ConfigBuilder, Connection, RootCertStore, ServerConfig,
        SupportedProtocolVersion,
        client::WantsClientCert,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};
use certificates::{Authority, Identity};

pub(crate) static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::new("asynchat's tests"));
static LOCALHOST: LazyLock<Identity> =
    LazyLock::new(|| AUTHORITY.issue(&["localhost", "127.0.0.1", "::1"]));

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate().into()).unwrap();
    Arc::new(roots)
}

/// A certificate and its key, as a configuration takes them.
pub(crate) fn identity(of: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::Pkcs8(of.key.clone().into());
    (vec![of.certificate.clone().into()], key)
}

pub(crate) fn identity_of_localhost() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    identity(&LOCALHOST)
}

/// The configuration of a server that is called localhost, 127.0.0.1 and ::1.
pub(crate) fn server_config(versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let (chain, key) = identity(&LOCALHOST);
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

pub(crate) fn server_asking_for_certificates(
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(), provider())
        .build()
        .unwrap();
    let (chain, key) = identity(&LOCALHOST);
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

pub(crate) fn client_builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots())
}

pub(crate) fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_builder(versions).with_no_client_auth()
}

/// One end: its filter, the plaintext that it gave, what is on its way to the other end, and its first error.
pub(crate) struct End {
    pub(crate) filter: TlsFilter,
    pub(crate) plain: Vec<u8>,
    pub(crate) wire: Vec<u8>,
    pub(crate) error: Option<BoxError>,
}

impl End {
    pub(crate) fn new(filter: TlsFilter) -> Self {
        let mut end = Self {
            filter,
            plain: Vec::new(),
            wire: Vec::new(),
            error: None,
        };
        end.feed(&[]);
        end
    }

    pub(crate) fn feed(&mut self, input: &[u8]) {
        if self.error.is_none() {
            let outcome = self.filter.feed(input, &mut self.plain, &mut self.wire);
            self.error = outcome.err();
            if self.error.is_none() {
                let is_open = self.phase() != FilterPhase::Handshaking;
                assert_eq!(self.filter.info().is_some(), is_open);
            }
        }
    }

    pub(crate) fn seal(&mut self, mut plain: &[u8]) {
        while !plain.is_empty() {
            let n = self
                .filter
                .seal(&[IoSlice::new(plain)], &mut self.wire)
                .unwrap();
            plain = &plain[n..];
        }
    }

    /// Takes in what a peer of rustls's own has to say.
    pub(crate) fn hear(&mut self, peer: &mut Connection) {
        let mut flight = Vec::new();
        while peer.wants_write() {
            peer.write_tls(&mut flight).unwrap();
        }
        self.feed(&flight);
    }

    /// Says it all to a peer of rustls's own, which has to like it.
    #[track_caller]
    pub(crate) fn tell(&mut self, peer: &mut Connection) {
        let flight = self.take_wire();
        let mut flight = &*flight;
        while !flight.is_empty() && peer.read_tls(&mut flight).unwrap() > 0 {
            peer.process_new_packets().unwrap();
        }
    }

    pub(crate) fn end(&mut self) {
        self.filter.end(&mut self.wire);
    }

    pub(crate) fn phase(&self) -> FilterPhase {
        self.filter.phase()
    }

    pub(crate) fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }

    pub(crate) fn take_wire(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire)
    }

    /// The error of rustls that ended it.
    #[track_caller]
    pub(crate) fn rustls_error(&self) -> &asynchat_rustls::rustls::Error {
        let error = self.error.as_ref().expect("it has failed");
        error.downcast_ref().expect("an error of rustls")
    }
}

/// A server's end, and rustls itself as its client: for messages that a filter never sends. The handshake is complete.
pub(crate) fn with_raw_client(version: &'static SupportedProtocolVersion) -> (Connection, End) {
    let name = ServerName::try_from("localhost").unwrap();
    let config = Arc::new(client_config(&[version]));
    let mut client = Connection::from(ClientConnection::new(config, name).unwrap());
    let acceptor = TlsAcceptor::new(server_config(&[version]).into());
    let mut server = End::new(acceptor.filter().unwrap());
    while client.is_handshaking() || server.phase() == FilterPhase::Handshaking {
        server.hear(&mut client);
        server.tell(&mut client);
    }
    (client, server)
}

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(
        client: impl Into<Arc<ClientConfig>>,
        server: impl Into<Arc<ServerConfig>>,
    ) -> Self {
        Self::with_acceptor(client, &TlsAcceptor::new(server.into()))
    }

    pub(crate) fn with_acceptor(
        client: impl Into<Arc<ClientConfig>>,
        acceptor: &TlsAcceptor,
    ) -> Self {
        Self {
            client: End::new(TlsFilter::client("localhost", client.into()).unwrap()),
            server: End::new(acceptor.filter().unwrap()),
        }
    }

    /// One of this version whose handshake is complete.
    pub(crate) fn open(version: &'static SupportedProtocolVersion) -> Self {
        let mut pair = Self::new(client_config(&[version]), server_config(&[version]));
        pair.settle();
        assert_eq!(pair.phases(), [FilterPhase::Open; 2]);
        pair
    }

    /// Carries bytes, up to `piece` at a time, until none are under way.
    pub(crate) fn settle_by(&mut self, piece: usize) {
        while !self.client.wire.is_empty() || !self.server.wire.is_empty() {
            for bytes in self.client.take_wire().chunks(piece) {
                self.server.feed(bytes);
            }
            for bytes in self.server.take_wire().chunks(piece) {
                self.client.feed(bytes);
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        self.settle_by(usize::MAX);
    }

    /// The client's and the server's.
    pub(crate) fn phases(&self) -> [FilterPhase; 2] {
        [self.client.phase(), self.server.phase()]
    }

    /// Both can say something to the other.
    #[track_caller]
    pub(crate) fn assert_talks(&mut self) {
        self.client.seal(b"question");
        self.server.seal(b"answer");
        self.settle();
        assert_eq!(self.server.take_plain(), b"question");
        assert_eq!(self.client.take_plain(), b"answer");
    }
}
