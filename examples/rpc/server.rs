//! The server: a thread with a reactor of its own, which any other thread may stop.

use std::{
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use asynchat::{Address, Channel, ChatDispatcher, Dispatcher, Handle, Reactor, Result, Stream};

use shared::socket_file::SocketFile;

use crate::{
    handler::RequestHandler,
    socket_file,
    store::Store,
    wire::{END, MAX_REQUEST},
};

/// Connections at a time. Others wait in the backlog.
pub(crate) const MAX_CLIENTS: usize = 64;
/// What may wait for one client: past the high watermark nothing more is read, and the longest answer still fits.
const MAX_OUTGOING: usize = 4 * 1024 * 1024;
/// How long the answers under way may take once the server is stopped.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A server that runs until somebody stops it, or this is dropped.
pub(crate) struct Server {
    handle: Handle,
    /// Until somebody has waited for it.
    thread: Option<JoinHandle<Result>>,
}

impl Server {
    /// When this returns the server listens. With `force` the socket a dead server has left is removed.
    pub(crate) fn start(path: &Path, force: bool) -> Result<Self> {
        let (listener, file) = socket_file::listen(path, force)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            // Made where it runs: a reactor cannot be sent.
            let mut reactor = Reactor::builder()
                .max_channels(MAX_CLIENTS)
                .max_outgoing(MAX_OUTGOING)
                .build()?;
            reactor.register(listener, Acceptor::new(file))?;
            tell.send(reactor.handle())?;
            Ok(reactor.run()?)
        });
        match told.recv() {
            Ok(handle) => Ok(Self {
                handle,
                thread: Some(thread),
            }),
            Err(_) => Err(ended(thread)
                .err()
                .unwrap_or_else(|| "the server did not start".into())),
        }
    }

    /// What stops it, from any thread: `shutdown`.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until somebody has stopped it.
    pub(crate) fn join(mut self) -> Result {
        self.thread.take().map_or(Ok(()), ended)
    }
}

/// A caller that starts a server and fails before `join` leaves no socket's file behind.
impl Drop for Server {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.stop();
            if let Err(error) = ended(thread) {
                log::warn!("{error}");
            }
        }
    }
}

fn ended(thread: JoinHandle<Result>) -> Result {
    thread.join().map_err(|_| "the server panicked")?
}

/// The listener's object. What the requests are about is kept here, for all connections.
pub(crate) struct Acceptor {
    pub(crate) store: Store,
    /// Removed when this object is dropped, which is when the listener is closed.
    _file: Option<SocketFile>,
}

impl Acceptor {
    pub(crate) fn new(file: impl Into<Option<SocketFile>>) -> Self {
        Self {
            store: Store::default(),
            _file: file.into(),
        }
    }
}

impl Dispatcher for Acceptor {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let handler = RequestHandler::new(channel.id());
        let chat = ChatDispatcher::collecting(handler, END, MAX_REQUEST);
        channel.registry().register(stream, chat)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::client;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn strings(strings: &[&str]) -> Vec<String> {
        strings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn another_thread_stops_it_and_the_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let server = Server::start(&path, false).unwrap();
        let requests = vec![strings(&["set", "a", "1"]), strings(&["get", "a"])];
        let answers = client::call(&path, requests, TIMEOUT).unwrap();
        assert_eq!(answers, [Ok(vec![]), Ok(strings(&["1"]))]);
        let handle = server.handle();
        thread::spawn(move || handle.shutdown(GRACE))
            .join()
            .unwrap();
        server.join().unwrap();
        assert!(!path.exists());
        // Nothing is left that would keep the next one from starting.
        let server = Server::start(&path, false).unwrap();
        server.handle().stop();
        server.join().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_server_that_cannot_start_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::write(&path, "precious").unwrap();
        for force in [false, true] {
            let error = Server::start(&path, force).err().unwrap().to_string();
            assert!(error.ends_with("what is there is no socket"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
