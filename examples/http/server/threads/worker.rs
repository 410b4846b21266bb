//! A reactor that serves. Of what is in here only the access log and the board are shared with other reactors.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use asynchat::{Address, ChannelId, Dispatcher, ListenOptions, Network, Reactor, Registry, Result};

use shared::http::{
    access_log::{self, AccessLog},
    auth::Users,
    paths::Root,
};

use crate::{
    entrance::Entrance,
    limits::{self, Limits},
    options::Options,
    server::{HttpServer, Server},
    status::board::Board,
    tls::Tls,
};

/// Bytes that the kernel may hold unsent for a connection.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;

/// What every worker is made from.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) root: Root,
    pub(crate) options: Options,
    pub(crate) users: Option<Arc<Users>>,
    /// Of all workers together.
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
    pub(crate) entrances: Vec<Entrance>,
    /// Whether each worker has listeners of its own.
    pub(crate) listens: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) log: Option<Arc<access_log::Shared>>,
    /// Present if the status page is.
    pub(crate) board: Option<Arc<Board>>,
}

/// A reactor, and what its connections share.
pub(crate) struct Worker {
    pub(crate) reactor: Reactor,
    pub(crate) server: Rc<Server>,
}

impl Worker {
    /// Listens, and gives the entrances with the addresses that came of it.
    pub(crate) fn listen(
        &mut self,
        entrances: &[Entrance],
        reuse_port: bool,
    ) -> Result<Vec<Entrance>> {
        let proxies = &self.server.options.proxy_protocol_from;
        let bound = entrances.iter().map(|entrance| {
            let listener = HttpServer {
                server: Rc::clone(&self.server),
                tls: entrance.tls.clone(),
            };
            let wanted = entrance.address;
            let address = listen(&mut self.reactor, wanted, reuse_port, proxies, listener)?;
            Ok(entrance.at(address))
        });
        bound.collect()
    }

    /// Serves until the end.
    pub(crate) fn run(mut self) -> Result {
        self.reactor.run()?;
        // A second signal stops it in the middle of answers, and a reactor that is dropped tells of no body.
        self.reactor.close_all();
        self.reactor.turn(Some(Duration::ZERO))?;
        Ok(())
    }
}

impl Plan {
    /// Makes the worker of one thread; they are numbered from zero.
    pub(crate) fn worker(&self, thread: usize) -> Result<Worker> {
        let limits = self.limits.share(thread, self.threads);
        let listeners = if self.listens {
            self.entrances.len()
        } else {
            0
        };
        let (low_mark, high_mark) = limits.marks();
        let mut reactor = Reactor::builder()
            // Who is too many is accepted too, or nobody could make room.
            .max_channels(
                limits
                    .connections
                    .saturating_add(limits::REFUSALS + listeners.max(1)),
            )
            .max_outgoing(limits.outgoing)
            .watermarks(low_mark, high_mark)
            .linger(limits::LINGER_TIME, limits::LINGER_BYTES)
            .handshake_timeout(limits.handshake())
            .build()?;
        let format = self.options.log_format;
        let log = self.log.as_ref();
        let server = Rc::new(Server {
            root: self.root.clone(),
            options: self.options.clone(),
            users: self.users.clone(),
            limits,
            log: log.map(|shared| AccessLog::new(Arc::clone(shared), format)),
            board: self.board.clone().map(|board| (board, thread)),
            listeners,
            pages: RefCell::default(),
            files: RefCell::default(),
            waiting: RefCell::default(),
            downloads: RefCell::default(),
            requests: Cell::new(0),
            connections: Cell::new(0),
            handshakes: Cell::default(),
            scratch: RefCell::default(),
            dates: RefCell::default(),
        });
        server.keep_board(&mut reactor);
        Ok(Worker { reactor, server })
    }

    /// Has a reactor take the signal for all.
    pub(crate) fn reload_on_hangup(&self, registry: &mut Registry) -> io::Result<()> {
        match &self.tls {
            Some(tls) => tls.reload_on_hangup(registry),
            None => Ok(()),
        }
    }
}

/// Listens, and gives the address that came of it.
pub(crate) fn listen(
    registry: &mut Registry,
    wanted: SocketAddr,
    reuse_port: bool,
    proxies: &[Network],
    listener: impl Dispatcher,
) -> Result<SocketAddr> {
    let mut options = ListenOptions::new()
        // An answer should not wait for the acknowledgement of the one before.
        .nodelay(true)
        .reuse_port(reuse_port);
    if !proxies.is_empty() {
        options = options.proxy_protocol(proxies.iter().copied());
    }
    let id = registry.listen_with(wanted, &options, listener)?;
    note_progress(registry, id);
    match registry.channel(id).map(|listener| listener.local_addr()) {
        Some(Ok(Address::Inet(address))) => Ok(address),
        Some(Err(error)) => Err(error.into()),
        _ => Ok(wanted),
    }
}

/// Has the kernel take no more ahead of what a client reads than a few blocks, or one that reads steadily but slowly
/// would seem to have stalled. Every connection inherits it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn note_progress(registry: &mut Registry, listener: ChannelId) {
    if let Some(listener) = registry.channel(listener)
        && let Ok(socket) = listener.as_fd()
        && let Err(error) = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)
    {
        log::warn!("slow downloads may be taken for stalled ones: {error}");
    }
}

/// Elsewhere a client has stalled if it takes longer than the timeout for what the kernel holds.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn note_progress(_: &mut Registry, _: ChannelId) {}
