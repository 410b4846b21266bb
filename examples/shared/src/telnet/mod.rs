//! Telnet as a client (RFC 854, 855): options are negotiated by the Q method (RFC 1143), and text passes by the rules of the
//! network virtual terminal (NVT).
//!
//! A [`Session`] is the protocol of a [`Connection`](crate::client::Connection). Its [`User`] gets what the server sends
//! without the commands in it, and sends text through its [`Line`].

mod decoder;
mod encoder;
mod options;
mod q_method;
mod script;
mod session;

pub use decoder::{Decoder, Event, MAX_SUBNEGOTIATION};
pub use encoder::Encoder;
pub use options::{Options, option};
pub use q_method::Side;
pub use script::{Script, Step};
pub use session::{Line, Session, Terminal, User};

/// Of a server.
pub const PORT: u16 = 23;
/// Of a server in TLS from the start.
pub const PORT_TLS: u16 = 992;

/// The commands, each behind an IAC (RFC 854).
pub mod command {
    pub const SE: u8 = 240;
    pub const SB: u8 = 250;
    pub const WILL: u8 = 251;
    pub const WONT: u8 = 252;
    pub const DO: u8 = 253;
    pub const DONT: u8 = 254;
    pub const IAC: u8 = 255;
}
