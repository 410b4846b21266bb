//! TLS as the programs use it, by rustls.

pub mod server;
