//! TLS on either side of the proxy: its options, and what connections are made with.

use std::{io, sync::Arc};

use asynchat::{BoxError, Cause, ChannelId, Closed, Registry, Result};
use asynchat_rustls::{ChannelTls, TlsAcceptor, TlsFilter};
use clap::Args;
use rustls::ClientConfig;
use shared::{
    text::is_unprintable,
    tls::{
        client::{self, Trust},
        server::{CertificateFiles, Identity},
    },
};

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    #[command(flatten)]
    files: CertificateFiles,
    /// Speak TLS to the target, whose certificate must be valid for NAME, or for the host of --to without one
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    to_tls: Option<Option<String>>,
    #[command(flatten)]
    trust: Option<Trust>,
}

impl TlsOptions {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.trust.is_some() && self.to_tls.is_none() {
            true => Err("--cacert and --insecure need --to-tls".into()),
            false => Ok(()),
        }
    }

    /// What the certificate of the proxy is read from, if clients speak TLS. Bytes are passed on whatever they are, so no
    /// protocol is agreed on (ALPN).
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.files.identity(&[])
    }

    /// What TLS to the target at this host is made with, if it is to be.
    pub(crate) fn target(&self, host: &str) -> Result<Option<Target>> {
        let Some(name) = &self.to_tls else {
            return Ok(None);
        };
        let trust = self.trust.clone().unwrap_or_default();
        if let Some(warning) = trust.warning() {
            log::warn!("{warning}");
        }
        let target = Target {
            name: name.as_deref().unwrap_or(host).into(),
            config: Arc::new(trust.config(&[])?),
        };
        // A name that is none is an error now, not of each connection.
        target.filter()?;
        Ok(Some(target))
    }
}

/// A target that speaks TLS.
#[derive(Clone)]
pub(crate) struct Target {
    name: String,
    config: Arc<ClientConfig>,
}

impl Target {
    fn filter(&self) -> io::Result<TlsFilter> {
        TlsFilter::client(&self.name, Arc::clone(&self.config))
    }

    /// Has a connection begin with a handshake.
    pub(crate) fn secure(&self, registry: &mut Registry, id: ChannelId) -> io::Result<()> {
        let Some(mut channel) = registry.channel(id) else {
            return Ok(());
        };
        let secured = channel.start_tls_client(&self.name, Arc::clone(&self.config));
        if secured.is_err() {
            channel.close();
        }
        secured
    }

    /// Why a connection to it ended, if its handshake failed.
    pub(crate) fn complaint(&self, end: &Closed) -> Option<String> {
        let error: &BoxError = end.error.as_ref()?;
        (end.cause == Cause::HandshakeFailed).then(|| {
            // A certificate has names of the target's choice.
            let reason = client::reason(&self.name, error).replace(is_unprintable, "\u{fffd}");
            format!("no TLS with {}: {reason}", self.name)
        })
    }
}

/// Why a connection did not end by itself, if it did not: anybody can break TLS.
pub(crate) fn failure(end: &Closed) -> Option<String> {
    let error = end.error.as_ref()?;
    matches!(end.cause, Cause::HandshakeFailed | Cause::Error)
        .then(|| error.to_string().replace(is_unprintable, "\u{fffd}"))
}

/// For the line that says where the proxy listens, and to what it passes on.
pub(crate) fn mark(is_tls: bool) -> &'static str {
    if is_tls { " (TLS)" } else { "" }
}

/// Reads the certificate, and again at SIGHUP.
pub(crate) fn acceptor(registry: &mut Registry, identity: Identity) -> Result<TlsAcceptor> {
    let acceptor = TlsAcceptor::new(identity.config()?);
    identity.reload_on_hangup(registry, acceptor.clone())?;
    Ok(acceptor)
}
