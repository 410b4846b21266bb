//! One HTTP/1.1 server connection: requests with streamed bodies, answers that are streamed, one after the other.
//!
//! A [`Handler`] gets each request as its head arrives, then its body piece by piece, and answers through the [`Exchange`]:
//! at once, in a later callback, or from outside ([`with`]), as a thread, a child process or another connection has more. The
//! next request is not read until the answer is complete, so pipelined requests are answered in order, and ten thousand of
//! them cost as much as one. Requests are read by [`http::reader`](super::reader): what could be smuggled is refused before a
//! handler sees it.

mod answer;
mod connection;
mod exchange;
mod listener;
mod options;
mod state;

use asynchat::{ChannelId, Closed, Registry, Result};

pub(crate) use self::connection::reset_on_close;
pub use self::{
    answer::{Answer, BadHeader},
    connection::Connection,
    exchange::Exchange,
    listener::Service,
    options::{ErrorPage, Limits, Options},
    state::Place,
};
use super::request::Request;

/// The requests of one connection.
///
/// An error or a panic of a callback is an answer 500 if none has begun; otherwise the answer is cut, and the connection with
/// it.
#[allow(unused_variables, reason = "defaults keep the documented names")]
pub trait Handler: 'static {
    /// The head of a request. A body, if there is one, follows in [`body`](Self::body); a client that waits for leave
    /// (`100-continue`) gets it if the answer has not begun and [`readable`](Self::readable) is true when this returns.
    ///
    /// # Errors
    /// See the trait.
    fn request(&mut self, exchange: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result;

    /// The next piece of the body. Not called once the answer has ended: the rest is dropped.
    ///
    /// # Errors
    /// See the trait.
    fn body(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        Ok(())
    }

    /// The request is complete: called for each, also without a body, unless the answer has ended before.
    ///
    /// # Errors
    /// See the trait.
    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        Ok(())
    }

    /// Whether more of the body is wanted. Asked after every callback and every [`with`].
    fn readable(&self) -> bool {
        true
    }

    /// The answer is no longer [congested](Exchange::is_congested).
    ///
    /// # Errors
    /// See the trait.
    fn drained(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        Ok(())
    }

    /// The client has ended its side while its answer is under way. It may read on (`nc -N`), or be gone; most servers go on.
    ///
    /// # Errors
    /// See the trait.
    fn client_ended(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        Ok(())
    }

    /// An answer is complete, or cut. Also called for requests that the service has refused, whose bodies may have taken too
    /// long: what was begun for one is of no use any more.
    fn answered(&mut self, registry: &mut Registry, answered: &Answered<'_>) {
        log::info!("{answered}");
    }

    /// The connection is gone, perhaps in the middle of an exchange. The last call, except behind
    /// [`switch`](Exchange::switch).
    fn gone(&mut self, registry: &mut Registry, why: &Closed) {}
}

/// An exchange that came to its end, for a log.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub peer: Option<&'a asynchat::Address>,
    /// The request line, or the beginning of one, as it came.
    pub line: &'a [u8],
    pub status: u16,
    /// Bytes of the body, those included that a part of a file or a producer has given.
    pub bytes: u64,
    /// False if the answer was cut.
    pub complete: bool,
}

impl std::fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(peer) = self.peer {
            write!(f, "{peer} ")?;
        }
        let line = self.line.escape_ascii();
        write!(f, "\"{line}\" {} {}", self.status, self.bytes)?;
        if !self.complete {
            f.write_str(" (cut)")?;
        }
        Ok(())
    }
}

/// Names one exchange from outside: a late answer to an earlier request finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub channel: ChannelId,
    request: u64,
}

/// Lends the handler and its exchange to code outside the connection's callbacks: what a callback would have. An error of `f`
/// is one of a callback. False if the exchange is over.
///
/// Not from inside a callback of the same connection, which has the exchange: there it is false too, with a line in the log.
pub fn with<H: Handler>(
    registry: &mut Registry,
    ticket: Ticket,
    f: impl FnOnce(&mut H, &mut Exchange<'_, '_>) -> Result,
) -> bool {
    let visit = registry.with_chat(ticket.channel, |connection: &mut Connection<H>, chat| {
        connection.visit(chat, ticket.request, f)
    });
    match visit {
        Ok(found) => found,
        Err(asynchat::VisitError::Closed(_)) => false,
        Err(error) => {
            log::error!("an exchange cannot be reached: {error}");
            false
        }
    }
}
