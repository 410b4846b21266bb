//! `--tls-cert` and `--tls-key`: the configuration of a server from two PEM files, and again at SIGHUP.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use asynchat::Registry;
use asynchat_rustls::TlsAcceptor;
use clap::Args;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::source::read;

/// The longest file that is read: no chain is longer, and a wrong name might be that of anything.
const LONGEST: u64 = 1024 * 1024;

/// What makes a program a server of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct CertificateFiles {
    /// Serve TLS with this certificate and those that lead to its root, PEM; needs --tls-key
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, PEM, not encrypted. SIGHUP has both files read again; open connections stay
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl CertificateFiles {
    /// The files, if there are to be any; `alpn` are the protocols spoken over TLS, the best first.
    pub fn identity(&self, alpn: &'static [&'static [u8]]) -> Option<Identity> {
        let (chain, key) = (self.tls_cert.as_ref()?, self.tls_key.as_ref()?);
        Some(Identity::new(chain, key, alpn))
    }
}

/// The files that a server proves with who it is.
#[derive(Clone, Debug)]
pub struct Identity {
    chain: PathBuf,
    key: PathBuf,
    alpn: &'static [&'static [u8]],
}

impl Identity {
    /// `alpn` are the protocols spoken over TLS, the best first.
    pub fn new(chain: &Path, key: &Path, alpn: &'static [&'static [u8]]) -> Self {
        Self {
            chain: chain.into(),
            key: key.into(),
            alpn,
        }
    }

    /// Reads both files. An error names the file and the cause.
    pub fn config(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let pair = self.certified(&provider)?;
        let unusable = |error: rustls::Error| format!("TLS cannot be set up: {error}");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        // A session in a ticket costs no memory here, and all threads can resume it.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        // With TLS 1.2 too the best suite that both ends know, whatever order the client sent.
        config.ignore_client_order = true;
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Reads both files while a loop runs. Opening a FIFO would hold it up until there is a writer, and a pipe
    /// (`--tls-key <(…)`) can be read once.
    #[cfg(unix)]
    fn config_again(&self) -> Result<Arc<ServerConfig>, String> {
        for path in [&self.chain, &self.key] {
            if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
                return Err(format!("{} is no regular file", path.display()));
            }
        }
        self.config()
    }

    /// The chain and its key, which fit each other.
    fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let text = read(&self.chain, LONGEST)
            .map_err(|error| unreadable("certificate", &self.chain, &error))?;
        let chain = chain(&text, &self.chain)?;
        // A file with both is read once, so that one which is exchanged meanwhile gives no halves of two pairs.
        let text = match self.key == self.chain {
            true => text,
            false => {
                read(&self.key, LONGEST).map_err(|error| unreadable("key", &self.key, &error))?
            }
        };
        let key = key(&text, &self.key)?;
        let unknown = |_| {
            format!(
                "the key in {} is of an unknown kind: RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and Ed25519 are known",
                self.key.display()
            )
        };
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(unknown)?;
        let pair = CertifiedKey::new(chain, key);
        pair.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the key in {} is not that of the first certificate in {}",
                self.key.display(),
                self.chain.display()
            ),
            error => format!(
                "the first certificate in {} is malformed: {error}",
                self.chain.display()
            ),
        })?;
        Ok(pair)
    }

    /// Reads both files again at every SIGHUP, on the thread of this reactor. If something is wrong with them the old pair
    /// stays.
    #[cfg(unix)]
    pub fn reload_on_hangup(
        self,
        registry: &mut Registry,
        acceptor: TlsAcceptor,
    ) -> io::Result<()> {
        registry.on_signal(asynchat::signal::SIGHUP, move |_| {
            match self.config_again() {
                Ok(config) => {
                    acceptor.set_config(config);
                    log::info!(
                        "new connections get the certificate in {}",
                        self.chain.display()
                    );
                }
                Err(error) => log::error!("the old certificate and key stay: {error}"),
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Elsewhere there is no such signal.
    #[cfg(not(unix))]
    pub fn reload_on_hangup(self, _: &mut Registry, _: TlsAcceptor) -> io::Result<()> {
        Ok(())
    }
}

fn chain(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(format!(
            "there is no certificate in {}: no line -----BEGIN CERTIFICATE-----",
            path.display()
        )),
        Ok(chain) => Ok(chain),
        Err(error) => Err(malformed(path, &error)),
    }
}

fn key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    if is_encrypted(text) {
        let path = path.display();
        return Err(format!(
            "the key in {path} is encrypted: openssl pkey -in {path} -out FILE decrypts it"
        ));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => format!(
            "there is no private key in {}: no line -----BEGIN PRIVATE KEY-----",
            path.display()
        ),
        error => malformed(path, &error),
    })
}

/// By PKCS #8 (RFC 7468, section 11), or by the header of older files (RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot read the {what} from {}: {error}", path.display())
}

fn malformed(path: &Path, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            format!("{path} is malformed: a section is not ended by a line -----END")
        }
        pem::Error::IllegalSectionStart { .. } => {
            format!("{path} is malformed: a line -----BEGIN does not end in -----")
        }
        _ => format!("{path} is malformed: a section is not base64"),
    }
}
