//! The data connection: one file or listing, in one direction.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Cause, Channel, ChannelId, Closed, Dispatcher, Exceptional, FilePart,
    ListenOptions, Registry, Result, Stream,
};
use asynchat_rustls::ChannelTls;
use rustls::ClientConfig;

use super::{
    command::{Consumer, Store},
    control::Session,
    text::{Decoder, Encoder},
};
use crate::client::{
    Connection, Talk,
    reason::{CUT, reason},
};

/// Bytes of a file that are queued at once: as often is progress told.
const PART: u64 = 4 * 1024 * 1024;
/// The ports below are for servers (RFC 2577, 3, of the other direction).
const FIRST_PORT: u16 = 1024;

/// Ports of this end, for the connections of an active mode. By default the system chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports(Option<(u16, u16)>);

/// `50000-50100`, or one port.
impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.parse().ok().zip(last.parse().ok());
        match range.filter(|(first, last)| first <= last) {
            None => Err("not a range of ports, as 50000-50100".into()),
            Some((first, _)) if first < FIRST_PORT => {
                Err(format!("ports below {FIRST_PORT} are for servers"))
            }
            range => Ok(Self(range)),
        }
    }
}

/// What a transfer moves, as both of its connections see it.
pub(super) struct Work {
    kind: Kind,
    /// The server has said that it begins (1xx).
    pub(super) begun: bool,
    /// The error of this end, which goes before those of the server.
    pub(super) failed: Option<BoxError>,
    /// The server ended the data connection: what it says about that is enough.
    pub(super) ended_there: bool,
}

enum Kind {
    Receive {
        consumer: Box<dyn Consumer>,
        decoder: Option<Decoder>,
        decoded: Vec<u8>,
        received: u64,
        length: Option<u64>,
    },
    Send {
        source: Option<Source>,
        then: Box<dyn FnOnce(Result)>,
    },
    Closed,
}

/// A file on its way to the server.
struct Source {
    file: Arc<File>,
    text: bool,
    at: u64,
    end: u64,
    progress: Box<dyn FnMut(u64)>,
}

impl Work {
    pub(super) fn receive(consumer: Box<dyn Consumer>, text: bool, length: Option<u64>) -> Self {
        Self::new(Kind::Receive {
            consumer,
            decoder: text.then(Decoder::default),
            decoded: Vec::new(),
            received: 0,
            length,
        })
    }

    /// Gives the callback back if the file cannot be sent.
    #[allow(clippy::type_complexity, reason = "the field of `Store`")]
    pub(super) fn send(store: Store) -> Result<Self, (Box<dyn FnOnce(Result)>, BoxError)> {
        let then = store.then;
        if store.text && store.offset > 0 {
            return Err((then, "a text cannot be begun in the middle".into()));
        }
        let part = match FilePart::new(store.file, store.offset..) {
            Ok(part) => part,
            Err(error) => return Err((then, error.into())),
        };
        let (at, end) = (part.offset(), part.offset() + part.len());
        let source = Some(Source {
            file: part.into_file(),
            text: store.text,
            at,
            end,
            progress: store.progress,
        });
        Ok(Self::new(Kind::Send { source, then }))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            begun: false,
            failed: None,
            ended_there: false,
        }
    }

    fn is_received(&self) -> bool {
        matches!(self.kind, Kind::Receive { .. })
    }

    /// Whether a file is to be sent and none of it was.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(
            &self.kind,
            Kind::Send {
                source: Some(_),
                ..
            }
        )
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let Kind::Receive {
            consumer,
            decoder,
            decoded,
            received,
            length,
        } = &mut self.kind
        else {
            return Ok(());
        };
        if data.is_empty() {
            // The end of file, or nothing yet.
            return Ok(());
        }
        *received += data.len() as u64;
        if let Some(length) = *length
            && *received > length
        {
            return Err(format!("the server sent more than the {length} bytes it told of").into());
        }
        let Some(decoder) = decoder else {
            return consumer.feed(data);
        };
        decoded.clear();
        decoder.piece(data, decoded);
        match decoded.is_empty() {
            true => Ok(()),
            false => consumer.feed(decoded),
        }
    }

    /// The end of the data.
    fn end(&mut self) -> Result {
        if let Kind::Receive {
            consumer,
            decoder: Some(decoder),
            decoded,
            ..
        } = &mut self.kind
        {
            decoded.clear();
            decoder.end(decoded);
            if !decoded.is_empty() {
                return consumer.feed(decoded);
            }
        }
        Ok(())
    }

    pub(super) fn check_length(&self) -> Result {
        match self.kind {
            Kind::Receive {
                received,
                length: Some(length),
                ..
            } if received != length => {
                Err(format!("{received} bytes came, and the server told of {length}").into())
            }
            _ => Ok(()),
        }
    }

    /// Tells the outcome, once.
    pub(super) fn close(work: &RefCell<Self>, outcome: Result<(), BoxError>) {
        let kind = std::mem::replace(&mut work.borrow_mut().kind, Kind::Closed);
        match kind {
            Kind::Receive { mut consumer, .. } => consumer.close(outcome),
            Kind::Send { then, .. } => then(outcome),
            Kind::Closed => {}
        }
    }
}

