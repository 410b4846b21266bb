//! TLS and STARTTLS by [`rustls`] for the reactor of the crate [`asynchat`].
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings), allow(dead_code))))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod acceptor;
mod channel;
mod choice;
mod filter;
mod info;
mod name;
mod registry;

/// The crate whose types the functions here take, in the version that they take.
pub use rustls;

pub use acceptor::TlsAcceptor;
pub use channel::ChannelTls;
pub use filter::TlsFilter;
pub use info::TlsInfo;
pub use registry::RegistryTls;
