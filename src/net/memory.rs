//! Connections and listeners in memory. They answer as TCP does, as on Linux where systems differ.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mio::Token;
use slab::Slab;

use crate::{address::Address, id::ChannelId, net::readiness::EventBits};

/// Both ends hold it. A mutex, because a `Stream` may be sent to another thread.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The reactor's end: the socket of a channel.
///
/// It is a number, like a descriptor: with the kit compiled in, a channel stays as small and as fast as without.
#[derive(Debug)]
pub(crate) struct End(u32);

/// The ends behind the numbers, for the whole process, because a `Stream` may be sent to another thread.
static ENDS: Mutex<Slab<Kind>> = Mutex::new(Slab::new());

#[derive(Clone, Debug)]
enum Kind {
    Stream(Shared<Pipe>),
    Listener(Shared<Backlog>),
}

/// Whether the reactor watches, and whether something changed since the last report to it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    token: Option<Token>,
    changed: bool,
}

impl Watch {
    fn note(&mut self) {
        self.changed = true;
    }

    /// The channel that gets the report, once for each change.
    fn take(&mut self) -> Option<ChannelId> {
        let token = self.token?;
        std::mem::take(&mut self.changed).then(|| ChannelId::of_token(token))
    }
}

#[derive(Debug)]
pub(crate) struct Pipe {
    watch: Watch,
    /// The channel, also after it is closed.
    pub(crate) id: Option<ChannelId>,
    local: Address,
    pub(crate) peer: Address,
    /// Bytes on their way to the channel.
    inbox: VecDeque<u8>,
    /// An end of file follows the inbox.
    ended: bool,
    connecting: bool,
    /// Both directions are gone.
    broken: bool,
    /// The answer of the next call, once.
    error: Option<io::Error>,
    outbox: Vec<u8>,
    /// Writes of the channel that were taken.
    pub(crate) writes: usize,
    window: usize,
    /// The channel has ended its output.
    pub(crate) shut: bool,
    /// The channel's end was dropped.
    pub(crate) closed: bool,
    /// The channel's end is to send a reset when it is dropped.
    aborting: bool,
    /// The last error that `handle_error` got.
    pub(crate) failure: Option<String>,
    /// The channel's end was dropped over unread input; TCP then sends a reset.
    pub(crate) aborted: bool,
}

impl Pipe {
    pub(crate) fn new(local: Address, peer: Address, connecting: bool) -> Self {
        Self {
            watch: Watch::default(),
            id: None,
            local,
            peer,
            inbox: VecDeque::new(),
            ended: false,
            connecting,
            broken: false,
            error: None,
            failure: None,
            outbox: Vec::new(),
            writes: 0,
            window: usize::MAX,
            shut: false,
            closed: false,
            aborting: false,
            aborted: false,
        }
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting && !self.closed
    }

    pub(crate) fn take_event(&mut self) -> Option<(ChannelId, EventBits)> {
        if self.connecting {
            return None;
        }
        let id = self.watch.take()?;
        let bits = EventBits::made(
            !self.inbox.is_empty() || self.ended || self.broken,
            !self.is_full() || self.broken,
            self.ended || self.broken,
            self.broken,
        );
        Some((id, bits))
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if !self.closed && !self.ended && !self.broken {
            self.inbox.extend(bytes);
            self.watch.note();
        }
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.watch.note();
    }

    pub(crate) fn break_off(&mut self, error: io::Error) {
        self.connecting = false;
        self.broken = true;
        self.error = Some(error);
        self.watch.note();
    }

    pub(crate) fn connect(&mut self) {
        self.connecting = false;
        self.watch.note();
    }

    pub(crate) fn set_window(&mut self, bytes: usize) {
        let was_full = self.is_full();
        self.window = bytes;
        if was_full && !self.is_full() {
            self.watch.note();
        }
    }

