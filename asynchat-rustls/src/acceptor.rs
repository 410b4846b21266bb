//! The configuration that a server's next connection gets.

use std::{
    fmt, io, mem,
    sync::{Arc, PoisonError, RwLock},
};

use asynchat::Result;
use rustls::{ServerConfig, server::ClientHello};

use crate::{choice::Choice, filter::TlsFilter};

/// The server's side of TLS: it gives each connection its configuration.
///
/// Clones share what is set: keep one in the listener's object and another where certificates are renewed.
///
/// A wrong application protocol (ALPN) is refused with an alert, as RFC 7301 §3.2 demands, if `alpn_protocols` of the
/// configuration has any. Set it even where there is one protocol: servers that accept any help attacks across protocols
/// (ALPACA).
#[derive(Clone)]
pub struct TlsAcceptor {
    choice: Arc<RwLock<Choice>>,
}

impl TlsAcceptor {
    /// An acceptor that gives every connection this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self::from(Choice::Fixed(config))
    }

    /// An acceptor that chooses by the client's first message: by the name it asks for (SNI) or its protocols (ALPN).
    ///
    /// `choose` runs on the loop's thread, once a connection. Its error ends the handshake and becomes that of
    /// [`HandshakeFailed`](asynchat::Exceptional::HandshakeFailed). The client gets the alert `unrecognized_name` (RFC 6066
    /// §3) if it had asked for a name, and `handshake_failure` if not; if the error is [`rustls::Error::NoApplicationProtocol`],
    /// it gets `no_application_protocol`.
    ///
    /// ```
    /// use std::{collections::HashMap, sync::Arc};
    ///
    /// use asynchat_rustls::TlsAcceptor;
    /// use rustls::ServerConfig;
    ///
    /// fn by_name(configs: HashMap<String, Arc<ServerConfig>>) -> TlsAcceptor {
    ///     TlsAcceptor::choose(move |hello| {
    ///         let name = hello.server_name().ok_or("the client asks for no name")?;
    ///         let config = configs.get(name).ok_or("no such host")?;
    ///         Ok(Arc::clone(config))
    ///     })
    /// }
    /// ```
    pub fn choose(
        choose: impl Fn(&ClientHello<'_>) -> Result<Arc<ServerConfig>> + Send + Sync + 'static,
    ) -> Self {
        Self::from(Choice::ByHello(Arc::new(choose)))
    }

    fn from(choice: Choice) -> Self {
        Self {
            choice: Arc::new(RwLock::new(choice)),
        }
    }

    /// Gives every connection from now on this configuration: after a renewal of certificates, for instance. Any thread
    /// may call it. Connections that are there keep theirs.
    ///
    /// Make the configuration from the new files first: `with_single_cert` refuses a key that does not fit its certificate,
    /// as when one of the two files is written and the other is not. A client resumes no session of the old configuration
    /// unless the new one has its `session_storage` and `ticketer`.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use asynchat_rustls::TlsAcceptor;
    /// use rustls::ServerConfig;
    ///
    /// fn renew(acceptor: &TlsAcceptor, load: impl FnOnce() -> Result<ServerConfig, rustls::Error>) {
    ///     match load() {
    ///         Ok(config) => acceptor.set_config(Arc::new(config)),
    ///         Err(error) => log::error!("the old certificate stays: {error}"),
    ///     }
    /// }
    /// ```
    pub fn set_config(&self, config: Arc<ServerConfig>) {
        self.set(Choice::Fixed(config));
    }

    /// Chooses from now on by `choose`, as [`choose`](Self::choose) does.
    pub fn set_choice(
        &self,
        choose: impl Fn(&ClientHello<'_>) -> Result<Arc<ServerConfig>> + Send + Sync + 'static,
    ) {
        self.set(Choice::ByHello(Arc::new(choose)));
    }

    fn set(&self, choice: Choice) {
        let mut guard = self.choice.write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *guard, choice);
        // What it holds may have a `Drop` of the program's, which is not to run under the lock.
        drop(guard);
        drop(old);
    }

    /// A filter for one connection, for [`Channel::upgrade`](asynchat::Channel::upgrade).
    ///
    /// # Errors
    /// That of rustls for a configuration that no connection can use.
    pub fn filter(&self) -> io::Result<TlsFilter> {
        let choice = self
            .choice
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        TlsFilter::server(choice)
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}
