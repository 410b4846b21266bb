//! A listener's object that is no more than a closure.

use std::{any::type_name, fmt};

use crate::{
    address::Address,
    error::Result,
    net::stream::Stream,
    state::{channel::Channel, dispatcher::Dispatcher, registry::Registry},
};

/// Makes the object of a listener out of a closure, which is its `handle_accepted`.
///
/// [`Registry::listen_fn`] is the short way to a listener with it. This one is for
/// [`listen_with`](Registry::listen_with), [`register`](Registry::register) and the testing kit:
///
/// ```
/// use asynchat::{Dispatcher, ListenOptions, Reactor, accept_fn};
///
/// struct Session;
/// impl Dispatcher for Session {}
///
/// # fn main() -> std::io::Result<()> {
/// let mut reactor = Reactor::new()?;
/// let options = ListenOptions::new().nodelay(true);
/// let server = accept_fn(|registry, stream, peer| {
///     log::info!("connection from {peer}");
///     registry.register(stream, Session)?;
///     Ok(())
/// });
/// reactor.listen_with("127.0.0.1:0", &options, server)?;
/// # Ok(())
/// # }
/// ```
pub fn accept_fn<F>(f: F) -> AcceptFn<F>
where
    F: FnMut(&mut Registry, Stream, Address) -> Result + 'static,
{
    AcceptFn(f)
}

/// The object of a listener made by [`accept_fn`].
#[must_use = "it accepts nothing until it listens"]
pub struct AcceptFn<F>(F);

impl<F> Dispatcher for AcceptFn<F>
where
    F: FnMut(&mut Registry, Stream, Address) -> Result + 'static,
{
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        (self.0)(channel.registry, stream, peer)
    }

    /// The closure's, which names the function that it stands in.
    fn type_name(&self) -> &'static str {
        type_name::<F>()
    }
}

impl<F> fmt::Debug for AcceptFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptFn").finish_non_exhaustive()
    }
}
