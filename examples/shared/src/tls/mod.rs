//! TLS as the programs use it, by rustls.

pub mod client;
pub mod protection;
pub mod server;