/// The object of the data connection.
pub(super) struct Data {
    control: ChannelId,
    work: Rc<RefCell<Work>>,
    tls: Option<Arc<ClientConfig>>,
    host: String,
    timeout: Duration,
    /// Connected, and secured if it is to be.
    open: bool,
    outcome: Option<Result<(), BoxError>>,
}

impl Data {
    pub(super) fn new(
        talk: &Talk<'_, '_>,
        work: Rc<RefCell<Work>>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        Self {
            control: talk.id(),
            work,
            tls,
            host: talk.host().to_owned(),
            timeout: talk.contact().timeout,
            open: false,
            outcome: None,
        }
    }

    /// Begins to send, if the connection is open, the server has said so, and there is something to be sent.
    pub(super) fn go(&mut self, channel: &mut Channel<'_>) {
        if !self.open || !self.work.borrow().begun {
            return;
        }
        let source = match &mut self.work.borrow_mut().kind {
            Kind::Send { source, .. } => source.take(),
            _ => None,
        };
        if let Some(source) = source
            && let Err(error) = source.push(channel)
        {
            self.fail(channel, error);
        }
    }

    fn fail(&mut self, channel: &mut Channel<'_>, error: impl Into<BoxError>) {
        self.outcome.get_or_insert(Err(error.into()));
        channel.close();
    }

    fn opened(&mut self, channel: &mut Channel<'_>) {
        self.open = true;
        self.go(channel);
    }
}

/// Calls the session at the other connection, if it is still there.
fn tell(
    registry: &mut Registry,
    control: ChannelId,
    call: impl FnOnce(&mut Session, &mut Talk<'_, '_>) -> Result,
) {
    let told = registry.with_chat(control, |connection: &mut Connection<Session>, chat| {
        connection.with(chat, |session, talk| {
            if let Err(error) = call(session, talk) {
                talk.fail(error);
            }
        });
    });
    if let Err(error) = told {
        log::debug!("no control connection: {error}");
    }
}

