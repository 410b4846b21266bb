//! The client's side of Gopher (RFC 1436): one selector, and what the server sends until it closes.
//!
//! [`fetch`] connects and gives the document to a [`Consumer`] in pieces, [`Menu`] makes items of the pieces of a menu.

mod document;
mod menu;
mod request;
mod url;

use asynchat::{BoxError, ChannelId, Registry, Result};

pub use self::{
    menu::{Item, MAX_ITEMS, Menu},
    request::Request,
    url::GopherUrl,
};
use crate::client::{Connection, Contact};

/// What takes a document.
///
/// An error of a callback ends the request.
pub trait Consumer: 'static {
    /// A piece, as it came; the line with a dot that ends a text is not in it.
    fn data(&mut self, data: &[u8]) -> Result;

    /// The last call. An error that the server gave in place of the document is one too.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}

/// Asks for a document.
///
/// # Errors
/// Those of [`Connection::start`].
pub fn fetch(
    registry: &mut Registry,
    contact: &Contact,
    url: &GopherUrl,
    consumer: impl Consumer,
) -> Result<ChannelId> {
    let server = (url.host(), url.port());
    Connection::start(
        registry,
        contact,
        server,
        url.is_tls(),
        Request::new(url, consumer),
    )
}
