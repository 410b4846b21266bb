//! What a client does around its protocol: it connects by name, with TLS from the start or later, bounds each step and the
//! whole, and gives the outcome once.
//!
//! A [`Protocol`] gets the server's lines, or data in pieces between lines. It sends commands through its [`Talk`], and ends
//! with [`Talk::succeed`] or with an error from any of its callbacks. Everything else that ends a connection is such an error
//! too: [`Connection`] gives one outcome to [`Protocol::finished`].

mod connection;
mod contact;
mod login;
mod outcome;
pub(crate) mod reason;
mod talk;

pub use connection::{Connection, MAX_LINE};
pub use contact::{Contact, ContactOptions, Encryption};
pub use login::{Login, password_of};
pub use outcome::Outcome;
pub use talk::Talk;

use asynchat::{BoxError, Registry, Result};

/// The client's side of a protocol.
///
/// An error of a callback is the outcome, and ends the connection.
pub trait Protocol: 'static {
    /// The connection is made, and secured if it is TLS from the start. In many protocols the server speaks first.
    fn connected(&mut self, _talk: &mut Talk<'_, '_>) -> Result {
        Ok(())
    }

    /// The handshake that [`Talk::start_tls`] began is complete. Whatever the server said before may be another's words
    /// (RFC 3207, 4.2): forget it.
    fn secured(&mut self, _talk: &mut Talk<'_, '_>) -> Result {
        Ok(())
    }

    /// A line, without its end.
    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result;

    /// A piece of what comes before the terminator that [`Talk::read_data`] set.
    fn data(&mut self, _talk: &mut Talk<'_, '_>, _data: &[u8]) -> Result {
        Err("data where lines were expected".into())
    }

    /// That terminator was found. Data up to the next one follows, unless [`Talk::read_lines`] is called.
    fn data_end(&mut self, _talk: &mut Talk<'_, '_>) -> Result {
        Ok(())
    }

    /// The queue of outgoing bytes is empty again.
    fn drained(&mut self, _talk: &mut Talk<'_, '_>) -> Result {
        Ok(())
    }

    /// Whether input is wanted: if not, the server waits.
    fn readable(&self) -> bool {
        true
    }

    /// The server's end of file, a whole one. By default an error, because the client ends conversations.
    fn end_of_file(&mut self, _talk: &mut Talk<'_, '_>) -> Result {
        Err("the server closed the connection".into())
    }

    /// The last call: there is no connection any more.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}