    fn is_full(&self) -> bool {
        self.outbox.len() >= self.window
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        if self.is_full() && !self.outbox.is_empty() {
            self.watch.note();
        }
        std::mem::take(&mut self.outbox)
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.inbox.is_empty() {
            return match self.error.take() {
                Some(error) => Err(error),
                None if self.ended || self.broken => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let mut read = 0;
        // The queue may lie in two parts, and a short read means that the socket is drained.
        while read < buf.len() && !self.inbox.is_empty() {
            read += io::Read::read(&mut self.inbox, &mut buf[read..])?;
        }
        Ok(read)
    }

    fn write<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.broken || self.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.window.saturating_sub(self.outbox.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writes += 1;
        let before = self.outbox.len();
        for slice in slices {
            let left = room - (self.outbox.len() - before);
            self.outbox.extend(&slice[..slice.len().min(left)]);
        }
        Ok(self.outbox.len() - before)
    }
}

/// The connections that wait for a listener.
#[derive(Debug)]
pub(crate) struct Backlog {
    watch: Watch,
    local: Address,
    waiting: VecDeque<Shared<Pipe>>,
    pub(crate) closed: bool,
}

impl Backlog {
    pub(crate) fn new(local: Address) -> Self {
        Self {
            watch: Watch::default(),
            local,
            waiting: VecDeque::new(),
            closed: false,
        }
    }

    pub(crate) fn local(&self) -> &Address {
        &self.local
    }

    pub(crate) fn add(&mut self, pipe: Shared<Pipe>) {
        self.waiting.push_back(pipe);
        self.watch.note();
    }

    pub(crate) fn take_event(&mut self) -> Option<(ChannelId, EventBits)> {
        let id = self.watch.take()?;
        Some((
            id,
            EventBits::made(!self.waiting.is_empty(), false, false, false),
        ))
    }
}

impl End {
    fn new(kind: Kind) -> Self {
        // An index into a table of the testing kit: 2^32 entries do not fit in memory.
        let number = u32::try_from(ends().insert(kind));
        Self(number.expect("four billion connections do not fit in memory"))
    }

    pub(crate) fn of_stream(pipe: Shared<Pipe>) -> Self {
        Self::new(Kind::Stream(pipe))
    }

    fn kind(&self) -> Kind {
        ends()[self.0 as usize].clone()
    }

    #[cold]
    pub(crate) fn abort_on_close(&self) {
        if let Some(pipe) = self.pipe() {
            pipe.lock().aborting = true;
        }
    }

    /// The connection, if this is the end of one.
    pub(crate) fn pipe(&self) -> Option<Shared<Pipe>> {
        match self.kind() {
            Kind::Stream(pipe) => Some(pipe),
            Kind::Listener(_) => None,
        }
    }

    /// Like a poller's registration: what is already there is told at once.
    #[cold]
    pub(crate) fn register(&self, token: Token) {
        let watch = Watch {
            token: Some(token),
            changed: true,
        };
        match self.kind() {
            Kind::Stream(pipe) => {
                let mut pipe = pipe.lock();
                pipe.watch = watch;
                pipe.id = Some(ChannelId::of_token(token));
            }
            Kind::Listener(backlog) => backlog.lock().watch = watch,
        }
    }

    #[cold]
    pub(crate) fn deregister(&self) {
        match self.kind() {
            Kind::Stream(pipe) => pipe.lock().watch = Watch::default(),
            Kind::Listener(backlog) => backlog.lock().watch = Watch::default(),
        }
    }

    #[cold]
    pub(crate) fn local_addr(&self) -> Address {
        match self.kind() {
            Kind::Stream(pipe) => pipe.lock().local.clone(),
            Kind::Listener(backlog) => backlog.lock().local.clone(),
        }
    }

    #[cold]
    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        match self.kind() {
            Kind::Stream(pipe) => {
                let pipe = pipe.lock();
                if pipe.connecting || pipe.broken {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                Ok(pipe.peer.clone())
            }
            Kind::Listener(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[cold]
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        match self.kind() {
            Kind::Stream(pipe) => pipe.lock().error.take(),
            Kind::Listener(_) => None,
        }
    }

    #[cold]
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.on_pipe(|pipe| pipe.read(buf))
    }

    #[cold]
    pub(crate) fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.on_pipe(|pipe| pipe.write([data].into_iter()))
    }

    #[cold]
    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.on_pipe(|pipe| pipe.write(slices.iter().map(|slice| &**slice)))
    }

    #[cold]
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.on_pipe(|pipe| {
            if pipe.broken {
                return Err(io::ErrorKind::NotConnected.into());
            }
            pipe.shut = true;
            Ok(())
        })
    }

    #[cold]
    pub(crate) fn accept(&self) -> io::Result<(Self, Address)> {
        let Kind::Listener(backlog) = self.kind() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let pipe = backlog.lock().waiting.pop_front();
        let pipe = pipe.ok_or(io::ErrorKind::WouldBlock)?;
        let peer = pipe.lock().peer.clone();
        Ok((Self::of_stream(pipe), peer))
    }

