//! Which servers a client of TLS trusts, and why a handshake failed, in one line.

use std::{
    cell::OnceCell,
    error::Error,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use asynchat::BoxError;
use clap::Args;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage,
    RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Names of a certificate that an error shows: a certificate may have thousands.
const NAMES_SHOWN: usize = 3;
/// Characters of a reason: the server can make one of its names 64 KiB long.
const REASON: usize = 300;
/// The first second that an HTTP date cannot show.
const YEAR_10000: u64 = 253_402_300_800;

/// The options of a program that speaks TLS to a server.
#[derive(Args, Clone, Debug, Default)]
pub struct Trust {
    /// Trust the issuers in this file (PEM) in place of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Accept any certificate of a server: anybody on the way can read and change everything
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
}

impl Trust {
    /// Says so if certificates are not verified: once a run is enough.
    pub fn warning(&self) -> Option<&'static str> {
        self.insecure
            .then_some("warning: --insecure: no certificate is verified")
    }

    /// A configuration with these application protocols (ALPN), TLS 1.2 and 1.3. Reads the system's certificates, which
    /// takes some milliseconds, or the file.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, BoxError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let mut config = if self.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
                .with_no_client_auth()
        } else {
            let roots = match &self.cacert {
                Some(path) => roots_of(path)?,
                None => roots_of_system()?,
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, BoxError> {
    let failed = |why: &dyn std::fmt::Display| format!("--cacert {}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates) == (0, 0) {
        return Err(failed(&"there is no certificate in it").into());
    }
    if roots.is_empty() {
        return Err(failed(&"none of its certificates can be read").into());
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, BoxError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = match found.errors.first() {
            Some(error) => error.to_string(),
            None => "none was found".into(),
        };
        return Err(format!("the system's certificates: {why}; --cacert names others").into());
    }
    Ok(roots)
}

/// A configuration that is made when the first connection needs it, for all of them: sessions are resumed.
#[derive(Debug, Default)]
pub struct Lazy {
    trust: Trust,
    alpn: &'static [&'static [u8]],
    made: OnceCell<Result<Arc<ClientConfig>, String>>,
}

impl Lazy {
    pub fn new(trust: Trust, alpn: &'static [&'static [u8]]) -> Self {
        Self {
            trust,
            alpn,
            made: OnceCell::new(),
        }
    }

    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let make = || match self.trust.config(self.alpn) {
            Ok(config) => Ok(Arc::new(config)),
            Err(error) => Err(error.to_string()),
        };
        self.made.get_or_init(make).clone()
    }
}

/// Accepts every certificate, one that cannot be read too. No signature is checked: one by a key that belongs to nobody
/// proves nothing.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The error of rustls in an error, however it is wrapped.
pub fn of_rustls(error: &BoxError) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Why the handshake with a server failed. The names in it may be the server's: they are not fit for a terminal yet.
pub fn reason(host: &str, error: &BoxError) -> String {
    match of_rustls(error) {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            return "the server does not speak TLS on this port".into();
        }
        Some(error) => return reason_of_rustls(host, error),
        None => {}
    }
    match error.downcast_ref().map(io::Error::kind) {
        Some(ErrorKind::UnexpectedEof) => "the server closed the connection".into(),
        Some(ErrorKind::ConnectionReset) => "the server reset the connection".into(),
        Some(ErrorKind::TimedOut) => "timed out".into(),
        _ => error.to_string(),
    }
}

/// Of an error of rustls, in the handshake or later.
pub fn reason_of_rustls(host: &str, error: &rustls::Error) -> String {
    use rustls::Error as E;
    cut(match error {
        E::InvalidCertificate(error) => reason_of_certificate(host, error),
        E::PeerIncompatible(error) => {
            format!("no version of TLS or no cipher suite in common: {error:?}")
        }
        E::AlertReceived(
            alert @ (AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity),
        ) => {
            format!("no version of TLS or no cipher suite in common: the server's alert {alert:?}")
        }
        E::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "no application protocol in common".into()
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("the server does not know the name {host}")
        }
        E::AlertReceived(alert) => format!("the server's alert {alert:?}"),
        _ => error.to_string(),
    })
}

