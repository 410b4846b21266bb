//! Blocking handlers behind datagrams.

use std::{collections::HashMap, sync::Arc};

use asynchat::{Address, BoxError, Channel, Dispatcher, Registry, Result};

use super::{BlockingHandler, BlockingRequest, Times, pool::Pool, watch::Watch};

/// The longest datagram of UDP over IPv4 (RFC 768, and RFC 791 for the length of 16 bits), a little more than its data.
pub(super) const DATAGRAM: usize = 64 * 1024;

/// A datagram socket whose datagrams are served by a handler on the threads of a pool. While the pool has no room nothing
/// is read, and the system drops what its buffer does not hold.
pub struct DatagramServer {
    pool: Pool,
    handler: Arc<dyn BlockingHandler>,
    times: Times,
    has_room: bool,
    /// The number of the last datagram, and those that are being served.
    last: u64,
    watches: HashMap<u64, Watch>,
}

impl DatagramServer {
    pub fn new(pool: &Pool, handler: Arc<dyn BlockingHandler>, times: Times) -> Self {
        Self {
            pool: pool.clone(),
            handler,
            times,
            has_room: true,
            last: 0,
            watches: HashMap::new(),
        }
    }

    fn serve(&mut self, channel: &mut Channel<'_>, data: Vec<u8>, from: Address) {
        let (handle, id) = (channel.registry().handle(), channel.id());
        let handler = Arc::clone(&self.handler);
        self.last += 1;
        let number = self.last;
        let job = self.pool.submit(move || {
            let served = run(&*handler, &data, &from);
            // The reactor may be gone.
            let _ = handle.call_soon(move |registry| {
                // The socket may be closed.
                let _ = registry.with(id, |server: &mut Self, channel| {
                    answer(channel, &from, served);
                    if let Some(watch) = server.watches.remove(&number) {
                        watch.end(channel.registry());
                    }
                });
                Ok(())
            });
        });
        let Ok(job) = job else {
            log::info!("a datagram finds no room");
            return;
        };
        let limit = self.times.handler;
        let nothing = |_: &mut Registry| Ok(());
        let watch = Watch::start(channel.registry(), &self.pool, job, limit, nothing);
        self.watches.insert(number, watch);
    }

    fn wait_for_room(&mut self, channel: &mut Channel<'_>) {
        self.has_room = self.pool.has_room();
        if self.has_room {
            return;
        }
        let (handle, id) = (channel.registry().handle(), channel.id());
        self.pool.when_room(move || {
            let _ = handle.call_soon(move |registry| {
                // The socket may be closed.
                let _ = registry.with(id, |server: &mut Self, channel| {
                    server.has_room = true;
                    channel.touch();
                });
                Ok(())
            });
        });
    }
}

fn run(handler: &dyn BlockingHandler, data: &[u8], from: &Address) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    handler.handle(&mut BlockingRequest {
        rfile: &mut &data[..],
        wfile: &mut answer,
        client_address: from,
    })?;
    Ok(answer)
}

/// Sends what a handler has written; an answer that cannot be sent is lost like any datagram.
pub(super) fn answer(channel: &mut Channel<'_>, to: &Address, served: Result<Vec<u8>>) {
    match served {
        Ok(answer) if answer.is_empty() => {}
        Ok(answer) => {
            if let Err(error) = channel.send_to(&answer, to) {
                log::info!("no answer to {to}: {error}");
            }
        }
        Err(error) => log::warn!("datagram from {to}: {error}"),
    }
}

impl Dispatcher for DatagramServer {
    fn readable(&self) -> bool {
        self.has_room
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut data = vec![0; DATAGRAM];
        while self.has_room {
            // Ends the loop with `WouldBlock`, which is no failure.
            let (len, from) = channel.recv_from(&mut data)?;
            log::info!("datagram from {from}");
            self.serve(channel, data[..len].to_vec(), from);
            self.wait_for_room(channel);
        }
        Ok(())
    }

    /// One client's datagram is no reason to close the socket of all.
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::warn!("{}: {error}", channel.describe());
    }
}
