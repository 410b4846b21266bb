//! TLS from the middle of a conversation, and what was agreed on.

use std::{io, sync::Arc};

use asynchat::{Channel, ChatChannel};
use rustls::ClientConfig;

use crate::{acceptor::TlsAcceptor, filter::TlsFilter, info::TlsInfo};

/// Methods for [`Channel`] and [`ChatChannel`]: TLS from the middle of a conversation (STARTTLS), and what was agreed on.
pub trait ChannelTls: sealed::Sealed {
    /// Turns the stream to TLS, as its server. What was pushed before leaves in clear; what was received and not handed
    /// out counts as TLS. `handle_secured` comes after the handshake.
    ///
    /// # Errors
    /// Those of [`TlsAcceptor::filter`] and of [`Channel::upgrade`].
    fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()>;

    /// Turns the stream to TLS, as its client. `name` is the name that the certificate has to be valid for.
    ///
    /// # Errors
    /// `InvalidInput` for a `name` that is neither a DNS name nor an IP address; those of [`Channel::upgrade`].
    fn start_tls_client(
        &mut self,
        name: impl AsRef<str>,
        config: Arc<ClientConfig>,
    ) -> io::Result<()>;

    /// What was agreed on, once the handshake is complete; `None` before, and without TLS.
    fn tls(&self) -> Option<TlsInfo<'_>>;
}

macro_rules! channel_tls {
    ($($channel:ident),*) => {$(
        impl sealed::Sealed for $channel<'_> {}

        impl ChannelTls for $channel<'_> {
            fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
                self.upgrade(acceptor.filter()?)
            }

            fn start_tls_client(
                &mut self,
                name: impl AsRef<str>,
                config: Arc<ClientConfig>,
            ) -> io::Result<()> {
                self.upgrade(TlsFilter::client(name, config)?)
            }

            fn tls(&self) -> Option<TlsInfo<'_>> {
                self.filter::<TlsFilter>()?.info()
            }
        }
    )*};
}

// Each its own, because a chat's `upgrade` takes along what its framer holds; by deref it would stay.
channel_tls!(Channel, ChatChannel);

mod sealed {
    pub trait Sealed {}
}
