//! Request handlers, as Python's SocketServer has them: an object that serves one request, and servers that find out when
//! there is one.
//!
//! A [`BlockingHandler`] is straight code: it reads `rfile` and writes `wfile` and may wait for either. It runs on a thread of
//! a [`Pool`], behind the reactor: the reactor alone touches sockets, and the two pass bytes through a [`pipe`] that holds a
//! bounded number of them. A [`LoopHandler`] has callbacks instead, which run on the loop and must not wait.
//!
//! Either serves streams ([`StreamServer`], [`LoopStreamServer`]: TCP, Unix) and datagrams ([`DatagramServer`],
//! [`LoopDatagramServer`]: UDP, Unix): a datagram is a request that is read to its end, and all that is written is one
//! datagram back.

mod datagram;
mod on_loop;
pub mod pipe;
pub mod pool;
mod stream;
pub(crate) mod watch;

use std::{
    io::{BufRead, Write},
    time::Duration,
};

use asynchat::{Address, Result};

pub use self::{
    datagram::DatagramServer,
    on_loop::{LoopDatagramServer, LoopHandler, LoopStreamServer, Reply},
    pool::{Pool, PoolOptions},
    stream::{StreamServer, shut_down},
};

/// Straight code that serves one request. It runs on many threads at once.
pub trait BlockingHandler: Send + Sync + 'static {
    /// Serves one request; at its end the connection is closed behind what was written.
    ///
    /// # Errors
    /// The connection is closed, and the error is a line in the log; so is a panic. An error of `rfile` or `wfile` means that the
    /// client is gone or takes too long: pass it on.
    fn handle(&self, request: &mut BlockingRequest<'_>) -> Result;
}

impl<F: Fn(&mut BlockingRequest<'_>) -> Result + Send + Sync + 'static> BlockingHandler for F {
    fn handle(&self, request: &mut BlockingRequest<'_>) -> Result {
        self(request)
    }
}

/// What a [`BlockingHandler`] serves.
pub struct BlockingRequest<'a> {
    /// What the client sends. Reading waits for it.
    pub rfile: &'a mut dyn BufRead,
    /// What the client gets, in order. Writing waits while too much is on its way. It leaves in blocks, or with `flush`.
    pub wfile: &'a mut dyn Write,
    pub client_address: &'a Address,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The handler waits for a client that neither sends nor takes anything.
    pub idle: Duration,
    /// From the beginning of the handler to its end. Its connection is closed then, and its thread is replaced.
    pub handler: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            handler: Duration::from_secs(300),
        }
    }
}
