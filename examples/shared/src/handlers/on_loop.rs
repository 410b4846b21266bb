//! Handlers with callbacks on the loop.

use std::{io, io::Write};

use asynchat::{Address, BoxError, Channel, Dispatcher, Result, Stream};

use super::{Times, datagram::DATAGRAM};

/// Serves one request with callbacks, which must not wait.
#[allow(unused_variables, reason = "defaults keep the documented names")]
pub trait LoopHandler: 'static {
    /// The client has connected, or its datagram is here.
    ///
    /// # Errors
    /// The connection is closed, or the datagram is not answered; a line in the log.
    fn begin(&mut self, reply: &mut Reply<'_>) -> Result {
        Ok(())
    }

    /// Some of what the client sends; all of a datagram. Not called behind [`Reply::finish`].
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    fn received(&mut self, reply: &mut Reply<'_>, data: &[u8]) -> Result {
        Ok(())
    }

    /// The client has sent all: the answer ends with this call.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    fn end(&mut self, reply: &mut Reply<'_>) -> Result {
        Ok(())
    }
}

/// Takes what the client gets.
pub struct Reply<'a> {
    out: &'a mut dyn Write,
    client_address: &'a Address,
    finished: bool,
}

impl Reply<'_> {
    pub fn client_address(&self) -> &Address {
        self.client_address
    }

    /// That was all: the connection closes behind it.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Write for Reply<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A listening socket whose connections are served by handlers on the loop.
pub struct LoopStreamServer<F> {
    make: F,
    times: Times,
}

impl<F> LoopStreamServer<F> {
    /// `make` makes the handler of a connection.
    pub fn new(make: F, times: Times) -> Self {
        Self { make, times }
    }
}

impl<H: LoopHandler, F: FnMut() -> H + 'static> Dispatcher for LoopStreamServer<F> {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let session = Session {
            handler: (self.make)(),
            times: self.times,
            peer,
            congested: false,
        };
        channel.registry().register(stream, session)?;
        Ok(())
    }
}

struct Session<H> {
    handler: H,
    times: Times,
    peer: Address,
    congested: bool,
}

impl<H: LoopHandler> Session<H> {
    fn call(
        &mut self,
        channel: &mut Channel<'_>,
        f: impl FnOnce(&mut H, &mut Reply<'_>) -> Result,
    ) -> Result {
        let mut reply = Reply {
            out: channel,
            client_address: &self.peer,
            finished: false,
        };
        f(&mut self.handler, &mut reply)?;
        if reply.finished {
            channel.close_when_done();
        }
        self.congested = channel.is_congested();
        Ok(())
    }
}

impl<H: LoopHandler> Dispatcher for Session<H> {
    fn readable(&self) -> bool {
        !self.congested
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.set_idle_timeout(Some(self.times.idle));
        channel.call_later(self.times.handler, |_: &mut Self, channel| {
            channel.close();
            Ok(())
        });
        self.call(channel, H::begin)
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|channel, data| {
            self.call(channel, |handler, reply| handler.received(reply, data))
        })?
    }

    fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
        self.congested = false;
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.call(channel, |handler, reply| {
            reply.finish();
            handler.end(reply)
        })
    }
}

/// A datagram socket whose datagrams are served by handlers on the loop, each by its own.
pub struct LoopDatagramServer<F> {
    make: F,
}

impl<F> LoopDatagramServer<F> {
    pub fn new(make: F) -> Self {
        Self { make }
    }
}

/// So many datagrams in a row, then it is the turn of the others.
const BUDGET: usize = 64;

impl<H: LoopHandler, F: FnMut() -> H + 'static> Dispatcher for LoopDatagramServer<F> {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut data = vec![0; DATAGRAM];
        for _ in 0..BUDGET {
            // Ends the loop with `WouldBlock`, which is no failure.
            let (len, from) = channel.recv_from(&mut data)?;
            let mut answer = Vec::new();
            let mut reply = Reply {
                out: &mut answer,
                client_address: &from,
                finished: false,
            };
            let served = serve(&mut (self.make)(), &mut reply, &data[..len]);
            super::datagram::answer(channel, &from, served.map(|()| answer));
        }
        Ok(())
    }

    /// One client's datagram is no reason to close the socket of all.
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::warn!("{}: {error}", channel.describe());
    }
}

fn serve(handler: &mut impl LoopHandler, reply: &mut Reply<'_>, data: &[u8]) -> Result {
    handler.begin(reply)?;
    if !reply.finished {
        handler.received(reply, data)?;
    }
    if !reply.finished {
        handler.end(reply)?;
    }
    Ok(())
}
