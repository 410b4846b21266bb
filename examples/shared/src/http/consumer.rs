//! What takes the answer to a request. Consumers wrap consumers: one prints, one saves, one follows redirects.

use std::time::Duration;

use asynchat::{BoxError, Channel, Registry, Result};
use asynchat_rustls::ChannelTls;

pub use super::order::{Agent, Deadline, Method, Order};
use super::response::Head;

/// The target of a request: told of the header, fed with the body, told of the end.
///
/// Exactly one `close` comes, and last, unless the consumer closes the request itself.
pub trait Consumer {
    /// A request is about to be made: the first, or one that a consumer asked for with [`Request::again`]. May be left out.
    /// Fields for it are given with [`Order::add`].
    ///
    /// An error comes back to `close`, and no connection is made.
    fn http_request(&mut self, _order: &mut Order) -> Result {
        Ok(())
    }

    /// The header is here. May be left out.
    ///
    /// An error ends the request and comes back to `close`.
    fn http_header(&mut self, _request: &mut Request<'_, '_>) -> Result {
        Ok(())
    }

    /// A piece of the body, as it came.
    ///
    /// An error ends the request and comes back to `close`.
    fn feed(&mut self, data: &[u8]) -> Result;

    /// The answer is complete, or why it never will be. Without an `http_header` before, there was no answer.
    fn close(&mut self, outcome: Result<(), BoxError>);

    /// Behind `close`, for further requests. May be left out. A reactor that ends does not call it.
    fn finished(&mut self, _registry: &mut Registry) {}
}

impl<C: Consumer + ?Sized> Consumer for Box<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        (**self).http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        (**self).http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        (**self).feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        (**self).close(outcome);
    }

    fn finished(&mut self, registry: &mut Registry) {
        (**self).finished(registry);
    }
}

/// A request whose header has come, as `http_header` sees it.
pub struct Request<'a, 'r> {
    pub order: &'a Order,
    pub head: &'a Head,
    /// The size of the body, if it is known beforehand.
    pub length: Option<u64>,
    pub(super) next: &'a mut Next,
    pub(crate) channel: &'a mut Channel<'r>,
}

/// What becomes of a request behind its header.
#[derive(Debug)]
pub(super) enum Next {
    Body,
    Nothing,
    Again(Box<Order>),
}

impl Request<'_, '_> {
    /// Ends the connection without reading on. Nothing of the body is fed, and no `close` comes.
    pub fn close(&mut self) {
        *self.next = Next::Nothing;
    }

    /// Ends the connection without reading on, and makes another request for the same consumer.
    pub fn again(&mut self, order: Order) {
        *self.next = Next::Again(Box::new(order));
    }

    /// For further requests.
    pub fn registry(&mut self) -> &mut Registry {
        self.channel.registry()
    }
}

/// Over TLS with close_notify, and without a wait for the server's (RFC 9112, 9.8).
pub(super) fn hang_up(channel: &mut Channel<'_>) {
    if channel.tls().is_some() {
        channel.set_linger(Duration::ZERO, 0);
        channel.close_when_done();
    } else {
        channel.close();
    }
}
