//! Which configuration a server's connection gets.

use std::sync::Arc;

use asynchat::Result;
use rustls::{ServerConfig, server::ClientHello};

pub(crate) type ByHello = dyn Fn(&ClientHello<'_>) -> Result<Arc<ServerConfig>> + Send + Sync;

#[derive(Clone)]
pub(crate) enum Choice {
    Fixed(Arc<ServerConfig>),
    ByHello(Arc<ByHello>),
}