impl Dispatcher for Data {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.set_idle_timeout(Some(self.timeout));
        let id = channel.id();
        match self.tls.clone() {
            // The server shakes hands when it has taken the command.
            Some(config) => channel.start_tls_client(&self.host, config)?,
            None => self.opened(channel),
        }
        tell(channel.registry(), self.control, |session, talk| {
            session.data_connected(talk, id)
        });
        Ok(())
    }

    fn handle_secured(&mut self, channel: &mut Channel<'_>) -> Result {
        self.opened(channel);
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let work = &self.work;
        channel.recv_with(|_, data| {
            let mut work = work.borrow_mut();
            if let Err(error) = work.feed(data) {
                work.failed = Some(error);
            }
        })?;
        if self.work.borrow().failed.is_some() {
            self.fail(channel, "given up");
        }
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.work.borrow().is_received() && !channel.is_truncated() && !channel.is_reset() {
            let mut work = self.work.borrow_mut();
            if let Err(error) = work.end() {
                work.failed = Some(error);
            }
            self.outcome.get_or_insert(Ok(()));
            // With the close_notify that TLS wants from this end too (RFC 8446, 6.1).
            channel.close_when_done();
            return Ok(());
        }
        let error = if channel.is_truncated() {
            CUT
        } else {
            self.work.borrow_mut().ended_there = true;
            match channel.is_reset() {
                true => "the server broke the data connection",
                false => "the server closed the data connection before all was sent",
            }
        };
        self.fail(channel, error);
        Ok(())
    }

    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        let error = format!(
            "nothing moved on the data connection for {:?}",
            self.timeout
        );
        self.fail(channel, error);
        Ok(())
    }

    fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            self.fail(channel, format!("the data connection failed: {error}"));
        }
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        let error = reason(&self.host, error);
        self.fail(channel, format!("the data connection: {error}"));
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let all_sent = why.unsent == 0
            && !self.work.borrow().is_received()
            && !self.work.borrow().is_unsent()
            && matches!(
                why.cause,
                Cause::Done | Cause::LingerLimit | Cause::EndOfFile
            );
        let outcome = self.outcome.take().unwrap_or_else(|| match why.cause {
            _ if all_sent => Ok(()),
            Cause::Shutdown | Cause::CloseAll => Err("interrupted".into()),
            _ => Err(format!("the data connection ended: {why}").into()),
        });
        tell(registry, self.control, |session, talk| {
            session.data_ended(talk, why.channel, outcome)
        });
    }
}

impl Source {
    /// All of it, and the end of the stream behind it.
    fn push(self, channel: &mut Channel<'_>) -> Result {
        if self.text {
            let counted = Counted(self);
            channel.push_with_producer(Encoder::new(counted));
            channel.close_when_done();
            return Ok(());
        }
        self.push_part(channel)
    }

    fn push_part(mut self, channel: &mut Channel<'_>) -> Result {
        let end = self.end.min(self.at.saturating_add(PART));
        if self.at == end {
            channel.close_when_done();
            return Ok(());
        }
        let part = FilePart::shared(Arc::clone(&self.file), self.at..end)?;
        self.at = end;
        channel.push_then(part, move |registry, sent| {
            (self.progress)(sent.bytes);
            if sent.complete {
                registry.try_with(sent.channel, |_: &mut Data, channel| {
                    self.push_part(channel)
                })?;
            }
            Ok(())
        });
        Ok(())
    }
}

/// Tells the progress of a text.
struct Counted(Source);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.file.read(buffer)?;
        (self.0.progress)(n as u64);
        Ok(n)
    }
}

/// Takes the one connection of an active mode.
struct Acceptor {
    server: IpAddr,
    data: Rc<Cell<Option<Data>>>,
}

impl Dispatcher for Acceptor {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        if peer.inet().map(|peer| peer.ip().to_canonical()) != Some(self.server) {
            log::warn!("a data connection from {peer}, which is not the server, is refused");
            return Ok(());
        }
        if let Some(data) = self.data.take() {
            channel.registry().register(stream, data)?;
        }
        channel.close();
        Ok(())
    }
}

/// Waits for the server's connection, and gives the address that the server is told.
pub(super) fn listen(
    registry: &mut Registry,
    here: IpAddr,
    server: IpAddr,
    Ports(ports): Ports,
    data: Data,
) -> Result<(ChannelId, SocketAddr)> {
    let (first, last) = ports.unwrap_or((0, 0));
    let options = ListenOptions::new().backlog(4);
    let server = server.to_canonical();
    // A port that is taken must not take it along.
    let data = Rc::new(Cell::new(Some(data)));
    for port in first..=last {
        let address = SocketAddr::new(here, port);
        let acceptor = Acceptor {
            server,
            data: Rc::clone(&data),
        };
        match registry.listen_with(address, &options, acceptor) {
            Ok(id) => {
                let address = registry.channel(id).ok_or("closed")?.local_addr()?;
                return Ok((id, address.inet().ok_or("no IP address")?));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < last => {}
            Err(error) => return Err(format!("no port for the data: {error}").into()),
        }
    }
    Err("no port for the data".into())
}
