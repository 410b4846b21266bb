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
/// Clones share what is set: keep one in the listener's object and another where certificates are reloaded.
#[derive(Clone)]
pub struct TlsAcceptor {
    choice: Arc<RwLock<Choice>>,
}

impl TlsAcceptor {
    /// An acceptor that gives every connection this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self::from(Choice::Fixed(config))
    }

    /// An acceptor that chooses by the client's first message, by the name it asks for (SNI) or its protocols (ALPN).
    ///
    /// An error of `choose` ends the handshake.
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
