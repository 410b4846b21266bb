//! An authority of the test's own and the certificates that it issues, as PEM files in a folder that goes with it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// Issues certificates by one key.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    issued: u32,
}

/// A server's certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let name = "an authority for tests";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
            issued: 0,
        }
    }

    /// The file with its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A certificate for these names and IP addresses.
    pub fn issue(&mut self, names: &[&str]) -> Certificate {
        self.issue_with(names, |_| ())
    }

    /// The same with other dates, usages, …
    pub fn issue_with(
        &mut self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let mut params = params(names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.keep(&certificate, &key)
    }

    /// A certificate that is its own issuer, and no authority. This one has only lent its folder.
    pub fn self_signed(&mut self, names: &[&str]) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names).self_signed(&key).unwrap();
        self.keep(&certificate, &key)
    }

    fn keep(&mut self, certificate: &rcgen::Certificate, key: &KeyPair) -> Certificate {
        self.issued += 1;
        let file = |what: &str, text: String| {
            let path = self.folder.path().join(format!("{}.{what}", self.issued));
            std::fs::write(&path, text).unwrap();
            path
        };
        Certificate {
            cert: file("pem", certificate.pem()),
            key: file("key", key.serialize_pem()),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names = names.iter().copied().map(String::from);
    CertificateParams::new(names.collect::<Vec<_>>()).unwrap()
}

/// As an argument of a program.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
