//! Connections that are TLS from their first byte.

use std::{io, sync::Arc};

use asynchat::{ChannelId, ConnectOptions, Dispatcher, Registry, Socket};
use rustls::ClientConfig;

use crate::{acceptor::TlsAcceptor, filter::TlsFilter};

/// Connections that are TLS from their first byte: methods for [`Registry`], and so for a [`Reactor`](asynchat::Reactor).
///
/// `handle_connect` comes after the handshake. If that fails, `handle_expt` comes in its place, with
/// [`HandshakeFailed`](asynchat::Exceptional::HandshakeFailed).
pub trait RegistryTls: sealed::Sealed {
    /// Registers a connection as its server.
    ///
    /// # Errors
    /// Those of [`TlsAcceptor::filter`] and of [`Registry::register`].
    fn register_tls(
        &mut self,
        stream: impl Into<Socket>,
        acceptor: &TlsAcceptor,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId>;

    /// Registers a connection, a Unix stream for instance, as its client. `name` is the name that the certificate has to be
    /// valid for.
    ///
    /// # Errors
    /// `InvalidInput` for a `name` that is neither a DNS name nor an IP address; those of [`Registry::register`].
    fn register_tls_client(
        &mut self,
        stream: impl Into<Socket>,
        name: impl AsRef<str>,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId>;

    /// Connects to a host by its name or IP address, as [`Registry::connect_host`] does, and shakes hands. The certificate
    /// has to be valid for `host`.
    ///
    /// # Errors
    /// `InvalidInput` for a `host` that is neither a DNS name nor an IP address; those of [`Registry::connect_host`].
    /// Nothing is opened then.
    fn connect_tls(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId>;

    /// Connects like [`connect_tls`](Self::connect_tls), with other options than the defaults.
    ///
    /// # Errors
    /// Those of [`connect_tls`](Self::connect_tls).
    fn connect_tls_with(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        options: &ConnectOptions,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId>;
}

impl RegistryTls for Registry {
    fn register_tls(
        &mut self,
        stream: impl Into<Socket>,
        acceptor: &TlsAcceptor,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let filter = acceptor.filter()?;
        let id = self.register(stream, d)?;
        secure(self, id, filter)
    }

    fn register_tls_client(
        &mut self,
        stream: impl Into<Socket>,
        name: impl AsRef<str>,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let filter = TlsFilter::client(name, config)?;
        let id = self.register(stream, d)?;
        secure(self, id, filter)
    }

    fn connect_tls(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.connect_tls_with(host, port, &ConnectOptions::new(), config, d)
    }

    fn connect_tls_with(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        options: &ConnectOptions,
        config: Arc<ClientConfig>,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        let filter = TlsFilter::client(&host, config)?;
        let id = self.connect_host_with(host, port, options, d)?;
        secure(self, id, filter)
    }
}

/// No callback has run yet, so no plaintext can have left or arrived.
fn secure(registry: &mut Registry, id: ChannelId, filter: TlsFilter) -> io::Result<ChannelId> {
    if let Some(mut channel) = registry.channel(id)
        && let Err(error) = channel.upgrade(filter)
    {
        channel.close();
        return Err(error);
    }
    Ok(id)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for asynchat::Registry {}
}