    fn on_pipe<R>(&self, f: impl FnOnce(&mut Pipe) -> io::Result<R>) -> io::Result<R> {
        let pipe = self.pipe().ok_or(io::ErrorKind::NotConnected)?;
        f(&mut pipe.lock())
    }
}

fn ends() -> MutexGuard<'static, Slab<Kind>> {
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for End {
    #[cold]
    fn drop(&mut self) {
        let kind = ends().remove(self.0 as usize);
        match kind {
            Kind::Stream(pipe) => {
                let mut pipe = pipe.lock();
                pipe.watch = Watch::default();
                pipe.aborted = (pipe.aborting || !pipe.inbox.is_empty()) && !pipe.broken;
                pipe.closed = true;
            }
            Kind::Listener(backlog) => {
                let mut backlog = backlog.lock();
                backlog.closed = true;
                for pipe in std::mem::take(&mut backlog.waiting) {
                    let mut pipe = pipe.lock();
                    pipe.closed = true;
                    pipe.aborted = true;
                }
            }
        }
    }
}

/// What a reactor under test connects to and listens on, instead of the system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Net(Rc<RefCell<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    pipes: Vec<Shared<Pipe>>,
    listeners: Vec<Shared<Backlog>>,
    /// Connection attempts nobody has asked for yet.
    dialled: VecDeque<Shared<Pipe>>,
    /// The last port given away, here or to a peer.
    port: u16,
}

impl Lines {
    fn next_port(&mut self) -> u16 {
        self.port = self.port.checked_add(1).unwrap_or(1).max(49_152);
        self.port
    }

    fn add(&mut self, local: Address, peer: Address, connecting: bool) -> Shared<Pipe> {
        self.pipes.retain(|pipe| !pipe.lock().closed);
        let pipe = Shared::new(Pipe::new(local, peer, connecting));
        self.pipes.push(pipe.clone());
        pipe
    }
}

impl Net {
    pub(crate) fn dial(&self, to: &Address) -> End {
        let mut lines = self.0.borrow_mut();
        let local = documentation(1, lines.next_port());
        let pipe = lines.add(local.into(), to.clone(), true);
        lines.dialled.push_back(pipe.clone());
        End::of_stream(pipe)
    }

    pub(crate) fn listen(&self, on: &Address) -> End {
        let mut lines = self.0.borrow_mut();
        let local = match on.inet() {
            Some(mut inet) if inet.port() == 0 => {
                inet.set_port(lines.next_port());
                inet.into()
            }
            _ => on.clone(),
        };
        let backlog = Shared::new(Backlog::new(local));
        lines.listeners.retain(|listener| !listener.lock().closed);
        lines.listeners.push(backlog.clone());
        End::new(Kind::Listener(backlog))
    }

    /// A connection from a new peer. It waits on the listener at `to`, or without `to` for the caller.
    pub(crate) fn arrive(&self, to: Option<&Address>) -> Option<Shared<Pipe>> {
        let peer = documentation(2, self.0.borrow_mut().next_port());
        self.arrive_from(peer, to)
    }

    /// The same from a peer with this address.
    pub(crate) fn arrive_from(
        &self,
        peer: SocketAddr,
        to: Option<&Address>,
    ) -> Option<Shared<Pipe>> {
        let mut lines = self.0.borrow_mut();
        let Some(to) = to else {
            return Some(lines.add(documentation(1, 7).into(), peer.into(), false));
        };
        let listener = lines
            .listeners
            .iter()
            .find(|listener| {
                let listener = listener.lock();
                listener.local() == to && !listener.closed
            })?
            .clone();
        let pipe = lines.add(to.clone(), peer.into(), false);
        listener.lock().add(pipe.clone());
        Some(pipe)
    }

    pub(crate) fn dialled(&self) -> Option<Shared<Pipe>> {
        self.0.borrow_mut().dialled.pop_front()
    }

    /// Hands every change since the last call to `absorb`, as a poller would.
    pub(crate) fn take_events(&self, mut absorb: impl FnMut(ChannelId, EventBits)) {
        let lines = self.0.borrow();
        let listeners = lines.listeners.iter().map(|it| it.lock().take_event());
        let pipes = lines.pipes.iter().map(|it| it.lock().take_event());
        listeners
            .chain(pipes)
            .flatten()
            .for_each(|(id, bits)| absorb(id, bits));
    }
}

/// An address of the networks set aside for documentation (RFC 5737).
pub(crate) fn documentation(host: u8, port: u16) -> SocketAddr {
    ([192, 0, 2, host], port).into()
}