fn reason_of_certificate(host: &str, error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired => "the certificate has expired".into(),
        E::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}", date(*not_after))
        }
        E::NotValidYet => "the certificate is not valid yet".into(),
        E::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}", date(*not_before))
        }
        // Also an issuer with the name of one that is trusted, and another key.
        E::UnknownIssuer
        | E::BadSignature
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate's issuer is unknown".into()
        }
        E::UnsupportedSignatureAlgorithmContext { .. } => {
            "the certificate is signed with an algorithm that is not supported".into()
        }
        E::NotValidForName => format!("the certificate is not for {host}"),
        E::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("the certificate is not for {host}: it has no names")
        }
        E::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(NAMES_SHOWN).map(|name| named(name));
            let mut names = names.collect::<Vec<_>>().join(", ");
            if presented.len() > NAMES_SHOWN {
                names += &format!(" and {} more", presented.len() - NAMES_SHOWN);
            }
            format!("the certificate is not for {host} but for {names}")
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "the certificate is not one for servers".into()
        }
        // An error of webpki, which rustls passes on as it is: `openssl req -x509` makes such a certificate.
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's (CA:TRUE), not a server's".into()
        }
        other => format!("the certificate: {other}"),
    }
}

/// `DnsName("a.example")` and `IpAddress(::1)`, as rustls presents names, without all but the name.
fn named(presented: &str) -> &str {
    let inner = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// Not longer than a line of an error should be.
fn cut(mut reason: String) -> String {
    if let Some((end, _)) = reason.char_indices().nth(REASON) {
        reason.truncate(end);
        reason.push('\u{2026}');
    }
    reason
}

fn date(time: UnixTime) -> String {
    match time.as_secs() {
        seconds @ 0..YEAR_10000 => {
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
        }
        seconds => format!("second {seconds} since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_sentence_and_no_dump() {
        use rustls::Error as E;
        let not_for = |presented: &[&str]| {
            E::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a.example").expect("a name"),
                presented: presented.iter().copied().map(String::from).collect(),
            })
        };
        let time = UnixTime::since_unix_epoch(Duration::ZERO);
        for (error, reason) in [
            (
                not_for(&["DnsName(\"b.example\")", "IpAddress(::1)"]),
                "the certificate is not for a.example but for b.example, ::1",
            ),
            (
                not_for(&["DnsName(\"b\")"; 9]),
                "the certificate is not for a.example but for b, b, b and 6 more",
            ),
            (
                not_for(&[]),
                "the certificate is not for a.example: it has no names",
            ),
            (
                CertificateError::ExpiredContext {
                    time,
                    not_after: time,
                }
                .into(),
                "the certificate expired on Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            (
                CertificateError::NotValidYetContext {
                    time,
                    not_before: UnixTime::since_unix_epoch(Duration::MAX),
                }
                .into(),
                "the certificate is not valid before second 18446744073709551615 since 1970",
            ),
            (
                CertificateError::UnknownIssuer.into(),
                "the certificate's issuer is unknown",
            ),
            (
                E::InvalidMessage(InvalidMessage::InvalidContentType),
                "the server does not speak TLS on this port",
            ),
            (
                E::AlertReceived(AlertDescription::ProtocolVersion),
                "no version of TLS or no cipher suite in common: the server's alert ProtocolVersion",
            ),
        ] {
            let wrapped = io::Error::other(error.clone());
            assert_eq!(super::reason("a.example", &error.into()), reason);
            assert_eq!(super::reason("a.example", &wrapped.into()), reason);
        }
        let long = not_for(&[&"x".repeat(60_000)]);
        let long = super::reason("a.example", &long.into());
        assert_eq!(long.chars().count(), REASON + 1);
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, why) in [
            ("", "there is no certificate in it"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "none of its",
            ),
            ("-----BEGIN CERTIFICATE-----\n", "section end"),
        ] {
            std::fs::write(file.path(), text).expect("a file");
            let trust = Trust {
                cacert: Some(file.path().into()),
                insecure: false,
            };
            let error = trust.config(&[]).expect_err("no certificate").to_string();
            let begin = format!("--cacert {}: ", file.path().display());
            assert!(error.starts_with(&begin) && error.contains(why), "{error}");
        }
    }
}
