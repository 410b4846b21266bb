//! A forward proxy: [`Entrance`] takes connections of clients; each request goes over a connection to its server, and the
//! answer comes back, with what belongs to one connection taken out. Bodies are passed on as they come: a reader that stalls
//! costs the high watermark of its queue and one read.
//!
//! A request that could be read in two ways is refused, as `http_server` does it, because both read with
//! [`reader`](super::reader); an answer is too. What a name leads to is judged by its addresses ([`Allow`]), each time.

mod allow;
mod blocklist;
mod client;
mod dial;
mod entrance;
mod exchange;
mod fields;
mod limits;
mod order;
mod pool;
mod refusal;
mod target;
mod tunnel;
mod upstream;

pub use allow::Allow;
pub use blocklist::Blocklist;
pub use entrance::Entrance;
pub use fields::Rewriting;
pub use limits::Limits;
pub use target::{BadTarget, Place, Target};

use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, ConnectOptions, Registry};

use self::{client::Client, limits::SHUTDOWN_GRACE, pool::Pool, refusal::Refusal};
use super::auth::Users;

/// What the command line says.
pub struct Settings {
    pub allow: Allow,
    pub blocklist: Blocklist,
    pub rewriting: Rewriting,
    /// Who may use the proxy, if not everybody may.
    pub users: Option<Users>,
    pub limits: Limits,
}

impl Settings {
    fn pseudonym(&self) -> &str {
        self.rewriting.pseudonym.as_deref().unwrap_or_default()
    }
}

/// A request that is over, for the access log.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub peer: Option<IpAddr>,
    pub user: Option<&'a str>,
    /// The request line, as the client sent it.
    pub line: &'a [u8],
    pub status: u16,
    /// Of the body, or down the tunnel.
    pub bytes: u64,
}

/// What all connections share.
pub struct Proxy {
    settings: Settings,
    connect: ConnectOptions,
    pool: RefCell<Pool>,
    log: Box<dyn Fn(&Entry<'_>)>,
    /// Clients at present, those with tunnels included.
    clients: Rc<Cell<usize>>,
    entrance: Cell<Option<ChannelId>>,
    address: Cell<Option<SocketAddr>>,
    /// No more requests after those under way.
    ends: Cell<bool>,
}

impl Proxy {
    pub fn new(mut settings: Settings, log: impl Fn(&Entry<'_>) + 'static) -> Rc<Self> {
        settings
            .rewriting
            .pseudonym
            .get_or_insert_with(fields::pseudonym);
        let Limits {
            pool,
            pool_per_host,
            connect_timeout,
            ..
        } = settings.limits;
        Rc::new(Self {
            connect: ConnectOptions::new()
                .timeout(connect_timeout)
                .deadline(connect_timeout)
                .nodelay(true),
            pool: RefCell::new(Pool::new(pool, pool_per_host)),
            settings,
            log: Box::new(log),
            clients: Rc::default(),
            entrance: Cell::new(None),
            address: Cell::new(None),
            ends: Cell::new(false),
        })
    }

    /// Lets the requests under way end, and tunnels not; the reactor's [`run`](asynchat::Reactor::run) returns then.
    pub fn end(self: &Rc<Self>, registry: &mut Registry) {
        self.ends.set(true);
        if let Some(mut entrance) = self.entrance.get().and_then(|id| registry.channel(id)) {
            entrance.close();
        }
        let kept = self.pool.borrow_mut().drain();
        for id in registry.ids() {
            let is_idle = registry.with_chat(id, |client: &mut Client, _| client.is_idle());
            if (is_idle == Ok(true) || kept.contains(&id))
                && let Some(mut channel) = registry.channel(id)
            {
                channel.close();
            }
        }
        registry.call_later(SHUTDOWN_GRACE, |registry| {
            registry.shutdown(Duration::ZERO);
            Ok(())
        });
        self.shut_down_if_idle(registry);
    }

    fn shut_down_if_idle(&self, registry: &mut Registry) {
        if !self.ends.get() {
            return;
        }
        let ids = registry.ids();
        let mut is_busy = false;
        for id in ids {
            is_busy |=
                registry.with_chat(id, |client: &mut Client, _| client.is_idle()) == Ok(false);
        }
        if !is_busy {
            registry.shutdown(Duration::from_secs(1));
        }
    }

    fn note_entrance(&self, entrance: &Channel<'_>) -> io::Result<()> {
        if self.entrance.get().is_none() {
            self.entrance.set(Some(entrance.id()));
            self.address.set(entrance.local_addr()?.inet());
        }
        Ok(())
    }

    fn take(&self, place: &Place) -> Option<ChannelId> {
        self.pool.borrow_mut().take(place)
    }

    /// Whether there is room for one more connection that waits.
    fn keep(&self, place: &Rc<Place>, id: ChannelId) -> bool {
        !self.ends.get() && self.pool.borrow_mut().put(place, id)
    }

    fn log(&self, entry: &Entry<'_>) {
        (self.log)(entry);
    }
}

/// Counts a client until it is dropped.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Past the queue as far as the socket takes it, which saves a copy. True if there shall be no more for now.
fn pass(to: &mut Channel<'_>, data: &[u8]) -> bool {
    /// Less is cheaper to copy than to send by itself.
    const SMALL: usize = 4096;
    let sent = match data.len() < SMALL {
        true => 0,
        // The socket is full, or broken, which `to` learns by itself.
        false => to.send(data).unwrap_or(0),
    };
    // Into the queue, which never fails.
    let _ = to.write_all(&data[sent..]);
    to.is_congested()
}

/// No connection could be made.
fn unreachable(place: &Place, error: &io::Error) -> Refusal {
    let text = format!("Cannot connect to {place}: {error}.");
    match error.kind() {
        io::ErrorKind::TimedOut => Refusal::new(504, "connection_timeout", text),
        io::ErrorKind::ConnectionRefused => Refusal::bad_gateway("connection_refused", text),
        _ => Refusal::bad_gateway("destination_ip_unroutable", text),
    }
}
