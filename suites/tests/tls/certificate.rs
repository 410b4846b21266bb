//! The authority and the certificates of all tests here.

use std::{path::Path, sync::LazyLock};

use rcgen::{CrlDistributionPoint, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use suites::certificates::{Authority, Certificate, text};

pub struct Certificates {
    authority: Authority,
    /// For `localhost` and `127.0.0.1`.
    pub first: Certificate,
    /// The same with another key.
    pub second: Certificate,
}

pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let mut authority = Authority::new();
    let mut issue = || {
        authority.issue_with(&["localhost", "127.0.0.1"], |params| {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            // Scanners ask for a place of revocations; nobody looks there.
            params.crl_distribution_points = vec![CrlDistributionPoint {
                uris: vec!["http://localhost/none.crl".into()],
            }];
        })
    };
    let (first, second) = (issue(), issue());
    Certificates {
        authority,
        first,
        second,
    }
});

impl Certificates {
    /// The file of the authority's certificate, as an argument.
    pub fn authority(&self) -> String {
        text(&self.authority.file()).to_owned()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority.file())).unwrap();
        roots
    }
}

/// The certificate in a file.
pub fn der(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}
