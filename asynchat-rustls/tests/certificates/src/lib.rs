//! An authority of a test's own, and certificates of it: P-256, valid from 1975 to 4096.
//!
//! A crate apart from the other helpers, because `time`, which rcgen brings, makes comparisons in the library's own tests
//! ambiguous.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// A root certificate and its key.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its private key.
pub struct Identity {
    /// The certificate, in DER.
    pub certificate: Vec<u8>,
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// The private key by PKCS #8, in DER.
    pub key: Vec<u8>,
    /// The private key by PKCS #8, in PEM.
    pub key_pem: String,
}

impl Authority {
    /// A new one with this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its own certificate, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// Its own certificate, in PEM.
    pub fn certificate_pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these DNS names and IP addresses, for a server or a client. The first is its common name too.
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            key: key.serialize_der(),
            key_pem: key.serialize_pem(),
        }
    }
}
