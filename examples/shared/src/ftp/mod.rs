//! FTP as a client (RFC 959, 1123, 2228, 2428, 3659, 4217): commands and replies on one connection, each file and listing on
//! a connection of its own.
//!
//! A [`Session`] is the protocol of a [`Connection`](crate::client::Connection). It logs in, then asks its [`Client`] for one
//! [`Command`] after another and gives each its result, and leaves with QUIT. [`fetch`] is a whole session for one URL.
//!
//! The control connection and the data connection know each other. A transfer is complete when the server has said so (2xx)
//! *and* the data has ended without an error, in any order. If either fails, the other is closed, and the transfer has failed.
//! The session goes on if the server still answers.

mod address;
mod command;
mod control;
mod data;
mod fetch;
mod login;
mod text;
mod transfer;

pub use command::{Ask, Client, Command, Consumer, Fetch, Store};
pub use control::{MAX_PRELIMINARY, Session};
pub use data::Ports;
pub use fetch::{Place, fetch};
pub use login::{Account, Mode, Options, Protection};
pub use transfer::What;

/// Of the control connection.
pub const PORT: u16 = 21;
/// Of the control connection in TLS from the start (RFC 4217, appendix A).
pub const PORT_TLS: u16 = 990;
