//! Host names: connecting by name, and looking one up.

use std::{io, net::SocketAddr};

use crate::{
    error::Result,
    id::ChannelId,
    net::connect::ConnectOptions,
    state::{
        dispatcher::{Dispatcher, boxed},
        registry::Registry,
    },
};

/// # Names
///
/// ```
/// use asynchat::{Channel, Dispatcher, Exceptional, Reactor, Result};
///
/// struct Client;
/// impl Dispatcher for Client {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         println!("connected to {}", channel.peer_addr()?);
///         channel.close();
///         Ok(())
///     }
///     fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
///         if let Exceptional::ConnectFailed(error) = what {
///             println!("{error}"); // looking up "www.example": …
///         }
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result {
/// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let port = server.local_addr()?.port();
/// let mut reactor = Reactor::new()?;
/// reactor.connect_host("localhost", port, Client)?;
/// reactor.run()?;
/// # assert!(server.accept().is_ok());
/// # Ok(())
/// # }
/// ```
impl Registry {
    /// Connects to a host by its name, with the default options. The look-up does not block the loop; its addresses are
    /// then tried as by [`connect_any`](Self::connect_any).
    ///
    /// Until the addresses are known, the channel is [`Resolving`](crate::State::Resolving). Pushes are queued; `close` and
    /// [`shutdown`](Self::shutdown) end it, and the answer is dropped. A look-up that fails is a failed attempt: one
    /// `handle_expt` with [`ConnectFailed`](crate::Exceptional::ConnectFailed) in a later turn, whose error has the name and the
    /// [`Resolver`](crate::Resolver)'s message. Its kind is
    ///
    /// - `NotFound` if the name has no address,
    /// - `TimedOut` after [`Builder::resolve_timeout`](crate::Builder::resolve_timeout),
    /// - `InvalidInput` for text that is no host name: see [`Question::new`](crate::Question::new),
    /// - `ResourceBusy` if too many names [wait](crate::ThreadResolver::max_waiting),
    /// - or what else the resolver gives.
    ///
    /// An IP address, an IPv6 one perhaps in brackets, is connected to at once, as by [`connect`](Self::connect). Equal names
    /// are looked up once if they wait at the same time. Answers are not kept.
    ///
    /// # Errors
    /// That of the system if it has no descriptor or memory for the socket to an IP address.
    pub fn connect_host(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.connect_host_with(host, port, &ConnectOptions::new(), d)
    }

    /// Connects like [`connect_host`](Self::connect_host), with other options than the defaults.
    ///
    /// ```
    /// use asynchat::{ConnectOptions, Dispatcher, Reactor};
    /// use std::time::Duration;
    ///
    /// struct Client;
    /// impl Dispatcher for Client {}
    ///
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = Reactor::new()?;
    /// let second = Duration::from_secs(1);
    /// let options = ConnectOptions::new().resolve_timeout(5 * second).timeout(3 * second);
    /// reactor.connect_host_with("localhost", 7, &options, Client)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect_host`](Self::connect_host).
    pub fn connect_host_with(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        options: &ConnectOptions,
        d: impl Dispatcher,
    ) -> io::Result<ChannelId> {
        self.start_connect_host(host.as_ref(), port, options, boxed(d))
    }

    /// Looks the addresses of a host up without connecting: of a datagram's receiver, for instance. `f` gets them in the
    /// order in which the system would try them, each with `port`.
    ///
    /// `f` runs in a later turn or step of this one, as a call of [`call_soon`](Self::call_soon): its error or panic goes to
    /// [`Builder::on_error`](crate::Builder::on_error). `run` waits for it as for a timer. The errors that it gets are those of
    /// [`connect_host`](Self::connect_host), after [`Builder::resolve_timeout`](crate::Builder::resolve_timeout) at the latest.
    ///
    /// ```
    /// # fn main() -> asynchat::Result {
    /// let mut reactor = asynchat::Reactor::new()?;
    /// reactor.resolve("localhost", 53, |_registry, found| {
    ///     for address in found? {
    ///         println!("{address}");
    ///     }
    ///     Ok(())
    /// });
    /// reactor.run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve(
        &mut self,
        host: impl AsRef<str>,
        port: u16,
        f: impl FnOnce(&mut Self, io::Result<Vec<SocketAddr>>) -> Result + 'static,
    ) {
        self.start_resolve(host.as_ref(), port, Box::new(f));
    }
}
