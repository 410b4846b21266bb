//! Mail on its way: SMTP (RFC 5321) and its extensions.

pub mod address;
pub mod client;
pub mod server;
