//! What takes the answer to a request. Consumers wrap consumers: one prints, one saves, one follows redirects.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{BoxError, Channel, Registry, Result};
use asynchat_rustls::ChannelTls;

use super::{response::Head, url::Url};
use crate::tls::client;

/// The target of a request: told of the header, fed with the body, told of the end.
///
/// Exactly one `close` comes, and last, unless the consumer closes the request itself.
pub trait Consumer {
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
}

impl<C: Consumer + ?Sized> Consumer for Box<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        (**self).http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        (**self).feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        (**self).close(outcome);
    }
}

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub struct Order {
    pub url: Url,
    /// HEAD instead of GET.
    pub head_only: bool,
    /// For `https`.
    pub tls: Rc<client::Lazy>,
    /// How long connecting may take, and how long the server may be silent.
    pub timeout: Duration,
    /// When everything has to be over, further requests that redirects lead to included.
    pub deadline: Option<Deadline>,
    /// A larger body is an error.
    pub max_size: Option<u64>,
}

/// A moment, and how far away it was.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    pub limit: Duration,
}

impl Deadline {
    /// `None` past the end of time.
    pub fn after(now: Instant, limit: Duration) -> Option<Self> {
        let at = now.checked_add(limit)?;
        Some(Self { at, limit })
    }
}

/// A request whose header has come, as `http_header` sees it.
pub struct Request<'a, 'r> {
    pub order: &'a Order,
    pub head: &'a Head,
    /// The size of the body, if it is known beforehand.
    pub length: Option<u64>,
    pub(crate) channel: &'a mut Channel<'r>,
}

impl Request<'_, '_> {
    /// Ends the connection without reading on. Nothing of the body is fed, and no `close` comes.
    pub fn close(&mut self) {
        hang_up(self.channel);
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
