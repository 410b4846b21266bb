//! What the two ends of a connection have agreed on.

use std::fmt;

use rustls::{
    CipherSuite, Connection, Error, HandshakeKind, ProtocolVersion, pki_types::CertificateDer,
};

/// What the two ends of a TLS connection have agreed on, once the handshake is complete.
#[derive(Clone, Copy)]
pub struct TlsInfo<'a> {
    connection: &'a Connection,
    protocol: ProtocolVersion,
    suite: CipherSuite,
}

impl<'a> TlsInfo<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Option<Self> {
        if connection.is_handshaking() {
            return None;
        }
        Some(Self {
            connection,
            protocol: connection.protocol_version()?,
            suite: connection.negotiated_cipher_suite()?.suite(),
        })
    }

    /// The version of TLS.
    pub fn protocol(&self) -> ProtocolVersion {
        self.protocol
    }

    /// The cipher suite.
    pub fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// The name of the key exchange, `X25519` for instance; `None` if none was made, as in a resumption of TLS 1.2.
    pub fn key_exchange(&self) -> Option<rustls::NamedGroup> {
        Some(self.connection.negotiated_key_exchange_group()?.name())
    }

    /// The application protocol agreed on (ALPN, RFC 7301), `b"http/1.1"` for instance.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.connection.alpn_protocol()
    }

    /// The name that the client has asked for (SNI, RFC 6066 §3), in lower case. `None` on the client's side.
    pub fn server_name(&self) -> Option<&'a str> {
        match self.connection {
            Connection::Server(connection) => connection.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// The certificates that the peer has proved to own, its own first. `None` if it showed none.
    pub fn peer_certificates(&self) -> Option<&'a [CertificateDer<'static>]> {
        self.connection.peer_certificates()
    }

    /// Whether an earlier session was resumed: no certificate was sent.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Fills `output` with a secret of this connection that both ends can compute and nobody else (RFC 5705, RFC 8446 §7.5).
    ///
    /// # Errors
    /// That of rustls, if `output` is empty or longer than the key schedule can give.
    pub fn export_keying_material<T: AsMut<[u8]>>(
        &self,
        output: T,
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<T, Error> {
        self.connection
            .export_keying_material(output, label, context)
    }
}

impl fmt::Debug for TlsInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("protocol", &self.protocol())
            .field("suite", &self.suite())
            .field("key_exchange", &self.key_exchange())
            .field(
                "alpn",
                &self
                    .alpn()
                    .map(<[u8]>::escape_ascii)
                    .map(|name| name.to_string()),
            )
            .field("server_name", &self.server_name())
            .field(
                "peer_certificates",
                &self.peer_certificates().map_or(0, <[_]>::len),
            )
            .field("is_resumed", &self.is_resumed())
            .finish()
    }
}
