//! The authority and the certificates of all tests here.

use std::{
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CrlDistributionPoint, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use suites::certificates::{Authority, Certificate, text};

const DAY: Duration = Duration::from_secs(86_400);

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
            // By itself it would be good for ever, which no authority signs.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let now = rcgen::date_time_ymd(1970, 1, 1) + now;
            params.not_before = now - DAY;
            params.not_after = now + 90 * DAY;
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
